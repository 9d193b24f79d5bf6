//! A local server that answers as it is told, byte for byte, and remembers what it was asked.

use crate::model::{Environment, ModelOptions, Models, Timeouts};
use secrecy::SecretString;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A key that no error, log or URL may hold. No eight characters of it are anywhere else.
pub const KEY: &str = "sk-test-Zq8vX3nLw0pTr5Yk";

/// What the server does, in order, with one connection's request.
#[derive(Clone, Debug)]
pub enum Step {
    Say(Vec<u8>),
    Wait(Duration),
    /// Until the other side hangs up; counted in [`Server::hung_up`].
    Hang,
    /// Ends the connection with a reset.
    Reset,
}

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub head: String,
    pub body: String,
}

#[derive(Debug)]
pub struct Server {
    pub address: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    pub hung_up: Arc<Mutex<usize>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers the n-th request with the n-th plan, and every later one with the last.
    pub async fn start(plans: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let hung_up: Arc<Mutex<usize>> = Arc::default();
        let (seen, gone) = (Arc::clone(&asked), Arc::clone(&hung_up));
        let task = tokio::spawn(async move {
            let plans = Arc::new(plans);
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, gone) = (Arc::clone(&seen), Arc::clone(&gone));
                tokio::spawn(serve(stream, Arc::clone(&plans), seen, gone));
            }
        });
        Self { address, asked, hung_up, task }
    }

    pub fn count(&self) -> usize {
        self.asked.lock().expect("no panic").len()
    }

    pub fn last(&self) -> Asked {
        self.asked.lock().expect("no panic").last().expect("it was asked").clone()
    }

    /// Models whose `anthropic` and `openai` are this server, with short time-outs.
    pub fn models(&self) -> Models {
        self.models_with(options())
    }

    pub fn models_with(&self, options: ModelOptions) -> Models {
        let address = self.address.clone();
        let environment: Environment = Arc::new(move |name| {
            let value = match name {
                "ANTHROPIC_API_KEY" | "OPENAI_API_KEY" => KEY.to_owned(),
                "ANTHROPIC_BASE_URL" | "OPENAI_BASE_URL" | "OLLAMA_HOST" => address.clone(),
                _ => return None,
            };
            Some(SecretString::from(value))
        });
        Models::new(options, environment).expect("fine")
    }
}

pub fn options() -> ModelOptions {
    ModelOptions {
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(20),
            idle: Duration::from_secs(20),
            total: Duration::from_secs(60),
        },
        attempts_max: 3,
        ..ModelOptions::default()
    }
}

async fn serve(
    mut stream: TcpStream,
    plans: Arc<Vec<Vec<Step>>>,
    seen: Arc<Mutex<Vec<Asked>>>,
    gone: Arc<Mutex<usize>>,
) {
    while let Some(asked) = request(&mut stream).await {
        let number = {
            let mut seen = seen.lock().expect("no panic");
            seen.push(asked);
            seen.len() - 1
        };
        let plan = plans.get(number).or(plans.last()).expect("a plan").clone();
        for step in plan {
            match step {
                Step::Say(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Wait(time) => tokio::time::sleep(time).await,
                Step::Hang => {
                    let mut left = [0; 64];
                    while stream.read(&mut left).await.is_ok_and(|read| read > 0) {}
                    *gone.lock().expect("no panic") += 1;
                    return;
                }
                Step::Reset => {
                    stream.set_zero_linger().expect("a socket");
                    return;
                }
            }
        }
    }
}

async fn request(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
            });
            let whole = end + 4 + length.unwrap_or(0);
            if bytes.len() >= whole {
                let body = String::from_utf8_lossy(&bytes[end + 4..whole]).into_owned();
                return Some(Asked { head, body });
            }
        }
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&piece[..read]),
            _ => return None,
        }
    }
}

/// An answer with a length.
pub fn plain(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
    vec![Step::Say([head.as_bytes(), body.as_bytes()].concat())]
}

/// The head of a stream.
pub fn stream_head(headers: &str) -> Step {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
         transfer-encoding: chunked\r\n{headers}\r\n"
    );
    Step::Say(head.into_bytes())
}

/// One piece of a stream.
pub fn chunk(text: &str) -> Step {
    Step::Say(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// The end of a stream.
pub fn end() -> Step {
    Step::Say(b"0\r\n\r\n".to_vec())
}

/// A whole stream of these events.
pub fn events(headers: &str, events: &[&str]) -> Vec<Step> {
    let mut steps = vec![stream_head(headers)];
    steps.extend(events.iter().map(|event| chunk(&format!("data: {event}\n\n"))));
    steps.push(end());
    steps
}

/// A small good reply of each format.
pub const MESSAGE: [&str; 5] = [
    concat!(
        r#"{"type":"message_start","message":{"id":"m","model":"claude-x","#,
        r#""usage":{"input_tokens":10,"output_tokens":1}}}"#,
    ),
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}"#,
    r#"{"type":"message_stop"}"#,
];
pub const CHUNKS: [&str; 4] = [
    r#"{"model":"gpt-x","choices":[{"index":0,"delta":{"content":"Hel"}}]}"#,
    r#"{"model":"gpt-x","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3}}"#,
    "[DONE]",
];
