//! The write path: a batch is one transaction, and without a new chain one round trip.

use super::connect::Trouble;
use super::{IDLE_MAX, PostgresStorage, StorageError, TRY_TIME, Tries, durable, within};
use crate::storage::{Batch, ChainId, Durability, NewChain, SealedRow, link};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use std::collections::HashMap;
use std::time::Instant;

/// The rows of one INSERT at most; larger batches take several.
const CHUNK_ROWS: usize = 1024;
/// An INSERT ends after the row that takes its texts over this size, in bytes.
const CHUNK_BYTES: usize = 16 << 20;

const WRITING: &str = "writing to it";

/// The connection that writes the journal.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` after a failure: the next write connects.
    connection: Option<(PgConnection, Instant)>,
    /// The last row that was committed and not synced: what a crash of the server may take.
    unsynced: Option<LastRow>,
    closed: bool,
}

/// A row that must be there for all rows before it to be there.
#[derive(Clone, Debug)]
struct LastRow {
    chain: ChainId,
    seq: i64,
    hash: Vec<u8>,
}

impl LastRow {
    fn of(batch: &Batch) -> Option<Self> {
        let row = batch.rows.last()?;
        Some(Self { chain: row.chain.id, seq: row.seq, hash: row.hash.0.to_vec() })
    }

    async fn is_there(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM journal j JOIN chains c ON c.number = j.chain \
             WHERE c.id = $1 AND j.seq = $2 AND j.hash = $3)",
        )
        .bind(&self.chain.0[..])
        .bind(self.seq)
        .bind(&self.hash)
        .fetch_one(connection)
        .await
    }
}

impl Writer {
    pub(super) fn new(connection: PgConnection) -> Self {
        Self { connection: Some((connection, Instant::now())), unsynced: None, closed: false }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.connection = None;
    }

    #[cfg(test)]
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection.as_mut().expect("invariant: the last write succeeded").0
    }

    /// Commits the batch, or leaves nothing of it. Returns the numbers of its new chains. With
    /// `doubtful`, it may have been committed already: then it is looked up first.
    async fn attempt(
        &mut self,
        store: &PostgresStorage,
        batch: &Batch,
        durability: Durability,
        doubtful: bool,
    ) -> Result<Vec<i64>, Trouble> {
        if self.closed {
            return Err(Trouble::Closed);
        }
        // Out of the writer's hands meanwhile: dropped half way, the connection is closed, and the
        // server rolls back.
        let mut connection = match self.connection.take() {
            Some((connection, since)) if since.elapsed() < IDLE_MAX => connection,
            Some(_) | None => self.connect(store).await?,
        };
        let work = async {
            if doubtful && let Some(numbers) = committed(&mut connection, batch).await? {
                return Ok(numbers);
            }
            write(&mut connection, batch, durability).await
        };
        let numbers = within(TRY_TIME, work).await?;
        self.connection = Some((connection, Instant::now()));
        self.unsynced = match durability {
            Durability::Synced => None,
            Durability::Written => LastRow::of(batch).or_else(|| self.unsynced.take()),
        };
        Ok(numbers)
    }

    /// A new connection, to a server that still has what this one committed.
    async fn connect(&mut self, store: &PostgresStorage) -> Result<PgConnection, Trouble> {
        let mut connection = store.target.connect().await?;
        if let Some(last) = &self.unsynced
            && !within(TRY_TIME, last.is_there(&mut connection)).await?
        {
            self.unsynced = None;
            return Err(Trouble::Forgetful);
        }
        Ok(connection)
    }
}

pub(super) async fn append(
    store: &PostgresStorage,
    batch: &Batch,
    durability: Durability,
) -> Result<(), StorageError> {
    if batch.is_empty() && durability == Durability::Written {
        return Ok(());
    }
    let mut writer = store.writer.lock().await;
    let mut tries = Tries::new(store, WRITING);
    // Whether an earlier try may have come through, and whether this one met it.
    let (mut doubtful, mut collided) = (false, false);
    loop {
        match writer.attempt(store, batch, durability, doubtful).await {
            Ok(numbers) => {
                for (chain, number) in batch.opened.iter().zip(numbers) {
                    chain.key.registered(number);
                }
                return Ok(());
            }
            Err(trouble) if doubtful && !collided && trouble.is_duplicate() => collided = true,
            Err(trouble) => {
                doubtful |= trouble.is_doubtful();
                tries.after(trouble).await?;
            }
        }
    }
}

/// The numbers of the batch's new chains, if its last row is there: a batch is whole or not at all.
async fn committed(
    connection: &mut PgConnection,
    batch: &Batch,
) -> Result<Option<Vec<i64>>, sqlx::Error> {
    let Some(last) = LastRow::of(batch) else { return Ok(None) };
    if !last.is_there(connection).await? {
        return Ok(None);
    }
    let mut numbers = Vec::with_capacity(batch.opened.len());
    for chain in &batch.opened {
        let number = sqlx::query_scalar("SELECT number FROM chains WHERE id = $1")
            .bind(&chain.key.id.0[..])
            .fetch_one(&mut *connection)
            .await?;
        numbers.push(number);
    }
    Ok(Some(numbers))
}

async fn write(
    connection: &mut PgConnection,
    batch: &Batch,
    durability: Durability,
) -> Result<Vec<i64>, sqlx::Error> {
    let commit = match durability {
        Durability::Written => "off",
        Durability::Synced => "on",
    };
    if batch.is_empty() {
        // A commit that changes nothing flushes nothing.
        sqlx::query(
            "UPDATE store SET syncs = syncs + 1 \
             FROM set_config('synchronous_commit', $1, true)",
        )
        .bind(commit)
        .execute(connection)
        .await?;
        return Ok(Vec::new());
    }
    let chunks = chunks(&batch.rows);
    let rows_alone =
        batch.opened.is_empty() && batch.bodies.is_empty() && batch.processes.is_empty();
    if let ([rows], true) = (&chunks[..], rows_alone) {
        // A statement alone is a transaction.
        insert(connection, rows, &HashMap::new(), commit).await?;
        return Ok(Vec::new());
    }
    let numbers = begin(connection, &batch.opened).await?;
    let ids = batch.opened.iter().map(|chain| chain.key.id);
    let known: HashMap<ChainId, i64> = ids.zip(numbers.iter().copied()).collect();
    durable::write(connection, &batch.bodies, &batch.processes, commit).await?;
    for rows in chunks {
        insert(connection, rows, &known, commit).await?;
    }
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok(numbers)
}

/// Cuts rows into what one statement brings.
fn chunks(rows: &[SealedRow]) -> Vec<&[SealedRow]> {
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, row) in rows.iter().enumerate() {
        bytes += row.texts.bytes();
        if index + 1 - start == CHUNK_ROWS || bytes > CHUNK_BYTES || index + 1 == rows.len() {
            chunks.push(&rows[start..=index]);
            (start, bytes) = (index + 1, 0);
        }
    }
    chunks
}

/// The commit's durability is set by the statement that brings the rows, until the transaction's
/// end: that saves a round trip.
const INSERT: &str = "INSERT INTO journal (chain, seq, time_us, kind, who, call, component, \
    capability, target, verdict, body, hash) SELECT row.* \
    FROM set_config('synchronous_commit', $1, true), \
    unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[], \
    $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[]) AS row";

async fn insert(
    connection: &mut PgConnection,
    rows: &[SealedRow],
    known: &HashMap<ChainId, i64>,
    commit: &str,
) -> Result<(), sqlx::Error> {
    let number = |row: &SealedRow| {
        let number = row.chain.number().or_else(|| known.get(&row.chain.id).copied());
        let what = || format!("chain {} is not registered", row.chain.id);
        number.ok_or_else(|| sqlx::Error::InvalidArgument(what()))
    };
    let numbers = rows.iter().map(number).collect::<Result<Vec<i64>, _>>()?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    let times: Vec<i64> = rows.iter().map(|row| row.time_us).collect();
    sqlx::query(INSERT)
        .bind(commit)
        .bind(numbers)
        .bind(seqs)
        .bind(times)
        .bind(column(rows, |row| row.kind.as_bytes()))
        .bind(column(rows, |row| row.texts.who().as_bytes()))
        .bind(column(rows, |row| row.call.as_ref().map_or(&[], |call| call.0.as_bytes())))
        .bind(column(rows, |row| row.component.as_ref().map_or(&[], |hash| &hash.0)))
        .bind(column(rows, |row| row.texts.capability().as_bytes()))
        .bind(column(rows, |row| row.texts.target().as_bytes()))
        .bind(column(rows, |row| row.verdict.as_bytes()))
        .bind(column(rows, |row| row.texts.body().as_bytes()))
        .bind(column(rows, |row| &row.hash.0))
        .execute(connection)
        .await?;
    Ok(())
}

fn column(rows: &[SealedRow], field: impl Fn(&SealedRow) -> &[u8]) -> Vec<&[u8]> {
    rows.iter().map(field).collect()
}

/// Three statements in one round trip. Each sees what was committed before it began, so the newest
/// chain is read after the lock was got.
const BEGIN: &str = "BEGIN; SELECT one FROM store WHERE one = 1 FOR UPDATE; \
    SELECT coalesce(c.number, 0), coalesce(c.link, s.id) FROM store s \
    LEFT JOIN (SELECT number, link FROM chains ORDER BY number DESC LIMIT 1) c ON true";

/// Begins a transaction and gives the new chains the next numbers and links.
async fn begin(
    connection: &mut PgConnection,
    opened: &[NewChain],
) -> Result<Vec<i64>, sqlx::Error> {
    if opened.is_empty() {
        sqlx::raw_sql("BEGIN").execute(connection).await?;
        return Ok(Vec::new());
    }
    let answers = sqlx::raw_sql(BEGIN).fetch_all(&mut *connection).await?;
    let newest = answers.last().filter(|_| answers.len() == 2).ok_or(sqlx::Error::RowNotFound)?;
    let (mut number, mut previous): (i64, Vec<u8>) = (newest.try_get(0)?, newest.try_get(1)?);
    let (mut numbers, mut links) = (Vec::new(), Vec::new());
    for chain in opened {
        number += 1;
        let (id, first) = (&chain.key.id.0[..], &chain.first.0[..]);
        let link = link(&previous, number, id, chain.opened_us, &chain.plugin, first);
        previous = link.0.to_vec();
        numbers.push(number);
        links.push(previous.clone());
    }
    sqlx::query(
        "INSERT INTO chains (number, id, opened_us, plugin, first, link) SELECT chain.* FROM \
         unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[]) \
         AS chain",
    )
    .bind(&numbers)
    .bind(opened.iter().map(|chain| &chain.key.id.0[..]).collect::<Vec<_>>())
    .bind(opened.iter().map(|chain| chain.opened_us).collect::<Vec<_>>())
    .bind(opened.iter().map(|chain| chain.plugin.as_bytes()).collect::<Vec<_>>())
    .bind(opened.iter().map(|chain| &chain.first.0[..]).collect::<Vec<_>>())
    .bind(links)
    .execute(connection)
    .await?;
    Ok(numbers)
}
