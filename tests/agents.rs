//! Agents as processes: the demos as a user runs them, and rogues beside whom a neighbour lives.

mod command_line;
mod crash;
mod family;
mod house;
mod remember;
mod rogues;
