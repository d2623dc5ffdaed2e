//! Who waits at a mailbox. Most have nobody, so all of this is made when it is needed.

use crate::lane::LANES;
use crate::sync::{Notify, OnceBox};

/// Where those sleep who wait, each bed made by the first who lies down.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// For a message.
    arrived: OnceBox<Notify>,
    /// For room, by lane.
    room: [OnceBox<Notify>; LANES],
}

impl Waiting {
    pub(crate) fn new() -> Box<Self> {
        let room = std::array::from_fn(|_| OnceBox::new());
        Box::new(Self { arrived: OnceBox::new(), room })
    }

    /// For who waits for a message.
    pub(crate) fn arrived(&self) -> &Notify {
        self.arrived.get_or_init(Box::default)
    }

    /// For who waits for room in this lane.
    pub(crate) fn room(&self, lane: usize) -> &Notify {
        self.room[lane].get_or_init(Box::default)
    }

    /// A message came: wakes one.
    pub(crate) fn wake_for_message(&self) {
        if let Some(arrived) = self.arrived.get() {
            arrived.notify_one();
        }
    }

    /// A place of this lane is free: wakes one.
    pub(crate) fn wake_for_room(&self, lane: usize) {
        if let Some(room) = self.room[lane].get() {
            room.notify_one();
        }
    }

    /// Nothing comes any more: wakes all.
    pub(crate) fn wake_everybody(&self) {
        if let Some(arrived) = self.arrived.get() {
            arrived.notify_waiters();
            // For one that has registered nothing yet.
            arrived.notify_one();
        }
        for room in self.room.iter().filter_map(OnceBox::get) {
            room.notify_waiters();
        }
    }
}
