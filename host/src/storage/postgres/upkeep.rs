//! Upkeep: looking a store over, tidying it, and making it a copy of another.

use super::{PostgresStorage, StorageError, TRY_TIME, Tries, ask, within};
use crate::storage::{Compacted, FINDINGS_MAX, StoreId};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use std::time::Duration;

/// How long looking a whole store over may take.
const CHECK_TIME: Duration = Duration::from_secs(24 * 3600);

/// Settings without which a commit says nothing of the disk.
const SAFE: [&str; 2] = ["fsync", "full_page_writes"];

pub(super) async fn adopt(store: &PostgresStorage, id: StoreId) -> Result<(), StorageError> {
    const ADOPTING: &str = "giving it the id of another";
    let done = ask!(store, ADOPTING, connection => sqlx::query(
        "UPDATE store SET id = $1 WHERE NOT EXISTS (SELECT 1 FROM chains)",
    )
    .bind(&id.0[..])
    .execute(connection))?;
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(store.failed(ADOPTING, "it has chains already")),
    }
}

pub(super) async fn check(store: &PostgresStorage) -> Result<Vec<String>, StorageError> {
    let mut tries = Tries::new(store, "checking it");
    loop {
        let trouble = match store.lease().await {
            Ok(mut lease) => match within(CHECK_TIME, findings(&mut lease.connection)).await {
                Ok(mut findings) => {
                    lease.done();
                    findings.truncate(FINDINGS_MAX);
                    return Ok(findings);
                }
                Err(trouble) => trouble,
            },
            Err(trouble) => trouble,
        };
        tries.after(trouble).await?;
    }
}

async fn findings(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let mut found = Vec::new();
    for setting in SAFE {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut *connection)
            .await?;
        if value != "on" {
            found.push(format!("the server runs with {setting}={value}: a crash may damage it"));
        }
    }
    let broken = sqlx::query_scalar::<_, String>(
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         WHERE c.relnamespace = to_regnamespace(current_schema()) \
         AND NOT (i.indisvalid AND i.indisready) ORDER BY 1 LIMIT 100",
    )
    .fetch_all(&mut *connection)
    .await?;
    found.extend(broken.into_iter().map(|index| format!("the index {index} is not valid")));
    found.extend(usage(connection).await?);
    found.extend(indexes(connection).await?);
    Ok(found)
}

/// What the identities are charged must be what their pairs take.
async fn usage(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let rows = sqlx::query(
        "SELECT identity, coalesce(u.bytes, 0), coalesce(p.bytes, 0) FROM keyvalue_usage u \
         FULL JOIN (SELECT identity, sum($1 + octet_length(bucket) + octet_length(key) \
           + octet_length(value))::bigint AS bytes FROM keyvalue GROUP BY identity) p \
         USING (identity) WHERE coalesce(u.bytes, 0) <> coalesce(p.bytes, 0) LIMIT 100",
    )
    .bind(crate::storage::keyvalue::PAIR_BYTES)
    .fetch_all(connection)
    .await?;
    let finding = |row: &sqlx::postgres::PgRow| {
        let (charged, taken): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let identity = super::read::text(row, 0)?;
        Ok(format!("`{identity}` is charged {charged} bytes for pairs that take {taken}"))
    };
    rows.iter().map(finding).collect()
}

/// Compares each index with its table, where the server offers that to this user: the extension
/// `amcheck`, whose functions are for superusers unless granted.
async fn indexes(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let function: Option<String> = sqlx::query_scalar(
        "SELECT p.oid::regprocedure::text FROM pg_extension e \
         JOIN pg_proc p ON p.pronamespace = e.extnamespace \
         WHERE e.extname = 'amcheck' AND p.proname = 'bt_index_check' AND p.pronargs = 2 \
         AND has_function_privilege(p.oid, 'EXECUTE') LIMIT 1",
    )
    .fetch_optional(&mut *connection)
    .await?;
    // `name(arguments)`, quoted by the server where it needs to be.
    let Some(function) = function.as_deref().and_then(|name| name.split('(').next()) else {
        return Ok(Vec::new());
    };
    let names = sqlx::query_scalar::<_, String>(
        "SELECT i.indexrelid::regclass::text FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indexrelid \
         WHERE c.relnamespace = to_regnamespace(current_schema()) ORDER BY 1",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut found = Vec::new();
    for name in names {
        let query = format!("SELECT {function}($1::regclass, true)");
        let checked = sqlx::query(AssertSqlSafe(query)).bind(&name).execute(&mut *connection).await;
        match checked {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("XX002") => {
                found.push(format!("the index {name} is damaged: {}", error.message()));
            }
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The size of all tables with their indexes, in bytes.
async fn size(connection: &mut PgConnection) -> sqlx::Result<u64> {
    let bytes: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class \
         WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r'",
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

pub(super) async fn compact(store: &PostgresStorage) -> Result<Compacted, StorageError> {
    const COMPACTING: &str = "compacting it";
    let failed = |error: sqlx::Error| store.failed(COMPACTING, error);
    let before_bytes = ask!(store, COMPACTING, connection => size(connection))?;
    let mut lease = match store.lease().await {
        Ok(lease) => lease,
        Err(trouble) => {
            return Err(trouble.explain(&store.target, COMPACTING, Duration::ZERO));
        }
    };
    // Each a statement of its own, since VACUUM runs in no transaction. FULL would lock all out.
    let tables = [
        "store",
        "chains",
        "journal",
        "bodies",
        "agents",
        "keyvalue",
        "keyvalue_usage",
        "documents",
        "contexts",
        "pages",
        "page_contents",
    ];
    for table in tables {
        let vacuum = format!("VACUUM (ANALYZE) {table}");
        sqlx::raw_sql(AssertSqlSafe(vacuum))
            .execute(&mut lease.connection)
            .await
            .map_err(failed)?;
    }
    let after_bytes = size(&mut lease.connection).await.map_err(failed)?;
    lease.done();
    Ok(Compacted { before_bytes, after_bytes })
}
