//! The layer as a whole: recorded and made-up streams, requests as JSON, a local server that does
//! everything wrong.

mod bodies;
mod calls;
mod embeddings;
mod faults;
mod resolve;
mod scripts;
mod server;
mod streams;
