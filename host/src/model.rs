//! The processor: language models behind one interface, whoever serves them.
//!
//! Knows providers, wire formats, prices, limits and time-outs. Knows nothing of agents' state,
//! grants, quotas, the journal or wasmtime: the kernel decides who may call and when.
//!
//! # Protocol
//! ```ignore
//! let models = Models::new(options, environment)?;            // once; fails on a bad own provider
//! let endpoint = models.resolve(Some("anthropic/claude-sonnet-5-5"))?;   // cheap; clone it freely
//! let demand = endpoint.demand(&request);                     // tokens in (estimated) and out
//! match endpoint.admit(demand) {                              // never waits, never queues
//!     Admission::After(wait) => …,                            // keep the place in the queue
//!     Admission::Now(place) => {
//!         let mut spent = Spent::of(demand);                  // what a cut call is charged
//!         let sink = &mut |delta: Delta<'_>| spent.note(&delta);
//!         let done = endpoint.infer(&request, place, sink).await?;
//!     }
//! }
//! ```
//! A call is cancelled by dropping its future: the connection closes, the place is settled at what
//! had streamed. [`Endpoint::infer`] retries only what has no effect yet: connect errors and 408,
//! 429, 500, 502, 503, 504, 529, and never after the first streamed token.
//!
//! # Secrets
//! A key is read from the environment when an endpoint is resolved, lives in a
//! [`secrecy::SecretString`], and is written in one place, a request header marked as sensitive. It
//! is in no error, `Debug`, log or URL; text of a remote server is scrubbed of it.

pub mod anthropic;
pub mod breaker;
pub mod catalogue;
pub mod chat;
pub mod completion;
mod encode;
pub mod endpoint;
pub mod error;
pub mod estimate;
mod exchange;
mod failure;
pub mod models;
pub mod pacing;
pub mod place;
pub mod reply;
pub mod request;
mod script;
pub mod sse;

pub use completion::{Completion, Delta, Demand, Spent, Stop, TokenUsage};
pub use encode::{Refused, output_tokens_max};
pub use endpoint::{Caching, Embeddings, Endpoint};
pub use error::ModelError;
pub use exchange::Timeouts;
pub use models::{Environment, ModelOptions, Models};
pub use place::{Admission, Place};
pub use request::{Breakpoint, Caller, Message, Part, Request, Role, ToolChoice, ToolOffer};

#[cfg(test)]
mod tests;
