//! What an agent may do is the same after its host was killed: its secrets are found again, and
//! what its policy closes stays closed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use rustix::process::Signal;

use super::house::{serve, spawn};
use crate::support::User;

const VALUE: &str = "BSA-0123456789-abcdefgh";

/// A search engine that tells the heads of its requests.
fn engine() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (came, coming) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let body = format!(
                r#"{{"web":{{"results":[{{"title":"key {VALUE}","url":"https://x.org"}}]}}}}"#
            );
            let length = body.len();
            // The test may have ended.
            let _sent = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            let _told = came.send(String::from_utf8_lossy(&head).into_owned());
        }
    });
    (format!("http://{address}"), coming)
}

#[test]
fn secrets_and_closed_tools_outlive_the_host() {
    let user = User::new();
    let set = user.run_with_input(&["secret", "set", "BRAVE_API_KEY"], VALUE.as_bytes());
    assert_eq!(set.code, 0, "{}", set.stderr);
    let (base, came) = engine();
    let policy = user.folder().join("policy.toml");
    std::fs::write(&policy, "deny_tools = [\"calculator__*\"]\n").expect("writes");
    let script = "[[turn]]\ndelay_ms = 2000\n\
        call = [{ tool = \"calculator__calculate\", arguments = { expression = \"1\" } }]\n\
        [[turn]]\ncall = [{ tool = \"search__search\", arguments = { query = \"x\" } }]\n\
        [[turn]]\nsay = \"found {{last_result}}\"\n";
    let (secret, url) = (format!("BRAVE_API_KEY@{base}"), format!("SEARCH_URL={base}"));
    let policy = policy.display().to_string();
    let flags = [
        "--plugin",
        "search,calculator",
        "--secret",
        &secret,
        "--allow-env",
        &url,
        "--policy",
        &policy,
    ];
    let mut host = serve(&user, &[]);
    let pid = spawn(&user, "searcher", script, &flags);
    host.signal(Signal::KILL);
    host.ended();
    let _host = serve(&user, &[]);
    let said = user.run(&["wait", &pid]).expect(0).stdout;
    assert!(said.contains("found 1. key ***"), "{said}");
    let head = came.recv().expect("a request");
    assert!(head.contains(VALUE), "{head}");
    let denied = user.run(&["audit", "show", "searcher", "--denied"]).expect(0).stdout;
    assert!(denied.contains("calculator__calculate"), "{denied}");
    let all = user.run(&["audit", "export"]).expect(0).stdout;
    assert!(!all.contains(VALUE) && !said.contains(VALUE));
}
