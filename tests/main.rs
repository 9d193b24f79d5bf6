//! Tests of the whole host, as one program: it is linked once.
//!
//! Each module is a claim about a part: what a user types, what a hostile guest may not do, the
//! rules of the house. Guests come from `tests/guests/`, plugins from `plugins/dist/`.

mod agents;
mod audit;
mod cache;
mod command_line;
mod containers;
mod context;
mod daemon;
mod doctor;
mod documents;
mod embedding;
mod endings;
mod execution;
mod full_disk;
mod fuzz;
mod guide;
mod hostile;
mod languages;
mod newcomer;
mod pager;
mod policy;
mod store;
mod supply;
mod support;
mod tidy;
mod toolchain;
