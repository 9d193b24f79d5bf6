use std::convert::Infallible;

use super::*;
use crate::capability::keyvalue::{BucketRequest, KeyOperation};
use crate::journal::{Journal, JournalOptions, Opening, chain_rows, find_chain};
use crate::storage::{Storage, StoreUrl};

/// A gate that lets everything of the bucket `b` through, and the store behind it.
struct Fixture {
    gate: Gate,
    journal: Journal,
    chain: Chain,
    store: Arc<dyn Storage>,
}

async fn fixture(rows: u64) -> Fixture {
    let store = StoreUrl::Memory.open().await.expect("a store");
    let journal = Journal::open(Arc::clone(&store), JournalOptions::default()).await;
    let journal = journal.expect("a journal");
    let component = ComponentHash([5; 32]);
    let opening =
        Opening { plugin: "p", component: Some(component), host_version: "0", grants: &[] };
    let chain = journal.chain(opening);
    let grants = ["keyvalue:b".parse().expect("a grant")];
    let authority = Authority::for_plugin(&|_| true, None, &grants, &[]).expect("an authority");
    let rows =
        LimitHit { name: "rows".into(), value: rows, unit: "rows".into(), remedy: "x".into() };
    let gate = Gate::new(Arc::new(authority), chain.clone(), CallId::fresh(), component, rows);
    Fixture { gate, journal, chain, store }
}

impl Fixture {
    /// The rows after the first as `kind verdict target body`.
    async fn rows(&self) -> Vec<String> {
        self.journal.flush(Class::Written).await.expect("flushed");
        let id = self.chain.id().to_string();
        let chain = find_chain(&*self.store, &id).await.expect("the chain");
        let rows = chain_rows(&*self.store, chain.number, 1).await.expect("rows");
        let line = |row: &crate::storage::StoredRow| {
            let parts = [&row.kind, &row.verdict, &row.target, &row.body];
            let parts = parts.into_iter().filter(|part| !part.is_empty());
            parts.cloned().collect::<Vec<_>>().join(" ")
        };
        rows.iter().map(line).collect()
    }

    async fn does(&self, operation: KeyOperation, key: &str) -> Result<(), Refusal<Infallible>> {
        let request = BucketRequest { bucket: "b", key, operation };
        let done = self.gate.perform(request, |permit| async {
            permit.spend();
            Ok(())
        });
        done.await
    }
}

/// A change that never ends, polled until its verdict is in the journal.
async fn begin<'a>(gate: &'a Gate, key: &'a str) -> futures::future::BoxFuture<'a, ()> {
    let (began, begins) = tokio::sync::oneshot::channel();
    let request = BucketRequest { bucket: "b", key, operation: KeyOperation::Delete };
    let mut effect = Box::pin(async move {
        let done = gate.perform(request, |permit| async {
            permit.spend();
            let _listens = began.send(());
            std::future::pending::<Result<(), Infallible>>().await
        });
        let _never = done.await;
    });
    tokio::select! {
        () = &mut effect => unreachable!("invariant: it never ends"),
        began = begins => began.expect("it began"),
    }
    effect
}

#[tokio::test]
async fn an_effect_that_is_let_go_of_has_an_outcome_before_the_next_one() {
    let fixture = fixture(100).await;
    drop(begin(&fixture.gate, "gone").await);
    fixture.does(KeyOperation::Delete, "next").await.expect("done");
    assert_eq!(
        fixture.rows().await,
        [
            "verdict allowed delete b/gone",
            "outcome delete b/gone {\"interrupted\":true}",
            "verdict allowed delete b/next",
            "outcome delete b/next {\"ok\":true}",
        ]
    );
}

#[tokio::test]
async fn an_effect_that_the_end_of_the_call_overtakes_has_one_outcome_and_nothing_follows() {
    let fixture = fixture(100).await;
    let running = begin(&fixture.gate, "k").await;
    fixture.gate.finish().await.expect("finished");
    drop(running);
    let late = fixture.does(KeyOperation::Delete, "late").await;
    assert!(matches!(late, Err(Refusal::Journal(JournalError::Closed))), "{late:?}");
    fixture.gate.finish().await.expect("finished");
    let rows = ["verdict allowed delete b/k", "outcome delete b/k {\"interrupted\":true}"];
    assert_eq!(fixture.rows().await, rows);
}

#[tokio::test]
async fn a_call_has_no_more_rows_than_its_limit_and_what_comes_after_does_not_happen() {
    let fixture = fixture(5).await;
    let write = KeyOperation::Set { bytes: 1 };
    for key in ["1", "2"] {
        fixture.does(write, key).await.expect("done");
    }
    // One row is left, and this needs two.
    let full = fixture.does(write, "3").await;
    assert!(matches!(&full, Err(Refusal::Limit(limit)) if limit.name == "rows"), "{full:?}");
    assert_eq!(fixture.gate.limit().expect("noted").name, "rows");
    fixture.gate.finish().await.expect("finished");
    assert_eq!(fixture.rows().await.len(), 4);
}

#[tokio::test]
async fn reads_beyond_the_list_are_counted_and_the_list_says_that_it_is_cut() {
    let fixture = fixture(100).await;
    for n in 0..300 {
        fixture.does(KeyOperation::Get, &n.to_string()).await.expect("done");
    }
    fixture.gate.finish().await.expect("finished");
    let rows = fixture.rows().await;
    assert_eq!(rows.len(), 2);
    let body = rows[1].strip_prefix("outcome read b ").expect(&rows[1]);
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&body["count"], &body["cut"]), (&300.into(), &true.into()));
    assert_eq!(body["targets"].as_array().expect("a list").len(), 256);
}

#[tokio::test]
async fn a_denial_that_is_repeated_is_one_row_and_a_count() {
    let fixture = fixture(100).await;
    for key in ["a", "a", "a", "b"] {
        let request = BucketRequest { bucket: "other", key, operation: KeyOperation::Delete };
        let done: Result<(), Refusal<Infallible>> =
            fixture.gate.perform(request, |_| async { Ok(()) }).await;
        assert!(matches!(done, Err(Refusal::Denied(_))), "{done:?}");
    }
    for n in 0..100 {
        let bucket = &format!("b{n}");
        let request = BucketRequest { bucket, key: "k", operation: KeyOperation::Get };
        let done: Result<(), Refusal<Infallible>> =
            fixture.gate.perform(request, |_| async { Ok(()) }).await;
        assert!(matches!(done, Err(Refusal::Denied(_))), "{done:?}");
    }
    fixture.gate.finish().await.expect("finished");
    let rows = fixture.rows().await;
    let denied = rows.iter().filter(|row| row.starts_with("verdict denied "));
    assert_eq!(denied.count(), 64);
    let ends = rows.iter().filter(|row| row.starts_with("outcome")).cloned();
    let wanted = ["outcome other {\"denied\":4}", "outcome {\"denials_not_listed\":37}"];
    assert_eq!(ends.collect::<Vec<_>>(), wanted);
}

/// A read that shares its verdict with those of the same key.
struct Tallied(usize);

impl Request for Tallied {
    type Checked = ();

    fn capability(&self) -> Capability {
        Capability::Read
    }

    fn target(&self) -> Cow<'_, str> {
        self.0.to_string().into()
    }

    fn class(&self) -> Class {
        Class::Queued
    }

    fn tally(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn check(self, _: &Authority) -> Result<(), Denial> {
        Ok(())
    }
}

#[tokio::test]
async fn every_tally_has_an_outcome_and_so_has_what_no_tally_had_room_for() {
    let fixture = fixture(10_000).await;
    for n in 0..300 {
        let done: Result<(), Refusal<Infallible>> =
            fixture.gate.perform(Tallied(n), |_| async { Ok(()) }).await;
        done.expect("done");
    }
    fixture.gate.finish().await.expect("finished");
    let rows = fixture.rows().await;
    for word in ["verdict allowed", "outcome"] {
        let mut targets: Vec<_> = rows.iter().filter(|row| row.starts_with(word)).collect();
        targets.sort_unstable();
        targets.dedup();
        assert_eq!(targets.len(), 300, "{word}");
    }
}
