//! From the first breath to the last: the lock, the socket, signals, a kill, another version.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::house::{NEVER, QUICK, SOON, asks_its_model, serve, socket, spawn, until};
use crate::support::User;

#[test]
fn a_store_has_one_host_and_a_second_is_told_which() {
    let user = User::new();
    let first = serve(&user, &[]);
    user.run(&["serve"]).complains(2, &["running for sqlite:", &format!("{}", first.pid())]);
    // Under another name of the store too.
    let store = format!("sqlite:{}/.local/../.local/state/aos-host/journal.db", "~");
    let store = store.replace('~', &user.folder().display().to_string());
    user.run(&["serve", "--store", &store]).complains(2, &["running for sqlite:"]);
    // And another store has its own.
    let _second = serve(&user, &["--store", "sqlite:other.db"]);
    user.run(&["ps"]).expect(0);
    user.run(&["ps", "--store", "sqlite:other.db"]).expect(0);
}

#[test]
fn the_socket_is_its_users_alone() {
    let user = User::new();
    let _host = serve(&user, &[]);
    let socket = socket(&user);
    let mode = |path: &std::path::Path| path.metadata().expect("is there").mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().expect("a folder")), 0o700);
}

#[test]
fn another_users_host_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: only root can be two users");
        return;
    }
    const NOBODY: u32 = 65_534;
    let user = User::new();
    // Made by the first command, and then nobody's.
    user.run(&["run", "calculator", "--store", "memory:", "--arg", "expression=1"]).expect(0);
    for path in [user.folder().to_owned(), user.folder().join("aos.toml")] {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("given away");
    }
    let mut command = user.command();
    command.arg("serve").uid(NOBODY).gid(NOBODY).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        eprintln!("not run: another user cannot run the program where it lies");
        return;
    };
    let began = Instant::now();
    let ran = loop {
        let ran = user.run(&["ps"]);
        if !ran.stderr.contains("no host is running") || began.elapsed() > super::house::PATIENCE {
            break ran;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let _killed = child.kill();
    let _reaped = child.wait();
    ran.complains(2, &["belongs to user 65534", "you are user 0"]);
}

#[test]
fn sigterm_lets_agents_end_closes_chains_and_removes_the_socket() {
    let user = User::new();
    let mut host = serve(&user, &["--drain", "30s"]);
    let pid = spawn(&user, "soon", SOON, &[]);
    until(&user, &pid, asks_its_model);
    let waiting = user.command().args(["wait", &pid]).stdout(Stdio::piped()).spawn();
    let waiting = waiting.expect("starts");
    std::thread::sleep(Duration::from_millis(200));
    host.signal(Signal::TERM);
    let status = host.ended();
    let answer = waiting.wait_with_output().expect("ends");
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "done soon\n");
    assert_eq!(status.code(), Some(0));
    assert!(!user.folder().join(".local/state/aos-host/run").read_dir().expect("there").any(
        |entry| entry.is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "sock"))
    ));
    let ran = user.run(&["audit", "verify"]).expect(0);
    assert!(ran.stdout.starts_with("ok: ") && !ran.stdout.contains("without an end"), "{ran:?}");
    let ran = user.run(&["audit", "list"]).expect(0);
    assert!(ran.stdout.contains("returned"), "{ran:?}");
}

#[test]
fn what_does_not_end_in_time_is_ended_and_written_down() {
    let user = User::new();
    let mut host = serve(&user, &["--drain", "300ms"]);
    let pid = spawn(&user, "never", NEVER, &[]);
    until(&user, &pid, asks_its_model);
    host.signal(Signal::INT);
    assert_eq!(host.ended().code(), Some(0));
    let ran = user.run(&["audit", "verify"]).expect(0);
    assert!(!ran.stdout.contains("without an end"), "{ran:?}");
    let ran = user.run(&["logs", "never"]).expect(0);
    assert!(ran.stdout.contains("the host closed") && ran.stdout.contains("killed"), "{ran:?}");
}

#[test]
fn a_host_that_closes_takes_no_agent_and_says_so() {
    let user = User::new();
    let mut host = serve(&user, &["--drain", "50s"]);
    let pid = spawn(&user, "never", NEVER, &[]);
    until(&user, &pid, asks_its_model);
    host.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    super::house::try_spawn(&user, "late", QUICK, &[]).complains(6, &["closing"]);
    // What lets it end sooner is done.
    user.run(&["ps"]).expect(0);
    user.run(&["kill", &pid]).expect(0);
    assert_eq!(host.ended().code(), Some(0));
}

#[test]
fn a_second_signal_leaves_at_once() {
    let user = User::new();
    let mut host = serve(&user, &["--drain", "1h"]);
    let pid = spawn(&user, "never", NEVER, &[]);
    until(&user, &pid, asks_its_model);
    host.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    host.signal(Signal::TERM);
    assert_eq!(host.ended().code(), Some(143));
    user.run(&["audit", "verify"]).expect(0);
}

#[test]
fn a_killed_host_leaves_a_store_that_verifies_and_a_socket_that_is_replaced() {
    let user = User::new();
    let mut host = serve(&user, &[]);
    let pid = spawn(&user, "never", NEVER, &[]);
    until(&user, &pid, asks_its_model);
    host.signal(Signal::KILL);
    assert_eq!(host.ended().signal(), Some(9));
    assert!(socket(&user).exists(), "nobody could remove it");
    user.run(&["ps"]).complains(2, &["no host is running", "aos-host serve"]);
    let ran = user.run(&["audit", "verify"]).expect(0);
    assert!(ran.stdout.starts_with("ok: "), "{ran:?}");
    user.run(&["logs", "never"]).expect(0);
    let _next = serve(&user, &[]);
    let pid = spawn(&user, "quick", QUICK, &[]);
    assert_eq!(user.run(&["wait", &pid]).expect(0).stdout, "done quick\n");
}

#[test]
fn a_host_that_dies_while_somebody_waits_is_told() {
    let user = User::new();
    let mut host = serve(&user, &[]);
    let pid = spawn(&user, "never", NEVER, &[]);
    let waiting = user.command().args(["wait", &pid]).stderr(Stdio::piped()).spawn();
    let waiting = waiting.expect("starts");
    std::thread::sleep(Duration::from_millis(500));
    host.signal(Signal::KILL);
    host.ended();
    let ended = waiting.wait_with_output().expect("ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(6), "{stderr}");
    assert!(stderr.contains("went away"), "{stderr}");
}

#[test]
fn a_host_of_another_version_is_told_with_both() {
    let user = User::new();
    let mut host = serve(&user, &[]);
    let socket = socket(&user);
    host.signal(Signal::TERM);
    host.ended();
    let listener = UnixListener::bind(&socket).expect("listens");
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut head = [0; 4096];
        let _read = stream.read(&mut head).expect("reads");
        let body = r#"{"protocol":99,"version":"7.7.7","pid":4242,"news":[]}"#;
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").expect("ok");
    });
    user.run(&["ps"]).complains(2, &["7.7.7", "4242", env!("CARGO_PKG_VERSION")]);
    other.join().expect("it was asked");
}

#[test]
fn what_is_no_host_at_the_socket_is_told() {
    let user = User::new();
    let mut host = serve(&user, &[]);
    let socket = socket(&user);
    host.signal(Signal::TERM);
    host.ended();
    let listener = UnixListener::bind(&socket).expect("listens");
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.write_all(b"220 mail.example.org ESMTP\r\n").expect("writes");
    });
    user.run(&["ps"]).complains(6, &["went away"]);
    other.join().expect("it was asked");
}
