//! Listing, looking up and exporting.

use super::*;

fn checked(export: &[u8]) -> Result<Report, JournalError> {
    verify_export(export, None::<&[u8]>)
}

#[tokio::test]
async fn the_list_is_newest_first_with_counts_state_and_usage() {
    let store = memory().await;
    let clock = std::sync::atomic::AtomicI64::new(100);
    let tick = move || clock.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let options = JournalOptions { clock_us: Arc::new(tick), ..JournalOptions::default() };
    let journal = Journal::open(Arc::clone(&store), options).await.unwrap();
    let open = journal.chain(opening("first"));
    open.append(Row::new(RowKind::Accepted), Class::Queued).await.unwrap();
    let done = journal.chain(opening("second"));
    for verdict in [Verdict::Denied, Verdict::Allowed, Verdict::Denied] {
        let row = Row { verdict: Some(verdict), ..Row::new(RowKind::Verdict) };
        done.append(row, Class::Queued).await.unwrap();
    }
    let usage = serde_json::json!({"time_ms": 4});
    let closing = Closing { outcome: "denied", usage: &usage };
    done.close(closing, Class::Written).await.unwrap();
    let list = list(&*store, None, 10).await.unwrap();
    let second = ChainSummary {
        number: 2,
        id: done.id().to_string(),
        opened_us: 102,
        last_us: 106,
        plugin: "second".into(),
        rows: 5,
        calls: 0,
        denials: 2,
        state: ChainState::Closed("denied".into()),
        usage: Some(usage),
    };
    assert_eq!(list[0], second);
    let first = &list[1];
    assert_eq!((first.calls, &first.state, &first.usage), (1, &ChainState::Open, &None));
    assert_eq!(super::list(&*store, None, 1).await.unwrap(), list[..1]);
    assert_eq!(super::list(&*store, Some(2), 9).await.unwrap(), list[1..]);
    let rows = chain_rows(&*store, 2, 3).await.unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["verdict", "closed"]);
}

#[tokio::test]
async fn a_chain_is_found_by_a_unique_prefix_of_its_id() {
    let store = memory().await;
    let journal = journal(&store).await;
    let chains: Vec<_> = (0..40).map(|_| journal.chain(opening("a"))).collect();
    journal.close().await.unwrap();
    for chain in &chains {
        let id = chain.id().to_string();
        assert_eq!(find_chain(&*store, &id).await.unwrap().id, chain.id().0);
        assert_eq!(find_chain(&*store, &id[..17]).await.unwrap().id, chain.id().0);
    }
    // 40 ids, 16 first digits.
    let mut errors = Vec::new();
    for digit in "0123456789abcdef".chars() {
        errors.push(find_chain(&*store, &digit.to_string()).await.err());
    }
    let ambiguous = |error: &Option<_>| matches!(error, Some(JournalError::Ambiguous { .. }));
    assert!(errors.iter().any(ambiguous));
    for wrong in ["", "xyz", "é", &"0".repeat(33)] {
        let error = find_chain(&*store, wrong).await.unwrap_err();
        assert!(matches!(error, JournalError::NoChain(_)), "{error}");
    }
}

#[tokio::test]
async fn an_export_holds_all_fields_and_verifies_offline() {
    let store = memory().await;
    three_chains(&store).await;
    let journal = journal(&store).await;
    let chain = journal.chain(opening("odd"));
    let long = "1.0000000000000000001";
    let odd = ["null", long, "{\n}", " {}", r#"{"a":1,"a":2}"#, "no JSON", "\"é\\u00e9\""];
    for body in odd {
        let row = Row { body: Body::Text(body), ..verdict("/a\"b\n") };
        chain.append(row, Class::Queued).await.unwrap();
    }
    journal.close().await.unwrap();
    let mut lines = Vec::new();
    export(&*store, Exported::All, &mut lines).await.unwrap();
    let report = checked(&lines).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.chains, report.rows, report.open), (4, 32, 1));
    let text = String::from_utf8(lines).unwrap();
    let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let row = text.lines().map(json).find(|line| line["type"] == "row" && line["seq"] == 1);
    let row = row.unwrap();
    assert_eq!(row["call"], "00000000-0000-0000-0000-000000000001");
    assert_eq!(row["body"]["mode"], "read");
    assert_eq!(row["hash"].as_str().unwrap().len(), 64);

    let changed = text.replacen("\"target\":\"/3\"", "\"target\":\"/4\"", 1);
    let report = checked(changed.as_bytes()).unwrap();
    assert_eq!((report.problems[0].chain, report.problems[0].seq), (Some(1), Some(3)));
    let error = checked(&text.as_bytes()[..text.len() - 9]).unwrap_err().to_string();
    assert!(error.contains("line 38 of the export"), "{error}");
}

#[tokio::test]
async fn one_chain_is_exported_and_verified_alone() {
    let store = memory().await;
    three_chains(&store).await;
    let mut lines = Vec::new();
    export(&*store, Exported::Chain(2), &mut lines).await.unwrap();
    let report = checked(&lines).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.chains, report.rows), (1, 8));
    let text = String::from_utf8(lines).unwrap().replace("/5", "/6");
    assert_eq!(checked(text.as_bytes()).unwrap().problems_total, 1);
}

#[tokio::test]
async fn an_export_that_was_cut_off_or_lies_about_its_end_is_found() {
    let store = memory().await;
    three_chains(&store).await;
    for what in [Exported::All, Exported::Chain(2)] {
        let mut lines = Vec::new();
        export(&*store, what, &mut lines).await.unwrap();
        let text = String::from_utf8(lines).unwrap();
        let all: Vec<_> = text.split_inclusive('\n').collect();
        for kept in 1..all.len() {
            let report = checked(all[..kept].concat().as_bytes()).unwrap();
            let last = report.problems.last().expect("a problem");
            assert!(last.what.contains("was cut off"), "{kept} lines: {:?}", report.problems);
        }
        // Cut and given its old end back.
        let (end, rest) = all.split_last().unwrap();
        let forged = [&rest[..rest.len() - 1].concat(), *end].concat();
        let report = checked(forged.as_bytes()).unwrap();
        assert!(report.problems[0].what.contains("does not fit"), "{:?}", report.problems);
        let longer = format!("{text}{}", rest[1]);
        let error = checked(longer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("nothing follows"), "{error}");
    }
}

#[tokio::test]
async fn an_export_is_held_against_a_head() {
    let store = memory().await;
    three_chains(&store).await;
    let mut heads = Vec::new();
    write_heads(&*store, &mut heads).await.unwrap();
    let other = memory().await;
    three_chains(&other).await;
    for (what, rows) in [(Exported::All, 24), (Exported::Chain(2), 8)] {
        let mut lines = Vec::new();
        export(&*store, what, &mut lines).await.unwrap();
        let report = verify_export(&lines[..], Some(&heads[..])).unwrap();
        assert!(report.is_clean() && report.rows == rows, "{:?}", report.problems);
        let mut foreign = Vec::new();
        export(&*other, what, &mut foreign).await.unwrap();
        let report = verify_export(&foreign[..], Some(&heads[..])).unwrap();
        assert!(report.problems[0].what.contains("the head is of store"), "{:?}", report.problems);
    }
    // An export of fewer chains, whole in itself.
    let journal = journal(&store).await;
    journal.chain(opening("a")).close(CLOSING, Class::Written).await.unwrap();
    let mut lines = Vec::new();
    export(&*store, Exported::All, &mut lines).await.unwrap();
    let mut later = Vec::new();
    write_heads(&*store, &mut later).await.unwrap();
    assert!(verify_export(&lines[..], Some(&heads[..])).unwrap().is_clean(), "growth");
    let text = String::from_utf8(lines).unwrap();
    let chains = text.split("{\"type\":\"chain\"").collect::<Vec<_>>();
    let cut = chains[..4].join("{\"type\":\"chain\"");
    let report = verify_export(cut.as_bytes(), Some(&later[..])).unwrap();
    let missing = |problem: &Problem| problem.what.contains("chain 4 is missing");
    assert!(report.problems.iter().any(missing), "{:?}", report.problems);
}
