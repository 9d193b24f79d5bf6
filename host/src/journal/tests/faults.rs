//! A store that fails where it is told to, deterministically.

use super::*;
use crate::storage::{
    Answer, Batch, Bodies, Bucket, ChainHead, Compacted, Durability, KeyPage, KeyValue, PackedBody,
    Pages, Pair, PairKey, ProcessRange, ProcessRecord, Processes, SchemaVersions, StoreHead, Tally,
};
use futures::FutureExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Where in the fatal write the process "crashes".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
}

/// Passes everything on, except that writes wait for the gate, are recorded, and one fails.
pub(super) struct Faulty {
    inner: Arc<dyn Storage>,
    writes: AtomicUsize,
    fatal: Option<(usize, When)>,
    pub(super) gate: Semaphore,
    /// Rows and durability of each write that was done.
    pub(super) done: Mutex<Vec<(usize, Durability)>>,
}

impl Faulty {
    pub(super) fn new(inner: &Arc<dyn Storage>, gate: usize) -> Self {
        Self {
            inner: Arc::clone(inner),
            writes: AtomicUsize::new(0),
            fatal: None,
            gate: Semaphore::new(gate),
            done: Mutex::default(),
        }
    }

    async fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StorageError> {
        self.gate.acquire().await.unwrap().forget();
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        let full = || StorageError::Full { place: "/disk/aos.db".into() };
        match self.fatal {
            Some((fatal, _)) if number > fatal => panic!("a write after the fatal one"),
            Some((fatal, When::Before)) if number == fatal => return Err(full()),
            _ => self.inner.append(batch, durability).await?,
        }
        self.done.lock().unwrap().push((batch.rows.len(), durability));
        if self.fatal == Some((number, When::After)) { Err(full()) } else { Ok(()) }
    }
}

impl KeyValue for Faulty {
    fn kv_get<'a>(&'a self, bucket: Bucket<'a>, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        self.inner.kv_get(bucket, key)
    }
    fn kv_set<'a>(&'a self, bucket: Bucket<'a>, key: &'a str, value: &'a [u8]) -> Answer<'a, ()> {
        self.inner.kv_set(bucket, key, value)
    }
    fn kv_delete<'a>(&'a self, bucket: Bucket<'a>, key: &'a str) -> Answer<'a, ()> {
        self.inner.kv_delete(bucket, key)
    }
    fn kv_exists<'a>(&'a self, bucket: Bucket<'a>, key: &'a str) -> Answer<'a, bool> {
        self.inner.kv_exists(bucket, key)
    }
    fn kv_keys<'a>(&'a self, bucket: Bucket<'a>, after: Option<&'a str>) -> Answer<'a, KeyPage> {
        self.inner.kv_keys(bucket, after)
    }
    fn kv_increment<'a>(&'a self, bucket: Bucket<'a>, key: &'a str, delta: i64) -> Answer<'a, i64> {
        self.inner.kv_increment(bucket, key, delta)
    }
    fn kv_pairs<'a>(&'a self, after: Option<&'a PairKey>) -> Answer<'a, Vec<Pair>> {
        self.inner.kv_pairs(after)
    }
}

impl Bodies for Faulty {
    fn bodies<'a>(&'a self, hashes: &'a [Digest]) -> Answer<'a, Vec<PackedBody>> {
        self.inner.bodies(hashes)
    }
    fn has_body(&self, hash: Digest) -> Answer<'_, bool> {
        self.inner.has_body(hash)
    }
    fn body_page(&self, after: Option<Digest>) -> Answer<'_, Vec<PackedBody>> {
        self.inner.body_page(after)
    }
}

impl Processes for Faulty {
    fn take_pids(&self, count: u64) -> Answer<'_, u64> {
        self.inner.take_pids(count)
    }
    fn processes(&self, range: ProcessRange) -> Answer<'_, Vec<ProcessRecord>> {
        self.inner.processes(range)
    }
}

impl Storage for Faulty {
    fn name(&self) -> String {
        self.inner.name()
    }
    fn append<'a>(&'a self, batch: &'a Batch, durability: Durability) -> Answer<'a, ()> {
        self.write(batch, durability).boxed()
    }
    fn pages(&self) -> &dyn Pages {
        self.inner.pages()
    }
    fn head(&self) -> Answer<'_, StoreHead> {
        self.inner.head()
    }
    fn chains(&self, range: ChainRange, limit: usize) -> Answer<'_, Vec<ChainRecord>> {
        self.inner.chains(range, limit)
    }
    fn chain_heads(&self, from: i64) -> Answer<'_, Vec<ChainHead>> {
        self.inner.chain_heads(from)
    }
    fn rows(&self, range: RowRange, limit: usize) -> Answer<'_, Vec<StoredRow>> {
        self.inner.rows(range, limit)
    }
    fn tally(&self, chain: i64) -> Answer<'_, Vec<Tally>> {
        self.inner.tally(chain)
    }
    fn documents(&self) -> &dyn crate::storage::Documents {
        self.inner.documents()
    }

    fn schema(&self) -> SchemaVersions {
        self.inner.schema()
    }
    fn adopt(&self, id: StoreId) -> Answer<'_, ()> {
        self.inner.adopt(id)
    }
    fn check(&self) -> Answer<'_, Vec<String>> {
        self.inner.check()
    }
    fn compact(&self) -> Answer<'_, Compacted> {
        self.inner.compact()
    }
    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}

async fn over(faulty: Faulty) -> Journal {
    Journal::open(Arc::new(faulty), JournalOptions::default()).await.unwrap()
}

/// Two chains, rows of every class. Returns how many rows of each chain were acknowledged as
/// written, and whether something failed.
async fn work(journal: &Journal) -> ([i64; 2], bool) {
    let chains = [journal.chain(opening("a")), journal.chain(opening("b"))];
    let mut safe = [0, 0];
    for step in 0..12 {
        let class = [Class::Queued, Class::Written, Class::Synced][step % 3];
        match chains[step % 2].append(verdict("/x"), class).await {
            Ok(_) if class == Class::Queued => {}
            // Whatever was appended before is safe too; chain 0 and 1 take turns.
            Ok(Seq(seq)) => safe[step % 2] = i64::try_from(seq).unwrap() + 1,
            Err(_) => return (safe, true),
        }
    }
    (safe, journal.flush(Class::Written).await.is_err())
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_nothing_acknowledged() {
    let mut fatal = 0;
    loop {
        let mut failures = 0;
        for when in [When::Before, When::After] {
            let store = memory().await;
            let faulty = Faulty { fatal: Some((fatal, when)), ..Faulty::new(&store, 1000) };
            let journal = over(faulty).await;
            let (safe, failed) = work(&journal).await;
            failures += u32::from(failed);
            drop(journal);
            let heads = store.chain_heads(1).await.unwrap();
            for (chain, safe) in safe.into_iter().enumerate().filter(|(_, safe)| *safe > 0) {
                assert!(heads[chain].rows >= safe, "write {fatal} {when:?}: chain {chain}");
            }
            three_chains(&store).await;
            let report = verify(&*store).await.unwrap();
            assert!(report.is_clean(), "write {fatal} {when:?}: {:?}", report.problems);
        }
        if failures == 0 {
            assert!(fatal > 7, "the work has at least 8 writes, the last fault was at {fatal}");
            return;
        }
        fatal += 1;
    }
}

#[tokio::test]
async fn after_a_failed_write_nothing_can_be_appended() {
    let store = memory().await;
    let faulty = Faulty { fatal: Some((1, When::Before)), ..Faulty::new(&store, 1000) };
    let journal = over(faulty).await;
    let chain = journal.chain(opening("a"));
    chain.append(verdict("/1"), Class::Written).await.unwrap();
    for class in [Class::Synced, Class::Queued, Class::Written] {
        let error = chain.append(verdict("/2"), class).await.unwrap_err();
        assert!(matches!(error, JournalError::Write(_)), "{error:?}");
        assert!(error.to_string().contains("/disk/aos.db"), "{error}");
        assert!(error.to_string().contains("disk is full"), "{error}");
        journal.flush(class).await.unwrap_err();
    }
    let later = journal.chain(opening("b"));
    later.append(verdict("/3"), Class::Queued).await.unwrap_err();
    let error = journal.close().await.unwrap_err();
    assert!(matches!(error, JournalError::Write(_)), "{error:?}");
    assert_eq!(store.chain_heads(1).await.unwrap().len(), 1);
    assert_eq!(store.chain_heads(1).await.unwrap()[0].rows, 2);
}

#[tokio::test]
async fn those_who_wait_for_room_are_told_of_the_failure() {
    let store = memory().await;
    let faulty = Faulty { fatal: Some((0, When::Before)), ..Faulty::new(&store, 0) };
    let faulty = Arc::new(faulty);
    let options = JournalOptions { queue_bytes_max: 2000, ..JournalOptions::default() };
    let journal = Journal::open(Arc::clone(&faulty) as _, options).await.unwrap();
    let chain = journal.chain(opening("a"));
    let flood = tokio::spawn(async move {
        loop {
            if let Err(error) = chain.append(verdict("/x"), Class::Queued).await {
                return error;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!flood.is_finished());
    faulty.gate.add_permits(1);
    let error = flood.await.unwrap();
    assert!(matches!(error, JournalError::Write(_)), "{error:?}");
}
