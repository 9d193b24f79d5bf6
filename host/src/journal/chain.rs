//! One chain: seals rows under a short lock and hands them to the queue in that order.

use super::queue::Queue;
use super::seal::seal;
use super::{Body, Class, Closing, History, Journal, JournalError, Opening, Row, RowKind};
use crate::storage::{ChainId, ChainKey, Digest, NewChain, SealedRow, Texts};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a row costs in the queue besides its texts, in bytes.
pub(super) const ROW_OVERHEAD: usize = size_of::<SealedRow>();

/// The place of a row in its chain, dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// One chain of rows. Cheap to clone; clones append to the same chain.
#[derive(Clone, Debug)]
pub struct Chain {
    journal: Journal,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    key: Arc<ChainKey>,
    tip: Mutex<Tip>,
}

/// The end of the chain.
#[derive(Debug)]
pub(super) struct Tip {
    next: u64,
    hash: Digest,
    closed: bool,
    /// Memory for the encoding, reused from row to row.
    scratch: Vec<u8>,
}

impl Chain {
    /// Opens a chain: seals and queues its row 0.
    pub(super) fn open(journal: Journal, opening: &Opening<'_>) -> Self {
        let key = Arc::new(ChainKey::new(ChainId(rand::random())));
        let body = opening.body().to_string();
        let mut texts = Texts::new(opening.plugin, "", "", body.len());
        texts.push_body(&body);
        let mut scratch = Vec::with_capacity(512);
        let mut row = SealedRow {
            chain: Arc::clone(&key),
            seq: 0,
            time_us: journal.now_us(),
            kind: RowKind::Opened.word(),
            verdict: "",
            call: None,
            component: opening.component,
            texts,
            hash: Digest::default(),
        };
        row.hash = seal(&row, &[], &mut scratch);
        let tip = Tip { next: 1, hash: row.hash, closed: false, scratch };
        let chain = NewChain {
            key: Arc::clone(&key),
            opened_us: row.time_us,
            plugin: opening.plugin.to_owned(),
            first: row.hash,
        };
        journal.queue().push_chain(chain, row);
        Self { journal, inner: Arc::new(Inner { key, tip: Mutex::new(tip) }) }
    }

    /// Takes up a chain after the last row of its history.
    pub(super) fn resume(journal: Journal, history: &History) -> Self {
        let record = history.chain();
        let id = <[u8; 16]>::try_from(&record.id[..]).unwrap_or_default();
        let key = Arc::new(ChainKey::new(ChainId(id)));
        key.registered(record.number);
        let tip = Tip {
            next: u64::try_from(history.rows()).unwrap_or(0),
            hash: history.hash(),
            closed: history.is_closed(),
            scratch: Vec::with_capacity(512),
        };
        Self { journal, inner: Arc::new(Inner { key, tip: Mutex::new(tip) }) }
    }

    /// How many rows the chain has, those on their way too.
    pub fn rows(&self) -> Seq {
        Seq(self.tip().next)
    }

    /// The journal it is of.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(super) fn tip(&self) -> MutexGuard<'_, Tip> {
        self.inner.tip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain's random name.
    pub fn id(&self) -> ChainId {
        self.inner.key.id
    }

    /// Appends a row: seals it, queues it, and waits as its class says. Returns its place.
    ///
    /// Dropping the future while it waits for room leaves no row; while it waits for a commit, the
    /// row is queued all the same. Fails with `Write` when the store does (then no effect may
    /// follow), `Closed`, `ChainClosed`, `RowTooLarge` or `Body`.
    pub async fn append(&self, row: Row<'_>, class: Class) -> Result<Seq, JournalError> {
        let texts = row.texts(self.journal.row_bytes_max())?;
        self.append_texts(&row, texts, class).await
    }

    /// Appends the last row. Fails as [`Chain::append`] does.
    pub async fn close(&self, closing: Closing<'_>, class: Class) -> Result<Seq, JournalError> {
        let body = closing.body();
        self.append(Row { body: Body::Value(&body), ..Row::new(RowKind::Closed) }, class).await
    }

    async fn append_texts(
        &self,
        row: &Row<'_>,
        texts: Texts,
        class: Class,
    ) -> Result<Seq, JournalError> {
        let queue: &Queue = self.journal.queue();
        let room = queue.room(texts.bytes() + ROW_OVERHEAD).await?;
        let (seq, position) = {
            let mut tip = self.tip();
            if tip.closed {
                return Err(JournalError::ChainClosed(self.id()));
            }
            let sealed = tip.seal(self, row, texts);
            let seq = Seq(tip.next - 1);
            (seq, queue.push(sealed, room, class)?)
        };
        queue.wait(position, class).await?;
        Ok(seq)
    }
}

impl Tip {
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn seal(&mut self, chain: &Chain, row: &Row<'_>, texts: Texts) -> SealedRow {
        let mut sealed = SealedRow {
            chain: Arc::clone(&chain.inner.key),
            seq: i64::try_from(self.next).unwrap_or(i64::MAX),
            time_us: chain.journal.now_us(),
            kind: row.kind.word(),
            verdict: row.verdict.map_or("", super::Verdict::word),
            call: row.call,
            component: row.component,
            texts,
            hash: Digest::default(),
        };
        sealed.hash = seal(&sealed, &self.hash.0, &mut self.scratch);
        self.hash = sealed.hash;
        self.next += 1;
        self.closed = row.kind == RowKind::Closed;
        sealed
    }
}
