//! The daemon: one host for many commands, over a unix socket that is its user's alone.
//!
//! Knows requests, answers and who may connect; knows nothing of how people type or read. The
//! kernel decides everything: a request here becomes one call of the process table.
//!
//! # Protocol
//! HTTP/1.1 with JSON bodies, below `/v1/`. A client says hello first and goes on only where
//! [`words::PROTOCOL`] is its own. `{who}` is a pid, or a name that one agent alone has.
//!
//! | request | answers |
//! |---|---|
//! | `GET hello` | [`words::Hello`] |
//! | `GET agents`, `GET agents/{who}` | agents as [`ProcessView`](crate::types::ProcessView) |
//! | `POST agents` with [`words::Spawn`] | [`words::Spawned`] |
//! | `GET agents/{who}/ending` | [`words::Ended`], at once or within [`words::POLL`] |
//! | `GET agents/{who}/rows/{from}` | [`words::Rows`] of its chain |
//! | `POST agents/{who}/pages` | [`words::PagesKept`]: its pages are in the store |
//! | `POST agents/{who}/pause`, `resume`, `renice`, `end`, `mail` | [`words::Done`] |
//! | `GET quota/{scope}`, `POST quota/{scope}` with [`words::Change`] | [`words::Quota`] |
//! | `GET frame` | [`words::Frame`]: all that `top` shows |
//!
//! What goes wrong is a [`words::Problem`]. One daemon serves a store: whoever holds the lock file
//! beside it ([`address`]) does.

pub mod address;
pub mod client;
pub mod daemon;
mod error;
mod find;
mod quota;
mod routes;
pub mod words;

pub use error::ApiError;
