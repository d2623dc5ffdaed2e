//! Durations as team files write them: `"500ms"`, `"30s"`, `"5m"`, `"1h"`.

use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadDuration {
    /// It does not have the form of one.
    #[error(
        "\"{0}\" is not a duration; write a whole number and one of ms, s, m, h, such as \"30s\""
    )]
    Form(String),
    /// It is more than 2^64 milliseconds.
    #[error("\"{0}\" is too long")]
    TooLong(String),
}

/// Reads a duration: a whole number and one of `ms`, `s`, `m`, `h`.
///
/// # Errors
///
/// [`BadDuration`] says what is expected.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(orch_team::parse_duration("5m"), Ok(Duration::from_secs(300)));
/// assert!(orch_team::parse_duration("5").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let form = || BadDuration::Form(text.to_owned());
    let trimmed = text.trim();
    let digits_end = trimmed.find(|it: char| !it.is_ascii_digit()).ok_or_else(form)?;
    let (digits, unit) = trimmed.split_at(digits_end);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(form)?;
    if digits.is_empty() {
        return Err(form());
    }
    let product = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(*millis));
    product.map(Duration::from_millis).ok_or_else(|| BadDuration::TooLong(text.to_owned()))
}

/// Writes a duration in the largest unit that needs no fraction; parts of a millisecond are cut.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, unit): &&(&str, u64)| millis % unit == 0 && (*unit <= millis || *unit == 1);
    let (name, unit) = UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0]);
    format!("{}{name}", millis / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_they_are_shown() {
        for text in ["0ms", "500ms", "30s", "5m", "1h", "90m", "1500ms", "25h"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(show_duration(parse_duration("60s").unwrap()), "1m");
        assert_eq!(parse_duration(" 2 s "), Ok(Duration::from_secs(2)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_form() {
        for text in ["", "30", "s", "1.5s", "-1s", "1 year", "five minutes", "1s 2s"] {
            assert_eq!(parse_duration(text), Err(BadDuration::Form(text.to_owned())), "{text}");
        }
        let long = "18446744073709551615h";
        assert_eq!(parse_duration(long), Err(BadDuration::TooLong(long.to_owned())));
        assert_eq!(
            parse_duration("30").unwrap_err().to_string(),
            "\"30\" is not a duration; write a whole number and one of ms, s, m, h, such as \"30s\""
        );
    }
}
