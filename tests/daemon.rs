//! The daemon and the commands that find it: one host a store, alone with its user, through its
//! whole life.

mod bad_input;
mod commands;
pub mod house;
mod life;
mod team;
