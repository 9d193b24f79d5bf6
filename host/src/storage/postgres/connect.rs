//! Connecting, and what can go wrong between here and the server.

use super::{PostgresStorage, PostgresUrl, StorageError};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::time::Duration;
use tokio::sync::SemaphorePermit;

/// The server and how to speak to it.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) url: PostgresUrl,
    options: PgConnectOptions,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options hold the password.
        f.debug_tuple("Target").field(&self.url).finish()
    }
}

/// What every session is set to. Each is a matter of correctness, so the server's own defaults and
/// `PGOPTIONS`, which comes before, do not decide.
const SETTINGS: [(&str, &str); 8] = [
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("synchronous_commit", "off"),
    ("lock_timeout", "5s"),
    // So that a client that vanished holds no lock for long.
    ("idle_in_transaction_session_timeout", "30s"),
    ("bytea_output", "hex"),
    // pgvector's, 0.8 or newer: a filtered search goes on until it has enough. Elsewhere they are
    // words without a meaning.
    ("hnsw.iterative_scan", "strict_order"),
    ("hnsw.ef_search", "100"),
];

impl Target {
    pub(super) fn new(url: PostgresUrl) -> Result<Self, StorageError> {
        let options = PgConnectOptions::from_url(url.secret()).map_err(|_may_quote_it| {
            let hint = " (host, hostaddr or port is none)".to_owned();
            StorageError::Url { text: url.to_string(), hint }
        })?;
        let options = options
            .application_name("aos-host")
            .options([("search_path", url.schema())])
            .options(SETTINGS)
            .disable_statement_logging();
        Ok(Self { url, options })
    }

    /// Where it is, without its password.
    pub(super) fn place(&self) -> String {
        self.url.to_string()
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, Trouble> {
        let time = self.url.connect_time();
        match tokio::time::timeout(time, self.options.connect()).await {
            Ok(connected) => connected.map_err(Trouble::Connecting),
            Err(_elapsed) => Err(Trouble::Silent(time)),
        }
    }
}

/// A connection on loan. Dropped without [`Lease::done`], it is closed: a statement may still be
/// under way on it.
pub(super) struct Lease<'a> {
    pub(super) store: &'a PostgresStorage,
    pub(super) connection: PgConnection,
    pub(super) _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    /// Everything asked was answered, and no transaction is open: others may use it.
    pub(super) fn done(self) {
        self.store.keep(self.connection);
    }
}

/// Why a try came to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No connection was made.
    Connecting(sqlx::Error),
    /// The connection or the database failed.
    Database(sqlx::Error),
    /// No answer came for this long.
    Silent(Duration),
    /// The server does not have any more what it had committed, before it was synced.
    Forgetful,
    /// The store was closed.
    Closed,
}

/// The server's code, if it was the server.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

/// Whether the connection is gone, or the server is going or coming.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // Class 08: connection; admin, crash shutdown, cannot connect now; idle in transaction.
        error => {
            let code = code(error);
            code.starts_with("08") || matches!(&*code, "57P01" | "57P02" | "57P03" | "25P03")
        }
    }
}

/// Whether others were in the way: lock not available, deadlock, serialisation, connections.
fn is_busy(error: &sqlx::Error) -> bool {
    matches!(&*code(error), "55P03" | "40P01" | "40001" | "53300")
}

impl Trouble {
    /// Whether another try may go better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connecting(error) | Self::Database(error) => is_lost(error) || is_busy(error),
            Self::Silent(_) => true,
            Self::Forgetful | Self::Closed => false,
        }
    }

    /// Whether the server has a row of this key already.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Database(error) if code(error) == "23505")
    }

    /// Whether the same may be under way or done at the server.
    pub(super) fn is_doubtful(&self) -> bool {
        match self {
            Self::Database(error) => is_lost(error),
            Self::Silent(_) => true,
            Self::Connecting(_) | Self::Forgetful | Self::Closed => false,
        }
    }

    /// Whether the server says that it is only just starting.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self, Self::Connecting(error) if code(error) == "57P03")
    }

    /// Sorts it by what can be done about it.
    pub(super) fn explain(
        self,
        target: &Target,
        doing: &'static str,
        waited: Duration,
    ) -> StorageError {
        let place = target.place();
        let unreachable = |place, reason, instead| StorageError::Unreachable {
            place,
            done: "reached",
            reason,
            instead,
        };
        const START: &str = "see that the server runs and that the address is right, or use \
            another `--store`";
        let failed = |place, reason| StorageError::Failed { place, doing, reason };
        let error = match self {
            Self::Closed => return failed(place, "the store is closed".to_owned()),
            Self::Forgetful => {
                let reason = "the server has lost rows that it had taken and not yet synced: it \
                    crashed, or another took its place";
                return failed(place, reason.to_owned());
            }
            Self::Silent(time) => {
                let reason = format!("no answer within {} s", time.as_secs());
                return unreachable(place, reason, START);
            }
            Self::Connecting(error) | Self::Database(error) => error,
        };
        let reason = match error.as_database_error() {
            Some(error) => error.message().to_owned(),
            None => error.to_string(),
        };
        match &*code(&error) {
            // Names, passwords, rights to connect.
            "28000" | "28P01" => {
                const NAME: &str = "give the user in the address and the password in PGPASSWORD or \
                    ~/.pgpass";
                unreachable(place, reason, NAME)
            }
            "3D000" => unreachable(place, reason, "create the database first, or name another"),
            "42501" => {
                const RIGHT: &str = "give the user the right to it (CREATE on the database for a \
                    new schema), or use another `--store`";
                unreachable(place, reason, RIGHT)
            }
            "25006" => unreachable(place, reason, "name the primary server, not a standby"),
            // Tables or columns that are not there, or of another kind; damaged data or index.
            "42P01" | "42703" | "42804" | "3F000" | "XX001" | "XX002" => {
                StorageError::Corrupt { place, reason }
            }
            "53100" => StorageError::Full { place },
            _ if is_busy(&error) => StorageError::Busy { place, waited_ms: waited.as_millis() },
            _ if is_lost(&error) || matches!(error, sqlx::Error::Tls(_)) => {
                unreachable(place, reason, START)
            }
            _ => failed(place, reason),
        }
    }
}
