//! Whatever is changed in a store is found, and found where it is.

use super::*;
use std::io::Cursor;

/// The places of the problems: (chain, seq).
fn places(report: &Report) -> Vec<(Option<i64>, Option<i64>)> {
    report.problems.iter().map(|problem| (problem.chain, problem.seq)).collect()
}

async fn three() -> (Arc<dyn Storage>, Copy) {
    let store = memory().await;
    three_chains(&store).await;
    let copy = Copy::of(&*store).await;
    assert_eq!((copy.chains.len(), copy.rows.len()), (3, 24));
    (store, copy)
}

#[tokio::test]
async fn an_untouched_store_is_clean() {
    let (store, copy) = three().await;
    let report = verify(&*store).await.unwrap();
    assert_eq!((report.chains, report.rows, report.open), (3, 24, 0));
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(copy.verify(), report);
}

#[tokio::test]
async fn every_flipped_field_of_a_row_is_found_at_its_row() {
    type Flip = fn(&mut StoredRow);
    let flips: [(&str, Flip); 10] = [
        ("time", |row| row.time_us += 1),
        ("kind", |row| row.kind = "outcome".into()),
        ("who", |row| row.who.push('x')),
        ("call", |row| row.call[3] ^= 1),
        ("component", |row| row.component.clear()),
        ("capability", |row| row.capability = "write".into()),
        ("target", |row| row.target = "/etc".into()),
        ("verdict", |row| row.verdict = "denied".into()),
        ("body", |row| row.body = r#"{"mode": "read"}"#.into()),
        ("hash", |row| row.hash[31] ^= 0x80),
    ];
    let (_, copy) = three().await;
    for (field, flip) in flips {
        for seq in [1, 6] {
            let mut copy = copy.clone();
            let index = copy.index(2, seq);
            flip(&mut copy.rows[index]);
            let report = copy.verify();
            assert_eq!(places(&report), [(Some(2), Some(seq))], "{field}: {:?}", report.problems);
        }
    }
}

#[tokio::test]
async fn every_flipped_field_of_a_registration_is_found_at_its_chain() {
    type Flip = fn(&mut ChainRecord);
    let flips: [(&str, Flip); 5] = [
        ("id", |chain| chain.id[0] ^= 1),
        ("opened", |chain| chain.opened_us += 1),
        ("plugin", |chain| chain.plugin = "other".into()),
        ("first", |chain| chain.first[0] ^= 1),
        ("link", |chain| chain.link[0] ^= 1),
    ];
    let (_, copy) = three().await;
    for (field, flip) in flips {
        let mut copy = copy.clone();
        flip(&mut copy.chains[1]);
        let report = copy.verify();
        assert!(!report.is_clean(), "{field}");
        let elsewhere = report.problems.iter().find(|problem| problem.chain != Some(2));
        assert_eq!(elsewhere, None, "{field}");
    }
}

#[tokio::test]
async fn removed_rows_are_found() {
    let (_, copy) = three().await;
    for seq in 0..7 {
        let mut copy = copy.clone();
        let index = copy.index(2, seq);
        copy.rows.remove(index);
        let report = copy.verify();
        let what = format!("row {seq} is missing");
        assert!(report.problems.iter().any(|p| p.what.contains(&what)), "{:?}", report.problems);
        assert_eq!(report.problems[0].chain, Some(2));
    }
    let mut renumbered = copy.clone();
    let index = renumbered.index(2, 3);
    renumbered.rows.remove(index);
    for row in renumbered.rows.iter_mut().filter(|row| row.chain == 2 && row.seq > 3) {
        row.seq -= 1;
    }
    assert_eq!(places(&renumbered.verify())[0], (Some(2), Some(3)));
    let mut none = copy;
    none.rows.retain(|row| row.chain != 2);
    let report = none.verify();
    assert_eq!(report.problems[0].what, "all rows are missing");
    assert_eq!(places(&report), [(Some(2), Some(0))]);
}

#[tokio::test]
async fn swapped_doubled_and_inserted_rows_are_found() {
    let (_, copy) = three().await;
    let mut swapped = copy.clone();
    let (a, b) = (swapped.index(2, 2), swapped.index(2, 5));
    swapped.rows.swap(a, b);
    (swapped.rows[a].seq, swapped.rows[b].seq) = (2, 5);
    let found = places(&swapped.verify());
    assert!(found.contains(&(Some(2), Some(2))) && found.contains(&(Some(2), Some(5))));

    let mut doubled = copy.clone();
    let index = doubled.index(2, 4);
    doubled.rows.insert(index, doubled.rows[index].clone());
    assert_eq!(places(&doubled.verify()), [(Some(2), Some(4))]);

    let mut inserted = copy.clone();
    let index = inserted.index(2, 4);
    let mut foreign = inserted.rows[inserted.index(3, 4)].clone();
    foreign.chain = 2;
    for row in inserted.rows.iter_mut().filter(|row| row.chain == 2 && row.seq >= 4) {
        row.seq += 1;
    }
    inserted.rows.insert(index, foreign);
    assert_eq!(places(&inserted.verify())[0], (Some(2), Some(4)));

    let mut after = copy.clone();
    let index = after.index(2, 7) + 1;
    after.rows.insert(index, StoredRow { seq: 8, ..after.rows[index - 1].clone() });
    let report = after.verify();
    assert!(report.problems.iter().any(|p| p.what.contains("after the closing row")));
}

#[tokio::test]
async fn removed_chains_and_strays_are_found() {
    let (_, copy) = three().await;
    let mut removed = copy.clone();
    removed.chains.remove(1);
    removed.rows.retain(|row| row.chain != 2);
    let report = removed.verify();
    assert_eq!(report.problems[0].to_string(), "store: chain 2 is missing");

    let mut closed_up = removed.clone();
    closed_up.chains[1].number = 2;
    closed_up.rows.iter_mut().filter(|row| row.chain == 3).for_each(|row| row.chain = 2);
    assert_eq!(places(&closed_up.verify()), [(Some(2), None)]);

    let mut stray = copy;
    stray.chains.remove(1);
    assert!(stray.verify().problems_total >= 8, "each row of chain 2 is a stray");
}

#[tokio::test]
async fn a_chain_without_its_closing_row_is_noted_only() {
    let (_, mut copy) = three().await;
    let index = copy.index(2, 7);
    copy.rows.remove(index);
    let report = copy.verify();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.open, report.open_chains), (1, vec![2]));
}

async fn on_file(sql: &'static str) -> (Report, Report) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("aos.db");
    let url = StoreUrl::Sqlite(path.clone());
    let store = url.open().await.unwrap();
    three_chains(&store).await;
    let mut heads = Vec::new();
    write_heads(&*store, &mut heads).await.unwrap();
    let clean = verify_against(&*store, Cursor::new(&heads)).await.unwrap();
    assert!(clean.is_clean(), "{:?}", clean.problems);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).foreign_keys(false);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    let without = verify(&*store).await.unwrap();
    let with = verify_against(&*store, Cursor::new(&heads)).await.unwrap();
    (without, with)
}

#[tokio::test]
async fn a_file_that_was_edited_is_reported() {
    let verdict = "UPDATE journal SET verdict = 'denied' WHERE chain = 1 AND seq = 3";
    let (report, _) = on_file(verdict).await;
    assert_eq!(places(&report), [(Some(1), Some(3))]);
    let not_utf8 = "UPDATE journal SET who = CAST(x'ff' AS TEXT) WHERE chain = 3 AND seq = 0";
    let (report, _) = on_file(not_utf8).await;
    assert_eq!(places(&report), [(Some(3), Some(0))]);
    let (report, _) = on_file("UPDATE journal SET chain = 9 WHERE chain = 2 AND seq = 4").await;
    assert_eq!(places(&report), [(Some(2), Some(5)), (None, Some(4))]);
    let (report, _) = on_file("UPDATE journal SET chain = -1 WHERE chain = 2 AND seq = 7").await;
    assert_eq!(places(&report), [(None, Some(7))]);
    let (report, _) = on_file("DELETE FROM chains WHERE number = 2").await;
    assert_eq!(report.problems_total, 9);
}

#[tokio::test]
async fn a_cut_end_is_found_against_a_head() {
    let (without, with) = on_file("DELETE FROM journal WHERE chain = 3 AND seq > 4").await;
    assert!(without.is_clean() && without.open == 1);
    assert_eq!(places(&with), [(Some(3), Some(5))]);
    assert!(with.problems[0].what.contains("rows 5 to 7 are missing"), "{:?}", with.problems);

    let (without, with) =
        on_file("DELETE FROM journal WHERE chain > 1; DELETE FROM chains WHERE number > 1").await;
    assert!(without.is_clean() && without.chains == 1);
    assert_eq!(with.problems_total, 1);
    assert!(with.problems[0].what.contains("chains 2 to 3 are missing"), "{:?}", with.problems);
}

#[tokio::test]
async fn a_store_that_was_written_anew_is_found_against_a_head() {
    let (store, other) = (memory().await, memory().await);
    three_chains(&store).await;
    three_chains(&other).await;
    let mut heads = Vec::new();
    write_heads(&*store, &mut heads).await.unwrap();
    let report = verify_against(&*other, Cursor::new(&heads)).await.unwrap();
    assert!(report.problems[0].what.contains("the head is of store"), "{:?}", report.problems);
    assert!(verify(&*other).await.unwrap().is_clean());
    // A head that lies about the store's id still has the chains' hashes.
    let text = String::from_utf8(heads).unwrap();
    let (old, new) = (Copy::of(&*store).await.id, Copy::of(&*other).await.id);
    let heads = text.replace(&old.to_string(), &new.to_string());
    let report = verify_against(&*other, Cursor::new(heads)).await.unwrap();
    assert!(report.problems_total >= 7, "{:?}", report.problems);
}

#[tokio::test]
async fn growth_after_a_head_is_no_problem() {
    let store = memory().await;
    let first = journal(&store).await;
    let chain = first.chain(opening("a"));
    chain.append(verdict("/1"), Class::Written).await.unwrap();
    let mut heads = Vec::new();
    write_heads(&*store, &mut heads).await.unwrap();
    chain.close(CLOSING, Class::Written).await.unwrap();
    three_chains(&store).await;
    let report = verify_against(&*store, Cursor::new(heads)).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.chains, report.rows), (4, 27));
}

#[tokio::test]
async fn a_head_file_without_a_line_for_a_chain_is_one_sentence() {
    let (store, _) = three().await;
    let mut heads = Vec::new();
    write_heads(&*store, &mut heads).await.unwrap();
    let text = String::from_utf8(heads).unwrap();
    for line in [1, 2, 3] {
        let without = text.lines().enumerate().filter(|(number, _)| *number != line);
        let without: Vec<_> = without.map(|(_, line)| line).collect();
        let error = verify_against(&*store, Cursor::new(without.join("\n"))).await.unwrap_err();
        let sentence = error.to_string();
        let says = format!("counts 3 chains, and chain {line} has none: it was shortened");
        assert!(sentence.contains(&says), "{sentence}");
    }
}

#[tokio::test]
async fn a_broken_head_file_names_the_line() {
    let (store, _) = three().await;
    let mut heads = Vec::new();
    write_heads(&*store, &mut heads).await.unwrap();
    let text = String::from_utf8(heads).unwrap();
    let cut = &text[..text.len() - 2];
    for (wrong, line) in [("", 1), ("hello\n", 1), (cut, 4)] {
        let error = verify_against(&*store, Cursor::new(wrong)).await.unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains(&format!("line {line}")), "{sentence}");
    }
}
