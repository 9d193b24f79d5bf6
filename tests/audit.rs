//! The journal as an auditor sees it: `aos-host audit` on what agents and tools did.

use std::fs;

use crate::support::{User, plugin, top};

/// An agent that reads a file and calculates, as a script's model says.
fn an_agent(user: &User) {
    let demo = top().join("plugins/assistant/demo");
    let tools = [plugin("files"), plugin("calculator")].join(",");
    user.run(&[
        "run",
        &plugin("assistant"),
        "--task",
        "Sum the amounts in /w/bills.json",
        "--plugin",
        &tools,
        "--allow-read",
        &format!("{}:/w", demo.display()),
        "--model",
        &format!("script:{}", top().join("plugins/assistant/demo.toml").display()),
    ])
    .expect(0);
}

fn a_tool(user: &User) {
    user.run(&["run", &plugin("calculator"), "-i", r#"{"expression":"1+2"}"#]).expect(0);
}

#[test]
fn rows_are_found_by_agent_kind_tool_verdict_and_time() {
    let user = User::new();
    an_agent(&user);
    a_tool(&user);
    let lines = |arguments: &[&str]| {
        let all = [&["audit", "show"][..], arguments].concat();
        user.run(&all).expect(0).stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(lines(&["1"])[0].contains("opened"), "by its pid");
    assert_eq!(lines(&["assistant"]), lines(&["1"]), "by its name");
    assert!(lines(&["last"]).len() < lines(&["1"]).len());
    let models = lines(&["1", "--kind", "model"]);
    assert!(models.iter().all(|line| line.contains(" model ")), "{models:?}");
    assert_eq!(lines(&["1", "--kind", "model,closed"]).len(), models.len() + 1);
    let grants = lines(&["1", "--kind", "grant", "--verdict", "allowed"]);
    assert!(grants.len() > 3 && grants.iter().all(|line| line.contains("allowed")), "{grants:?}");
    let all = lines(&["1"]).join("\n");
    assert!(all.contains("asked for by the model in row 7: I read the file first."), "{all}");
    let tool = lines(&["1", "--tool", "calculate"]).join("\n");
    assert!(tool.contains("calculate") && !tool.contains("read_file"), "{tool}");
    let read = lines(&["1", "--tool", "read_file"]).join("\n");
    assert!(read.contains("read /w/bills.json") && !read.contains("calculate"), "{read}");
    assert!(lines(&["1", "--since", "2100-01-01T00:00:00Z"]).is_empty());
    assert_eq!(lines(&["1", "--since", "1h", "--follow"]), lines(&["1"]), "it is closed");
    assert!(lines(&["1", "--until", "1h"]).is_empty());
    for (arguments, says) in [
        (&["1", "--kind", "tools"][..], "there are agent, grant"),
        (&["1", "--verdict", "maybe"], "allowed, denied"),
        (&["1", "--since", "noon"], "`10m` (ago)"),
        (&["nobody"], "`nobody` is no agent and no run"),
        (&["99"], "`99` is no agent and no run"),
    ] {
        user.run(&[&["audit", "show"][..], arguments].concat()).complains(2, &[says]);
    }
}

#[test]
fn an_export_is_held_against_a_signed_head_with_the_public_key_alone() {
    let user = User::new();
    an_agent(&user);
    let key = user.run(&["audit", "key"]).expect(0).stdout;
    let file = |name: &str| user.folder().join(name).display().to_string();
    let (heads, export) = (file("heads"), file("export"));
    user.run(&["audit", "anchor", "--to", &heads]).expect(0);
    a_tool(&user);
    user.run(&["audit", "anchor", "--to", &format!("|cat >> {heads}")]).expect(0);
    fs::write(&export, user.run(&["audit", "export"]).expect(0).stdout).expect("writes");

    // Elsewhere: another user, with no store and no key of its own.
    let auditor = User::new();
    let key = key.trim();
    let check = ["audit", "verify", "--export", &export, "--public-key", key, "--head", &heads];
    let said = auditor.run(&check).expect(0).stdout;
    assert!(said.contains("as 2 signed heads had it"), "{said}");
    let text = fs::read_to_string(&export).expect("reads");
    let rows: Vec<_> = text.lines().filter(|line| !line.contains("\"closed\"")).collect();
    let cut = file("cut");
    fs::write(&cut, rows.join("\n")).expect("writes");
    let mut with_cut = check;
    with_cut[3] = &cut;
    let ran = auditor.run(&with_cut);
    assert!(ran.stdout.contains("its end was cut off: it was closed"), "{}", ran.stdout);
    ran.complains(6, &["the journal was changed"]);
    for (key, head, code, says) in [
        (&"ab".repeat(32)[..], &*heads, 2, "another key signed it"),
        ("abc", &heads, 2, "expected 64 hexadecimal digits"),
        (key, &export, 2, "no signed head"),
        (key, "none", 2, "No such file"),
    ] {
        let check = ["audit", "verify", "--export", &export, "--public-key", key, "--head", head];
        auditor.run(&check).complains(code, &[says]);
    }
    let bare = ["audit", "verify", "--export", &export, "--head", &heads];
    auditor.run(&bare).complains(2, &["--public-key"]);
    let verify = user.run(&["audit", "verify", "--all", "--head", &heads, "--public-key", key]);
    verify.expect(0);
}

#[test]
fn one_agent_is_proven_without_the_others() {
    let user = User::new();
    a_tool(&user);
    an_agent(&user);
    a_tool(&user);
    let key = user.run(&["audit", "key"]).expect(0).stdout.trim().to_owned();
    let file = |name: &str| user.folder().join(name).display().to_string();
    let (proof, export) = (file("proof"), file("export"));
    let keep = |path: &str, arguments: &[&str]| {
        fs::write(path, user.run(arguments).expect(0).stdout).expect("writes");
    };
    keep(&proof, &["audit", "prove", "assistant"]);
    keep(&export, &["audit", "export", "assistant"]);
    let auditor = User::new();
    let check = ["audit", "verify", "--proof", &proof, "--public-key", &key];
    let said = auditor.run(&check).expect(0).stdout;
    assert!(said.starts_with("ok: run "), "{said}");
    let both = [&check[..], &["--export", &export]].concat();
    assert!(auditor.run(&both).expect(0).stdout.contains("1 chain"));
    keep(&export, &["audit", "export", "last"]);
    auditor.run(&both).complains(2, &["no chain starts with"]);
    let text = fs::read_to_string(&proof).expect("reads").replace("\"chain\":2", "\"chain\":1");
    fs::write(&proof, text).expect("writes");
    auditor.run(&check).complains(6, &["does not lead to the signed root"]);
}
