//! What SQLite adds to the conformance suite: files, versions, locks, a full disk.

use super::*;
use crate::storage::conformance::{self, chain, row};
use crate::storage::pages::Contexts;
use crate::storage::{Bodies, Bucket, KeyValue, PackedBody, Processes};
use std::os::unix::fs::PermissionsExt;

fn file(directory: &tempfile::TempDir) -> StoreUrl {
    StoreUrl::Sqlite(directory.path().join("state/aos.db"))
}

async fn open(url: &StoreUrl) -> SqliteStorage {
    SqliteStorage::open(url).await.unwrap()
}

/// Runs SQL on the file beside the store.
async fn edit(url: &StoreUrl, sql: &str) {
    let StoreUrl::Sqlite(path) = url else { panic!("not a file") };
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn one_row() -> Batch {
    let chain = chain(1);
    Batch { rows: vec![row(&chain, 0, "{}")], opened: vec![chain], ..Batch::default() }
}

#[tokio::test]
async fn memory_conforms() {
    conformance::run(async || StoreUrl::Memory.open().await.unwrap(), true).await;
}

#[tokio::test]
async fn a_file_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    let open = async || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let url = StoreUrl::Sqlite(directory.path().join(format!("{number}.db")));
        url.open().await.unwrap()
    };
    conformance::run(open, true).await;
}

#[tokio::test]
async fn file_and_directory_belong_to_their_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let url = file(&directory);
    let store = open(&url).await;
    store.append(&one_row(), Durability::Written).await.unwrap();
    let mode = |path: &str| {
        let metadata = std::fs::metadata(directory.path().join(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("state"), 0o700);
    assert_eq!(mode("state/aos.db"), 0o600);
    assert_eq!(mode("state/aos.db-wal"), 0o600);
    assert_eq!(mode("state/aos.db-shm"), 0o600);
}

#[tokio::test]
async fn a_newer_store_is_refused_with_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let url = file(&directory);
    open(&url).await.close().await.unwrap();
    edit(&url, "PRAGMA user_version=99").await;
    let sentence = SqliteStorage::open(&url).await.unwrap_err().to_string();
    assert!(sentence.contains("version 99") && sentence.contains("knows up to "), "{sentence}");
    assert!(sentence.contains("aos.db"), "{sentence}");
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = StoreUrl::Sqlite(directory.path().join("foreign.db"));
    edit(&foreign, "CREATE TABLE songs (name TEXT)").await;
    let sentence = SqliteStorage::open(&foreign).await.unwrap_err().to_string();
    assert!(sentence.contains("foreign.db") && sentence.contains("another program"), "{sentence}");
    let text = directory.path().join("text.db");
    std::fs::write(&text, "not a database ".repeat(1000)).unwrap();
    let error = SqliteStorage::open(&StoreUrl::Sqlite(text.clone())).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("text.db"), "{error}");
    assert!(std::fs::read(&text).unwrap().starts_with(b"not a database "));
}

#[tokio::test]
async fn an_unwritable_place_is_named_with_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    for path in ["file/state/aos.db", "."] {
        let url = StoreUrl::Sqlite(directory.path().join(path));
        let error = SqliteStorage::open(&url).await.unwrap_err();
        assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
        let sentence = error.to_string();
        assert!(sentence.contains("--store memory:"), "{sentence}");
        assert!(sentence.contains(&*directory.path().to_string_lossy()), "{sentence}");
    }
}

#[test]
fn twenty_threads_may_create_one_store_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let url = file(&directory);
    std::thread::scope(|scope| {
        for id in 0..20 {
            let url = &url;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let store = open(url).await;
                    let chain = chain(id);
                    let batch = Batch {
                        rows: vec![row(&chain, 0, "")],
                        opened: vec![chain],
                        ..Batch::default()
                    };
                    store.append(&batch, Durability::Written).await.unwrap();
                });
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let head = runtime.block_on(async { open(&url).await.head().await.unwrap() });
    assert_eq!(head.chains, 20);
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing_of_the_batch() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&file(&directory)).await;
    {
        let mut writer = store.writer.lock().await;
        // SQLite's own limit gives the same error as a disk without room.
        let limit = sqlx::query("PRAGMA max_page_count=60");
        limit.execute(writer.connection().unwrap()).await.unwrap();
    }
    let chain = chain(1);
    let first =
        Batch { rows: vec![row(&chain, 0, "")], opened: vec![chain.clone()], ..Batch::default() };
    store.append(&first, Durability::Written).await.unwrap();
    let body = "x".repeat(100_000);
    let rows = (1..9).map(|seq| row(&chain, seq, &body)).collect();
    let large = Batch { rows, opened: Vec::new(), ..Batch::default() };
    let error = store.append(&large, Durability::Synced).await.unwrap_err();
    assert!(matches!(error, StorageError::Full { .. }), "{error}");
    assert_eq!(store.chain_heads(1).await.unwrap()[0].rows, 1);
    let rows = vec![row(&chain, 1, "{}")];
    store
        .append(&Batch { rows, opened: Vec::new(), ..Batch::default() }, Durability::Synced)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dropped_future_leaves_no_transaction_open() {
    let directory = tempfile::tempdir().unwrap();
    let url = file(&directory);
    let (store, other) = (open(&url).await, open(&url).await);
    for steps in 0..12 {
        let chain = chain(steps);
        let rows = (0..70).map(|seq| row(&chain, seq, "{}")).collect();
        let batch = Batch { rows, opened: vec![chain], ..Batch::default() };
        let mut append = store.append(&batch, Durability::Written);
        for _ in 0..steps {
            if futures::poll!(append.as_mut()).is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        drop(append);
        // The next writer on this connection clears up, and others get their turn.
        store.kv_set(Bucket { identity: "a", name: "" }, "k", b"").await.unwrap();
        let mut set = other.kv_set(Bucket { identity: "b", name: "" }, "k", b"");
        tokio::time::timeout(Duration::from_secs(4), &mut set).await.unwrap().unwrap();
    }
    for head in store.chain_heads(1).await.unwrap() {
        assert_eq!(head.rows, 70, "a batch is whole or not there");
    }
}

#[tokio::test]
async fn a_store_of_every_older_version_is_brought_forward_with_what_it_holds() {
    for version in 1..open::VERSION {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("aos.db"));
        let scripts = usize::try_from(version).unwrap();
        edit(&url, &open::MIGRATIONS[..scripts].join("\n")).await;
        let stamp = format!("PRAGMA application_id=1634693994; PRAGMA user_version={version}");
        edit(
            &url,
            &format!(
                "{stamp}; PRAGMA journal_mode=WAL; INSERT INTO chains \
                 VALUES (1, randomblob(16), 7, 'old', randomblob(32), randomblob(32)); \
                 INSERT INTO journal \
                 VALUES (1, 0, 7, 'opened', 'old', x'', x'', '', '', '', '{{}}', x'00')"
            ),
        )
        .await;
        let store = open(&url).await;
        assert_eq!(store.schema(), SchemaVersions { before: version, now: open::VERSION });
        let range = RowRange { from: (1, 0), until_chain: 1 };
        assert_eq!(store.rows(range, 10).await.unwrap()[0].who, "old");
        assert_eq!(store.take_pids(1).await.unwrap(), 1);
        let body = PackedBody::pack(b"content").unwrap();
        let batch = Batch { bodies: vec![body.clone()], ..Batch::default() };
        store.append(&batch, Durability::Synced).await.unwrap();
        assert!(store.has_body(body.hash).await.unwrap());
        let pages = crate::storage::Storage::pages(&store);
        assert_eq!(pages.contexts(Contexts::After(None)).await.unwrap(), []);
        assert_eq!(open(&url).await.schema().before, open::VERSION);
    }
}
