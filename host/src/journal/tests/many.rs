//! Many journals on one file.

use super::*;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap().block_on(work)
}

#[test]
fn twenty_journals_share_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(directory.path().join("aos.db"));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| block_on(one_process(&url)));
        }
        // Verifying beside the writers sees a consistent store.
        scope.spawn(|| {
            block_on(async {
                for _ in 0..10 {
                    let store = url.open().await.unwrap();
                    let report = verify(&*store).await.unwrap();
                    assert!(report.is_clean(), "{:?}", report.problems);
                }
            });
        });
    });
    block_on(async {
        let store = url.open().await.unwrap();
        let report = verify(&*store).await.unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!((report.chains, report.rows, report.open), (100, 100 * 12, 0));
    });
}

/// Names the store to a child process of [`twenty_processes_share_one_file`].
const STORE: &str = "AOS_HOST_TEST_STORE";

#[test]
fn twenty_processes_share_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("aos.db");
    let children: Vec<_> = (0..20)
        .map(|_| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "journal::tests::many::a_child_process", "--ignored"])
                .env(STORE, &path)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    block_on(async {
        let store = StoreUrl::Sqlite(path).open().await.unwrap();
        let report = verify(&*store).await.unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!((report.chains, report.rows, report.open), (100, 100 * 12, 0));
    });
}

#[test]
#[ignore = "a child of twenty_processes_share_one_file"]
fn a_child_process() {
    if let Some(path) = std::env::var_os(STORE) {
        block_on(one_process(&StoreUrl::Sqlite(path.into())));
    }
}

async fn one_process(url: &StoreUrl) {
    let store = url.open().await.unwrap();
    let journal = journal(&store).await;
    for number in 0..5 {
        let chain = journal.chain(opening("a"));
        for row in 0..10 {
            let class = [Class::Queued, Class::Written, Class::Synced][(number + row) % 3];
            chain.append(verdict("/x"), class).await.unwrap();
        }
        chain.close(CLOSING, Class::Written).await.unwrap();
    }
    journal.close().await.unwrap();
}

#[test]
fn a_store_is_continued_after_it_was_closed_and_after_it_was_left() {
    let directory = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(directory.path().join("aos.db"));
    for round in 1..=4 {
        block_on(async {
            let store = url.open().await.unwrap();
            three_chains(&store).await;
            if round % 2 == 0 {
                store.close().await.unwrap();
            } else {
                // As a process that exits: no last checkpoint.
                std::mem::forget(store);
            }
            let store = url.open().await.unwrap();
            let report = verify(&*store).await.unwrap();
            assert!(report.is_clean(), "{:?}", report.problems);
            assert_eq!((report.chains, report.rows), (round * 3, round * 24));
        });
    }
}

#[test]
fn a_chain_may_be_appended_to_from_many_tasks() {
    block_on(async {
        let store = memory().await;
        let journal = journal(&store).await;
        let chain = journal.chain(opening("a"));
        let tasks: Vec<_> = (0..64)
            .map(|number| {
                let chain = chain.clone();
                tokio::spawn(async move {
                    let class = [Class::Queued, Class::Written, Class::Synced][number % 3];
                    for _ in 0..20 {
                        chain.append(verdict("/x"), class).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        journal.close().await.unwrap();
        let report = verify(&*store).await.unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!(report.rows, 64 * 20 + 1);
    });
}
