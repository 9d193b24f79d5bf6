//! The tools from outside, natively, with a directory of the test as granted root.

use std::fs;

use aos_sdk::testing::{Host, Manifest};
use aos_sdk::{Content, Output, ToolError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::plugin;

fn source() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join("main.rs"), "fn main() {}\n").expect("a file");
    directory
}

fn tree() -> TempDir {
    let directory = source();
    fs::create_dir_all(directory.path().join("cli/deep")).expect("directories");
    fs::create_dir_all(directory.path().join(".git")).expect("directories");
    fs::write(directory.path().join("cli/run.rs"), "// run\npub fn run() {}\n").expect("a file");
    fs::write(directory.path().join("cli/deep/a.txt"), "one\ntwo\nthree\n").expect("a file");
    fs::write(directory.path().join(".git/config"), "fn main\n").expect("a file");
    fs::write(directory.path().join("logo.png"), [0x89, b'P', b'N', b'G', 0xff]).expect("a file");
    directory
}

fn reading(directory: &TempDir) -> Host {
    Host::new().allow_read(directory.path(), "/src")
}

fn writing(directory: &TempDir) -> Host {
    Host::new().allow_write(directory.path(), "/src")
}

fn call(host: &Host, tool: &str, arguments: Value) -> Result<Output, ToolError> {
    host.call(&plugin(), tool, arguments)
}

fn text(host: &Host, tool: &str, arguments: Value) -> String {
    call(host, tool, arguments).unwrap_or_else(|error| panic!("{tool}: {error}")).to_text()
}

fn message(host: &Host, tool: &str, arguments: Value) -> String {
    call(host, tool, arguments).expect_err("an error").to_string()
}

#[test]
fn the_manifest_is_well_formed_and_each_example_holds() {
    let manifest = Manifest::parse(include_str!("../plugin.toml")).expect("a manifest");
    let directory = source();
    manifest.check_examples(&writing(&directory), &plugin()).expect("examples hold");
}

#[test]
fn reading_without_a_grant_is_denied_with_the_flag_that_allows_it() {
    for tool in ["read_file", "list_files", "file_info"] {
        let error = call(&Host::new(), tool, json!({ "path": "/src/main.rs" }));
        let Err(ToolError::Denied(denial)) = error else { panic!("{tool}: {error:?}") };
        assert_eq!(denial.capability, "read");
        assert_eq!(denial.remedy, "--allow-read HOST:/src");
    }
}

#[test]
fn writing_under_a_root_that_is_only_read_is_denied() {
    let directory = source();
    let arguments = json!({ "path": "/src/new.txt", "content": "x" });
    let error = call(&reading(&directory), "write_file", arguments);
    let Err(ToolError::Denied(denial)) = error else { panic!("{error:?}") };
    assert_eq!(denial.target, "/src/new.txt");
    assert_eq!(denial.remedy, "--allow-write HOST:/src");
    assert!(!directory.path().join("new.txt").exists());
}

#[test]
fn lines_are_read_by_offset_and_limit() {
    let directory = tree();
    let host = reading(&directory);
    let arguments = json!({ "path": "/src/cli/deep/a.txt", "offset": 1, "limit": 1 });
    let output = call(&host, "read_file", arguments).expect("an output");
    assert_eq!(output.to_text(), "two\n\n[1 lines from offset 1; go on with offset 2]");
    let part: Value = serde_json::from_str(&output.structured.expect("JSON")).expect("JSON");
    assert_eq!((&part["count"], &part["next_offset"]), (&json!(1), &json!(2)));
    let last = json!({ "path": "/src/cli/deep/a.txt", "offset": 2 });
    assert_eq!(text(&host, "read_file", last), "three\n");
    let beyond = json!({ "path": "/src/cli/deep/a.txt", "offset": 9 });
    assert!(message(&host, "read_file", beyond).contains("has 3 lines, not 9"));
}

#[test]
fn bytes_do_not_cut_a_character_in_two() {
    let directory = source();
    fs::write(directory.path().join("u.txt"), "aäb").expect("a file");
    let host = reading(&directory);
    let arguments = json!({ "path": "/src/u.txt", "unit": "bytes", "limit": 2 });
    assert!(text(&host, "read_file", arguments).starts_with("a\n[1 bytes from offset 0"));
}

#[test]
fn an_image_comes_back_as_one_and_is_no_text() {
    let directory = tree();
    let host = reading(&directory);
    let arguments = json!({ "path": "/src/logo.png", "unit": "bytes" });
    let output = call(&host, "read_file", arguments).expect("an output");
    assert!(
        matches!(&output.content[..], [Content::Image(blob)] if blob.media_type == "image/png")
    );
    let error = message(&host, "read_file", json!({ "path": "/src/logo.png" }));
    assert!(error.contains("not UTF-8 text"), "{error}");
}

#[test]
fn writing_replaces_and_leaves_no_temporary_file() {
    let directory = source();
    let host = writing(&directory);
    let arguments = json!({ "path": "/src/main.rs", "content": "new" });
    let output = call(&host, "write_file", arguments).expect("an output");
    assert!(output.structured.expect("JSON").contains(r#""created":false"#));
    assert_eq!(fs::read_to_string(directory.path().join("main.rs")).expect("text"), "new");
    assert_eq!(fs::read_dir(directory.path()).expect("entries").count(), 1);
}

#[test]
fn create_new_never_overwrites_but_may_be_sent_twice() {
    let directory = source();
    let host = writing(&directory);
    let arguments = json!({ "path": "/src/a/b.txt", "content": "x", "create_new": true,
        "create_parents": true });
    for _ in 0..2 {
        assert_eq!(text(&host, "write_file", arguments.clone()), "wrote 1 bytes to /src/a/b.txt");
    }
    let other = json!({ "path": "/src/a/b.txt", "content": "y", "create_new": true });
    assert!(message(&host, "write_file", other).contains("it is there already"));
    assert_eq!(fs::read_to_string(directory.path().join("a/b.txt")).expect("text"), "x");
}

#[test]
fn an_edit_wants_one_exact_occurrence() {
    let directory = source();
    fs::write(directory.path().join("e.txt"), "a b\na c\n").expect("a file");
    let host = writing(&directory);
    let edit = |old: &str, all: bool| {
        let path = "/src/e.txt";
        json!({ "path": path, "old_text": old, "new_text": "X", "replace_all": all })
    };
    assert!(message(&host, "edit_file", edit("a ", false)).contains("2 times, at lines 1, 2"));
    assert!(message(&host, "edit_file", edit("zzz", false)).contains("is not in /src/e.txt"));
    assert!(message(&host, "edit_file", edit("a  b", false)).contains("nothing was changed"));
    assert!(message(&host, "edit_file", edit("", false)).contains("old_text: it is empty"));
    text(&host, "edit_file", edit("b", false));
    text(&host, "edit_file", edit("a ", true));
    assert_eq!(fs::read_to_string(directory.path().join("e.txt")).expect("text"), "XX\nXc\n");
}

#[test]
fn listing_takes_globs_and_leaves_out_hidden_names() {
    let directory = tree();
    let host = reading(&directory);
    let flat = text(&host, "list_files", json!({ "path": "/src" }));
    assert_eq!(flat, "/src/cli/\n/src/logo.png\n/src/main.rs");
    let globbed = text(&host, "list_files", json!({ "path": "/src", "pattern": "**/*.rs" }));
    assert_eq!(globbed, "/src/cli/run.rs\n/src/main.rs");
    let excluded = json!({ "path": "/src", "recursive": true, "exclude": ["deep", "*.png"] });
    assert_eq!(text(&host, "list_files", excluded), "/src/cli/\n/src/cli/run.rs\n/src/main.rs");
    let limited = json!({ "path": "/src", "recursive": true, "entries_max": 1 });
    let limited = text(&host, "list_files", limited);
    assert_eq!(limited, "/src/cli/\n[more than 1 entries; narrow the pattern]");
    let hidden = json!({ "path": "/src", "pattern": "config", "hidden": true });
    assert_eq!(text(&host, "list_files", hidden), "/src/.git/config");
}

#[test]
fn without_a_path_the_roots_are_listed() {
    let directory = source();
    let host = reading(&directory).allow_read(directory.path(), "/other/place");
    assert_eq!(text(&host, "list_files", json!({})), "/other/place/\n/src/");
}

#[test]
fn searching_lists_path_line_and_text() {
    let directory = tree();
    let host = reading(&directory);
    let found = text(&host, "search_files", json!({ "path": "/src", "pattern": r"fn \w+" }));
    assert_eq!(found, "/src/cli/run.rs:2: pub fn run() {}\n/src/main.rs:1: fn main() {}");
    let globbed = json!({ "path": "/src", "pattern": "T", "glob": "*.txt", "ignore_case": true });
    let found = text(&host, "search_files", globbed);
    assert_eq!(found, "/src/cli/deep/a.txt:2: two\n/src/cli/deep/a.txt:3: three");
    let one = json!({ "path": "/src/main.rs", "pattern": "main", "context": 1 });
    assert_eq!(text(&host, "search_files", one), "/src/main.rs:1: fn main() {}");
    let none = text(&host, "search_files", json!({ "path": "/src", "pattern": "nowhere" }));
    assert_eq!(none, "[no match in 3 files]");
}

#[test]
fn a_search_stops_at_its_limit_and_says_so() {
    let directory = tree();
    let arguments = json!({ "path": "/src", "pattern": ".", "results_max": 2 });
    let found = text(&reading(&directory), "search_files", arguments);
    assert!(found.ends_with("[stopped after 2 matches; narrow the search]"), "{found}");
}

#[test]
fn a_broken_expression_is_an_invalid_argument() {
    let directory = source();
    for pattern in ["(", "a{1000}{1000}{1000}"] {
        let arguments = json!({ "path": "/src", "pattern": pattern });
        let error = call(&reading(&directory), "search_files", arguments);
        assert!(matches!(error, Err(ToolError::InvalidArguments(_))), "{error:?}");
    }
}

#[test]
fn a_missing_file_and_an_unknown_argument_are_named() {
    let directory = source();
    let host = reading(&directory);
    let error = message(&host, "read_file", json!({ "path": "/src/none.rs" }));
    assert_eq!(error, "cannot read /src/none.rs: there is no such file or directory");
    let error = message(&host, "read_file", json!({ "path": "/src/main.rs", "ofset": 1 }));
    assert_eq!(error, "invalid arguments: ofset: there is no argument of this name");
}

#[test]
fn a_directory_is_not_read_and_not_edited() {
    let directory = tree();
    let host = writing(&directory);
    for unit in ["lines", "bytes"] {
        let error = message(&host, "read_file", json!({ "path": "/src/cli", "unit": unit }));
        assert_eq!(error, "/src/cli is a directory: list_files lists it");
    }
    let edit = json!({ "path": "/src/cli", "old_text": "a", "new_text": "b" });
    assert!(message(&host, "edit_file", edit).contains("is a directory"));
}
