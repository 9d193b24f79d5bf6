//! The processor: language models behind one interface, whoever serves them.
//!
//! Knows providers, wire formats, prices, limits and time-outs. Knows nothing of agents' state,
//! grants, quotas, the journal or wasmtime: the kernel decides who may call and when.
//!
//! # Protocol
//! ```ignore
//! let models = Models::new(options, environment)?;            // once; fails on a bad own provider
//! let endpoint = models.resolve(Some("anthropic/claude-sonnet-4-5"))?;   // cheap; clone it freely
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
//! ```ignore
//! // What comes next, so that the kernel can be written against it:
//! pub type Environment = Arc<dyn Fn(&str) -> Option<SecretString> + Send + Sync>;
//! pub struct ModelOptions { providers: BTreeMap<String, ProviderRow>, // over the built-in table
//!     timeouts: Timeouts { connect, first_byte, idle, total }, attempts_max: u32,
//!     response_bytes_max: u64, roots: Vec<CertificateDer> }            // all have defaults
//! impl Models {                                                       // Clone, Send, Sync
//!     pub fn new(options: ModelOptions, environment: Environment) -> Result<Self, ModelError>;
//!     pub fn resolve(&self, name: Option<&str>) -> Result<Endpoint, ModelError>;
//! }   // `provider/model`, `provider` (its default model), `script:PATH`, or none: the first
//!     // provider of the table whose key variable is set
//! impl Endpoint {                                                     // Clone, Send, Sync
//!     pub fn name(&self) -> &str;             // `provider/model`
//!     pub fn provider(&self) -> &str;         // slots of the scheduler are per provider
//!     pub fn window(&self) -> u64;            // tokens, prompt and reply together
//!     pub fn output_max(&self) -> u32;        // tokens of a reply at most
//!     pub fn price(&self, usage: &TokenUsage) -> Option<u64>;         // microdollars
//!     pub fn estimate_tokens(&self, request: &Request) -> u64;        // corrected as usage comes
//!     pub fn demand(&self, request: &Request) -> Demand;              // { input, output } tokens
//!     pub fn admit(&self, demand: Demand) -> Admission;               // Now(Place) | After(wait)
//!     pub async fn infer(&self, request: &Request, place: Place,
//!         sink: &mut (dyn FnMut(Delta<'_>) + Send)) -> Result<Completion, ModelError>;
//!     pub async fn embed(&self, texts: &[String]) -> Result<Embeddings, ModelError>;
//! }   // Embeddings { space: String, vectors: Vec<Vec<f32>>, usage: TokenUsage }
//! ```
//!
//! # Secrets
//! A key is read from the environment when an endpoint is resolved, lives in a
//! [`secrecy::SecretString`], and is written in one place, a request header marked as sensitive. It
//! is in no error, `Debug`, log or URL; text of a remote server is scrubbed of it.

pub mod completion;
pub mod draft;
pub mod error;
pub mod request;

pub use completion::{Completion, Delta, Demand, Spent, Stop, TokenUsage};
pub use draft::*;
pub use error::ModelError;
pub use request::{Breakpoint, Caller, Message, Part, Request, Role, ToolChoice, ToolOffer};
