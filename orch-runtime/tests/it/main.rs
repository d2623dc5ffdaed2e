//! The public surface of the runtime.

mod dispatch;
