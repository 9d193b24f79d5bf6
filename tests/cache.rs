//! The folder of compiled components, shared by processes.

use std::fs;
use std::process::{Child, Stdio};

use crate::support::{User, plugin};

const SUM: &str = r#"{"expression":"(2+3)*4^2"}"#;

/// A user whose cache nobody shares.
fn user() -> User {
    let user = User::new();
    fs::write(user.folder().join("aos.toml"), "[cache]\nfolder = \"cache\"\n").expect("writes");
    user
}

#[test]
fn twenty_cold_runs_at_once_compile_once() {
    let user = user();
    let calculator = plugin("calculator");
    let start = || {
        let mut command = user.command();
        command.args(["run", &calculator, "-i", SUM]).env("AOS_LOG", "aos_host=debug");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
    };
    let children: Vec<Child> = (0..20).map(|_| start()).collect();
    let mut compiled = 0;
    for child in children {
        let output = child.wait_with_output().expect("ends");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "80\n", "{log}");
        compiled += log.lines().filter(|line| line.contains("compiled ")).count();
    }
    assert_eq!(compiled, 1);
    let left = fs::read_dir(user.folder().join("cache")).expect("lists");
    let left = left.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    assert!(left.into_iter().all(|name| !name.ends_with(".lock")), "a lock is left");
}

#[test]
fn a_lock_that_a_killed_host_left_stops_nobody() {
    let user = user();
    let run = || user.run(&["run", &plugin("calculator"), "-i", SUM]).expect(0);
    run();
    let folder = user.folder().join("cache");
    let names = |ending: &str| -> Vec<std::path::PathBuf> {
        let all = fs::read_dir(&folder).expect("lists").map(|entry| entry.expect("one").path());
        all.filter(|path| path.extension().is_some_and(|end| end == ending)).collect()
    };
    let [note] = &names("note")[..] else { panic!("one note") };
    let lock = format!("{}.lock", note.display());
    fs::remove_file(note).expect("removed");
    fs::write(&lock, "").expect("a file that nobody holds");
    run();
    assert_eq!(names("note").len(), 1);
}

#[test]
fn a_cache_with_a_broken_key_is_named_listed_and_cleared() {
    let user = user();
    let run = || user.run(&["run", &plugin("calculator"), "-i", SUM]).expect(0);
    assert_eq!(run().stderr, "");
    let key = user.folder().join("cache/key");
    fs::remove_file(&key).expect("removed");
    fs::write(&key, "short").expect("writes");
    let ran = run();
    assert_eq!(ran.stdout, "80\n");
    assert!(ran.stderr.contains("`aos-host cache clear`"), "{}", ran.stderr);
    let listed = user.run(&["cache", "list", "-o", "json"]).expect(0).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["components"].as_array().map(Vec::len), Some(1));
    assert!(listed["components"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 1_000));
    let cleared = user.run(&["cache", "clear"]).expect(0).stdout;
    assert!(cleared.starts_with("removed 1 component, "), "{cleared}");
    assert_eq!(run().stderr, "", "the key was made anew");
    assert_eq!(fs::read(&key).expect("a key").len(), 32);
    // A good key stays.
    let good = fs::read(&key).expect("a key");
    user.run(&["cache", "clear"]).expect(0);
    assert_eq!(fs::read(&key).expect("a key"), good);
}
