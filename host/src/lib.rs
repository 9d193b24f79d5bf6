//! An operating system for AI agents, as a library: [`kernel::Kernel::builder`] is its door.
//!
//! # Layers, top to bottom: a module names only modules below it
//! [`cli`] words, [`api`] the daemon and its socket, [`config`] the file and the user's folders,
//! [`kernel`] sessions, agents and the one door, [`scheduler`] who is next and who may spend what
//! (pure), [`sandbox`] wasmtime, limits, what guests import, [`capability`] grants and the one
//! gate, [`model`] language models and their providers, [`pager`] the window, eviction and recall
//! (pure), [`journal`] the hash-chained record, [`storage`] SQLite and PostgreSQL, [`types`] the
//! words all share.
//!
//! # The walk of one call
//! `cli::run`, [`kernel::Kernel::submit`] checks the arguments and has the accepted row sealed →
//! `sandbox` runs the export in a fresh store → a guest's import becomes a request →
//! [`capability::gate::Gate::perform`] checks it, seals the verdict, spends the permit, seals the
//! outcome → the answer and what it took go back up.
//!
//! # Invariants
//! One door, one gate, one log; authority only shrinks; nothing ambient; everything has a limit; a
//! bad guest costs only itself. `ARCHITECTURE.md` says which test keeps each.

pub mod api;
pub mod capability;
pub mod cli;
pub mod config;
pub mod journal;
pub mod kernel;
pub use kernel::Kernel;
pub mod model;
pub mod pager;
pub mod sandbox;
pub mod scheduler;
pub mod storage;
pub mod types;
