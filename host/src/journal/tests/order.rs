//! Order, classes, backpressure, closing.

use super::faults::Faulty;
use super::*;
use crate::storage::Durability;

async fn rows_of(store: &Arc<dyn Storage>, chain: &Chain) -> i64 {
    let record = find_chain(&**store, &chain.id().to_string()).await.unwrap();
    store.chain_heads(record.number).await.unwrap()[0].rows
}

#[tokio::test]
async fn a_written_row_carries_every_earlier_row_of_every_chain() {
    let store = memory().await;
    let journal = journal(&store).await;
    let chains: Vec<_> = (0..5).map(|_| journal.chain(opening("a"))).collect();
    for round in 1..20 {
        for chain in &chains {
            let seq = chain.append(verdict("/x"), Class::Queued).await.unwrap();
            assert_eq!(seq.0, round * 2 - 1);
        }
        for chain in &chains[1..] {
            chain.append(verdict("/x"), Class::Queued).await.unwrap();
        }
        let class = if round % 2 == 0 { Class::Written } else { Class::Synced };
        chains[0].append(verdict("/x"), class).await.unwrap();
        for chain in &chains {
            assert_eq!(rows_of(&store, chain).await, i64::try_from(round * 2 + 1).unwrap());
        }
    }
}

#[tokio::test]
async fn rows_nobody_waits_for_share_a_commit_and_get_there_alone() {
    let store = memory().await;
    let faulty = Arc::new(Faulty::new(&store, 1000));
    let journal = Journal::open(Arc::clone(&faulty) as _, JournalOptions::default()).await.unwrap();
    let chain = journal.chain(opening("a"));
    for _ in 0..100 {
        chain.append(verdict("/x"), Class::Queued).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let done = faulty.done.lock().unwrap().clone();
    assert_eq!(done.iter().map(|(rows, _)| rows).sum::<usize>(), 101);
    assert!(done.len() <= 3, "{done:?}");
    assert_eq!(rows_of(&store, &chain).await, 101);
}

#[tokio::test]
async fn a_waiter_cuts_the_linger_short() {
    let store = memory().await;
    let linger = Duration::from_secs(3600);
    let options = JournalOptions { linger, ..JournalOptions::default() };
    let journal = Journal::open(Arc::clone(&store), options).await.unwrap();
    let chain = journal.chain(opening("a"));
    chain.append(verdict("/x"), Class::Queued).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    chain.append(verdict("/x"), Class::Written).await.unwrap();
    chain.append(verdict("/x"), Class::Queued).await.unwrap();
    journal.flush(Class::Written).await.unwrap();
    assert_eq!(rows_of(&store, &chain).await, 4);
    chain.append(verdict("/x"), Class::Queued).await.unwrap();
    journal.close().await.unwrap();
    assert_eq!(rows_of(&store, &chain).await, 5);
}

#[tokio::test]
async fn only_what_asks_for_a_sync_is_synced_and_a_flush_syncs_what_was_written() {
    let store = memory().await;
    let faulty = Arc::new(Faulty::new(&store, 1000));
    let journal = Journal::open(Arc::clone(&faulty) as _, JournalOptions::default()).await.unwrap();
    let chain = journal.chain(opening("a"));
    chain.append(verdict("/x"), Class::Written).await.unwrap();
    chain.append(verdict("/x"), Class::Synced).await.unwrap();
    chain.append(verdict("/x"), Class::Written).await.unwrap();
    journal.flush(Class::Written).await.unwrap();
    journal.flush(Class::Synced).await.unwrap();
    journal.flush(Class::Synced).await.unwrap();
    let (written, synced) = (Durability::Written, Durability::Synced);
    let done = faulty.done.lock().unwrap().clone();
    assert_eq!(done, [(2, written), (1, synced), (1, written), (0, synced)]);
}

#[tokio::test]
async fn appends_wait_when_the_queue_is_full() {
    let store = memory().await;
    let faulty = Arc::new(Faulty::new(&store, 0));
    let options = JournalOptions { queue_bytes_max: 10_000, ..JournalOptions::default() };
    let journal = Journal::open(Arc::clone(&faulty) as _, options).await.unwrap();
    let chain = journal.chain(opening("a"));
    let mut queued = 0;
    let pause = Duration::from_millis(20);
    while tokio::time::timeout(pause, chain.append(verdict("/x"), Class::Queued)).await.is_ok() {
        queued += 1;
        assert!(queued < 100, "the queue has no bound");
    }
    assert!(queued > 10, "the queue holds only {queued} rows");
    faulty.gate.add_permits(1000);
    // The append that gave up left no gap.
    assert_eq!(chain.append(verdict("/x"), Class::Written).await.unwrap(), Seq(queued + 1));
    assert!(verify(&*store).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_row_larger_than_the_queue_still_gets_through() {
    let store = memory().await;
    let options = JournalOptions { queue_bytes_max: 100, ..JournalOptions::default() };
    let journal = Journal::open(Arc::clone(&store), options).await.unwrap();
    let chain = journal.chain(opening("a"));
    for _ in 0..5 {
        chain.append(verdict(&"x".repeat(5000)), Class::Queued).await.unwrap();
    }
    chain.append(verdict("/x"), Class::Written).await.unwrap();
    assert_eq!(rows_of(&store, &chain).await, 7);
    let limit = ROW_BYTES_MAX;
    let error = chain.append(verdict(&"x".repeat(limit)), Class::Queued).await.unwrap_err();
    assert!(matches!(error, JournalError::RowTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn nothing_follows_a_closing_row_or_a_close() {
    let store = memory().await;
    let journal = journal(&store).await;
    let (a, b) = (journal.chain(opening("a")), journal.chain(opening("b")));
    a.close(CLOSING, Class::Queued).await.unwrap();
    let error = a.append(verdict("/x"), Class::Queued).await.unwrap_err();
    assert!(matches!(error, JournalError::ChainClosed(id) if id == a.id()), "{error}");
    let other = journal.clone();
    journal.close().await.unwrap();
    let error = b.append(verdict("/x"), Class::Queued).await.unwrap_err();
    assert!(matches!(error, JournalError::Closed), "{error}");
    other.flush(Class::Queued).await.unwrap_err();
    other.close().await.unwrap();
    let report = verify(&*store).await.unwrap();
    assert_eq!((report.is_clean(), report.rows, report.open), (true, 3, 1));
}

#[tokio::test]
async fn a_dropped_journal_still_writes_what_is_queued() {
    let store = memory().await;
    let linger = Duration::from_secs(3600);
    let options = JournalOptions { linger, ..JournalOptions::default() };
    let journal = Journal::open(Arc::clone(&store), options).await.unwrap();
    let chain = journal.chain(opening("a"));
    chain.append(verdict("/x"), Class::Queued).await.unwrap();
    drop(journal);
    chain.append(verdict("/x"), Class::Queued).await.unwrap();
    drop(chain);
    while store.head().await.unwrap().chains == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(store.chain_heads(1).await.unwrap()[0].rows, 3);
}

#[test]
fn a_runtime_that_ends_tells_those_who_append() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let chain = first.block_on(async { journal(&memory().await).await.chain(opening("a")) });
    drop(first);
    runtime().block_on(async {
        let error = chain.append(verdict("/x"), Class::Written).await.unwrap_err();
        assert!(matches!(error, JournalError::Closed), "{error}");
    });
}
