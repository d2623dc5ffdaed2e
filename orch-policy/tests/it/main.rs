//! The promises of the public surface, each with a control: a planted mistake that the same check
//! must find.

mod deny;
mod grant;
mod paths;
mod persist;
mod planted;
mod rate;
mod retry;
mod some;
mod within;
