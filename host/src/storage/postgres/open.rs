//! Opening: the server's version, the schema and its version.

use super::connect::{Target, Trouble};
use super::{PATIENCE, PAUSES, SchemaVersions, StorageError, TRY_TIME, within};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use std::time::{Duration, Instant};

/// The schema, one script a version. A released script is never changed; version N is the first N.
pub(super) const MIGRATIONS: [&str; 4] = [
    include_str!("../../../migrations/postgres/0001_journal_and_keyvalue.sql"),
    include_str!("../../../migrations/postgres/0002_bodies_and_agents.sql"),
    include_str!("../../../migrations/postgres/0003_documents.sql"),
    include_str!("../../../migrations/postgres/0004_pages.sql"),
];

/// The schema version this program writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The oldest server that is tested against, as `server_version_num` has it.
const SERVER_MIN: i32 = 140_000;
/// How long a migration may take, and how long another process waits for it.
const MIGRATION_TIME: Duration = Duration::from_secs(600);
/// The first half of the advisory lock of migrations: "aosj" in ASCII.
const LOCK: i32 = 0x616f_736a;

const OPENING: &str = "opening it";
const MIGRATING: &str = "bringing its schema up to date";

/// What a database says about the schema.
struct Found {
    server: i32,
    encoding: String,
    /// Whether `store` is there, and how many relations are.
    store: bool,
    relations: i64,
}

pub(super) async fn open(target: &Target) -> Result<(PgConnection, SchemaVersions), StorageError> {
    let explain = |trouble: Trouble| trouble.explain(target, OPENING, Duration::ZERO);
    let mut connection = connect(target).await?;
    let before = within(TRY_TIME, version(&mut connection, target)).await.map_err(explain)??;
    if before != VERSION {
        migrate(&mut connection, target).await?;
    }
    Ok((connection, SchemaVersions { before, now: VERSION }))
}

/// Connects; a server that is only just starting is waited for.
async fn connect(target: &Target) -> Result<PgConnection, StorageError> {
    let since = Instant::now();
    loop {
        match target.connect().await {
            Err(trouble) if trouble.is_starting() && since.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSES.1).await;
            }
            done => {
                return done.map_err(|trouble| trouble.explain(target, OPENING, since.elapsed()));
            }
        }
    }
}

/// The version of the schema; 0 when there is none. Refuses what is no store of this program, a
/// newer one, and a server that is too old.
async fn version(
    connection: &mut PgConnection,
    target: &Target,
) -> Result<Result<i64, StorageError>, sqlx::Error> {
    let found = find(connection, target.url.schema()).await?;
    let place = target.place();
    let corrupt = |reason: &str| {
        let reason = reason.to_owned();
        Ok(Err(StorageError::Corrupt { place: target.place(), reason }))
    };
    if found.server < SERVER_MIN {
        let (major, oldest) = (found.server / 10_000, SERVER_MIN / 10_000);
        return corrupt(&format!("the server is PostgreSQL {major}; {oldest} is the oldest"));
    }
    if found.encoding != "UTF8" {
        return corrupt(&format!("the database's encoding is {}, not UTF8", found.encoding));
    }
    if !found.store && found.relations == 0 {
        return Ok(Ok(0));
    }
    const FOREIGN: &str = "the schema has tables of another program: name another, `?schema=…`";
    if !found.store {
        return corrupt(FOREIGN);
    }
    match sqlx::query_scalar("SELECT version FROM store WHERE one = 1").fetch_one(connection).await
    {
        Ok(newer) if newer > VERSION => {
            Ok(Err(StorageError::Newer { place, found: newer, known: VERSION }))
        }
        Ok(version) => Ok(Ok(version)),
        Err(sqlx::Error::RowNotFound) => corrupt("its table `store` is empty"),
        // No such column.
        Err(error) if super::connect::code(&error) == "42703" => corrupt(FOREIGN),
        Err(error) => Err(error),
    }
}

async fn find(connection: &mut PgConnection, schema: &str) -> Result<Found, sqlx::Error> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), \
         coalesce(bool_or(c.relname = 'store'), false), count(c.oid) \
         FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid \
         WHERE n.nspname = $1",
    )
    .bind(schema)
    .fetch_one(connection)
    .await?;
    Ok(Found {
        server: row.try_get(0)?,
        encoding: row.try_get(1)?,
        store: row.try_get(2)?,
        relations: row.try_get(3)?,
    })
}

/// Runs the scripts that are missing, in one transaction. Others that want to do the same wait for
/// the lock, and then find it done.
async fn migrate(connection: &mut PgConnection, target: &Target) -> Result<(), StorageError> {
    let since = Instant::now();
    let explain = |trouble: Trouble| trouble.explain(target, MIGRATING, since.elapsed());
    within(MIGRATION_TIME, try_migrate(connection, target)).await.map_err(explain)?
}

async fn try_migrate(
    connection: &mut PgConnection,
    target: &Target,
) -> Result<Result<(), StorageError>, sqlx::Error> {
    let schema = target.url.schema();
    let wait = format!("BEGIN; SET LOCAL lock_timeout = '{}s'", MIGRATION_TIME.as_secs());
    sqlx::raw_sql(AssertSqlSafe(wait)).execute(&mut *connection).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
        .bind(LOCK)
        .bind(schema)
        .execute(&mut *connection)
        .await?;
    let before = match version(&mut *connection, target).await? {
        Ok(before) => before,
        // The connection is dropped, and the transaction with it.
        Err(refused) => return Ok(Err(refused)),
    };
    if before == 0 {
        // Of letters, digits and `_`: PostgresUrl has checked it.
        let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?;
    }
    for script in MIGRATIONS.iter().skip(usize::try_from(before).unwrap_or(0)) {
        sqlx::raw_sql(*script).execute(&mut *connection).await?;
    }
    sqlx::query("UPDATE store SET version = $1").bind(VERSION).execute(&mut *connection).await?;
    // A store that its creator was told of is on the disk.
    sqlx::raw_sql("SET LOCAL synchronous_commit = 'on'; COMMIT").execute(&mut *connection).await?;
    Ok(Ok(()))
}
