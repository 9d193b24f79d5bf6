//! Requests through `wasi:http`, as far as the operator grants them with `--allow-net`.
//!
//! One request, one response: the host follows no redirect, and checks each request by method,
//! scheme, host and port. Natively a test answers instead (`testing::Host::serve`).

use std::fmt;
use std::time::Duration;

#[cfg(target_family = "wasm")]
mod guest;
#[cfg(target_family = "wasm")]
use guest as host;

#[cfg(not(target_family = "wasm"))]
use crate::testing::fakes as host;
use crate::{Denial, Limit};

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As in `GET`.
    pub method: String,
    /// Absolute, `http` or `https`.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
    /// For the connection, and for the first byte of the response; the host's own limit holds too.
    pub timeout: Option<Duration>,
    /// Of the response's body; what is over it is cut off.
    pub body_bytes_max: u64,
}

impl Request {
    /// 1 MiB: more than a page of text, less than a guest's memory.
    pub const BODY_BYTES_MAX: u64 = 1 << 20;

    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            body_bytes_max: Self::BODY_BYTES_MAX,
        }
    }

    /// A `GET` request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// The same request with one header more.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The denial of this request, with the flag that would allow it.
    #[must_use]
    pub fn denial(&self) -> Denial {
        let target = format!("{} {}", self.method, self.url);
        let origin = Url::parse(&self.url).map_or_else(|_| self.url.clone(), |url| url.origin());
        Denial::new("net", target, format!("--allow-net '{} {origin}'", self.method))
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// As in 404.
    pub status: u16,
    /// Names in lower case and values, in order; bytes that are not UTF-8 become �.
    pub headers: Vec<(String, String)>,
    /// At most what the request allows.
    pub body: Vec<u8>,
    /// Whether the body went on.
    pub truncated: bool,
}

impl Response {
    /// The first header of this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The host refused the request, or the address its name leads to.
    Denied(Denial),
    /// The request cannot be sent as it is.
    InvalidRequest(String),
    /// A limit of the host on sizes was reached.
    TooLarge(Limit),
    /// Nobody answered in time, or not in HTTP.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::InvalidRequest(message) => write!(f, "the request cannot be sent: {message}"),
            Self::TooLarge(limit) => limit.fmt(f),
            Self::Unavailable(message) => write!(f, "no response: {message}"),
        }
    }
}

impl std::error::Error for Error {}

/// Sends one request and waits for its response.
///
/// # Errors
/// Where the host refuses it, it cannot be sent, or no response comes. A response with a status
/// such as 404 or 500 is no error.
pub fn send(request: &Request) -> Result<Response, Error> {
    let url = Url::parse(&request.url)?;
    host::send(request, &url)
}

/// The parts of a URL that a request line needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// `http` or `https`.
    pub(crate) scheme: String,
    /// Host and, where it is written, port.
    pub(crate) authority: String,
    /// Path and query, at least `/`.
    pub(crate) path: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let invalid = |message: &str| Error::InvalidRequest(format!("{text}: {message}"));
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(invalid("a URL has no spaces; write %20"));
        }
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| invalid("write it as https://host/path"))?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(invalid("only http and https can be sent"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(invalid("put a user and password into an authorization header"));
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(invalid("it names no host"));
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, authority: authority.to_owned(), path })
    }

    fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_for_the_request_line() {
        let url = Url::parse("HTTPS://example.org:8443?q=1#top").expect("a URL");
        assert_eq!(url.origin(), "https://example.org:8443");
        assert_eq!(url.path, "/?q=1");
    }

    #[test]
    fn urls_that_cannot_be_sent_say_why() {
        for (text, reason) in [
            ("example.org", "https://host/path"),
            ("ftp://example.org", "only http and https"),
            ("http:///x", "names no host"),
            ("http://a:b@c/", "authorization header"),
            ("http://a b/", "%20"),
        ] {
            let error = Url::parse(text).expect_err(text);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn a_denial_names_method_and_origin() {
        let denial = Request::new("POST", "https://api.example.org/v1?x=1").denial();
        assert_eq!(denial.remedy, "--allow-net 'POST https://api.example.org'");
    }
}
