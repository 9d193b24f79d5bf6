//! Sealing, for any rows: what was written verifies, what was changed does not.

use super::super::seal::Fields;
use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct AnyRow {
    kind: usize,
    texts: [String; 3],
    call: Option<u128>,
    component: Option<[u8; 32]>,
    verdict: usize,
    body: Option<String>,
    chain: usize,
}

fn any_row() -> impl Strategy<Value = AnyRow> {
    let texts = [".{0,20}", ".{0,20}", "(?s).{0,40}"];
    let body = prop::option::of(".{0,40}".prop_map(|text| serde_json::json!(text).to_string()));
    (0..5usize, texts, any::<Option<u128>>(), any::<Option<[u8; 32]>>(), 0..3usize, body, 0..3usize)
        .prop_map(|(kind, texts, call, component, verdict, body, chain)| AnyRow {
            kind,
            texts,
            call,
            component,
            verdict,
            body,
            chain,
        })
}

impl AnyRow {
    fn row(&self) -> Row<'_> {
        Row {
            kind: RowKind::ALL[self.kind],
            who: &self.texts[0],
            call: self.call.map(|call| CallId(uuid::Uuid::from_u128(call))),
            component: self.component.map(ComponentHash),
            capability: &self.texts[1],
            target: &self.texts[2],
            verdict: [None, Some(Verdict::Allowed), Some(Verdict::Denied)][self.verdict],
            body: self.body.as_deref().map_or(Body::None, Body::Text),
        }
    }
}

async fn written(rows: &[AnyRow]) -> Arc<dyn Storage> {
    let store = memory().await;
    let journal = journal(&store).await;
    let chains: Vec<_> = (0..3).map(|_| journal.chain(opening("p"))).collect();
    for row in rows {
        chains[row.chain].append(row.row(), Class::Queued).await.unwrap();
    }
    journal.close().await.unwrap();
    store
}

/// Changes one field of a row; `false` if that would be no change.
fn change(row: &mut StoredRow, field: usize, byte: u8) -> bool {
    let before = row.clone();
    match field {
        0 => row.time_us ^= i64::from(byte),
        1 => row.kind = RowKind::ALL[usize::from(byte) % RowKind::ALL.len()].word().to_owned(),
        2 => row.who.push(char::from(byte)),
        3 => row.capability = row.target.clone(),
        4 => row.target.insert(0, char::from(byte)),
        5 => row.call = vec![byte; 16],
        6 => row.component = vec![byte; 32],
        7 => row.verdict = ["", "allowed", "denied"][usize::from(byte) % 3].to_owned(),
        8 => row.body = format!("{byte}"),
        _ => row.hash[usize::from(byte) % 32] ^= byte,
    }
    *row != before
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_written_verifies_and_what_was_changed_does_not(
        rows in prop::collection::vec(any_row(), 1..40),
        place in any::<prop::sample::Index>(),
        field in 0..10usize,
        byte in any::<u8>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut copy = runtime.block_on(async {
            let store = written(&rows).await;
            let report = verify(&*store).await.unwrap();
            assert!(report.is_clean(), "{:?}", report.problems);
            let mut lines = Vec::new();
            export(&*store, Exported::All, &mut lines).await.unwrap();
            assert_eq!(verify_export(&lines[..], None::<&[u8]>).unwrap(), report);
            Copy::of(&*store).await
        });
        prop_assert_eq!(copy.rows.len(), rows.len() + 3);
        let index = place.index(copy.rows.len());
        let (chain, seq) = (copy.rows[index].chain, copy.rows[index].seq);
        if change(&mut copy.rows[index], field, byte) {
            let report = copy.verify();
            let place = (Some(chain), Some(seq));
            let found = |problem: &Problem| (problem.chain, problem.seq) == place;
            prop_assert!(report.problems.iter().any(found), "{:?}", report.problems);
        }
    }

    #[test]
    fn moving_a_byte_from_one_field_to_the_next_changes_the_seal(
        text in "[a-z]{2,30}", first in 0..30usize, second in 0..30usize,
    ) {
        let hash = |at: usize| {
            let (who, capability) = text.split_at(at % text.len());
            let fields = Fields {
                chain: &[1; 16], seq: 1, time_us: 2, previous: &[3; 32], kind: "verdict", who,
                call: &[], component: &[], capability, target: "", verdict: "", body: "",
            };
            fields.hash(&mut Vec::new())
        };
        let same = first % text.len() == second % text.len();
        prop_assert_eq!(hash(first) == hash(second), same);
    }
}
