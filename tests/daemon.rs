//! The daemon and the commands that find it: one host a store, alone with its user, through its
//! whole life.

mod authority;
mod bad_input;
mod commands;
mod durable;
pub mod house;
mod ledger;
mod life;
mod team;
mod travel;
