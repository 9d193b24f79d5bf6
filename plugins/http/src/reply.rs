//! From a response to what the caller gets: a line with the status, and the body as what it is.

use std::collections::BTreeMap;

use aos_sdk::http::Response;
use aos_sdk::{Blob, Content, Output, ToolError};
use serde::Serialize;

use crate::markdown;

pub(crate) struct Reply {
    /// The last one, after redirects.
    pub(crate) url: String,
    /// Those before it.
    pub(crate) redirects: Vec<String>,
    pub(crate) response: Response,
    /// Whether HTML is to be turned into Markdown.
    pub(crate) markdown: bool,
}

#[derive(Serialize)]
struct Structured<'a> {
    url: &'a str,
    redirects: &'a [String],
    status: u16,
    /// Values of the same name are joined by `, `.
    headers: BTreeMap<&'a str, String>,
    size_bytes: usize,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    /// None where the body is not text.
    text: Option<&'a str>,
}

pub(crate) fn output(reply: Reply) -> Result<Output, ToolError> {
    let Reply { url, redirects, response, markdown } = reply;
    let media_type = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let text = text(&response, &media_type);
    let page = match &text {
        Some(html) if markdown && is_html(&media_type) => Some(markdown::from_html(html, &url)),
        _ => None,
    };
    let text = page.as_ref().map(|page| page.markdown.clone()).or(text);
    let output = Output::text(status_line(&url, &response)).with_structured(&Structured {
        url: &url,
        redirects: &redirects,
        status: response.status,
        headers: headers(&response),
        size_bytes: response.body.len(),
        truncated: response.truncated,
        title: page.as_ref().and_then(|page| page.title.as_deref()),
        text: text.as_deref(),
    })?;
    Ok(match text {
        Some(text) if text.is_empty() => output,
        Some(text) => output.with(Content::Text(text)),
        None => output.with(binary(url, &media_type, response.body)),
    })
}

fn status_line(url: &str, response: &Response) -> String {
    let cut = match response.truncated {
        true => format!(" [cut off after {} bytes]", response.body.len()),
        false => String::new(),
    };
    format!("{} {url}{cut}", response.status)
}

fn headers(response: &Response) -> BTreeMap<&str, String> {
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &response.headers {
        headers
            .entry(name)
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(value);
            })
            .or_insert_with(|| value.clone());
    }
    headers
}

fn is_html(media_type: &str) -> bool {
    media_type.starts_with("text/html") || media_type.starts_with("application/xhtml")
}

/// The body as text, where it is: UTF-8, or Latin 1 where the server says text and it is not.
fn text(response: &Response, media_type: &str) -> Option<String> {
    let body = &response.body;
    match std::str::from_utf8(body) {
        Ok(text) => Some(text.to_owned()),
        // A body that was cut off may end inside a character.
        Err(error) if response.truncated && error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).ok().map(str::to_owned)
        }
        Err(_) if media_type.starts_with("text/") || media_type.contains("charset=iso-8859") => {
            Some(body.iter().copied().map(char::from).collect())
        }
        Err(_) => None,
    }
}

fn binary(name: String, media_type: &str, data: Vec<u8>) -> Content {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let kind = media_type.split('/').next().unwrap_or_default();
    let media_type = if media_type.is_empty() { "application/octet-stream" } else { media_type };
    let body = Blob { media_type: media_type.to_owned(), data };
    match kind {
        "image" => Content::Image(body),
        "audio" => Content::Audio(body),
        _ => Content::Document { name, body },
    }
}
