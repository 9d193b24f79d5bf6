//! The bounded queue between the chains and the one writer, and the news of how far it has come.
//!
//! # Protocol
//! A position counts everything ever pushed. A push happens in the order of the chain it seals
//! (under that chain's lock). The writer takes all that is there, commits it, and announces the
//! position it has reached; a waiter waits for the announcement of its own position. When nobody
//! waits, the writer lingers so that a commit carries many rows; while nothing is pushed it sleeps
//! without a timer.

use super::{Class, JournalError};
use crate::storage::{
    Batch, Durability, NewChain, PackedBody, ProcessChange, SealedRow, StorageError,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

/// How far the writer has come, in positions.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    written: u64,
    synced: u64,
    end: End,
}

/// Whether the writer still works.
#[derive(Clone, Debug, Default)]
enum End {
    #[default]
    Working,
    Closed,
    Failed(Arc<StorageError>),
}

impl Progress {
    /// How far the rows of this class are safe.
    fn reached(&self, class: Class) -> u64 {
        match class {
            Class::Queued => u64::MAX,
            Class::Written => self.written,
            Class::Synced => self.synced,
        }
    }
}

/// What the writer is doing, so that a push wakes it only when that helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// Waiting for anything at all.
    Idle,
    /// Waiting for more rows; only a waiter (or a filling queue) cuts that short.
    Lingering,
    /// Awake: it looks at the queue again before it waits.
    Busy,
}

#[derive(Debug)]
struct State {
    batch: Batch,
    /// The room that the rows of `batch` take.
    bytes: usize,
    pushed: u64,
    /// Up to where somebody waits for a commit, and for a synced one.
    wanted_written: u64,
    wanted_synced: u64,
    writer: Writer,
    closing: bool,
}

/// The queue. Shared by the journal, its chains and the writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    room: Semaphore,
    bytes_max: usize,
    wake: Notify,
    progress: watch::Sender<Progress>,
}

/// One transaction's worth of work.
pub(super) struct Work {
    pub(super) durability: Durability,
    position: u64,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        let state = State {
            batch: Batch::default(),
            bytes: 0,
            pushed: 0,
            wanted_written: 0,
            wanted_synced: 0,
            writer: Writer::Busy,
            closing: false,
        };
        Self {
            state: Mutex::new(state),
            room: Semaphore::new(bytes_max),
            bytes_max,
            wake: Notify::new(),
            progress: watch::Sender::new(Progress::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a row of this many bytes, waited for when the queue is full. A row larger than the
    /// whole queue takes all of it.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room<'_>, JournalError> {
        let bytes = bytes.min(self.bytes_max);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let permit = match self.room.try_acquire_many(permits) {
            Ok(permit) => permit,
            Err(_) => match self.room.acquire_many(permits).await {
                Ok(permit) => permit,
                Err(_) => return Err(self.ended()),
            },
        };
        Ok(Room { permit, bytes })
    }

    /// Queues a row. Returns its position, to wait for. Fails once the journal has ended.
    pub(super) fn push(
        &self,
        row: SealedRow,
        room: Room<'_>,
        class: Class,
    ) -> Result<u64, JournalError> {
        let mut state = self.lock();
        if state.closing {
            drop(state);
            return Err(self.ended());
        }
        room.permit.forget();
        state.bytes += room.bytes;
        state.batch.rows.push(row);
        Ok(self.pushed(state, class))
    }

    /// Queues rows that belong together, with their bodies: no commit parts them.
    pub(super) fn push_group(
        &self,
        rows: Vec<SealedRow>,
        bodies: Vec<PackedBody>,
        processes: Vec<ProcessChange>,
        room: Room<'_>,
        class: Class,
    ) -> Result<u64, JournalError> {
        let mut state = self.lock();
        if state.closing {
            drop(state);
            return Err(self.ended());
        }
        room.permit.forget();
        state.bytes += room.bytes;
        state.batch.rows.extend(rows);
        state.batch.bodies.extend(bodies);
        state.batch.processes.extend(processes);
        Ok(self.pushed(state, class))
    }

    /// Queues a new chain with its row 0. Never waits, so it needs no room: chains are bounded by
    /// the rows that follow.
    pub(super) fn push_chain(&self, chain: NewChain, row: SealedRow) {
        let mut state = self.lock();
        if !state.closing {
            state.batch.opened.push(chain);
            state.batch.rows.push(row);
            self.pushed(state, Class::Queued);
        }
    }

    fn pushed(&self, mut state: MutexGuard<'_, State>, class: Class) -> u64 {
        state.pushed += 1;
        let position = state.pushed;
        state.want(position, class);
        let wake = match state.writer {
            Writer::Idle => true,
            Writer::Lingering => class != Class::Queued || state.bytes > self.bytes_max / 2,
            Writer::Busy => false,
        };
        self.wake_if(wake, state);
        position
    }

    /// Wakes the writer, once: a second notice would stay and cut the next linger short.
    fn wake_if(&self, wake: bool, mut state: MutexGuard<'_, State>) {
        if wake {
            state.writer = Writer::Busy;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// The position of everything pushed so far, and the wish that it be safe.
    pub(super) fn demand(&self, class: Class) -> u64 {
        let mut state = self.lock();
        let position = state.pushed;
        state.want(position, class);
        let wake = state.writer != Writer::Busy;
        self.wake_if(wake, state);
        position
    }

    /// Waits until the position is safe in this class.
    pub(super) async fn wait(&self, position: u64, class: Class) -> Result<(), JournalError> {
        if class == Class::Queued {
            return Ok(());
        }
        let mut news = self.progress.subscribe();
        let done = |progress: &Progress| {
            progress.reached(class) >= position || !matches!(progress.end, End::Working)
        };
        match news.wait_for(done).await {
            Ok(progress) if progress.reached(class) >= position => Ok(()),
            _ => Err(self.ended()),
        }
    }

    /// Why nothing can be appended.
    pub(super) fn ended(&self) -> JournalError {
        match &self.progress.borrow().end {
            End::Failed(reason) => JournalError::Write(Arc::clone(reason)),
            End::Working | End::Closed => JournalError::Closed,
        }
    }

    /// Fails if the journal has ended.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        if self.lock().closing { Err(self.ended()) } else { Ok(()) }
    }

    /// Takes no more rows; the writer ends when the rest is written.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.room.close();
        self.wake.notify_one();
    }

    /// Waits until the writer has ended.
    pub(super) async fn closed(&self) -> Result<(), JournalError> {
        let mut news = self.progress.subscribe();
        let ended = |progress: &Progress| !matches!(progress.end, End::Working);
        let _ = news.wait_for(ended).await;
        match self.ended() {
            JournalError::Closed => Ok(()),
            error => Err(error),
        }
    }

    /// The writer's side: waits for work and moves it into `batch`. `None` when all is done.
    pub(super) async fn next(&self, batch: &mut Batch, linger: Duration) -> Option<Work> {
        let mut lingered = linger.is_zero();
        loop {
            let lingering = {
                let mut state = self.lock();
                if let Some(work) = self.take(&mut state, batch, lingered) {
                    return Some(work);
                }
                if state.closing {
                    return None;
                }
                let lingering = !state.batch.is_empty();
                state.writer = if lingering { Writer::Lingering } else { Writer::Idle };
                lingering
            };
            if lingering {
                let _ = tokio::time::timeout(linger, self.wake.notified()).await;
                lingered = true;
            } else {
                self.wake.notified().await;
            }
        }
    }

    /// All that is queued, when it is time to write it.
    fn take(&self, state: &mut State, batch: &mut Batch, lingered: bool) -> Option<Work> {
        let progress = self.progress.borrow();
        let sync = state.wanted_synced > progress.synced;
        let waited_for = sync || state.wanted_written > progress.written;
        let full = state.bytes > self.bytes_max / 2;
        let ripe = !state.batch.is_empty() && (lingered || waited_for || full || state.closing);
        if !ripe && !sync {
            return None;
        }
        state.writer = Writer::Busy;
        std::mem::swap(&mut state.batch, batch);
        let durability = if sync { Durability::Synced } else { Durability::Written };
        let bytes = std::mem::take(&mut state.bytes);
        Some(Work { durability, position: state.pushed, bytes })
    }

    /// The work is committed.
    pub(super) fn done(&self, work: &Work) {
        self.room.add_permits(work.bytes);
        self.progress.send_modify(|progress| {
            progress.written = work.position;
            if work.durability == Durability::Synced {
                progress.synced = work.position;
            }
        });
    }

    /// The writer has ended: with a reason, nothing can be appended ever again.
    pub(super) fn end(&self, failure: Option<StorageError>) {
        self.progress.send_modify(|progress| {
            progress.end = match (failure, &progress.end) {
                (_, End::Failed(first)) => End::Failed(Arc::clone(first)),
                (Some(error), _) => End::Failed(Arc::new(error)),
                (None, _) => End::Closed,
            };
        });
        let mut state = self.lock();
        state.closing = true;
        state.batch = Batch::default();
        drop(state);
        self.room.close();
    }
}

impl State {
    fn want(&mut self, position: u64, class: Class) {
        match class {
            Class::Queued => {}
            Class::Written => self.wanted_written = self.wanted_written.max(position),
            Class::Synced => self.wanted_synced = self.wanted_synced.max(position),
        }
    }
}

/// Room in the queue, given back when the row is not pushed after all.
pub(super) struct Room<'a> {
    permit: SemaphorePermit<'a>,
    bytes: usize,
}
