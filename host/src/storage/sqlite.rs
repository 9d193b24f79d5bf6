//! SQLite: one file in WAL mode, or memory. Many processes may use one file at once.
//!
//! One writer connection behind a lock, since SQLite has one writer anyway; up to
//! [`READERS_MAX`] read connections beside it, opened when first used. In memory the writer reads
//! too. Every write is one `BEGIN IMMEDIATE` transaction: it holds the write lock from its first
//! statement, so what it reads (the newest chain, a quota) cannot change under it.
//!
//! # Durability
//! `Written` is a commit with `synchronous=NORMAL`: the WAL is handed to the kernel, not synced.
//! `Synced` is a commit with `synchronous=FULL`: SQLite syncs the whole WAL file after the commit's
//! frames, so earlier `Written` commits in it become durable too; those that a checkpoint has moved
//! to the database file were synced by the checkpoint (NORMAL syncs at checkpoints). The pragma is
//! set per commit; outside a transaction that is legal and touches no file.

mod append;
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
    RowRange, SchemaVersions, Storage, StorageError, StoreHead, StoreId, StoreUrl, StoredRow,
    Tally,
};
use crate::storage::documents::nearest::Matrices;
use crate::storage::error::ANOTHER_PLACE;
use append::Writer;
use futures::FutureExt;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// How long SQLite itself waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a transaction is begun again after that; some locks are refused without waiting.
const BUSY_TRIES: u32 = 6;
/// The pause before the second try; doubled each time.
const BUSY_PAUSE: Duration = Duration::from_millis(2);
/// Reads are for people (audit) and for plugins' key-value look-ups: a few are enough.
const READERS_MAX: u32 = 4;

/// A store in SQLite.
#[derive(Debug)]
pub struct SqliteStorage {
    path: PathBuf,
    writer: Mutex<Writer>,
    /// `None` in memory, where a second connection would see another database.
    readers: Option<SqlitePool>,
    schema: SchemaVersions,
    matrices: Matrices,
}

/// A connection to read with.
enum Reader<'a> {
    Pooled(PoolConnection<Sqlite>),
    Writer(MutexGuard<'a, Writer>),
}

impl SqliteStorage {
    /// Opens, and creates or migrates when needed. Fails with `Unreachable`, `Corrupt`, `Newer`,
    /// `Busy` or `Full`. Needs a tokio runtime.
    pub async fn open(url: &StoreUrl) -> Result<Self, StorageError> {
        let opened = open::open(url).await?;
        let writer = Mutex::new(Writer::new(opened.connection));
        let (path, readers, schema) = (opened.path, opened.readers, opened.schema);
        Ok(Self { path, writer, readers, schema, matrices: Matrices::default() })
    }

    fn failed(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> StorageError + '_ {
        move |error| explain(&self.path, doing, &error)
    }

    async fn reader(&self) -> Result<Reader<'_>, StorageError> {
        match &self.readers {
            Some(pool) => {
                let pooled = pool.acquire().await.map_err(self.failed("opening it for reading"))?;
                Ok(Reader::Pooled(pooled))
            }
            None => Ok(Reader::Writer(self.writer.lock().await)),
        }
    }

    async fn close_all(&self) -> Result<(), StorageError> {
        if let Some(pool) = &self.readers {
            pool.close().await;
        }
        match self.writer.lock().await.connection.take() {
            Some(connection) => connection.close().await.map_err(self.failed("closing it")),
            None => Ok(()),
        }
    }
}

impl Reader<'_> {
    fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        match self {
            Self::Pooled(pooled) => Ok(pooled),
            Self::Writer(writer) => writer.connection(),
        }
    }
}

impl Storage for SqliteStorage {
    fn name(&self) -> String {
        self.path.display().to_string()
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

/// SQLite's primary result code, if the error has one. <https://sqlite.org/rescode.html>
fn code(error: &sqlx::Error) -> Option<i32> {
    let extended = error.as_database_error()?.code()?.parse::<i32>().ok()?;
    Some(extended & 0xff)
}

/// Whether another connection held a lock (`SQLITE_BUSY`, `SQLITE_LOCKED`).
fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(5 | 6))
}

/// Sorts a database error by what can be done about it.
fn explain(path: &Path, doing: &'static str, error: &sqlx::Error) -> StorageError {
    let place = path.display().to_string();
    let reason = error.as_database_error().map_or_else(|| error.to_string(), |e| e.to_string());
    match code(error) {
        // PERM, READONLY, CANTOPEN, AUTH
        Some(3 | 8 | 14 | 23) => {
            StorageError::Unreachable { place, done: "written", reason, instead: ANOTHER_PLACE }
        }
        // CORRUPT, NOTADB
        Some(11 | 26) => StorageError::Corrupt { place, reason },
        Some(13) => StorageError::Full { place },
        Some(5 | 6) => StorageError::Busy { place, waited_ms: BUSY_TIMEOUT.as_millis() },
        _ => StorageError::Failed { place, doing, reason },
    }
}

/// Counts the tries of something that other processes' locks may refuse.
struct Patience {
    tries: u32,
    since: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { tries: 0, since: Instant::now() }
    }

    /// Waits before the next try after a busy error. Any other error, or one try too many, ends it.
    async fn after(
        &mut self,
        path: &Path,
        doing: &'static str,
        error: sqlx::Error,
    ) -> Result<(), StorageError> {
        if !is_busy(&error) {
            return Err(explain(path, doing, &error));
        }
        self.tries += 1;
        if self.tries >= BUSY_TRIES {
            let waited_ms = self.since.elapsed().as_millis();
            return Err(StorageError::Busy { place: path.display().to_string(), waited_ms });
        }
        tokio::time::sleep(BUSY_PAUSE * 2u32.pow(self.tries)).await;
        Ok(())
    }
}
