//! Hostile guests: what each of them tries, how it ends, and that a neighbour does not notice.
//!
//! The guests lie in `tests/guests/`: text where that is reasonable, and two commands in Rust,
//! `misbehave` and, of WASI 0.3, `overlap`. All of them run in one kernel on two threads
//! ([`house`]), so tests that run at the same time are one another's neighbours too. What could end
//! the whole process runs in the real program instead.

mod answers;
mod daemon;
mod egress;
mod endless;
mod files;
mod house;
mod liar;
mod memory;
mod names;
mod network;
mod overlap;
mod program;
mod quantities;
mod races;
mod rebinding;
mod schemas;
mod secrets;
mod verdicts;

pub use house::guest_path;
