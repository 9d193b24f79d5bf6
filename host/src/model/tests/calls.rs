//! Calls that go well, from a name to a completion, over a real connection.

use super::server::{CHUNKS, KEY, MESSAGE, Server, Step, chunk, end, events, options, stream_head};
use crate::model::{
    Admission, Completion, Delta, Endpoint, Message, ModelError, ModelOptions, Request, Role,
    Spent, Stop,
};
use std::sync::Arc;
use std::time::Duration;

pub fn request() -> Request {
    Request { messages: vec![Message::text(Role::User, "Say hello.")], ..Request::default() }
}

/// Admits and calls, as the kernel would.
pub async fn call(endpoint: &Endpoint, request: &Request) -> Result<Completion, ModelError> {
    let place = loop {
        match endpoint.admit(endpoint.demand(request)) {
            Admission::Now(place) => break place,
            Admission::After(wait) => tokio::time::sleep(wait).await,
        }
    };
    endpoint.infer(request, place, &mut |_| {}).await
}

const BOTH: [(&str, &str); 2] =
    [("anthropic/claude-haiku-4-5", "anthropic/claude-x"), ("openai/gpt-5-mini", "openai/gpt-x")];

fn plan(model: &str) -> Vec<Step> {
    let one: &[&str] = if model.starts_with("anthropic") { &MESSAGE } else { &CHUNKS };
    events("", one)
}

#[tokio::test]
async fn a_call_of_each_format_gives_a_named_counted_priced_reply() {
    for (name, answered) in BOTH {
        let server = Server::start(vec![plan(name)]).await;
        let endpoint = server.models().resolve(Some(name)).expect("known");
        let completion = call(&endpoint, &request()).await.expect("fine");
        assert_eq!(completion.model, answered);
        assert_eq!(completion.text(), "Hello");
        assert_eq!(completion.stop, Stop::EndTurn);
        assert_eq!((completion.usage.input, completion.usage.output), (10, 3));
        assert_eq!(completion.usage.cost_microdollars, endpoint.price(&completion.usage));
        assert!(completion.usage.cost_microdollars.is_some_and(|cost| cost > 0));
        let asked = server.last();
        assert!(asked.head.contains(KEY), "the key goes into a header");
        assert!(!asked.head.lines().next().expect("a line").contains(KEY), "not into the URL");
        assert!(asked.body.contains("Say hello."));
    }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::start(vec![plan("openai")]).await;
    let endpoint = server.models().resolve(Some("openai/gpt-5-mini")).expect("known");
    for _ in 0..3 {
        call(&endpoint, &request()).await.expect("fine");
    }
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_character_cut_between_packets_comes_whole() {
    let text = r#"{"model":"m","choices":[{"delta":{"content":"día 🦀"},"finish_reason":"stop"}]}"#;
    let bytes = format!("data: {text}\r\n\r\n: ping\r\n\r\n").into_bytes();
    let mut steps = vec![stream_head("")];
    for byte in bytes {
        steps.push(Step::Say([b"1\r\n".as_slice(), &[byte], b"\r\n"].concat()));
    }
    steps.push(end());
    let server = Server::start(vec![steps]).await;
    let endpoint = server.models().resolve(Some("openai/gpt-5-mini")).expect("known");
    let completion = call(&endpoint, &request()).await.expect("fine");
    assert_eq!(completion.text(), "día 🦀");
    assert!(completion.usage.estimated, "nothing was reported, so it was counted here");
    assert!(completion.usage.input > 0 && completion.usage.output > 0);
}

#[tokio::test]
async fn a_whole_reply_needs_no_end_of_its_stream() {
    let mut steps = vec![stream_head("")];
    steps.extend(CHUNKS[..3].iter().map(|event| chunk(&format!("data: {event}\n\n"))));
    steps.push(Step::Hang);
    let server = Server::start(vec![steps]).await;
    let mut options = options();
    options.timeouts.idle = Duration::from_millis(300);
    let endpoint = server.models_with(options).resolve(Some("openai/gpt-5-mini")).expect("known");
    assert_eq!(call(&endpoint, &request()).await.expect("whole").text(), "Hello");
}

#[tokio::test]
async fn a_server_named_alone_is_asked_for_its_first_model() {
    let list = super::server::plain("200 OK", "", r#"{"data":[{"id":"llama:8b"},{"id":"b"}]}"#);
    let server = Server::start(vec![list, plan("openai")]).await;
    let endpoint = server.models().resolve(Some("ollama")).expect("known");
    let completion = call(&endpoint, &request()).await.expect("fine");
    assert_eq!(completion.usage.cost_microdollars, Some(0));
    let asked = server.asked.lock().expect("no panic").clone();
    assert!(asked[0].head.starts_with("GET /v1/models "), "{}", asked[0].head);
    assert!(asked[1].body.contains(r#""model":"llama:8b""#), "{}", asked[1].body);
    assert!(!asked[1].head.to_lowercase().contains("authorization"), "no key is no header");
}

#[tokio::test]
async fn dropping_a_call_closes_its_connection_and_charges_what_streamed() {
    let steps = vec![stream_head(""), chunk(&format!("data: {}\n\n", CHUNKS[0])), Step::Hang];
    let server = Server::start(vec![steps]).await;
    let endpoint = server.models().resolve(Some("openai/gpt-5-mini")).expect("known");
    let request = request();
    let demand = endpoint.demand(&request);
    let Admission::Now(place) = endpoint.admit(demand) else { panic!("not admitted") };
    let mut spent = Spent::of(demand);
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    {
        let mut sink = |delta: Delta<'_>| {
            spent.note(&delta);
            if matches!(delta, Delta::Text(_)) {
                said.send(()).expect("waited for");
            }
        };
        let call = endpoint.infer(&request, place, &mut sink);
        tokio::select! {
            ended = call => panic!("it ended: {ended:?}"),
            _ = heard.recv() => {}
        }
    }
    let usage = spent.usage();
    assert_eq!((usage.input, usage.output, usage.estimated), (demand.input, 1, true));
    for _ in 0..200 {
        if *server.hung_up.lock().expect("no panic") == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the connection stayed open");
}

#[tokio::test]
async fn a_call_can_be_spawned_and_its_estimate_learns() {
    let server = Server::start(vec![plan("openai")]).await;
    let endpoint = Arc::new(server.models().resolve(Some("openai/gpt-5-mini")).expect("known"));
    let long = Request { system: "word ".repeat(2000), ..request() };
    let before = endpoint.estimate_tokens(&long);
    let (shared, sent) = (Arc::clone(&endpoint), long.clone());
    let spawned = tokio::spawn(async move { call(&shared, &sent).await });
    spawned.await.expect("no panic").expect("fine");
    // The server claims ten tokens for two thousand words: the next estimate is lower.
    assert!(endpoint.estimate_tokens(&long) < before);
}

#[tokio::test]
async fn a_limit_in_the_headers_paces_the_next_call() {
    let headers = "x-ratelimit-limit-tokens: 600\r\nx-ratelimit-remaining-tokens: 0\r\n";
    let server = Server::start(vec![events(headers, &CHUNKS)]).await;
    let models = server.models();
    let endpoint = models.resolve(Some("openai/gpt-5-mini")).expect("known");
    call(&endpoint, &request()).await.expect("fine");
    let again = models.resolve(Some("openai/gpt-5-mini")).expect("known");
    let Admission::After(wait) = again.admit(again.demand(&request())) else {
        panic!("admitted over the limit")
    };
    assert!(wait > Duration::from_millis(1), "{wait:?}");
    let other = models.resolve(Some("openai/gpt-5.6-sol")).expect("known");
    assert!(matches!(other.admit(other.demand(&request())), Admission::Now(_)));
}

#[tokio::test]
async fn a_reply_over_the_bound_is_cut() {
    let long = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(900));
    let texts = vec![long.as_str(); 200];
    let server = Server::start(vec![events("", &texts)]).await;
    let options = ModelOptions { response_bytes_max: 64 << 10, ..options() };
    let endpoint = server.models_with(options).resolve(Some("openai/gpt-5-mini")).expect("known");
    let error = call(&endpoint, &request()).await.expect_err("too large");
    assert!(matches!(&error, ModelError::BrokenStream { reason, .. } if reason.contains("65536")));
}
