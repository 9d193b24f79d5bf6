//! Upkeep: looking a store over, tidying it, and making it a copy of another.

use super::{SqliteStorage, StorageError};
use crate::storage::{Compacted, Durability, FINDINGS_MAX, StoreId};
use sqlx::{Row, SqliteConnection};

pub(super) async fn adopt(store: &SqliteStorage, id: StoreId) -> Result<(), StorageError> {
    const ADOPTING: &str = "giving it the id of another";
    let failed = store.failed(ADOPTING);
    let mut writer = store.writer.lock().await;
    writer.finish().await.map_err(&failed)?;
    writer.set_durability(Durability::Written).await.map_err(&failed)?;
    let done = sqlx::query("UPDATE store SET id = ? WHERE NOT EXISTS (SELECT 1 FROM chains)")
        .bind(&id.0[..])
        .execute(writer.connection().map_err(&failed)?)
        .await
        .map_err(&failed)?;
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(failed(sqlx::Error::Protocol("it has chains already".to_owned()))),
    }
}

pub(super) async fn check(store: &SqliteStorage) -> Result<Vec<String>, StorageError> {
    let failed = store.failed("checking it");
    let mut reader = store.reader().await?;
    findings(reader.connection().map_err(&failed)?).await.map_err(&failed)
}

async fn findings(connection: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    let mut found: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check(100)").fetch_all(&mut *connection).await?;
    found.retain(|line| line != "ok");
    let strays = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *connection).await?;
    if !strays.is_empty() {
        found.push(format!("{} rows belong to chains that are not registered", strays.len()));
    }
    // What the identities are charged must be what their pairs take.
    let charged = sqlx::query(
        "SELECT identity, sum(charged), sum(taken) FROM ( \
           SELECT identity, bytes AS charged, 0 AS taken FROM keyvalue_usage UNION ALL \
           SELECT identity, 0, ? + octet_length(bucket) + octet_length(key) + length(value) \
           FROM keyvalue) GROUP BY identity HAVING sum(charged) <> sum(taken) LIMIT 100",
    )
    .bind(crate::storage::keyvalue::PAIR_BYTES)
    .fetch_all(connection)
    .await?;
    for row in charged {
        let (charged, taken): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let identity: String = row.try_get(0)?;
        found.push(format!("`{identity}` is charged {charged} bytes for pairs that take {taken}"));
    }
    found.truncate(FINDINGS_MAX);
    Ok(found)
}

/// The file with its WAL, in bytes; in memory the database's pages.
async fn size(connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let bytes: i64 = sqlx::query_scalar(
        "SELECT (SELECT page_count FROM pragma_page_count) * \
         (SELECT page_size FROM pragma_page_size)",
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

pub(super) async fn compact(store: &SqliteStorage) -> Result<Compacted, StorageError> {
    let failed = store.failed("compacting it");
    let mut writer = store.writer.lock().await;
    writer.finish().await.map_err(&failed)?;
    let connection = writer.connection().map_err(&failed)?;
    let wal = || {
        let mut path = store.path.clone().into_os_string();
        path.push("-wal");
        std::fs::metadata(path).map_or(0, |file| file.len())
    };
    let before_bytes = size(connection).await.map_err(&failed)? + wal();
    for statement in ["VACUUM", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"] {
        sqlx::raw_sql(statement).execute(&mut *connection).await.map_err(&failed)?;
    }
    let after_bytes = size(connection).await.map_err(&failed)? + wal();
    Ok(Compacted { before_bytes, after_bytes })
}
