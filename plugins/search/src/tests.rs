//! The tool from outside, with engines that the test plays.

use std::cell::RefCell;
use std::rc::Rc;

use aos_sdk::http::{Error, Request, Response};
use aos_sdk::testing::{Host, Manifest};
use aos_sdk::{Output, ToolError};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::search::{Search, searched};

fn wanted(query: &str) -> Search {
    Search { query: query.to_owned(), count: Some(2) }
}

fn answer(status: u16, body: &Value) -> Result<Response, Error> {
    let body = body.to_string().into_bytes();
    Ok(Response { status, headers: Vec::new(), body, truncated: false })
}

/// Searches with these variables; gives what was asked and what came out.
fn run(
    variables: &[(&str, &str)],
    query: &str,
    status: u16,
    body: Value,
) -> (Option<Request>, Result<Output, ToolError>) {
    let asked: Rc<RefCell<Option<Request>>> = Rc::default();
    let kept = Rc::clone(&asked);
    let host = Host::new().serve(move |request| {
        *kept.borrow_mut() = Some(request.clone());
        answer(status, &body)
    });
    let lookup = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let output = host.run(|| searched(&wanted(query), &lookup));
    let asked = asked.borrow_mut().take();
    (asked, output)
}

fn three() -> Value {
    json!([
        { "title": "One", "url": "https://one.example", "description": "first\nline" },
        { "title": "Two", "url": "https://two.example", "description": null },
        { "title": "Three", "url": "https://three.example", "description": "third" },
    ])
}

#[test]
fn the_manifest_is_well_formed() {
    Manifest::parse(include_str!("../plugin.toml")).expect("a manifest");
}

#[test]
fn brave_is_asked_with_the_key_in_its_field() {
    let key = [("BRAVE_API_KEY", "aos-secret-0")];
    let body = json!({ "web": { "results": three() } });
    let (asked, output) = run(&key, "rust & wasm", 200, body);
    let asked = asked.expect("a request");
    let url = "https://api.search.brave.com/res/v1/web/search?q=rust%20%26%20wasm&count=2";
    assert_eq!(asked.url, url);
    assert!(asked.headers.contains(&("x-subscription-token".into(), "aos-secret-0".into())));
    let text = output.expect("results").to_text();
    let one = "1. One\n   https://one.example\n   first line";
    assert_eq!(text, format!("{one}\n2. Two\n   https://two.example\n   "));
}

#[test]
fn tavily_is_asked_by_a_body_and_a_bearer() {
    let variables = [("TAVILY_API_KEY", "aos-secret-1"), ("SEARCH_URL", "http://127.0.0.1:9/")];
    let results =
        json!({ "results": [{ "title": "T", "url": "https://t.example", "content": "c" }] });
    let (asked, output) = run(&variables, "say \"hi\"", 200, results);
    let asked = asked.expect("a request");
    assert_eq!(asked.url, "http://127.0.0.1:9/search");
    assert_eq!(asked.method, "POST");
    assert!(asked.headers.contains(&("authorization".into(), "Bearer aos-secret-1".into())));
    let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
    assert_eq!(body, json!({ "query": "say \"hi\"", "max_results": 2 }));
    let structured: Value =
        serde_json::from_str(&output.expect("results").structured.expect("some")).expect("JSON");
    let found = json!([{ "title": "T", "url": "https://t.example", "text": "c" }]);
    assert_eq!(structured, json!({ "engine": "Tavily", "results": found }));
}

#[test]
fn searxng_needs_an_address_and_no_key() {
    let url = [("SEARCH_URL", "https://search.example")];
    let (asked, output) = run(&url, "x", 200, json!({ "results": [] }));
    let asked = asked.expect("a request");
    assert_eq!(asked.url, "https://search.example/search?q=x&format=json");
    assert_eq!(output.expect("results").to_text(), "nothing was found");
}

#[test]
fn without_an_engine_it_says_what_to_give() {
    let (asked, output) = run(&[], "x", 200, json!({}));
    assert!(asked.is_none());
    let error = output.expect_err("refused").to_string();
    assert!(error.contains("--secret 'BRAVE_API_KEY@https://api.search.brave.com'"), "{error}");
}

#[test]
fn what_is_no_query_is_not_sent() {
    let key = [("BRAVE_API_KEY", "aos-secret-0")];
    for query in ["", "   ", &"x".repeat(401)] {
        let (asked, output) = run(&key, query, 200, json!({}));
        assert!(asked.is_none() && output.is_err());
    }
}

#[test]
fn what_an_engine_refuses_is_told_without_the_key() {
    let key = [("BRAVE_API_KEY", "aos-secret-0")];
    for (status, says) in
        [(401, "refuses the key"), (403, "refuses the key"), (429, "busy"), (500, "status 500")]
    {
        let (_, output) = run(&key, "x", status, json!({ "error": "aos-secret-0" }));
        let error = output.expect_err("refused").to_string();
        assert!(error.contains(says) && !error.contains("aos-secret"), "{error}");
    }
}

#[test]
fn an_answer_that_is_none_is_told() {
    let engine = Engine::Searxng { base: String::new() };
    for body in ["", "nonsense", "[1]", "{\"results\": 3}"] {
        assert!(engine.read(body.as_bytes(), 5).is_err(), "{body}");
    }
    assert_eq!(engine.read(b"{}", 5).expect("none"), []);
    let long = json!({ "results": [{ "title": "x".repeat(10_000) }] }).to_string();
    let found = engine.read(long.as_bytes(), 5).expect("one");
    assert_eq!(found[0].title.len(), 500);
}
