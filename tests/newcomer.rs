//! What somebody meets who tries things: odd files, typos, remedies, names.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::hostile::guest_path;
use crate::support::{Ran, User, plugin};

fn files(user: &User, tool: &str, input: &str, more: &[&str]) -> Ran {
    user.run(&[&["run", &plugin("files"), "-t", tool, "-i", input], more].concat())
}

#[test]
fn a_name_that_is_no_utf8_ends_no_listing() {
    let user = User::new();
    let folder = user.folder().join("w");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("a.txt"), "needle").expect("written");
    fs::write(folder.join(OsStr::from_bytes(b"b\xff.txt")), "needle").expect("written");
    fs::write(folder.join("c.txt"), "needle").expect("written");
    let grant = ["--allow-read", "w:/w"];
    let listed = files(&user, "list_files", r#"{"path":"/w"}"#, &grant).expect(0).stdout;
    assert!(listed.contains("/w/a.txt\n") && listed.contains("/w/c.txt\n"), "{listed}");
    let found = files(&user, "search_files", r#"{"path":"/w","pattern":"needle"}"#, &grant);
    let found = found.expect(0).stdout;
    assert!(found.contains("/w/a.txt:1:") && found.contains("/w/c.txt:1:"), "{found}");
}

#[test]
fn a_remedy_names_a_folder_that_can_be_granted() {
    let user = User::new();
    fs::create_dir(user.folder().join("w")).expect("made");
    let write = r#"{"path":"/w/new.txt","content":"x"}"#;
    for flags in [&[][..], &["--allow-read", "w:/w"]] {
        let ran = files(&user, "write_file", write, flags);
        let ran = ran.complains(3, &["`--allow-write HOST_FOLDER:/w`"]);
        for remedy in ran.stderr.split('`').filter(|part| part.starts_with("--allow")) {
            assert!(remedy.ends_with(":/w"), "{remedy} in {}", ran.stderr);
        }
    }
    let ran = files(&user, "read_file", r#"{"path":"/src/deep/main.rs"}"#, &[]);
    ran.complains(3, &["`--allow-read HOST_FOLDER:/src/deep`"]);
    let ran = files(&user, "list_files", r#"{"path":"/home/me/project"}"#, &[]);
    ran.complains(3, &["`--allow-read HOST_FOLDER:/home/me/project`"]);
}

#[test]
fn what_no_grant_would_open_is_told_as_what_it_is() {
    let user = User::new();
    let folder = user.folder().join("w");
    fs::create_dir(&folder).expect("made");
    fs::write(user.folder().join("outside"), "secret").expect("written");
    symlink("../outside", folder.join("link")).expect("linked");
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("fifo"), rustix::fs::Mode::RUSR)
        .expect("made");
    let grant = ["--allow-read", "w:/w"];
    for (name, code, words) in [
        ("fifo", 1, "/w/fifo: it is not a regular file"),
        ("link", 3, "/w/link is not granted; granting the folder that it leads out to"),
    ] {
        let input = format!("{{\"path\":\"/w/{name}\"}}");
        let ran = files(&user, "read_file", &input, &grant).complains(code, &[words]);
        assert!(!ran.stderr.contains("--allow"), "{}", ran.stderr);
    }
    let ran = files(&user, "read_file", r#"{"path":"/w"}"#, &grant);
    ran.complains(1, &["/w is a directory: list_files lists it"]);
}

#[test]
fn a_typo_in_a_flag_is_noted_with_the_nearest_name() {
    let user = User::new();
    fs::create_dir_all(user.folder().join("w/secret")).expect("made");
    let list = ["run", "files", "-t", "list_files", "-i", r#"{"path":"/w"}"#];
    let run = |more: &[&str]| user.run(&[&list[..], &["--allow-read", "w:/w"], more].concat());
    assert_eq!(run(&["--deny-path", "w/secret"]).expect(0).stderr, "");
    let typo = run(&["--deny-path", "w/secert"]).expect(0).stderr;
    assert_eq!(typo, "note: --deny-path w/secert: it is not there; did you mean `secret`?\n");
    let later = run(&["--deny-path", "w/qqqq"]).expect(0).stderr;
    assert!(later.contains("it is denied if it is made"), "{later}");
    assert_eq!(run(&["--allow", "files@env:HOME*"]).expect(0).stderr, "");
    let other = run(&["--allow", "fiels@env:HOME*"]).expect(0).stderr;
    assert_eq!(other.lines().count(), 1, "{other}");
    assert!(other.contains("it gives nothing: `files` runs here, and no `fiels`"), "{other}");
    let by_path = user.run(&["run", &plugin("calculator"), "--allow", "calculator@env:X*"]);
    let by_path = by_path.expect(0).stderr;
    assert!(by_path.contains("name it by its hash"), "{by_path}");
}

#[test]
fn inspect_holds_what_a_plugin_needs_against_what_it_asks_for() {
    let user = User::new();
    let text = user.run(&["inspect", "files"]).expect(0).stdout;
    let line = |import: &str| {
        let found = text.lines().find(|line| line.contains(import));
        found.unwrap_or_else(|| panic!("no {import} in {text}")).to_owned()
    };
    assert!(line("wasi:cli/environment").contains("its manifest does not ask for it"));
    assert!(!line("wasi:filesystem/types").contains("does not ask"));
    let all = user.run(&["inspect", "files", "-o", "json"]).expect(0).stdout;
    let all: Value = serde_json::from_str(&all).expect("JSON");
    let capabilities: Vec<_> = all["not_asked"].as_array().expect("a list").iter().collect();
    assert!(capabilities.iter().all(|one| one["capability"] == "env"), "{capabilities:?}");
    assert!(!capabilities.is_empty());
    // Without a manifest everything counts as asked for.
    let guest = guest_path("dist/misbehave.wasm").display().to_string();
    let plain = user.run(&["inspect", &guest]).expect(0).stdout;
    assert!(plain.contains("--allow-env") && !plain.contains("does not ask"), "{plain}");
}

#[test]
fn inspect_tells_what_an_agent_may_be_given() {
    let text = User::new().run(&["inspect", "assistant"]).expect(0).stdout;
    assert!(!text.contains("NOT OFFERED"), "{text}");
    for flag in ["--model PROVIDER/MODEL", "--plugin NAME", "granted to an agent's tools"] {
        assert!(text.contains(flag), "{flag} is missing in {text}");
    }
    // A tool is offered none of it.
    let wat = r#"(component (import "aos:agent/model@0.1.0" (instance)))"#;
    let user = User::new();
    std::fs::write(user.folder().join("tool.wat"), wat).expect("writes");
    let text = user.run(&["inspect", "./tool.wat"]).expect(5).stdout;
    assert!(text.contains("NOT OFFERED"), "{text}");
}

#[test]
fn inspect_finds_a_plugin_in_a_folder_by_its_name() {
    let user = User::new();
    fs::create_dir(user.folder().join("own")).expect("made");
    fs::copy(plugin("text-case"), user.folder().join("own/mine.wasm")).expect("copied");
    user.run(&["inspect", "mine"]).complains(5, &["no plugin `mine`"]);
    let found = user.run(&["inspect", "mine", "--plugin-path", "own"]).expect(0).stdout;
    assert!(found.starts_with("own/mine.wasm: plain component"), "{found}");
}

#[test]
fn control_characters_of_a_path_or_a_word_are_shown_and_not_obeyed() {
    let user = User::new();
    let name = "a\x1b[2J\nb.wasm";
    fs::copy(plugin("text-case"), user.folder().join(name)).expect("copied");
    for arguments in [
        &["inspect", name][..],
        &["run", name],
        &["run", name, "--\x1b[2J"],
        &["run", "no\x1b[2J/x.wasm"],
        &["run", name, "-t", "\x1b[2J"],
        &["audit", "show", "\x1b[2J"],
        &["man", "\x1b[2J"],
        &["new", "\x1b[2J"],
        &["run", name, "--deny-path", "\x1b[2J"],
        &["run", name, "--allow", "\x1b[2J@env:X"],
    ] {
        let ran = user.run(arguments);
        assert!(!ran.stdout.contains('\x1b'), "{arguments:?}: {:?}", ran.stdout);
        assert!(!ran.stderr.contains('\x1b'), "{arguments:?}: {:?}", ran.stderr);
    }
    let inspected = user.run(&["inspect", name]).expect(0).stdout;
    assert!(inspected.starts_with("a\u{241b}[2J\u{240a}b.wasm: plain"), "{inspected}");
}

#[test]
fn everything_of_a_network_is_one_star_in_grants_as_in_manifests() {
    let user = User::new();
    for allow in ["net:*", "net:GET *", "tcp:*", "udp:*", "env:*", "config:*", "keyvalue:*"] {
        user.run(&["run", "http", "--allow", allow]).expect(0);
    }
    user.run(&["run", "http", "--allow-net", "*"]).expect(0);
    // It reaches public addresses, and no other.
    let input = r#"{"url":"http://127.0.0.1:9/"}"#;
    user.run(&["run", "http", "-t", "fetch", "-i", input, "--allow", "net:*"])
        .complains(3, &["denied: net"]);
}

#[test]
fn a_command_without_a_memory_is_one_clear_sentence() {
    let user = User::new();
    let text = "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32))) \
                (func (export \"_start\")))";
    fs::write(user.folder().join("bare.wat"), text).expect("writes");
    let ran = user.run(&["run", "bare.wat"]).complains(5, &["exports no memory"]);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn every_command_has_a_manual_page() {
    let user = User::new();
    let run = user.run(&["man", "run"]).expect(0).stdout;
    assert!(run.contains("aos\\-host\\-run") && run.contains("max\\-memory"), "{run}");
    let verify = user.run(&["man", "audit", "verify"]).expect(0).stdout;
    assert!(verify.contains("aos\\-host\\-audit\\-verify"), "{verify}");
    user.run(&["man", "rum"]).complains(2, &["did you mean `run`?"]);
    user.run(&["man", "--dir", "pages"]).expect(0);
    for page in ["aos-host.1", "aos-host-run.1", "aos-host-audit-verify.1"] {
        let text = fs::read_to_string(user.folder().join("pages").join(page)).expect(page);
        assert!(text.contains(".TH"), "{page}");
    }
}

#[test]
fn a_new_project_has_a_name_that_cargo_takes_and_says_the_whole_command() {
    let user = User::new();
    for name in ["test", "core", "std", "self", "async", "gen", "proc-macro", "serde"] {
        user.run(&["new", name]).complains(2, &["names no crate"]);
        assert!(!user.folder().join(name).exists(), "{name}");
    }
    let made = user.run(&["new", "my-tool"]).expect(0).stdout;
    let last = made.lines().last().expect("a line").trim().to_owned();
    let input = "--input '{\"text\":\"to be or not to be\"}'";
    assert_eq!(last, format!("aos-host run dist/my-tool.wasm {input}"));
    // The example that the project's own tests hold to.
    let readme = fs::read_to_string(user.folder().join("my-tool/README.md")).expect("a README");
    assert!(readme.contains(&last), "{readme}");
}

#[test]
fn an_export_that_was_cut_and_a_head_that_was_shortened_are_one_sentence() {
    let user = User::new();
    let sum = r#"{"expression":"1+1"}"#;
    user.run(&["run", "calculator", "-i", sum]).expect(0);
    let one = user.run(&["audit", "verify"]).expect(0).stdout;
    assert!(one.starts_with("ok: 4 rows in 1 chain\n"), "{one}");
    for _ in 0..4 {
        user.run(&["run", "calculator", "-i", sum]).expect(0);
    }
    let write = |name: &str, text: &str| fs::write(user.folder().join(name), text).expect("ok");
    let export = user.run(&["audit", "export"]).expect(0).stdout;
    let head = user.run(&["audit", "head"]).expect(0).stdout;
    write("export", &export);
    write("head", &head);
    let both = ["audit", "verify", "--export", "export", "--head", "head"];
    assert!(user.run(&both).expect(0).stdout.starts_with("ok: 20 rows in 5 chains"));
    let checked = user.run(&[&both[..], &["-o", "json"]].concat()).expect(0).stdout;
    let checked: Value = serde_json::from_str(&checked).expect("JSON");
    assert_eq!((&checked["ok"], &checked["rows"]), (&Value::Bool(true), &Value::from(20)));
    let lines: Vec<_> = export.lines().collect();
    write("export", &lines[..lines.len() - 3].join("\n"));
    let cut = user.run(&both[..4]).complains(6, &["1 problem"]);
    assert!(cut.stdout.contains("was cut off"), "{}", cut.stdout);
    let cut = user.run(&[&both[..4], &["-o", "json"]].concat()).expect(6);
    let cut: Value = serde_json::from_str(&cut.stdout).expect("JSON");
    assert_eq!((&cut["ok"], &cut["problems_total"]), (&Value::Bool(false), &Value::from(1)));
    let lines: Vec<_> = head.lines().collect();
    write("head", &lines[..2].join("\n"));
    let ran = user.run(&["audit", "verify", "--head", "head"]).complains(2, &["it was shortened"]);
    assert_eq!((ran.stderr.lines().count(), ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    let json = user.run(&["audit", "head", "-o", "json"]).expect(0).stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["chains"], 5);
    assert_eq!(json["heads"].as_array().map(Vec::len), Some(5));
    assert_eq!(json["heads"][4]["rows"], 4);
}
