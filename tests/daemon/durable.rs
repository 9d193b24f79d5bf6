//! Agents survive the end of their host: `kill -9` at any moment, and the next one takes them up.

use std::time::Duration;

use rustix::process::Signal;
use sqlx::{Connection, SqliteConnection};

use super::house::{Host, NEVER, PATIENCE, QUICK, asks_its_model, json, serve, spawn, until};
use super::ledger::Ledger;
use crate::support::{User, guest_path, plugin};

/// A generator of numbers that a printed seed repeats.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let given = std::env::var("AOS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(rand::random::<u64>) | 1;
        eprintln!("AOS_TEST_SEED={seed} repeats this run's moments");
        Self(seed)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

fn kill(mut host: Host) {
    host.signal(Signal::KILL);
    host.ended();
}

/// Starts a rogue with this task.
fn rogue(user: &User, name: &str, task: &str, script: &str) -> String {
    let file = user.folder().join(format!("{name}.toml"));
    std::fs::write(&file, script).expect("writes");
    let (model, program) = (format!("script:{name}.toml"), guest_path("dist/rogue.wasm"));
    let program = program.display().to_string();
    let flags = ["--name", name, "--model", &model, "--task", task, "--allow-spawn", "rogue"];
    let ran = user.run(&[&["spawn", &program][..], &flags].concat()).expect(0);
    ran.stdout.trim().to_owned()
}

/// Runs SQL on the user's store.
fn edit(user: &User, sql: &str) {
    let path = user.folder().join(".local/state/aos-host/journal.db");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("opens");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .expect("runs");
        connection.close().await.expect("closes");
    });
}

#[test]
fn a_paused_agent_stays_paused_and_numbers_go_on() {
    let user = User::new();
    let host = serve(&user, &[]);
    let slow = "[[turn]]\ndelay_ms = 500\nsay = \"done {{agent}}\"\n";
    let paused = spawn(&user, "paused", slow, &[]);
    user.run(&["pause", &paused]).expect(0);
    kill(host);
    let host = serve(&user, &[]);
    let shown = until(&user, &paused, |agent| agent["standing"] == "paused");
    assert_eq!(shown["name"], "paused");
    let next = spawn(&user, "next", QUICK, &[]);
    assert!(next.parse::<u64>().expect("a pid") > paused.parse::<u64>().expect("a pid"));
    user.run(&["resume", &paused]).expect(0);
    assert_eq!(user.run(&["wait", &paused]).expect(0).stdout, "done paused\n");
    kill(host);
    // What has ended stays so, and its end is not told to two hosts.
    let _host = serve(&user, &[]);
    assert_eq!(json(&user.run(&["ps", "-o", "json"]).expect(0).stdout), serde_json::json!([]));
    user.run(&["audit", "verify"]).expect(0);
}

#[test]
fn mail_children_and_budgets_survive() {
    let user = User::new();
    let host = serve(&user, &[]);
    let mail = rogue(&user, "mail", "mail 3", QUICK);
    let slow = "[[turn]]\ndelay_ms = 300\nsay = \"word\"\nrepeat = 100\n";
    let parent = rogue(&user, "parent", "spawn-tokens 100000", slow);
    for body in ["one", "two"] {
        user.run(&["send", &mail, body]).expect(0);
    }
    let has_child = |agents: &serde_json::Value| {
        agents.as_array().expect("an array").iter().any(|agent| agent["parent"] == 2)
    };
    let began = std::time::Instant::now();
    while !has_child(&json(&user.run(&["ps", "-o", "json"]).expect(0).stdout)) {
        assert!(began.elapsed() < PATIENCE, "no child");
    }
    std::thread::sleep(Duration::from_millis(450));
    kill(host);
    let host = serve(&user, &[]);
    assert!(has_child(&json(&user.run(&["ps", "-o", "json"]).expect(0).stdout)));
    kill(host);
    let _host = serve(&user, &[]);
    user.run(&["send", &mail, "three"]).expect(0);
    assert_eq!(user.run(&["wait", &mail]).expect(0).stdout, "one\ntwo\nthree\n");
    let told = user.run(&["wait", &parent]).expect(0).stdout;
    assert!(told.contains("Returned"), "{told}");
    for pid in [&mail, &parent] {
        let ran = user.run(&["replay", pid]).expect(0);
        assert!(ran.stdout.contains("it ended as its journal says"), "{ran:?}");
    }
    user.run(&["audit", "verify"]).expect(0);
}

#[test]
fn a_child_whose_parent_has_ended_is_not_left_behind() {
    let user = User::new();
    let host = serve(&user, &[]);
    let parent = rogue(&user, "parent", "mail-ring", QUICK);
    let child = |user: &User| {
        let agents = json(&user.run(&["ps", "-o", "json"]).expect(0).stdout);
        agents.as_array().expect("an array").iter().any(|a| a["parent"].is_u64())
    };
    let began = std::time::Instant::now();
    while !child(&user) {
        assert!(began.elapsed() < PATIENCE, "no child");
    }
    kill(host);
    let host = serve(&user, &[]);
    assert!(child(&user));
    user.run(&["kill", &parent]).expect(0);
    let began = std::time::Instant::now();
    while child(&user) {
        assert!(began.elapsed() < PATIENCE, "the child lives");
    }
    kill(host);
}

#[test]
fn what_cannot_be_played_back_stands_still_alone_and_says_why() {
    let user = User::new();
    let host = serve(&user, &[]);
    let slow = "[[turn]]\nsay = \"word\"\nrepeat = 3\n[[turn]]\ndelay_ms = 3600000\nsay = \"x\"\n";
    let damaged = rogue(&user, "damaged", "count 9", slow);
    let changed = rogue(&user, "changed", "count 9", slow);
    let sound = spawn(&user, "sound", "[[turn]]\ndelay_ms = 2000\nsay = \"done\"\n", &[]);
    for pid in [&damaged, &changed] {
        until(&user, pid, |agent| agent["usage"]["model_calls"] == 3);
    }
    kill(host);
    // A row of one, and a body that another names.
    edit(
        &user,
        "UPDATE journal SET body = replace(body, '\"sent\":true', '\"sent\":false') \
         WHERE who = 'damaged' AND kind = 'answered'",
    );
    edit(
        &user,
        "UPDATE bodies SET content = zeroblob(length(content)) WHERE hash IN \
         (SELECT unhex(json_extract(body, '$.answer.blake3')) FROM journal \
          WHERE who = 'changed' AND kind = 'answered' AND target = 'model.step')",
    );
    let _host = serve(&user, &[]);
    let shown = until(&user, &damaged, |agent| agent["reason"].is_string());
    let reason = shown["reason"].as_str().expect("a reason");
    assert!(reason.contains("is not the one that was written"), "{reason}");
    let shown = until(&user, &changed, |agent| agent["reason"].is_string());
    let reason = shown["reason"].as_str().expect("a reason");
    assert!(reason.contains("not what was written"), "{reason}");
    assert_eq!(user.run(&["wait", &sound]).expect(0).stdout, "done\n");
    // The chain is no chain; the other differs from its journal at that body.
    user.run(&["replay", &damaged]).complains(6, &["is not the one that was written"]);
    user.run(&["replay", &changed]).complains(1, &["after 1 questions", "not what was written"]);
    for pid in [&damaged, &changed] {
        user.run(&["kill", pid]).expect(0);
    }
}

/// What an agent's model is shown and was shown, without whose it is.
fn window(user: &User, pid: &str) -> [serde_json::Value; 2] {
    ["show", "stats"].map(|what| {
        let mut shown = json(&user.run(&["context", what, pid, "-o", "json"]).expect(0).stdout);
        let shown_of = shown.as_object_mut().expect("an object");
        shown_of.remove("agent");
        shown_of.remove("pid");
        shown
    })
}

fn same(windows: &[serde_json::Value; 2], expected: &[serde_json::Value; 2], how: &str) {
    for (window, expected) in windows.iter().zip(expected) {
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(&window[key], value, "{how}: {key}");
        }
    }
}

/// An agent that talks more than its window holds.
fn talker(user: &User, name: &str) -> String {
    let words = ["harbour", "violin", "glacier", "saffron", "lantern", "orchard", "compass"];
    let word = |n: usize, at: usize| words[(n * 5 + at * (1 + n % 3)) % words.len()];
    let say = |n: usize| {
        let all = (0..30).map(|at| format!("{} {}{n}", word(n, at), word(n, at + 1)));
        all.collect::<Vec<_>>().join(" ")
    };
    let turn = |n| format!("[[turn]]\ndelay_ms = 20\nsay = \"turn {n}: {}\"\n", say(n));
    let turns: String = (0..60).map(turn).collect();
    std::fs::write(user.folder().join("talk.toml"), turns).expect("writes");
    let program = guest_path("dist/rogue.wasm").display().to_string();
    let task = ["--name", name, "--model", "script:talk.toml", "--task", "count 60"];
    let flags = [&["spawn", &program][..], &task, &["--context-budget", "1200"]].concat();
    user.run(&flags).expect(0).stdout.trim().to_owned()
}

#[test]
fn a_memory_is_the_same_to_the_token_after_kills_a_restore_and_a_fork() {
    let user = User::new();
    let (mut dice, mut host) = (Dice::new(), serve(&user, &[]));
    let whole = talker(&user, "whole");
    user.run(&["wait", &whole]).expect(0);
    let expected = window(&user, &whole);
    let figures = &expected[1]["figures"];
    assert!(figures["recalled_turns"].as_u64() > Some(9), "{figures}");
    let cut = talker(&user, "cut");
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(dice.below(500)));
        kill(host);
        host = serve(&user, &[]);
    }
    let began = std::time::Instant::now();
    while json(&user.run(&["ps", "-o", "json"]).expect(0).stdout) != serde_json::json!([]) {
        assert!(began.elapsed() < PATIENCE, "it does not end");
    }
    same(&window(&user, &cut), &expected, "killed");
    let back = talker(&user, "back");
    until(&user, &back, |agent| agent["usage"]["model_calls"].as_u64() > Some(12));
    let id = user.run(&["checkpoint", "create", &back, "--label", "x"]).expect(0).stdout;
    until(&user, &back, |agent| agent["usage"]["model_calls"].as_u64() > Some(24));
    user.run(&["checkpoint", "restore", id.trim()]).expect(0);
    let fork = user.run(&["checkpoint", "fork", id.trim()]).expect(0).stdout;
    for (pid, how) in [(&*back, "restored"), (fork.trim(), "forked")] {
        user.run(&["wait", pid]).expect(0);
        same(&window(&user, pid), &expected, how);
    }
    user.run(&["audit", "verify"]).expect(0);
}

#[test]
fn a_program_that_is_gone_stops_its_agent_alone_and_both_sides_are_told() {
    let user = User::new();
    let host = serve(&user, &[]);
    let pid = rogue(&user, "old", "count 3", NEVER);
    until(&user, &pid, asks_its_model);
    let sound = spawn(&user, "sound", "[[turn]]\ndelay_ms = 1000\nsay = \"done\"\n", &[]);
    kill(host);
    let bytes = std::fs::read(guest_path("dist/rogue.wasm")).expect("the rogue");
    let hash = blake3::hash(&bytes).to_hex();
    edit(&user, &format!("DELETE FROM bodies WHERE hash = x'{hash}'"));
    let host = serve(&user, &[]);
    let shown = until(&user, &pid, |agent| agent["reason"].is_string());
    let reason = shown["reason"].as_str().expect("a reason");
    assert!(reason.contains(hash.as_str()) && reason.contains("missing"), "{reason}");
    assert_eq!(user.run(&["wait", &sound]).expect(0).stdout, "done\n");
    user.run(&["replay", &pid]).complains(6, &["missing"]);
    kill(host);
    // Another program of that name is not taken for it.
    let folder = user.folder().join("plugins");
    std::fs::create_dir(&folder).expect("made");
    std::fs::copy(plugin("assistant"), folder.join("rogue.wasm")).expect("copied");
    let other = blake3::hash(&std::fs::read(plugin("assistant")).expect("read")).to_hex();
    let config = user.folder().join("aos.toml");
    let text = std::fs::read_to_string(&config).expect("read");
    let path = format!("plugin_path = [{:?}]\n", folder.display().to_string());
    std::fs::write(&config, path + &text).expect("writes");
    let host = serve(&user, &[]);
    let shown = until(&user, &pid, |agent| agent["reason"].is_string());
    let reason = shown["reason"].as_str().expect("a reason");
    assert!(reason.contains(hash.as_str()) && reason.contains(other.as_str()), "{reason}");
    kill(host);
    // The first one put back goes on.
    std::fs::copy(guest_path("dist/rogue.wasm"), folder.join("rogue.wasm")).expect("copied");
    let _host = serve(&user, &[]);
    until(&user, &pid, asks_its_model);
    user.run(&["kill", &pid]).expect(0);
}

/// Turns of an agent: each has an effect outside.
const TURNS: u64 = 6;
/// Agents that work at once.
const AGENTS: u64 = 3;

/// A script whose odd turns may not happen twice, and whose even ones may.
fn script(ledger: &Ledger, name: &str) -> String {
    let mut text = String::new();
    for turn in 0..TURNS {
        let url = format!("http://127.0.0.1:{}/{name}/{turn}", ledger.port);
        let call = match turn % 2 {
            0 => format!(r#"{{ tool = "http__fetch", arguments = {{ url = "{url}" }} }}"#),
            _ => format!(
                r#"{{ tool = "http__send", arguments = {{ method = "POST", url = "{url}" }} }}"#
            ),
        };
        text.push_str(&format!("[[turn]]\ndelay_ms = 5\ncall = [{call}]\n"));
    }
    text + "[[turn]]\nsay = \"all done\"\n"
}

/// Kills hosts until so many were killed while agents worked.
fn killed_at_random(kills: u64) {
    let (user, ledger, mut dice) = (User::new(), Ledger::open(), Dice::new());
    let allow = format!("GET http://127.0.0.1:{0}", ledger.port);
    let allow_post = format!("POST http://127.0.0.1:{0}", ledger.port);
    let http = plugin("http");
    let flags = ["--plugin", &http, "--allow-net", &allow, "--allow-net", &allow_post];
    let (mut killed, mut interrupted) = (0, 0);
    for round in 0.. {
        let mut host = serve(&user, &[]);
        let names: Vec<String> = (0..AGENTS).map(|n| format!("agent-{round}-{n}")).collect();
        let pids: Vec<String> =
            names.iter().map(|name| spawn(&user, name, &script(&ledger, name), &flags)).collect();
        let living = || json(&user.run(&["ps", "-o", "json"]).expect(0).stdout);
        while living() != serde_json::json!([]) {
            std::thread::sleep(Duration::from_millis(dice.below(120)));
            if killed < kills {
                kill(host);
                killed += 1;
                host = serve(&user, &[]);
            }
        }
        for (name, pid) in names.iter().zip(&pids) {
            interrupted += check(&user, &ledger, name, pid);
        }
        user.run(&["audit", "verify"]).expect(0);
        kill(host);
        if killed >= kills {
            break;
        }
    }
    eprintln!("{killed} kills, {interrupted} calls of which the agent was told `interrupted`");
}

/// Holds what an agent was told against what happened outside. Returns how many calls it was told
/// are in doubt.
fn check(user: &User, ledger: &Ledger, name: &str, pid: &str) -> u64 {
    let ran = user.run(&["replay", pid, "-o", "json"]).expect(0);
    let lines: Vec<_> = ran.stdout.lines().map(json).collect();
    assert_eq!(lines.last().expect("an end")["replay"], "ended", "{name}");
    let calls: Vec<_> = lines.iter().filter(|line| line["name"] == "toolbox.call-all").collect();
    assert_eq!(calls.len() as u64, TURNS, "{name}");
    let mut doubtful = 0;
    for (turn, call) in calls.iter().enumerate() {
        let answer = &call["answer"]["CalledAll"][0];
        let (method, once) = if turn % 2 == 0 { ("GET", false) } else { ("POST", true) };
        let count = ledger.count(&format!("{method} /{name}/{turn}"));
        assert!(!once || count <= 1, "{name}, turn {turn}: {count} times");
        match (answer.get("Ok"), answer["Err"].get("Interrupted")) {
            (Some(_), _) => assert!(count >= 1, "{name}, turn {turn}: told done, and was not"),
            (None, Some(_)) if once => doubtful += 1,
            _ => panic!("{name}, turn {turn}: {answer}"),
        }
    }
    doubtful
}

#[test]
fn no_effect_happens_twice_and_none_that_was_told_done_is_lost() {
    killed_at_random(25);
}

#[test]
#[ignore = "long: a thousand kills"]
fn no_effect_happens_twice_in_a_thousand_kills() {
    killed_at_random(1_000);
}

/// An agent's last answer of the model, as `replay` has it.
fn says(user: &User, pid: &str) -> Vec<String> {
    let ran = user.run(&["replay", pid, "-o", "json"]).expect(0);
    let steps = ran.stdout.lines().map(json).filter(|line| line["name"] == "model.step");
    steps.map(|step| step["answer"]["Completion"]["Ok"]["parts"].to_string()).collect()
}

#[test]
fn an_agent_goes_back_to_a_checkpoint_and_another_goes_on_from_it() {
    let user = User::new();
    let host = serve(&user, &[]);
    let script = "[[turn]]\nsay = \"one\"\n[[turn]]\ndelay_ms = 700\nsay = \"two\"\n\
                  [[turn]]\nsay = \"three\"\n[[turn]]\ndelay_ms = 3600000\nsay = \"four\"\n";
    let pid = rogue(&user, "traveller", "count 9", script);
    until(&user, &pid, |agent| agent["usage"]["model_calls"] == 1);
    let id = user.run(&["checkpoint", "create", &pid, "--label", "after one"]).expect(0);
    let id = id.stdout.trim().to_owned();
    until(&user, &pid, |agent| agent["usage"]["model_calls"] == 3);
    let listed = user.run(&["checkpoint", "list", &pid]).expect(0).stdout;
    assert!(listed.contains(&id) && listed.contains("after one"), "{listed}");
    let asked_three = says(&user, &pid);
    assert_eq!(asked_three.len(), 3);
    // Back: it has heard one reply, and hears the next two again. What was used stays used.
    user.run(&["checkpoint", "restore", &id]).expect(0);
    assert_eq!(says(&user, &pid), asked_three[..1]);
    let again =
        |agent: &serde_json::Value| agent["usage"]["model_calls"] == 5 && asks_its_model(agent);
    until(&user, &pid, again);
    assert_eq!(says(&user, &pid), asked_three);
    let forked = user.run(&["checkpoint", "fork", &id, "--name", "what-if"]).expect(0);
    let forked = forked.stdout.trim().to_owned();
    // A fork has used nothing of its own yet.
    let stands =
        |agent: &serde_json::Value| agent["usage"]["model_calls"] == 2 && asks_its_model(agent);
    until(&user, &forked, stands);
    assert_eq!(says(&user, &forked), asked_three);
    kill(host);
    // Both go on where they stood, under the next host too.
    let host = serve(&user, &[]);
    until(&user, &pid, again);
    until(&user, &forked, stands);
    assert_eq!(says(&user, &pid), asked_three);
    assert_eq!(says(&user, &forked), asked_three);
    user.run(&["audit", "verify"]).expect(0);
    for (id, word) in [("x", "no checkpoint"), ("1.99999", "list 1"), ("99.1", "no agent 99")] {
        let ran = user.run(&["checkpoint", "restore", id]);
        assert!(ran.code != 0 && ran.stderr.contains(word), "{ran:?}");
    }
    user.run(&["kill", &pid]).expect(0);
    let ran = user.run(&["checkpoint", "restore", &id]);
    assert!(ran.code == 2 && ran.stderr.contains("has ended"), "{ran:?}");
    // What has ended can still be gone on from.
    user.run(&["checkpoint", "fork", &id, "--name", "heir"]).expect(0);
    kill(host);
}
