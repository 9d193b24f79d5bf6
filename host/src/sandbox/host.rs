//! What guests import. Each file turns WIT values into a request and back; it decides nothing.

pub mod agent;
pub mod bindings;
pub mod call;
pub mod clock;
pub mod config;
mod doze;
pub mod filesystem;
pub mod http;
pub mod keyvalue;
pub mod link;
pub mod network;
pub mod open_files;
pub mod random;
pub mod sockets;
pub mod stdio;
