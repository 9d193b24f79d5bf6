//! Signed heads: what was cut off or written anew is found with the key alone, on every store.

use super::*;
use std::io::Cursor;

fn key() -> SigningKey {
    SigningKey::of(&[7; 32]).unwrap()
}

/// Two closed chains and one that goes on.
async fn with_an_open_chain(store: &Arc<dyn Storage>) -> Chain {
    three_chains(store).await;
    let journal = journal(store).await;
    let chain = journal.chain(opening("agent"));
    chain.append(verdict("/1"), Class::Written).await.unwrap();
    chain.append(verdict("/2"), Class::Written).await.unwrap();
    chain
}

async fn signed(store: &dyn Storage) -> SignedHead {
    sign_head(store, &key(), 1_700_000_000_000_000).await.unwrap()
}

async fn export_of(store: &dyn Storage, what: Exported) -> Vec<u8> {
    let mut out = Vec::new();
    export(store, what, &mut out).await.unwrap();
    out
}

fn with_export(export: &[u8], head: &SignedHead) -> Report {
    verify_export_signed(Cursor::new(export), vec![head.clone()]).unwrap()
}

#[tokio::test]
async fn what_was_there_when_it_was_signed_is_still_there_after_more() {
    let store = memory().await;
    let chain = with_an_open_chain(&store).await;
    let head = signed(&*store).await;
    assert_eq!((head.chains, &head.open[..]), (4, &[(4, 3)][..]));
    let first = verify_signed(&*store, vec![head.clone()]).await.unwrap();
    assert!(first.is_clean(), "{:?}", first.problems);
    chain.append(verdict("/3"), Class::Written).await.unwrap();
    chain.close(CLOSING, Class::Written).await.unwrap();
    three_chains(&store).await;
    let newer = signed(&*store).await;
    let report = verify_signed(&*store, vec![head.clone(), newer.clone()]).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    let export = export_of(&*store, Exported::All).await;
    assert_eq!(with_export(&export, &head), with_export(&export, &newer));
    assert!(with_export(&export, &head).is_clean());
}

#[tokio::test]
async fn a_signed_head_is_read_back_and_any_change_of_it_is_refused() {
    let store = memory().await;
    with_an_open_chain(&store).await;
    let head = signed(&*store).await;
    let line = head.line();
    let public = key().public();
    let read = |text: &str| read_signed_heads(Cursor::new(text.to_owned()), &public);
    assert_eq!(read(&format!("{line}\n\n{line}\n")).unwrap(), [head.clone(), head.clone()]);
    let refused = |text: &str, says: &str| {
        let sentence = read(text).unwrap_err().to_string();
        assert!(sentence.contains(says), "{text}: {sentence}");
    };
    let with = |from: &str, to: &str| {
        assert!(line.contains(from), "{from} in {line}");
        line.replace(from, to)
    };
    refused(&with("\"chains\":4", "\"chains\":5"), "signature is wrong");
    refused(&with("[4,3]", "[4,2]"), "signature is wrong");
    refused(&with("1700000000000000", "1700000000000001"), "signature is wrong");
    let flip = |digest: &str| {
        let last = if digest.ends_with('0') { "1" } else { "0" };
        format!("{}{last}", &digest[..digest.len() - 1])
    };
    for field in
        [head.root.to_string(), head.store.to_string(), crate::storage::Hex(&head.link).to_string()]
    {
        refused(&with(&field, &flip(&field)), "signature is wrong");
    }
    refused(&with(&public.to_string(), &"ab".repeat(32)), "another key signed it");
    refused("", "there is no signed head");
    refused("{", "line 1 of the signed head");
    let other = SigningKey::of(&[8; 32]).unwrap().public();
    assert!(read_signed_heads(Cursor::new(line), &other).is_err());
}

#[tokio::test]
async fn a_cut_end_and_a_journal_written_anew_are_found_with_the_key_alone() {
    let (store, other) = (memory().await, memory().await);
    with_an_open_chain(&store).await;
    let head = signed(&*store).await;
    // The same history, written anew from its third chain on, every hash right.
    let whole = Copy::of(&*store).await;
    let prefix = Copy::of(&*store).await;
    other.adopt(whole.id).await.unwrap();
    let _chain = with_an_open_chain(&other).await;
    let forged = Copy::of(&*other).await;
    assert_eq!((forged.id, forged.rows.len()), (prefix.id, prefix.rows.len()));
    assert!(verify(&*other).await.unwrap().is_clean(), "by itself it is sound");
    let report = verify_signed(&*other, vec![head.clone()]).await.unwrap();
    assert!(!report.is_clean());
    let export = export_of(&*other, Exported::All).await;
    assert!(!with_export(&export, &head).is_clean());

    for (cut, says) in [
        ((4, 2), "its end was cut off: it has 2 of 3 rows"),
        ((3, 7), "its end was cut off: it was closed"),
        ((3, 0), "all rows are missing"),
    ] {
        let mut copy = whole.clone();
        copy.rows.retain(|row| row.chain != cut.0 || row.seq < cut.1);
        let report = copy.verify_signed(&head);
        let found = report.problems.iter().any(|problem| problem.what.contains(says));
        assert!(found, "{cut:?}: {:?}", report.problems);
    }
    let mut copy = whole;
    copy.chains.pop();
    copy.rows.retain(|row| row.chain != 4);
    assert!(copy.verify().is_clean());
    let report = copy.verify_signed(&head);
    assert!(report.problems[0].what.contains("3 of 4 chains"), "{:?}", report.problems);
}

#[tokio::test]
async fn one_chain_rewritten_with_right_hashes_is_found_by_the_root() {
    let store = memory().await;
    with_an_open_chain(&store).await;
    let head = signed(&*store).await;
    let mut copy = Copy::of(&*store).await;
    // The last rows of a chain are sealed anew: nothing inside the chain can tell.
    let id = copy.chains[1].id.clone();
    let mut scratch = Vec::new();
    for seq in 5..8 {
        let (before, at) = (copy.index(2, seq - 1), copy.index(2, seq));
        let previous = copy.rows[before].hash.clone();
        copy.rows[at].time_us += 1;
        let hash = super::super::seal::expected(&copy.rows[at], &id, &previous, &mut scratch);
        copy.rows[at].hash = hash.0.to_vec();
    }
    assert!(copy.verify().is_clean(), "{:?}", copy.verify().problems);
    let report = copy.verify_signed(&head);
    assert!(report.problems[0].what.contains("written anew"), "{:?}", report.problems);
}

#[tokio::test]
async fn a_proof_shows_one_chain_and_no_other() {
    let store = memory().await;
    let chain = with_an_open_chain(&store).await;
    let head = signed(&*store).await;
    chain.append(verdict("/3"), Class::Written).await.unwrap();
    let chains = Copy::of(&*store).await.chains;
    for record in &chains {
        let proof = prove(&*store, record, head.clone()).await.unwrap();
        let read: Proof = proof.line().parse().unwrap();
        assert_eq!(read, proof);
        read.check(&key().public()).unwrap();
        assert_eq!(proof.rows, if record.number == 4 { 3 } else { 8 });
        let export = export_of(&*store, Exported::Chain(record.number)).await;
        let report = verify_export_proof(Cursor::new(&export), &proof).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        let other = export_of(&*store, Exported::Chain(record.number % 4 + 1)).await;
        verify_export_proof(Cursor::new(&other), &proof).unwrap_err();
        for change in [
            |proof: &mut Proof| proof.number += 1,
            |proof: &mut Proof| proof.rows += 1,
            |proof: &mut Proof| proof.hash[0] ^= 1,
            |proof: &mut Proof| proof.id[0] ^= 1,
            |proof: &mut Proof| proof.path[0].0[0] ^= 1,
            |proof: &mut Proof| proof.head.root.0[0] ^= 1,
        ] {
            let mut wrong = proof.clone();
            change(&mut wrong);
            wrong.check(&key().public()).unwrap_err();
        }
    }
    three_chains(&store).await;
    let later = Copy::of(&*store).await.chains.pop().unwrap();
    let error = prove(&*store, &later, head).await.unwrap_err().to_string();
    assert!(error.contains("after this head was signed"), "{error}");
}

#[tokio::test]
async fn a_signed_head_needs_an_export_of_all() {
    let store = memory().await;
    three_chains(&store).await;
    let export = export_of(&*store, Exported::Chain(2)).await;
    let error = verify_export_signed(Cursor::new(export), vec![signed(&*store).await]);
    assert!(error.unwrap_err().to_string().contains("audit prove"));
}

#[tokio::test]
async fn an_empty_store_is_signed_too() {
    let store = memory().await;
    let head = signed(&*store).await;
    let read = read_signed_heads(Cursor::new(head.line()), &key().public()).unwrap();
    assert_eq!(read, std::slice::from_ref(&head));
    three_chains(&store).await;
    assert!(verify_signed(&*store, vec![head]).await.unwrap().is_clean());
}

#[tokio::test]
async fn calls_are_paired_with_their_ends() {
    let store = memory().await;
    let journal = journal(&store).await;
    let chain = journal.chain(opening("agent"));
    let call = |kind, id: u128, body| Row {
        who: "files",
        call: Some(CallId(uuid::Uuid::from_u128(id))),
        capability: "tool",
        target: "read_file",
        body: Body::Text(body),
        ..Row::new(kind)
    };
    for (kind, id) in [
        (RowKind::Accepted, 1),
        (RowKind::Accepted, 2),
        (RowKind::Outcome, 1),
        (RowKind::Accepted, 3),
        (RowKind::Fault, 3),
    ] {
        chain.append(call(kind, id, "{}"), Class::Queued).await.unwrap();
    }
    // Told of a call that was open where the chain was forked.
    let cut = call(RowKind::Outcome, 9, r#"{"interrupted":true}"#);
    chain.append(cut, Class::Queued).await.unwrap();
    chain.close(CLOSING, Class::Written).await.unwrap();
    let report = verify(&*store).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.calls, report.unended), (3, 1));
    let chain = journal.chain(opening("agent"));
    chain.append(call(RowKind::Outcome, 4, "{}"), Class::Written).await.unwrap();
    let report = verify(&*store).await.unwrap();
    assert_eq!((report.problems[0].chain, report.problems[0].seq), (Some(2), Some(1)));
    assert!(report.problems[0].what.contains("no row before it started"));
    let record = Copy::of(&*store).await.chains.remove(0);
    let one = verify_chain(&*store, record).await.unwrap();
    assert_eq!((one.chains, one.rows, one.is_clean()), (1, 8, true), "{:?}", one.problems);
}
