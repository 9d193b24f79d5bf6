//! The journal's claims, over SQLite in memory or in a file.

mod copying;
mod faults;
mod many;
mod order;
#[cfg(feature = "postgres")]
mod postgres;
mod property;
mod reading;
mod signed;
mod tamper;
mod tampering;
mod timing;

use super::*;
use crate::storage::{ChainRange, ChainRecord, RowRange, StoreId, StoreUrl, StoredRow};
use crate::types::{CallId, ComponentHash};

async fn memory() -> Arc<dyn Storage> {
    StoreUrl::Memory.open().await.unwrap()
}

async fn journal(store: &Arc<dyn Storage>) -> Journal {
    Journal::open(Arc::clone(store), JournalOptions::default()).await.unwrap()
}

fn opening(plugin: &str) -> Opening<'_> {
    Opening { plugin, component: Some(ComponentHash([5; 32])), host_version: "0.1.0", grants: &[] }
}

fn verdict(target: &str) -> Row<'_> {
    Row {
        who: "files",
        call: Some(CallId(uuid::Uuid::from_u128(1))),
        component: Some(ComponentHash([5; 32])),
        capability: "read",
        target,
        verdict: Some(Verdict::Allowed),
        body: Body::Text(r#"{"mode":"read"}"#),
        ..Row::new(RowKind::Verdict)
    }
}

const CLOSING: Closing<'static> = Closing { outcome: "ok", usage: &serde_json::Value::Null };

/// Three closed chains of eight rows each, written.
async fn three_chains(store: &Arc<dyn Storage>) {
    let journal = journal(store).await;
    for plugin in ["a", "b", "c"] {
        let chain = journal.chain(opening(plugin));
        for target in ["/1", "/2", "/3", "/4", "/5", "/6"] {
            chain.append(verdict(target), Class::Queued).await.unwrap();
        }
        chain.close(CLOSING, Class::Queued).await.unwrap();
    }
    journal.close().await.unwrap();
}

/// A whole store in memory, to be tampered with.
#[derive(Clone)]
struct Copy {
    id: StoreId,
    chains: Vec<ChainRecord>,
    rows: Vec<StoredRow>,
}

impl Copy {
    async fn of(store: &dyn Storage) -> Self {
        let chains = store.chains(ChainRange::From(i64::MIN), usize::MAX).await.unwrap();
        let range = RowRange { from: (i64::MIN, i64::MIN), until_chain: i64::MAX };
        let rows = store.rows(range, usize::MAX).await.unwrap();
        Self { id: store.head().await.unwrap().id, chains, rows }
    }

    fn verify(&self) -> Report {
        self.check(Verifier::new(self.id))
    }

    fn verify_signed(&self, head: &SignedHead) -> Report {
        self.check(Verifier::new(self.id).signed(self.id, vec![head.clone()]))
    }

    fn check(&self, mut verifier: Verifier) -> Report {
        let mut rows = self.rows.iter().peekable();
        for chain in &self.chains {
            verifier.chain(chain.clone(), None);
            while let Some(row) = rows.next_if(|row| row.chain <= chain.number) {
                verifier.row(row);
            }
        }
        rows.for_each(|row| verifier.row(row));
        verifier.finish()
    }

    fn index(&self, chain: i64, seq: i64) -> usize {
        self.rows.iter().position(|row| (row.chain, row.seq) == (chain, seq)).unwrap()
    }
}
