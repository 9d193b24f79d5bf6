use aos_sdk::testing::{Host, Manifest};
use serde_json::{Value, json};

use super::*;

fn execute_on(host: &Host, code: &str) -> Value {
    let output = host.call(&plugin(), "execute", json!({ "code": code })).expect("an output");
    serde_json::from_str(output.structured.as_deref().expect("a value")).expect("JSON")
}

fn execute(code: &str) -> Value {
    execute_on(&Host::new(), code)
}

#[test]
fn the_manifest_is_well_formed_and_its_examples_hold() {
    let manifest = Manifest::parse(include_str!("../plugin.toml")).expect("a manifest");
    manifest.check_examples(&Host::new(), &plugin()).expect("examples hold");
}

#[test]
fn what_is_printed_and_the_last_value_come_back_apart() {
    let ran = execute("console.log('a', 1, {b: [2]}); console.error('c'); [1, null, {x: 'y'}]");
    assert_eq!(ran["stdout"], "a 1 {b: [2]}\n");
    assert_eq!(ran["stderr"], "c\n");
    assert_eq!(ran["value"], json!([1, null, { "x": "y" }]));
    assert_eq!(ran["exception"], Value::Null);
    assert_eq!(execute("let x = 1;")["value"], Value::Null);
}

#[test]
fn an_exception_says_its_kind_and_where_it_was_thrown() {
    let ran = execute("console.log('before');\nfunction f() { throw new TypeError('no') }\nf()");
    assert_eq!(ran["stdout"], "before\n");
    assert_eq!(ran["exception"]["type"], "TypeError");
    assert_eq!(ran["exception"]["message"], "no");
    let trace = ran["exception"]["traceback"].as_str().expect("text");
    assert!(trace.contains("at f (code.js:2:"), "{trace}");
    let ran = execute("let x = = 2");
    assert_eq!(ran["exception"]["type"], "SyntaxError");
    let ran = execute("throw 3");
    assert_eq!(
        (&ran["exception"]["type"], &ran["exception"]["message"]),
        (&"number".into(), &"3".into())
    );
}

#[test]
fn no_value_breaks_the_answer() {
    for (code, text) in [
        ("NaN", "NaN"),
        ("10n ** 30n", "1000000000000000000000000000000n"),
        ("new Map([[1, 2]])", "Map {1 => 2}"),
        ("const x = []; x.push(x); x", "[[[[[…]]]]]"),
        ("(function f() {})", "[function f]"),
        ("({ toJSON() { throw 1 }, get a() { throw 2 } })", "[what cannot be shown]"),
    ] {
        let ran = execute(code);
        assert_eq!((&ran["value"], &ran["value_text"]), (&Value::Null, &text.into()), "{code}");
    }
    assert_eq!(execute("new Date(0)")["value"], "1970-01-01T00:00:00.000Z");
}

#[test]
fn promises_are_waited_for() {
    assert_eq!(execute("(async () => { await null; return 5 })()")["value"], 5);
    let ran = execute("(async () => { throw new RangeError('late') })()");
    assert_eq!(ran["exception"]["type"], "RangeError");
    let ran = execute("new Promise(() => {})");
    assert!(ran["exception"]["message"].as_str().expect("text").contains("nothing resolves"));
}

#[test]
fn code_that_recurses_without_end_or_breaks_its_own_world_is_told() {
    let ran = execute("function f() { return f() + 1 } f()");
    assert_ne!(ran["exception"], Value::Null, "{ran}");
    let ran = execute("const f = () => [1].map(f); f()");
    assert_ne!(ran["exception"], Value::Null, "{ran}");
    let ran =
        execute("Array.prototype.map = null; JSON.stringify = null; console.log('x'); ({ a: 1 })");
    assert!(ran["exception"].is_object() || ran["value"].is_object(), "{ran}");
}

#[test]
fn long_output_keeps_its_beginning() {
    let ran = execute("console.log('x'.repeat(300000)); console.log('y')");
    let out = ran["stdout"].as_str().expect("text");
    assert!(out.starts_with("xxx") && out.ends_with("[37859 bytes more]\n"), "{}", &out[262_000..]);
}

#[test]
fn files_are_those_that_were_granted() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::new().allow_write(folder.path(), "/w");
    let ran =
        execute_on(&host, "fs.writeText('/w/a', 'one'); [fs.readText('/w/a'), fs.list('/w')]");
    assert_eq!(ran["value"], json!(["one", ["a"]]));
    execute_on(&host, "fs.remove('/w/a')");
    assert!(!folder.path().join("a").exists());
    let ran = execute("try { fs.readText('/w/a') } catch (error) { error.message }");
    assert!(ran["value"].as_str().expect("text").contains("read /w/a: it is not granted"), "{ran}");
}

#[test]
fn there_is_nothing_of_a_network_or_a_process() {
    for name in ["fetch", "require", "process", "Deno", "XMLHttpRequest", "WebSocket"] {
        assert_eq!(execute(&format!("typeof {name}"))["value"], "undefined", "{name}");
    }
}
