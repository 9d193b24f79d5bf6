//! The write path: a batch becomes one transaction in as few round trips as possible, since each
//! statement crosses to the connection's thread and back (about 10 µs).

use super::{Patience, SqliteStorage, durable};
use crate::storage::{Batch, ChainId, Durability, NewChain, SealedRow, StorageError, link};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Row, Sqlite, SqliteConnection};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` once the store is closed.
    pub(super) connection: Option<SqliteConnection>,
    /// What `PRAGMA synchronous` stands at.
    synced: Durability,
    /// A transaction may be open: its future was dropped half way, or its rollback failed.
    unfinished: bool,
}

/// Rows of one INSERT; larger batches take several.
const CHUNK_ROWS: usize = 64;
/// Batches up to this size, without a new chain, are one round trip: BEGIN, INSERT and COMMIT in
/// one text. Each size is a prepared statement of its own, so there are not too many.
const SINGLE_ROWS_MAX: usize = 16;

const COLUMNS: &str = "INSERT INTO journal (chain, seq, time_us, kind, who, call, component, \
    capability, target, verdict, body, hash) VALUES ";
const VALUES: &str = "(?,?,?,?,?,?,?,?,?,?,?,?)";

/// The INSERT of N rows at index N, written when first needed.
static INSERTS: [OnceLock<Arc<str>>; CHUNK_ROWS + 1] = [const { OnceLock::new() }; CHUNK_ROWS + 1];
/// The whole transaction of N rows at index N, written when first needed.
static SINGLES: [OnceLock<Arc<str>>; SINGLE_ROWS_MAX + 1] =
    [const { OnceLock::new() }; SINGLE_ROWS_MAX + 1];

fn insert(rows: usize) -> Arc<str> {
    let text = || format!("{COLUMNS}{}", vec![VALUES; rows].join(",")).into();
    Arc::clone(INSERTS[rows].get_or_init(text))
}

fn single(rows: usize) -> Arc<str> {
    let text = || format!("BEGIN IMMEDIATE; {}; COMMIT", insert(rows)).into();
    Arc::clone(SINGLES[rows].get_or_init(text))
}

pub(super) async fn append(
    store: &SqliteStorage,
    batch: &Batch,
    durability: Durability,
) -> Result<(), StorageError> {
    if batch.is_empty() && durability == Durability::Written {
        return Ok(());
    }
    let mut writer = store.writer.lock().await;
    let mut patience = Patience::new();
    loop {
        match writer.transact(batch, durability).await {
            Ok(numbers) => {
                for (chain, number) in batch.opened.iter().zip(numbers) {
                    chain.key.registered(number);
                }
                return Ok(());
            }
            Err(error) => patience.after(&store.path, "writing to it", error).await?,
        }
    }
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self { connection: Some(connection), synced: Durability::Written, unfinished: false }
    }

    /// The connection. Fails once the store is closed.
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Commits the batch, or leaves nothing of it. Returns the numbers of its new chains.
    async fn transact(
        &mut self,
        batch: &Batch,
        durability: Durability,
    ) -> Result<Vec<i64>, sqlx::Error> {
        self.finish().await?;
        self.set_durability(durability).await?;
        self.unfinished = true;
        let result = write(self.connection()?, batch).await;
        if result.is_err() {
            self.finish().await?;
        }
        self.unfinished = false;
        result
    }

    /// Rolls back what an earlier user of the connection left open.
    pub(super) async fn finish(&mut self) -> Result<(), sqlx::Error> {
        if self.unfinished {
            // Fails when SQLite has rolled back by itself, which is as good.
            let _ = sqlx::query("ROLLBACK").execute(self.connection()?).await;
            self.unfinished = false;
        }
        Ok(())
    }

    pub(super) async fn set_durability(&mut self, wanted: Durability) -> Result<(), sqlx::Error> {
        if self.synced != wanted {
            let pragma = match wanted {
                Durability::Written => "PRAGMA synchronous=NORMAL",
                Durability::Synced => "PRAGMA synchronous=FULL",
            };
            sqlx::query(pragma).execute(self.connection()?).await?;
            self.synced = wanted;
        }
        Ok(())
    }
}

async fn write(connection: &mut SqliteConnection, batch: &Batch) -> Result<Vec<i64>, sqlx::Error> {
    let rows = batch.rows.as_slice();
    let rows_alone =
        batch.opened.is_empty() && batch.bodies.is_empty() && batch.processes.is_empty();
    if rows_alone && (1..=SINGLE_ROWS_MAX).contains(&rows.len()) {
        let query = sqlx::query(AssertSqlSafe(single(rows.len())));
        bind(query, rows, &HashMap::new())?.execute(connection).await?;
        return Ok(Vec::new());
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    if batch.is_empty() {
        // A commit that changes nothing writes nothing, and so would sync nothing.
        sqlx::query("UPDATE store SET syncs = syncs + 1").execute(&mut *connection).await?;
    }
    let numbers = register(connection, &batch.opened).await?;
    let ids = batch.opened.iter().map(|chain| chain.key.id);
    let known: HashMap<ChainId, i64> = ids.zip(numbers.iter().copied()).collect();
    durable::write(connection, &batch.bodies, &batch.processes).await?;
    for chunk in rows.chunks(CHUNK_ROWS) {
        let query = sqlx::query(AssertSqlSafe(insert(chunk.len())));
        bind(query, chunk, &known)?.execute(&mut *connection).await?;
    }
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    Ok(numbers)
}

type Insert<'q> = Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(
    mut query: Insert<'q>,
    rows: &'q [SealedRow],
    known: &HashMap<ChainId, i64>,
) -> Result<Insert<'q>, sqlx::Error> {
    for row in rows {
        let number = row.chain.number().or_else(|| known.get(&row.chain.id).copied());
        let number = number.ok_or_else(|| {
            sqlx::Error::Protocol(format!("chain {} is not registered", row.chain.id))
        })?;
        let call = row.call.as_ref().map_or(&[][..], |call| call.0.as_bytes());
        let component = row.component.as_ref().map_or(&[][..], |hash| &hash.0[..]);
        query = query
            .bind(number)
            .bind(row.seq)
            .bind(row.time_us)
            .bind(row.kind)
            .bind(row.texts.who())
            .bind(call)
            .bind(component)
            .bind(row.texts.capability())
            .bind(row.texts.target())
            .bind(row.verdict)
            .bind(row.texts.body())
            .bind(&row.hash.0[..]);
    }
    Ok(query)
}

/// Gives the new chains the next numbers and links. The caller holds the write lock, so the newest
/// chain stays the newest.
async fn register(
    connection: &mut SqliteConnection,
    opened: &[NewChain],
) -> Result<Vec<i64>, sqlx::Error> {
    if opened.is_empty() {
        return Ok(Vec::new());
    }
    let newest = sqlx::query(NEWEST).fetch_one(&mut *connection).await?;
    let (mut number, mut previous): (i64, Vec<u8>) = (newest.try_get(0)?, newest.try_get(1)?);
    let mut numbers = Vec::with_capacity(opened.len());
    for chain in opened {
        number += 1;
        let (id, first) = (&chain.key.id.0[..], &chain.first.0[..]);
        let link = link(&previous, number, id, chain.opened_us, &chain.plugin, first);
        sqlx::query(
            "INSERT INTO chains (number, id, opened_us, plugin, first, link) \
             VALUES (?,?,?,?,?,?)",
        )
        .bind(number)
        .bind(id)
        .bind(chain.opened_us)
        .bind(chain.plugin.as_str())
        .bind(first)
        .bind(&link.0[..])
        .execute(&mut *connection)
        .await?;
        numbers.push(number);
        previous = link.0.to_vec();
    }
    Ok(numbers)
}

/// The newest chain's number and link; 0 and the store's id before the first chain.
pub(super) const NEWEST: &str = "SELECT coalesce(c.number, 0), coalesce(c.link, s.id), s.id \
    FROM store s LEFT JOIN (SELECT number, link FROM chains ORDER BY number DESC LIMIT 1) c";
