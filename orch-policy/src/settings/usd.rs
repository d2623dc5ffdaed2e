//! Money as people write it.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// US dollars to the millionth: `2.50`, `"2.50"`, `3`. Never rounded: more digits are an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd {
    /// In millionths of a dollar.
    pub micros: u64,
}

/// A text that is no amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadUsd {
    /// It does not have the form of one.
    #[error("`{0}` is no amount of dollars; write a number such as 2.50")]
    Form(String),
    /// It has more digits than are counted.
    #[error("`{0}` has more than six digits after the point; money is counted to the millionth")]
    TooFine(String),
    /// It is more than 2^64 millionths.
    #[error("`{0}` dollars are too many")]
    TooMuch(String),
}

impl FromStr for Usd {
    type Err = BadUsd;

    fn from_str(text: &str) -> Result<Self, BadUsd> {
        let form = || BadUsd::Form(text.to_owned());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
        if !is_number(whole) || !is_number(part) {
            return Err(form());
        }
        let part = part.trim_end_matches('0');
        if part.len() > 6 {
            return Err(BadUsd::TooFine(text.to_owned()));
        }
        let millionths = format!("{part:0<6}").parse().map_err(|_| form())?;
        let dollars = whole.parse::<u64>().ok().and_then(|it| it.checked_mul(1_000_000));
        let micros = dollars.and_then(|it| it.checked_add(millionths));
        micros.map(|micros| Self { micros }).ok_or_else(|| BadUsd::TooMuch(text.to_owned()))
    }
}

/// With as many digits as it needs, at least two: reads back as the same.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:06}", self.micros % 1_000_000);
        let end = digits.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.micros / 1_000_000, &digits[..end])
    }
}

/// A text, since a number in JSON may lose digits.
impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl Visitor<'_> for Any {
    type Value = Usd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount of dollars, such as 2.50")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Usd, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, dollars: u64) -> Result<Usd, E> {
        self.visit_str(&dollars.to_string())
    }

    fn visit_i64<E: Error>(self, dollars: i64) -> Result<Usd, E> {
        self.visit_str(&dollars.to_string())
    }

    /// By the shortest text that means this number, which is what was written.
    fn visit_f64<E: Error>(self, dollars: f64) -> Result<Usd, E> {
        self.visit_str(&dollars.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(json: &str, micros: u64) {
        let read: Usd = serde_json::from_str(json).unwrap();
        assert_eq!(read, Usd { micros });
        assert_eq!(read.to_string().parse(), Ok(read));
    }

    #[test]
    fn dollars_are_read_exactly() {
        reads("2.5", 2_500_000);
        reads("\"2.50\"", 2_500_000);
        reads("3", 3_000_000);
        reads("0.1", 100_000);
        reads("0.000001", 1);
        reads("0.30000000", 300_000);
    }

    #[test]
    fn what_is_no_money_or_too_much_or_too_fine_is_said() {
        for text in ["", ".", "1.", ".5", "-1", "1e9", "1,5", "$1", "NaN"] {
            assert_eq!(text.parse::<Usd>(), Err(BadUsd::Form(text.to_owned())), "{text}");
        }
        assert!(matches!("0.0000001".parse::<Usd>(), Err(BadUsd::TooFine(_))));
        assert!(matches!("99999999999999999999".parse::<Usd>(), Err(BadUsd::TooMuch(_))));
        assert!(serde_json::from_str::<Usd>("-3").is_err());
    }
}
