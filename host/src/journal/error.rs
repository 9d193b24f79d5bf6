//! What can go wrong in the journal: one variant for each different reaction.

use crate::storage::{ChainId, StorageError};
use std::sync::Arc;

/// A failure of the journal. After any of them the row at hand is not to be relied on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A write failed. This append and every later one fails: what cannot be journaled does not
    /// happen.
    #[error("the journal cannot be written: {0}")]
    Write(Arc<StorageError>),
    /// The journal was closed, or its runtime is gone.
    #[error("the journal is closed")]
    Closed,
    /// The chain has its `closed` row; nothing follows it.
    #[error("chain {0} is closed")]
    ChainClosed(ChainId),
    /// A row is over its limit.
    #[error("a journal row of {bytes} bytes is over the limit of {limit} bytes")]
    RowTooLarge {
        /// Its texts' size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A body could not be written as JSON.
    #[error("a journal body is not JSON: {0}")]
    Body(#[from] serde_json::Error),
    /// Reading the store failed.
    #[error(transparent)]
    Read(#[from] StorageError),
    /// No chain has this id.
    #[error("no chain starts with `{0}`")]
    NoChain(String),
    /// Several chains start with this prefix.
    #[error("`{prefix}` is the start of several chains: {candidates}")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// Some of the ids.
        candidates: String,
    },
    /// A head file or an export is not what it should be.
    #[error("line {line} of the {file}: {what}")]
    Input {
        /// `head file` or `export`.
        file: &'static str,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The output could not be written, or the input not be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
