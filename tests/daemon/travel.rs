//! An agent as one file: it goes on elsewhere where it stood, and carries no grants.

use std::path::Path;

use super::house::{json, serve, spawn, until};
use crate::support::{User, guest_path};

/// Two turns, a long one, and the last.
const SCRIPT: &str = "[[turn]]\nsay = \"one\"\n[[turn]]\nsay = \"two\"\n\
                      [[turn]]\ndelay_ms = 1500\nsay = \"three\"\n";

/// An agent that has had two of its three turns.
fn traveller(user: &User) -> String {
    std::fs::write(user.folder().join("traveller.toml"), SCRIPT).expect("writes");
    let program = guest_path("dist/rogue.wasm").display().to_string();
    let flags = ["--name", "traveller", "--model", "script:traveller.toml", "--task", "count 3"];
    let ran = user.run(&[&["spawn", &program][..], &flags].concat()).expect(0);
    let pid = ran.stdout.trim().to_owned();
    until(user, &pid, |agent| agent["usage"]["model_calls"] == 2);
    pid
}

fn says(user: &User, pid: &str) -> Vec<String> {
    let ran = user.run(&["replay", pid, "-o", "json"]).expect(0);
    let steps = ran.stdout.lines().map(json).filter(|line| line["name"] == "model.step");
    steps.map(|step| step["answer"]["Completion"]["Ok"]["parts"].to_string()).collect()
}

fn is_empty(user: &User) -> bool {
    json(&user.run(&["ps", "-a", "-o", "json"]).expect(0).stdout) == serde_json::json!([])
}

#[test]
fn an_agent_goes_on_elsewhere_where_it_stood() {
    let (there, here) = (User::new(), User::new());
    let _host = serve(&there, &[]);
    let pid = traveller(&there);
    let file = here.folder().join("agent.aos").display().to_string();
    let told = there.run(&["export", &pid, &file]).expect(0).stdout;
    assert!(told.contains("agent 1 (traveller, running rogue"), "{told}");
    there.run(&["export", &pid, &file]).complains(2, &["is there already"]);
    there.run(&["export", "99", "x.aos"]).complains(2, &["no agent 99"]);
    there.run(&["kill", &pid]).expect(0);
    let _here = serve(&here, &[]);
    here.run(&["import", &file]).complains(3, &["was sound", "model:script", "--allow-asked"]);
    assert!(is_empty(&here), "nothing was to be taken in");
    // The models of a script are files of this machine.
    let other = spawn(&here, "other", "[[turn]]\nsay = \"done\"\n", &[]);
    let came = here.run(&["import", &file, "--allow-asked", "--name", "guest"]).expect(0).stdout;
    assert_ne!(came.trim(), other);
    let shown = until(&here, came.trim(), |agent| agent["ending"].is_object());
    assert_eq!((&shown["name"], &shown["usage"]["model_calls"]), (&"guest".into(), &1.into()));
    assert_eq!(says(&here, came.trim()).len(), 3, "two of them are of before");
    // The same file may be taken in again, and gives another agent.
    let again = here.run(&["import", &file, "--allow-asked"]).expect(0).stdout;
    assert_ne!(again, came);
    here.run(&["audit", "verify"]).expect(0);
    here.run(&["store", "check"]).expect(0);
}

#[test]
fn a_file_gives_no_grants() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let pid = traveller(&user);
    user.run(&["export", &pid, "agent.aos"]).expect(0);
    let came = user.run(&["import", "agent.aos", "--allow", "tool:none__*"]).expect(0).stdout;
    let shown = until(&user, came.trim(), |agent| agent["ending"].is_object());
    assert_eq!(shown["usage"]["model_calls"], 0, "{shown}");
    let denied = user.run(&["audit", "show", came.trim(), "--denied"]).expect(0).stdout;
    assert!(denied.contains("denied"), "{denied}");
    user.run(&["import", "agent.aos", "--allow", "nonsense"]).complains(2, &["nonsense"]);
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 0x41;
    flipped
}

#[test]
fn a_file_that_is_not_whole_changes_nothing() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let pid = traveller(&user);
    user.run(&["export", &pid, "agent.aos"]).expect(0);
    user.run(&["kill", &pid]).expect(0);
    let path = user.folder().join("agent.aos");
    let sound = std::fs::read(&path).expect("reads");
    let runs = || user.run(&["audit", "list", "-o", "json"]).expect(0).stdout;
    let before = json(&runs()).as_array().expect("an array").len();
    // The last place of each is in a row; pages that were rewritten keep remnants of others.
    let find =
        |what: &[u8]| sound.windows(what.len()).rposition(|part| part == what).expect("is in");
    let places = [find(b"task_blake3"), find(b"model.step"), find(b"traveller"), 20, 0];
    for at in places {
        std::fs::write(&path, flipped(&sound, at)).expect("writes");
        let ran = user.run(&["import", "agent.aos", "--allow-asked"]);
        assert!(ran.code != 0 && ran.stderr.starts_with("error: "), "byte {at}: {ran:?}");
    }
    for half in [0, 100, sound.len() / 2] {
        std::fs::write(&path, &sound[..half]).expect("writes");
        let ran = user.run(&["import", "agent.aos", "--allow-asked"]);
        assert!(ran.code != 0, "{half} bytes: {ran:?}");
    }
    user.run(&["import", "nowhere.aos", "--allow-asked"]).complains(2, &["nowhere.aos"]);
    user.run(&["import", ".", "--allow-asked"]).complains(2, &["no regular file"]);
    assert_eq!(json(&runs()).as_array().expect("an array").len(), before, "something came in");
    assert!(Path::new(&path).exists());
}
