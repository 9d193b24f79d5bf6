//! How the program ends: its codes, failures as JSON, signals.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::hostile::guest_path;
use crate::support::{User, plugin};

/// Longer than any of these takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn exits_with(code: &str) -> String {
    format!(
        "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32))) \
         (memory (export \"memory\") 1) (func (export \"_start\") (call $exit (i32.const {code}))))"
    )
}

#[test]
fn a_commands_code_is_the_hosts() {
    let user = User::new();
    for (given, code) in [("0", 0), ("1", 1), ("7", 7), ("42", 42), ("255", 255), ("256", 0)] {
        fs::write(user.folder().join("exit.wat"), exits_with(given)).expect("writes");
        user.run(&["run", "exit.wat"]).expect(code);
        user.run(&["run", "exit.wat", "--", "x"]).expect(code);
    }
    let misbehave = guest_path("dist/misbehave.wasm").display().to_string();
    user.run(&["run", &misbehave, "--", "exit", "0"]).expect(0);
    user.run(&["run", &misbehave, "--", "exit", "1"]).expect(1);
}

#[test]
fn what_the_host_says_of_a_command_has_codes_of_its_own() {
    let user = User::new();
    let write = |name: &str, text: &str| fs::write(user.folder().join(name), text).expect("ok");
    write("exit.wat", &exits_with("0"));
    write("bad.wasm", "hello");
    write("own.toml", "[limit]\n");
    write(
        "crash.wat",
        "(module (memory (export \"memory\") 1) (func (export \"_start\") unreachable))",
    );
    write("file", "");
    let calculator = plugin("calculator");
    let wide = guest_path("loop.wat").display().to_string();
    for (arguments, code) in [
        (&["run", "exit.wat", "--store", "sqlite:file/j.db", "--", "x"][..], 122),
        (&["run", "bad.wasm", "--", "x"], 123),
        (&["run", &wide, "--timeout", "300ms", "--", "x"], 124),
        (&["run", "crash.wat", "--", "x"], 125),
        (&["run", "exit.wat", "--allow-read", "/no/such/folder", "--", "x"], 126),
        (&["run", "exit.wat", "--timeout", "0s", "--", "x"], 126),
        (&["run", "exit.wat", "--no-such-flag", "--", "x"], 126),
        (&["run", "exit.wat", "--tool", "x", "--", "x"], 126),
        (&["run", "exit.wat", "--config", "own.toml", "--", "x"], 126),
        (&["run", &calculator, "--", "x"], 126),
        (&["run", "missing.wasm", "--", "x"], 127),
        (&["run", "no-such-plugin", "--", "x"], 127),
        // What comes after `--` is the command's own.
        (&["run", "exit.wat", "--", "--no-such-flag", "-o", "json"], 0),
        // Without `--` nobody said that it is a command, until it is one.
        (&["run", "bad.wasm"], 5),
        (&["run", "missing.wasm"], 5),
        (&["run", "exit.wat", "--no-such-flag"], 2),
        (&["run", "crash.wat"], 125),
    ] {
        let ran = user.run(arguments).complains(code, &[]);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
    let help = user.run(&["--help"]).expect(0).stdout;
    for code in ["122", "123", "124", "125", "126", "127", "130", "143"] {
        assert!(help.contains(code), "no {code} in {help}");
    }
}

#[test]
fn a_failure_before_any_call_is_json_where_json_was_asked_for() {
    let user = User::new();
    fs::write(user.folder().join("bad.wasm"), "hello").expect("writes");
    let calculator = plugin("calculator");
    let failing = |arguments: &[&str], code: i32| -> Value {
        let ran = user.run(arguments).expect(code);
        assert_eq!(ran.stderr, "", "{arguments:?}");
        let text = &ran.stdout;
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    };
    let read = ["run", "files", "-t", "read_file", "-i", r#"{"path":"/x"}"#, "-o", "json"];
    let late = failing(&read, 3);
    let shape = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    for (arguments, code, kind, words) in [
        (&["run", "no-such-plugin", "-o", "json"][..], 5, "plugin", "no plugin"),
        (&["run", "bad.wasm", "--output", "json"], 5, "plugin", "not WebAssembly"),
        (&["run", &calculator, "--output=json", "--timout", "1s"], 2, "usage", "--timeout"),
        (&["run", &calculator, "-ojson", "--timeout", "1"], 2, "usage", "no time"),
        (&["run", &calculator, "-i", "{", "-o", "json"], 2, "usage", "--input is not JSON"),
        (&["run", &calculator, "-o", "json", "-a", "x"], 2, "usage", "key=value"),
        (&["inspect", "no-such-plugin", "-o", "json"], 5, "plugin", "no plugin"),
        (&["audit", "list", "-o", "json", "--store", "sqlite:no.db"], 2, "usage", "no journal"),
        (&["run", "-o", "json"], 2, "usage", "<PLUGIN>"),
    ] {
        let early = failing(arguments, code);
        assert_eq!(shape(&early), shape(&late), "{arguments:?}");
        assert_eq!(shape(&early["usage"]), shape(&late["usage"]));
        assert_eq!(early["ok"], false);
        assert_eq!(early["error"]["kind"], kind, "{early}");
        let message = early["error"]["message"].as_str().expect("a sentence");
        assert!(message.contains(words) && !message.contains('\n'), "{arguments:?}: {message}");
    }
    // One value, also where there is something to say of the bytes.
    let broken = user.run(&["inspect", &calculator, "-o", "json"]).expect(0);
    serde_json::from_str::<Value>(&broken.stdout).expect("one value");
    fs::write(user.folder().join("none.wat"), "(component)").expect("writes");
    assert!(failing(&["inspect", "none.wat", "-o", "json"], 5)["problem"].is_string());
}

#[test]
fn limits_of_zero_are_refused_and_empty_variables_are_none() {
    let user = User::new();
    let calculator = plugin("calculator");
    for flag in [
        "--timeout=0s",
        "--max-cpu=0ms",
        "--max-memory=0",
        "--max-output=0",
        "--max-stdio=0KiB",
        "--max-host-call=0",
        "--max-handles=0",
        "--max-open-files=0",
        "--max-random=0",
        "--max-http-fields=0",
        "--max-http-body=0",
    ] {
        let name = flag.split('=').next().expect("a flag");
        let ran = user.run(&["run", &calculator, flag]);
        ran.complains(2, &[&format!("{name} is 0; a limit must be more than 0")]);
    }
    let input = r#"{"expression":"6*7"}"#;
    let mut command = user.command();
    command.args(["run", "calculator", "-i", input]).env("AOS_STORE", "").env("AOS_CONFIG", "");
    let output = command.output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");
    let mut command = user.command();
    command.args(["run", "calculator", "-i", input]).env("AOS_STORE", "memory:");
    assert_eq!(command.output().expect("runs").status.code(), Some(0));
    let list = user.run(&["audit", "list", "-o", "json"]).expect(0).stdout;
    let runs: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "the second went to memory: {list}");
}

/// Starts a run, and waits until its chain is in the journal.
fn started(user: &User, arguments: &[&str]) -> Child {
    let mut command = user.command();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("starts");
    until("its chain is open", || {
        let ran = user.run(&["audit", "list", "-o", "json"]);
        ran.code == 0 && ran.stdout.contains("\"state\":\"open\"")
    });
    child
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, signal).expect("sent");
}

#[track_caller]
fn code_of(child: &mut Child) -> Option<i32> {
    let mut status = None;
    until("it ends", || {
        status = child.try_wait().expect("waits");
        status.is_some()
    });
    status.expect("it has ended").code()
}

fn newest_state(user: &User) -> String {
    let list = user.run(&["audit", "list", "-n", "1", "-o", "json"]).expect(0).stdout;
    let runs: Value = serde_json::from_str(&list).expect("JSON");
    runs[0]["state"].as_str().expect("a word").to_owned()
}

#[test]
fn a_signal_closes_the_chain_whatever_the_guest_does() {
    let endless = guest_path("loop.wat").display().to_string();
    let misbehave = guest_path("dist/misbehave.wasm").display().to_string();
    for (arguments, signal, code) in [
        (&["run", &misbehave, "--", "sleep"][..], Signal::INT, 130),
        (&["run", &misbehave, "--", "sleep"], Signal::TERM, 143),
        (&["run", &endless, "--timeout", "60s", "--", "x"], Signal::TERM, 143),
    ] {
        let user = User::new();
        let mut child = started(&user, arguments);
        send(&child, signal);
        assert_eq!(code_of(&mut child), Some(code), "{arguments:?}");
        let output = child.wait_with_output().expect("ended");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("interrupted by SIG"), "{said}");
        assert_eq!(newest_state(&user), "interrupted");
        user.run(&["audit", "verify"]).expect(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_leaves_at_once_and_one_alone_in_the_end() {
    use sqlx::ConnectOptions;
    let misbehave = guest_path("dist/misbehave.wasm").display().to_string();
    for second in [true, false] {
        let user = User::new();
        let store = user.folder().join("held.db");
        let url = format!("store = \"sqlite:{}\"\n", store.display());
        let path = user.folder().join("aos.toml");
        user.run(&["cache", "list"]).expect(0);
        let own = fs::read_to_string(&path).expect("reads");
        fs::write(&path, format!("{url}{own}")).expect("writes");
        let mut child = started(&user, &["run", &misbehave, "--", "sleep"]);
        // Nobody can write the journal, so its last row has to wait.
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&store);
        let mut holder = options.connect().await.expect("opens");
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder).await.expect("held");
        send(&child, Signal::INT);
        std::thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().expect("waits").is_none(), "it waits for the journal");
        if second {
            send(&child, Signal::TERM);
        }
        let began = Instant::now();
        let code = code_of(&mut child);
        assert_eq!(code, Some(if second { 143 } else { 130 }));
        assert!(!second || began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        drop(holder);
    }
}
