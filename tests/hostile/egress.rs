//! The network as a user sees it: the real program, its `http` plugin, its journal and its exit
//! codes.

use std::io::Write;
use std::net::UdpSocket;
use std::time::Duration;

use serde_json::json;

use super::house::guest_path;
use super::network::{Server, request};
use super::verdicts::{rows_about, whole_rows};
use crate::support::{Ran, User};

fn guest(user: &User, flags: &[&str], words: &[&str]) -> Ran {
    let guest = guest_path("dist/misbehave.wasm").display().to_string();
    user.run(&[&["run", &guest], flags, &["--"], words].concat())
}

/// One that answers each datagram with `pong`, and tells how many came.
fn ponging() -> (String, std::sync::mpsc::Receiver<usize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound").to_string();
    let (came, coming) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut datagram = [0; 64];
        while let Ok((length, peer)) = socket.recv_from(&mut datagram) {
            // The test may have ended.
            let (_sent, _told) = (socket.send_to(b"pong", peer), came.send(length));
        }
    });
    (address, coming)
}

#[test]
fn datagrams_go_where_they_are_granted_and_are_counted() {
    let user = User::new();
    let (address, came) = ponging();
    let ran = guest(&user, &["--allow-udp", &address], &["udp", &address]).expect(0);
    assert_eq!(ran.stdout, "pong\n");
    assert_eq!(came.recv_timeout(Duration::from_secs(10)), Ok(4));
    let verdict = format!("verdict allowed udp {address}");
    assert_eq!(rows_about(&user, &["udp"]), [verdict, format!("outcome udp udp {address}")]);
    let rows = whole_rows(&user, &["udp"]);
    // Two were sent, and one or both answers were taken.
    let count = rows[1]["body"]["count"].as_u64().expect("a number");
    assert!((3..=4).contains(&count), "{count}");
    assert_eq!(rows[1]["body"]["targets"], json!([address]));
}

#[test]
fn a_datagram_to_where_no_grant_reaches_is_not_sent() {
    let user = User::new();
    let (address, came) = ponging();
    let elsewhere = ponging().0;
    for flags in [&[][..], &["--allow-udp", &elsewhere], &["--allow-udp", "*:*"]] {
        let ran = guest(&user, flags, &["udp", &address]).expect(0);
        assert_eq!(ran.stdout, "refused: access-denied\n");
        assert_eq!(rows_about(&user, &["udp"]), [format!("verdict denied udp {address}")]);
    }
    assert!(came.try_recv().is_err(), "a datagram came");
}

/// One that takes a request and never answers.
fn silent() -> Server {
    Server::start(|stream| {
        request(stream)?;
        std::thread::sleep(Duration::from_secs(5));
        Ok(())
    })
}

/// The outcome of the one request that the last run made.
#[track_caller]
fn outcome_of_the_request(user: &User, address: std::net::SocketAddr) -> serde_json::Value {
    let target = format!("GET http://{address}");
    let wanted = [format!("verdict allowed net {target}"), format!("outcome net {target}")];
    assert_eq!(rows_about(user, &["net"]), wanted);
    whole_rows(user, &["net"]).remove(1)["body"].take()
}

#[test]
fn a_request_that_the_guest_lets_go_of_has_an_outcome() {
    let (user, server) = (User::new(), silent());
    let allow = format!("http://{}", server.address);
    let words = ["http-drop", &format!("{}/", server.address)];
    guest(&user, &["--allow-net", &allow], &words).expect(0);
    assert_eq!(server.connections(), 1);
    assert_eq!(outcome_of_the_request(&user, server.address), json!({ "interrupted": true }));
}

#[test]
fn a_request_that_the_time_of_the_call_cuts_has_an_outcome() {
    let (user, server) = (User::new(), silent());
    let allow = format!("http://{}", server.address);
    let flags = ["--allow-net", &allow, "--timeout", "1s"];
    let words = ["http", &format!("{}/", server.address)];
    guest(&user, &flags, &words).complains(124, &["limit time of 1000 ms"]);
    assert_eq!(outcome_of_the_request(&user, server.address), json!({ "interrupted": true }));
    user.run(&["audit", "verify"]).expect(0);
}

/// Calls a tool of the `http` plugin, granted the server alone.
fn http(server: &Server, tool: &str, input: serde_json::Value, flags: &[&str]) -> Ran {
    let allow = format!("http://{}", server.address);
    let input = input.to_string();
    let call = ["run", "http", "-t", tool, "-i", &input, "--allow-net", &allow];
    User::new().run(&[&call[..], flags].concat())
}

fn url(server: &Server) -> String {
    format!("http://{}/", server.address)
}

#[test]
fn a_response_body_over_its_limit_ends_the_call_by_that_limit() {
    let body = "x".repeat(5_000);
    let server =
        Server::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{body}"));
    let input = json!({ "url": url(&server) });
    http(&server, "fetch", input.clone(), &["--max-http-body", "1000"])
        .complains(4, &["limit http-body of 1000 bytes reached; --max-http-body raises it"]);
    http(&server, "fetch", input, &["--max-http-body", "5000"]).expect(0);
}

#[test]
fn a_request_body_over_its_limit_ends_the_call_by_that_limit() {
    let server = Server::start(|stream| {
        request(stream)?;
        std::io::copy(&mut std::io::Read::take(&mut *stream, 2_000), &mut std::io::sink())?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let input = json!({ "url": url(&server), "method": "PUT", "body": "x".repeat(2_000) });
    http(&server, "send", input.clone(), &["--max-http-body", "1999"])
        .complains(4, &["limit http-body of 1999 bytes reached; --max-http-body raises it"]);
    http(&server, "send", input, &["--max-http-body", "2000"]).expect(0);
}

#[test]
fn response_fields_over_their_limit_end_the_call_by_that_limit() {
    let fields: String = (0..1000).map(|n| format!("x-{n}: {}\r\n", "y".repeat(100))).collect();
    let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"));
    let input = json!({ "url": url(&server) });
    http(&server, "fetch", input.clone(), &["--max-http-fields", "64KiB"])
        .complains(4, &["limit http-fields of 65536 bytes reached; --max-http-fields raises it"]);
    http(&server, "fetch", input, &["--max-http-fields", "1MiB"]).expect(0);
}

#[test]
fn request_fields_and_addresses_over_their_limit_end_the_call_by_that_limit() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into());
    let long = "x".repeat(3_000);
    let limit = "limit http-fields of 2048 bytes reached; --max-http-fields raises it";
    for input in [
        json!({ "url": url(&server), "headers": { "x-long": long } }),
        json!({ "url": format!("{}{long}", url(&server)) }),
    ] {
        http(&server, "fetch", input.clone(), &["--max-http-fields", "2KiB"])
            .complains(4, &[limit]);
        http(&server, "fetch", input, &[]).expect(0);
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_call_that_met_a_limit_and_ended_well_is_not_blamed() {
    let body = "x".repeat(5_000);
    let server =
        Server::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{body}"));
    let allow = format!("http://{}", server.address);
    let flags = ["--allow-net", &allow, "--max-http-body", "1000"];
    let words = ["http", &format!("{}/", server.address)];
    let ran = guest(&User::new(), &flags, &words).expect(0);
    assert!(ran.stdout.contains("broken: HTTP response body size exceeds limit"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_call_has_no_more_rows_than_its_limit() {
    let user = User::new();
    std::fs::create_dir(user.folder().join("w")).expect("made");
    let flags = ["--allow-write", "w:/w", "--max-rows", "20"];
    guest(&user, &flags, &["append", "/w", "log", "200"])
        .complains(124, &["limit rows of 20 journal rows reached; --max-rows raises it"]);
    assert_eq!(rows_about(&user, &["write"]).len(), 20);
    let written = std::fs::read(user.folder().join("w/log")).expect("read");
    // Opening it took two of them.
    assert_eq!(written, [b'x'; 9]);
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into());
    // A request cannot end the call by itself, so its failure is told as what it is.
    http(&server, "fetch", json!({ "url": url(&server) }), &["--max-rows", "1"])
        .complains(4, &["limit rows of 1 journal rows reached; --max-rows raises it"]);
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_redirect_of_the_plugin_to_a_metadata_address_is_denied() {
    for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe"] {
        let location = format!("http://{host}/latest/meta-data/");
        let server = Server::answering(format!(
            "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        ));
        // All names and public addresses too, which it is none of.
        let everything = ["--allow-net", "http://*:*"];
        http(&server, "fetch", json!({ "url": url(&server) }), &everything)
            .complains(3, &["denied: net", "169.254.169.254"]);
        assert_eq!(server.connections(), 1);
    }
}

#[test]
fn no_notation_of_this_machine_gets_through_the_plugin() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into());
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "0",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::127.0.0.1]",
    ] {
        let input = json!({ "url": format!("http://{host}:{port}/") }).to_string();
        let call = ["run", "http", "-t", "fetch", "-i", &input, "--allow-net", "http://*:*"];
        let user = User::new();
        user.run(&call).complains(3, &["denied: net"]);
        let rows = rows_about(&user, &["net"]);
        assert!(rows.iter().any(|row| row.starts_with("verdict denied net ")), "{host}: {rows:?}");
    }
    assert_eq!(server.connections(), 0);
    http(&server, "fetch", json!({ "url": url(&server) }), &[]).expect(0);
}
