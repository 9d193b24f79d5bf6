//! What a program may do beyond computing: grants, the gate, and one module a capability.
//!
//! The life of an effect: a request is checked against an [`authority::Authority`], the verdict
//! is journaled, the effect runs with its [`gate::Permit`], the outcome is journaled. Nothing
//! here knows WASI or wasmtime.

pub mod authority;
pub mod files;
pub mod gate;
pub mod grant;
pub mod keyvalue;
pub mod names;
pub mod network;
pub mod secrets;
pub mod tools;
