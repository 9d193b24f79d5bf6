//! The disk: one transactional store for the journal and for the key-value pairs of plugins.
//!
//! Knows bytes, order and transactions; knows nothing of what a row means, of grants or of agents.
//! [`Storage`] is the whole contract: SQLite implements it (`memory:` is SQLite in memory), and a
//! server database can be a second implementation under the same conformance tests.
//!
//! # Protocol
//! One writer calls [`Storage::append`], one batch at a time; a batch is one transaction. Readers
//! may read beside it and see committed batches only.

mod error;
pub mod keyvalue;
mod record;
pub mod sqlite;

#[cfg(test)]
pub(crate) mod conformance;

pub use error::StorageError;
pub use keyvalue::{Bucket, KeyPage, KeyValue};
pub use record::{
    ChainHead, ChainId, ChainKey, ChainRecord, Digest, Hex, NewChain, NotHex, SealedRow, StoreHead,
    StoreId, StoredRow, Texts, from_hex, link,
};

use futures::future::BoxFuture;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// What a store answers with: boxed, so that stores can be used as `dyn Storage`.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

/// How many rows or chains one page holds at most.
pub const PAGE_ROWS_MAX: usize = 1024;
/// A page ends after the row that takes it over this size, in bytes.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: a file, created with its directory when missing.
    Sqlite(PathBuf),
    /// `memory:`: gone when the store is dropped.
    Memory,
}

impl FromStr for StoreUrl {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Self, StorageError> {
        let refuse = |hint| Err(StorageError::Url { text: text.to_owned(), hint });
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => refuse(" (nothing follows `memory:`)"),
            Some(("sqlite", "")) => refuse(" (the path is missing)"),
            Some(("sqlite", path)) if path.contains('\0') => refuse(" (the path has a zero byte)"),
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("postgres" | "postgresql", _)) => refuse(" (PostgreSQL is not in this version)"),
            _ => refuse(""),
        }
    }
}

impl StoreUrl {
    /// Opens the store, creating or migrating it first when needed. Needs a tokio runtime.
    /// Fails with `Unwritable`, `Corrupt`, `Newer`, `Busy` or `Full`.
    pub async fn open(&self) -> Result<Arc<dyn Storage>, StorageError> {
        Ok(Arc::new(sqlite::SqliteStorage::open(self).await?))
    }
}

/// What an answered [`Storage::append`] promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Committed: survives the end of this process in any way, `kill -9` included.
    Written,
    /// On the disk, with every batch before it: survives a power loss.
    Synced,
}

/// What one transaction brings: chains to register, in order, then rows, in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// A chain is in the batch of its row 0.
    pub opened: Vec<NewChain>,
    /// Each row's chain is registered, or is in `opened`.
    pub rows: Vec<SealedRow>,
}

impl Batch {
    /// Whether it brings nothing.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.rows.is_empty()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.opened.clear();
        self.rows.clear();
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

/// A transactional store. Every method fails with a [`StorageError`] that names the store.
pub trait Storage: KeyValue + Send + Sync {
    /// Where it is, for messages.
    fn name(&self) -> String;

    /// Commits a batch as one transaction: all of it, or nothing when it fails. An empty batch
    /// with [`Durability::Synced`] makes all earlier batches durable.
    fn append<'a>(&'a self, batch: &'a Batch, durability: Durability) -> Answer<'a, ()>;

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

    /// Tidies up and lets go of the store; it answers nothing afterwards. Optional: a store that
    /// is never closed loses nothing, so a short-lived process skips it (closing may sync).
    fn close(&self) -> Answer<'_, ()>;
}
