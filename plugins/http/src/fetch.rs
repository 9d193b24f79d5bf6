//! `fetch`: `GET` and `HEAD`, with redirects.

use std::collections::BTreeMap;
use std::time::Duration;

use aos_sdk::http::{self, Request, Response};
use aos_sdk::{Output, ToolError, tool};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::reply::{self, Reply};
use crate::url;

pub(crate) const BYTES_MAX: u64 = 8 << 20;
const REDIRECTS_MAX: usize = 10;

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    #[default]
    Get,
    Head,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Fetch {
    /// The page, for example `https://example.org/docs?page=2`.
    url: String,
    /// `HEAD` asks for status and headers alone.
    #[serde(default)]
    method: Method,
    /// Headers to send, by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Turn HTML into Markdown: much shorter, with links made absolute.
    #[serde(default)]
    markdown: bool,
    /// How many bytes of the body to read at most: 1048576 where it is not given, never more than
    /// 8388608. What is over is cut off, and the reply says so.
    #[schemars(range(min = 1, max = 8_388_608))]
    bytes_max: Option<u64>,
    /// How long to wait for the connection and for the first byte. The host's own limit holds too.
    #[schemars(range(min = 1))]
    timeout_ms: Option<u64>,
    /// Return a redirect instead of following it.
    #[serde(default)]
    stay: bool,
}

/// Fetches a page and returns its status, headers and body.
///
/// Text comes as text, images and other bytes as what they are; `markdown` makes HTML readable.
/// Up to 10 redirects are followed, each one only where it is granted as well. A status such as
/// 404 is a result, not an error.
#[tool(read_only, idempotent, open_world, title = "Fetch")]
pub(crate) fn fetch(arguments: Fetch) -> Result<Output, ToolError> {
    let method = match arguments.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
    };
    let mut request = Request {
        headers: arguments.headers.into_iter().collect(),
        timeout: arguments.timeout_ms.map(Duration::from_millis),
        body_bytes_max: arguments.bytes_max.unwrap_or(Request::BODY_BYTES_MAX).min(BYTES_MAX),
        ..Request::new(method, arguments.url)
    };
    let mut redirects = Vec::new();
    let response = loop {
        let response = http::send(&request)?;
        let Some(target) = redirect(&request, &response).filter(|_| !arguments.stay) else {
            break response;
        };
        if redirects.len() == REDIRECTS_MAX {
            let message = format!("{} redirected more than {REDIRECTS_MAX} times", redirects[0]);
            return Err(ToolError::failed(message));
        }
        if !url::same_origin(&request.url, &target) {
            // They were meant for the first server, not for the one it names.
            request.headers.retain(|(name, _)| !is_secret(name));
        }
        redirects.push(std::mem::replace(&mut request.url, target));
    };
    reply::output(Reply { url: request.url, redirects, response, markdown: arguments.markdown })
}

fn redirect(request: &Request, response: &Response) -> Option<String> {
    match response.status {
        301 | 302 | 303 | 307 | 308 => Some(url::join(&request.url, response.header("location")?)),
        _ => None,
    }
}

fn is_secret(name: &str) -> bool {
    ["authorization", "cookie", "proxy-authorization"]
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}
