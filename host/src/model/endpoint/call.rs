//! The attempts of one call: what is tried again, and when it is not.

use super::super::breaker::Breaker;
use super::super::catalogue::Wire;
use super::super::completion::{Completion, Delta, TokenUsage};
use super::super::error::ModelError;
use super::super::estimate;
use super::super::exchange::{self, EventStream, Lost};
use super::super::failure::{Failure, of_status, of_stream};
use super::super::pacing::{self, Answer, RateHeaders};
use super::super::place::Place;
use super::super::reply::{Draft, Progress, StreamFault};
use super::super::request::{Part, Request};
use super::super::{anthropic, chat};
use super::{Inner, Remote};
use crate::types::Content;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use rand::RngExt as _;
use secrecy::ExposeSecret;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The first wait between attempts and the longest; each is drawn from half to all of it, doubling.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(8);

/// One call with its retries.
pub(super) async fn infer(
    inner: &Inner,
    remote: &Remote,
    request: &Request,
    mut place: Place,
    sink: &mut (dyn FnMut(Delta<'_>) + Send),
) -> Result<Completion, ModelError> {
    let model = model_name(inner, remote).await?;
    let body = match remote.wire {
        Wire::Anthropic => anthropic::body(&model, &inner.facts, request),
        Wire::Chat => chat::body(&model, &inner.facts, request),
    };
    let body = body.map_err(|refused| ModelError::BadRequest {
        model: inner.name.clone(),
        reason: refused.0,
    })?;
    let body = bytes::Bytes::from(body.to_string());
    let mut attempts = Attempts::of(inner, remote);
    let draft = loop {
        let probe = attempts.begin()?;
        place.send();
        match attempt(inner, remote, &body, &place, sink).await {
            Ok(draft) => break probe.succeed(draft),
            Err(failure) => attempts.fail(probe, failure).await?,
        }
    };
    let completion = complete(inner, remote, request, draft);
    place.settle(&completion.usage);
    Ok(completion)
}

/// The attempts of one call, until one ends well, or ends so that another is not safe, not in
/// time, or one too many. The breaker sees every one.
pub(super) struct Attempts<'a> {
    inner: &'a Inner,
    remote: &'a Remote,
    number: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn of(inner: &'a Inner, remote: &'a Remote) -> Self {
        Self { inner, remote, number: 0 }
    }

    /// Whether the next attempt may begin.
    pub(super) fn begin(&mut self) -> Result<Probe<'a>, ModelError> {
        self.number += 1;
        Probe::start(self.inner, self.remote)
    }

    /// Waits for the next attempt after one that failed, or gives its error where there is none.
    pub(super) async fn fail(&self, probe: Probe<'a>, failure: Failure) -> Result<(), ModelError> {
        let now = self.remote.shared.start.elapsed();
        probe.end(|breaker| match failure.provider_failed {
            true => breaker.fail(now),
            // An answer of any kind shows that the provider is there.
            false => breaker.succeed(),
        });
        let wait = failure.retry_after.unwrap_or_default().max(backoff(self.number));
        let options = &self.inner.options;
        let last = self.number >= options.attempts_max || wait > options.retry_wait_max;
        if !failure.safe || last {
            return Err(failure.error);
        }
        tracing::debug!(model = self.inner.name, error = %failure.error, "trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn backoff(number: u32) -> Duration {
    let whole = BACKOFF_FIRST.saturating_mul(1 << number.saturating_sub(1).min(8)).min(BACKOFF_MAX);
    whole.mul_f64(rand::rng().random_range(0.5..1.0))
}

/// A call that the breaker let through; one that is cut tells it nothing.
pub(super) struct Probe<'a> {
    breaker: &'a Arc<Mutex<Breaker>>,
    told: bool,
}

impl<'a> Probe<'a> {
    fn start(inner: &Inner, remote: &'a Remote) -> Result<Self, ModelError> {
        let breaker = &remote.shared.breaker;
        let now = remote.shared.start.elapsed();
        lock(breaker).admit(now).map_err(|after| ModelError::Overloaded {
            model: inner.name.clone(),
            reason: format!(
                "{} has failed several times in a row and is left alone for another {} s",
                inner.provider,
                after.as_secs_f64().ceil()
            ),
            after,
        })?;
        Ok(Self { breaker, told: false })
    }

    /// The provider answered as it should.
    pub(super) fn succeed<T>(self, done: T) -> T {
        self.end(Breaker::succeed);
        done
    }

    fn end(mut self, tell: impl FnOnce(&mut Breaker)) {
        tell(&mut lock(self.breaker));
        self.told = true;
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if !self.told {
            lock(self.breaker).say_nothing();
        }
    }
}

fn lock(breaker: &Mutex<Breaker>) -> MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn attempt(
    inner: &Inner,
    remote: &Remote,
    body: &bytes::Bytes,
    place: &Place,
    sink: &mut (dyn FnMut(Delta<'_>) + Send),
) -> Result<Draft, Failure> {
    let path = match remote.wire {
        Wire::Anthropic => "messages",
        Wire::Chat => "chat/completions",
    };
    let request = remote.client.post(format!("{}/{path}", remote.base_url));
    let accept = (header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    let request = request.headers(headers(inner, remote)?).header(accept.0, accept.1);
    let timeouts = &inner.options.timeouts;
    let sent = exchange::send(request.body(body.clone()), timeouts).await;
    let response = sent.map_err(|lost| of_lost(inner, remote, lost))?;
    let (status, head) = (response.status(), response.headers().clone());
    let wall = SystemTime::now();
    place.learn(&what_it_says(status, &head, wall));
    let asked = inner.asked(remote);
    if !status.is_success() {
        let words = exchange::words(response, timeouts).await;
        return Err(of_status(&asked, status, &head, &words, wall));
    }
    if let Some(other) = other_type(&head) {
        let words = exchange::words(response, timeouts).await;
        let parsed: serde_json::Value = serde_json::from_slice(&words).unwrap_or_default();
        let fault = match parsed.get("error") {
            Some(error) => {
                let (kind, message) = super::super::reply::provider_error(error);
                StreamFault::Provider { kind, message }
            }
            None => StreamFault::Broken(format!("it answered with {other}, not with events")),
        };
        return Err(of_stream(&asked, fault, false));
    }
    let stream = EventStream::new(response, timeouts, inner.options.response_bytes_max);
    match remote.wire {
        Wire::Anthropic => {
            read(inner, remote, stream, Reading::Anthropic(Default::default()), sink).await
        }
        Wire::Chat => read(inner, remote, stream, Reading::Chat(Default::default()), sink).await,
    }
}

/// What an answer says of the provider's limits.
fn what_it_says(status: http::StatusCode, head: &HeaderMap, wall: SystemTime) -> Answer {
    Answer {
        headers: RateHeaders::read(head, wall),
        limited: status.as_u16() == 429,
        retry_after: pacing::retry_after(head, wall),
    }
}

/// The type of an answer that is no stream of events; none for one that is, or does not say.
fn other_type(head: &HeaderMap) -> Option<String> {
    let kind = head.get(header::CONTENT_TYPE)?.to_str().unwrap_or("?");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    // Some servers stream under a plain text type; the parser is the judge of it.
    let other = !matches!(kind.as_str(), "text/event-stream" | "text/plain" | "");
    other.then(|| kind.chars().take(60).collect())
}

#[derive(Debug)]
enum Reading {
    Anthropic(anthropic::Stream),
    Chat(chat::Stream),
}

impl Reading {
    fn event(
        &mut self,
        data: &str,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<Progress, StreamFault> {
        match self {
            Self::Anthropic(stream) => stream.event(data, sink),
            Self::Chat(stream) => stream.event(data, sink),
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::Anthropic(stream) => stream.is_whole(),
            Self::Chat(stream) => stream.is_whole(),
        }
    }

    fn finish(self) -> Result<Draft, StreamFault> {
        match self {
            Self::Anthropic(stream) => stream.finish(),
            Self::Chat(stream) => stream.finish(),
        }
    }
}

async fn read(
    inner: &Inner,
    remote: &Remote,
    mut stream: EventStream,
    mut reading: Reading,
    sink: &mut (dyn FnMut(Delta<'_>) + Send),
) -> Result<Draft, Failure> {
    let asked = inner.asked(remote);
    let mut started = false;
    let mut watched = |delta: Delta<'_>| {
        started = true;
        sink(delta);
    };
    let ended = loop {
        match stream.next().await {
            Ok(None) => break Ok(()),
            // A reply that is whole does not need the stream's own end.
            Err(_) if reading.is_whole() => break Ok(()),
            Err(lost) => break Err(of_lost_stream(inner, remote, lost)),
            Ok(Some(events)) => {
                let progress =
                    events.iter().try_fold(Progress::More, |progress, event| match progress {
                        Progress::Done => Ok(Progress::Done),
                        Progress::More => reading.event(event, &mut watched),
                    });
                match progress {
                    Ok(Progress::More) => {}
                    Ok(Progress::Done) => {
                        stream.close().await;
                        break Ok(());
                    }
                    Err(fault) => return Err(of_stream(&asked, fault, started)),
                }
            }
        }
    };
    ended?;
    reading.finish().map_err(|fault| of_stream(&asked, fault, started))
}

/// The reply, named, counted and priced; what it took corrects later estimates.
fn complete(inner: &Inner, remote: &Remote, request: &Request, draft: Draft) -> Completion {
    let plain = estimate::request_tokens(request);
    let mut factor = remote.shared.factor.lock().unwrap_or_else(PoisonError::into_inner);
    let mut usage = match draft.counted {
        Some(counted) => {
            let usage = counted.usage();
            factor.learn(plain, usage.prompt());
            usage
        }
        None => TokenUsage {
            input: factor.apply(plain),
            output: reply_tokens(&draft.parts),
            estimated: true,
            ..TokenUsage::default()
        },
    };
    drop(factor);
    usage.cost_microdollars = usage.cost_microdollars.or_else(|| inner.facts.price(&usage));
    let model = match draft.model.is_empty() {
        true => inner.name.clone(),
        false => format!("{}/{}", inner.provider, draft.model),
    };
    Completion { model, parts: draft.parts, stop: draft.stop, usage }
}

/// Tokens of a reply that nobody counted.
pub(in super::super) fn reply_tokens(parts: &[Part]) -> u64 {
    let tokens = parts.iter().map(|part| match part {
        Part::Content(Content::Text(text)) | Part::Reasoning { text, .. } => {
            estimate::text_tokens(text)
        }
        Part::ToolCall { name, arguments, .. } => {
            estimate::text_tokens(name) + estimate::text_tokens(arguments)
        }
        Part::Content(_) | Part::ToolResult { .. } => 0,
    });
    tokens.sum()
}

/// The model's name for the wire; for a server that was named alone, the first that it lists.
pub(super) async fn model_name(inner: &Inner, remote: &Remote) -> Result<String, ModelError> {
    if let Some(model) = &remote.model {
        return Ok(model.clone());
    }
    let listed = remote.shared.first_listed.get_or_try_init(async || {
        let request = remote.client.get(format!("{}/models", remote.base_url));
        let list = fetch(inner, remote, request, inner.options.response_bytes_max, None);
        let list = list.await.map_err(|failure| failure.error)?;
        let first = list["data"][0]["id"].as_str().filter(|id| !id.is_empty());
        first.map(str::to_owned).ok_or_else(|| ModelError::UnknownModel {
            model: inner.provider.clone(),
            hint: format!(
                "its server has no model yet; load one, or name one as `{}/NAME`",
                inner.provider
            ),
        })
    });
    Ok(listed.await?.clone())
}

/// One exchange whose answer is one JSON value.
pub(super) async fn fetch(
    inner: &Inner,
    remote: &Remote,
    request: reqwest::RequestBuilder,
    bytes_max: u64,
    place: Option<&Place>,
) -> Result<serde_json::Value, Failure> {
    let timeouts = &inner.options.timeouts;
    let request = request.headers(headers(inner, remote)?);
    let sent = exchange::send(request, timeouts).await;
    let response = sent.map_err(|lost| of_lost(inner, remote, lost))?;
    let (status, head) = (response.status(), response.headers().clone());
    let wall = SystemTime::now();
    if let Some(place) = place {
        place.learn(&what_it_says(status, &head, wall));
    }
    if !status.is_success() {
        let words = exchange::words(response, timeouts).await;
        let asked = inner.asked(remote);
        return Err(of_status(&asked, status, &head, &words, wall));
    }
    let body = exchange::body(response, timeouts, bytes_max).await;
    let body = body.map_err(|lost| of_lost_stream(inner, remote, lost))?;
    serde_json::from_slice(&body).map_err(|error| {
        let reason = format!("it is not JSON ({error})");
        of_stream(&inner.asked(remote), StreamFault::Broken(reason), true)
    })
}

fn headers(inner: &Inner, remote: &Remote) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if remote.wire == Wire::Anthropic {
        let version = HeaderName::from_static("anthropic-version");
        headers.insert(version, HeaderValue::from_static("2023-06-01"));
    }
    if let Some(key) = &remote.key {
        let (name, text) = match remote.wire {
            Wire::Anthropic => {
                (HeaderName::from_static("x-api-key"), key.expose_secret().to_owned())
            }
            Wire::Chat => (header::AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            let variable = remote.key_variable.as_deref().unwrap_or("its variable");
            Failure::last(ModelError::Unauthorised {
                model: inner.name.clone(),
                reason: format!("the key in {variable} has characters that no key has"),
            })
        })?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A loss before the answer's head.
fn of_lost(inner: &Inner, remote: &Remote, lost: Lost) -> Failure {
    let (model, asked) = (inner.name.clone(), inner.asked(remote));
    let (error, safe) = match lost {
        Lost::Unconnected(reason) => {
            let reason = format!("no connection ({})", asked.scrub(&reason));
            (ModelError::Unavailable { model, reason }, true)
        }
        Lost::Late(what, after) => {
            (ModelError::TimedOut { model, what, after }, what == "accept the connection")
        }
        Lost::Broken(reason) => {
            let reason = format!("the connection broke ({})", asked.scrub(&reason));
            (ModelError::Unavailable { model, reason }, false)
        }
        Lost::TooLarge(bytes) => (too_large(model, bytes), false),
    };
    Failure { error, safe, retry_after: None, provider_failed: true }
}

/// A loss while the answer came: what had come is spent.
fn of_lost_stream(inner: &Inner, remote: &Remote, lost: Lost) -> Failure {
    let (model, asked) = (inner.name.clone(), inner.asked(remote));
    let error = match lost {
        Lost::Late(what, after) => ModelError::TimedOut { model, what, after },
        Lost::Broken(reason) | Lost::Unconnected(reason) => {
            ModelError::BrokenStream { model, reason: asked.scrub(&reason) }
        }
        Lost::TooLarge(bytes) => too_large(model, bytes),
    };
    Failure { error, safe: false, retry_after: None, provider_failed: true }
}

fn too_large(model: String, bytes: u64) -> ModelError {
    let reason = format!("it grew over {bytes} bytes, which is the most that is read");
    ModelError::BrokenStream { model, reason }
}
