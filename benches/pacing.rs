//! How much of a provider's rate limit is used, and how often it is overstepped, in real time:
//! 512 agents that always want more, requests of 10,000 tokens, a local server that enforces
//! 1.5 million tokens a minute (a bucket that refills continuously, with a burst of 10 s), answers
//! after 2 to 20 s, and says what remains in the headers of both families.
//!
//! `cargo bench --bench pacing`; AOS_BENCH_SECONDS sets the length of each run (60). The same with
//! a virtual clock, over more worlds, is in `host/src/model/pacing/tests.rs`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aos_host::model::{
    Admission, Endpoint, Environment, Message, ModelOptions, Models, Request, Role,
};
use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const AGENTS: usize = 512;
const TOKENS: f64 = 10_000.0;
const LIMIT_PER_MINUTE: f64 = 1.5e6;
const RATE: f64 = LIMIT_PER_MINUTE / 60.0;
const BURST: f64 = RATE * 10.0;
const LATENCY_S: std::ops::Range<f64> = 2.0..20.0;
/// The limit's use is also given without its start, when the full bucket is spent.
const START_S: f64 = 20.0;
const SHARE_MIN: f64 = 0.95;
const LIMITED_MAX: f64 = 0.001;

const MESSAGE: &str = concat!(
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"x\",",
    "\"usage\":{\"input_tokens\":10000,\"output_tokens\":1}}}\n\n",
    "data: {\"type\":\"content_block_start\",\"index\":0,",
    "\"content_block\":{\"type\":\"text\",\"text\":\"x\"}}\n\n",
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
    "data: {\"type\":\"message_stop\"}\n\n",
);
const CHUNKS: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10000,\"completion_tokens\":1}}\n\n",
    "data: [DONE]\n\n",
);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    Anthropic,
    OpenAi,
}

#[derive(Debug)]
struct Provider {
    family: Family,
    level: f64,
    at: Instant,
    begun: Instant,
    used: f64,
    used_late: f64,
    answered: u64,
    limited: u64,
}

impl Provider {
    fn new(family: Family) -> Self {
        let now = Instant::now();
        let (used, used_late, answered, limited) = (0.0, 0.0, 0, 0);
        Self { family, level: BURST, at: now, begun: now, used, used_late, answered, limited }
    }

    fn refill(&mut self) {
        let now = Instant::now();
        self.level = (self.level + RATE * (now - self.at).as_secs_f64()).min(BURST);
        self.at = now;
    }

    fn takes(&mut self) -> bool {
        self.refill();
        if self.level < TOKENS {
            self.limited += 1;
            return false;
        }
        self.level -= TOKENS;
        self.used += TOKENS;
        if self.begun.elapsed().as_secs_f64() > START_S {
            self.used_late += TOKENS;
        }
        true
    }

    fn headers(&mut self) -> String {
        self.refill();
        let full = Duration::from_secs_f64((BURST - self.level) / RATE);
        match self.family {
            Family::Anthropic => {
                let reset = std::time::SystemTime::now() + full;
                let reset = humantime::format_rfc3339_seconds(reset);
                let remaining = (self.level / 1000.0).round() * 1000.0;
                format!(
                    "anthropic-ratelimit-input-tokens-limit: {LIMIT_PER_MINUTE}\r\n\
                     anthropic-ratelimit-input-tokens-remaining: {remaining}\r\n\
                     anthropic-ratelimit-input-tokens-reset: {reset}\r\n"
                )
            }
            Family::OpenAi => format!(
                "x-ratelimit-limit-tokens: {LIMIT_PER_MINUTE}\r\n\
                 x-ratelimit-remaining-tokens: {}\r\n\
                 x-ratelimit-reset-tokens: {}ms\r\n",
                self.level.floor(),
                full.as_millis()
            ),
        }
    }
}

async fn serve(mut stream: TcpStream, provider: Arc<Mutex<Provider>>) {
    let mut bytes = vec![0; 128 << 10];
    let mut filled = 0;
    loop {
        let head = loop {
            match stream.read(&mut bytes[filled..]).await {
                Ok(read) if read > 0 => filled += read,
                _ => return,
            }
            let end = bytes[..filled].windows(4).position(|window| window == b"\r\n\r\n");
            let Some(end) = end else { continue };
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if filled >= end + 4 + length {
                break end + 4 + length;
            }
        };
        bytes.copy_within(head..filled, 0);
        filled -= head;
        let taken = provider.lock().expect("no panic").takes();
        if taken {
            let latency = rand::rng().random_range(LATENCY_S);
            tokio::time::sleep(Duration::from_secs_f64(latency)).await;
        }
        let answer = {
            let mut provider = provider.lock().expect("no panic");
            provider.answered += u64::from(taken);
            let headers = provider.headers();
            let (status, body) = match (taken, provider.family) {
                (false, _) => ("429 Too Many Requests\r\nretry-after: 1", ""),
                (true, Family::Anthropic) => ("200 OK", MESSAGE),
                (true, Family::OpenAi) => ("200 OK", CHUNKS),
            };
            format!(
                "HTTP/1.1 {status}\r\n{headers}content-type: text/event-stream\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// An agent: waits for its turn in the queue, keeps the front of it until it is let out.
async fn agent(
    endpoint: Endpoint,
    request: Arc<Request>,
    queue: Arc<tokio::sync::Mutex<()>>,
    failed: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let place = {
            let _front = queue.lock().await;
            loop {
                match endpoint.admit(endpoint.demand(&request)) {
                    Admission::Now(place) => break place,
                    Admission::After(wait) => tokio::time::sleep(wait).await,
                }
            }
        };
        if let Err(error) = endpoint.infer(&request, place, &mut |_| {}).await {
            failed.lock().expect("no panic").push(error.to_string());
        }
    }
}

async fn run(family: Family, length: Duration) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let provider = Arc::new(Mutex::new(Provider::new(family)));
    let shared = Arc::clone(&provider);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&shared)));
        }
    });
    let environment: Environment = Arc::new(move |name| match name {
        "ANTHROPIC_API_KEY" | "OPENAI_API_KEY" => Some("key".to_owned().into()),
        "ANTHROPIC_BASE_URL" | "OPENAI_BASE_URL" => Some(format!("{address}/v1").into()),
        _ => None,
    });
    let models = Models::new(ModelOptions::default(), environment).expect("fine");
    let name = match family {
        Family::Anthropic => "anthropic/claude-haiku-4-5",
        Family::OpenAi => "openai/gpt-5-mini",
    };
    let endpoint = models.resolve(Some(name)).expect("known");
    let words = "word ".repeat(9_990);
    let messages = vec![Message::text(Role::User, words)];
    let request = Request { messages, max_output_tokens: Some(1), ..Request::default() };
    println!("{family:?}: a request is estimated at {} tokens", endpoint.estimate_tokens(&request));
    let (request, queue) = (Arc::new(request), Arc::default());
    let failed: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut agents = tokio::task::JoinSet::new();
    for _ in 0..AGENTS {
        let (queue, failed) = (Arc::clone(&queue), Arc::clone(&failed));
        agents.spawn(agent(endpoint.clone(), Arc::clone(&request), queue, failed));
    }
    provider.lock().expect("no panic").begun = Instant::now();
    tokio::time::sleep(length).await;
    let whole = provider.lock().expect("no panic").begun.elapsed().as_secs_f64();
    agents.shutdown().await;
    let seen = provider.lock().expect("no panic");
    let failures = failed.lock().expect("no panic");
    let share = seen.used / (RATE * whole);
    let late = seen.used_late / (RATE * (whole - START_S).max(1.0));
    #[expect(clippy::cast_precision_loss, reason = "a few thousand calls")]
    let limited = seen.limited as f64 / (seen.limited + seen.answered).max(1) as f64;
    let met = share >= SHARE_MIN && late >= SHARE_MIN && limited <= LIMITED_MAX;
    println!(
        "{family:?}, {whole:.0} s: {:.1} % of the limit used ({:.1} % after {START_S} s; at least \
         {:.0} %), {} answered, {} times 429 ({:.2} %; at most {:.1} %), {} agents failed: \
         {}",
        share * 100.0,
        late * 100.0,
        SHARE_MIN * 100.0,
        seen.answered,
        seen.limited,
        limited * 100.0,
        LIMITED_MAX * 100.0,
        failures.len(),
        if met && failures.is_empty() { "met" } else { "MISSED" }
    );
    failures.iter().take(3).for_each(|failure| println!("  {failure}"));
    met
}

fn main() {
    let seconds = std::env::var("AOS_BENCH_SECONDS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(60).max(30));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        for family in [Family::Anthropic, Family::OpenAi] {
            run(family, length).await;
        }
    });
}
