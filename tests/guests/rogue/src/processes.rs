//! Children, mailboxes and waiting.

use crate::bindings::aos::agent::process::{
    self, Budget, Ending, Error, Event, SpawnOptions, kill, self_pid, send, spawn, wait,
};
use crate::{Outcome, number};

pub fn run(what: &str, arguments: &[&str]) -> Outcome {
    Some(match (what, arguments) {
        ("self", []) => Ok(self_pid().to_string()),
        ("spawn-forever", []) => Ok(spawn_forever()),
        ("spawn-deep", []) => spawn_deep(),
        ("spawn-program", [name]) => {
            let program = Some((*name).to_owned());
            child(SpawnOptions { program, ..options("echo here") })
        }
        ("spawn-grants", grants) => {
            child(SpawnOptions { grants: Some(owned(grants)), ..options("echo here") })
        }
        ("spawn-tools", tools) => {
            child(SpawnOptions { tools: Some(owned(tools)), ..options("echo here") })
        }
        ("spawn-priority", [priority]) => {
            let priority = Some(priority.parse().expect("a priority"));
            child(SpawnOptions { priority, ..options("echo here") })
        }
        ("spawn-tokens", [tokens]) => {
            let budget = Budget { tokens: Some(number(tokens)), ..nothing() };
            child(SpawnOptions { budget, ..options("count 3") })
        }
        ("orphan", []) => spawn(&options("sleep")).map(|pid| pid.to_string()).map_err(told),
        ("flood", [pid, count]) => Ok(flood(number(pid), number(count))),
        ("flood-self", [count]) => Ok(flood(self_pid(), number(count))),
        ("shout", [pid, count]) => Ok(shout(number(pid), number(count))),
        ("mail", [count]) => mail(number(count)),
        ("wait", pids) => {
            let pids: Vec<u64> = pids.iter().map(|pid| number(pid)).collect();
            Ok(format!("{:?}", wait(&pids, false, None)))
        }
        ("wait-self", []) => Ok(format!("{:?}", wait(&[self_pid()], false, None))),
        ("wait-nothing", []) => Ok(format!("{:?}", wait(&[], false, None))),
        ("sleep", []) => Ok(format!("{:?}", wait(&[], true, None))),
        ("sleep", [ms]) => Ok(format!("{:?}", wait(&[], false, Some(number(ms))))),
        ("wait-ring", []) => child(options(&format!("wait {}", self_pid()))),
        ("mail-ring", []) => {
            spawn(&options("sleep")).map(|_| format!("{:?}", wait(&[], true, None))).map_err(told)
        }
        ("kill", [pid]) => Ok(format!("{:?}", kill(number(pid)))),
        ("kill-self", []) => Ok(format!("{:?}", kill(self_pid()))),
        ("kill-parent", []) => child(options(&format!("kill {}", self_pid()))),
        _ => return None,
    })
}

fn nothing() -> Budget {
    Budget { tokens: None, calls: None, microdollars: None, wall_ms: None, memory_bytes: None }
}

/// A child of this program that holds all that this one holds.
fn options(task: &str) -> SpawnOptions {
    SpawnOptions {
        name: "child".to_owned(),
        program: None,
        task: task.to_owned(),
        priority: None,
        model: None,
        tools: None,
        grants: None,
        budget: nothing(),
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn told(error: Error) -> String {
    format!("{error:?}")
}

/// Starts a child and waits for its end.
fn child(options: SpawnOptions) -> Result<String, String> {
    let pid = spawn(&options).map_err(told)?;
    match wait(&[pid], false, None) {
        Ok(Some(Event::Exited(exit))) => Ok(format!("{:?}", exit.ending)),
        other => Err(format!("{other:?}")),
    }
}

fn spawn_forever() -> String {
    let mut children = 0_u64;
    loop {
        match spawn(&options("sleep")) {
            Ok(_) => children += 1,
            Err(error) => return format!("{children} children, then {error:?}"),
        }
    }
}

/// The depth below this one, and why it did not go deeper.
fn spawn_deep() -> Result<String, String> {
    let pid = match spawn(&options("spawn-deep")) {
        Ok(pid) => pid,
        Err(error) => return Ok(format!("0 below, then {error:?}")),
    };
    let text = match wait(&[pid], false, None) {
        Ok(Some(Event::Exited(process::Exit { ending: Ending::Returned(text), .. }))) => text,
        other => return Err(format!("{other:?}")),
    };
    let (depth, rest) = text.split_once(' ').ok_or("the child said nothing")?;
    Ok(format!("{} {rest}", number(depth) + 1))
}

fn flood(pid: u64, count: u64) -> String {
    for sent in 0..count {
        if let Err(error) = send(pid, "flood") {
            return format!("{sent} messages, then {error:?}");
        }
    }
    format!("{count} messages")
}

/// Goes on whatever it is told.
fn shout(pid: u64, count: u64) -> String {
    let taken = (0..count).filter(|_| send(pid, "shout").is_ok()).count();
    format!("{taken} of {count} messages")
}

fn mail(count: u64) -> Result<String, String> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        match wait(&[], true, None) {
            Ok(Some(Event::Message(message))) => bodies.push(message.body),
            other => return Err(format!("{other:?}")),
        }
    }
    Ok(bodies.join("\n"))
}
