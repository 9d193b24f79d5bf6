//! Measurements, printed: `cargo test --release -p aos-host --lib -- --ignored --nocapture timing`.

use super::*;
use std::time::Instant;

fn print(what: &str, since: Instant, times: u32) {
    println!("{what}: {:.2} µs", since.elapsed().as_secs_f64() * 1e6 / f64::from(times));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn timing_of_appends() {
    let directory = tempfile::tempdir().unwrap();
    let file = StoreUrl::Sqlite(directory.path().join("aos.db"));
    for (name, url) in [("memory", StoreUrl::Memory), ("file", file)] {
        let store = url.open().await.unwrap();
        let journal = journal(&store).await;
        let chain = journal.chain(opening("a"));
        for times in [1000, 10_000] {
            let start = Instant::now();
            for _ in 0..times {
                chain.append(verdict("/src/main.rs"), Class::Queued).await.unwrap();
            }
            print(&format!("{name}: queued append, {times} in a row"), start, times);
            journal.flush(Class::Written).await.unwrap();
            print(&format!("{name}: the same with the commits"), start, times);
        }
        let mut total = Duration::ZERO;
        for _ in 0..1000 {
            let start = Instant::now();
            chain.append(verdict("/src/main.rs"), Class::Queued).await.unwrap();
            total += start.elapsed();
            std::thread::sleep(Duration::from_micros(50));
        }
        println_mean(&format!("{name}: queued append, one each 50 µs"), total, 1000);
        for (class, times) in [(Class::Written, 1000), (Class::Synced, 100)] {
            let start = Instant::now();
            for _ in 0..times {
                chain.append(verdict("/src/main.rs"), class).await.unwrap();
            }
            print(&format!("{name}: {class:?} append, one at a time"), start, times);
            let start = Instant::now();
            let task = |chain: Chain| async move {
                for _ in 0..times / 10 {
                    chain.append(verdict("/src/main.rs"), class).await.unwrap();
                }
            };
            let tasks: Vec<_> = (0..64).map(|_| tokio::spawn(task(chain.clone()))).collect();
            futures::future::join_all(tasks).await;
            print(&format!("{name}: {class:?} append, 64 tasks"), start, times / 10 * 64);
        }
        journal.close().await.unwrap();
        let start = Instant::now();
        let report = verify(&*store).await.unwrap();
        print(&format!("{name}: verify, a row"), start, u32::try_from(report.rows).unwrap());
    }
}

fn println_mean(what: &str, total: Duration, times: u32) {
    println!("{what}: {:.2} µs", total.as_secs_f64() * 1e6 / f64::from(times));
}

fn print_bytes(what: &str, bytes: u64) {
    println!("file{what}: {} KiB", bytes >> 10);
}

async fn run_once(url: &StoreUrl, name: &str) {
    let start = Instant::now();
    let store = url.open().await.unwrap();
    print(&format!("{name}: open"), start, 1);
    let journal = journal(&store).await;
    let chain = journal.chain(opening("a"));
    for _ in 0..3 {
        chain.append(verdict("/src/main.rs"), Class::Queued).await.unwrap();
    }
    chain.close(CLOSING, Class::Written).await.unwrap();
    journal.close().await.unwrap();
    print(&format!("{name}: open, a chain of 5 rows, journal closed"), start, 1);
    // As the program does at its exit: no last checkpoint.
    std::mem::forget(store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn timing_of_a_short_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("aos.db");
    for _ in 0..3 {
        run_once(&StoreUrl::Memory, "memory").await;
    }
    run_once(&StoreUrl::Sqlite(path.clone()), "new file").await;
    let store = StoreUrl::Sqlite(path.clone()).open().await.unwrap();
    let journal = journal(&store).await;
    let chain = journal.chain(opening("a"));
    for _ in 0..120 {
        chain.append(verdict(&"x".repeat(3000)), Class::Written).await.unwrap();
    }
    journal.close().await.unwrap();
    std::mem::forget(store);
    for round in 0..4 {
        // A copy has no other connection in this process, as after an exit.
        let copy = directory.path().join(format!("copy-{round}.db"));
        for suffix in ["", "-wal"] {
            let name = |path: &std::path::Path| format!("{}{suffix}", path.display());
            let bytes = std::fs::copy(name(&path), name(&copy)).unwrap();
            print_bytes(suffix, bytes);
        }
        run_once(&StoreUrl::Sqlite(copy), "existing file, left with its WAL").await;
    }
    let store = StoreUrl::Sqlite(path.clone()).open().await.unwrap();
    let start = Instant::now();
    store.close().await.unwrap();
    print("close beside another connection", start, 1);
}
