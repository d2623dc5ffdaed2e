//! The public surface of the bus: a model of one mailbox, recorded histories of many threads, and
//! the cases of everything else.

mod admission;
mod announce;
mod ask;
mod counts;
mod dead_letters;
mod delivery;
mod fan_out;
mod history;
mod model;
mod order;
mod receive;
mod refusals;
mod removal;
mod room;
mod support;
mod threads;
