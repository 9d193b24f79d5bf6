//! A copy has everything, is verified, and can be taken up again.

use super::*;
use crate::storage::{Bucket, Durability};
use std::io::Cursor;

const PAIRS: Bucket<'static> = Bucket { identity: "files", name: "notes" };

/// Three chains and twenty pairs.
async fn source() -> Arc<dyn Storage> {
    let store = memory().await;
    three_chains(&store).await;
    for key in 0..20 {
        store.kv_set(PAIRS, &format!("k{key}"), &[key]).await.unwrap();
    }
    store
}

async fn rows(store: &Arc<dyn Storage>) -> Vec<StoredRow> {
    Copy::of(&**store).await.rows
}

#[tokio::test]
async fn an_empty_store_becomes_the_same_and_kept_heads_fit_it() {
    let (from, to) = (source().await, memory().await);
    let mut heads = Vec::new();
    write_heads(&*from, &mut heads).await.unwrap();
    let copied = copy(&*from, &*to, false).await.unwrap();
    assert_eq!(
        copied,
        Copied { chains: 3, rows: 24, bodies: 0, pairs: 20, pages: 0, links_kept: true }
    );
    assert_eq!(to.head().await.unwrap(), from.head().await.unwrap());
    assert_eq!(rows(&to).await, rows(&from).await);
    assert_eq!(to.kv_pairs(None).await.unwrap(), from.kv_pairs(None).await.unwrap());
    let report = verify_against(&*to, Cursor::new(&heads)).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

#[tokio::test]
async fn a_store_with_runs_of_its_own_keeps_them_and_registers_the_others_after() {
    let (from, to) = (source().await, memory().await);
    three_chains(&to).await;
    let own = Copy::of(&*to).await;
    let copied = copy(&*from, &*to, false).await.unwrap();
    assert_eq!((copied.chains, copied.rows, copied.links_kept), (3, 24, false));
    let both = Copy::of(&*to).await;
    assert_eq!(
        (both.id, &both.chains[..3], &both.rows[..24]),
        (own.id, &own.chains[..], &own.rows[..])
    );
    let hash = |row: &StoredRow| row.hash.clone();
    let copies: Vec<_> = both.rows[24..].iter().map(hash).collect();
    assert_eq!(copies, rows(&from).await.iter().map(hash).collect::<Vec<_>>());
    assert!(verify(&*to).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_second_copy_brings_only_what_is_new() {
    let (from, to) = (source().await, memory().await);
    let journal = journal(&from).await;
    let chain = journal.chain(opening("d"));
    chain.append(verdict("/1"), Class::Written).await.unwrap();
    copy(&*from, &*to, false).await.unwrap();
    chain.append(verdict("/2"), Class::Written).await.unwrap();
    journal.close().await.unwrap();
    from.kv_set(PAIRS, "new", b"").await.unwrap();
    let again = copy(&*from, &*to, false).await.unwrap();
    assert_eq!(
        again,
        Copied { chains: 0, rows: 1, bodies: 0, pairs: 1, pages: 0, links_kept: true }
    );
    assert_eq!(rows(&to).await, rows(&from).await);
    let nothing = copy(&*from, &*to, false).await.unwrap();
    assert_eq!(nothing, Copied { links_kept: true, ..Copied::default() });
}

#[tokio::test]
async fn a_changed_source_is_not_copied_beyond_the_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("aos.db");
    let from = StoreUrl::Sqlite(path.clone()).open().await.unwrap();
    three_chains(&from).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let change = "UPDATE journal SET target = '/7' WHERE chain = 2 AND seq = 3";
    sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
    let to = memory().await;
    let error = copy(&*from, &*to, false).await.unwrap_err();
    assert!(matches!(&error, CopyError::Changed { .. }), "{error}");
    let sentence = error.to_string();
    assert!(sentence.contains("aos.db") && sentence.contains("row 3"), "{sentence}");
    assert!(rows(&to).await.iter().all(|row| (row.chain, row.seq) < (2, 3)));
}

#[tokio::test]
async fn a_chain_that_differs_in_the_target_is_refused() {
    let (from, to) = (source().await, memory().await);
    copy(&*from, &*to, false).await.unwrap();
    // A target that went further than its source.
    let journal = journal(&to).await;
    journal.close().await.unwrap();
    let chain = Arc::new(crate::storage::ChainKey::new(ChainId(
        from.chains(ChainRange::From(3), 1).await.unwrap()[0].id.clone().try_into().unwrap(),
    )));
    chain.registered(3);
    let row = crate::storage::SealedRow {
        chain,
        seq: 8,
        time_us: 0,
        kind: "verdict",
        verdict: "",
        call: None,
        component: None,
        texts: crate::storage::Texts::new("", "", "", 0),
        hash: Digest([1; 32]),
    };
    let batch = Batch { opened: Vec::new(), rows: vec![row], ..Batch::default() };
    to.append(&batch, Durability::Written).await.unwrap();
    let error = copy(&*from, &*to, false).await.unwrap_err();
    assert!(matches!(error, CopyError::Differs { seq: 8, .. }), "{error}");
}

#[tokio::test]
async fn a_value_in_both_is_kept_until_told_otherwise() {
    let (from, to) = (source().await, memory().await);
    to.kv_set(PAIRS, "k7", b"mine").await.unwrap();
    let error = copy(&*from, &*to, false).await.unwrap_err();
    assert!(error.to_string().contains("key `k7` of `files`"), "{error}");
    assert_eq!(to.kv_get(PAIRS, "k7").await.unwrap().as_deref(), Some(&b"mine"[..]));
    copy(&*from, &*to, true).await.unwrap();
    assert_eq!(to.kv_get(PAIRS, "k7").await.unwrap().as_deref(), Some(&[7][..]));
}
