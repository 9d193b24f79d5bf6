//! A server outside of everything that is killed: it counts what was done to it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How often each `METHOD PATH` came.
#[derive(Clone)]
pub struct Ledger {
    pub port: u16,
    counts: Arc<Mutex<HashMap<String, u32>>>,
}

impl Ledger {
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let ledger = Self { port, counts: Arc::default() };
        let counts = Arc::clone(&ledger.counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&counts);
                // Whoever was killed in the middle has cut its connection.
                std::thread::spawn(move || serve(stream, &counts));
            }
        });
        ledger
    }

    pub fn count(&self, what: &str) -> u32 {
        self.counts.lock().expect("not poisoned").get(what).copied().unwrap_or(0)
    }
}

fn serve(stream: TcpStream, counts: &Mutex<HashMap<String, u32>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let what: Vec<&str> = line.split_whitespace().take(2).collect();
        let what = what.join(" ");
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if header.is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        // The effect: from here on it has happened, whatever becomes of the answer.
        *counts.lock().expect("not poisoned").entry(what).or_insert(0) += 1;
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-type: text/plain\r\n\r\ndone";
        (&stream).write_all(answer).ok()?;
    }
}
