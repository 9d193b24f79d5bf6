//! The context pager: lossless virtual memory for a model's window. Pure: no I/O, no clock, no
//! async; storage is given to it as data, so a day can be simulated in a second.
//!
//! It knows pages, the layout of a prompt, what to evict and what to recall. It knows nothing of
//! providers, wire formats, files, SQL or agents: a page's content is words and opaque bytes.
//!
//! # Protocol of one agent
//! 1. [`Context::new`] with the budget; the head (system, task) is appended first. A head that does
//!    not fit is refused with the number that would do.
//! 2. [`NewPage::measure`] counts and hashes; [`Context::append`] takes the page into the log.
//! 3. Before each model call: [`Context::plan`] says what must leave, if anything. The caller
//!    journals the [`Eviction`] and hands it to [`Context::apply`]; both are deterministic, and an
//!    eviction that was journaled but not applied is applied again without harm.
//! 4. [`Context::render`] gives the ordered blocks and the breakpoints; [`Context::sent`] says that
//!    the call went out, so that what was new then may leave later.
//! 5. [`Context::snapshot`] and [`Context::restore`] carry the layout over a restart, a fork or a
//!    move: the same blocks come out, byte for byte, stubs included.
//!
//! Nothing is lost: an evicted page keeps its number and its hash, a stub names it in the prompt,
//! and [`recall`] ranks all pages, resident or not.

pub mod context;
mod error;
pub mod evict;
pub mod layout;
pub mod page;
pub mod policy;
pub mod recall;
pub mod record;
mod signature;
pub mod simulate;
mod split;
pub mod stub;
pub mod tokens;
mod words;

pub use self::context::{
    Appended, Budget, Content, Context, Entry, LOG_TOKENS_MIN, LOW_MARK, Snapshot, Usage,
};
pub use self::error::PagerError;
pub use self::evict::Eviction;
pub use self::layout::{Block, Body, Rendered, Role, TailBlock};
pub use self::page::{ContentHash, Kind, Measured, NewPage, Page, PageId, Part, Relation};
pub use self::record::{Figures, Kept, Layout, State};
pub use self::signature::Signature;
pub use self::tokens::{Chars4, Count, Factor, Tokenizer};
