//! What is wrong is told in one sentence, with what would be right.

use std::io::Write;
use std::os::unix::net::UnixStream;

use super::house::{NEVER, QUICK, serve, socket, spawn, try_spawn};
use crate::support::{User, plugin};

#[test]
fn without_a_host_every_command_says_how_to_start_one() {
    let user = User::new();
    let program = plugin("assistant");
    for command in [
        &["ps"][..],
        &["top"],
        &["wait", "1"],
        &["logs", "1"],
        &["logs", "-f", "nobody"],
        &["pause", "1"],
        &["resume", "1"],
        &["renice", "1", "5"],
        &["kill", "1"],
        &["send", "1", "x"],
        &["quota", "show"],
        &["quota", "set", "host", "--max-tokens", "5"],
        &["spawn", &program, "--task", "x"],
    ] {
        user.run(command).complains(2, &["no host is running", "`aos-host serve`"]);
    }
    // A look made nothing.
    assert!(!user.folder().join(".local/state/aos-host/journal.db").exists());
}

#[test]
fn agents_that_are_not_there_or_not_clear_are_told() {
    let user = User::new();
    let _host = serve(&user, &[]);
    user.run(&["wait", "1"]).complains(2, &["no agent 1", "spawn"]);
    let sleeper = spawn(&user, "sleeper", NEVER, &[]);
    let twins = [spawn(&user, "twin", NEVER, &[]), spawn(&user, "twin", NEVER, &[])];
    for verb in ["wait", "pause", "resume", "kill", "logs"] {
        user.run(&[verb, "77"]).complains(2, &["no agent 77", &format!("{sleeper} (sleeper)")]);
        user.run(&[verb, "sleepr"]).complains(2, &["did you mean `sleeper`"]);
        user.run(&[verb, "twin"]).complains(2, &["2 agents are called `twin`", &twins[0]]);
    }
    user.run(&["quota", "show", "agent:77"]).complains(2, &["no agent 77"]);
    user.run(&["kill", &sleeper]).expect(0);
    user.run(&["wait", &sleeper]).expect(1);
    for command in [&["pause", &sleeper][..], &["kill", &sleeper], &["send", &sleeper, "x"]] {
        user.run(command).complains(2, &["has ended"]);
    }
    user.run(&["renice", &sleeper, "3"]).complains(2, &["has ended"]);
}

#[test]
fn numbers_out_of_range_and_words_for_numbers_are_told() {
    let user = User::new();
    let _host = serve(&user, &[]);
    user.run(&["renice", "1", "101"]).complains(2, &["101", "0..=100"]);
    user.run(&["renice", "1", "soon"]).complains(2, &["soon"]);
    user.run(&["renice", "1", "-1"]).complains(2, &["-1"]);
    user.run(&["quota", "set", "host", "--max-tokens", "many"]).complains(2, &["many", "none"]);
    user.run(&["quota", "set", "host", "--max-cost", "x"]).complains(2, &["2.50"]);
    user.run(&["quota", "set", "host", "--max-tokens", "0"]).complains(2, &["more than 0"]);
    user.run(&["quota", "set", "host", "--max-time", "1m"]).complains(2, &["wall time"]);
    user.run(&["quota", "set", "host"]).complains(2, &["which limit"]);
    user.run(&["quota", "show", "planet"]).complains(2, &["no scope", "tree:PID"]);
    user.run(&["serve", "--drain", "soon"]).complains(2, &["30s"]);
    user.run(&["serve", "--model-slots", "0"]).complains(2, &["--model-slots is 0"]);
    user.run(&["serve", "--cpu-slice", "0s"]).complains(2, &["--cpu-slice is 0"]);
    user.run(&["wait", "1", "--timeout", "x"]).complains(2, &["30s"]);
}

#[test]
fn what_cannot_be_spawned_is_told() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let program = plugin("assistant");
    user.run(&["spawn", &program]).complains(2, &["--task"]);
    user.run(&["spawn", "asistant", "--task", "x"]).complains(5, &["no plugin `asistant`"]);
    user.run(&["spawn", "./none.wasm", "--task", "x"]).complains(5, &["none.wasm"]);
    let calculator = plugin("calculator");
    std::fs::write(user.folder().join("s.toml"), QUICK).expect("writes");
    let model = ["--task", "x", "--model", "script:s.toml"];
    user.run(&[&["spawn", &calculator], &model[..]].concat()).complains(2, &["no agent"]);
    let unknown = ["spawn", &program, "--task", "x", "--model", "nobody/none"];
    user.run(&unknown).complains(2, &["nobody"]);
    try_spawn(&user, "a", QUICK, &["--priority", "101"]).complains(2, &["101"]);
    try_spawn(&user, "b", QUICK, &["--allow", "read"]).complains(2, &["no grant"]);
    try_spawn(&user, "c", QUICK, &["--plugin", "nothing"]).complains(5, &["nothing"]);
}

#[test]
fn a_message_is_bounded() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let pid = spawn(&user, "sleeper", NEVER, &[]);
    for (bytes, says) in [((1 << 20) + 1, "1048576 bytes"), (9 << 20, "at most 8388608 bytes")] {
        std::fs::write(user.folder().join("big"), vec![b'x'; bytes]).expect("writes");
        user.run(&["send", &pid, "@big"]).complains(4, &[says]);
    }
    // An empty one is one.
    user.run(&["send", &pid, ""]).expect(0);
}

#[test]
fn nonsense_on_the_socket_harms_nobody() {
    let user = User::new();
    let _host = serve(&user, &[]);
    const CLOSE: &str = "connection: close\r\n\r\n";
    let say = |bytes: &[u8]| {
        use std::io::Read;
        let mut stream = UnixStream::connect(socket(&user)).expect("connects");
        stream.set_read_timeout(Some(super::house::PATIENCE)).expect("set");
        // It may hang up while it is spoken to.
        let _written = stream.write_all(bytes);
        let mut answer = String::new();
        let _read = stream.read_to_string(&mut answer);
        answer
    };
    let post = |path: &str, body: &str| {
        let length = body.len();
        say(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{CLOSE}{body}")
            .as_bytes())
    };
    assert!(
        say(b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .contains("no request GET")
    );
    assert!(
        say(b"DELETE /v1/agents HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .contains("no request DELETE")
    );
    assert!(post("/v1/agents", "{").contains("EOF"));
    assert!(post("/v1/agents", r#"{"spec":{"program":"x","oops":1}}"#).contains("oops"));
    assert!(post("/v1/agents/1/renice", r#"{"priority":1000}"#).contains("1000"));
    assert!(say(b"\x16\x03\x01\x02\x00\x01\x00").contains("400"));
    say(&[b'a'; 200_000]);
    // Who says nothing is not listened to for ever.
    say(b"");
    user.run(&["ps"]).expect(0);
}
