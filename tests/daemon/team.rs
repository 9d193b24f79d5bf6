//! `run team.toml`: several agents in the foreground.

use std::process::Stdio;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::house::{NEVER, PATIENCE, QUICK, json};
use crate::support::{User, plugin};

/// A user with a file of agents, each with a name, a model's script and further lines.
fn team(host: &str, agents: &[(&str, &str, &str)]) -> User {
    let user = User::new();
    let program = plugin("assistant");
    let mut text = host.to_owned();
    for (name, script, more) in agents {
        let file = user.folder().join(format!("{name}.toml"));
        std::fs::write(file, script).expect("writes");
        text.push_str(&format!(
            "\n[[agent]]\nname = \"{name}\"\nprogram = {program:?}\ntask = \"the task\"\n\
             model = \"script:{name}.toml\"\n{more}\n"
        ));
    }
    std::fs::write(user.folder().join("team.toml"), text).expect("writes");
    user
}

#[test]
fn a_teams_answers_come_in_the_order_of_its_file() {
    let slow = "[[turn]]\ndelay_ms = 300\nsay = \"done {{agent}}\"\n";
    let user = team("", &[("slow", slow, "priority = 10"), ("fast", QUICK, "")]);
    let ran = user.run(&["run", "team.toml"]).expect(0);
    assert_eq!(ran.stdout, "## slow\ndone slow\n## fast\ndone fast\n");
    assert!(ran.stderr.contains("(slow) returned"), "{ran:?}");
    let views = json(&user.run(&["run", "./team.toml", "-o", "json"]).expect(0).stdout);
    assert_eq!((&views[0]["name"], &views[0]["priority"]), (&"slow".into(), &10.into()));
    assert_eq!(views[1]["ending"]["text"], "done fast");
    let ran = user.run(&["audit", "verify"]).expect(0);
    assert!(!ran.stdout.contains("without an end"), "{ran:?}");
}

#[test]
fn the_worst_ending_is_the_teams_and_the_others_answer() {
    let failing = "[[turn]]\nfault = \"401\"\nsay = \"x\"\n";
    let user = team("", &[("good", QUICK, ""), ("bad", failing, "")]);
    let ran = user.run(&["run", "team.toml"]).complains(1, &["bad failed"]);
    assert_eq!(ran.stdout, "## good\ndone good\n");
    let host = "[host]\npatience = \"300ms\"\n";
    let user = team(host, &[("poor", QUICK, "max_tokens = 10"), ("bad", failing, "")]);
    user.run(&["run", "team.toml"]).complains(7, &["poor is paused", "tokens", "bad failed"]);
    // A limit of all of them together.
    let host = "[host]\npatience = \"300ms\"\nmax_calls = 1\n";
    let user = team(host, &[("one", QUICK, ""), ("two", QUICK, "")]);
    user.run(&["run", "team.toml"]).complains(7, &["is paused", "the host", "calls"]);
}

#[test]
fn a_mistake_is_told_before_anything_runs() {
    let user = team("", &[("good", QUICK, ""), ("odd", QUICK, "priorty = 3")]);
    user.run(&["run", "team.toml"]).complains(2, &["team.toml: line", "priorty"]);
    let user = team("", &[("good", QUICK, ""), ("odd", QUICK, "plugins = [\"fils\"]")]);
    user.run(&["run", "team.toml"]).complains(5, &["agent `odd`", "did you mean `files`"]);
    let ran = user.run(&["audit", "verify"]).expect(0);
    assert!(ran.stdout.starts_with("ok: 0 rows"), "{ran:?}");
    user.run(&["run", "none.toml"]).complains(2, &["none.toml"]);
}

#[test]
fn a_signal_ends_a_team_in_order() {
    let user = team("", &[("never", NEVER, ""), ("quick", QUICK, "")]);
    let mut command = user.command();
    command.args(["run", "team.toml"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut stderr = std::io::BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut line).expect("reads");
    assert!(line.contains("(quick) returned"), "{line}");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("waits") {
            break status;
        }
        assert!(began.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(143));
    let ran = user.run(&["audit", "verify"]).expect(0);
    assert!(!ran.stdout.contains("without an end"), "{ran:?}");
}
