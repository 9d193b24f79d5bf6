//! Whether the host says of itself what is so.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::User;

fn part<'a>(all: &'a Value, name: &str) -> &'a str {
    let parts = all["parts"].as_array().expect("a list");
    let found = parts.iter().find(|part| part["part"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {all}"))["state"].as_str().expect("a word")
}

fn doctor(user: &User, code: i32) -> Value {
    let ran = user.run(&["doctor", "-o", "json"]).expect(code);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

#[test]
fn a_fresh_host_is_well_and_says_what_is_absent() {
    let user = User::new();
    let all = doctor(&user, 0);
    assert_eq!(all["ok"], true);
    for (name, state) in [
        ("store", "absent"),
        ("cache", "ok"),
        ("files", "ok"),
        ("plugins", "ok"),
        ("providers", "absent"),
        ("clock", "ok"),
    ] {
        assert_eq!(part(&all, name), state, "{name} in {all}");
    }
    user.run(&["run", "calculator", "--arg", "expression=1"]).expect(0);
    assert_eq!(part(&doctor(&user, 0), "store"), "ok");
    let text = user.run(&["doctor"]).expect(0);
    assert!(text.stdout.contains("providers  absent"), "{}", text.stdout);
}

#[test]
fn what_others_may_change_is_bad_with_the_command_that_mends_it() {
    let user = User::new();
    let config = user.folder().join("aos.toml");
    user.run(&["doctor"]).expect(0);
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o666)).expect("opened");
    let told = user.run(&["doctor"]).expect(1);
    assert!(told.stdout.contains("BAD") && told.stdout.contains("chmod 644"), "{}", told.stdout);
    assert_eq!(part(&doctor(&user, 1), "files"), "BAD");
}

#[test]
fn a_store_that_cannot_be_read_is_bad() {
    let user = User::new();
    std::fs::write(user.folder().join("journal.db"), "no database, but long enough")
        .expect("writes");
    let told = user.run(&["doctor", "--store", "sqlite:journal.db"]).expect(1);
    assert!(told.stdout.contains("store      BAD"), "{}", told.stdout);
}

#[test]
fn every_shipped_attack_is_held() {
    let user = User::new();
    let ran = user.run(&["doctor", "--attack", "-o", "json"]).expect(0);
    let all: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let attacks = all["attacks"].as_array().expect("a list");
    assert!(attacks.len() >= 19, "{all}");
    for attack in attacks {
        assert_eq!(attack["held"], true, "{attack}");
    }
    // It leaves nothing behind, and writes to no journal of the user's.
    user.run(&["audit", "list"]).complains(2, &["no journal"]);
}
