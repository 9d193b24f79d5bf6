//! A Docker of the tests' own: it answers what the host asks, and keeps what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Sent {
    pub line: String,
    pub body: Value,
}

/// What it does and what it was told.
#[derive(Default)]
struct State {
    sent: Mutex<Vec<Sent>>,
    started: Mutex<bool>,
    wake: Condvar,
    containers: Mutex<Value>,
}

#[derive(Clone)]
pub struct Fake {
    state: Arc<State>,
    pub address: String,
}

/// What every container prints.
pub const PRINTED: &str = "one\ntwo\n";

impl Fake {
    /// On a socket in a folder.
    pub fn on_socket(folder: &Path) -> Self {
        let path = folder.join("docker.sock");
        let listener = UnixListener::bind(&path).expect("binds");
        let fake = Self::new(format!("unix://{}", path.display()));
        let state = Arc::clone(&fake.state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, reader) = (Arc::clone(&state), stream.try_clone().expect("cloned"));
                std::thread::spawn(move || serve(&state, reader, stream));
            }
        });
        fake
    }

    /// On a port.
    pub fn on_tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let fake = Self::new(format!("tcp://{}", listener.local_addr().expect("an address")));
        let state = Arc::clone(&fake.state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, reader) = (Arc::clone(&state), stream.try_clone().expect("cloned"));
                std::thread::spawn(move || serve(&state, reader, stream));
            }
        });
        fake
    }

    fn new(address: String) -> Self {
        let state = State { containers: Mutex::new(json!([])), ..State::default() };
        Self { state: Arc::new(state), address }
    }

    /// The containers that it says are there.
    pub fn has(&self, containers: Value) {
        *self.state.containers.lock().expect("a lock") = containers;
    }

    /// The requests that begin so, without the version.
    pub fn sent(&self, beginning: &str) -> Vec<Sent> {
        let sent = self.state.sent.lock().expect("a lock");
        sent.iter().filter(|sent| sent.line.starts_with(beginning)).cloned().collect()
    }
}

fn serve(state: &State, reader: impl Read, mut writer: impl Write) {
    let mut reader = BufReader::new(reader);
    loop {
        let Some((line, body)) = request(&mut reader) else { return };
        let sent = Sent { line: line.clone(), body };
        state.sent.lock().expect("a lock").push(sent);
        if line.contains("/attach") {
            // The host may hang up early, which is its affair.
            let _attached = attach(state, &mut writer);
            return;
        }
        if line.contains("/start") {
            *state.started.lock().expect("a lock") = true;
            state.wake.notify_all();
        }
        let (status, answer) = answer(state, &line);
        let text = answer.map(|value| value.to_string()).unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        if writer.write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

/// The request line without the API's version, and the body.
fn request(reader: &mut impl BufRead) -> Option<(String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (method, rest) = line.split_once(' ')?;
    let path = rest.split(' ').next()?;
    let path = path.strip_prefix("/v1.41").unwrap_or(path);
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some((format!("{method} {path}"), body))
}

fn attach(state: &State, writer: &mut impl Write) -> std::io::Result<()> {
    writer.write_all(
        b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
          Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    )?;
    let mut started = state.started.lock().expect("a lock");
    while !*started {
        started = state.wake.wait(started).expect("a lock");
    }
    let length = u32::try_from(PRINTED.len()).expect("short");
    writer.write_all(&[1, 0, 0, 0])?;
    writer.write_all(&length.to_be_bytes())?;
    writer.write_all(PRINTED.as_bytes())
}

fn answer(state: &State, line: &str) -> (&'static str, Option<Value>) {
    let missing = || ("404 Not Found", Some(json!({ "message": "no such image" })));
    match line.split_once(' ').expect("a method") {
        ("GET", "/version") => ("200 OK", Some(json!({ "ApiVersion": "1.41", "Version": "0" }))),
        ("GET", path) if path.starts_with("/containers/json") => {
            ("200 OK", Some(state.containers.lock().expect("a lock").clone()))
        }
        ("GET", path) if path.starts_with("/images/") => missing(),
        ("POST", path) if path.starts_with("/containers/create") => {
            let sent = state.sent.lock().expect("a lock");
            let image = sent.last().expect("this one").body["Image"].to_string();
            match image.contains(&"0".repeat(64)) {
                true => missing(),
                false => ("201 Created", Some(json!({ "Id": "c", "Warnings": [] }))),
            }
        }
        ("POST", path) if path.ends_with("/wait") => ("200 OK", Some(json!({ "StatusCode": 0 }))),
        ("POST", path) if path.contains("/start") => ("204 No Content", None),
        ("DELETE", _) => ("204 No Content", None),
        (method, path) => panic!("the host asked {method} {path}"),
    }
}
