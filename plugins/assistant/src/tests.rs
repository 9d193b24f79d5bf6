use std::path::Path;

use aos_sdk::testing::{Host, Kernel, Manifest, Outcome, Script, Turn};
use aos_sdk::{Output, ToolError};
use serde_json::json;

use super::*;

/// The assistant with the real tools, over the files of the demo.
fn demo(script: Script, task: &str) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    Kernel::new()
        .model(script)
        .plugin("files", files::plugin(), Host::new().allow_read(&folder, "/w"))
        .plugin("calculator", calculator::plugin(), Host::new())
        .run(program, task)
}

#[test]
fn the_manifest_is_well_formed() {
    Manifest::parse(include_str!("../plugin.toml")).expect("a manifest");
}

#[test]
fn the_demo_sums_the_bills_with_the_real_tools() {
    let script = Script::parse(include_str!("../demo.toml")).expect("a script");
    let outcome = demo(script, "Sum the amounts in /w/bills.json");
    assert_eq!(outcome.text(), "The amounts add up to 256.6.");
    let names: Vec<&str> = outcome.calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["files__read_file", "calculator__calculate"]);
}

#[test]
fn the_demo_says_so_where_the_task_is_another() {
    let script = Script::parse(include_str!("../demo.toml")).expect("a script");
    let outcome = demo(script, "Write a poem");
    assert!(outcome.error().contains("expects \"Sum the amounts"), "{}", outcome.error());
}

#[test]
fn a_denied_file_is_told_to_the_model_with_the_flag() {
    let script = Script::new()
        .turn(Turn::call("files__read_file", json!({ "path": "/etc/hosts" })))
        .turn_after("--allow-read HOST:/etc", Turn::say("I may not read /etc/hosts."));
    assert_eq!(demo(script, "Read").text(), "I may not read /etc/hosts.");
}

#[test]
fn the_model_is_told_who_it_is_before_the_task() {
    let outcome = demo(Script::new().turn(Turn::say("hello")), "Say hello");
    let prompt = outcome.prompts[0].text();
    assert!(prompt.starts_with(SYSTEM) && prompt.ends_with("Say hello"), "{prompt}");
}

#[test]
fn an_order_says_how_to_work() {
    let order = Order {
        task: "Go".to_owned(),
        turns_max: std::num::NonZeroU32::new(2),
        system: Some("You are terse.".to_owned()),
        model: Some("test/small".to_owned()),
        tools: Some(vec!["a__a".to_owned()]),
    };
    let turn = || Turn::call("a__a", json!({}));
    let outcome = Kernel::new()
        .model(Script::new().turn(turn()).turn(turn()).turn(turn()))
        .tool("a__a", |_| Err(ToolError::failed("no")))
        .tool("b__b", |_| Ok(Output::text("b")))
        .run(program, &order.to_text());
    assert!(outcome.error().contains("within 2 turns"), "{}", outcome.error());
    let prompt = &outcome.prompts[0];
    assert_eq!(prompt.text(), "You are terse.\n\nGo");
    assert_eq!(prompt.options.model.as_deref(), Some("test/small"));
    assert_eq!(prompt.tools, ["a__a"]);
}

#[test]
fn only_an_object_with_a_task_is_an_order() {
    for text in ["[1, 2]", "7", r#"{"amount": 7}"#, "Sum {\"task\": 1}"] {
        assert_eq!(Order::parse(text).expect("a task").task, text);
    }
    for (text, reason) in [
        (r#"{"task": "x", "turn_max": 3}"#, "unknown field `turn_max`"),
        (r#"{"task": "x", "turns_max": 0}"#, "nonzero"),
        (r#"{"task": 7}"#, "expected a string"),
        (r#"{"task": " "}"#, "there is no task"),
        ("", "there is no task"),
    ] {
        let error = Order::parse(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}
