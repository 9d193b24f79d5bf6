//! Agents as processes: the demos as a user runs them, and rogues beside whom a neighbour lives.

mod bounds;
mod command_line;
mod family;
mod endings;
mod house;
mod provider;
mod rogues;
