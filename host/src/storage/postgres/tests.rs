//! What PostgreSQL adds to the conformance suite: schemas, versions, many writers, lost
//! connections. They need a server: `AOS_TEST_POSTGRES=postgres://USER:PASSWORD@HOST:PORT/DATABASE`
//! by TCP, with a user who may create schemas. `tests/run.sh` starts one.

mod faults;
mod proxy;

use super::*;
use crate::storage::conformance::{self, chain, row};
use crate::storage::pages::Contexts;
use crate::storage::{Bucket, Document, KeyValue, Processes, Scope, Space, StoreUrl};
use crate::types::CallId;
use proxy::{Mode, Proxy};
use sqlx::AssertSqlSafe;
use std::sync::Arc;
use url::Url;

const A: Bucket<'static> = Bucket { identity: "a", name: "" };

/// The server to test with.
fn server() -> Url {
    let text = std::env::var("AOS_TEST_POSTGRES")
        .expect("AOS_TEST_POSTGRES names no server: run tests/run.sh, which starts one");
    Url::parse(&text).expect("AOS_TEST_POSTGRES is an address")
}

/// A schema that no other test has.
fn schema(server: &Url) -> Url {
    let mut url = server.clone();
    let name = format!("t_{}", CallId::fresh().0.simple());
    url.query_pairs_mut().append_pair("schema", &name);
    url
}

fn parsed(url: &Url) -> PostgresUrl {
    match url.as_str().parse().unwrap() {
        StoreUrl::Postgres(url) => url,
        StoreUrl::Sqlite(_) | StoreUrl::Memory => panic!("not PostgreSQL"),
    }
}

async fn open(url: &Url) -> PostgresStorage {
    PostgresStorage::open(parsed(url)).await.unwrap()
}

/// Runs SQL in the schema, beside the store.
async fn edit(url: &Url, sql: &str) {
    let mut connection = Target::new(parsed(url)).unwrap().connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

async fn drop_schema(url: &Url) {
    edit(url, &format!("DROP SCHEMA IF EXISTS {} CASCADE", parsed(url).schema())).await;
}

fn one_chain(id: u8, rows: i64) -> Batch {
    let chain = chain(id);
    Batch {
        rows: (0..rows).map(|seq| row(&chain, seq, "{}")).collect(),
        opened: vec![chain],
        ..Batch::default()
    }
}

async fn seqs(store: &PostgresStorage, chain: i64) -> Vec<i64> {
    let range = RowRange { from: (chain, i64::MIN), until_chain: chain };
    store.rows(range, 1000).await.unwrap().iter().map(|row| row.seq).collect()
}

/// Runs the suite on a server.
async fn conforms(server: &Url) {
    let probe = schema(server);
    let vectors = sqlx::query_scalar::<_, bool>(
        "SELECT EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector')",
    );
    let mut connection = Target::new(parsed(&probe)).unwrap().connect().await.unwrap();
    let vectors = vectors.fetch_one(&mut connection).await.unwrap();
    let urls = Mutex::new(Vec::new());
    let open = async || {
        let url = schema(server);
        urls.lock().unwrap().push(url.clone());
        Arc::new(PostgresStorage::open(parsed(&url)).await.unwrap()) as Arc<dyn Storage>
    };
    conformance::run(open, vectors).await;
    for url in urls.into_inner().unwrap() {
        drop_schema(&url).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn postgres_conforms() {
    conforms(&server()).await;
}

/// The server with pgvector.
fn server_with_vectors() -> Url {
    let text = std::env::var("AOS_TEST_POSTGRES_VECTORS")
        .expect("AOS_TEST_POSTGRES_VECTORS names no server with pgvector: see tests/postgres.sh");
    Url::parse(&text).expect("AOS_TEST_POSTGRES_VECTORS is an address")
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn postgres_with_pgvector_conforms() {
    let server = server_with_vectors();
    let url = schema(&server);
    let store = open(&url).await;
    let space = Space { model: "m".into(), version: String::new(), dimensions: 2 };
    let one = Document { id: "a".into(), text: String::new(), vector: Some(vec![1.0, 0.0]) };
    store.put_documents("a", &[one], Some(&space)).await.unwrap();
    drop_schema(&url).await;
    conforms(&server).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn postgres_finds_enough_of_one_agent_by_the_index_among_many() {
    let url = schema(&server_with_vectors());
    let store = open(&url).await;
    let space = Space { model: "m".into(), version: String::new(), dimensions: 16 };
    let vector = |number: u32| -> Vec<f32> {
        let digest = blake3::hash(&number.to_le_bytes());
        digest.as_bytes()[..16].iter().map(|byte| f32::from(*byte) - 127.5).collect()
    };
    for part in 0..5u32 {
        let one = |number: u32| Document {
            id: number.to_string(),
            text: String::new(),
            vector: Some(vector(number)),
        };
        let put: Vec<_> = (part * 1000..(part + 1) * 1000).map(one).collect();
        store.put_documents("many", &put, Some(&space)).await.unwrap();
    }
    let few: Vec<_> = (0..10u32)
        .map(|n| Document {
            id: n.to_string(),
            text: String::new(),
            vector: Some(vector(9000 + n)),
        })
        .collect();
    store.put_documents("few", &few, Some(&space)).await.unwrap();
    edit(&url, "ANALYZE").await;
    let found = store.find_nearest(Scope::Agent("few"), &space, &vector(1), 10).await.unwrap();
    assert_eq!(found.len(), 10, "a filtered search goes on until it has enough");
    let schema = parsed(&url).schema().to_owned();
    let mut lease = store.lease().await.unwrap();
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
        "EXPLAIN SELECT document FROM {schema}.vectors WHERE space = 1 \
         ORDER BY vector::public.halfvec(16) OPERATOR(public.<#>) \
         (SELECT vector FROM {schema}.vectors LIMIT 1)::public.halfvec(16) LIMIT 10"
    )))
    .fetch_all(&mut lease.connection)
    .await
    .unwrap();
    assert!(plan.join(" ").contains("vectors_nearest_1"), "{plan:?}");
    drop(lease);
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_newer_schema_is_refused_with_both_versions() {
    let url = schema(&server());
    let versions = open(&url).await.schema();
    assert_eq!(versions, SchemaVersions { before: 0, now: open::VERSION });
    assert_eq!(open(&url).await.schema().before, open::VERSION);
    edit(&url, "UPDATE store SET version = 99").await;
    let error = PostgresStorage::open(parsed(&url)).await.unwrap_err();
    assert!(matches!(error, StorageError::Newer { found: 99, known: open::VERSION, .. }));
    let sentence = error.to_string();
    assert!(sentence.contains("version 99") && sentence.contains("knows up to "), "{sentence}");
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn what_is_no_store_is_refused_and_left_alone() {
    for tables in ["CREATE TABLE songs (name TEXT)", "CREATE TABLE store (name TEXT)"] {
        let url = schema(&server());
        let name = parsed(&url).schema().to_owned();
        edit(&url, &format!("CREATE SCHEMA {name}; {tables}")).await;
        let error = PostgresStorage::open(parsed(&url)).await.unwrap_err();
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("another program"), "{error}");
        drop_schema(&url).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn what_cannot_be_reached_is_told_without_the_password() {
    let server = server();
    let mut wrong = server.clone();
    wrong.set_password(Some("hunter2")).unwrap();
    let mut missing = server.clone();
    missing.set_path("there_is_no_such_database");
    let mut closed = server.clone();
    closed.set_port(Some(1)).unwrap();
    let mut modes = server.clone();
    modes.query_pairs_mut().append_pair("sslmode", "verify-full").append_pair("sslrootcert", "/no");
    let cases = [(wrong, "PGPASSWORD"), (missing, "create the database"), (closed, "refused")];
    for (url, says) in cases.iter().chain([&(modes, "")]) {
        let error = PostgresStorage::open(parsed(url)).await.unwrap_err();
        assert!(matches!(error, StorageError::Unreachable { .. }), "{error:?}");
        let told = format!("{error} {error:?}");
        assert!(told.contains(says), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
        assert!(server.password().is_none_or(|password| !told.contains(password)), "{told}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_certificate_is_checked_as_the_address_says() {
    let Some(ca) = std::env::var_os("AOS_TEST_POSTGRES_CA") else {
        panic!("AOS_TEST_POSTGRES_CA names no certificate: the server was started without TLS");
    };
    let with = |mode: &str, ca: Option<&str>, host: &str| {
        let mut url = schema(&server());
        url.set_host(Some(host)).unwrap();
        url.query_pairs_mut().append_pair("sslmode", mode);
        if let Some(ca) = ca {
            url.query_pairs_mut().append_pair("sslrootcert", ca);
        }
        url
    };
    let ca = ca.to_str();
    for (mode, ca, host, trusted) in [
        ("require", None, "localhost", true),
        ("verify-full", ca, "localhost", true),
        ("verify-ca", ca, "127.0.0.1", true),
        ("verify-full", ca, "127.0.0.1", false),
        ("verify-full", None, "localhost", false),
        ("verify-ca", None, "localhost", false),
    ] {
        let url = with(mode, ca, host);
        match PostgresStorage::open(parsed(&url)).await {
            Ok(store) => {
                assert!(trusted, "{mode} with {ca:?} at {host}");
                let mut lease = store.lease().await.unwrap();
                let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                let ssl = sqlx::query_scalar::<_, bool>(ssl).fetch_one(&mut lease.connection);
                assert!(ssl.await.unwrap(), "{mode} with {ca:?} at {host}");
                drop(lease);
                drop_schema(&url).await;
            }
            Err(error) => {
                assert!(!trusted, "{mode} with {ca:?} at {host}: {error}");
                assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn an_address_that_does_not_answer_is_left_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let url: Url =
        format!("postgres://me:pw@127.0.0.1:{port}/d?connect_timeout=1").parse().unwrap();
    let error = PostgresStorage::open(parsed(&url)).await.unwrap_err();
    assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("no answer within 1 s"), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn twenty_may_create_one_schema_at_once_and_register() {
    let url = schema(&server());
    let one = async |id: u8| {
        let store = open(&url).await;
        store.append(&one_chain(2 * id, 3), Durability::Written).await.unwrap();
        store.append(&one_chain(2 * id + 1, 3), Durability::Synced).await.unwrap();
    };
    futures::future::join_all((0..20).map(one)).await;
    let store = open(&url).await;
    let head = store.head().await.unwrap();
    assert_eq!(head.chains, 40);
    let mut previous = head.id.0.to_vec();
    for (record, number) in store.chains(ChainRange::From(0), 100).await.unwrap().iter().zip(1..) {
        let (id, first) = (&record.id, &record.first);
        let right = super::super::link(&previous, number, id, 7, &record.plugin, first);
        assert_eq!((record.number, &record.link[..]), (number, &right.0[..]));
        previous.clone_from(&record.link);
    }
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn many_increments_at_once_are_all_counted() {
    let url = schema(&server());
    let stores = [open(&url).await, open(&url).await];
    let add = async |index: usize| stores[index % 2].kv_increment(A, "n", 1).await.unwrap();
    futures::future::join_all((0..100).map(add)).await;
    assert_eq!(stores[0].kv_get(A, "n").await.unwrap().as_deref(), Some(&b"100"[..]));
    assert_eq!(stores[0].check().await.unwrap(), Vec::<String>::new());
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn any_text_is_taken_and_given_back() {
    let url = schema(&server());
    let store = open(&url).await;
    let mut batch = one_chain(1, 1);
    batch.rows[0].texts = crate::storage::Texts::new("a\0b", "\u{7f}", "/\0/ü", 0);
    store.append(&batch, Durability::Written).await.unwrap();
    let range = RowRange { from: (1, 0), until_chain: 1 };
    let back = &store.rows(range, 10).await.unwrap()[0];
    assert_eq!((&*back.who, &*back.capability, &*back.target), ("a\0b", "\u{7f}", "/\0/ü"));
    // As long as a name may be, and of bytes that do not compress.
    let long = |seed: u8| -> String {
        let digest = |block: u8| blake3::hash(&[seed, block]).to_hex().to_string();
        (0..16).map(digest).collect()
    };
    let (name, key) = (long(1), long(2));
    let bucket = Bucket { identity: "plugin", name: &name };
    store.kv_set(bucket, &key, b"x").await.unwrap();
    store.kv_set(bucket, "zero\0byte", b"x").await.unwrap();
    let keys = store.kv_keys(bucket, None).await.unwrap().keys;
    assert_eq!(keys, [key, "zero\0byte".to_owned()]);
    assert_eq!(store.kv_pairs(None).await.unwrap().len(), 2);
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_sync_is_asked_of_the_server_and_a_write_is_not() {
    let url = schema(&server());
    let store = open(&url).await;
    let batch = one_chain(1, 1);
    store.append(&batch, Durability::Written).await.unwrap();
    // The trigger sees what the commit will be.
    edit(
        &url,
        "CREATE TABLE seen (setting TEXT); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql \
         AS $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); \
         RETURN NULL; END $$; \
         CREATE TRIGGER see AFTER INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION see(); \
         CREATE TRIGGER see AFTER UPDATE ON store FOR EACH STATEMENT EXECUTE FUNCTION see()",
    )
    .await;
    for (seq, durability) in [(1, Durability::Synced), (2, Durability::Written)] {
        let rows = vec![row(&batch.opened[0], seq, "")];
        store
            .append(&Batch { rows, opened: Vec::new(), ..Batch::default() }, durability)
            .await
            .unwrap();
    }
    store.append(&one_chain(2, 1), Durability::Synced).await.unwrap();
    store.append(&Batch::default(), Durability::Synced).await.unwrap();
    let mut lease = store.lease().await.unwrap();
    let seen: Vec<String> = sqlx::query_scalar("SELECT setting FROM seen ORDER BY ctid")
        .fetch_all(&mut lease.connection)
        .await
        .unwrap();
    assert_eq!(seen, ["on", "off", "on", "on"]);
    drop(lease);
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn upkeep_finds_what_is_wrong_and_compacts() {
    let url = schema(&server());
    let store = open(&url).await;
    store.append(&one_chain(1, 100), Durability::Written).await.unwrap();
    store.kv_set(A, "k", b"1").await.unwrap();
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    let sizes = store.compact().await.unwrap();
    assert!(sizes.after_bytes > 0, "{sizes:?}");
    edit(&url, "UPDATE keyvalue_usage SET bytes = 1").await;
    let found = store.check().await.unwrap();
    assert_eq!(found, ["`a` is charged 1 bytes for pairs that take 66"]);
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_store_of_every_older_version_is_brought_forward_with_what_it_holds() {
    for version in 1..open::VERSION {
        let url = schema(&server());
        let name = parsed(&url).schema().to_owned();
        let scripts = open::MIGRATIONS[..usize::try_from(version).unwrap()].join("\n");
        let rows = format!(
            "UPDATE store SET version = {version}; \
             INSERT INTO chains VALUES (1, '\\x01', 7, 'old', '\\x02', '\\x03'); \
             INSERT INTO journal \
             VALUES (1, 0, 7, 'opened', 'old', '', '', '', '', '', '{{}}', '\\x00')"
        );
        edit(&url, &format!("CREATE SCHEMA {name}; {scripts}; {rows}")).await;
        let store = open(&url).await;
        assert_eq!(store.schema(), SchemaVersions { before: version, now: open::VERSION });
        let range = RowRange { from: (1, 0), until_chain: 1 };
        assert_eq!(store.rows(range, 10).await.unwrap()[0].who, "old");
        assert_eq!(store.take_pids(1).await.unwrap(), 1);
        let pages = crate::storage::Storage::pages(&store);
        assert_eq!(pages.contexts(Contexts::After(None)).await.unwrap(), []);
        drop_schema(&url).await;
    }
}
