//! PostgreSQL 14 or newer: a schema of its own in a database that exists. Many processes on many
//! machines may use one store at once.
//!
//! One connection writes the journal, in the order it is given; up to [`CONNECTIONS_MAX`] others
//! serve reads and key-value pairs. A connection that fails, or whose user gave up half way, is
//! closed, never used again, and a new one made when one is needed. sqlx's own pool is not used:
//! it hides behind a time-out why a server cannot be reached, and keeps half-read connections.
//!
//! # Writers beside each other
//! Registering a chain locks the one row of `store` and reads the newest chain under that lock, so
//! numbers are dense and each link covers the one before, whoever registers. Rows need no lock:
//! each chain has one writer. The pairs of one identity are locked by its row of `keyvalue_usage`.
//!
//! # Durability
//! `Written` is a commit with `synchronous_commit=off`: the server has it, and writes it to its log
//! within three times `wal_writer_delay` (0.6 s by default); the end of this process loses nothing,
//! the end of the server may. `Synced` is a commit with `synchronous_commit=on`: the log is flushed
//! up to this commit, on a synchronous standby too, and with it every earlier commit of anybody.
//! A server that lost rows in a crash is found out at the next write: it is refused, since later
//! rows would leave a gap in their chain.
//!
//! # A lost connection
//! What was asked is tried again until [`PATIENCE`] is over. A batch whose commit was under way is
//! looked up first by the hash of its last row, so nothing is written twice.

mod append;
mod connect;
mod documents;
mod durable;
mod keyvalue;
mod open;
mod pages;
mod read;
mod upkeep;

#[cfg(test)]
mod tests;

use super::{
    Answer, Batch, ChainHead, ChainRange, ChainRecord, Compacted, Documents, Durability, Pages,
    PostgresUrl, RowRange, SchemaVersions, Storage, StorageError, StoreHead, StoreId, StoredRow,
    Tally,
};
use append::Writer;
use connect::{Lease, Target, Trouble};
use futures::FutureExt;
use sqlx::postgres::PgConnection;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Connections for reads and pairs: PostgreSQL has 100 for everybody by default.
const CONNECTIONS_MAX: usize = 8;
/// How long one try of a statement or transaction may take, so that a dead address is left.
const TRY_TIME: Duration = Duration::from_secs(30);
/// How long something is tried again after its first failure; a server restarts in a few seconds.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pauses between tries: the first, doubled each time, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// A connection that was idle for longer is made anew: somebody between may have forgotten it.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A store in PostgreSQL.
#[derive(Debug)]
pub struct PostgresStorage {
    target: Target,
    writer: tokio::sync::Mutex<Writer>,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    /// Closed with the store.
    permits: Semaphore,
    schema: SchemaVersions,
    patience: Duration,
}

impl PostgresStorage {
    /// Connects, and creates or migrates the schema when needed. Fails with `Unreachable`,
    /// `Corrupt`, `Newer` or `Failed`. Needs a tokio runtime.
    pub async fn open(url: PostgresUrl) -> Result<Self, StorageError> {
        let target = Target::new(url)?;
        let (connection, schema) = open::open(&target).await?;
        Ok(Self {
            target,
            writer: tokio::sync::Mutex::new(Writer::new(connection)),
            idle: Mutex::default(),
            permits: Semaphore::new(CONNECTIONS_MAX),
            schema,
            patience: PATIENCE,
        })
    }

    /// With another patience than [`PATIENCE`].
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A connection of one's own, for one try.
    async fn lease(&self) -> Result<Lease<'_>, Trouble> {
        let permit = self.permits.acquire().await.map_err(|_closed| Trouble::Closed)?;
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
            idle.pop()
        };
        let connection = match idle {
            Some((connection, _)) => connection,
            None => self.target.connect().await?,
        };
        Ok(Lease { store: self, connection, _permit: permit })
    }

    fn keep(&self, connection: PgConnection) {
        if !self.permits.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((connection, Instant::now()));
        }
    }

    fn failed(&self, doing: &'static str, reason: impl ToString) -> StorageError {
        StorageError::Failed { place: self.target.place(), doing, reason: reason.to_string() }
    }

    async fn close_all(&self) -> Result<(), StorageError> {
        self.permits.close();
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *idle)
        };
        drop(idle);
        self.writer.lock().await.close();
        Ok(())
    }
}

/// Counts the tries of something that a lost connection or another's lock may undo.
struct Tries<'a> {
    store: &'a PostgresStorage,
    doing: &'static str,
    since: Option<Instant>,
    pause: Duration,
}

impl<'a> Tries<'a> {
    fn new(store: &'a PostgresStorage, doing: &'static str) -> Self {
        Self { store, doing, since: None, pause: PAUSES.0 }
    }

    /// Waits before the next try; gives the error up when another try would not help, or the
    /// patience is over.
    async fn after(&mut self, trouble: Trouble) -> Result<(), StorageError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if !trouble.is_passing() || since.elapsed() + self.pause > self.store.patience {
            return Err(trouble.explain(&self.store.target, self.doing, since.elapsed()));
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

/// Asks the database with a connection of one's own, and again after a lost one. For questions
/// that may be asked twice.
macro_rules! ask {
    ($store:expr, $doing:expr, $connection:ident => $work:expr) => {{
        let mut tries = Tries::new($store, $doing);
        loop {
            let done = match $store.lease().await {
                Ok(mut lease) => {
                    let done = {
                        let $connection = &mut lease.connection;
                        within(TRY_TIME, $work).await
                    };
                    done.inspect(|_| lease.done())
                }
                Err(trouble) => Err(trouble),
            };
            match done {
                Ok(done) => break Ok(done),
                Err(trouble) => tries.after(trouble).await?,
            }
        }
    }};
}
use ask;

/// What a try came to within its time.
async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(time, work).await {
        Ok(done) => done.map_err(Trouble::Database),
        Err(_elapsed) => Err(Trouble::Silent(time)),
    }
}

impl Storage for PostgresStorage {
    fn name(&self) -> String {
        self.target.place()
    }

    fn append<'a>(&'a self, batch: &'a Batch, durability: Durability) -> Answer<'a, ()> {
        append::append(self, batch, durability).boxed()
    }

    fn pages(&self) -> &dyn Pages {
        self
    }

    fn head(&self) -> Answer<'_, StoreHead> {
        read::head(self).boxed()
    }

    fn chains(&self, range: ChainRange, limit: usize) -> Answer<'_, Vec<ChainRecord>> {
        read::chains(self, range, limit).boxed()
    }

    fn chain_heads(&self, from: i64) -> Answer<'_, Vec<ChainHead>> {
        read::chain_heads(self, from).boxed()
    }

    fn rows(&self, range: RowRange, limit: usize) -> Answer<'_, Vec<StoredRow>> {
        read::rows(self, range, limit).boxed()
    }

    fn tally(&self, chain: i64) -> Answer<'_, Vec<Tally>> {
        read::tally(self, chain).boxed()
    }

    fn documents(&self) -> &dyn Documents {
        self
    }

    fn schema(&self) -> SchemaVersions {
        self.schema
    }

    fn adopt(&self, id: StoreId) -> Answer<'_, ()> {
        upkeep::adopt(self, id).boxed()
    }

    fn check(&self) -> Answer<'_, Vec<String>> {
        upkeep::check(self).boxed()
    }

    fn compact(&self) -> Answer<'_, Compacted> {
        upkeep::compact(self).boxed()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.close_all().boxed()
    }
}
