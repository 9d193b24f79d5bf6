//! Secrets at the border: how fast bodies are looked through.
//!
//! `cargo bench --bench secrets`: the budget is 500 MB/s each, for bodies without and with a value.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aos_host::capability::secrets::outgoing::Outgoing;
use aos_host::capability::secrets::{SecretPattern, Secrets, placeholder};

const SEED: [u8; 32] = [1; 32];
const BODY_BYTES: usize = 16 << 20;
/// What hyper hands over at once, as it was seen.
const PIECE_BYTES: usize = 16 << 10;
const BUDGET_MB_PER_S: f64 = 500.0;
const ROUNDS: usize = 9;

fn secrets(count: usize) -> Secrets {
    let names: Vec<String> = (0..count).map(|at| format!("TOKEN_{at}")).collect();
    let patterns: Vec<SecretPattern> = names
        .iter()
        .map(|name| format!("{name}@https://api.example.org").parse().expect("a pattern"))
        .collect();
    let values: Vec<_> = names
        .iter()
        .map(|name| {
            let hash = blake3::hash(name.as_bytes()).to_hex();
            (name.clone(), format!("ghp_{}", &hash[..36]).into())
        })
        .collect();
    Secrets::new(&patterns, &values, &SEED).expect("secrets")
}

/// JSON as an API sends it, with `text` every 4 KiB.
fn body(text: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(BODY_BYTES);
    let mut at = 0u64;
    while body.len() < BODY_BYTES {
        at += 1;
        let hash = blake3::hash(&at.to_le_bytes()).to_hex();
        let line = format!(
            "{{\"id\":{at},\"sha\":\"{hash}\",\
             \"url\":\"https://api.example.org/items/{at}?page=2\",\
             \"title\":\"A line of text as people write it, with some words\"}},\n"
        );
        body.extend_from_slice(line.as_bytes());
        if at.is_multiple_of(20) {
            body.extend_from_slice(text.as_bytes());
        }
    }
    body
}

/// The median rate of some rounds.
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let megabytes = bytes as f64 / 1e6;
    megabytes / times[ROUNDS / 2].as_secs_f64()
}

fn scrubbed(secrets: &Secrets, body: &[u8]) -> f64 {
    let scrubber = secrets.scrubber().expect("one");
    rate(body.len(), || {
        let mut stream = scrubber.stream();
        for piece in body.chunks(PIECE_BYTES) {
            black_box(stream.next(piece));
        }
        black_box(stream.end());
    })
}

fn replaced(secrets: &Secrets, body: &[u8]) -> f64 {
    let uri: http::Uri = "https://api.example.org/".parse().expect("a URI");
    rate(body.len(), || {
        let (mut uri, mut fields, mut body) = (uri.clone(), http::HeaderMap::new(), body.to_vec());
        let mut outgoing =
            Outgoing { uri: &mut uri, fields: &mut fields, body: &mut body, trailers: None };
        let named = secrets.named_in(&outgoing);
        secrets.put_in(&mut outgoing, &named).expect("fits");
        black_box(&body);
    })
}

fn tell(what: &str, rate: f64) {
    let verdict = if rate >= BUDGET_MB_PER_S { "met" } else { "MISSED" };
    println!("{what:<52} {rate:>7.0} MB/s  budget {BUDGET_MB_PER_S} MB/s  {verdict}");
}

fn main() {
    for count in [1, 4, 16] {
        let secrets = secrets(count);
        let value = format!("ghp_{}", &blake3::hash(b"TOKEN_0").to_hex()[..36]);
        let held = placeholder(&SEED, "TOKEN_0");
        let of = |what: &str| format!("{what}, {count} secrets");
        tell(&of("response without a value"), scrubbed(&secrets, &body("")));
        tell(&of("response with values"), scrubbed(&secrets, &body(&value)));
        tell(&of("request without a placeholder"), replaced(&secrets, &body("")));
        tell(&of("request with placeholders"), replaced(&secrets, &body(&held)));
    }
}
