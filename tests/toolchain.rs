//! Building, testing and beginning plugins. What needs the toolchain of another language is in
//! `tests/projects.sh`; here they are missing, or there is nothing to install.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::support::{User, plugin, top};

const LANGUAGES: [&str; 7] = ["rust", "python", "javascript", "typescript", "c", "zig", "go"];

/// A command that ends with this code: WebAssembly's own text needs no toolchain.
fn write_command(folder: &Path, code: u8) {
    fs::create_dir_all(folder.join("src")).expect("made");
    fs::write(folder.join("plugin.toml"), "name = \"ends\"\nversion = \"1.0.0\"\n")
        .expect("written");
    let text = format!(
        "(module $named (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32))) \
         (memory (export \"memory\") 1) \
         (func (export \"_start\") (call $exit (i32.const {code}))))"
    );
    fs::write(folder.join("src/main.wat"), text).expect("written");
}

#[test]
fn a_project_becomes_one_plugin_with_its_manifest_inside() {
    let user = User::new();
    write_command(&user.folder().join("p"), 7);
    let built = user.run(&["build", "p"]).expect(0).stdout;
    assert!(built.starts_with("p/dist/ends.wasm: command, "), "{built}");
    assert!(built.ends_with("asks for no grant\n"), "{built}");
    user.run(&["run", "p/dist/ends.wasm", "--"]).expect(7);
    let about = user.run(&["inspect", "p/dist/ends.wasm", "-o", "json"]).expect(0).stdout;
    let about: Value = serde_json::from_str(&about).expect("JSON");
    assert_eq!((&about["name"], &about["version"]), (&Value::from("ends"), &Value::from("1.0.0")));
    user.run(&["build", "p", "--output", "other.wasm"]).expect(0);
    let (one, other) = (user.folder().join("p/dist/ends.wasm"), user.folder().join("other.wasm"));
    assert_eq!(fs::read(one).expect("reads"), fs::read(other).expect("reads"));
}

#[test]
fn what_is_no_project_is_one_sentence() {
    let user = User::new();
    let at = |name: &str| user.folder().join(name);
    user.run(&["build", "nowhere"]).complains(2, &["nowhere: there is no such folder"]);
    fs::create_dir(at("p")).expect("made");
    user.run(&["build", "p"]).complains(2, &["has no plugin.toml", "aos-host new"]);
    fs::write(at("p/plugin.toml"), "name = \"X\"\nversion = \"1\"\n").expect("written");
    user.run(&["build", "p"]).complains(2, &["p/plugin.toml", "`X` must be a-z"]);
    fs::write(at("p/plugin.toml"), "name = \"x\"\nversion = \"1\"\n").expect("written");
    user.run(&["build", "p"]).complains(2, &["looked for", "tools.py"]);
    fs::write(at("p/tools.py"), "").expect("written");
    fs::write(at("p/tools.go"), "").expect("written");
    user.run(&["build", "p"]).complains(2, &["Python and Go: say which with --lang"]);
    user.run(&["build", "p", "--lang", "zig"]).complains(2, &["has no Zig", "src/tools.zig"]);
}

#[test]
fn a_source_that_does_not_hold_together_is_told_with_its_file() {
    let user = User::new();
    write_command(&user.folder().join("p"), 0);
    fs::write(user.folder().join("p/src/main.wat"), "(module (func").expect("written");
    user.run(&["build", "p"]).complains(1, &["src/main.wat"]);
    fs::write(user.folder().join("p/src/main.wat"), "(module)").expect("written");
    user.run(&["build", "p"]).complains(5, &["ends becomes no component"]);
    assert!(!user.folder().join("p/dist").exists());
}

#[test]
fn a_missing_toolchain_is_named_with_how_to_get_it() {
    let user = User::new();
    let remedies = ["rustup", "pip install componentize-py", "nodejs.org", "nodejs.org"];
    let remedies = [&remedies[..], &["ziglang", "ziglang", "go.dev"]].concat();
    for (language, remedy) in LANGUAGES.into_iter().zip(remedies) {
        let name = format!("my-{language}");
        user.run(&["new", &name, "--lang", language]).expect(0);
        let empty = user.folder().join("empty");
        let output = user.command().args(["build", &name]).env("PATH", &empty).output();
        let output = output.expect("starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{language}: {said}");
        assert!(said.contains("is not installed") && said.contains(remedy), "{language}: {said}");
        assert_eq!(said.lines().count(), 1, "{language}: {said}");
    }
}

#[test]
fn every_new_project_has_its_name_and_nothing_left_to_fill_in() {
    let user = User::new();
    for kind in ["tool", "agent", "command"] {
        for language in LANGUAGES {
            let name = format!("{kind}-{language}");
            let made = user.run(&["new", &name, "--lang", language, "--kind", kind]);
            if made.code == 2 {
                made.complains(2, &[&format!("there is no {kind} in"), "--lang rust, python"]);
                continue;
            }
            let next = made.expect(0).stdout;
            assert!(next.contains(&format!("aos-host run dist/{name}.wasm")), "{next}");
            let folder = user.folder().join(&name);
            let manifest = fs::read_to_string(folder.join("plugin.toml")).expect("a manifest");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{manifest}");
            let readme = fs::read_to_string(folder.join("README.md")).expect("a README");
            assert!(readme.contains("aos-host build") && !readme.contains("{{name}}"), "{readme}");
            assert!(folder.join(".gitignore").is_file(), "{name}");
        }
    }
    user.run(&["new", "tool-c", "--lang", "c"]).complains(2, &["tool-c is there already"]);
    user.run(&["new", "x", "--lang", "cobol"]).complains(2, &["cobol"]);
}

/// What is printed is what follows from the schemas, so a plugin that passes is one that was asked.
#[test]
fn every_tool_plugin_of_the_repository_passes_the_contract_test() {
    let user = User::new();
    let all =
        [("calculator", 12), ("javascript", 15), ("json", 60), ("search", 14), ("text-case", 40)];
    // A plugin that is added is tested, or is named here as one without tools or with grants.
    let others = ["assistant", "files", "http", "team", "wordcount"];
    for entry in fs::read_dir(top().join("plugins/dist")).expect("the built plugins") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".wasm") else { continue };
        let known = all.iter().any(|(known, _)| *known == name) || others.contains(&name);
        assert!(known, "nothing tests the contract of {name}");
    }
    for (name, least) in all {
        let ran = user.run(&["test", &plugin(name), "-o", "json"]).expect(0);
        let found: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert!(found["passed"].as_u64() > Some(least), "{name}: {}", ran.stdout);
        assert_eq!((&found["failed"], &found["denied"]), (&0.into(), &0.into()), "{name}");
    }
    // What its manifest says lies there for its examples.
    fs::create_dir(user.folder().join("src")).expect("made");
    fs::write(user.folder().join("src/main.rs"), "fn main() {}\n").expect("written");
    let files = plugin("files");
    user.run(&["test", &files]).complains(3, &[]);
    user.run(&["test", &files, "--allow-write", "src:/src"]).expect(0);
}

#[test]
fn the_plugin_for_http_passes_the_contract_test() {
    let listener = TcpListener::bind("127.0.0.1:8080");
    // The port stands in its examples; who has it otherwise is told, and the rest is tested.
    let Ok(listener) = listener else {
        let ran = User::new().run(&["test", &plugin("http")]).expect(3);
        assert!(ran.stdout.contains(" 0 failed"), "{}", ran.stdout);
        return;
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _request = stream.read(&mut [0; 4096]);
            let body = "<h1>Hello</h1><p>from <a href=\"/x\">here</a></p>";
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
            // Who hangs up has had enough.
            let _said = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    let allow = ["--allow-net", "http://127.0.0.1:8080"];
    User::new().run(&[&["test", &plugin("http")], &allow[..]].concat()).expect(0);
}

#[test]
fn a_tool_that_crashes_fails_the_contract_test_in_every_form() {
    let user = User::new();
    let text = "(component (core module $m (func (export \"f\") (param i32) unreachable)) \
                (core instance $i (instantiate $m)) \
                (func (export \"boom\") (param \"x\" s32) (canon lift (core func $i \"f\"))))";
    fs::write(user.folder().join("boom.wat"), text).expect("written");
    let told = user.run(&["test", "boom.wat"]).expect(1).stdout;
    assert!(told.contains("failed: boom: ") && told.contains("unreachable"), "{told}");
    let json = user.run(&["test", "boom.wat", "-o", "json"]).expect(1).stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert!(json["failed"].as_u64() > Some(2), "{json}");
    let junit = user.run(&["test", "boom.wat", "-o", "junit"]).expect(1).stdout;
    assert!(junit.contains("<failure message=\"the program crashed"), "{junit}");
    user.run(&["test", &plugin("wordcount")]).complains(2, &["has no tools"]);
    user.run(&["test", &plugin("assistant")]).complains(2, &["has no tools"]);
}

/// A component that exports an instance with one function, under any name.
fn exporting(interface: &str) -> String {
    format!(
        "(component (core module $m (func (export \"f\") (result i32) i32.const 0) \
           (memory (export \"memory\") 1)) \
         (core instance $i (instantiate $m)) \
         (func $f (result string) (canon lift (core func $i \"f\") (memory $i \"memory\"))) \
         (instance $t (export \"definitions\" (func $f))) \
         (export \"{interface}\" (instance $t)))"
    )
}

#[test]
fn a_component_of_another_version_or_world_is_told_which() {
    let user = User::new();
    for (interface, words) in [
        ("aos:tool/tools@0.0.9", ["`aos:tool/tools@0.0.9`", "calls version 0.1.0: rebuild it"]),
        ("aos:tool/tools@2.0.0", ["`aos:tool/tools@2.0.0`", "calls version 0.1.0: rebuild it"]),
        ("aos:agent/program@0.0.1", ["`aos:agent/program@0.0.1`", "calls version 0.1.0"]),
        ("aos:tool/tools@0.1.0", ["`aos:tool/tools@0.1.0`", "does not have export `call`"]),
    ] {
        fs::write(user.folder().join("x.wat"), exporting(interface)).expect("written");
        for command in ["run", "test", "inspect"] {
            let ran = user.run(&[command, "x.wat"]).complains(5, &words);
            assert_eq!(ran.stderr.lines().count(), 1, "{interface}: {}", ran.stderr);
        }
    }
    // Neither the contract nor a command: its own functions are its tools.
    fs::write(user.folder().join("x.wat"), exporting("demo:text/case@1.0.0")).expect("written");
    user.run(&["run", "x.wat"]).expect(0);
}

#[test]
fn a_save_builds_and_runs_again() {
    let user = User::new();
    let folder = user.folder().join("p");
    write_command(&folder, 3);
    let mut dev = user
        .command()
        .args(["dev", "p", "--", "--"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let (sender, lines) = mpsc::channel();
    let stderr = BufReader::new(dev.stderr.take().expect("piped"));
    std::thread::spawn(move || {
        stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let seen = |what: &str| {
        // A build and a run take a second; a machine that does ten other things, more.
        let patience = Duration::from_secs(60);
        while let Ok(line) = lines.recv_timeout(patience) {
            if line.contains(what) {
                return true;
            }
        }
        false
    };
    let first = seen("ended with 3");
    write_command(&folder, 4);
    let second = seen("ended with 4");
    dev.kill().expect("is there");
    dev.wait().expect("ends");
    assert!(first && second, "first {first}, after the save {second}");
}
