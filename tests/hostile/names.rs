//! What goes by a name: what is given, what is refused, and what the journal says of it.

use serde_json::{Value, json};

use super::house::guest_path;
use super::verdicts::{rows_about, whole_rows};
use crate::support::{Ran, User, plugin};

/// Runs the guest under these flags with these words.
fn guest(user: &User, flags: &[&str], words: &[&str]) -> Ran {
    let guest = guest_path("dist/misbehave.wasm").display().to_string();
    user.run(&[&["run", &guest], flags, &["--"], words].concat())
}

/// Runs a plugin whose manifest asks for nothing under a flag, and gives the rows that it leaves.
fn not_asked(flags: &[&str], capability: &str) -> Vec<String> {
    let user = User::new();
    let call = ["run", &plugin("calculator"), "-a", "expression=1+1"];
    assert_eq!(user.run(&[&call[..], flags].concat()).expect(0).stdout, "2\n");
    rows_about(&user, &[capability])
}

#[test]
fn a_guest_sees_the_variables_that_are_granted_and_no_others() {
    let user = User::new();
    let flags = ["--allow-env", "SHOWN=yes", "--allow-env", "P*"];
    // HOME and AOS_CONFIG are set too.
    let ran = guest(&user, &flags, &["env", "SHOWN", "HOME", "AOS_CONFIG"]).expect(0);
    assert_eq!(ran.stdout, "SHOWN: yes\nHOME: none\nAOS_CONFIG: none\n2 in all\n");
    let both = |name: &str| [format!("verdict allowed env {name}"), format!("outcome env {name}")];
    let mut rows = rows_about(&user, &["env"]);
    rows.sort_unstable();
    let mut wanted = [both("SHOWN"), both("PATH")].concat();
    wanted.sort_unstable();
    assert_eq!(rows, wanted);
}

#[test]
fn a_variable_that_no_grant_names_or_no_manifest_asks_for_is_not_given() {
    let user = User::new();
    assert_eq!(guest(&user, &[], &["env", "PATH"]).expect(0).stdout, "PATH: none\n0 in all\n");
    assert_eq!(rows_about(&user, &["env"]), [""; 0]);
    let rows = not_asked(&["--allow-env", "TOKEN=1"], "env");
    assert_eq!(rows, ["verdict denied env TOKEN"]);
}

#[test]
fn a_configuration_value_is_given_where_it_is_set_and_asked_for() {
    let user = User::new();
    let ran = guest(&user, &["--set-config", "a.b=1"], &["config", "a.b", "c"]).expect(0);
    assert_eq!(ran.stdout, "a.b: 1\nc: none\n1 in all\n");
    assert_eq!(
        rows_about(&user, &["config"]),
        ["verdict allowed config a.b", "outcome config a.b"]
    );
    assert_eq!(guest(&user, &[], &["config", "a.b"]).expect(0).stdout, "a.b: none\n0 in all\n");
    let rows = not_asked(&["--set-config", "a.b=1"], "config");
    assert_eq!(rows, ["verdict denied config a.b"]);
}

#[test]
fn each_change_of_a_key_has_a_row_before_it_happens_and_reads_are_counted() {
    let user = User::new();
    let steps = [
        "keyvalue",
        "b",
        "set k five5",
        "get k",
        "get missing",
        "exists k",
        "increment n 2",
        "set-many m1 m2",
        "get-many m1 m2 m3",
        "list",
        "delete k",
        "delete-many m1 m2",
    ];
    let ran = guest(&user, &["--allow-keyvalue", "b"], &steps).expect(0);
    let said: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(
        said[1..5],
        ["get k: ok five5", "get missing: ok none", "exists k: ok true", "increment n 2: ok 2"]
    );
    assert_eq!(said[6..8], ["get-many m1 m2 m3: ok 2", "list: ok k,m1,m2,n"]);
    let both = |target: &str| {
        [format!("verdict allowed keyvalue {target}"), format!("outcome keyvalue {target}")]
    };
    let wanted = [
        both("b").to_vec(),
        both("set b/k to 5 bytes").to_vec(),
        // All reads that follow share it.
        vec!["verdict allowed keyvalue b/k".to_owned()],
        both("increment b/n by 2").to_vec(),
        both("set b/m1 to 4 bytes").to_vec(),
        both("set b/m2 to 4 bytes").to_vec(),
        both("delete b/k").to_vec(),
        both("delete b/m1").to_vec(),
        both("delete b/m2").to_vec(),
        vec!["outcome keyvalue read b".to_owned()],
    ];
    assert_eq!(rows_about(&user, &["keyvalue"]), wanted.concat());
    let rows = whole_rows(&user, &["keyvalue"]);
    let body = &rows.last().expect("a row")["body"];
    assert_eq!(body["count"], 7);
    assert_eq!(body["targets"], json!(["b/k", "b/missing", "b/m1", "b/m2", "b/m3", "b/*"]));
}

#[test]
fn a_failed_change_of_a_key_says_so_in_its_outcome() {
    let user = User::new();
    let steps = ["keyvalue", "b", "set k text", "increment k 1"];
    guest(&user, &["--allow-keyvalue", "b"], &steps).expect(1);
    let rows = whole_rows(&user, &["keyvalue"]);
    let outcome = |row: &&Value| row["kind"] == "outcome" && row["target"] == "increment b/k by 1";
    let outcome = rows.iter().find(outcome).expect("a row");
    assert!(outcome["body"]["error"].as_str().is_some_and(|error| error.contains("number")));
}

#[test]
fn a_bucket_that_is_not_granted_is_refused_with_the_flag_that_would_allow_it() {
    let user = User::new();
    let ran = guest(&user, &["--allow-keyvalue", "other"], &["keyvalue", "b", "set k v"]);
    let ran = ran.complains(1, &["denied: keyvalue b", "`--allow-keyvalue b`"]);
    assert_eq!(ran.stdout, "open b: access-denied\n");
    assert_eq!(rows_about(&user, &["keyvalue"]), ["verdict denied keyvalue b"]);
}
