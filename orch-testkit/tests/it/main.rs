//! The simulation finds what is wrong, reaches what it is for, and passes.

mod corners;
mod planted;
mod round_trips;
mod seeds;
mod stories;
mod support;
