//! A disk that is full at any write of the journal: what was not written down does not happen.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aos_host::kernel::{Fault, Kernel, SessionOptions, Streams};
use aos_host::sandbox::state::Input;
use aos_host::sandbox::stdio::Sink;
use aos_host::storage::{
    Answer, Batch, Bodies, Bucket, ChainHead, ChainRange, ChainRecord, Compacted, Digest,
    Durability, KeyPage, KeyValue, PackedBody, Pages, Pair, PairKey, ProcessRange, ProcessRecord,
    Processes, RowRange, SchemaVersions, Storage, StorageError, StoreHead, StoreId, StoreUrl,
    StoredRow, Tally,
};
use aos_host::types::Syscall;
use serde_json::json;

use crate::support::{guest_path, plugin};

/// A store with room for a number of writes.
pub struct Filling {
    pub inner: Arc<dyn Storage>,
    pub room: AtomicUsize,
}

impl Bodies for Filling {
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

impl Processes for Filling {
    fn take_pids(&self, count: u64) -> Answer<'_, u64> {
        self.inner.take_pids(count)
    }
    fn processes(&self, range: ProcessRange) -> Answer<'_, Vec<ProcessRecord>> {
        self.inner.processes(range)
    }
}

impl Storage for Filling {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn append<'a>(&'a self, batch: &'a Batch, durability: Durability) -> Answer<'a, ()> {
        let left =
            self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(1));
        match left {
            Ok(_) => self.inner.append(batch, durability),
            Err(_) => {
                Box::pin(async { Err(StorageError::Full { place: "journal.db".to_owned() }) })
            }
        }
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

    fn documents(&self) -> &dyn aos_host::storage::Documents {
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

impl KeyValue for Filling {
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

/// A plugin, and how it writes `/w/new.txt`.
struct Writer {
    component: PathBuf,
    call: Syscall,
}

/// A tool of WASI 0.2.
fn tool() -> Writer {
    let arguments = json!({ "path": "/w/new.txt", "content": "x" });
    let call = Syscall::Call { tool: Some("write_file".into()), arguments };
    Writer { component: plugin("files").into(), call }
}

/// A command of WASI 0.3, which writes by streams.
fn command() -> Writer {
    let words = ["files", "/w", "write new.txt text"];
    let call = Syscall::Run { arguments: words.map(str::to_owned).to_vec() };
    Writer { component: guest_path("dist/overlap.wasm"), call }
}

/// Writes a file with room for so many writes of the journal; says whether the call succeeded,
/// and which changes of files the journal knows of.
async fn write_with(writer: &Writer, room: usize, folder: &Path) -> (bool, Vec<String>) {
    let inner = StoreUrl::Memory.open().await.expect("opens");
    let filling = Arc::new(Filling { inner: Arc::clone(&inner), room: AtomicUsize::new(room) });
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let kernel = Kernel::builder().storage(filling).cache(cache, None).build().await;
    let kernel = kernel.expect("a kernel");
    let component = std::fs::read(&writer.component).expect("reads");
    let plugin = kernel.load("writer", component).await.expect("loads");
    let text = format!("write:{}:/w", folder.display());
    let grants = vec![(text.parse().expect("a grant"), text.clone())];
    let (stdin, stdout, stderr) = (Input::Empty, Sink::Discard, Sink::Discard);
    let streams = Streams { stdin, stdout, stderr };
    let options = SessionOptions { grants, streams, ..SessionOptions::default() };
    let session = kernel.session(plugin, options).expect("opens");
    let answer = kernel.submit(&session, writer.call.clone()).await;
    let full = |fault: &Fault| fault.to_string().contains("the disk is full");
    assert!(answer.as_ref().err().is_none_or(full), "{answer:?}");
    let all = RowRange { from: (i64::MIN, 0), until_chain: i64::MAX };
    let rows = inner.rows(all, 1_000).await.expect("reads");
    let changes = rows.into_iter().filter(|row| row.kind == "verdict" && row.capability == "write");
    (answer.is_ok(), changes.map(|row| row.target).collect())
}

async fn at_every_write(writer: &Writer) {
    for room in 0..100 {
        let folder = tempfile::tempdir().expect("a folder");
        let (succeeded, changes) = write_with(writer, room, folder.path()).await;
        let files: Vec<String> = std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        for file in &files {
            // A file came by a row that makes it, or by one that gave it its name.
            let known = changes.iter().any(|change| change.contains(&format!("/w/{file}")));
            assert!(known, "room for {room}: {file} is there, and the journal has {changes:?}");
            // Its bytes came by rows that say how many.
            let bytes = std::fs::metadata(folder.path().join(file)).expect("is there").len();
            let said = changes.iter().filter_map(|change| change.rsplit_once(" for "));
            let said: u64 = said.map(|(_, count)| count.parse::<u64>().expect("a number")).sum();
            assert!(bytes <= said, "room for {room}: {bytes} bytes, and {changes:?}");
        }
        if succeeded {
            assert_eq!(files, ["new.txt"]);
            // Rows that nobody waits for share a commit, so these are fewer than the rows.
            assert!(room >= 3, "only {room} writes could fail");
            return;
        }
    }
    panic!("a hundred writes of the journal were not enough for one file");
}

#[tokio::test]
async fn what_cannot_be_written_down_does_not_happen() {
    at_every_write(&tool()).await;
}

#[tokio::test]
async fn what_cannot_be_written_down_does_not_happen_in_streams() {
    at_every_write(&command()).await;
}
