//! A user with a running host and scripted agents.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Ran, User, plugin};

/// Longer than any honest step takes on a busy machine; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A model that answers at once.
pub const QUICK: &str = "[[turn]]\nsay = \"done {{agent}}\"\nrepeat = 1000\n";
/// A model that answers after a second.
pub const SOON: &str = "[[turn]]\ndelay_ms = 1000\nsay = \"done {{agent}}\"\n";
/// A model that answers when everything is over.
pub const NEVER: &str = "[[turn]]\ndelay_ms = 3600000\nsay = \"too late\"\n";

/// A host that runs; dropped, it is killed.
pub struct Host {
    child: Child,
    /// Kept open: a host that cannot write to it would not mind, but a test may read it.
    /// Kept open: a host that cannot say anything is another test.
    _stderr: BufReader<ChildStderr>,
}

/// Starts a host, and waits until it serves.
pub fn serve(user: &User, more: &[&str]) -> Host {
    let mut child = user
        .command()
        .arg("serve")
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("reads");
    assert!(line.contains("serves sqlite:"), "{line}");
    Host { child, _stderr: stderr }
}

impl Host {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// Its end, which must come.
    pub fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the host does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Where the host of the user's store listens.
pub fn socket(user: &User) -> PathBuf {
    let folder = user.folder().join(".local/state/aos-host/run");
    let found = std::fs::read_dir(&folder).expect("the folder of sockets");
    let mut sockets = found.map(|entry| entry.expect("an entry").path());
    sockets.find(|path| path.extension().is_some_and(|end| end == "sock")).expect("a socket")
}

/// Starts an agent with a scripted model, and gives its pid.
pub fn spawn(user: &User, name: &str, script: &str, more: &[&str]) -> String {
    let ran = try_spawn(user, name, script, more).expect(0);
    let pid = ran.stdout.trim().to_owned();
    assert!(pid.parse::<u64>().is_ok(), "{ran:?}");
    pid
}

pub fn try_spawn(user: &User, name: &str, script: &str, more: &[&str]) -> Ran {
    let file = user.folder().join(format!("{name}.toml"));
    std::fs::write(&file, script).expect("writes");
    // Relative, as people write it: the host stands elsewhere.
    let model = format!("script:{name}.toml");
    let program = plugin("assistant");
    let mut arguments = vec!["spawn", &program, "--name", name, "--model", &model];
    arguments.extend(["--task", "the task"]);
    arguments.extend(more);
    user.run(&arguments)
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// The agent as `ps` has it, once it is as wanted.
pub fn until(user: &User, pid: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let agents = json(&user.run(&["ps", "-a", "-o", "json"]).expect(0).stdout);
        let agents = agents.as_array().expect("an array").clone();
        let agent = agents.into_iter().find(|agent| agent["pid"].as_u64() == pid.parse().ok());
        if let Some(agent) = agent.clone().filter(&wanted) {
            return agent;
        }
        assert!(began.elapsed() < PATIENCE, "never as wanted: {agent:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The agent waits for its model.
pub fn asks_its_model(agent: &Value) -> bool {
    agent["standing"]["waiting"] == "model"
}
