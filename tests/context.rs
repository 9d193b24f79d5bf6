//! `context load`, `recall`, `show` and `stats` as a user types them, with a running host and
//! without, and with what no user should type.

use std::fs;

use aos_host::pager::{ContentHash, Kind, NewPage};
use aos_host::storage::pages::{ContextRecord, Contexts, PageBatch};
use aos_host::storage::{ChainId, Digest, StoreUrl};
use serde_json::{Value, json};

use crate::daemon::house::{QUICK, json as parsed, serve, spawn};
use crate::support::User;

const STORE: &str = "sqlite:pages.db";

fn write(user: &User, name: &str, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(user.folder().join(name), text).expect("writes");
}

fn talk() -> Vec<Value> {
    let texts = [
        ("Ana", "I adopted two kittens last week"),
        ("Ben", "What did you call them?"),
        ("Ana", "Lisbon and Porto, after the cities"),
        ("Ben", "The garden is full of roses"),
        ("Ana", "שָׁלוֹם 😀 \u{0} naïve"),
    ];
    let line = |(n, (speaker, text)): (usize, &(&str, &str))| {
        json!({ "label": format!("D{n}"), "kind": "user", "text": text, "speaker": speaker,
            "session": 1, "said_at": "1:56 pm on 8 May, 2023" })
    };
    texts.iter().enumerate().map(line).collect()
}

fn run(user: &User, arguments: &[&str]) -> crate::support::Ran {
    user.run(&[&["context"], arguments, &["--store", STORE]].concat())
}

#[test]
fn pages_are_loaded_once_and_recalled_by_name() {
    let user = User::new();
    write(&user, "talk.jsonl", &talk());
    let ran = run(&user, &["load", "--agent", "talk", "talk.jsonl"]).expect(0);
    assert!(ran.stdout.starts_with("5 pages loaded, 0 were there; `talk` has 5 "), "{ran:?}");
    let ran = run(&user, &["load", "--agent", "talk", "talk.jsonl", "-o", "json"]).expect(0);
    let loaded = parsed(&ran.stdout);
    assert_eq!(
        (&loaded["pages"], &loaded["known"], &loaded["total"]),
        (&0.into(), &5.into(), &5.into())
    );
    let query = ["recall", "talk", "what are the kittens called?", "--max-tokens", "60"];
    let ran = run(&user, &query).expect(0);
    assert!(ran.stdout.contains("D0") && ran.stdout.contains("Lisbon and Porto"), "{ran:?}");
    let ran = run(&user, &[&query[..], &["-o", "json"]].concat()).expect(0);
    let found = parsed(&ran.stdout);
    let tokens: u64 =
        found.as_array().expect("found").iter().filter_map(|p| p["tokens"].as_u64()).sum();
    assert!(tokens > 0 && tokens <= 60, "{found}");
    // The same ranking as over the file itself.
    write(&user, "queries.jsonl", &[json!({ "id": "q", "query": "kittens names" })]);
    let asked = ["--queries", "queries.jsonl", "--limit", "50", "--output", "jsonl"];
    let stored =
        run(&user, &[&["recall", "--agent", "talk", "--tokenizer", "chars4"], &asked[..]].concat());
    let file = run(&user, &[&["recall", "--pages", "talk.jsonl"], &asked[..]].concat());
    let ranked = |ran: crate::support::Ran| -> Vec<(Value, Value)> {
        let pages = parsed(&ran.expect(0).stdout)["pages"].as_array().expect("pages").clone();
        pages.into_iter().map(|page| (page["label"].clone(), page["score"].clone())).collect()
    };
    assert_eq!(ranked(stored), ranked(file));
    // A copy of the store has them too.
    let ran = user.run(&["store", "copy", STORE, "sqlite:copy.db"]).expect(0);
    assert!(ran.stdout.contains("5 pages"), "{ran:?}");
    let copied = ["context", "recall", "talk", "roses", "--store", "sqlite:copy.db"];
    assert!(user.run(&copied).expect(0).stdout.contains("full of roses"));
    let ran = run(&user, &["stats", "talk"]).expect(0);
    assert!(ran.stdout.contains("5: 0 tokens in the window"), "{ran:?}");
    let ran = run(&user, &["show", "talk", "-o", "json"]).expect(0);
    assert_eq!(parsed(&ran.stdout)["pages"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_file_of_several_agents_gives_each_its_own_pages() {
    let user = User::new();
    let line = |agent: &str, text: &str| json!({ "label": text, "text": text, "agent": agent });
    write(&user, "all.jsonl", &[line("a", "apples"), line("b", "bananas")]);
    run(&user, &["load", "--agent", "a", "all.jsonl"]).expect(0);
    let ran = run(&user, &["recall", "a", "bananas and apples"]).expect(0);
    assert!(ran.stdout.contains("apples") && !ran.stdout.contains("bananas"), "{ran:?}");
    run(&user, &["load", "--agent", "c", "all.jsonl"]).complains(2, &["no page is of `c`", "a, b"]);
    write(&user, "one.jsonl", &[line("a", "apples")]);
    run(&user, &["load", "--agent", "other", "one.jsonl"]).expect(0);
}

#[test]
fn what_cannot_be_loaded_or_found_is_told_with_what_would_be_right() {
    let user = User::new();
    run(&user, &["recall", "nobody", "x"]).complains(2, &["there is no store"]);
    write(&user, "talk.jsonl", &talk());
    fs::write(user.folder().join("bad.jsonl"), "{\"label\":\"a\",\"text\":\"b\"}\n{\"label\":1}\n")
        .expect("writes");
    run(&user, &["load", "--agent", "x", "bad.jsonl"]).complains(2, &["bad.jsonl: line 2"]);
    run(&user, &["load", "--agent", "x", "none.jsonl"]).complains(2, &["none.jsonl: No such file"]);
    fs::write(user.folder().join("empty.jsonl"), "\n").expect("writes");
    run(&user, &["load", "--agent", "x", "empty.jsonl"]).complains(2, &["no page in it"]);
    run(&user, &["load", "--agent", "a\nb", "talk.jsonl"]).complains(2, &["--agent"]);
    let load = ["load", "--agent", "x", "talk.jsonl"];
    run(&user, &[&load[..], &["--tokenizer", "gpt2"]].concat()).complains(2, &["o200k, cl100k"]);
    let memory = ["context", "load", "--agent", "x", "talk.jsonl", "--store", "memory:"];
    user.run(&memory).complains(2, &["keeps nothing"]);
    run(&user, &load).expect(0);
    run(&user, &["recall", "nobody", "x"]).complains(2, &["no agent `nobody`", "context load"]);
    run(&user, &["recall", "x"]).complains(2, &["say what to look for"]);
    run(&user, &["recall"]).complains(2, &["say whose pages"]);
    run(&user, &["recall", "x", "y", "--max-tokens", "0"]).complains(2, &["--max-tokens"]);
    run(&user, &["recall", "--pages", "talk.jsonl"]).complains(2, &["--queries"]);
    run(&user, &["show", "7"]).complains(2, &["no agent `7`"]);
    run(&user, &["stats", &"n".repeat(10_000)]).complains(2, &["no agent `nnn"]);
}

#[test]
fn any_text_is_a_query_and_finds_what_it_shares() {
    let user = User::new();
    write(&user, "talk.jsonl", &talk());
    run(&user, &["load", "--agent", "x", "talk.jsonl"]).expect(0);
    let ran = run(&user, &["recall", "x", "the of and to"]).expect(0);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("no page says anything"), "{ran:?}");
    let long = "roses ".repeat(17_000);
    let syntax = "\"roses\" NEAR(garden* OR -kittens) AND {x}: ^'";
    for query in [long.as_str(), syntax] {
        let ran = run(&user, &["recall", "x", query]).expect(0);
        assert!(ran.stdout.contains("full of roses"), "{ran:?}");
    }
    let ran = run(&user, &["recall", "x", "שלום naïve"]).expect(0);
    assert!(ran.stdout.contains("naïve"), "{ran:?}");
    run(&user, &["recall", "x", ""]).expect(0);
}

#[test]
fn a_damaged_content_is_named_and_the_rest_goes_on() {
    let user = User::new();
    write(&user, "talk.jsonl", &talk());
    // A content that is there keeps its bytes: those of the garden are put there wrong.
    let text = "The garden is full of roses";
    let hash = ContentHash::of(&NewPage::text(Kind::User, text).parts);
    let url: StoreUrl =
        format!("sqlite:{}", user.folder().join("pages.db").display()).parse().expect("a store");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = url.open().await.expect("opens");
        let context = ContextRecord {
            id: ChainId([1; 16]),
            pid: 0,
            name: "other".into(),
            updated_us: 0,
            state: String::new(),
            layout: String::new(),
        };
        let contents = vec![(Digest(hash.0), b"not what it was".to_vec())];
        let batch = PageBatch { context, pages: Vec::new(), contents, pages_end: None };
        store.pages().put(&batch).await.expect("writes");
        assert_eq!(store.pages().contexts(Contexts::After(None)).await.expect("reads").len(), 1);
    });
    run(&user, &["load", "--agent", "x", "talk.jsonl"]).expect(0);
    let ran = run(&user, &["recall", "x", "kittens and roses in the garden"]).expect(0);
    assert!(ran.stdout.contains("kittens") && !ran.stdout.contains("roses"), "{ran:?}");
    assert!(ran.stderr.contains("page 3: its content is damaged"), "{ran:?}");
    let ran = run(&user, &["stats", "x", "-o", "json"]).expect(0);
    assert_eq!(parsed(&ran.stdout)["damaged_pages"], 1);
}

#[test]
fn the_pages_of_an_agent_are_shown_while_it_runs_and_when_its_host_is_gone() {
    let user = User::new();
    let mut host = serve(&user, &[]);
    let pid = spawn(&user, "worker", QUICK, &["--tokenizer", "cl100k"]);
    user.run(&["wait", &pid]).expect(0);
    let asked = |words: &[&str]| user.run(&[&["context"], words].concat()).expect(0).stdout;
    let show = asked(&["show", &pid]);
    for word in ["agent ", "(worker)", "system", "task", "assistant", "head"] {
        assert!(show.contains(word), "no {word} in {show}");
    }
    let stats = asked(&["stats", "worker"]);
    for word in ["cl100k", "prefix hits", "recall ", "prompts      1 of "] {
        assert!(stats.contains(word), "no {word} in {stats}");
    }
    let recall = asked(&["recall", &pid, "the task", "-o", "json"]);
    host.signal(rustix::process::Signal::TERM);
    host.ended();
    assert_eq!(asked(&["show", &pid]), show);
    assert_eq!(asked(&["stats", "worker"]), stats);
    assert_eq!(asked(&["recall", "worker", "the task", "-o", "json"]), recall);
}

#[test]
fn a_small_context_budget_is_refused_with_the_number_that_would_do() {
    let user = User::new();
    fs::write(user.folder().join("m.toml"), QUICK).expect("writes");
    let assistant = crate::support::plugin("assistant");
    let run = |budget: &str| {
        let words = ["run", &assistant, "--task", "Say hello", "--model", "script:m.toml"];
        user.run(&[&words[..], &["--context-budget", budget]].concat())
    };
    run("100").complains(2, &["at least 258", "--context-budget"]);
    // Its program's instructions and its tools come beside the task.
    run("400").complains(1, &["budget of at least 5", "--context-budget 5"]);
    run("2000").expect(0);
    run("none").complains(2, &["--context-budget"]);
}
