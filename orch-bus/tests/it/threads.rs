//! Threads that end.

use std::cell::Cell;
use std::sync::Arc;
use std::thread;

use orch_bus::Mailbox;
use orch_core::MessagePriority;

use crate::support::{bus_with_lanes_of, put, take_all};

/// Sends a message when it is dropped.
struct Farewell(Arc<Mailbox>);

impl Drop for Farewell {
    fn drop(&mut self) {
        // More urgent than what was sent before, so that it is announced.
        put(&self.0, MessagePriority::Critical, "farewell");
    }
}

/// Seen: a message that was sent while the locals of its thread were being dropped ended the program,
/// as the one with the thread's desk was gone already.
#[test]
fn a_thread_that_is_ending_still_sends() {
    thread_local!(static LAST: Cell<Option<Farewell>> = const { Cell::new(None) });
    let (_bus, mailbox) = bus_with_lanes_of(8);
    let address = mailbox.clone();
    let ends = thread::spawn(move || {
        // Before the first send, so that it is dropped after whatever a send keeps in the thread.
        LAST.set(Some(Farewell(address.clone())));
        put(&address, MessagePriority::Low, "hello");
    });
    ends.join().unwrap();
    assert_eq!(take_all(&mailbox), ["farewell", "hello"]);
}
