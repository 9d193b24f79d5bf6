//! Components by the toolchains of other languages, run as they are: what they compute is right,
//! and what they reach for is denied or given like anybody's.
//!
//! They are too large to be committed: `tests/run.sh --long` builds them and says where they are.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::json;

use crate::support::{Ran, User};

/// Where `tests/guests/languages/build.sh` has left them.
fn component(language: &str) -> String {
    let folder = std::env::var_os("AOS_TEST_LANGUAGES").expect("AOS_TEST_LANGUAGES");
    PathBuf::from(folder).join(format!("{language}.wasm")).display().to_string()
}

fn call(user: &User, language: &str, function: &str, argument: &str, flags: &[&str]) -> Ran {
    let (tool, parameter) = match function {
        "slug" => ("demo:languages/text.slug", "text"),
        _ => ("demo:languages/text.reach", "what"),
    };
    let input = json!({ parameter: argument }).to_string();
    let arguments = ["run", &component(language), "-t", tool, "-i", &input];
    user.run(&[&arguments[..], flags].concat())
}

/// A machine on the network that says `inside`, after a head for those who speak HTTP.
fn server(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            if !head.is_empty() {
                // A request that nobody read would be answered by a reset.
                let _request = stream.read(&mut [0; 4096]);
            }
            // Who hangs up has had enough.
            let _said = write!(stream, "{head}inside");
        }
    });
    address
}

#[test]
#[ignore = "needs componentize-py and componentize-js: tests/run.sh --long"]
fn a_component_of_each_language_answers() {
    let user = User::new();
    for language in ["python", "javascript"] {
        let ran = call(&user, language, "slug", "Hello, Wide World", &[]).expect(0);
        assert_eq!(ran.stdout, "hello-wide-world\n", "{language}");
    }
}

#[test]
#[ignore = "needs componentize-py and componentize-js: tests/run.sh --long"]
fn python_reads_what_is_granted_and_nothing_else() {
    let user = User::new();
    std::fs::create_dir(user.folder().join("d")).expect("made");
    std::fs::write(user.folder().join("d/file"), "inside").expect("written");
    let granted = call(&user, "python", "reach", "/d/file", &["--allow-read", "d:/d"]).expect(0);
    assert_eq!(granted.stdout, "inside\n");
    call(&user, "python", "reach", "/d/file", &[])
        .complains(3, &["PermissionError", "denied: read /d/file"]);
    call(&user, "python", "reach", "/d/../etc/passwd", &["--allow-read", "d:/d"])
        .complains(1, &["PermissionError"]);
}

#[test]
#[ignore = "needs componentize-py and componentize-js: tests/run.sh --long"]
fn python_connects_to_what_is_granted_and_nothing_else() {
    let (user, address) = (User::new(), server(""));
    let granted = call(&user, "python", "reach", &address, &["--allow-tcp", &address]).expect(0);
    assert_eq!(granted.stdout, "inside\n");
    call(&user, "python", "reach", &address, &[]).complains(3, &["denied: tcp"]);
    call(&user, "python", "reach", &address, &["--allow-tcp", "*:*"])
        .complains(3, &["denied: tcp"]);
}

#[test]
#[ignore = "needs componentize-py and componentize-js: tests/run.sh --long"]
fn javascript_fetches_what_is_granted_and_nothing_else() {
    let user = User::new();
    let address = server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    let url = format!("http://{address}/");
    let origin = format!("http://{address}");
    let granted = call(&user, "javascript", "reach", &url, &["--allow-net", &origin]).expect(0);
    assert_eq!(granted.stdout, "inside\n");
    call(&user, "javascript", "reach", &url, &[]).complains(3, &["denied: net GET http://127"]);
    call(&user, "javascript", "reach", &url, &["--allow-net", "http://*:*"])
        .complains(3, &["denied: net"]);
}
