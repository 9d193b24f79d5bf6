//! What both formats need to write a request: bounds, media, effort, fields of the caller's own.

use super::catalogue::ModelFacts;
use super::request::{Request, ToolChoice};
use crate::types::{Blob, Content};
use base64::Engine as _;
use serde_json::{Map, Value, json};

/// Tokens of a reply when nobody says, as `ARCHITECTURE.md` (Scheduling) has it.
const OUTPUT_TOKENS_DEFAULT: u32 = 4096;
/// Tools in one request at most (OpenAI's bound; it is the lowest).
pub(super) const TOOLS_MAX: usize = 128;
/// Above these budgets, in tokens, the effort is medium, and high.
const EFFORT_STEPS: [u32; 2] = [2048, 8192];
/// What `extra` cannot replace: the host reads streams, and counts on what it sent.
const FIXED_FIELDS: [&str; 4] = ["stream", "messages", "model", "tools"];

/// The request cannot be said to this model: one sentence's end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// The most tokens that the reply may have: what is sent, and what is to be reserved.
pub fn output_tokens_max(request: &Request, facts: &ModelFacts) -> u32 {
    let asked = request.max_output_tokens.unwrap_or(OUTPUT_TOKENS_DEFAULT);
    asked.clamp(1, facts.output_tokens_max)
}

pub(super) fn base64_of(blob: &Blob) -> String {
    base64::engine::general_purpose::STANDARD.encode(&blob.data)
}

/// A piece in words, for providers that take text only.
pub(super) fn describe(content: &Content) -> String {
    let sized = |what: &str, blob: &Blob| {
        format!("[{what} {}, {} bytes, not shown]", blob.media_type, blob.data.len())
    };
    match content {
        Content::Text(text) => text.clone(),
        Content::Image(blob) => sized("an image", blob),
        Content::Audio(blob) => sized("a sound", blob),
        Content::Document(name, blob) => match std::str::from_utf8(&blob.data) {
            Ok(text) => format!("[document {name}]\n{text}"),
            Err(_) => sized(&format!("document {name}"), blob),
        },
    }
}

/// What a model wrote as arguments, as the object that providers want back. It was told of
/// arguments that are no object by its tool's result; what it wrote stays readable.
pub(super) fn arguments(written: &str) -> Value {
    match serde_json::from_str(written) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ if written.trim().is_empty() => json!({}),
        _ => json!({"invalid_arguments": written}),
    }
}

/// The step for a budget in tokens; `off` is the word for 0.
pub(super) fn effort(budget: u32, off: &str) -> &str {
    match budget {
        0 => off,
        low if low <= EFFORT_STEPS[0] => "low",
        medium if medium <= EFFORT_STEPS[1] => "medium",
        _ => "high",
    }
}

pub(super) fn temperature(temperature: f32) -> Result<Value, Refused> {
    if !(0.0..=2.0).contains(&temperature) {
        return Err(Refused::new(format!("temperature {temperature} is not 0 to 2")));
    }
    // As it was written: 0.7, not the nearest single's sixteen digits.
    let written = temperature.to_string();
    Ok(serde_json::from_str(&written).unwrap_or_else(|_| json!(temperature)))
}

/// Refuses to force a tool on a model that cannot be forced, and what cannot be a set of tools.
pub(super) fn forced(request: &Request, facts: &ModelFacts) -> Result<(), Refused> {
    if request.tools.len() > TOOLS_MAX {
        let offered = request.tools.len();
        return Err(Refused::new(format!("{offered} tools are offered, {TOOLS_MAX} can be")));
    }
    match &request.tool_choice {
        ToolChoice::Any | ToolChoice::Named(_) if !facts.quirks.forced_tools => Err(Refused::new(
            "it cannot be forced to call a tool while it thinks: use the choice `auto`",
        )),
        ToolChoice::Named(name) if request.tools.iter().all(|tool| tool.name != *name) => {
            Err(Refused::new(format!("the tool `{name}` that it must call is not offered")))
        }
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Any | ToolChoice::Named(_) => Ok(()),
    }
}

/// Adds the caller's own fields.
pub(super) fn extra(request: &Request, body: &mut Map<String, Value>) -> Result<(), Refused> {
    for (key, value) in &request.extra {
        if FIXED_FIELDS.contains(&key.as_str()) {
            return Err(Refused::new(format!("the extra field `{key}` is the host's own")));
        }
        body.insert(key.clone(), value.clone());
    }
    Ok(())
}
