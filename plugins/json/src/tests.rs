//! The tools from outside, natively.

use std::fs;

use aos_sdk::ToolError;
use aos_sdk::testing::{Host, Manifest};
use serde_json::{Value, json};

use crate::plugin;

fn text(tool: &str, arguments: Value) -> String {
    let output = Host::new().call(&plugin(), tool, arguments);
    output.unwrap_or_else(|error| panic!("{tool}: {error}")).to_text()
}

fn message(tool: &str, arguments: Value) -> String {
    Host::new().call(&plugin(), tool, arguments).expect_err("an error").to_string()
}

#[test]
fn the_manifest_is_well_formed_and_its_examples_hold() {
    let manifest = Manifest::parse(include_str!("../plugin.toml")).expect("a manifest");
    manifest.check_examples(&Host::new(), &plugin()).expect("examples hold");
}

#[test]
fn queries_have_filters_functions_and_normalized_paths() {
    let document = json!({ "a": [{ "n": "x", "v": 1 }, { "n": "yy", "v": 2 }] });
    let query = |query: &str| json!({ "document": document, "query": query });
    assert_eq!(text("query_json", query("$.a[?length(@.n) == 2].v")), "2");
    assert_eq!(text("query_json", query("$.a[?search(@.n, 'x')].v")), "1");
    assert_eq!(text("query_json", query("$..v")), "1\n2");
    assert_eq!(text("query_json", query("$.b")), "[nothing matches]");
    let located = json!({ "document": document, "query": "$..v", "paths": true });
    assert_eq!(text("query_json", located), "$['a'][0]['v']: 1\n$['a'][1]['v']: 2");
    assert!(message("query_json", query("$.a[")).starts_with("invalid arguments: query: "));
}

#[test]
fn a_null_document_is_a_document_and_a_missing_one_is_not() {
    assert_eq!(text("query_json", json!({ "document": null, "query": "$" })), "null");
    assert!(message("query_json", json!({ "query": "$" })).contains("give document or file"));
}

#[test]
fn a_file_is_read_under_a_grant_and_denied_without() {
    let directory = tempfile::TempDir::new().expect("a directory");
    fs::write(directory.path().join("d.json"), r#"{"a":[1,2]}"#).expect("a file");
    let arguments = json!({ "file": "/data/d.json", "query": "$.a[1]" });
    let host = Host::new().allow_read(directory.path(), "/data");
    let output = host.call(&plugin(), "query_json", arguments.clone()).expect("an output");
    assert_eq!(output.to_text(), "2");
    let denied = Host::new().call(&plugin(), "query_json", arguments);
    assert!(matches!(denied, Err(ToolError::Denied(_))), "{denied:?}");
}

#[test]
fn validation_names_path_and_reason() {
    let schema = json!({
        "type": "object",
        "properties": { "n": { "type": "integer" }, "m": { "format": "email" } },
        "required": ["n"],
    });
    let validate = |document: Value| json!({ "document": document, "schema": schema });
    assert_eq!(text("validate_json", validate(json!({ "n": 1 }))), "valid");
    let verdict = text("validate_json", validate(json!({ "n": "one" })));
    assert_eq!(verdict, "not valid: 1 error\n/n: \"one\" is not of type \"integer\"");
    let broken = json!({ "document": 1, "schema": { "type": 7 } });
    assert!(message("validate_json", broken).starts_with("invalid arguments: schema: "));
    let remote = json!({ "document": 1, "schema": { "$ref": "https://example.org/s.json" } });
    assert!(message("validate_json", remote).starts_with("invalid arguments: schema: "));
}

#[test]
fn a_diff_is_a_patch_that_leads_from_one_to_the_other() {
    let (from, to) = (json!({ "a": [1, 2, 3], "b": {} }), json!({ "a": [1, 3], "c": null }));
    let host = Host::new();
    let output = host.call(&plugin(), "diff_json", json!({ "from": from, "to": to }));
    let structured = output.expect("an output").structured.expect("JSON");
    let patch: Value = serde_json::from_str(&structured).expect("JSON");
    let patched = json!({ "document": from, "patch": patch["patch"] });
    assert_eq!(text("patch_json", patched), to.to_string());
    assert_eq!(text("diff_json", json!({ "from": to, "to": to })), "[no difference]");
}

#[test]
fn a_patch_that_does_not_apply_names_the_operation() {
    let patch = json!([{ "op": "remove", "path": "/none" }]);
    let error = message("patch_json", json!({ "document": {}, "patch": patch }));
    assert!(error.contains("patch: operation '/0' failed at path '/none'"), "{error}");
    let merged = json!({ "document": { "a": 1 }, "patch": { "a": null }, "kind": "merge_patch" });
    assert_eq!(text("patch_json", merged), "{}");
}

#[test]
fn formatting_keeps_order_and_says_where_text_is_no_json() {
    let arguments = json!({ "text": r#"{"b":[1],"a":{}}"#, "indent": 1 });
    assert_eq!(text("format_json", arguments), "{\n \"b\": [\n  1\n ],\n \"a\": {}\n}");
    let error = message("format_json", json!({ "text": "{\n  oops" }));
    assert!(error.contains("line 2 column 3"), "{error}");
}
