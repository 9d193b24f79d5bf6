//! What the journal says of a guest's files, as a user reads it with the real program.

use serde_json::Value;

use super::house::guest_path;
use crate::support::{Ran, User};

/// Of WASI 0.2 and of 0.3: the journal says the same of both.
const GUESTS: [&str; 2] = ["dist/misbehave.wasm", "dist/overlap.wasm"];

/// Runs steps in `/w`, which is the user's folder `w`, under these flags.
fn steps_of(guest: &str, user: &User, flags: &[&str], steps: &[&str]) -> Ran {
    let guest = guest_path(guest).display().to_string();
    let mut arguments = vec!["run", guest.as_str()];
    arguments.extend(flags);
    arguments.extend(["--", "files", "/w"]);
    arguments.extend(steps);
    user.run(&arguments)
}

fn steps(user: &User, flags: &[&str], steps: &[&str]) -> Ran {
    steps_of(GUESTS[0], user, flags, steps)
}

fn user() -> User {
    let user = User::new();
    std::fs::create_dir_all(user.folder().join("w/closed")).expect("made");
    std::fs::write(user.folder().join("w/there"), "there").expect("written");
    user
}

/// The rows about files of the last run, as `kind verdict capability target`.
fn rows(user: &User) -> Vec<String> {
    rows_about(user, &["read", "write"])
}

/// The last run's whole rows about these capabilities.
pub fn whole_rows(user: &User, capabilities: &[&str]) -> Vec<Value> {
    let shown = user.run(&["audit", "show", "last", "--output", "json"]).expect(0);
    let rows = shown.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let about = |row: &Value| capabilities.iter().any(|name| row["capability"] == *name);
    rows.filter(about).collect()
}

/// The last run's rows about these capabilities, as `kind verdict capability target`.
pub fn rows_about(user: &User, capabilities: &[&str]) -> Vec<String> {
    let line = |row: Value| {
        let part = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let parts = [part("kind"), part("verdict"), part("capability"), part("target")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    whole_rows(user, capabilities).into_iter().map(line).collect()
}

const WRITE: [&str; 2] = ["--allow-write", "w:/w"];

#[test]
fn a_path_that_leads_out_is_a_denial_that_is_written_down_and_told() {
    for guest in GUESTS {
        let user = user();
        std::os::unix::fs::symlink("/etc/passwd", user.folder().join("w/way")).expect("linked");
        std::os::unix::fs::symlink("..", user.folder().join("w/up")).expect("linked");
        let tries = [
            "read way",
            "write way x",
            "read ../../etc/passwd",
            "rename there up/there",
            "link there ../there",
        ];
        let ran = steps_of(guest, &user, &WRITE, &tries);
        for step in tries {
            assert!(ran.stdout.contains(&format!("{step}: access")), "{}", ran.stdout);
        }
        let words = "denied: read /w/way is not granted; granting the folder that it leads out to";
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        let denied = [
            "verdict denied read /w/way",
            "verdict denied write /w/way",
            "verdict denied read /w/../../etc/passwd",
            "verdict denied write /w/up/there",
            "verdict denied write /w/../there",
        ];
        let rows: Vec<_> =
            rows(&user).into_iter().filter(|row| row.starts_with("verdict denied")).collect();
        assert_eq!(rows, denied, "{guest}");
        for row in whole_rows(&user, &["read", "write"]) {
            assert!(!row["who"].as_str().unwrap_or_default().is_empty(), "{row}");
        }
    }
}

#[test]
fn reads_share_a_verdict_and_their_outcome_counts_them() {
    for guest in GUESTS {
        let user = user();
        let read = ["read there", "stat there", "list ."];
        steps_of(guest, &user, &["--allow-read", "w:/w"], &read).expect(0);
        assert_eq!(rows(&user), ["verdict allowed read /w/there", "outcome read read /w"]);
        let shown = user.run(&["audit", "show", "last", "--output", "json"]).expect(0);
        let outcome =
            shown.stdout.lines().find(|line| line.contains("\"read /w\"")).expect("a row");
        let outcome: Value = serde_json::from_str(outcome).expect("JSON");
        // Listing is two: the folder is opened, and then read.
        assert_eq!(outcome["body"]["count"], 4);
        assert_eq!(outcome["body"]["targets"], serde_json::json!(["/w/there", "/w"]));
    }
}

#[test]
fn each_write_has_a_row_before_it_happens_and_one_after() {
    for guest in GUESTS {
        let user = user();
        steps_of(guest, &user, &WRITE, &["write new text"]).expect(0);
        let both = |target: &str| {
            [format!("verdict allowed write {target}"), format!("outcome write {target}")]
        };
        let wanted = [
            both("truncate /w/new"),
            both("write /w/new at 0 for 2"),
            both("write /w/new at 2 for 2"),
        ];
        assert_eq!(rows(&user), wanted.concat());
    }
}

#[test]
fn every_change_has_a_verdict_and_an_outcome_of_its_own() {
    for guest in GUESTS {
        for (step, target) in [
            ("create new", "create /w/new"),
            ("open-write there", "open /w/there"),
            ("make-folder new", "create-folder /w/new"),
            ("symlink there new", "symlink /w/new to there"),
            ("link there new", "link /w/there to /w/new"),
            ("rename there new", "rename /w/there to /w/new"),
            ("set-times there", "set-times /w/there"),
            ("remove there", "remove /w/there"),
            ("remove-folder closed", "remove-folder /w/closed"),
        ] {
            let user = user();
            steps_of(guest, &user, &WRITE, &[step]).expect(0);
            let wanted =
                [format!("verdict allowed write {target}"), format!("outcome write {target}")];
            assert_eq!(rows(&user), wanted, "{step}");
        }
    }
}

#[test]
fn an_effect_that_failed_says_so_in_its_outcome() {
    for guest in GUESTS {
        let user = user();
        steps_of(guest, &user, &WRITE, &["remove missing"]).expect(1);
        assert_eq!(
            rows(&user),
            ["verdict allowed write remove /w/missing", "outcome write remove /w/missing"]
        );
        let shown = user.run(&["audit", "show", "last", "--output", "json"]).expect(0);
        let outcome = shown
            .stdout
            .lines()
            .find(|line| line.contains("remove /w/missing") && line.contains("\"outcome\""));
        let outcome: Value = serde_json::from_str(outcome.expect("a row")).expect("JSON");
        assert!(
            outcome["body"]["error"].as_str().is_some_and(|error| !error.is_empty()),
            "{outcome}"
        );
    }
}

#[test]
fn every_refused_change_has_a_denied_row_and_no_effect() {
    for guest in GUESTS {
        for step in [
            "create new",
            "open-write there",
            "write new text",
            "make-folder new",
            "symlink there new",
            "link there new",
            "rename there new",
            "set-times there",
            "remove there",
            "remove-folder closed",
        ] {
            let user = user();
            let ran = steps_of(guest, &user, &["--allow-read", "w:/w"], &[step]).expect(1);
            assert!(ran.stdout.ends_with(": access\n"), "{step}: {}", ran.stdout);
            let rows = rows(&user);
            let [row] = &rows[..] else { panic!("{step}: {rows:?}") };
            assert!(row.starts_with("verdict denied write /w"), "{step}: {row}");
            assert!(ran.stderr.contains("denied: write /w"), "{step}: {}", ran.stderr);
            assert!(
                ran.stderr.contains("`--allow-write HOST_FOLDER:/w`"),
                "{step}: {}",
                ran.stderr
            );
            assert!(user.folder().join("w/there").exists(), "{step}");
            assert!(user.folder().join("w/closed").exists(), "{step}");
            assert!(!user.folder().join("w/new").exists(), "{step}");
        }
    }
}

#[test]
fn a_refused_read_names_the_flag_that_would_allow_it() {
    for guest in GUESTS {
        let user = user();
        let guest = guest_path(guest).display().to_string();
        let ran = user.run(&["run", &guest, "--", "files", "/", "read /etc/passwd"]).expect(1);
        assert_eq!(ran.stdout, "read /etc/passwd: access\n");
        assert!(ran.stderr.contains("denied: read /etc/passwd is not granted"), "{}", ran.stderr);
        // A grant is for a folder.
        assert!(ran.stderr.contains("`--allow-read HOST_FOLDER:/etc`"), "{}", ran.stderr);
        assert_eq!(rows(&user), ["verdict denied read /etc/passwd"]);
    }
}

#[test]
fn a_closed_path_says_that_a_grant_would_not_help() {
    for guest in GUESTS {
        let user = user();
        let flags = ["--allow-write", "w:/w", "--deny-path", "w/closed"];
        let ran = steps_of(guest, &user, &flags, &["create closed/new", "list closed"]).expect(1);
        assert_eq!(ran.stdout, "create closed/new: access\nlist closed: access\n");
        assert!(ran.stderr.contains("removing the `--deny-path` that closes it"), "{}", ran.stderr);
        assert_eq!(
            rows(&user),
            ["verdict denied write /w/closed/new", "verdict denied read /w/closed"]
        );
    }
}

#[test]
fn the_denied_rows_alone_are_shown_on_demand_and_the_chain_verifies() {
    let user = user();
    steps(&user, &["--allow-read", "w:/w"], &["read there", "create new"]).expect(1);
    let shown = user.run(&["audit", "show", "last", "--denied", "--output", "json"]).expect(0);
    assert_eq!(shown.stdout.lines().count(), 1, "{}", shown.stdout);
    user.run(&["audit", "verify"]).expect(0);
}

#[test]
fn many_small_writes_are_as_many_rows() {
    for guest in GUESTS {
        let user = user();
        let guest = guest_path(guest).display().to_string();
        let arguments =
            ["run", &guest, "--allow-write", "w:/w", "--", "append", "/w", "log", "200"];
        user.run(&arguments).expect(0);
        let rows = rows(&user);
        let appends = rows.iter().filter(|row| *row == "verdict allowed write append /w/log for 1");
        assert_eq!(appends.count(), 200);
        assert_eq!(std::fs::read(user.folder().join("w/log")).expect("read"), [b'x'; 200]);
        user.run(&["audit", "verify"]).expect(0);
    }
}
