//! Where a store is: the text after `--store`, checked. Secrets go in and never come out as text.

use super::{Storage, StorageError, sqlite};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: a file, created with its directory when missing.
    Sqlite(PathBuf),
    /// `postgres://USER@HOST:PORT/DATABASE?…`: a schema in a database that exists already.
    Postgres(PostgresUrl),
    /// `memory:`: gone when the store is dropped.
    Memory,
}

/// The address of a PostgreSQL database and a schema in it. Prints itself without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// Without the parameters that are this program's own.
    url: Url,
    schema: String,
    connect_time: Duration,
}

/// The schema, unless `?schema=` names another.
const SCHEMA: &str = "aos";
/// How long connecting may take, unless `?connect_timeout=` says how many seconds.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// The longest time that may be given, in seconds.
const CONNECT_SECONDS_MAX: u64 = 600;
/// The longest name of a schema, in bytes (NAMEDATALEN - 1).
const SCHEMA_BYTES_MAX: usize = 63;
/// What PostgreSQL's own programs take as well and this one hands on.
const PARAMETERS: [&str; 10] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
];
/// `allow` is missing: it would send the first message in the clear.
const SSL_MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

impl FromStr for StoreUrl {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Self, StorageError> {
        let error = |hint: String| StorageError::Url { text: shown(text), hint };
        let refuse = |hint: &str| Err(error(hint.to_owned()));
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => refuse(" (nothing follows `memory:`)"),
            Some(("sqlite", "")) => refuse(" (the path is missing)"),
            Some(("sqlite", path)) if path.contains('\0') => refuse(" (the path has a zero byte)"),
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("postgres" | "postgresql", _)) => match PostgresUrl::parse(text) {
                Ok(url) => Ok(Self::Postgres(url)),
                Err(what) => Err(error(format!(" ({what})"))),
            },
            _ => refuse(""),
        }
    }
}

/// As it may be told to anybody: a password may stand before an `@` or after a `?`.
fn shown(text: &str) -> String {
    if !text.contains(['@', '?']) {
        return text.to_owned();
    }
    match text.split_once("://") {
        Some((scheme, _)) if !scheme.contains(['@', '?']) => format!("{scheme}://…"),
        _ => "…".to_owned(),
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

impl StoreUrl {
    /// Opens the store, creating or migrating it first when needed. Needs a tokio runtime.
    /// Fails with `Unreachable`, `Corrupt`, `Newer`, `Busy` or `Full`.
    pub async fn open(&self) -> Result<Arc<dyn Storage>, StorageError> {
        match self {
            Self::Sqlite(_) | Self::Memory => {
                Ok(Arc::new(sqlite::SqliteStorage::open(self).await?))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                Ok(Arc::new(super::postgres::PostgresStorage::open(url.clone()).await?))
            }
            #[cfg(not(feature = "postgres"))]
            Self::Postgres(url) => Err(StorageError::Unreachable {
                place: url.to_string(),
                done: "reached",
                reason: "this program was built without PostgreSQL".to_owned(),
                instead: "build it with `--features postgres`, or use `--store sqlite:PATH`",
            }),
        }
    }
}

impl PostgresUrl {
    /// Reads it. The error says what is wrong, without what may be a secret.
    fn parse(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| error.to_string())?;
        if url.cannot_be_a_base() || !text.contains("://") {
            return Err("`//` is missing after the colon".to_owned());
        }
        if url.fragment().is_some() {
            return Err("write a `#` in a name or password as %23".to_owned());
        }
        let (mut schema, mut connect_time) = (SCHEMA.to_owned(), CONNECT_TIME);
        let mut kept = Vec::new();
        for (name, value) in url.query_pairs() {
            match &*name {
                "schema" => schema = checked_schema(&value)?,
                "connect_timeout" => connect_time = checked_time(&value)?,
                "sslmode" if !SSL_MODES.contains(&&*value) => {
                    return Err(format!("sslmode is one of {}", SSL_MODES.join(", ")));
                }
                name if PARAMETERS.contains(&name) => {
                    kept.push((name.to_owned(), value.into_owned()));
                }
                _ => {
                    let known = PARAMETERS.join(", ");
                    return Err(format!(
                        "it has a parameter that is none of schema, connect_timeout, {known}"
                    ));
                }
            }
        }
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        Ok(Self { url, schema, connect_time })
    }

    /// For the driver: with the password, and without this program's own parameters.
    #[cfg(feature = "postgres")]
    pub(super) fn secret(&self) -> &Url {
        &self.url
    }

    /// The schema: lower-case letters, digits and `_`, so it needs no quoting.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// How long connecting may take.
    pub fn connect_time(&self) -> Duration {
        self.connect_time
    }
}

fn checked_schema(name: &str) -> Result<String, String> {
    let fits = (1..=SCHEMA_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.starts_with("pg_")
        && name != "public"
        && name != "information_schema";
    match fits {
        true => Ok(name.to_owned()),
        false => Err("schema is a name of its own of lower-case letters, digits and _, \
             at most 63, that starts with neither a digit nor pg_"
            .to_owned()),
    }
}

fn checked_time(seconds: &str) -> Result<Duration, String> {
    match seconds.parse() {
        Ok(seconds @ 1..=CONNECT_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("connect_timeout is 1 to {CONNECT_SECONDS_MAX} seconds")),
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        // Refused for an address without a host, which has no password either.
        let _without = url.set_password(None);
        let secret = |name: &str| name == "password";
        let kept: Vec<_> = self.url.query_pairs().filter(|(name, _)| !secret(name)).collect();
        url.query_pairs_mut().clear().extend_pairs(kept).append_pair("schema", &self.schema);
        url.fmt(f)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StoreUrl, String> {
        text.parse::<StoreUrl>().map_err(|error| error.to_string())
    }

    #[test]
    fn urls_are_read_or_refused_in_one_sentence() {
        assert_eq!(parse("memory:").unwrap(), StoreUrl::Memory);
        assert_eq!(parse("sqlite:/a b/c.db").unwrap(), StoreUrl::Sqlite("/a b/c.db".into()));
        for wrong in ["", "memory", "memory:x", "sqlite:", "sqlite", "/a.db", "mysql://h/d", "x:y"]
        {
            let sentence = parse(wrong).unwrap_err();
            assert!(sentence.contains("use `sqlite:PATH`, `postgres://"), "{sentence}");
        }
    }

    #[test]
    fn an_address_of_a_server_is_read_whole() {
        let text = "postgres://me:pw@db.example:5433/agents?sslmode=verify-full&schema=a_1\
             &connect_timeout=3";
        let StoreUrl::Postgres(url) = parse(text).unwrap() else { panic!("not PostgreSQL") };
        assert_eq!((url.schema(), url.connect_time()), ("a_1", Duration::from_secs(3)));
        let shown = "postgres://me@db.example:5433/agents?sslmode=verify-full&schema=a_1";
        assert_eq!(url.to_string(), shown);
        let StoreUrl::Postgres(plain) = parse("postgresql://h").unwrap() else { panic!("not it") };
        assert_eq!((plain.schema(), plain.connect_time()), (SCHEMA, CONNECT_TIME));
        parse("postgres:///d?host=/run/postgresql&user=me").unwrap();
    }

    #[test]
    fn a_mistake_in_an_address_is_named() {
        for (text, says) in [
            ("postgres:h", "`//` is missing"),
            ("postgres://h:port/d", "port"),
            ("postgres://h/d#x", "%23"),
            ("postgres://h/d?sslmode=allow", "sslmode is one of disable"),
            ("postgres://h/d?sslmod=require", "none of schema, connect_timeout, sslmode"),
            ("postgres://h/d?options=-csearch_path=x", "none of schema"),
            ("postgres://h/d?connect_timeout=0", "1 to 600 seconds"),
            ("postgres://h/d?schema=", "schema is a name"),
            ("postgres://h/d?schema=a\"b", "schema is a name"),
            ("postgres://h/d?schema=Aos", "schema is a name"),
            ("postgres://h/d?schema=pg_catalog", "schema is a name"),
            ("postgres://h/d?schema=public", "schema is a name"),
        ] {
            let sentence = parse(text).unwrap_err();
            assert!(sentence.contains(says) && !sentence.contains('\n'), "{text}: {sentence}");
        }
    }

    #[test]
    fn a_password_is_never_told() {
        for text in [
            "postgres://me:hunter2@h/d",
            "postgres://me@h/d?password=hunter2",
            "postgres://me:hunter2@h/d?sslmode=no",
            "postgres://me:hunter2@h:port/d",
            "postgres://me:hunter2@h/d?pasword=hunter2",
            "postgres://me:hunter2#3@h/d",
            "postgre://me:hunter2@h/d",
            "psql:me:hunter2@h",
        ] {
            let told = match parse(text) {
                Ok(url) => format!("{url} {url:?}"),
                Err(sentence) => sentence,
            };
            assert!(!told.contains("hunter"), "{text}: {told}");
        }
    }
}
