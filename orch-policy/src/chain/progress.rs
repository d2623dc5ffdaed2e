//! Finds messages that go round without a change, however long the way, in 56 bytes.
//!
//! A lap ends when what is said now was said before: when the last four messages are those at which
//! the lap began, its *anchor*. Two laps in a row with the same messages are a loop. An anchor that
//! does not lead to one is given up for a later one, each time after twice as long, as in Brent's
//! way of finding cycles: so any length is found, and a start that belongs to no loop is left behind.
//!
//! Four messages and not one, so that a message that occurs twice in a lap is told apart by what came
//! before it. Not seen is a lap in which the same four messages in a row occur twice, if an anchor
//! falls on them each time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How often the same way may be gone without a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProgressLimits {
    /// Equal laps in a row for a warning. At least 2; default 3.
    pub warn: u32,
    /// Equal laps in a row for a stop. At least 2; default 5; `u32::MAX` for never.
    pub stop: u32,
}

impl ProgressLimits {
    /// Neither warns nor stops, and does not look at what is said.
    pub const OFF: Self = Self { warn: u32::MAX, stop: u32::MAX };
}

impl Default for ProgressLimits {
    fn default() -> Self {
        Self { warn: 3, stop: 5 }
    }
}

/// The same messages went the same way again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loop {
    /// How many equal laps in a row were seen; a lap or two more may lie before them.
    pub laps: u32,
    /// Messages of a lap.
    pub length: u32,
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = if self.length == 1 { "message" } else { "messages" };
        write!(
            f,
            "the same {} {messages} went round {} times without a change",
            self.length, self.laps
        )
    }
}

/// What decides, of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last four messages: a message is shifted out after four others.
    recent: u64,
    /// What `recent` was when the lap began.
    anchor: u64,
    /// All messages of this lap, in their order.
    lap: u64,
    /// Those of the lap before.
    lap_before: u64,
    /// Messages of this lap.
    length: u32,
    /// Messages of the lap before.
    length_before: u32,
    /// Messages since the anchor was chosen, was met for the first time, or led to an equal lap.
    age: u32,
    /// The age at which the anchor is given up.
    age_max: u32,
    /// Equal laps in a row; 1 for the first one, 0 before the anchor was met again.
    laps: u32,
}

/// Where a path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Goes,
    Warn(Loop),
    Stop(Loop),
}

/// By how much a message is shifted for each one after it: four are told apart in 64 bits.
const SHIFT: u32 = 16;

/// The age at which the first anchor is chosen. Anchors are the messages 2, 7, 18, 41 … and given up
/// after 5, 11, 23, 47 … others: a loop of up to eleven messages is found from the second anchor.
const FIRST_AGE_MAX: u32 = 2;

impl Default for Progress {
    /// Of a path without a message.
    fn default() -> Self {
        Self {
            recent: 0,
            anchor: 0,
            lap: 0,
            lap_before: 0,
            length: 0,
            length_before: 0,
            age: 0,
            age_max: FIRST_AGE_MAX,
            laps: 0,
        }
    }
}

impl Progress {
    /// Takes note of a message: a number that stands for who said what to whom. The numbers are taken
    /// for hashes, of which 16 bits are as good as any others.
    #[inline]
    pub fn step(&mut self, message: u64) {
        self.recent = (self.recent << SHIFT).wrapping_add(message);
        self.lap = (self.lap ^ message).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self.length = self.length.saturating_add(1);
        self.age = self.age.saturating_add(1);
        if self.recent == self.anchor {
            self.end_lap();
        } else if self.age_max <= self.age {
            self.choose_anchor();
        }
    }

    /// The loop, if the message before was the last one of a lap that equals the one before it.
    #[must_use]
    pub fn going_round(&self) -> Option<Loop> {
        let is_lap = self.length == 0 && self.laps > 1;
        is_lap.then_some(Loop { laps: self.laps, length: self.length_before })
    }

    #[inline]
    pub(super) fn standing(&self, limits: ProgressLimits) -> Standing {
        match self.going_round() {
            Some(it) if limits.stop <= it.laps && limits.stop != u32::MAX => Standing::Stop(it),
            Some(it) if limits.warn == it.laps => Standing::Warn(it),
            _ => Standing::Goes,
        }
    }

    fn end_lap(&mut self) {
        let is_equal =
            self.laps > 0 && (self.lap, self.length) == (self.lap_before, self.length_before);
        if is_equal || self.laps == 0 {
            self.age = 0;
        }
        self.laps = if is_equal { self.laps.saturating_add(1) } else { 1 };
        (self.lap_before, self.length_before) = (self.lap, self.length);
        (self.lap, self.length) = (0, 0);
    }

    /// Twice as long and one more, so that anchors fall on different places of a lap.
    fn choose_anchor(&mut self) {
        self.anchor = self.recent;
        self.age_max = self.age_max.saturating_mul(2) | 1;
        (self.age, self.laps) = (0, 0);
        (self.lap, self.length) = (0, 0);
    }
}
