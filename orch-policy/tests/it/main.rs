//! The promises of the public surface, each with a control: a planted mistake that the same check
//! must find.

mod budget;
mod chains;
mod deny;
mod dice;
mod grant;
mod paths;
mod persist;
mod planted;
mod progress;
mod rate;
mod retry;
mod some;
mod waits;
mod within;
