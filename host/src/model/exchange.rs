//! One exchange with a provider over HTTP: TLS, time-outs, bounds. Knows bytes and events; knows
//! nothing of what they mean, of retries or of limits.
//!
//! No redirect is followed: a key goes only where the operator sent it. Of proxies only an
//! `HTTPS_PROXY` is used, which never sees what is inside TLS.

use super::sse::Events;
use reqwest::{Client, Response};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of an answer that is no stream, an error or a list, read at most.
const PLAIN_BYTES_MAX: usize = 256 << 10;
/// How long a stream that has said its last word may take to end, so that its connection can
/// serve again.
const LAST_WORD: Duration = Duration::from_millis(50);

/// How long each step of a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From sending until the answer's head.
    pub first_byte: Duration,
    /// Between two pieces of the answer. Models that reason say nothing for minutes.
    pub idle: Duration,
    /// The whole call, with its retries.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(180),
            total: Duration::from_secs(1800),
        }
    }
}

/// Makes the client. Fails with a sentence when no authority can be trusted.
pub(super) fn client(
    timeouts: &Timeouts,
    proxy: Option<(&str, Option<&str>)>,
    own_roots: &[CertificateDer<'static>],
) -> Result<Client, String> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls(own_roots)?)
        .redirect(reqwest::redirect::Policy::none())
        // This layer's own retries know what is safe.
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(timeouts.connect)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_adaptive_window(true)
        .user_agent(concat!("aos-host/", env!("CARGO_PKG_VERSION")));
    if let Some((url, except)) = proxy {
        let except = except.and_then(reqwest::NoProxy::from_string);
        let proxy = reqwest::Proxy::https(url)
            .map_err(|_| "HTTPS_PROXY is not a URL, as http://proxy.example:3128".to_owned())?;
        builder = builder.proxy(proxy.no_proxy(except));
    }
    builder.build().map_err(|error| chain(&error.without_url()))
}

/// The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them), Mozilla's where the
/// system has none, and the operator's own.
fn tls(own_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (usable, _) = roots.add_parsable_certificates(native.certs);
    if usable == 0 {
        let named =
            ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some());
        // Whoever names a file wants those roots and no others: falling back would trust more.
        if let (true, Some(error)) = (named, native.errors.first()) {
            return Err(format!("the trusted authorities cannot be read: {error}"));
        }
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in own_roots {
        roots.add(root.clone()).map_err(|error| format!("an authority is not usable: {error}"))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// How an exchange failed before or while its answer came.
#[derive(Debug)]
pub(super) enum Lost {
    /// No connection: nothing was sent.
    Unconnected(String),
    /// The connection broke.
    Broken(String),
    /// A step took too long: which, and how long it had.
    Late(&'static str, Duration),
    /// The answer is larger than its bound, in bytes.
    TooLarge(u64),
}

/// Sends, and waits for the answer's head.
pub(super) async fn send(
    request: reqwest::RequestBuilder,
    timeouts: &Timeouts,
) -> Result<Response, Lost> {
    match timeout(timeouts.first_byte, request.send()).await {
        Err(_) => Err(Lost::Late("answer", timeouts.first_byte)),
        Ok(Err(error)) if error.is_connect() && error.is_timeout() => {
            Err(Lost::Late("accept the connection", timeouts.connect))
        }
        Ok(Err(error)) => {
            let unconnected = error.is_connect();
            let reason = chain(&error.without_url());
            Err(if unconnected { Lost::Unconnected(reason) } else { Lost::Broken(reason) })
        }
        Ok(Ok(response)) => Ok(response),
    }
}

/// An answer that is no stream, cut at its bound where it is an error, refused there where it is
/// not.
pub(super) async fn body(
    mut response: Response,
    timeouts: &Timeouts,
    bytes_max: u64,
) -> Result<Vec<u8>, Lost> {
    let mut whole = Vec::new();
    while let Some(piece) = piece(&mut response, timeouts.idle).await? {
        if (whole.len() + piece.len()) as u64 > bytes_max {
            return Err(Lost::TooLarge(bytes_max));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// The first part of an answer, for an error's words: what cannot be read is left out.
pub(super) async fn words(mut response: Response, timeouts: &Timeouts) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Ok(Some(piece)) = piece(&mut response, timeouts.idle).await {
        whole.extend_from_slice(&piece);
        if whole.len() > PLAIN_BYTES_MAX {
            whole.truncate(PLAIN_BYTES_MAX);
            break;
        }
    }
    whole
}

async fn piece(response: &mut Response, idle: Duration) -> Result<Option<bytes::Bytes>, Lost> {
    match timeout(idle, response.chunk()).await {
        Err(_) => Err(Lost::Late("send more", idle)),
        Ok(Err(error)) => Err(Lost::Broken(chain(&error.without_url()))),
        Ok(Ok(piece)) => Ok(piece),
    }
}

/// A stream of events, as it comes.
#[derive(Debug)]
pub(super) struct EventStream {
    response: Response,
    events: Option<Events>,
    bytes: u64,
    bytes_max: u64,
    idle: Duration,
}

impl EventStream {
    pub(super) fn new(response: Response, timeouts: &Timeouts, bytes_max: u64) -> Self {
        Self { response, events: Some(Events::default()), bytes: 0, bytes_max, idle: timeouts.idle }
    }

    /// The next events; none at the end of the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<String>>, Lost> {
        let Some(events) = &mut self.events else { return Ok(None) };
        let mut out = Vec::new();
        let Some(piece) = piece(&mut self.response, self.idle).await? else {
            let events = self.events.take().unwrap_or_default();
            return match events.finish() {
                Ok(last) => Ok(Some(last)),
                Err(large) => Err(Lost::Broken(large.to_string())),
            };
        };
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        if self.bytes > self.bytes_max {
            return Err(Lost::TooLarge(self.bytes_max));
        }
        events.push(&piece, &mut out).map_err(|large| Lost::Broken(large.to_string()))?;
        Ok(Some(out))
    }

    /// The provider has said its last word: what ends the answer is read, so that the connection
    /// can be used again, and nothing is waited for.
    pub(super) async fn close(mut self) {
        let drained = async {
            // A few pieces at most: an empty line, a last chunk.
            for _ in 0..4 {
                if !matches!(self.response.chunk().await, Ok(Some(_))) {
                    break;
                }
            }
        };
        // Too late is no fault: the connection is closed instead.
        let _in_time = timeout(LAST_WORD, drained).await;
    }
}

/// An error with its causes on one line; reqwest's own sentence alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    // Eight causes are more than any error has.
    for _ in 0..8 {
        let Some(inner) = source else { break };
        let inner_words = inner.to_string();
        if !words.contains(&inner_words) {
            words.push_str(": ");
            words.push_str(&inner_words);
        }
        source = inner.source();
    }
    words
}
