//! One chain read from its first row to its last, each seal checked on the way, so that the chain
//! can be taken up again at its end.

use super::seal::expected;
use super::together::damaged;
use super::{JournalError, RowKind};
use crate::storage::{
    ChainRange, ChainRecord, Digest, PAGE_ROWS_MAX, RowRange, Storage, StoredRow,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// The rows of one chain, in order.
pub struct History {
    store: Arc<dyn Storage>,
    chain: ChainRecord,
    next: i64,
    hash: Digest,
    closed: bool,
    page: VecDeque<StoredRow>,
    scratch: Vec<u8>,
}

impl History {
    /// Of the chain with this id.
    ///
    /// # Errors
    /// When the store cannot be read or has no such chain.
    pub async fn of(store: Arc<dyn Storage>, id: [u8; 16]) -> Result<Self, JournalError> {
        let found = store.chains(ChainRange::Ids(id, id), 1).await?.into_iter().next();
        let hex = || crate::storage::ChainId(id).to_string();
        let chain = found.ok_or_else(|| JournalError::NoChain(hex()))?;
        Ok(Self {
            store,
            chain,
            next: 0,
            hash: Digest::default(),
            closed: false,
            page: VecDeque::new(),
            scratch: Vec::with_capacity(512),
        })
    }

    /// The next row; none at the end.
    ///
    /// # Errors
    /// When the store cannot be read, or a row is not the one that was written there.
    pub async fn next(&mut self) -> Result<Option<StoredRow>, JournalError> {
        if self.page.is_empty() {
            let number = self.chain.number;
            let range = RowRange { from: (number, self.next), until_chain: number };
            self.page = self.store.rows(range, PAGE_ROWS_MAX).await?.into();
        }
        let Some(row) = self.page.pop_front() else { return Ok(None) };
        let previous: &[u8] = if self.next == 0 { &[] } else { &self.hash.0 };
        let seal = expected(&row, &self.chain.id, previous, &mut self.scratch);
        let first = self.next == 0 && self.chain.first != seal.0;
        if row.seq != self.next || row.hash != seal.0 || first {
            let (number, wanted) = (self.chain.number, self.next);
            let what = format!("row {wanted} of chain {number} is not the one that was written");
            return Err(damaged(&*self.store, &what));
        }
        self.hash = seal;
        self.next += 1;
        self.closed = row.kind == RowKind::Closed.word();
        Ok(Some(row))
    }

    /// The chain.
    pub fn chain(&self) -> &ChainRecord {
        &self.chain
    }

    /// How many rows were read.
    pub fn rows(&self) -> i64 {
        self.next
    }

    /// The seal of the last row that was read.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// Whether the last row that was read is the chain's closing one.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}
