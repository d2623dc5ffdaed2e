//! Ids as types of their own, so that a message's cannot be given where an agent's belongs.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::mint;

/// A text that is no id of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id (expected `{prefix}-` and a UUID, or a UUID alone)")]
pub struct ParseIdError {
    text: String,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        ///
        /// Shown with its kind in front, parsed with or without it, and a plain UUID in JSON.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = "string"))]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Mints an id; see [`mint`] for its cost and order.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "two defaults would not be equal")]
            pub fn new() -> Self {
                Self(mint::id().0)
            }

            /// The id that has this UUID.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// This id as a UUID.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        /// As one number, for hashers that take one at a time.
        impl Hash for $name {
            #[inline]
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u128(u128::from_ne_bytes(*self.0.as_bytes()));
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let bare = text.strip_prefix(concat!($prefix, "-")).unwrap_or(text);
                Uuid::try_parse(bare)
                    .map(Self)
                    .map_err(|_| ParseIdError { text: text.to_owned(), prefix: $prefix })
            }
        }
    };
}

id!(
    /// Names an agent, and so its mailbox.
    AgentId,
    "agent"
);
id!(
    /// Names a message; a retry of it keeps the id.
    MessageId,
    "message"
);
id!(
    /// Names a chain: all messages with one first cause.
    ChainId,
    "chain"
);
id!(
    /// Names a tool call that waits for a person's decision.
    ApprovalId,
    "approval"
);

impl AgentId {
    /// The sender of what comes from outside of the team: a person, a program, a test.
    pub const OUTSIDE: Self = Self(Uuid::nil());
}

impl MessageId {
    /// The id of what step `n` of the handling of this message asks: the same for each attempt, and no
    /// other's. It keeps the time of this one.
    #[must_use]
    pub fn of_step(self, n: u32) -> Self {
        // UUIDv8: 48 bits of time, and 62 and 12 that are mixed. One to one for each `n`.
        const LOW: u128 = (1 << 62) - 1;
        let id = self.0.as_u128();
        let mut low = (id & LOW) as u64;
        low = low.wrapping_add(u64::from(n).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        low = low.wrapping_mul(0xbf58_476d_1ce4_e5b9) & LOW as u64;
        low ^= low >> 31;
        low = low.wrapping_mul(0x94d0_49bb_1331_11eb) & LOW as u64;
        let high = id & !(LOW | 0xf << 76 | 0b11 << 62);
        Self(Uuid::from_u128(high | 0x8 << 76 | 0b10 << 62 | u128::from(low)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_with_and_without_its_prefix() {
        let id = AgentId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.as_uuid().to_string().parse(), Ok(id));
    }

    #[test]
    fn an_id_of_another_kind_is_refused_by_name() {
        let text = MessageId::new().to_string();
        let error = text.parse::<AgentId>().unwrap_err();
        assert!(error.to_string().contains("`agent-`"), "{error}");
    }
}
