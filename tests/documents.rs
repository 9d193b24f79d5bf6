//! `aos-host storage`: documents found by words and vectors, as a user types it.

use std::fs;

use crate::support::User;

#[test]
fn documents_are_put_in_and_found_by_words_and_vectors() {
    let user = User::new();
    let lines = r#"{"id":"plan","text":"The bridge needs two pillars","vector":[1,0,0]}
{"id":"bill","text":"Pillars cost 400","vector":[0.7,0.7,0]}

{"id":"note","text":"Nothing of interest","vector":[0,0,1]}
"#;
    fs::write(user.folder().join("docs.jsonl"), lines).expect("writes");
    let put = ["storage", "put", "ann", "docs.jsonl", "--model", "test/a"];
    assert_eq!(user.run(&put).expect(0).stdout, "put: 3 documents\n");
    let other = br#"{"id":"theirs","text":"another bridge","vector":[1,0,0]}"#;
    user.run_with_input(&["storage", "put", "bob", "-", "--model", "test/a"], other).expect(0);
    let find = |arguments: &[&str]| {
        let all = [&["storage", "search"][..], arguments, &["-o", "json"]].concat();
        let found = user.run(&all).expect(0).stdout;
        let id = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        };
        found.lines().map(id).collect::<Vec<_>>()
    };
    assert_eq!(find(&["ann", "--text", "pillars bridge"]), ["plan", "bill"]);
    assert_eq!(find(&["ann", "--text", "bridge"]), ["plan"]);
    assert_eq!(find(&["--all-agents", "--text", "bridge"]).len(), 2);
    let near = ["ann", "--vector", "[1,0.1,0]", "--model", "test/a", "-n", "2"];
    assert_eq!(find(&near), ["plan", "bill"]);
    let unknown = ["ann", "--vector", "[1,0.1,0]", "--model", "test/b"];
    assert!(find(&unknown).is_empty());
    assert_eq!(
        user.run(&["storage", "remove", "ann", "plan", "x"]).expect(0).stdout,
        "removed: 1 document\n"
    );
    assert!(find(&["ann", "--text", "bridge"]).is_empty());
}

#[test]
fn a_wrong_document_or_question_is_one_sentence() {
    let user = User::new();
    for (input, says) in [
        ("{", "line 1: EOF"),
        (r#"{"id":"a"}"#, "missing field `text`"),
        (r#"{"id":"a","text":"t","vectors":[]}"#, "unknown field `vectors`"),
        (r#"{"id":"a","text":"t","vector":[1]}"#, "a vector needs its `--model`"),
    ] {
        let put = ["storage", "put", "a", "-"];
        user.run_with_input(&put, input.as_bytes()).complains(2, &[says]);
    }
    let put = ["storage", "put", "a", "-", "--model", "m"];
    let two = r#"{"id":"a","text":"","vector":[1]}
{"id":"b","text":"","vector":[1,2]}"#;
    user.run_with_input(&put, two.as_bytes()).complains(2, &["line 2", "2 numbers"]);
    let zero = br#"{"id":"a","text":"","vector":[0,0]}"#;
    user.run_with_input(&put, zero).complains(2, &["all zero, or not finite"]);
    for (arguments, says) in [
        (&["a"][..], "--text"),
        (&["a", "--vector", "[1]"], "--model"),
        (&["a", "--vector", "one", "--model", "m"], "no JSON list of numbers"),
        (&["--text", "x"], "AGENT"),
        (&["a", "--text", "x", "-n", "0"], "1 to 1000"),
    ] {
        user.run(&[&["storage", "search"][..], arguments].concat()).complains(2, &[says]);
    }
}
