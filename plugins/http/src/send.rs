//! `send`: any method, with a body.

use std::collections::BTreeMap;
use std::time::Duration;

use aos_sdk::http::{self, Request};
use aos_sdk::{Output, ToolError, call, tool};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::fetch::BYTES_MAX;
use crate::reply::{self, Reply};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Send {
    /// Where to send it, for example `https://api.example.org/items`.
    url: String,
    /// `POST`, `PUT`, `PATCH`, `DELETE` or another method, in upper case.
    #[schemars(regex(pattern = r"^[A-Z]+$"))]
    method: String,
    /// Headers to send, by name; for a body usually `content-type`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body, as text.
    #[serde(default)]
    body: String,
    /// How many bytes of the reply's body to read at most: 1048576 where it is not given, never
    /// more than 8388608.
    #[schemars(range(min = 1, max = 8_388_608))]
    bytes_max: Option<u64>,
    /// How long to wait for the connection and for the first byte. The host's own limit holds too.
    #[schemars(range(min = 1))]
    timeout_ms: Option<u64>,
}

/// Sends a request with any method and body, and returns the reply's status, headers and body.
///
/// Redirects are not followed. `POST` and `PATCH` carry the call's id as `idempotency-key`, so that
/// a server that knows it does the work once. To read a page, use `fetch`.
#[tool(destructive, open_world, title = "Send request")]
pub(crate) fn send(arguments: Send) -> Result<Output, ToolError> {
    let mut headers: Vec<(String, String)> = arguments.headers.into_iter().collect();
    let method = arguments.method.to_ascii_uppercase();
    let keyed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
    if matches!(method.as_str(), "POST" | "PATCH") && !keyed {
        headers.push(("idempotency-key".to_owned(), call::id()));
    }
    let request = Request {
        headers,
        body: arguments.body.into_bytes(),
        timeout: arguments.timeout_ms.map(Duration::from_millis),
        body_bytes_max: arguments.bytes_max.unwrap_or(Request::BODY_BYTES_MAX).min(BYTES_MAX),
        ..Request::new(method, arguments.url)
    };
    let response = http::send(&request)?;
    reply::output(Reply { url: request.url, redirects: Vec::new(), response, markdown: false })
}
