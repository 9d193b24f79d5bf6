//! A provider on this machine that answers as it is told, and agents that ask it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aos_host::model::ModelOptions;
use aos_host::scheduler::Scope;
use aos_host::types::Ending;

use super::house::House;
use crate::support::{User, plugin};

/// A server of the chat format. Dropped, it answers no more.
pub struct Provider {
    address: String,
    asked: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
}

/// An answer with its head.
pub fn answer(status: &str, head: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("{head}content-length: {length}\r\nconnection: close\r\n");
    format!("HTTP/1.1 {status}\r\n{head}\r\n{body}")
}

/// A reply of one word.
pub fn word() -> String {
    let said = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"word"}}]}"#;
    let ended = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":9,"completion_tokens":1}}"#
        .replace('\n', "");
    let body = format!("data: {said}\n\ndata: {ended}\n\ndata: [DONE]\n\n");
    answer("200 OK", "content-type: text/event-stream\r\n", &body)
}

impl Provider {
    /// Answers the n-th request with the n-th text, and every later one with the last.
    pub fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let (asked, last) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()));
        let (count, seen) = (Arc::clone(&asked), Arc::clone(&last));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let number = count.fetch_add(1, Ordering::SeqCst);
                let text = answers.get(number).or(answers.last()).expect("an answer");
                // Whoever asked may have hung up.
                if let Ok(request) = serve(stream, text) {
                    *seen.lock().expect("no panic") = request;
                }
            }
        });
        Self { address, asked, last }
    }

    /// Its row for a table of providers, under the name `mine`.
    pub fn row(&self) -> String {
        format!(
            "[mine]\nwire = \"chat\"\nbase_url = \"{}\"\nwindow_tokens = 100000\n\
             output_tokens_max = 4096\nany_model = true\n",
            self.address
        )
    }

    /// Models that are it alone, one attempt a call.
    pub fn options(&self) -> ModelOptions {
        let providers = self.row().parse().expect("a table");
        ModelOptions { providers, attempts_max: 1, ..ModelOptions::default() }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn last(&self) -> String {
        self.last.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: TcpStream, answer: &str) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    stream.write_all(answer.as_bytes())?;
    Ok(head + &String::from_utf8_lossy(&body))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_and_an_overload_hold_a_call_and_end_no_agent() {
    for refusal in [
        answer("429 Too Many Requests", "retry-after: 1\r\n", "{}"),
        answer("529 Overloaded", "retry-after: 1\r\n", "{}"),
    ] {
        let provider = Provider::start(vec![refusal.clone(), word()]);
        let house = House::with_models(provider.options(), |_| {}).await;
        let mut spec = house.rogue("count 1");
        spec.model = Some("mine/tiny".into());
        let began = Instant::now();
        let pid = house.spawn(spec).await;
        let ending = house.ended(pid).await;
        assert!(matches!(&ending, Ending::Returned(text) if text.contains("word")), "{ending:?}");
        assert!(began.elapsed() >= Duration::from_secs(1), "it asked too early: {refusal}");
        assert_eq!(provider.asked(), 2, "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_longer_than_the_patience_is_told_at_once() {
    let refusal = answer("429 Too Many Requests", "retry-after: 60\r\n", "{}");
    let provider = Provider::start(vec![refusal]);
    let house = House::with_models(provider.options(), |options| {
        options.call_patience = Duration::from_secs(5);
    })
    .await;
    let mut spec = house.rogue("count 1");
    spec.model = Some("mine/tiny".into());
    let began = Instant::now();
    let pid = house.spawn(spec).await;
    let ending = house.ended(pid).await;
    assert!(ending.text().contains("rate-limited"), "{ending:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_asked_for_as_any_other_call_is() {
    let refusal = answer("429 Too Many Requests", "retry-after: 1\r\n", "{}");
    let found = r#"{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[3,4]}],
        "model":"tiny","usage":{"prompt_tokens":7,"total_tokens":7}}"#;
    let found = answer("200 OK", "content-type: application/json\r\n", found);
    let provider = Provider::start(vec![refusal, found]);
    let house = House::with_models(provider.options(), |_| {}).await;
    let run = async |task: &str| {
        let mut spec = house.rogue(task);
        spec.model = Some("mine/tiny".into());
        let pid = house.spawn(spec).await;
        house.ended(pid).await
    };
    // The provider that says "not now" is asked again, and what it counts is charged.
    let ending = run("embed 2 20").await;
    assert_eq!(ending, Ending::Returned("2 in mine/tiny@2".into()));
    assert_eq!(provider.asked(), 2);
    let agents = house.kernel.agents().expect("agents");
    let total = agents.usage(Scope::Host).expect("is").total;
    assert_eq!((total.tokens, total.calls), (7, 1));
    // Its size is bounded by the same limit, and nothing is sent.
    let ending = run("embed 2 100000").await;
    assert!(ending.text().contains("--request-tokens"), "{ending:?}");
    assert_eq!(provider.asked(), 2);
}

#[test]
fn the_configuration_adds_a_provider_a_model_and_a_price() {
    let provider = Provider::start(vec![word()]);
    let user = User::new();
    let row = provider.row().replace("[mine]", "[models.providers.mine]");
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let text = format!(
        "[cache]\nfolder = {:?}\n{row}[models.providers.mine.models.dear]\n\
         window_tokens = 50000\noutput_tokens_max = 1000\n\
         prices = [{{ input = 1000000.0, output = 2000000.0 }}]\n",
        cache.display().to_string()
    );
    std::fs::write(user.folder().join("aos.toml"), text).expect("writes");
    let program = plugin("assistant");
    let run = ["run", &program, "--store", "memory:", "--task", "say it"];
    let ran = user.run(&[&run[..], &["--model", "mine/dear", "-o", "json"]].concat()).expect(0);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(shown["model"], "mine/dear", "{shown}");
    // Nine tokens in at a dollar each, and one out at two.
    assert_eq!(shown["usage"]["cost_microdollars"], 11_000_000, "{shown}");
    assert!(provider.last().contains("say it"), "{}", provider.last());
    let wrong = "[models.providers.mine]\nwire = \"morse\"\n";
    std::fs::write(user.folder().join("aos.toml"), wrong).expect("writes");
    user.run(&run).complains(2, &["aos.toml", "models.providers.mine"]);
}
