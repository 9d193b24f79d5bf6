//! Opening: the file and its rights, the connection, the schema version.

use super::{BUSY_TIMEOUT, Patience, READERS_MAX, SchemaVersions, StorageError, StoreUrl, explain};
use crate::storage::error::ANOTHER_PLACE;
use rustix::fs::Access;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, SqlitePool};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Marks a SQLite file as a store of this program: "aosj" in ASCII.
const APPLICATION_ID: i64 = 0x616f_736a;

/// The schema, one script a version. A released script is never changed; version N is the first N.
pub(super) const MIGRATIONS: [&str; 4] = [
    include_str!("../../../migrations/sqlite/0001_journal_and_keyvalue.sql"),
    include_str!("../../../migrations/sqlite/0002_bodies_and_agents.sql"),
    include_str!("../../../migrations/sqlite/0003_documents.sql"),
    include_str!("../../../migrations/sqlite/0004_pages.sql"),
];

/// The schema version this program writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// After how many pages (of 4 KiB) in the WAL a commit moves them to the database file. Half of
/// SQLite's default: the first process to open the file reads the WAL through.
const CHECKPOINT_PAGES: &str = "500";

/// Held from the look whether the file exists to its creation. While one thread of this process
/// creates it, no other may open it with SQLite: closing any handle of a file drops all locks that
/// the process has on it (POSIX), SQLite's too.
static CREATING: Mutex<()> = Mutex::new(());

pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) connection: SqliteConnection,
    pub(super) readers: Option<SqlitePool>,
    pub(super) schema: SchemaVersions,
}

/// What a database file says about itself.
struct Identity {
    application: i64,
    version: i64,
    tables: i64,
    journal_mode: String,
}

pub(super) async fn open(url: &StoreUrl) -> Result<Opened, StorageError> {
    match url {
        StoreUrl::Memory => {
            let path = PathBuf::from("memory:");
            let options = options().filename(":memory:").in_memory(true);
            let mut connection = connect(&path, &options).await?;
            let schema = versions(migrate(&path, &mut connection).await?);
            Ok(Opened { path, connection, readers: None, schema })
        }
        StoreUrl::Postgres(url) => Err(StorageError::Failed {
            place: url.to_string(),
            doing: "opening it",
            reason: "it is no place for SQLite".to_owned(),
        }),
        StoreUrl::Sqlite(path) => {
            // Absolute, so that it never reads as a `file:` URI or an option.
            let path = std::path::absolute(path).map_err(|error| unwritable(path, &error))?;
            prepare_file(&path)?;
            let options = options().filename(&path);
            let mut connection = connect(&path, &options).await?;
            let schema = versions(settle(&path, &mut connection).await?);
            // No idle or age limit: the pool then runs no maintenance task.
            let readers = SqlitePoolOptions::new()
                .max_connections(READERS_MAX)
                .min_connections(0)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_lazy_with(options.pragma("query_only", "ON"));
            Ok(Opened { path, connection, readers: Some(readers), schema })
        }
    }
}

fn versions(before: i64) -> SchemaVersions {
    SchemaVersions { before, now: VERSION }
}

fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("trusted_schema", "OFF")
        // In KiB, as it is negative: rows are appended, and what was read is seldom read again.
        .pragma("cache_size", "-512")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", "16777216")
        .thread_name(|id| format!("aos-sqlite-{id}"))
        .disable_statement_logging()
}

async fn connect(
    path: &Path,
    options: &SqliteConnectOptions,
) -> Result<SqliteConnection, StorageError> {
    let mut patience = Patience::new();
    loop {
        match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) => patience.after(path, "opening it", error).await?,
        }
    }
}

/// Creates the directory (0700) and an empty file (0600) where missing, and checks that both can be
/// written: SQLite would silently open a file read-only.
fn prepare_file(path: &Path) -> Result<(), StorageError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
    if !path.exists() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| unwritable(directory, &error))?;
        let created =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match created {
            // Another process was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => drop(other.map_err(|error| unwritable(path, &error))?),
        }
    }
    drop(creating);
    if path.is_dir() {
        return Err(unwritable(path, &std::io::Error::other("it is a directory")));
    }
    for place in [path, directory] {
        rustix::fs::access(place, Access::WRITE_OK)
            .map_err(|error| unwritable(place, &std::io::Error::from(error)))?;
    }
    Ok(())
}

fn unwritable(path: &Path, error: &std::io::Error) -> StorageError {
    StorageError::Unreachable {
        place: path.display().to_string(),
        done: "written",
        reason: error.to_string(),
        instead: ANOTHER_PLACE,
    }
}

/// Brings the file to WAL mode and to this program's schema; one query when it already is. Returns
/// the version that was found.
async fn settle(path: &Path, connection: &mut SqliteConnection) -> Result<i64, StorageError> {
    let mut patience = Patience::new();
    loop {
        match identify(connection).await {
            Ok(found) => {
                check(path, &found)?;
                if found.version == VERSION && found.journal_mode == "wal" {
                    return Ok(VERSION);
                }
                // Refused without waiting while others have the file open; then it is tried again.
                match sqlx::query("PRAGMA journal_mode=WAL").execute(&mut *connection).await {
                    Ok(_) => return migrate(path, connection).await,
                    Err(error) => patience.after(path, "switching it to WAL", error).await?,
                }
            }
            Err(error) => patience.after(path, "reading its version", error).await?,
        }
    }
}

async fn identify(connection: &mut SqliteConnection) -> Result<Identity, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT application_id FROM pragma_application_id), \
         (SELECT user_version FROM pragma_user_version), \
         (SELECT count(*) FROM sqlite_schema), \
         (SELECT journal_mode FROM pragma_journal_mode)",
    )
    .fetch_one(connection)
    .await?;
    Ok(Identity {
        application: row.try_get_unchecked(0)?,
        version: row.try_get_unchecked(1)?,
        tables: row.try_get_unchecked(2)?,
        journal_mode: row.try_get_unchecked(3)?,
    })
}

/// Refuses a file of another program or of a newer version of this one.
fn check(path: &Path, found: &Identity) -> Result<(), StorageError> {
    let empty = found.application == 0 && found.version == 0 && found.tables == 0;
    if !empty && found.application != APPLICATION_ID {
        return Err(StorageError::Corrupt {
            place: path.display().to_string(),
            reason: "it is a database of another program".to_owned(),
        });
    }
    if found.version > VERSION {
        let (place, found) = (path.display().to_string(), found.version);
        return Err(StorageError::Newer { place, found, known: VERSION });
    }
    Ok(())
}

/// Runs the scripts that the file lacks, in one transaction that other processes wait for. sqlx's
/// own migrator takes no lock on SQLite, and twenty processes may start on an empty file. Returns
/// the version that was found.
async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<i64, StorageError> {
    let mut patience = Patience::new();
    loop {
        match try_migrate(path, connection).await {
            Ok(before) => return Ok(before),
            Err(MigrateError::Refused(error)) => return Err(error),
            Err(MigrateError::Database(error)) => {
                patience.after(path, "bringing its schema up to date", error).await?;
            }
        }
    }
}

enum MigrateError {
    Refused(StorageError),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

async fn try_migrate(path: &Path, connection: &mut SqliteConnection) -> Result<i64, MigrateError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found = identify(&mut transaction).await?;
    check(path, &found).map_err(MigrateError::Refused)?;
    let missing = MIGRATIONS.iter().skip(usize::try_from(found.version).unwrap_or(0));
    for script in missing {
        sqlx::raw_sql(*script).execute(&mut *transaction).await?;
    }
    let stamp = format!("PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(stamp)).execute(&mut *transaction).await?;
    transaction.commit().await.map_err(|error| {
        MigrateError::Refused(explain(path, "bringing its schema up to date", &error))
    })?;
    Ok(found.version)
}
