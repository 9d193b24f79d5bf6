//! `#[tool]` and `plugin!` from outside, as a plugin's author uses them.

use std::collections::BTreeMap;

use aos_sdk::testing::Host;
use aos_sdk::{
    Answer, Behaviour, Blob, Content, Definition, Output, ToolError, call, fs, http, log, plugin,
    tool,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Add {
    /// The first number.
    a: f64,
    /// The second number, 1 where it is not given.
    b: Option<f64>,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize, JsonSchema)]
struct Label {
    text: String,
}

/// Adds two numbers.
///
/// Both are floats.
#[tool(read_only, idempotent, title = "Addition")]
fn add(arguments: Add) -> Result<f64, ToolError> {
    for label in &arguments.labels {
        log!("label {}", label.text);
    }
    Ok(arguments.a + arguments.b.unwrap_or(1.0))
}

#[derive(Serialize, JsonSchema)]
struct Total {
    /// How many there are.
    count: u32,
}

/// Says how much there is.
#[tool]
fn total() -> Total {
    Total { count: 3 }
}

/// Says something with a text of its own.
#[tool(additive, open_world)]
fn answer() -> aos_sdk::Result<Answer<Total>> {
    Ok(Answer::new("three", Total { count: 3 }))
}

/// Says plain text.
#[tool(name = "say_text")]
fn text() -> &'static str {
    "plain"
}

/// Gives a picture.
#[tool(read_only)]
fn picture() -> Content {
    Content::Image(Blob { media_type: "image/png".to_owned(), data: vec![1] })
}

/// Gives what no schema describes.
#[tool(read_only)]
fn map() -> Result<BTreeMap<String, Vec<u8>>, std::io::Error> {
    Ok(BTreeMap::from([("a".to_owned(), vec![1])]))
}

struct Undescribed;

impl Serialize for Undescribed {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bool(true)
    }
}

/// Gives a value whose type has no schema.
#[tool(read_only)]
fn undescribed() -> Undescribed {
    Undescribed
}

/// Gives nothing.
#[tool(destructive)]
fn nothing() {}

#[derive(Deserialize, JsonSchema)]
struct Path {
    path: String,
}

/// Reads a file through `std::io` errors alone.
#[tool(read_only)]
fn refused(_: Path) -> Result<String, ToolError> {
    Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied))?
}

/// Reads a file.
#[tool(read_only)]
fn read(arguments: Path) -> Result<String, ToolError> {
    call::progress(1.0, Some(2.0), "half");
    Ok(fs::read_to_string(&arguments.path)?)
}

/// Writes a file.
#[tool]
fn write(arguments: Path) -> Result<(), ToolError> {
    Ok(fs::replace(&arguments.path, call::id().as_bytes())?)
}

/// Fetches a page.
#[tool(read_only, open_world)]
fn fetch() -> Result<u16, ToolError> {
    Ok(http::send(&http::Request::get("https://example.org/x"))?.status)
}

plugin!(add, total, answer, text, picture, map, undescribed, nothing, refused, read, write, fetch);

fn definition(name: &str) -> Definition {
    let all = plugin().definitions();
    all.into_iter().find(|definition| definition.name == name).expect("a tool")
}

fn schema(text: Option<String>) -> Value {
    serde_json::from_str(&text.expect("a schema")).expect("JSON")
}

fn output(name: &str) -> Output {
    Host::new().call(&plugin(), name, json!({})).expect("an output")
}

#[test]
fn the_doc_comment_is_the_description_and_the_attribute_the_behaviour() {
    let add = definition("add");
    assert_eq!(add.description, "Adds two numbers.\n\nBoth are floats.");
    assert_eq!(add.title.as_deref(), Some("Addition"));
    let behaviour =
        Behaviour { read_only: true, destructive: false, idempotent: true, open_world: false };
    assert_eq!(add.behaviour, behaviour);
}

#[test]
fn a_tool_that_says_nothing_is_destructive_and_not_idempotent() {
    let behaviour = definition("total").behaviour;
    assert!(behaviour.destructive && !behaviour.idempotent && !behaviour.read_only);
    assert_eq!(definition("nothing").behaviour, behaviour);
    let additive = definition("answer").behaviour;
    assert!(!additive.destructive && !additive.read_only && additive.open_world);
}

#[test]
fn a_name_can_be_given() {
    assert_eq!(definition("say_text").title, None);
}

#[test]
fn the_input_schema_is_a_closed_object_with_descriptions() {
    let schema = schema(Some(definition("add").input_schema));
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["a"]));
    assert_eq!(schema["properties"]["a"]["description"], "The first number.");
    // In place, not by reference.
    let label = &schema["properties"]["labels"]["items"]["properties"]["text"];
    assert_eq!(label["type"], "string");
    let none = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let empty: Value = serde_json::from_str(&definition("total").input_schema).expect("JSON");
    assert_eq!(empty["type"], none["type"]);
    assert_eq!(empty["additionalProperties"], false);
}

#[test]
fn the_output_schema_follows_the_result_type() {
    let wrapped = schema(definition("add").output_schema);
    assert_eq!(wrapped["properties"]["result"]["type"], "number");
    assert_eq!(wrapped["required"], json!(["result"]));
    for name in ["total", "answer"] {
        let object = schema(definition(name).output_schema);
        assert_eq!(object["properties"]["count"]["description"], "How many there are.");
    }
    for name in ["say_text", "picture", "undescribed", "nothing"] {
        assert_eq!(definition(name).output_schema, None, "{name}");
    }
    assert!(definition("map").output_schema.is_some());
}

#[test]
fn results_become_content_and_structured_output() {
    assert_eq!(output("total").to_text(), r#"{"count":3}"#);
    assert_eq!(output("total").structured.as_deref(), Some(r#"{"count":3}"#));
    assert_eq!(output("answer").to_text(), "three");
    assert_eq!(output("answer").structured.as_deref(), Some(r#"{"count":3}"#));
    assert_eq!(output("say_text"), Output::text("plain"));
    assert_eq!(output("map").structured.as_deref(), Some(r#"{"a":[1]}"#));
    assert_eq!(output("undescribed").structured.as_deref(), Some(r#"{"result":true}"#));
    assert_eq!(output("nothing"), Output::default());
    assert!(matches!(output("picture").content[..], [Content::Image(_)]));
}

#[test]
fn whole_floats_are_written_as_integers() {
    let host = Host::new();
    let output = host.call(&plugin(), "add", json!({ "a": 2.5, "b": 2.5 })).expect("an output");
    assert_eq!(output.to_text(), "5");
    assert_eq!(output.structured.as_deref(), Some(r#"{"result":5}"#));
}

#[test]
fn arguments_that_do_not_fit_are_named_by_their_path() {
    let message = |arguments: Value| {
        let error = Host::new().call(&plugin(), "add", arguments).expect_err("an error");
        assert!(matches!(error, ToolError::InvalidArguments(_)), "{error:?}");
        error.to_string()
    };
    let error = message(json!({ "a": 1, "labels": [{ "text": "x" }, { "text": 7 }] }));
    assert!(error.starts_with("invalid arguments: labels[1].text: invalid type"), "{error}");
    let error = message(json!({}));
    assert!(error.starts_with("invalid arguments: missing field `a`"), "{error}");
    let error = message(json!({ "a": 1, "labels": [{ "text": "x", "size": 1 }] }));
    assert_eq!(error, "invalid arguments: labels[0].size: there is no argument of this name");
}

#[test]
fn an_unknown_tool_is_an_error_of_its_own() {
    let error = Host::new().call(&plugin(), "subtract", json!({}));
    assert_eq!(error, Err(ToolError::UnknownTool("subtract".to_owned())));
}

#[test]
fn a_path_outside_every_root_is_denied_with_the_flag() {
    for (name, flag) in [("read", "--allow-read"), ("write", "--allow-write")] {
        let error = Host::new().call(&plugin(), name, json!({ "path": "/in/deep/a.txt" }));
        let Err(ToolError::Denied(denial)) = error else { panic!("{error:?}") };
        assert_eq!(denial.target, "/in/deep/a.txt");
        assert_eq!(denial.remedy, format!("{flag} HOST:/in"));
    }
}

#[test]
fn a_bare_io_refusal_is_denied_too() {
    let error = Host::new().call(&plugin(), "refused", json!({ "path": "x" }));
    assert!(matches!(error, Err(ToolError::Denied(_))), "{error:?}");
}

#[test]
fn grants_map_guest_paths_to_directories_of_the_test() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let host = Host::new().allow_write(directory.path(), "/out").call_id("call-7");
    host.call(&plugin(), "write", json!({ "path": "/out/id" })).expect("an output");
    let output = host.call(&plugin(), "read", json!({ "path": "/out/id" })).expect("an output");
    assert_eq!(output.to_text(), "call-7");
    let error = host.call(&plugin(), "read", json!({ "path": "/out/none" })).expect_err("none");
    assert_eq!(error.to_string(), "cannot read /out/none: there is no such file or directory");
    let read_only = Host::new().allow_read(directory.path(), "/out");
    let error = read_only.call(&plugin(), "write", json!({ "path": "/out/id" }));
    assert!(matches!(error, Err(ToolError::Denied(_))), "{error:?}");
}

#[test]
fn the_deepest_root_wins() {
    let (outer, inner) = (tempfile::TempDir::new(), tempfile::TempDir::new());
    let (outer, inner) = (outer.expect("a directory"), inner.expect("a directory"));
    std::fs::write(inner.path().join("a"), "inner").expect("a file");
    let host = Host::new().allow_read(inner.path(), "/x/y").allow_read(outer.path(), "/x");
    let output = host.call(&plugin(), "read", json!({ "path": "/x/y/a" })).expect("an output");
    assert_eq!(output.to_text(), "inner");
}

#[test]
fn progress_and_log_lines_are_kept_for_the_test() {
    let host = Host::new();
    host.call(&plugin(), "read", json!({ "path": "/a" })).expect_err("denied");
    let arguments = json!({ "a": 1, "labels": [{ "text": "x" }] });
    host.call(&plugin(), "add", arguments).expect("an output");
    let progress = host.progress();
    assert_eq!((progress[0].done, progress[0].total), (1.0, Some(2.0)));
    assert_eq!(progress[0].message, "half");
    assert_eq!(host.logged(), ["label x"]);
    assert_eq!(host.remaining_ms(50).run(call::remaining).map(|left| left.as_millis()), Some(50));
}

#[test]
fn requests_are_denied_unless_the_test_answers() {
    let error = Host::new().call(&plugin(), "fetch", json!({}));
    let Err(ToolError::Denied(denial)) = error else { panic!("{error:?}") };
    assert_eq!(denial.remedy, "--allow-net 'GET https://example.org'");
    let host = Host::new().serve(|_| Ok(http::Response { status: 204, ..Default::default() }));
    assert_eq!(host.call(&plugin(), "fetch", json!({})).expect("an output").to_text(), "204");
}
