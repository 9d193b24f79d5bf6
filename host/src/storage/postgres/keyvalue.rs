//! Key-value pairs in PostgreSQL. A change is a transaction that holds the identity's row of
//! `keyvalue_usage` from its first statement on; dropped half way, its connection is closed and
//! the server rolls back.

use super::read::text;
use super::{PostgresStorage, StorageError, TRY_TIME, Tries, ask, within};
use crate::storage::keyvalue::{KEYS_PAGE, PAIRS_PAGE, QUOTA_BYTES, charge, check, sum};
use crate::storage::{Answer, Bucket, KeyPage, KeyValue, Pair, PairKey};
use futures::FutureExt;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

type Result<T> = std::result::Result<T, StorageError>;

const READING: &str = "reading a key";
const WRITING: &str = "writing a key";

/// What to do to one key.
#[derive(Clone, Copy)]
enum Change<'a> {
    Set(&'a [u8]),
    Delete,
    Increment(i64),
}

impl KeyValue for PostgresStorage {
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

async fn get(store: &PostgresStorage, bucket: Bucket<'_>, key: &str) -> Result<Option<Vec<u8>>> {
    ask!(store, READING, connection => sqlx::query_scalar(
        "SELECT value FROM keyvalue WHERE identity = $1 AND bucket = $2 AND key = $3",
    )
    .bind(bucket.identity.as_bytes())
    .bind(bucket.name.as_bytes())
    .bind(key.as_bytes())
    .fetch_optional(connection))
}

async fn exists(store: &PostgresStorage, bucket: Bucket<'_>, key: &str) -> Result<bool> {
    ask!(store, READING, connection => sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM keyvalue \
         WHERE identity = $1 AND bucket = $2 AND key = $3)",
    )
    .bind(bucket.identity.as_bytes())
    .bind(bucket.name.as_bytes())
    .bind(key.as_bytes())
    .fetch_one(connection))
}

async fn keys(store: &PostgresStorage, bucket: Bucket<'_>, after: Option<&str>) -> Result<KeyPage> {
    // The empty text is a key too, so "from the start" is not the same as "after the empty key".
    let rows = ask!(store, READING, connection => sqlx::query(
        "SELECT key FROM keyvalue WHERE identity = $1 AND bucket = $2 \
         AND key >= $3 AND ($4 OR key > $3) ORDER BY key LIMIT $5",
    )
    .bind(bucket.identity.as_bytes())
    .bind(bucket.name.as_bytes())
    .bind(after.unwrap_or_default().as_bytes())
    .bind(after.is_none())
    .bind(i64::try_from(KEYS_PAGE + 1).unwrap_or(i64::MAX))
    .fetch_all(connection))?;
    let keys = rows.iter().map(|row| text(row, 0)).collect::<sqlx::Result<Vec<_>>>();
    let mut keys = keys.map_err(|error| store.failed(READING, error))?;
    let more = keys.len() > KEYS_PAGE;
    keys.truncate(KEYS_PAGE);
    let next = keys.last().filter(|_| more).cloned();
    Ok(KeyPage { keys, next })
}

async fn pairs(store: &PostgresStorage, after: Option<&PairKey>) -> Result<Vec<Pair>> {
    let part = |part: fn(&PairKey) -> &String| after.map_or(&[][..], |key| part(key).as_bytes());
    let rows = ask!(store, "reading all keys", connection => sqlx::query(
        "SELECT identity, bucket, key, value FROM keyvalue \
         WHERE (identity, bucket, key) >= ($1, $2, $3) \
         AND ($4 OR (identity, bucket, key) > ($1, $2, $3)) \
         ORDER BY identity, bucket, key LIMIT $5",
    )
    .bind(part(|key| &key.identity))
    .bind(part(|key| &key.bucket))
    .bind(part(|key| &key.key))
    .bind(after.is_none())
    .bind(i64::try_from(PAIRS_PAGE).unwrap_or(i64::MAX))
    .fetch_all(connection))?;
    let pair = |row: &PgRow| {
        let key = PairKey { identity: text(row, 0)?, bucket: text(row, 1)?, key: text(row, 2)? };
        Ok((key, row.try_get(3)?))
    };
    let pairs = rows.iter().map(pair).collect::<sqlx::Result<_>>();
    pairs.map_err(|error| store.failed("reading all keys", error))
}

/// Makes one change in a transaction of its own. Returns the sum of an increment, else 0.
async fn change(
    store: &PostgresStorage,
    bucket: Bucket<'_>,
    key: &str,
    change: Change<'_>,
) -> Result<i64> {
    let value = match change {
        Change::Set(value) => value,
        Change::Delete | Change::Increment(_) => &[],
    };
    check(bucket, key, value)?;
    let mut tries = Tries::new(store, WRITING);
    loop {
        let mut committing = false;
        let trouble = match store.lease().await {
            Ok(mut lease) => {
                let work = transact(&mut lease.connection, bucket, key, change, &mut committing);
                match within(TRY_TIME, work).await {
                    Ok(answer) => {
                        lease.done();
                        return answer;
                    }
                    Err(trouble) => trouble,
                }
            }
            Err(trouble) => trouble,
        };
        if committing && trouble.is_doubtful() && matches!(change, Change::Increment(_)) {
            // Setting and removing may be done twice; adding may not.
            let reason = "the connection was lost while it was added to; read it to know";
            return Err(store.failed(WRITING, reason));
        }
        tries.after(trouble).await?;
    }
}

/// The transaction. A change that a limit refuses is rolled back and the refusal returned.
async fn transact(
    connection: &mut PgConnection,
    bucket: Bucket<'_>,
    key: &str,
    change: Change<'_>,
    committing: &mut bool,
) -> sqlx::Result<Result<i64>> {
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    let done = apply(connection, bucket, key, change).await?;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    *committing = done.is_ok();
    sqlx::raw_sql(end).execute(connection).await?;
    Ok(done)
}

async fn apply(
    connection: &mut PgConnection,
    bucket: Bucket<'_>,
    key: &str,
    change: Change<'_>,
) -> sqlx::Result<Result<i64>> {
    // Locks the row, and reads it as it is then; makes one for a new identity.
    let used: i64 = sqlx::query_scalar(
        "INSERT INTO keyvalue_usage AS usage (identity, bytes) VALUES ($1, 0) \
         ON CONFLICT (identity) DO UPDATE SET bytes = usage.bytes RETURNING bytes",
    )
    .bind(bucket.identity.as_bytes())
    .fetch_one(&mut *connection)
    .await?;
    match change {
        Change::Set(value) => Ok(put(connection, bucket, key, value, used).await?.map(|()| 0)),
        Change::Delete => delete(connection, bucket, key, used).await.map(|()| Ok(0)),
        Change::Increment(delta) => {
            let stored: Option<Vec<u8>> = sqlx::query_scalar(
                "SELECT value FROM keyvalue WHERE identity = $1 AND bucket = $2 AND key = $3",
            )
            .bind(bucket.identity.as_bytes())
            .bind(bucket.name.as_bytes())
            .bind(key.as_bytes())
            .fetch_optional(&mut *connection)
            .await?;
            let sum = match sum(key, stored.as_deref(), delta) {
                Ok(sum) => sum,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let value = sum.to_string();
            Ok(put(connection, bucket, key, value.as_bytes(), used).await?.map(|()| sum))
        }
    }
}

async fn put(
    connection: &mut PgConnection,
    bucket: Bucket<'_>,
    key: &str,
    value: &[u8],
    used: i64,
) -> sqlx::Result<Result<()>> {
    let replaced: Option<i32> = sqlx::query_scalar(
        "SELECT octet_length(value) FROM keyvalue \
         WHERE identity = $1 AND bucket = $2 AND key = $3",
    )
    .bind(bucket.identity.as_bytes())
    .bind(bucket.name.as_bytes())
    .bind(key.as_bytes())
    .fetch_optional(&mut *connection)
    .await?;
    let freed = replaced.map_or(0, |bytes| charge(bucket, key, 0) + i64::from(bytes));
    let bytes = used - freed + charge(bucket, key, value.len());
    // Over the quota, a pair may still be replaced by a smaller one.
    if bytes > QUOTA_BYTES && bytes > used {
        let identity = bucket.identity.to_owned();
        return Ok(Err(StorageError::Quota { identity, limit: QUOTA_BYTES }));
    }
    sqlx::query(
        "INSERT INTO keyvalue (identity, bucket, key, value) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (identity, bucket, key) DO UPDATE SET value = excluded.value",
    )
    .bind(bucket.identity.as_bytes())
    .bind(bucket.name.as_bytes())
    .bind(key.as_bytes())
    .bind(value)
    .execute(&mut *connection)
    .await?;
    set_usage(connection, bucket.identity, bytes).await.map(Ok)
}

async fn delete(
    connection: &mut PgConnection,
    bucket: Bucket<'_>,
    key: &str,
    used: i64,
) -> sqlx::Result<()> {
    let freed: Option<i32> = sqlx::query_scalar(
        "DELETE FROM keyvalue WHERE identity = $1 AND bucket = $2 AND key = $3 \
         RETURNING octet_length(value)",
    )
    .bind(bucket.identity.as_bytes())
    .bind(bucket.name.as_bytes())
    .bind(key.as_bytes())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(freed) = freed else { return Ok(()) };
    let bytes = used - charge(bucket, key, 0) - i64::from(freed);
    set_usage(connection, bucket.identity, bytes.max(0)).await
}

async fn set_usage(connection: &mut PgConnection, identity: &str, bytes: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE keyvalue_usage SET bytes = $2 WHERE identity = $1")
        .bind(identity.as_bytes())
        .bind(bytes)
        .execute(connection)
        .await?;
    Ok(())
}
