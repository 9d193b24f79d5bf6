//! Guests that reach for machines, and servers that are hostile to guests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aos_host::sandbox::limits::Limits;

use super::house::{Ending, command, house, limits, misbehave, options};

/// A server on this machine alone. It answers each connection by `answer` and counts them.
pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// No server here writes for longer than this, whatever the other side does.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

impl Server {
    pub fn start(answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"), answer)
    }

    /// One at this address.
    pub fn at(
        address: SocketAddr,
        answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                let Ok(mut stream) = stream else { return };
                let ready = stream
                    .set_write_timeout(Some(WRITE_TIMEOUT))
                    .and_then(|()| stream.set_read_timeout(Some(WRITE_TIMEOUT)));
                // A guest that hangs up is what some tests are about.
                let _answered = ready.and_then(|()| answer(&mut stream));
            }
        });
        Self { address, connections }
    }

    /// One that reads a request's head and answers these bytes.
    pub fn answering(answer: String) -> Self {
        Self::start(move |stream| {
            request(stream)?;
            stream.write_all(answer.as_bytes())
        })
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Reads until the end of a request's head.
pub fn request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    Ok(())
}

fn requests(limits: Limits, grant: &str, urls: &[&str]) -> Ending {
    let mut arguments = vec!["http"];
    arguments.extend(urls);
    let grants = [grant.to_owned()];
    house().once(misbehave(), &options(limits, &grants), &command(&arguments))
}

#[test]
fn a_granted_server_answers() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into());
    let url = format!("{}/", server.address);
    let ending = requests(limits(), &format!("net:GET http://{}", server.address), &[&url]);
    assert_eq!(ending.printed(), format!("{url}: 200  2 bytes\n"));
}

#[test]
fn a_redirect_to_a_metadata_address_is_handed_over_and_not_followed() {
    let metadata = "169.254.169.254/latest/meta-data/";
    let server = Server::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{metadata}\r\nContent-Length: 0\r\n\r\n"
    ));
    let url = format!("{}/", server.address);
    let grant = format!("net:http://{}", server.address);
    let ending = requests(limits(), &grant, &[&url, metadata]);
    let refused = format!("{metadata}: refused ErrorCode::HttpRequestDenied\n");
    let location = format!("{url}: 302 http://{metadata} 0 bytes\n");
    assert_eq!(ending.printed(), location + &refused);
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_redirect_to_itself_is_one_request() {
    let server = Server::answering(
        "HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n".into(),
    );
    let url = format!("{}/", server.address);
    let ending = requests(limits(), &format!("net:http://{}", server.address), &[&url]);
    assert_eq!(ending.printed(), format!("{url}: 301 /again 0 bytes\n"));
    assert_eq!(server.connections(), 1);
}

#[test]
fn every_notation_of_this_machine_is_refused_without_a_grant_that_names_it() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into());
    let port = server.address.port();
    let hosts = [
        "127.0.0.1",
        "127.0.0.2",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST.",
        "sub.localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2002:7f00:1::1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
    ];
    let urls: Vec<_> = hosts.iter().map(|host| format!("{host}:{port}/")).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    // All names and public addresses, at every port.
    let ending = requests(limits(), "net:http://*:*", &urls);
    let lines: Vec<_> = ending.printed().lines().collect();
    assert_eq!(lines.len(), hosts.len(), "{ending:?}");
    for line in lines {
        assert!(line.contains(": refused ") || line.contains(": no authority"), "{line}");
    }
    assert_eq!(server.connections(), 0);
    // The grant that names it is what would have helped.
    let grant = format!("net:http://{}", server.address);
    let url = format!("127.0.0.1:{port}/");
    assert!(requests(limits(), &grant, &[&url]).printed().contains(": 200 "));
}

#[test]
fn an_answer_that_never_ends_meets_the_limit_on_bodies() {
    let server = Server::start(|stream| {
        request(stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        // More than the limit, and then it ends by itself.
        for _ in 0..10_000 {
            stream.write_all(&[b'x'; 10_000])?;
        }
        Ok(())
    });
    let url = format!("{}/", server.address);
    let limits = Limits { http_body_bytes: 1_000_000, ..limits() };
    let ending = requests(limits, &format!("net:http://{}", server.address), &[&url]);
    let printed = ending.printed();
    // The whole sentence: nothing of the host's inside, no backtrace, comes with it.
    let said = ": 200  broken: HTTP response body size exceeds limit: 1000000 bytes\n";
    assert!(printed.ends_with(said), "{printed}");
}

#[test]
fn an_answer_that_drips_ends_by_the_time_of_the_call() {
    let server = Server::start(|stream| {
        request(stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        for _ in 0..200 {
            stream.write_all(b"x")?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    let url = format!("{}/", server.address);
    let limits = Limits { wall: Duration::from_millis(500), ..limits() };
    requests(limits, &format!("net:http://{}", server.address), &[&url]).by_limit("time");
}

#[test]
fn a_head_that_never_comes_ends_by_the_time_of_the_call() {
    let server = Server::start(|stream| {
        request(stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        for _ in 0..200 {
            stream.write_all(b"x: y\r\n")?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    let url = format!("{}/", server.address);
    let limits = Limits { wall: Duration::from_millis(500), ..limits() };
    requests(limits, &format!("net:http://{}", server.address), &[&url]).by_limit("time");
}

#[test]
fn a_head_that_is_too_large_is_a_typed_error() {
    let fields: String = (0..100_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
    let url = format!("{}/", server.address);
    let ending = requests(limits(), &format!("net:http://{}", server.address), &[&url]);
    assert!(ending.printed().contains("HttpResponseHeaderSectionSize"), "{ending:?}");
}

/// Answers `pong` to one connection after another.
pub fn ponging() -> Server {
    Server::start(|stream| {
        let mut ping = [0; 4];
        stream.read_exact(&mut ping)?;
        stream.write_all(b"pong")
    })
}

fn talk(address: SocketAddr, grants: &[String]) -> Ending {
    let arguments = ["tcp", &address.to_string()];
    house().once(misbehave(), &options(limits(), grants), &command(&arguments))
}

#[test]
fn tcp_reaches_what_is_granted_by_its_address_and_nothing_else() {
    let (server, other) = (ponging(), ponging());
    let grants = [format!("tcp:{}", server.address)];
    assert_eq!(talk(server.address, &grants).printed(), "pong\n");
    assert_eq!(talk(other.address, &grants).printed(), "refused: access-denied\n");
    assert_eq!(talk(server.address, &[]).printed(), "refused: access-denied\n");
    // Every name and every public address is not this machine.
    let everything = ["tcp:*:*".to_owned()];
    assert_eq!(talk(server.address, &everything).printed(), "refused: access-denied\n");
    assert_eq!((server.connections(), other.connections()), (1, 0));
}

#[test]
fn names_are_not_looked_up_without_a_grant() {
    let look_up = |name: &str, grants: &[String]| {
        let arguments = ["look-up", name];
        house().once(misbehave(), &options(limits(), grants), &command(&arguments))
    };
    let ending = look_up("secret.example.org", &[]);
    assert_eq!(ending.printed(), "refused: access-denied\n");
    let other = ["tcp:localhost:5432".to_owned()];
    assert_eq!(look_up("secret.example.org", &other).printed(), "refused: access-denied\n");
    assert_eq!(look_up("a b", &other).printed(), "refused: invalid-argument\n");
}
