//! Bodies and the index of agents.

use super::{SqliteStorage, StorageError};
use crate::storage::{
    Answer, Bodies, Digest, Durability, NewProcess, PAGE_BYTES_MAX, PAGE_ROWS_MAX, PROCESSES_PAGE,
    PackedBody, ProcessChange, ProcessRange, ProcessRecord, Processes,
};
use futures::{FutureExt, TryStreamExt};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

type Result<T> = std::result::Result<T, StorageError>;

/// Bodies that one SELECT asks for: its text is prepared once.
const ASKED_AT_ONCE: usize = 64;

impl Bodies for SqliteStorage {
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

impl Processes for SqliteStorage {
    fn take_pids(&self, count: u64) -> Answer<'_, u64> {
        take_pids(self, count).boxed()
    }

    fn processes(&self, range: ProcessRange) -> Answer<'_, Vec<ProcessRecord>> {
        processes(self, range).boxed()
    }
}

/// Writes what a batch brings besides its rows, in its transaction.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    bodies: &[PackedBody],
    processes: &[ProcessChange],
) -> sqlx::Result<()> {
    for body in bodies {
        sqlx::query(
            "INSERT INTO bodies (hash, size, packed, content) VALUES (?,?,?,?) \
             ON CONFLICT (hash) DO NOTHING",
        )
        .bind(&body.hash.0[..])
        .bind(i64::try_from(body.size).unwrap_or(i64::MAX))
        .bind(body.packed)
        .bind(&body.bytes[..])
        .execute(&mut *connection)
        .await?;
    }
    for change in processes {
        match change {
            ProcessChange::Born(NewProcess { pid, chain, parent, resumes }) => sqlx::query(
                "INSERT INTO agents (pid, chain, parent, resumes, ended) VALUES (?,?,?,?,0) \
                 ON CONFLICT (pid) DO NOTHING",
            )
            .bind(number(*pid)?)
            .bind(&chain.0[..])
            .bind(number(*parent)?)
            .bind(*resumes),
            ProcessChange::Ended(pid) => {
                sqlx::query("UPDATE agents SET ended = 1 WHERE pid = ?").bind(number(*pid)?)
            }
        }
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn number(pid: u64) -> sqlx::Result<i64> {
    i64::try_from(pid).map_err(|_| sqlx::Error::Protocol(format!("{pid} is no pid")))
}

async fn bodies(store: &SqliteStorage, hashes: &[Digest]) -> Result<Vec<PackedBody>> {
    let failed = store.failed("reading its bodies");
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let (mut found, mut bytes) = (Vec::with_capacity(hashes.len()), 0);
    for asked in hashes.chunks(ASKED_AT_ONCE) {
        let marks = vec!["?"; ASKED_AT_ONCE].join(",");
        let text =
            format!("SELECT hash, size, packed, content FROM bodies WHERE hash IN ({marks})");
        let mut query = sqlx::query(AssertSqlSafe(text));
        for at in 0..ASKED_AT_ONCE {
            // One text for every number of them: the last one fills up.
            let hash = asked.get(at).or(asked.last());
            query = query.bind(hash.map(|hash| &hash.0[..]));
        }
        let mut stream = query.fetch(&mut *connection);
        while let Some(row) = stream.try_next().await.map_err(&failed)? {
            let body = body(&row).map_err(&failed)?;
            bytes += body.bytes.len();
            found.push(body);
            if bytes >= PAGE_BYTES_MAX {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

async fn has_body(store: &SqliteStorage, hash: Digest) -> Result<bool> {
    let failed = store.failed("looking for a body");
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM bodies WHERE hash = ?)")
        .bind(&hash.0[..])
        .fetch_one(connection)
        .await
        .map_err(&failed)
}

async fn body_page(store: &SqliteStorage, after: Option<Digest>) -> Result<Vec<PackedBody>> {
    let failed = store.failed("reading its bodies");
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let after = after.map_or(Vec::new(), |hash| hash.0.to_vec());
    let mut stream = sqlx::query(
        "SELECT hash, size, packed, content FROM bodies WHERE hash > ? ORDER BY hash LIMIT ?",
    )
    .bind(after)
    .bind(i64::try_from(PAGE_ROWS_MAX).unwrap_or(i64::MAX))
    .fetch(connection);
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await.map_err(&failed)? {
        let body = body(&row).map_err(&failed)?;
        bytes += body.bytes.len();
        found.push(body);
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    Ok(found)
}

fn body(row: &SqliteRow) -> sqlx::Result<PackedBody> {
    let hash: &[u8] = row.try_get_unchecked(0)?;
    let bytes: &[u8] = row.try_get_unchecked(3)?;
    let size: i64 = row.try_get_unchecked(1)?;
    Ok(PackedBody {
        // A hash that was tampered with fits no content.
        hash: Digest(hash.try_into().unwrap_or_default()),
        size: u64::try_from(size).unwrap_or(u64::MAX),
        packed: row.try_get_unchecked(2)?,
        bytes: bytes.into(),
    })
}

async fn take_pids(store: &SqliteStorage, count: u64) -> Result<u64> {
    let failed = store.failed("numbering agents");
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut writer = store.writer.lock().await;
    writer.finish().await.map_err(&failed)?;
    writer.set_durability(Durability::Written).await.map_err(&failed)?;
    let mut patience = super::Patience::new();
    let last: i64 = loop {
        let taken = sqlx::query_scalar(
            "UPDATE store SET pids = max(pids, coalesce((SELECT max(pid) FROM agents), 0)) + ? \
             RETURNING pids",
        )
        .bind(count)
        .fetch_one(writer.connection().map_err(&failed)?)
        .await;
        match taken {
            Ok(last) => break last,
            Err(error) => patience.after(&store.path, "numbering agents", error).await?,
        }
    };
    Ok(u64::try_from(last - count + 1).unwrap_or(1))
}

async fn processes(store: &SqliteStorage, range: ProcessRange) -> Result<Vec<ProcessRecord>> {
    let failed = store.failed("reading its agents");
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let (clause, pid) = match range {
        ProcessRange::LiveAfter(pid) => ("a.pid > ? AND a.ended = 0 AND a.resumes = 1", pid),
        ProcessRange::After(pid) => ("a.pid > ?", pid),
        ProcessRange::Only(pid) => ("a.pid = ?", pid),
    };
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT a.pid, a.chain, coalesce(c.number, 0), a.parent, a.resumes, a.ended \
         FROM agents a LEFT JOIN chains c ON c.id = a.chain WHERE {clause} ORDER BY a.pid LIMIT ?"
    )))
    .bind(i64::try_from(pid).unwrap_or(i64::MAX))
    .bind(i64::try_from(PROCESSES_PAGE).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await
    .map_err(&failed)?;
    let record = |row: &SqliteRow| {
        let unsigned = |at: usize| -> sqlx::Result<u64> {
            Ok(u64::try_from(row.try_get_unchecked::<i64, _>(at)?).unwrap_or(0))
        };
        Ok(ProcessRecord {
            pid: unsigned(0)?,
            chain: row.try_get_unchecked(1)?,
            number: row.try_get_unchecked(2)?,
            parent: unsigned(3)?,
            resumes: row.try_get_unchecked(4)?,
            ended: row.try_get_unchecked(5)?,
        })
    };
    rows.iter().map(record).collect::<sqlx::Result<_>>().map_err(failed)
}
