//! What every [`Storage`] must do. Each implementation runs [`run`] on empty stores of its own.

use super::keyvalue::{KEYS_PAGE, PAIR_BYTES, QUOTA_BYTES, VALUE_BYTES_MAX};
use super::pages::{ContextRecord, Contexts, PageBatch, PageRecord};
use super::*;
use crate::types::{CallId, ComponentHash};
use std::future::Future;
use std::sync::Arc;

/// Runs every case, each on a fresh store from `open`. `vectors`: whether it takes them.
pub(crate) async fn run<F: Future<Output = Arc<dyn Storage>>>(open: impl Fn() -> F, vectors: bool) {
    super::documents::conforms(&open, vectors).await;
    chains_are_numbered_and_linked_in_order(&*open().await).await;
    rows_come_back_as_they_were_written(&*open().await).await;
    batches_of_every_size_are_written_whole(&*open().await).await;
    pages_end_by_rows_and_by_bytes(&*open().await).await;
    a_row_of_no_chain_leaves_nothing_of_its_batch(&*open().await).await;
    chains_are_found_by_range(&*open().await).await;
    a_sync_without_rows_is_accepted(&*open().await).await;
    keys_are_set_read_and_removed(&*open().await).await;
    keys_come_in_pages(&*open().await).await;
    increments_count_and_refuse_other_text(&*open().await).await;
    limits_of_keys_hold(&*open().await).await;
    quotas_hold_for_each_identity(&*open().await).await;
    pages_are_written_read_and_written_again(&*open().await).await;
    contexts_are_found_by_name_number_and_id(&*open().await).await;
    many_pages_come_in_bounded_answers(&*open().await).await;
    bodies_are_stored_once_and_come_back(&*open().await).await;
    a_failed_batch_leaves_no_body(&*open().await).await;
    bodies_come_in_pages(&*open().await).await;
    agents_are_indexed_with_their_rows(&*open().await).await;
    pids_are_never_given_twice(&*open().await).await;
    nothing_is_answered_after_close(&*open().await).await;
}

pub(crate) fn chain(id: u8) -> NewChain {
    let key = Arc::new(ChainKey::new(ChainId([id; 16])));
    NewChain { key, opened_us: 7, plugin: format!("plugin-{id}"), first: Digest([id; 32]) }
}

pub(crate) fn row(chain: &NewChain, seq: i64, body: &str) -> SealedRow {
    let mut texts = Texts::new("who", "read", "/src/naïve.rs", body.len());
    texts.push_body(body);
    SealedRow {
        chain: Arc::clone(&chain.key),
        seq,
        time_us: 1_000_000 + seq,
        kind: "verdict",
        verdict: "allowed",
        call: Some(CallId(uuid::Uuid::from_u128(9))),
        component: Some(ComponentHash([3; 32])),
        texts,
        hash: Digest([4; 32]),
    }
}

fn batch(chain: &NewChain, rows: impl IntoIterator<Item = i64>) -> Batch {
    let rows = rows.into_iter().map(|seq| row(chain, seq, "{}")).collect();
    Batch { opened: vec![chain.clone()], rows, ..Batch::default() }
}

async fn all_rows(store: &dyn Storage, chain: i64) -> Vec<StoredRow> {
    let mut rows: Vec<StoredRow> = Vec::new();
    loop {
        let from = (chain, rows.last().map_or(i64::MIN, |row| row.seq + 1));
        let page = store.rows(RowRange { from, until_chain: chain }, 100).await.unwrap();
        assert!(page.len() <= 100);
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

async fn chains_are_numbered_and_linked_in_order(store: &dyn Storage) {
    let empty = store.head().await.unwrap();
    assert_eq!((empty.chains, &empty.link[..]), (0, &empty.id.0[..]));
    let (a, b, c) = (chain(1), chain(2), chain(3));
    assert_eq!(a.key.number(), None);
    let mut both = batch(&a, [0]);
    both.opened.push(b.clone());
    both.rows.push(row(&b, 0, ""));
    store.append(&both, Durability::Written).await.unwrap();
    store.append(&batch(&c, [0]), Durability::Synced).await.unwrap();
    assert_eq!((a.key.number(), b.key.number(), c.key.number()), (Some(1), Some(2), Some(3)));
    let chains = store.chains(ChainRange::From(0), 10).await.unwrap();
    let mut previous = empty.link;
    for (record, new) in chains.iter().zip([&a, &b, &c]) {
        let (number, id) = (new.key.number().unwrap(), &new.key.id.0);
        let expected = link(&previous, number, id, 7, &new.plugin, &new.first.0);
        assert_eq!(record.link, expected.0);
        assert_eq!((&record.id[..], &record.plugin), (&id[..], &new.plugin));
        previous = record.link.clone();
    }
    let head = store.head().await.unwrap();
    assert_eq!((head.id, head.chains, head.link), (empty.id, 3, previous));
    let heads = store.chain_heads(2).await.unwrap();
    let heads = heads.iter().map(|head| (head.number, head.rows, &*head.kind));
    assert_eq!(heads.collect::<Vec<_>>(), [(2, 1, "verdict"), (3, 1, "verdict")]);
}

async fn rows_come_back_as_they_were_written(store: &dyn Storage) {
    let chain = chain(1);
    let mut batch = batch(&chain, [0]);
    batch.rows.push(SealedRow { call: None, component: None, ..row(&chain, 1, "[1,2]") });
    store.append(&batch, Durability::Written).await.unwrap();
    let stored = all_rows(store, 1).await;
    assert_eq!(stored[0].call, uuid::Uuid::from_u128(9).as_bytes());
    assert_eq!(stored[0].component, [3; 32]);
    let expected = StoredRow {
        chain: 1,
        seq: 1,
        time_us: 1_000_001,
        kind: "verdict".into(),
        who: "who".into(),
        call: Vec::new(),
        component: Vec::new(),
        capability: "read".into(),
        target: "/src/naïve.rs".into(),
        verdict: "allowed".into(),
        body: "[1,2]".into(),
        hash: vec![4; 32],
    };
    assert_eq!(stored[1], expected);
    let tally = Tally { kind: "verdict".into(), verdict: "allowed".into(), rows: 2 };
    assert_eq!(store.tally(1).await.unwrap(), [tally]);
}

async fn batches_of_every_size_are_written_whole(store: &dyn Storage) {
    let chain = chain(1);
    store.append(&batch(&chain, [0]), Durability::Written).await.unwrap();
    let mut next = 1;
    for (index, size) in [1, 2, 15, 16, 17, 63, 64, 65, 200].into_iter().enumerate() {
        let rows = (next..next + size).map(|seq| row(&chain, seq, "{}")).collect();
        let batch = Batch { opened: Vec::new(), rows, ..Batch::default() };
        let synced = if index % 2 == 0 { Durability::Synced } else { Durability::Written };
        store.append(&batch, synced).await.unwrap();
        next += size;
    }
    let seqs: Vec<_> = all_rows(store, 1).await.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (0..next).collect::<Vec<_>>());
}

async fn pages_end_by_rows_and_by_bytes(store: &dyn Storage) {
    let (a, b) = (chain(1), chain(2));
    store.append(&batch(&a, 0..1500), Durability::Written).await.unwrap();
    let large = "x".repeat(1 << 20);
    let rows = (0..12).map(|seq| row(&b, seq, &large)).collect();
    let opened = vec![b.clone()];
    store.append(&Batch { opened, rows, ..Batch::default() }, Durability::Written).await.unwrap();
    let all = RowRange { from: (i64::MIN, i64::MIN), until_chain: i64::MAX };
    let page = store.rows(all, usize::MAX).await.unwrap();
    assert_eq!(page.len(), PAGE_ROWS_MAX);
    let next = RowRange { from: (1, 1400), until_chain: 2 };
    let page = store.rows(next, usize::MAX).await.unwrap();
    let chains: Vec<_> = page.iter().map(|row| row.chain).collect();
    assert_eq!(chains.iter().filter(|chain| **chain == 1).count(), 100);
    assert_eq!(chains.iter().filter(|chain| **chain == 2).count(), 4);
}

async fn a_row_of_no_chain_leaves_nothing_of_its_batch(store: &dyn Storage) {
    let (known, unknown) = (chain(1), chain(2));
    let mut batch = batch(&known, [0, 1]);
    batch.rows.push(row(&unknown, 0, ""));
    store.append(&batch, Durability::Written).await.unwrap_err();
    assert_eq!(store.head().await.unwrap().chains, 0);
    assert_eq!(known.key.number(), None);
    assert!(all_rows(store, 1).await.is_empty());
    batch.rows.pop();
    store.append(&batch, Durability::Written).await.unwrap();
    assert_eq!(all_rows(store, 1).await.len(), 2);
    store.append(&batch, Durability::Written).await.unwrap_err();
    assert_eq!(all_rows(store, 1).await.len(), 2);
}

async fn chains_are_found_by_range(store: &dyn Storage) {
    for id in [0x1a, 0x1b, 0x2a] {
        store.append(&batch(&chain(id), [0]), Durability::Written).await.unwrap();
    }
    let numbers = async |range, limit| -> Vec<i64> {
        let chains = store.chains(range, limit).await.unwrap();
        chains.iter().map(|chain| chain.number).collect()
    };
    assert_eq!(numbers(ChainRange::From(2), 10).await, [2, 3]);
    assert_eq!(numbers(ChainRange::Before(i64::MAX), 2).await, [3, 2]);
    assert_eq!(numbers(ChainRange::Before(2), 10).await, [1]);
    assert_eq!(numbers(ChainRange::Ids([0x10; 16], [0x1f; 16]), 10).await, [1, 2]);
}

async fn a_sync_without_rows_is_accepted(store: &dyn Storage) {
    store.append(&Batch::default(), Durability::Synced).await.unwrap();
    store.append(&Batch::default(), Durability::Written).await.unwrap();
}

const A: Bucket<'static> = Bucket { identity: "a", name: "" };
const A2: Bucket<'static> = Bucket { identity: "a", name: "second" };
const B: Bucket<'static> = Bucket { identity: "b", name: "" };

async fn keys_are_set_read_and_removed(store: &dyn Storage) {
    store.kv_set(A, "k", b"one").await.unwrap();
    store.kv_set(A, "k", b"two\0").await.unwrap();
    store.kv_set(A2, "k", b"").await.unwrap();
    assert_eq!(store.kv_get(A, "k").await.unwrap().as_deref(), Some(&b"two\0"[..]));
    assert_eq!(store.kv_get(A2, "k").await.unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(store.kv_get(B, "k").await.unwrap(), None);
    assert!(store.kv_exists(A, "k").await.unwrap() && !store.kv_exists(B, "k").await.unwrap());
    store.kv_delete(A, "k").await.unwrap();
    store.kv_delete(A, "k").await.unwrap();
    assert!(!store.kv_exists(A, "k").await.unwrap() && store.kv_exists(A2, "k").await.unwrap());
}

async fn keys_come_in_pages(store: &dyn Storage) {
    let mut expected: Vec<String> = (0..KEYS_PAGE + 10).map(|key| format!("{key:05}")).collect();
    expected.insert(0, String::new());
    for key in &expected {
        store.kv_set(A, key, b"").await.unwrap();
    }
    store.kv_set(B, "other", b"").await.unwrap();
    let first = store.kv_keys(A, None).await.unwrap();
    assert_eq!(first.keys.len(), KEYS_PAGE);
    let second = store.kv_keys(A, first.next.as_deref()).await.unwrap();
    assert_eq!((first.keys.len() + second.keys.len(), second.next), (expected.len(), None));
    assert_eq!([first.keys, second.keys].concat(), expected);
}

async fn increments_count_and_refuse_other_text(store: &dyn Storage) {
    assert_eq!(store.kv_increment(A, "n", 5).await.unwrap(), 5);
    assert_eq!(store.kv_increment(A, "n", -7).await.unwrap(), -2);
    assert_eq!(store.kv_get(A, "n").await.unwrap().as_deref(), Some(&b"-2"[..]));
    store.kv_set(A, "n", i64::MAX.to_string().as_bytes()).await.unwrap();
    let over = store.kv_increment(A, "n", 1).await.unwrap_err();
    assert!(matches!(over, StorageError::NotANumber { .. }), "{over}");
    store.kv_set(A, "n", b"text").await.unwrap();
    let text = store.kv_increment(A, "n", 1).await.unwrap_err();
    assert!(matches!(text, StorageError::NotANumber { .. }), "{text}");
}

async fn limits_of_keys_hold(store: &dyn Storage) {
    let too_large = |error| matches!(error, StorageError::TooLarge { .. });
    let long = "k".repeat(keyvalue::KEY_BYTES_MAX + 1);
    assert!(too_large(store.kv_set(A, &long, b"").await.unwrap_err()));
    let bucket = Bucket { identity: "a", name: &long };
    assert!(too_large(store.kv_set(bucket, "k", b"").await.unwrap_err()));
    let value = vec![0; VALUE_BYTES_MAX + 1];
    assert!(too_large(store.kv_set(A, "k", &value).await.unwrap_err()));
    store.kv_set(A, "k", &value[1..]).await.unwrap();
}

async fn quotas_hold_for_each_identity(store: &dyn Storage) {
    let value = vec![0; VALUE_BYTES_MAX];
    let fits = QUOTA_BYTES / (VALUE_BYTES_MAX as i64 + PAIR_BYTES + 2);
    for key in 0..fits {
        store.kv_set(A, &format!("{key:02}"), &value).await.unwrap();
    }
    let full = store.kv_set(A2, "xx", &value).await.unwrap_err();
    assert!(matches!(full, StorageError::Quota { .. }), "{full}");
    assert!(!store.kv_exists(A2, "xx").await.unwrap());
    store.kv_set(B, "xx", &value).await.unwrap();
    store.kv_set(A, "00", &value).await.unwrap();
    store.kv_delete(A, "01").await.unwrap();
    store.kv_set(A, "yy", &value).await.unwrap();
}

fn pages_of(id: u8, name: &str, numbers: std::ops::Range<u64>) -> PageBatch {
    let hash = |number: u64| Digest(*blake3::hash(&number.to_le_bytes()).as_bytes());
    PageBatch {
        context: ContextRecord {
            id: ChainId([id; 16]),
            pid: u64::from(id),
            name: name.into(),
            updated_us: i64::from(id),
            state: "{\"calls\":1}".into(),
            layout: "[0]".into(),
        },
        pages: numbers
            .clone()
            .map(|number| PageRecord { number, hash: hash(number), record: "{}".into() })
            .collect(),
        contents: numbers.map(|number| (hash(number), vec![7; 8])).collect(),
        pages_end: None,
    }
}

async fn pages_are_written_read_and_written_again(store: &dyn Storage) {
    let (store, id) = (store.pages(), ChainId([1; 16]));
    let mut batch = pages_of(1, "naïve\0", 0..3);
    store.put(&batch).await.unwrap();
    store.put(&batch).await.unwrap();
    let found = store.read(id, 1).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], (batch.pages[1].clone(), Some(vec![7; 8])));
    // Another's content of the same hash is the same; a record changes, a layout stays.
    batch.pages[2].record = "{\"pinned\":true}".into();
    batch.context.layout = String::new();
    batch.context.state = "{}".into();
    batch.contents.clear();
    store.put(&batch).await.unwrap();
    assert_eq!(store.read(id, 2).await.unwrap()[0].0, batch.pages[2]);
    let context = store.contexts(Contexts::Of(1)).await.unwrap().remove(0);
    let expected = ContextRecord { layout: "[0]".into(), ..batch.context.clone() };
    assert_eq!(context, expected);
    assert_eq!(store.content(batch.pages[0].hash).await.unwrap(), Some(vec![7; 8]));
    assert_eq!(store.content(Digest([9; 32])).await.unwrap(), None);
    // Of an agent that went back what came after is no more; of the others it stays.
    store.put(&pages_of(4, "other", 0..3)).await.unwrap();
    let back = PageBatch { pages: Vec::new(), pages_end: Some(1), ..batch.clone() };
    store.put(&back).await.unwrap();
    assert_eq!(store.read(id, 0).await.unwrap().len(), 1);
    assert_eq!(store.read(ChainId([4; 16]), 0).await.unwrap().len(), 3);
    // A page whose content is missing is told as such.
    let mut lost = pages_of(2, "b", 5..6);
    lost.contents.clear();
    store.put(&lost).await.unwrap();
    assert_eq!(store.read(ChainId([2; 16]), 0).await.unwrap(), [(lost.pages[0].clone(), None)]);
    assert_eq!(store.read(ChainId([3; 16]), 0).await.unwrap(), []);
}

async fn contexts_are_found_by_name_number_and_id(store: &dyn Storage) {
    let store = store.pages();
    for (id, name) in [(3, "a"), (1, "b"), (2, "a")] {
        store.put(&pages_of(id, name, 0..0)).await.unwrap();
    }
    let ids = async |which| -> Vec<u8> {
        let found = store.contexts(which).await.unwrap();
        found.iter().map(|context| context.id.0[0]).collect()
    };
    assert_eq!(ids(Contexts::Named("a")).await, [3, 2]);
    assert_eq!(ids(Contexts::Named("c")).await, [0_u8; 0]);
    assert_eq!(ids(Contexts::Of(1)).await, [1]);
    assert_eq!(ids(Contexts::After(None)).await, [1, 2, 3]);
    assert_eq!(ids(Contexts::After(Some(ChainId([2; 16])))).await, [3]);
}

async fn many_pages_come_in_bounded_answers(store: &dyn Storage) {
    let (store, id) = (store.pages(), ChainId([1; 16]));
    store.put(&pages_of(1, "a", 0..1_200)).await.unwrap();
    let first = store.read(id, 0).await.unwrap();
    assert_eq!(first.len(), pages::PAGES_MAX);
    assert_eq!(store.read(id, 1_024).await.unwrap().len(), 176);
    let mut large = pages_of(2, "b", 5_000..5_010);
    large.contents.iter_mut().for_each(|(_, body)| *body = vec![1; 1 << 20]);
    store.put(&large).await.unwrap();
    let some = store.read(ChainId([2; 16]), 0).await.unwrap();
    assert!((4..=5).contains(&some.len()), "{}", some.len());
}

async fn nothing_is_answered_after_close(store: &dyn Storage) {
    store.close().await.unwrap();
    store.close().await.unwrap();
    store.append(&batch(&chain(1), [0]), Durability::Written).await.unwrap_err();
    store.head().await.unwrap_err();
}

fn packed(content: &[u8]) -> PackedBody {
    PackedBody::pack(content).unwrap()
}

async fn bodies_are_stored_once_and_come_back(store: &dyn Storage) {
    let (small, large) = (packed(b""), packed(&vec![b'x'; 3 << 20]));
    let chain = chain(1);
    let mut first = batch(&chain, [0]);
    first.bodies = vec![small.clone(), large.clone(), small.clone()];
    store.append(&first, Durability::Written).await.unwrap();
    // Another writer's frame of the same content is as good as the first.
    let other = PackedBody { packed: false, bytes: vec![b'x'; 3 << 20].into(), ..large.clone() };
    let again = Batch { bodies: vec![other], ..Batch::default() };
    store.append(&again, Durability::Synced).await.unwrap();
    let missing = Digest([9; 32]);
    let mut found = store.bodies(&[large.hash, missing, small.hash]).await.unwrap();
    found.sort_by_key(|body| body.size);
    assert_eq!(found, [small.clone(), large.clone()]);
    assert_eq!(found[1].unpack().unwrap().len(), 3 << 20);
    assert!(store.has_body(small.hash).await.unwrap() && !store.has_body(missing).await.unwrap());
    assert_eq!(store.bodies(&[missing]).await.unwrap(), []);
    assert_eq!(store.bodies(&[]).await.unwrap(), []);
}

async fn a_failed_batch_leaves_no_body(store: &dyn Storage) {
    let nowhere = chain(7);
    let mut wrong = Batch { rows: vec![row(&nowhere, 0, "{}")], ..Batch::default() };
    wrong.bodies = vec![packed(b"content")];
    store.append(&wrong, Durability::Written).await.unwrap_err();
    assert!(!store.has_body(packed(b"content").hash).await.unwrap());
}

async fn bodies_come_in_pages(store: &dyn Storage) {
    let contents: Vec<Vec<u8>> = (0..7_u8).map(|n| noise(n, 1 << 20)).collect();
    let mut expected: Vec<PackedBody> = contents.iter().map(|content| packed(content)).collect();
    let all = Batch { bodies: expected.clone(), ..Batch::default() };
    store.append(&all, Durability::Written).await.unwrap();
    expected.sort_by_key(|body| body.hash.0);
    let (mut found, mut pages): (Vec<PackedBody>, _) = (Vec::new(), 0);
    loop {
        let page = store.body_page(found.last().map(|body| body.hash)).await.unwrap();
        assert!(page.len() <= 4 + 1, "{}", page.len());
        if page.is_empty() {
            break;
        }
        pages += 1;
        found.extend(page);
    }
    assert!(pages > 1 && found == expected);
    let hashes: Vec<Digest> = expected.iter().map(|body| body.hash).collect();
    let some = store.bodies(&hashes).await.unwrap();
    assert!((1..expected.len()).contains(&some.len()), "{}", some.len());
}

fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
    noise
}

fn born(pid: u64, chain: &NewChain, parent: u64, resumes: bool) -> ProcessChange {
    ProcessChange::Born(NewProcess { pid, chain: chain.key.id, parent, resumes })
}

async fn agents_are_indexed_with_their_rows(store: &dyn Storage) {
    let (a, b, c) = (chain(1), chain(2), chain(3));
    let mut both = batch(&a, [0]);
    both.opened.push(b.clone());
    both.rows.push(row(&b, 0, ""));
    both.processes = vec![born(5, &a, 0, true), born(6, &b, 5, true)];
    store.append(&both, Durability::Written).await.unwrap();
    let mut third = batch(&c, [0]);
    third.processes = vec![born(7, &c, 0, false), born(5, &c, 0, false)];
    store.append(&third, Durability::Written).await.unwrap();
    let pids = async |range| -> Vec<(u64, i64, bool)> {
        let found = store.processes(range).await.unwrap();
        found.iter().map(|found| (found.pid, found.number, found.ended)).collect()
    };
    assert_eq!(pids(ProcessRange::LiveAfter(0)).await, [(5, 1, false), (6, 2, false)]);
    let ended = Batch { processes: vec![ProcessChange::Ended(5)], ..Batch::default() };
    store.append(&ended, Durability::Written).await.unwrap();
    assert_eq!(pids(ProcessRange::LiveAfter(0)).await, [(6, 2, false)]);
    assert_eq!(pids(ProcessRange::After(5)).await, [(6, 2, false), (7, 3, false)]);
    assert_eq!(pids(ProcessRange::Only(5)).await, [(5, 1, true)]);
    assert_eq!(pids(ProcessRange::Only(4)).await, []);
    let six = store.processes(ProcessRange::Only(6)).await.unwrap().remove(0);
    assert_eq!((six.chain, six.parent, six.resumes), (b.key.id.0.to_vec(), 5, true));
}

async fn pids_are_never_given_twice(store: &dyn Storage) {
    assert_eq!(store.take_pids(1).await.unwrap(), 1);
    assert_eq!(store.take_pids(16).await.unwrap(), 2);
    assert_eq!(store.take_pids(1).await.unwrap(), 18);
    // One that came by a copy counts too.
    let chain = chain(1);
    let mut copied = batch(&chain, [0]);
    copied.processes = vec![born(100, &chain, 0, true)];
    store.append(&copied, Durability::Written).await.unwrap();
    assert_eq!(store.take_pids(2).await.unwrap(), 101);
    assert_eq!(store.take_pids(1).await.unwrap(), 103);
}
