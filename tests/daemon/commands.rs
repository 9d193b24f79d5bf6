//! Every command's ordinary way.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::house::{NEVER, QUICK, asks_its_model, json, serve, spawn, try_spawn, until};
use crate::support::{User, plugin};

#[test]
fn an_agent_is_spawned_listed_waited_for_and_read_about() {
    let user = User::new();
    let mut host = serve(&user, &[]);
    let pid = spawn(&user, "worker", QUICK, &["--priority", "20"]);
    assert_eq!(user.run(&["wait", &pid]).expect(0).stdout, "done worker\n");
    // By its name too, as long as it is remembered.
    assert_eq!(user.run(&["wait", "worker"]).expect(0).stdout, "done worker\n");
    let ran = user.run(&["wait", &pid, "-o", "json"]).expect(0);
    let view = json(&ran.stdout);
    assert_eq!((&view["ending"]["how"], &view["priority"]), (&"returned".into(), &20.into()));
    assert!(view["usage"]["model_calls"].as_u64() == Some(1), "{view}");
    let ran = user.run(&["ps"]).expect(0);
    assert!(ran.stdout.contains("PID") && !ran.stdout.contains("worker"), "{ran:?}");
    let ran = user.run(&["ps", "-a"]).expect(0);
    assert!(ran.stdout.contains("worker") && ran.stdout.contains("returned"), "{ran:?}");
    let live = user.run(&["logs", "worker"]).expect(0).stdout;
    for word in ["opened", "accepted", "closed", "returned"] {
        assert!(live.contains(word), "no {word} in {live}");
    }
    // The same from the store, when nobody serves it.
    host.signal(rustix::process::Signal::TERM);
    host.ended();
    assert_eq!(user.run(&["logs", "worker"]).expect(0).stdout, live);
    assert_eq!(user.run(&["logs", &pid]).expect(0).stdout, live);
    let ran = user.run(&["logs", &pid, "-o", "json"]).expect(0);
    assert_eq!(ran.stdout.lines().map(json).count(), live.lines().count());
}

#[test]
fn ended_agents_are_listed_and_waited_for_without_a_host() {
    let user = User::new();
    let mut host = serve(&user, &[]);
    let long = "word ".repeat(1_000);
    let script = format!("[[turn]]\nsay = \"{long}\"\n");
    let pid = spawn(&user, "worker", &script, &["--priority", "20"]);
    let whole = user.run(&["wait", &pid]).expect(0).stdout;
    assert!(whole.len() >= long.trim().len(), "{}", whole.len());
    let killed = spawn(&user, "victim", NEVER, &[]);
    user.run(&["kill", &killed]).expect(0);
    user.run(&["wait", &killed]).expect(1);
    let listed = || json(&user.run(&["ps", "-a", "-o", "json"]).expect(0).stdout);
    let live = listed();
    host.signal(rustix::process::Signal::TERM);
    host.ended();
    let stored = listed();
    for (live, stored) in
        live.as_array().expect("agents").iter().zip(stored.as_array().expect("agents"))
    {
        for key in ["pid", "name", "program", "model", "priority", "standing", "chain", "task"] {
            assert_eq!(live[key], stored[key], "{key}");
        }
        assert_eq!(live["ending"]["how"], stored["ending"]["how"]);
        assert_eq!(live["usage"]["model_calls"], stored["usage"]["model_calls"]);
    }
    assert_eq!(stored.as_array().map(Vec::len), Some(2));
    assert_eq!(user.run(&["wait", &pid]).expect(0).stdout, whole);
    assert_eq!(user.run(&["wait", "worker"]).expect(0).stdout, whole);
    user.run(&["wait", &killed]).complains(1, &["was ended"]);
    user.run(&["wait", "77"]).complains(2, &["no host is running"]);
    user.run(&["ps"]).complains(2, &["no host is running"]);
}

#[test]
fn an_agent_is_paused_resumed_reniced_and_ended() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let pid = spawn(&user, "sleeper", NEVER, &[]);
    until(&user, &pid, asks_its_model);
    user.run(&["pause", "sleeper"]).expect(0);
    until(&user, &pid, |agent| agent["standing"] == "paused");
    user.run(&["wait", &pid, "--timeout", "100ms"]).complains(7, &["paused"]);
    user.run(&["resume", &pid]).expect(0);
    until(&user, &pid, asks_its_model);
    user.run(&["wait", &pid, "--timeout", "100ms"]).complains(4, &["waiting: model"]);
    user.run(&["renice", &pid, "5"]).expect(0);
    until(&user, &pid, |agent| agent["priority"] == 5);
    user.run(&["send", &pid, "a message"]).expect(0);
    user.run(&["kill", &pid, "--reason", "enough of it"]).expect(0);
    user.run(&["wait", &pid]).complains(1, &["was ended", "enough of it"]);
    let ran = user.run(&["logs", &pid]).expect(0);
    assert!(ran.stdout.contains("enough of it"), "{ran:?}");
}

#[test]
fn logs_follow_until_the_end() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let pid = spawn(&user, "sleeper", NEVER, &[]);
    let follower = user.command().args(["logs", "-f", &pid]).stdout(Stdio::piped()).spawn();
    let follower = follower.expect("starts");
    until(&user, &pid, asks_its_model);
    std::thread::sleep(Duration::from_millis(300));
    user.run(&["kill", &pid]).expect(0);
    let ended = follower.wait_with_output().expect("ends");
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(text.contains("opened") && text.contains("closed"), "{text}");
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn quotas_are_shown_set_and_lifted_and_what_they_open_goes_on() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let pid = spawn(&user, "poor", QUICK, &["--max-tokens", "10"]);
    let agent = until(&user, &pid, |agent| agent["standing"]["waiting"] == "quota");
    assert!(agent["reason"].to_string().contains("tokens"), "{agent}");
    user.run(&["wait", &pid, "--timeout", "100ms"]).complains(7, &["tokens"]);
    let scope = format!("tree:{pid}");
    let ran = user.run(&["quota", "show", &scope, "-o", "json"]).expect(0);
    assert_eq!(json(&ran.stdout)["limits"]["total_tokens"], 10);
    let ran = user.run(&["quota", "set", &scope, "--max-tokens", "100000"]).expect(0);
    assert!(ran.stdout.contains("100.0k"), "{ran:?}");
    assert_eq!(user.run(&["wait", &pid]).expect(0).stdout, "done poor\n");
    // The host: what was used, and a limit of money that goes as it came.
    let used = json(&user.run(&["quota", "show", "-o", "json"]).expect(0).stdout);
    assert_eq!(used["total"]["calls"], 1);
    user.run(&["quota", "set", "host", "--window-cost", "2.50"]).expect(0);
    let set = json(&user.run(&["quota", "show", "host", "-o", "json"]).expect(0).stdout);
    assert_eq!(set["limits"]["window_microdollars"], 2_500_000);
    user.run(&["quota", "set", "host", "--window-cost", "none"]).expect(0);
    let set = json(&user.run(&["quota", "show", "host", "-o", "json"]).expect(0).stdout);
    assert!(set["limits"]["window_microdollars"].is_null());
    user.run(&["quota", "set", "host", "--window-tokens", "500k"]).expect(0);
    let set = json(&user.run(&["quota", "show", "host", "-o", "json"]).expect(0).stdout);
    assert_eq!(set["limits"]["window_tokens"], 500_000);
}

#[test]
fn owners_have_quotas_of_their_own_before_they_have_agents() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let shown = || json(&user.run(&["quota", "show", "owner:5", "-o", "json"]).expect(0).stdout);
    assert_eq!(shown()["total"]["calls"], 0);
    let pid = spawn(&user, "worker", QUICK, &["--owner", "5"]);
    user.run(&["wait", &pid]).expect(0);
    assert_eq!(shown()["total"]["calls"], 1);
    let other = json(&user.run(&["quota", "show", "owner:6", "-o", "json"]).expect(0).stdout);
    assert_eq!(other["total"]["calls"], 0);
}

#[test]
fn what_agents_share_is_set_by_the_file_and_by_flags_over_it() {
    let user = User::new();
    let host = "[host]\nagents_max = 100\nmodel_slots = 3\n";
    std::fs::write(user.folder().join("aos.toml"), host).expect("writes");
    let _host = serve(&user, &["--agents-max", "1"]);
    let pid = spawn(&user, "first", NEVER, &[]);
    until(&user, &pid, asks_its_model);
    try_spawn(&user, "second", QUICK, &[]).complains(4, &["--agents-max"]);
    let ran = user.run(&["top"]).expect(0);
    assert!(ran.stdout.contains("1/3"), "{ran:?}");
}

#[test]
fn top_without_a_terminal_is_one_picture() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let pid = spawn(&user, "sleeper", NEVER, &[]);
    until(&user, &pid, asks_its_model);
    let ran = user.run(&["top"]).expect(0);
    for word in ["agents 1: 0 running, 0 ready, 1 waiting", "sleeper", "slots script", "1/64"] {
        assert!(ran.stdout.contains(word), "no {word:?} in {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn grants_and_paths_are_the_callers_wherever_the_host_stands() {
    let user = User::new();
    let elsewhere = User::new();
    // The host is started in another folder.
    let mut command = user.command();
    command.arg("serve").current_dir(elsewhere.folder()).stderr(Stdio::null());
    let mut child = command.spawn().expect("starts");
    let began = Instant::now();
    while user.run(&["ps"]).code != 0 {
        assert!(began.elapsed() < super::house::PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::create_dir(user.folder().join("data")).expect("made");
    std::fs::write(user.folder().join("data/a"), "what was written").expect("writes");
    let script = "[[turn]]\ncall = [{ tool = \"files__read_file\", arguments = \
                  { path = \"/w/a\" } }]\n[[turn]]\nsay = \"It says {{last_result}}\"\n";
    let files = plugin("files");
    let flags = ["--plugin", &files, "--allow-read", "./data:/w"];
    let pid = spawn(&user, "reader", script, &flags);
    let ran = user.run(&["wait", &pid]);
    let _killed = child.kill();
    let _reaped = child.wait();
    assert!(ran.expect(0).stdout.contains("what was written"));
}

#[test]
fn many_clients_at_once_are_all_served() {
    const CLIENTS: usize = 12;
    let user = User::new();
    let _host = serve(&user, &[]);
    // Loaded once, so that the crowd does not wait for a compile.
    spawn(&user, "first", QUICK, &[]);
    let mut pids: Vec<String> = std::thread::scope(|scope| {
        let user = &user;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn(move || {
                    let name = format!("n{number}");
                    let pid = spawn(user, &name, QUICK, &[]);
                    let answer = user.run(&["wait", &pid]).expect(0).stdout;
                    assert_eq!(answer, format!("done {name}\n"));
                    pid
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("served")).collect()
    });
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), CLIENTS);
}
