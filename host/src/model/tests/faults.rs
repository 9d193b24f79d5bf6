//! Everything that a provider can do wrong, and what comes of it. In each case the key must be
//! nowhere.

use super::calls::{call, request};
use super::server::{
    CHUNKS, KEY, MESSAGE, Server, Step, chunk, end, events, options, plain, stream_head,
};
use crate::model::{ModelError, ModelOptions, Models, Request};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const OPENAI: &str = "openai/gpt-5-mini";
const ANTHROPIC: &str = "anthropic/claude-haiku-4-5";

/// The error of one call, after all attempts; and how many there were.
async fn fails(plans: Vec<Vec<Step>>, model: &str, options: ModelOptions) -> (ModelError, usize) {
    let server = Server::start(plans).await;
    let models = server.models_with(options);
    let endpoint = models.resolve(Some(model)).expect("known");
    let error = call(&endpoint, &request()).await.expect_err("a fault");
    keyless(&format!("{error} {error:?} {endpoint:?} {models:?}"));
    assert!(!error.to_string().contains('\n'), "{error}");
    (error, server.count())
}

/// No eight characters of the key are in it.
#[track_caller]
fn keyless(text: &str) {
    for piece in KEY.as_bytes().windows(8) {
        let piece = std::str::from_utf8(piece).expect("ASCII");
        // The table's own words may hold what every such key begins with.
        assert!(!text.contains(piece), "{piece} is in: {text}");
    }
}

fn quick() -> ModelOptions {
    ModelOptions { attempts_max: 1, ..options() }
}

fn named(error: &ModelError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '{']).next().unwrap_or("").to_owned()
}

#[tokio::test]
async fn each_status_is_its_own_error() {
    let echo = format!(r#"{{"error":{{"message":"wrong: {KEY}","type":"x"}}}}"#);
    for (status, name) in [
        ("400 Bad Request", "BadRequest"),
        ("401 Unauthorized", "Unauthorised"),
        ("402 Payment Required", "Unauthorised"),
        ("403 Forbidden", "Unauthorised"),
        ("404 Not Found", "UnknownModel"),
        ("408 Request Timeout", "Unavailable"),
        ("413 Content Too Large", "TooLarge"),
        ("422 Unprocessable", "BadRequest"),
        ("429 Too Many Requests", "RateLimited"),
        ("500 Internal Server Error", "Unavailable"),
        ("502 Bad Gateway", "Unavailable"),
        ("503 Service Unavailable", "Overloaded"),
        ("504 Gateway Timeout", "Unavailable"),
        ("529 Overloaded", "Overloaded"),
    ] {
        for model in [OPENAI, ANTHROPIC] {
            let (error, _) = fails(vec![plain(status, "", &echo)], model, quick()).await;
            assert_eq!(named(&error), name, "{status}: {error}");
        }
    }
}

#[tokio::test]
async fn a_refused_key_is_named_by_its_variable() {
    let (error, asked) = fails(vec![plain("401 No", "", KEY)], ANTHROPIC, options()).await;
    assert!(error.to_string().contains("ANTHROPIC_API_KEY"), "{error}");
    assert_eq!(asked, 1, "a refused key is not tried again");
}

#[tokio::test]
async fn passing_faults_are_tried_again_and_others_are_not() {
    for (status, tries) in [("500 x", 2), ("429 x", 2), ("529 x", 2), ("400 x", 1), ("404 x", 1)] {
        let plans = vec![plain(status, "retry-after: 0\r\n", ""), events("", &CHUNKS)];
        let server = Server::start(plans).await;
        let endpoint = server.models().resolve(Some(OPENAI)).expect("known");
        let done = call(&endpoint, &request()).await;
        assert_eq!(done.is_ok(), tries == 2, "{status}: {done:?}");
        assert_eq!(server.count(), tries, "{status}");
    }
    let (error, asked) = fails(vec![plain("503 x", "", "busy")], OPENAI, options()).await;
    assert!(matches!(error, ModelError::Overloaded { .. }), "{error}");
    assert_eq!(asked, 3, "as many attempts as the options allow");
}

#[tokio::test]
async fn retry_after_is_kept_and_a_long_one_is_the_callers() {
    let plans = vec![plain("429 x", "retry-after: 1\r\n", ""), events("", &CHUNKS)];
    let server = Server::start(plans).await;
    let endpoint = server.models().resolve(Some(OPENAI)).expect("known");
    let begun = Instant::now();
    call(&endpoint, &request()).await.expect("the second goes well");
    assert!(begun.elapsed() >= Duration::from_millis(1000), "{:?}", begun.elapsed());

    let (error, asked) =
        fails(vec![plain("429 x", "retry-after: 90\r\n", "")], OPENAI, options()).await;
    let after = Duration::from_secs(90);
    assert!(matches!(error, ModelError::RateLimited { after: a, .. } if a == after), "{error}");
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn nothing_is_tried_again_after_the_first_token() {
    for (model, first) in [(OPENAI, CHUNKS[0]), (ANTHROPIC, MESSAGE[0])] {
        let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
        let plan = events("", &[first, overloaded]);
        let (error, asked) = fails(vec![plan], model, options()).await;
        assert!(matches!(error, ModelError::Overloaded { .. }), "{error}");
        assert_eq!(asked, 1);
        let begun = vec![stream_head(""), chunk(&format!("data: {first}\n\n")), Step::Reset];
        let (error, asked) = fails(vec![begun], model, options()).await;
        assert!(matches!(error, ModelError::BrokenStream { .. }), "{error}");
        assert_eq!(asked, 1);
    }
}

#[tokio::test]
async fn an_error_in_a_stream_before_any_token_is_tried_again() {
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
    let plans = vec![events("", &[overloaded]), events("", &MESSAGE)];
    let server = Server::start(plans).await;
    let endpoint = server.models().resolve(Some(ANTHROPIC)).expect("known");
    assert_eq!(call(&endpoint, &request()).await.expect("fine").text(), "Hello");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_hang_ends_at_each_time_out() {
    let short = |change: fn(&mut ModelOptions)| {
        let mut options = quick();
        change(&mut options);
        options
    };
    let first = short(|options| options.timeouts.first_byte = Duration::from_millis(200));
    let (error, _) = fails(vec![vec![Step::Hang]], OPENAI, first).await;
    assert!(matches!(&error, ModelError::TimedOut { what: "answer", .. }), "{error}");

    let idle = short(|options| options.timeouts.idle = Duration::from_millis(200));
    let begun = vec![stream_head(""), chunk(&format!("data: {}\n\n", CHUNKS[0])), Step::Hang];
    let (error, _) = fails(vec![begun], OPENAI, idle).await;
    assert!(matches!(&error, ModelError::TimedOut { what: "send more", .. }), "{error}");

    let total = short(|options| options.timeouts.total = Duration::from_millis(300));
    let mut drips = vec![stream_head("")];
    for _ in 0..100 {
        drips.extend([chunk(": ping\n\n"), Step::Wait(Duration::from_millis(50))]);
    }
    let (error, _) = fails(vec![drips], OPENAI, total).await;
    assert!(matches!(&error, ModelError::TimedOut { what: "finish", .. }), "{error}");
}

#[tokio::test]
async fn the_requests_own_time_out_counts_too() {
    let server = Server::start(vec![vec![Step::Hang]]).await;
    let endpoint = server.models().resolve(Some(OPENAI)).expect("known");
    let hurried = Request { timeout: Some(Duration::from_millis(150)), ..request() };
    let error = call(&endpoint, &hurried).await.expect_err("a hang");
    assert!(matches!(error, ModelError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_reset_before_the_answer_is_not_repeated_and_no_connection_is() {
    let (error, asked) = fails(vec![vec![Step::Reset]], OPENAI, options()).await;
    assert!(matches!(error, ModelError::Unavailable { .. }), "{error}");
    assert_eq!(asked, 1, "the provider may have begun");

    // A port that nobody listens at.
    let closed = {
        let server = Server::start(vec![vec![Step::Hang]]).await;
        let models = server.models_with(ModelOptions { attempts_max: 2, ..options() });
        server.asked.lock().expect("no panic").clear();
        (models, server.address.clone())
    };
    let (models, address) = closed;
    let begun = Instant::now();
    let mut refused = None;
    // The listener closes a moment after its task is ended.
    for _ in 0..50 {
        if tokio::net::TcpStream::connect(&address["http://".len()..]).await.is_err() {
            let endpoint = models.resolve(Some(OPENAI)).expect("known");
            refused = Some(call(&endpoint, &request()).await.expect_err("nobody listens"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = refused.expect("the port closes");
    assert!(matches!(&error, ModelError::Unavailable { reason, .. } if reason.contains("no conn")));
    assert!(begun.elapsed() >= Duration::from_millis(250), "there was no second attempt");
    keyless(&format!("{error} {error:?}"));
}

#[tokio::test]
async fn garbage_in_every_place_is_a_broken_stream() {
    let html = plain("200 OK", "content-type: text/html\r\n", "<html>hello</html>");
    let no_type = plain("200 OK", "", "\u{1}\u{2}garbage\n\n\n");
    let not_json = events("", &["this is not JSON"]);
    let bad_chunks = vec![stream_head(""), Step::Say(b"zzzz\r\n".to_vec())];
    let nothing = vec![stream_head(""), end()];
    let cut = vec![stream_head(""), chunk(&format!("data: {}\n\n", CHUNKS[0])), end()];
    for plan in [html, no_type, not_json, bad_chunks, nothing, cut] {
        for model in [OPENAI, ANTHROPIC] {
            let (error, asked) = fails(vec![plan.clone()], model, options()).await;
            assert!(matches!(error, ModelError::BrokenStream { .. }), "{error}");
            assert_eq!(asked, 1);
        }
    }
    let no_http = vec![Step::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())];
    let (error, _) = fails(vec![no_http], OPENAI, options()).await;
    assert!(matches!(error, ModelError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn an_error_in_a_200_that_is_no_stream_is_that_error() {
    let body = r#"{"error":{"type":"invalid_request_error","message":"no such thing"}}"#;
    let plan = plain("200 OK", "content-type: application/json\r\n", body);
    let (error, _) = fails(vec![plan], OPENAI, options()).await;
    assert!(matches!(error, ModelError::BadRequest { .. }), "{error}");
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_refused_before_it_is_whole() {
    let mut steps = vec![stream_head(""), chunk("data: ")];
    steps.extend((0..10).map(|_| chunk(&"x".repeat(1 << 20))));
    steps.extend([chunk("\n\n"), end()]);
    let (error, asked) = fails(vec![steps], OPENAI, options()).await;
    assert!(matches!(&error, ModelError::BrokenStream { reason, .. } if reason.contains("larger")));
    assert_eq!(asked, 1);
    let huge = plain("500 x", "", &"y".repeat(10 << 20));
    let (error, _) = fails(vec![huge], OPENAI, quick()).await;
    assert!(error.to_string().len() < 1000, "{}", error.to_string().len());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_does_not_travel() {
    let elsewhere = Server::start(vec![events("", &CHUNKS)]).await;
    for status in ["301 x", "302 x", "307 x", "308 x"] {
        let location = format!("location: {}/v1/chat/completions\r\n", elsewhere.address);
        let (error, _) = fails(vec![plain(status, &location, "")], OPENAI, quick()).await;
        assert!(error.to_string().contains("redirect"), "{error}");
    }
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_left_alone() {
    let server = Server::start(vec![plain("500 x", "", "")]).await;
    let models = server.models_with(quick());
    let endpoint = models.resolve(Some(OPENAI)).expect("known");
    for _ in 0..5 {
        call(&endpoint, &request()).await.expect_err("it fails");
    }
    let error = call(&endpoint, &request()).await.expect_err("left alone");
    assert!(matches!(&error, ModelError::Overloaded { reason, .. } if reason.contains("alone")));
    assert_eq!(server.count(), 5, "the sixth call did not go out");
    let other = models.resolve(Some(ANTHROPIC)).expect("known");
    call(&other, &request()).await.expect_err("it fails too");
    assert_eq!(server.count(), 6, "another provider has a breaker of its own");
}

/// Everything that is traced while calls fail and go well, at every level.
#[tokio::test]
async fn the_key_is_in_no_log() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let echo = format!(r#"{{"error":{{"message":"{KEY}"}}}}"#);
    for status in ["500 x", "401 x", "429 x"] {
        let plans = vec![plain(status, "retry-after: 0\r\n", &echo), events("", &CHUNKS)];
        let server = Server::start(plans).await;
        let endpoint = server.models().resolve(Some(OPENAI)).expect("known");
        // Both ends are fine here: what is looked at is the log.
        let _ended = call(&endpoint, &request()).await;
    }
    let text = String::from_utf8_lossy(&log.0.lock().expect("no panic")).into_owned();
    assert!(text.contains("trying again"), "nothing was logged: {text}");
    keyless(&text);
}

#[test]
fn a_key_that_no_header_can_carry_is_named_not_shown() {
    let environment: crate::model::Environment = Arc::new(|name| {
        let value = match name {
            "OPENAI_API_KEY" => format!("{KEY}\n{KEY}"),
            "OPENAI_BASE_URL" => "http://127.0.0.1:1".to_owned(),
            _ => return None,
        };
        Some(secrecy::SecretString::from(value))
    });
    let models = Models::new(options(), environment).expect("fine");
    let endpoint = models.resolve(Some(OPENAI)).expect("known");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let error = runtime.expect("a runtime").block_on(call(&endpoint, &request()));
    let error = error.expect_err("no header");
    assert!(matches!(error, ModelError::Unauthorised { .. }), "{error}");
    keyless(&format!("{error} {error:?}"));
}
