//! What a handler may return, and the outcome that each of it means.

use orch_core::{Content, Failure, Outcome};

/// What a handler may return.
///
/// | returned | means |
/// |---|---|
/// | `()` | handled, without an answer |
/// | `String`, `&'static str`, [`Content`] | handled; this is the answer |
/// | `Option<T>` | as `T`, or handled without an answer |
/// | [`Failure`] | not handled |
/// | `Result<T, E>` | as `T`, or not handled: `E` is a [`Failure`] or turns into one, as [`HostError`](crate::HostError) does |
/// | [`Outcome`] | itself |
pub trait IntoOutcome {
    /// The outcome that the value means.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::done()
    }
}

impl IntoOutcome for String {
    fn into_outcome(self) -> Outcome {
        Outcome::output(self)
    }
}

impl IntoOutcome for &'static str {
    fn into_outcome(self) -> Outcome {
        Outcome::output(self)
    }
}

impl IntoOutcome for Content {
    fn into_outcome(self) -> Outcome {
        Outcome::output(self)
    }
}

impl IntoOutcome for Failure {
    fn into_outcome(self) -> Outcome {
        Outcome::Nack(self)
    }
}

impl<T: IntoOutcome> IntoOutcome for Option<T> {
    fn into_outcome(self) -> Outcome {
        self.map_or_else(Outcome::done, T::into_outcome)
    }
}

impl<T: IntoOutcome, E: Into<Failure>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(value) => value.into_outcome(),
            Err(error) => Outcome::Nack(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostError;

    #[test]
    fn each_returned_value_means_its_outcome() {
        assert_eq!(().into_outcome(), Outcome::done());
        assert_eq!("a".into_outcome(), Outcome::output("a"));
        assert_eq!(String::from("a").into_outcome(), Outcome::output("a"));
        assert_eq!(Content::from("a").into_outcome(), Outcome::output("a"));
        assert_eq!(Some("a").into_outcome(), Outcome::output("a"));
        assert_eq!(None::<String>.into_outcome(), Outcome::done());
        assert_eq!(Ok::<_, Failure>("a").into_outcome(), Outcome::output("a"));

        let failure = Failure::transient("busy");
        assert_eq!(failure.clone().into_outcome(), Outcome::Nack(failure.clone()));
        assert_eq!(Err::<(), _>(failure.clone()).into_outcome(), Outcome::Nack(failure));
        let over = Err::<(), _>(HostError::Over).into_outcome();
        assert_eq!(over, Outcome::Nack(Failure::last("the run is over")));
    }
}
