//! The public surface of the runtime.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod asks;
mod bare;
mod clocks;
mod counts;
mod disk;
mod dispatch;
mod durable;
mod endings;
mod failures;
mod family;
mod guards;
mod kills;
mod machine;
mod messages;
mod observability;
mod observers;
mod retries;
mod routing;
mod spec;
mod starting;
mod steps;
mod stop;
mod storms;
mod support;
mod tools;
mod turns;
mod wakeups;
mod windows;
