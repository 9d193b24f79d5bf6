//! Agents as processes: the demos as a user runs them, and rogues beside whom a neighbour lives.

mod bounds;
mod command_line;
mod crash;
mod endings;
mod family;
mod house;
mod provider;
mod remember;
mod rogues;
