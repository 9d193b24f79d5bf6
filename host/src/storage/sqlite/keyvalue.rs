//! Key-value pairs in SQLite. A change runs in sqlx's own transaction, which rolls back when the
//! future is dropped: a guest's time-out may end it at any point.

use super::{Patience, SqliteStorage, StorageError};
use crate::storage::keyvalue::{KEYS_PAGE, PAIRS_PAGE, QUOTA_BYTES, charge, check, sum};
use crate::storage::{Answer, Bucket, Durability, KeyPage, KeyValue, Pair, PairKey};
use futures::FutureExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, Sqlite, Transaction};

type Result<T> = std::result::Result<T, StorageError>;

/// Why a change was not made.
enum Refusal {
    Limit(StorageError),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// What to do to one key.
#[derive(Clone, Copy)]
enum Change<'a> {
    Set(&'a [u8]),
    Delete,
    Increment(i64),
}

impl KeyValue for SqliteStorage {
    fn kv_get<'a>(&'a self, bucket: Bucket<'a>, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        get(self, bucket, key).boxed()
    }

    fn kv_set<'a>(&'a self, bucket: Bucket<'a>, key: &'a str, value: &'a [u8]) -> Answer<'a, ()> {
        change(self, bucket, key, Change::Set(value)).map(|done| done.map(drop)).boxed()
    }

    fn kv_delete<'a>(&'a self, bucket: Bucket<'a>, key: &'a str) -> Answer<'a, ()> {
        change(self, bucket, key, Change::Delete).map(|done| done.map(drop)).boxed()
    }

    fn kv_exists<'a>(&'a self, bucket: Bucket<'a>, key: &'a str) -> Answer<'a, bool> {
        exists(self, bucket, key).boxed()
    }

    fn kv_keys<'a>(&'a self, bucket: Bucket<'a>, after: Option<&'a str>) -> Answer<'a, KeyPage> {
        keys(self, bucket, after).boxed()
    }

    fn kv_increment<'a>(&'a self, bucket: Bucket<'a>, key: &'a str, delta: i64) -> Answer<'a, i64> {
        change(self, bucket, key, Change::Increment(delta)).boxed()
    }

    fn kv_pairs<'a>(&'a self, after: Option<&'a PairKey>) -> Answer<'a, Vec<Pair>> {
        pairs(self, after).boxed()
    }
}

const READING: &str = "reading a key";
const WRITING: &str = "writing a key";

async fn get(store: &SqliteStorage, bucket: Bucket<'_>, key: &str) -> Result<Option<Vec<u8>>> {
    let failed = store.failed(READING);
    let mut reader = store.reader().await?;
    sqlx::query_scalar("SELECT value FROM keyvalue WHERE identity = ? AND bucket = ? AND key = ?")
        .bind(bucket.identity)
        .bind(bucket.name)
        .bind(key)
        .fetch_optional(reader.connection().map_err(&failed)?)
        .await
        .map_err(failed)
}

async fn exists(store: &SqliteStorage, bucket: Bucket<'_>, key: &str) -> Result<bool> {
    let failed = store.failed(READING);
    let mut reader = store.reader().await?;
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM keyvalue WHERE identity = ? AND bucket = ? AND key = ?)",
    )
    .bind(bucket.identity)
    .bind(bucket.name)
    .bind(key)
    .fetch_one(reader.connection().map_err(&failed)?)
    .await
    .map_err(failed)
}

async fn keys(store: &SqliteStorage, bucket: Bucket<'_>, after: Option<&str>) -> Result<KeyPage> {
    let failed = store.failed(READING);
    let mut reader = store.reader().await?;
    // The empty text is a key too, so "from the start" is not the same as "after the empty key".
    let text = match after {
        None => {
            "SELECT key FROM keyvalue WHERE identity = ? AND bucket = ? AND key >= ? \
             ORDER BY key LIMIT ?"
        }
        Some(_) => {
            "SELECT key FROM keyvalue WHERE identity = ? AND bucket = ? AND key > ? \
             ORDER BY key LIMIT ?"
        }
    };
    let mut keys: Vec<String> = sqlx::query_scalar(text)
        .bind(bucket.identity)
        .bind(bucket.name)
        .bind(after.unwrap_or_default())
        .bind(i64::try_from(KEYS_PAGE + 1).unwrap_or(i64::MAX))
        .fetch_all(reader.connection().map_err(&failed)?)
        .await
        .map_err(failed)?;
    let more = keys.len() > KEYS_PAGE;
    keys.truncate(KEYS_PAGE);
    let next = keys.last().filter(|_| more).cloned();
    Ok(KeyPage { keys, next })
}

async fn pairs(store: &SqliteStorage, after: Option<&PairKey>) -> Result<Vec<Pair>> {
    let failed = store.failed("reading all keys");
    let mut reader = store.reader().await?;
    let part = |part: fn(&PairKey) -> &String| after.map_or("", |key| part(key));
    let rows = sqlx::query(
        "SELECT identity, bucket, key, value FROM keyvalue \
         WHERE (identity, bucket, key) >= (?1, ?2, ?3) \
         AND (?4 OR (identity, bucket, key) > (?1, ?2, ?3)) \
         ORDER BY identity, bucket, key LIMIT ?5",
    )
    .bind(part(|key| &key.identity))
    .bind(part(|key| &key.bucket))
    .bind(part(|key| &key.key))
    .bind(after.is_none())
    .bind(i64::try_from(PAIRS_PAGE).unwrap_or(i64::MAX))
    .fetch_all(reader.connection().map_err(&failed)?)
    .await
    .map_err(&failed)?;
    let pair = |row: &SqliteRow| {
        let (identity, bucket, key) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok((PairKey { identity, bucket, key }, row.try_get(3)?))
    };
    rows.iter().map(pair).collect::<sqlx::Result<_>>().map_err(&failed)
}

/// Makes one change in a transaction of its own. Returns the sum of an increment, else 0.
async fn change(
    store: &SqliteStorage,
    bucket: Bucket<'_>,
    key: &str,
    change: Change<'_>,
) -> Result<i64> {
    let value = match change {
        Change::Set(value) => value,
        Change::Delete | Change::Increment(_) => &[],
    };
    check(bucket, key, value)?;
    let failed = store.failed(WRITING);
    let mut writer = store.writer.lock().await;
    let mut patience = Patience::new();
    loop {
        writer.finish().await.map_err(&failed)?;
        writer.set_durability(Durability::Written).await.map_err(&failed)?;
        let connection = writer.connection().map_err(&failed)?;
        match try_change(connection, bucket, key, change).await {
            Ok(sum) => return Ok(sum),
            Err(Refusal::Limit(error)) => return Err(error),
            Err(Refusal::Database(error)) => {
                patience.after(&store.path, WRITING, error).await?;
            }
        }
    }
}

async fn try_change(
    connection: &mut sqlx::SqliteConnection,
    bucket: Bucket<'_>,
    key: &str,
    change: Change<'_>,
) -> std::result::Result<i64, Refusal> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let sum = match change {
        Change::Set(value) => {
            put(&mut transaction, bucket, key, value).await?;
            0
        }
        Change::Delete => {
            delete(&mut transaction, bucket, key).await?;
            0
        }
        Change::Increment(delta) => {
            let stored: Option<Vec<u8>> = sqlx::query_scalar(
                "SELECT value FROM keyvalue WHERE identity = ? AND bucket = ? AND key = ?",
            )
            .bind(bucket.identity)
            .bind(bucket.name)
            .bind(key)
            .fetch_optional(&mut *transaction)
            .await?;
            let sum = sum(key, stored.as_deref(), delta).map_err(Refusal::Limit)?;
            put(&mut transaction, bucket, key, sum.to_string().as_bytes()).await?;
            sum
        }
    };
    transaction.commit().await?;
    Ok(sum)
}

async fn put(
    transaction: &mut Transaction<'_, Sqlite>,
    bucket: Bucket<'_>,
    key: &str,
    value: &[u8],
) -> std::result::Result<(), Refusal> {
    let row = sqlx::query(
        "SELECT (SELECT bytes FROM keyvalue_usage WHERE identity = ?1), \
         (SELECT length(value) FROM keyvalue WHERE identity = ?1 AND bucket = ?2 AND key = ?3)",
    )
    .bind(bucket.identity)
    .bind(bucket.name)
    .bind(key)
    .fetch_one(&mut **transaction)
    .await?;
    let used: Option<i64> = row.try_get(0)?;
    let replaced: Option<i64> = row.try_get(1)?;
    let freed = replaced.map_or(0, |bytes| charge(bucket, key, 0) + bytes);
    let bytes = used.unwrap_or(0) - freed + charge(bucket, key, value.len());
    // Over the quota, a pair may still be replaced by a smaller one.
    if bytes > QUOTA_BYTES && bytes > used.unwrap_or(0) {
        let identity = bucket.identity.to_owned();
        return Err(Refusal::Limit(StorageError::Quota { identity, limit: QUOTA_BYTES }));
    }
    sqlx::query(
        "INSERT INTO keyvalue (identity, bucket, key, value) VALUES (?,?,?,?) \
         ON CONFLICT (identity, bucket, key) DO UPDATE SET value = excluded.value",
    )
    .bind(bucket.identity)
    .bind(bucket.name)
    .bind(key)
    .bind(value)
    .execute(&mut **transaction)
    .await?;
    set_usage(transaction, bucket.identity, bytes).await?;
    Ok(())
}

async fn delete(
    transaction: &mut Transaction<'_, Sqlite>,
    bucket: Bucket<'_>,
    key: &str,
) -> std::result::Result<(), sqlx::Error> {
    let freed: Option<i64> = sqlx::query_scalar(
        "DELETE FROM keyvalue WHERE identity = ? AND bucket = ? AND key = ? \
         RETURNING length(value)",
    )
    .bind(bucket.identity)
    .bind(bucket.name)
    .bind(key)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(freed) = freed else { return Ok(()) };
    let used: Option<i64> =
        sqlx::query_scalar("SELECT bytes FROM keyvalue_usage WHERE identity = ?")
            .bind(bucket.identity)
            .fetch_optional(&mut **transaction)
            .await?;
    let bytes = used.unwrap_or(0) - charge(bucket, key, 0) - freed;
    set_usage(transaction, bucket.identity, bytes.max(0)).await
}

async fn set_usage(
    transaction: &mut Transaction<'_, Sqlite>,
    identity: &str,
    bytes: i64,
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO keyvalue_usage (identity, bytes) VALUES (?,?) \
         ON CONFLICT (identity) DO UPDATE SET bytes = excluded.bytes",
    )
    .bind(identity)
    .bind(bytes)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
