//! Code that a model wrote, run by the plugins `javascript` and `python`: what it computes comes
//! back, what it breaks is its own, and what it reaches for is denied or granted like anybody's.
//!
//! `python` is too large to be committed: `tests/run.sh --long` builds it and says where it is.

use std::fs;

use serde_json::{Value, json};

use crate::support::{User, plugin};

/// Runs code; returns the structured answer.
fn execute(user: &User, plugin: &str, code: &str, flags: &[&str]) -> Value {
    let input = json!({ "code": code }).to_string();
    let arguments = ["run", plugin, "-t", "execute", "-i", &input, "-o", "json"];
    let ran = user.run(&[&arguments[..], flags].concat()).expect(0);
    let answer: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    answer["structured"].clone()
}

/// Where `tests/run.sh --long` has left what `aos-host plugin build python` makes.
fn python() -> String {
    let folder = std::env::var_os("AOS_TEST_LANGUAGES").expect("AOS_TEST_LANGUAGES");
    std::path::PathBuf::from(folder).join("plugin-python.wasm").display().to_string()
}

#[test]
fn javascript_comes_with_the_program() {
    let user = User::new();
    let ran = user.run(&["run", "javascript", "--arg", "code=console.log(6 * 7)"]).expect(0);
    assert_eq!(ran.stdout, "42\n");
    let ran = execute(&user, &plugin("javascript"), "console.log('x'); ({ a: [1] })", &[]);
    assert_eq!((&ran["stdout"], &ran["value"]), (&json!("x\n"), &json!({ "a": [1] })));
}

#[test]
fn an_exception_of_javascript_is_told_with_its_line() {
    let code = "function f() {\n  throw new TypeError('no')\n}\nf()";
    let ran = execute(&User::new(), &plugin("javascript"), code, &[]);
    let trace = ran["exception"]["traceback"].as_str().expect("text");
    assert!(trace.contains("TypeError: no") && trace.contains("code.js:2"), "{trace}");
}

#[test]
fn javascript_reads_what_is_granted_and_nothing_else() {
    let user = User::new();
    fs::create_dir(user.folder().join("d")).expect("made");
    fs::write(user.folder().join("d/f"), "inside").expect("written");
    let plugin = plugin("javascript");
    let ran = execute(&user, &plugin, "fs.readText('/d/f')", &["--allow-read", "d:/d"]);
    assert_eq!(ran["value"], "inside");
    for (code, flags) in [
        ("fs.readText('/d/f')", &[][..]),
        ("fs.writeText('/d/f', '')", &["--allow-read", "d:/d"]),
        ("fs.readText('/d/../etc/passwd')", &["--allow-read", "d:/d"]),
    ] {
        let ran = execute(&user, &plugin, code, flags);
        let message = ran["exception"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("denied") || message.contains("no root"), "{code}: {ran}");
    }
    assert_eq!(fs::read_to_string(user.folder().join("d/f")).expect("reads"), "inside");
}

#[test]
fn javascript_without_end_meets_the_sandboxs_limits() {
    let user = User::new();
    let run = |code: &str, flags: &[&str]| {
        let code = format!("code={code}");
        let plugin = plugin("javascript");
        user.run(&[&["run", &plugin, "--arg", &code], flags].concat())
    };
    run("for (;;) {}", &["--timeout", "500ms"]).complains(4, &["limit time of 500 ms"]);
    run("const f = () => f() + 1; f()", &[]).complains(4, &["limit stack"]);
    // Deep nesting is the parser's own recursion.
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    run(&deep, &[]).complains(4, &["limit stack"]);
    let endless = "const a = []; for (;;) a.push('x'.repeat(1e6) + a.length)";
    let ran = execute(&user, &plugin("javascript"), endless, &["--max-memory", "64MiB"]);
    assert_eq!(ran["exception"]["message"], "out of memory");
}

#[test]
fn a_plugin_that_is_built_here_is_named_with_its_command() {
    let user = User::new();
    user.run(&["run", "python"]).complains(5, &["`aos-host plugin build python`"]);
    let empty = user.folder().join("empty");
    let output = user.command().args(["plugin", "build", "python"]).env("PATH", &empty).output();
    let output = output.expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("pip install componentize-py==0.25.1"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
#[ignore = "needs componentize-py: tests/run.sh --long"]
fn python_prints_returns_and_raises() {
    let user = User::new();
    let ran = execute(&user, &python(), "print(sum(range(10)))\n{'a': [1, None]}", &[]);
    assert_eq!((&ran["stdout"], &ran["value"]), (&json!("45\n"), &json!({ "a": [1, null] })));
    let ran = execute(&user, &python(), "print('before')\n1 / 0", &[]);
    assert_eq!(ran["stdout"], "before\n");
    let trace = ran["exception"]["traceback"].as_str().expect("text");
    assert!(trace.contains("File \"<code>\", line 2") && trace.contains("1 / 0"), "{trace}");
    let code =
        "import asyncio\nasync def a():\n  await asyncio.sleep(0.01)\n  return 5\nasyncio.run(a())";
    assert_eq!(execute(&user, &python(), code, &[])["value"], 5);
    let code = "import statistics, re, csv, decimal, datetime, hashlib\nstatistics.mean([1, 3])";
    assert_eq!(execute(&user, &python(), code, &[])["value"], 2);
}

#[test]
#[ignore = "needs componentize-py: tests/run.sh --long"]
fn pythons_random_numbers_are_each_calls_own() {
    let user = User::new();
    let draw = || execute(&user, &python(), "import random\nrandom.random()", &[])["value"].clone();
    assert_ne!(draw(), draw());
    let fixed = || {
        execute(&user, &python(), "import random\nrandom.random()", &["--no-random"])["value"]
            .clone()
    };
    assert_eq!(fixed(), fixed());
}

#[test]
#[ignore = "needs componentize-py: tests/run.sh --long"]
fn code_in_python_reaches_files_that_are_granted_and_no_network() {
    let user = User::new();
    fs::create_dir(user.folder().join("d")).expect("made");
    fs::write(user.folder().join("d/f"), "inside").expect("written");
    let read = "open('/d/f').read()";
    let ran = execute(&user, &python(), read, &["--allow-read", "d:/d"]);
    assert_eq!(ran["value"], "inside");
    let connect = "import socket\nsocket.create_connection(('127.0.0.1', 9))";
    for (code, flags) in [
        (read, &[][..]),
        ("open('/d/f', 'w')", &["--allow-read", "d:/d"]),
        // The plugin never asks for a network, so a grant of one is none.
        (connect, &["--allow-tcp", "127.0.0.1:9"]),
    ] {
        let ran = execute(&user, &python(), code, flags);
        assert_eq!(ran["exception"]["type"], "PermissionError", "{code}: {ran}");
    }
}

#[test]
#[ignore = "needs componentize-py: tests/run.sh --long"]
fn code_in_python_that_breaks_its_interpreter_breaks_that_call_alone() {
    let user = User::new();
    let run = |code: &str, flags: &[&str]| {
        let code = format!("code={code}");
        user.run(&[&["run", &python(), "--arg", &code], flags].concat())
    };
    run("while True: pass", &["--timeout", "1s"]).complains(4, &["limit time of 1000 ms"]);
    run("f = lambda x: sorted([1, 2], key=f)\nf(1)", &[]).complains(4, &["limit stack"]);
    run("import os\nos._exit(3)", &[]).complains(1, &["crashed"]);
    let ran = execute(&user, &python(), "bytearray(10**9)", &[]);
    assert_eq!(ran["exception"]["type"], "MemoryError");
    let ran = execute(&user, &python(), "def f(): return f()\nf()", &[]);
    assert_eq!(ran["exception"]["type"], "RecursionError");
}
