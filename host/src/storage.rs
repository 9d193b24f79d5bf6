//! The disk: one transactional store for the journal with its bodies, for the index of agents, for
//! the key-value pairs of plugins, for the pages of agents, and for documents that they find again.
//!
//! Knows bytes, order and transactions; knows nothing of what a row means, of grants or of agents.
//! [`Storage`] is the whole contract. SQLite implements it (`memory:` is SQLite in memory), and so
//! does PostgreSQL, where the feature `postgres` is on; both pass the same conformance tests.
//!
//! # Protocol
//! One writer calls [`Storage::append`], one batch at a time; a batch is one transaction. Readers
//! may read beside it and see committed batches only.

mod address;
mod body;
pub mod documents;
mod error;
pub mod keyvalue;
pub mod pages;
#[cfg(feature = "postgres")]
pub mod postgres;
mod process;
mod record;
pub mod sqlite;

#[cfg(test)]
pub(crate) mod conformance;

pub use address::{PostgresUrl, StoreUrl};
pub use body::{BODY_BYTES_MAX, Bodies, BodyError, PackedBody};
pub use documents::{Document, Documents, Hit, Scope, Space};
pub use error::StorageError;
pub use keyvalue::{Bucket, KeyPage, KeyValue, Pair, PairKey};
pub use pages::Pages;
pub use process::{
    NewProcess, PROCESSES_PAGE, ProcessChange, ProcessRange, ProcessRecord, Processes,
};
pub use record::{
    ChainHead, ChainId, ChainKey, ChainRecord, Digest, Hex, NewChain, NotHex, SealedRow, StoreHead,
    StoreId, StoredRow, Texts, from_hex, link,
};

use futures::future::BoxFuture;

/// What a store answers with: boxed, so that stores can be used as `dyn Storage`.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

/// How many rows or chains one page holds at most.
pub const PAGE_ROWS_MAX: usize = 1024;
/// A page ends after the row that takes it over this size, in bytes.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

/// How many findings [`Storage::check`] lists at most.
pub const FINDINGS_MAX: usize = 100;

/// What an answered [`Storage::append`] promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Committed: survives the end of this process in any way, `kill -9` included.
    Written,
    /// On the disk, with every batch before it: survives a power loss.
    Synced,
}

/// What one transaction brings: chains to register, in order, then rows, in order, with the bodies
/// that they name and what they change in the index of agents.
#[derive(Debug, Default)]
pub struct Batch {
    /// A chain is in the batch of its row 0.
    pub opened: Vec<NewChain>,
    /// Each row's chain is registered, or is in `opened`.
    pub rows: Vec<SealedRow>,
    /// What is there already, by its hash, is left as it is.
    pub bodies: Vec<PackedBody>,
    /// In the order of their rows.
    pub processes: Vec<ProcessChange>,
}

impl Batch {
    /// Whether it brings nothing.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty()
            && self.rows.is_empty()
            && self.bodies.is_empty()
            && self.processes.is_empty()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.opened.clear();
        self.rows.clear();
        self.bodies.clear();
        self.processes.clear();
    }
}

/// Which rows to read, in order of (chain, seq).
#[derive(Clone, Copy, Debug)]
pub struct RowRange {
    /// The first (chain number, seq) wanted.
    pub from: (i64, i64),
    /// The last chain number wanted.
    pub until_chain: i64,
}

/// Which chains to read.
#[derive(Clone, Copy, Debug)]
pub enum ChainRange {
    /// With this number or a later one, oldest first.
    From(i64),
    /// Before this number, newest first.
    Before(i64),
    /// With an id between these two, both included.
    Ids([u8; 16], [u8; 16]),
}

/// Does something with a store in a task of its own, and waits for it. Who waits may be a guest,
/// which is not polled while it is paused: it must not hold a lock of the store meanwhile.
///
/// # Panics
/// As the work does.
pub async fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going away, and whoever waits with it.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

/// How many rows of a chain have one kind and verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The word for the kind.
    pub kind: String,
    /// The word for the verdict, or empty.
    pub verdict: String,
    /// How many rows.
    pub rows: i64,
}

/// Versions of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaVersions {
    /// What was found when it was opened; 0 for a store that was created then.
    pub before: i64,
    /// What it has now: the newest this program knows.
    pub now: i64,
}

/// How large a store was and is, in bytes on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Before.
    pub before_bytes: u64,
    /// After.
    pub after_bytes: u64,
}

/// A transactional store. Every method fails with a [`StorageError`] that names the store.
pub trait Storage: KeyValue + Bodies + Processes + Send + Sync {
    /// Where it is, for messages.
    fn name(&self) -> String;

    /// Commits a batch as one transaction: all of it, or nothing when it fails. An empty batch
    /// with [`Durability::Synced`] makes all earlier batches durable.
    fn append<'a>(&'a self, batch: &'a Batch, durability: Durability) -> Answer<'a, ()>;

    /// The contexts of agents and their pages.
    fn pages(&self) -> &dyn Pages;

    /// How far the store has come.
    fn head(&self) -> Answer<'_, StoreHead>;

    /// At most `limit` (and at most [`PAGE_ROWS_MAX`]) chains.
    fn chains(&self, range: ChainRange, limit: usize) -> Answer<'_, Vec<ChainRecord>>;

    /// At most [`PAGE_ROWS_MAX`] heads of the chains from this number on, oldest first.
    fn chain_heads(&self, from: i64) -> Answer<'_, Vec<ChainHead>>;

    /// A page of rows: at most `limit`, [`PAGE_ROWS_MAX`] and about [`PAGE_BYTES_MAX`]. Empty only
    /// when there are no more.
    fn rows(&self, range: RowRange, limit: usize) -> Answer<'_, Vec<StoredRow>>;

    /// The rows of one chain, counted by kind and verdict.
    fn tally(&self, chain: i64) -> Answer<'_, Vec<Tally>>;

    /// The part that finds documents by their words and vectors.
    fn documents(&self) -> &dyn Documents;

    /// Which version of the schema it had when it was opened, and which it has.
    fn schema(&self) -> SchemaVersions;

    /// Gives an empty store the id of another, of which it is to become a copy. Fails with
    /// `Failed` when it has chains.
    fn adopt(&self, id: StoreId) -> Answer<'_, ()>;

    /// Has the database look over itself. Returns what is wrong, a sentence each, at most
    /// [`FINDINGS_MAX`]; what a row says is not looked at (the journal's verification does that).
    fn check(&self) -> Answer<'_, Vec<String>>;

    /// Gives back what removed rows took, and brings the planner's figures up to date. Others may
    /// read and write meanwhile, but may have to wait. Takes as long as it takes: it has no limit.
    fn compact(&self) -> Answer<'_, Compacted>;

    /// Tidies up and lets go of the store; it answers nothing afterwards. Optional: a store that
    /// is never closed loses nothing, so a short-lived process skips it (closing may sync).
    fn close(&self) -> Answer<'_, ()>;
}
