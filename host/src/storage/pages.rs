//! Contexts of agents and their pages: records by number, content by its hash. What a record or a
//! content says is the pager's business.

use super::{Answer, ChainId, Digest};

/// Pages of one answer of [`Pages::read`] at most; about [`super::PAGE_BYTES_MAX`] ends one too.
pub const PAGES_MAX: usize = 512;
/// Contexts of one answer of [`Pages::contexts`] at most.
pub const CONTEXTS_MAX: usize = 256;
/// Rows of one statement: far below the bounds of both databases on bound values.
pub(super) const ROWS_AT_ONCE: usize = 100;

/// A context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRecord {
    /// Whose: the agent's chain, or random where it is no agent's.
    pub id: ChainId,
    /// The agent's number; 0 where it is no agent's.
    pub pid: u64,
    /// What people call it.
    pub name: String,
    /// When it was last written, in microseconds since the Unix epoch.
    pub updated_us: i64,
    /// JSON: what changes with every call.
    pub state: String,
    /// JSON: the order of the window; in a batch, empty leaves it as it is.
    pub layout: String,
}

/// A page without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRecord {
    /// Its place in the log, from 0.
    pub number: u64,
    /// The name of its content.
    pub hash: Digest,
    /// JSON.
    pub record: String,
}

/// A page with its content, where the store has that.
pub type StoredPage = (PageRecord, Option<Vec<u8>>);

/// What one transaction brings. Writing the same again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageBatch {
    /// The context; made where it is not there.
    pub context: ContextRecord,
    /// Pages that are new, or whose record changed: each number once.
    pub pages: Vec<PageRecord>,
    /// Contents by their hashes; those that are there stay as they are.
    pub contents: Vec<(Digest, Vec<u8>)>,
    /// How many pages the context has now: those from this number on are dropped, as an agent
    /// that went back has fewer. None drops none.
    pub pages_end: Option<u64>,
}

/// Which contexts.
#[derive(Clone, Copy, Debug)]
pub enum Contexts<'a> {
    /// Of this name, the newest first.
    Named(&'a str),
    /// Of the agent with this number, the newest first.
    Of(u64),
    /// All after this id, in the order of ids; none from the start.
    After(Option<ChainId>),
}

/// The pages of a store. Once a batch is answered it survives `kill -9`.
pub trait Pages: Send + Sync {
    /// Writes a batch as one transaction.
    fn put<'a>(&'a self, batch: &'a PageBatch) -> Answer<'a, ()>;

    /// At most [`CONTEXTS_MAX`] contexts.
    fn contexts<'a>(&'a self, which: Contexts<'a>) -> Answer<'a, Vec<ContextRecord>>;

    /// Pages of a context from a number on, in order. Empty only at the end.
    fn read(&self, context: ChainId, from: u64) -> Answer<'_, Vec<StoredPage>>;

    /// One content.
    fn content(&self, hash: Digest) -> Answer<'_, Option<Vec<u8>>>;
}

/// A number for SQL.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A hash as it stands in a store: of another length it is none that anything has.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest(bytes.try_into().unwrap_or_default())
}

/// An id as it stands in a store.
pub(super) fn id(bytes: &[u8]) -> ChainId {
    ChainId(bytes.try_into().unwrap_or_default())
}
