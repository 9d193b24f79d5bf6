//! The Anthropic Messages format (`anthropic-version: 2023-06-01`): a request as JSON, a stream of
//! events as a reply. Pure; knows nothing of connections, keys or prices.

mod body;
mod stream;

pub use body::body;
pub use stream::Stream;
