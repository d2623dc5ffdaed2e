//! What is new in a text that grew out of another.

/// A text as the beginning of another one, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delta<'a> {
    /// How many bytes of the other it begins with.
    pub(crate) keep: usize,
    /// What follows them.
    pub(crate) new: &'a [u8],
}

/// Bytes that are compared at once: a comparison of memory runs ten times as fast as one by one.
const BLOCK_BYTES: usize = 4_096;

impl<'a> Delta<'a> {
    /// The longest beginning of `text` that `former` begins with, and the rest.
    pub(crate) fn between(former: &[u8], text: &'a [u8]) -> Self {
        let pairs = || former.chunks(BLOCK_BYTES).zip(text.chunks(BLOCK_BYTES));
        let n_equal = pairs().take_while(|(one, other)| one == other).count();
        let mut keep = (n_equal * BLOCK_BYTES).min(former.len()).min(text.len());
        let rest = former[keep..].iter().zip(&text[keep..]);
        keep += rest.take_while(|(one, other)| one == other).count();
        Self { keep, new: &text[keep..] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_its_beginning_and_what_is_new(
            common in 0_usize..10_000,
            former in prop::collection::vec(any::<u8>(), 0..9),
            text in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let begin = vec![7_u8; common];
            let (former, text) = ([&begin[..], &former].concat(), [&begin[..], &text].concat());
            let delta = Delta::between(&former, &text);
            prop_assert_eq!(&[&former[..delta.keep], delta.new].concat(), &text);
            prop_assert!(delta.keep >= common);
            let more = former.get(delta.keep).zip(delta.new.first());
            prop_assert!(more.is_none_or(|(one, other)| one != other));
        }
    }
}
