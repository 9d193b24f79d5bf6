//! Bodies and the index of agents.

use super::{PostgresStorage, StorageError, TRY_TIME, Tries, ask, within};
use crate::storage::{
    Answer, Bodies, Digest, NewProcess, PAGE_BYTES_MAX, PAGE_ROWS_MAX, PROCESSES_PAGE, PackedBody,
    ProcessChange, ProcessRange, ProcessRecord, Processes,
};
use futures::FutureExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

type Result<T> = std::result::Result<T, StorageError>;

const READING: &str = "reading its bodies";

impl Bodies for PostgresStorage {
    fn bodies<'a>(&'a self, hashes: &'a [Digest]) -> Answer<'a, Vec<PackedBody>> {
        bodies(self, hashes).boxed()
    }

    fn has_body(&self, hash: Digest) -> Answer<'_, bool> {
        has_body(self, hash).boxed()
    }

    fn body_page(&self, after: Option<Digest>) -> Answer<'_, Vec<PackedBody>> {
        body_page(self, after).boxed()
    }
}

impl Processes for PostgresStorage {
    fn take_pids(&self, count: u64) -> Answer<'_, u64> {
        take_pids(self, count).boxed()
    }

    fn processes(&self, range: ProcessRange) -> Answer<'_, Vec<ProcessRecord>> {
        processes(self, range).boxed()
    }
}

/// Writes what a batch brings besides its rows, in its transaction. What is there already is left,
/// so a batch without rows may be written twice.
pub(super) async fn write(
    connection: &mut PgConnection,
    bodies: &[PackedBody],
    processes: &[ProcessChange],
    commit: &str,
) -> sqlx::Result<()> {
    if !bodies.is_empty() {
        // In one order, so that two writers never wait for each other.
        let mut sorted: Vec<&PackedBody> = bodies.iter().collect();
        sorted.sort_by_key(|body| body.hash.0);
        sorted.dedup_by_key(|body| body.hash.0);
        let size = |body: &&PackedBody| i64::try_from(body.size).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO bodies (hash, size, packed, content) SELECT body.* \
             FROM set_config('synchronous_commit', $1, true), \
             unnest($2::bytea[], $3::bigint[], $4::boolean[], $5::bytea[]) AS body \
             ON CONFLICT (hash) DO NOTHING",
        )
        .bind(commit)
        .bind(sorted.iter().map(|body| &body.hash.0[..]).collect::<Vec<_>>())
        .bind(sorted.iter().map(size).collect::<Vec<_>>())
        .bind(sorted.iter().map(|body| body.packed).collect::<Vec<_>>())
        .bind(sorted.iter().map(|body| &body.bytes[..]).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    for change in processes {
        match change {
            ProcessChange::Born(NewProcess { pid, chain, parent, resumes }) => sqlx::query(
                "INSERT INTO agents (pid, chain, parent, resumes, ended) \
                 VALUES ($1, $2, $3, $4, false) ON CONFLICT (pid) DO NOTHING",
            )
            .bind(number(*pid)?)
            .bind(chain.0.to_vec())
            .bind(number(*parent)?)
            .bind(*resumes),
            ProcessChange::Ended(pid) => {
                sqlx::query("UPDATE agents SET ended = true WHERE pid = $1").bind(number(*pid)?)
            }
        }
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn number(pid: u64) -> sqlx::Result<i64> {
    i64::try_from(pid).map_err(|_| sqlx::Error::InvalidArgument(format!("{pid} is no pid")))
}

fn page(store: &PostgresStorage, rows: &[PgRow]) -> Result<Vec<PackedBody>> {
    let bodies = rows.iter().map(body).collect::<sqlx::Result<_>>();
    bodies.map_err(|error| store.failed(READING, error))
}

async fn bodies(store: &PostgresStorage, hashes: &[Digest]) -> Result<Vec<PackedBody>> {
    let asked: Vec<&[u8]> = hashes.iter().map(|hash| &hash.0[..]).collect();
    let rows = ask!(store, READING, connection => sqlx::query(
        "SELECT hash, size, packed, content FROM \
         (SELECT *, sum(octet_length(content)) OVER (ORDER BY hash) - octet_length(content) \
          AS before FROM bodies WHERE hash = ANY($1)) b WHERE before < $2",
    )
    .bind(&asked)
    .bind(i64::try_from(PAGE_BYTES_MAX).unwrap_or(i64::MAX))
    .fetch_all(connection))?;
    page(store, &rows)
}

async fn has_body(store: &PostgresStorage, hash: Digest) -> Result<bool> {
    ask!(store, "looking for a body", connection => sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM bodies WHERE hash = $1)",
    )
    .bind(&hash.0[..])
    .fetch_one(connection))
}

async fn body_page(store: &PostgresStorage, after: Option<Digest>) -> Result<Vec<PackedBody>> {
    let after = after.map_or(Vec::new(), |hash| hash.0.to_vec());
    let rows = ask!(store, READING, connection => sqlx::query(
        "SELECT hash, size, packed, content FROM (SELECT b.*, \
         sum(octet_length(content)) OVER (ORDER BY hash) - octet_length(content) AS before \
         FROM (SELECT * FROM bodies WHERE hash > $1 ORDER BY hash LIMIT $2) b) c \
         WHERE before < $3 ORDER BY hash",
    )
    .bind(&after)
    .bind(i64::try_from(PAGE_ROWS_MAX).unwrap_or(i64::MAX))
    .bind(i64::try_from(PAGE_BYTES_MAX).unwrap_or(i64::MAX))
    .fetch_all(connection))?;
    page(store, &rows)
}

fn body(row: &PgRow) -> sqlx::Result<PackedBody> {
    let (hash, bytes): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(3)?);
    let size: i64 = row.try_get(1)?;
    Ok(PackedBody {
        // A hash that was tampered with fits no content.
        hash: Digest(hash.try_into().unwrap_or_default()),
        size: u64::try_from(size).unwrap_or(u64::MAX),
        packed: row.try_get(2)?,
        bytes: bytes.into(),
    })
}

/// A commit whose answer was lost leaves numbers that nobody has: they need not be dense.
async fn take_pids(store: &PostgresStorage, count: u64) -> Result<u64> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let last: i64 = ask!(store, "numbering agents", connection => sqlx::query_scalar(
        "UPDATE store SET pids = greatest(pids, (SELECT max(pid) FROM agents)) + $1 \
         RETURNING pids",
    )
    .bind(count)
    .fetch_one(connection))?;
    Ok(u64::try_from(last - count + 1).unwrap_or(1))
}

async fn processes(store: &PostgresStorage, range: ProcessRange) -> Result<Vec<ProcessRecord>> {
    const READING: &str = "reading its agents";
    let (clause, pid) = match range {
        ProcessRange::LiveAfter(pid) => ("a.pid > $1 AND a.resumes AND NOT a.ended", pid),
        ProcessRange::After(pid) => ("a.pid > $1", pid),
        ProcessRange::Only(pid) => ("a.pid = $1", pid),
    };
    let text = format!(
        "SELECT a.pid, a.chain, coalesce(c.number, 0), a.parent, a.resumes, a.ended \
         FROM agents a LEFT JOIN chains c ON c.id = a.chain WHERE {clause} ORDER BY a.pid LIMIT $2"
    );
    let rows = ask!(store, READING, connection => sqlx::query(AssertSqlSafe(text.clone()))
        .bind(i64::try_from(pid).unwrap_or(i64::MAX))
        .bind(i64::try_from(PROCESSES_PAGE).unwrap_or(i64::MAX))
        .fetch_all(connection))?;
    let record = |row: &PgRow| {
        let unsigned = |at: usize| -> sqlx::Result<u64> {
            Ok(u64::try_from(row.try_get::<i64, _>(at)?).unwrap_or(0))
        };
        Ok(ProcessRecord {
            pid: unsigned(0)?,
            chain: row.try_get(1)?,
            number: row.try_get(2)?,
            parent: unsigned(3)?,
            resumes: row.try_get(4)?,
            ended: row.try_get(5)?,
        })
    };
    let records = rows.iter().map(record).collect::<sqlx::Result<_>>();
    records.map_err(|error| store.failed(READING, error))
}
