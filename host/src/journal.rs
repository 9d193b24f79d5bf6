//! The journal: recovery, replay and audit in one append-only log of hash-chained rows.
//!
//! Knows chains, seals and order; knows nothing of gates, agents or what an effect is. Where the
//! rows are kept is the storage layer's business.
//!
//! # Protocol
//! A caller appends a row *before* the effect that the row is about. [`Chain::append`] seals the
//! row in its chain and hands it to the one writer of the journal; the caller waits only as long as
//! the row's [`Class`] says. All chains share the queue, so a commit carries every earlier row of
//! the journal, and a sync makes all of them durable. After the first failed write nothing can be
//! appended any more: what cannot be journaled does not happen.
//!
//! # What the chain proves
//! Each row's hash covers its fields and the row before; each chain's registration covers the one
//! before. So a changed, removed, swapped, doubled or inserted row, and a chain removed from the
//! middle, is found ([`verify`]). Whoever can write the store can also cut off its end, or compute
//! everything anew: both are found only against a head that was kept elsewhere ([`write_heads`],
//! [`verify_against`]), or signed and carried away ([`sign_head`], [`verify_signed`]). A key on the
//! same machine signs for whoever rules that machine: what a signed head proves is what was there
//! when it was carried away, never that it was true.

mod anchor;
mod chain;
mod copy;
mod error;
mod export;
mod heads;
mod history;
mod lines;
mod list;
mod queue;
mod row;
mod seal;
mod together;
mod verify;

#[cfg(test)]
mod tests;

pub use crate::storage::{ChainId, Digest, PackedBody};
pub use anchor::{
    Proof, PublicKey, SIGNED_HEADS_MAX, SignedHead, SigningKey, prove, read_signed_heads, seed_at,
    sign_head,
};
pub use chain::{Chain, Seq};
pub use copy::{Copied, CopyError, carry, copy};
pub use error::JournalError;
pub use export::{Exported, export, verify_export, verify_export_proof, verify_export_signed};
pub use heads::write_heads;
pub use history::History;
pub use list::{ChainState, ChainSummary, chain_rows, find_chain, list};
pub use row::{Body, Class, Closing, Opening, Row, RowKind, Verdict};
pub use together::{Group, read_body};
pub use verify::{Problem, Report, Verifier, verify, verify_against, verify_chain, verify_signed};

use crate::storage::{Batch, Storage, StorageError};
use queue::Queue;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The size of the queue that journals have by default, in bytes of rows not yet committed.
pub const QUEUE_BYTES_MAX: usize = 16 << 20;
/// The largest row by default, in bytes of its texts.
pub const ROW_BYTES_MAX: usize = 1 << 20;
/// How long rows that nobody waits for are collected by default. tokio's timers tick every
/// millisecond, so it is 1 to 2 ms.
pub const LINGER: Duration = Duration::from_millis(1);

/// How a journal works.
#[derive(Clone)]
pub struct JournalOptions {
    /// How long rows that nobody waits for are collected into one commit.
    pub linger: Duration,
    /// How many bytes of rows may wait to be committed; then appends wait.
    pub queue_bytes_max: usize,
    /// The largest row, in bytes of its texts.
    pub row_bytes_max: usize,
    /// The time, in microseconds since the Unix epoch.
    pub clock_us: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            linger: LINGER,
            queue_bytes_max: QUEUE_BYTES_MAX,
            row_bytes_max: ROW_BYTES_MAX,
            clock_us: Arc::new(wall_clock_us),
        }
    }
}

impl fmt::Debug for JournalOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalOptions")
            .field("linger", &self.linger)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .field("row_bytes_max", &self.row_bytes_max)
            .finish_non_exhaustive()
    }
}

fn wall_clock_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The journal. Cheap to clone.
///
/// Call [`Journal::close`] at the end. When the last clone and the last chain are dropped instead,
/// the writer still commits what is queued, as long as its runtime lives; if the runtime ends too,
/// rows of class `Queued` of the last few milliseconds are lost.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Handle>);

/// Ends the writer when the last clone is dropped.
#[derive(Debug)]
struct Handle {
    queue: Arc<Queue>,
    options: JournalOptions,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Journal {
    /// Starts the writer. Must be called in a tokio runtime with timers. Reads nothing of the
    /// store, so today it cannot fail.
    pub async fn open(
        store: Arc<dyn Storage>,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        let queue = Arc::new(Queue::new(options.queue_bytes_max));
        let writing = Writing { queue: Arc::clone(&queue), failure: None };
        tokio::spawn(write_all(writing, store, options.linger));
        Ok(Self(Arc::new(Handle { queue, options })))
    }

    /// Opens a new chain with a random id. Its row 0 is queued; a failure to write it shows at the
    /// chain's first append.
    pub fn chain(&self, opening: Opening<'_>) -> Chain {
        Chain::open(self.clone(), &opening)
    }

    /// Takes up a chain at its end, as its [`History`] has it after its last row.
    pub fn resume(&self, history: &History) -> Chain {
        Chain::resume(self.clone(), history)
    }

    /// Waits until everything appended before is safe in this class. Fails with `Write` or
    /// `Closed` when it is not and will not be.
    pub async fn flush(&self, class: Class) -> Result<(), JournalError> {
        if class == Class::Queued {
            return self.queue().check();
        }
        let position = self.queue().demand(class);
        self.queue().wait(position, class).await
    }

    /// Takes no more rows, writes what is queued, and ends the writer. Fails with `Write` if
    /// something could not be written. The store stays open.
    pub async fn close(self) -> Result<(), JournalError> {
        self.queue().close();
        self.queue().closed().await
    }

    fn queue(&self) -> &Queue {
        &self.0.queue
    }

    fn row_bytes_max(&self) -> usize {
        self.0.options.row_bytes_max
    }

    fn now_us(&self) -> i64 {
        (self.0.options.clock_us)()
    }
}

/// The writer's hold on the queue. Dropped with the task, in whatever way that ends (also when its
/// runtime ends before the task has run at all), it tells everyone who waits.
struct Writing {
    queue: Arc<Queue>,
    failure: Option<StorageError>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.queue.end(self.failure.take());
    }
}

/// The one writer: commits what is queued, in order, until the queue is closed or a write fails.
async fn write_all(mut writing: Writing, store: Arc<dyn Storage>, linger: Duration) {
    let mut batch = Batch::default();
    while let Some(work) = writing.queue.next(&mut batch, linger).await {
        if let Err(error) = store.append(&batch, work.durability).await {
            writing.failure = Some(error);
            return;
        }
        writing.queue.done(&work);
        batch.clear();
    }
}
