//! Connections that are cut, servers that restart, crash, are slow or lose rows.

use super::*;

/// The server's processes for the writer and for one that reads.
async fn backends(store: &PostgresStorage) -> [i32; 2] {
    let pid = async |connection: &mut PgConnection| {
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await.unwrap()
    };
    let mut lease = store.lease().await.unwrap();
    let reader = pid(&mut lease.connection).await;
    lease.done();
    [pid(store.writer.lock().await.connection()).await, reader]
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn cut_connections_are_made_anew_and_nothing_is_lost() {
    let url = schema(&server());
    let store = open(&url).await;
    let batch = one_chain(1, 5);
    store.append(&batch, Durability::Written).await.unwrap();
    store.kv_set(A, "k", b"1").await.unwrap();
    for (next, durability) in [(5, Durability::Written), (6, Durability::Synced)] {
        // As an administrator does, or a server that shuts down.
        for pid in backends(&store).await {
            edit(&url, &format!("SELECT pg_terminate_backend({pid}, 5000)")).await;
        }
        let rows = vec![row(&batch.opened[0], next, "{}")];
        store
            .append(&Batch { rows, opened: Vec::new(), ..Batch::default() }, durability)
            .await
            .unwrap();
        assert_eq!(store.kv_increment(A, "k", 1).await.unwrap(), next - 3);
        assert_eq!(store.head().await.unwrap().chains, 1);
    }
    assert_eq!(seqs(&store, 1).await, (0..7).collect::<Vec<_>>());
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_commit_whose_answer_was_lost_is_not_done_twice() {
    let url = schema(&server());
    let proxy = Proxy::start(&url).await;
    let store = open(&proxy.url).await;
    let batch = one_chain(1, 3);
    // Each answer on the way is lost once: of the lock, of the chain, of the rows, of the commit.
    for answers in 0..6 {
        let batch = one_chain(10 + answers, 3);
        proxy.set(Mode::LoseAnswer { after: usize::from(answers) });
        store.append(&batch, Durability::Written).await.unwrap();
        proxy.set(Mode::Pass);
        let number = batch.opened[0].key.number().unwrap();
        assert_eq!(number, i64::from(answers) + 1);
        assert_eq!(seqs(&store, number).await, [0, 1, 2], "after {answers} answers");
    }
    store.append(&batch, Durability::Written).await.unwrap();
    for (next, durability) in [(3, Durability::Written), (4, Durability::Synced)] {
        proxy.set(Mode::LoseAnswer { after: 0 });
        let rows = vec![row(&batch.opened[0], next, "{}")];
        store
            .append(&Batch { rows, opened: Vec::new(), ..Batch::default() }, durability)
            .await
            .unwrap();
        proxy.set(Mode::Pass);
    }
    assert_eq!(seqs(&store, 7).await, [0, 1, 2, 3, 4]);
    // Adding is not done again when it is not known whether it was done.
    assert_eq!(store.kv_increment(A, "n", 1).await.unwrap(), 1);
    let (mut known, mut unknown) = (1, 0);
    for after in 0..8 {
        proxy.set(Mode::LoseAnswer { after });
        match store.kv_increment(A, "n", 1).await {
            Ok(_) => known += 1,
            Err(error) => {
                assert!(error.to_string().contains("read it to know"), "{error}");
                unknown += 1;
            }
        }
        proxy.set(Mode::Pass);
    }
    let value = store.kv_get(A, "n").await.unwrap().unwrap();
    let value: i32 = String::from_utf8(value).unwrap().parse().unwrap();
    assert!(unknown > 0 && (known..=known + unknown).contains(&value), "{known} {unknown} {value}");
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_server_that_is_away_is_waited_for_and_then_told_and_later_used_again() {
    let url = schema(&server());
    let proxy = Proxy::start(&url).await;
    let store = open(&proxy.url).await.patience(Duration::from_millis(300));
    store.append(&one_chain(1, 1), Durability::Written).await.unwrap();
    proxy.set(Mode::Away);
    proxy.cut();
    let second = one_chain(2, 1);
    let error = store.append(&second, Durability::Synced).await.unwrap_err();
    assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
    assert!(matches!(store.head().await.unwrap_err(), StorageError::Unreachable { .. }));
    assert!(store.kv_set(A, "k", b"").await.is_err());
    proxy.set(Mode::Pass);
    assert_eq!(store.head().await.unwrap().chains, 1);
    store.append(&second, Durability::Synced).await.unwrap();
    // Away for less than the patience: nobody notices.
    let store = store.patience(Duration::from_secs(20));
    proxy.set(Mode::Away);
    proxy.cut();
    let third = one_chain(3, 1);
    let append = store.append(&third, Durability::Synced);
    let back = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        proxy.set(Mode::Pass);
    };
    futures::join!(append, back).0.unwrap();
    assert_eq!(store.head().await.unwrap().chains, 3);
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_failover_to_an_address_that_is_slow_is_only_slow() {
    let url = schema(&server());
    let proxy = Proxy::start(&url).await;
    let store = open(&proxy.url).await;
    let batch = one_chain(1, 1);
    store.append(&batch, Durability::Written).await.unwrap();
    proxy.set(Mode::Slow(Duration::from_millis(150)));
    proxy.cut();
    for (seq, durability) in [(1, Durability::Written), (2, Durability::Synced)] {
        let rows = vec![row(&batch.opened[0], seq, "{}")];
        store.append(&Batch { rows, ..Batch::default() }, durability).await.unwrap();
    }
    store.kv_set(A, "k", b"1").await.unwrap();
    proxy.set(Mode::Pass);
    assert_eq!(seqs(&store, 1).await, [0, 1, 2]);
    drop_schema(&url).await;
}

/// The script that starts servers.
fn script(arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/postgres.sh");
    let mut command = std::process::Command::new("bash");
    let ran = command.arg(script).args(arguments).env("AOS_TEST_POSTGRES_WHEEL", "no");
    let ran = ran.stderr(std::process::Stdio::inherit()).output().unwrap();
    assert!(ran.status.success(), "{arguments:?}: {}", ran.status);
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_server_of_postgres_that_restarts_or_crashes_loses_nothing_that_was_synced() {
    // One of its own: others would notice.
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let told = script(&["start", place]);
    let address = told.lines().find_map(|line| line.strip_prefix("AOS_TEST_POSTGRES=")).unwrap();
    let url: Url = address.parse().unwrap();
    let store = open(&url).await.patience(Duration::from_secs(60));
    let batch = one_chain(1, 1);
    store.append(&batch, Durability::Synced).await.unwrap();
    let mut next = 1;
    for mode in ["fast", "immediate"] {
        let own = place.to_owned();
        let restart = tokio::task::spawn_blocking(move || script(&["restart", &own, mode]));
        while !restart.is_finished() {
            let rows = vec![row(&batch.opened[0], next, "{}")];
            store.append(&Batch { rows, ..Batch::default() }, Durability::Synced).await.unwrap();
            next += 1;
        }
        restart.await.unwrap();
        store.append(&Batch::default(), Durability::Synced).await.unwrap();
    }
    let there: i64 = store.tally(1).await.unwrap().iter().map(|tally| tally.rows).sum();
    assert_eq!((there, store.chain_heads(1).await.unwrap()[0].rows), (next, next));
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    drop(store);
    script(&["stop", place]);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_server_that_lost_rows_is_not_written_to() {
    let url = schema(&server());
    let proxy = Proxy::start(&url).await;
    let store = open(&proxy.url).await;
    let batch = one_chain(1, 3);
    store.append(&batch, Durability::Written).await.unwrap();
    edit(&url, "DELETE FROM journal WHERE seq = 2").await;
    proxy.cut();
    let next = Batch {
        rows: vec![row(&batch.opened[0], 3, "{}")],
        opened: Vec::new(),
        ..Batch::default()
    };
    let error = store.append(&next, Durability::Written).await.unwrap_err();
    assert!(error.to_string().contains("lost rows"), "{error}");
    assert_eq!(seqs(&store, 1).await, [0, 1]);
    // A chain of its own may still be begun.
    store.append(&one_chain(2, 1), Durability::Synced).await.unwrap();
    drop_schema(&url).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_dropped_future_leaves_no_transaction_open() {
    let url = schema(&server());
    let (store, other) = (open(&url).await, open(&url).await);
    for steps in 0..12 {
        let batch = one_chain(steps, 70);
        let mut append = store.append(&batch, Durability::Written);
        let mut set = store.kv_set(A, "k", b"1");
        for _ in 0..steps {
            let ready = futures::poll!(append.as_mut()).is_ready();
            if ready | futures::poll!(set.as_mut()).is_ready() {
                break;
            }
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        drop((append, set));
        let other_set = other.kv_set(A, "k", b"");
        tokio::time::timeout(Duration::from_secs(20), other_set).await.unwrap().unwrap();
    }
    for head in store.chain_heads(1).await.unwrap() {
        assert_eq!(head.rows, 70, "a batch is whole or not there");
    }
    drop_schema(&url).await;
}
