//! A server of plugins and a registry in one, on a port of this machine.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};

pub struct Server {
    pub host: String,
}

struct Held {
    bytes: Vec<u8>,
    /// What must stand after `Basic`.
    auth: Option<&'static str>,
}

impl Server {
    pub fn start(bytes: Vec<u8>, auth: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let host = listener.local_addr().expect("an address").to_string();
        let held = Arc::new(Held { bytes, auth });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let held = Arc::clone(&held);
                // The client may hang up, which is its affair.
                std::thread::spawn(move || drop(serve(&held, stream)));
            }
        });
        Self { host }
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serve(held: &Held, stream: TcpStream) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut allowed = held.auth.is_none();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim();
            if header.is_empty() {
                break;
            }
            let lower = header.to_lowercase();
            if let (true, Some(auth)) = (lower.starts_with("authorization: basic"), held.auth) {
                allowed |= header.ends_with(auth);
            }
        }
        let path = line.split(' ').nth(1).unwrap_or("");
        if path == "/endless.wasm" {
            writer.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                writer.write_all(&[0; 1 << 20])?;
            }
        }
        let (status, kind, body) = match allowed {
            true => answer(held, path),
            false => ("401 Unauthorized", "text/plain", Vec::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{}\r\n",
            body.len(),
            if allowed { "" } else { "WWW-Authenticate: Basic realm=\"x\"\r\n" }
        );
        writer.write_all(head.as_bytes())?;
        if !line.starts_with("HEAD") {
            writer.write_all(&body)?;
        }
    }
}

fn answer(held: &Held, path: &str) -> (&'static str, &'static str, Vec<u8>) {
    let own = sha256(&held.bytes);
    let manifest = |digest: &str| {
        let config = json!({ "mediaType": "application/vnd.wasm.config.v0+json",
                             "digest": format!("sha256:{}", sha256(b"{}")), "size": 2 });
        let layer = json!({ "mediaType": "application/wasm", "size": held.bytes.len(),
                            "digest": format!("sha256:{digest}") });
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config, "layers": [layer] })
        .to_string()
        .into_bytes()
    };
    const KIND: &str = "application/vnd.oci.image.manifest.v1+json";
    match path {
        "/calc.wasm" => ("200 OK", "application/wasm", held.bytes.clone()),
        "/v2/" => ("200 OK", "application/json", b"{}".to_vec()),
        "/v2/team/tool/manifests/1" => ("200 OK", KIND, manifest(&own)),
        "/v2/team/lying/manifests/1" => ("200 OK", KIND, manifest(&"0".repeat(64))),
        path if path.contains("/blobs/sha256:") => {
            ("200 OK", "application/octet-stream", held.bytes.clone())
        }
        _ => ("404 Not Found", "application/json", b"{\"errors\":[]}".to_vec()),
    }
}
