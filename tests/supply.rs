//! Plugins from files, servers and registries: pinned, signed, compared, and refused before
//! anything reads what nobody vouches for.

mod server;

use std::path::{Path, PathBuf};

use serde_json::Value;

use self::server::Server;
use crate::support::{User, plugin};

fn installed(user: &User, name: &str) -> PathBuf {
    user.folder().join(format!(".local/share/aos-host/plugins/{name}.wasm"))
}

/// A component that differs from the calculator in nothing but a section nobody reads.
fn other_calculator(folder: &Path) -> PathBuf {
    let mut bytes = std::fs::read(plugin("calculator")).expect("reads");
    // A custom section: its number, its length, the length of its name, its name.
    bytes.extend_from_slice(&[0, 2, 1, b'x']);
    let path = folder.join("other.wasm");
    std::fs::write(&path, bytes).expect("writes");
    path
}

const SUM: [&str; 2] = ["--arg", "expression=1+2"];

#[test]
fn what_was_added_runs_until_its_bytes_change() {
    let user = User::new();
    let added = user.run(&["plugin", "add", &plugin("calculator"), "--name", "calc"]).expect(0);
    for says in ["signed by nobody", "tools    calculate", "sha256 "] {
        assert!(added.stdout.contains(says), "{}", added.stdout);
    }
    assert_eq!(user.run(&[&["run", "calc"][..], &SUM].concat()).expect(0).stdout.trim(), "3");
    user.run(&["plugin", "verify"]).expect(0);
    let path = installed(&user, "calc");
    let mut bytes = std::fs::read(&path).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    user.run(&[&["run", "calc"][..], &SUM].concat()).complains(5, &["not what was added"]);
    user.run(&["plugin", "verify"]).complains(3, &["`calc` is not what was added"]);
    user.run(&["plugin", "remove", "calc"]).expect(0);
    user.run(&["plugin", "verify", "calc"]).complains(5, &["`calc` was not added"]);
    assert!(!path.exists());
}

#[test]
fn only_whom_the_policy_trusts_may_sign() {
    let user = User::new();
    let folder = user.folder();
    let file = folder.join("calc.wasm");
    std::fs::copy(plugin("calculator"), &file).expect("copied");
    let file = file.display().to_string();
    let signed = user.run(&["plugin", "sign", &file, "--key", "ann.key"]).expect(0);
    let key = signed.stdout.trim().rsplit(' ').next().expect("a key").to_owned();
    let trust = |text: &str| std::fs::write(folder.join("trust.toml"), text).expect("writes");
    trust(&format!("[[signer]]\nname = 'ann'\nkey = '{key}'\nplugins = ['other']\n"));
    user.run(&["plugin", "add", &file]).complains(3, &["does not let `ann`"]);
    trust("");
    user.run(&["plugin", "add", &file]).complains(3, &["does not name"]);
    trust(&format!("[[signer]]\nname = 'ann'\nkey = '{key}'\nplugins = ['calc']\n"));
    // Nobody signed this one; that it is no component is not even looked at.
    std::fs::write(folder.join("calc2.wasm"), "no component").expect("writes");
    user.run(&["plugin", "add", "calc2.wasm"]).complains(3, &["nobody signed it"]);
    // The signature is of other bytes.
    std::fs::copy(folder.join("calc.wasm.sig"), folder.join("calc2.wasm.sig")).expect("copied");
    let wrong = ["plugin", "add", "calc2.wasm", "--name", "calc"];
    user.run(&wrong).complains(3, &["not of these bytes"]);
    let added = user.run(&["plugin", "add", &file]).expect(0);
    assert!(added.stdout.contains(&format!("signed by {key}")), "{}", added.stdout);
    user.run(&[&["run", "calc"][..], &SUM].concat()).expect(0);
}

#[test]
fn an_upgrade_that_asks_for_more_stays_out_until_it_is_granted() {
    let user = User::new();
    user.run(&["plugin", "add", &plugin("calculator"), "--name", "calc"]).expect(0);
    let same = user.run(&["plugin", "upgrade", "calc"]).expect(0);
    assert!(same.stdout.contains("is what"), "{}", same.stdout);
    let other = other_calculator(user.folder()).display().to_string();
    let harmless = user.run(&["plugin", "upgrade", "calc", &other]).expect(0);
    assert!(harmless.stdout.contains("the same tools, grants and imports"), "{}", harmless.stdout);
    let before = std::fs::read(installed(&user, "calc")).expect("reads");
    let http = plugin("http");
    let more = user.run(&["plugin", "upgrade", "calc", &http]).expect(3);
    for says in ["+ imports wasi:http/outgoing-handler", "+ asks for net:", "- tool calculate"] {
        assert!(more.stdout.contains(says), "{says} in {}", more.stdout);
    }
    assert!(more.stderr.contains("--yes takes it"), "{}", more.stderr);
    assert_eq!(std::fs::read(installed(&user, "calc")).expect("reads"), before);
    user.run(&["plugin", "upgrade", "calc", &http, "--yes"]).expect(0);
    user.run(&["plugin", "verify", "calc"]).expect(0);
    // By `add` nothing is replaced.
    let again = ["plugin", "add", &other, "--name", "calc"];
    user.run(&again).complains(2, &["aos-host plugin upgrade calc"]);
}

#[test]
fn a_component_comes_from_a_server_or_a_registry() {
    let user = User::new();
    let bytes = std::fs::read(plugin("calculator")).expect("reads");
    let server = Server::start(bytes.clone(), None);
    user.run(&["plugin", "add", &format!("http://{}/calc.wasm", server.host)]).expect(0);
    let oci = format!("oci://{}/team/tool:1", server.host);
    user.run(&["plugin", "add", &oci]).expect(0);
    let listed = user.run(&["plugin", "list", "-o", "json"]).expect(0);
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    assert_eq!(listed[1]["source"], oci);
    assert_eq!(listed[0]["sha256"], listed[1]["sha256"]);
    user.run(&[&["run", "tool"][..], &SUM].concat()).expect(0);
    let missing = format!("oci://{}/team/none:1", server.host);
    user.run(&["plugin", "add", &missing]).complains(6, &["team/none:1"]);
    let lying = format!("oci://{}/team/lying:1", server.host);
    let ran = user.run(&["plugin", "add", &lying]);
    assert!(ran.code == 3 || ran.code == 6, "{ran:?}");
    assert!(!installed(&user, "lying").exists());
    let endless = format!("http://{}/endless.wasm", server.host);
    user.run(&["plugin", "add", &endless]).complains(6, &["larger than"]);
    for wrong in ["http://x.example/a.wasm", "oci://team/tool", "ftp://x/a.wasm"] {
        user.run(&["plugin", "add", wrong]).complains(2, &[wrong]);
    }
}

#[test]
fn a_private_registry_gets_the_operators_credentials() {
    let user = User::new();
    let bytes = std::fs::read(plugin("calculator")).expect("reads");
    // `ann:secret`
    let server = Server::start(bytes, Some("YW5uOnNlY3JldA=="));
    let oci = format!("oci://{}/team/tool:1", server.host);
    user.run(&["plugin", "add", &oci]).expect(6);
    let docker = user.folder().join(".docker");
    std::fs::create_dir(&docker).expect("mkdir");
    let auth = serde_json::json!({ "auths": { &server.host: { "auth": "YW5uOnNlY3JldA==" } } });
    std::fs::write(docker.join("config.json"), auth.to_string()).expect("writes");
    let added = user.run(&["plugin", "add", &oci]).expect(0);
    assert!(!added.stdout.contains("secret"));
    std::fs::write(docker.join("config.json"), "{\"auths\": secret").expect("writes");
    let ran = user.run(&["plugin", "add", &oci, "--name", "b"]).expect(6);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
}
