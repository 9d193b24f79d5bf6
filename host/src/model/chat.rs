//! The OpenAI Chat Completions format and its many dialects: a request as JSON, a stream of chunks
//! as a reply, embeddings. Pure; knows nothing of connections, keys or prices. Where services
//! differ in what they take, the difference is a [`super::catalogue::Quirks`]; where they differ in
//! what they send, all of it is read.

mod body;
mod embeddings;
mod stream;

pub use body::body;
pub use embeddings::{TEXTS_MAX, embeddings_body, read_embeddings};
pub use stream::Stream;
