//! A part of a page in three languages: the contract's, the pager's (words and opaque bytes), and
//! the model layer's. What is written is read back as it was.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::model;
use crate::pager::Part;
use crate::sandbox::agent::{tool, types};
use crate::types::{Blob, Content};

/// What a part is besides its words. Written into the store, so it only grows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
enum Wrap {
    Image { media_type: String, data: Bytes },
    Audio { media_type: String, data: Bytes },
    Document { name: String, media_type: String, data: Bytes },
    Reasoning { opaque: Bytes },
    Call { id: String, name: String },
    Result { call: String, failed: Option<tool::Error>, structured: Option<String> },
}

/// Bytes as base64.
#[derive(Clone, Debug)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Bytes of an opaque thing that count as one token: base64 in a provider's prompt.
const OPAQUE_BYTES_PER_TOKEN: usize = 3;

/// The contract's part as the pager keeps it; a tool result with images is several.
pub(super) fn kept(part: &types::Part) -> Vec<Part> {
    match part {
        types::Part::Content(content) => vec![kept_content(content)],
        types::Part::Reasoning(reasoning) => {
            let wrap = Wrap::Reasoning { opaque: Bytes(reasoning.opaque.clone()) };
            vec![wrapped(&reasoning.text, &wrap, reasoning.opaque.len()).passing()]
        }
        types::Part::ToolCall(call) => {
            let wrap = Wrap::Call { id: call.id.clone(), name: call.name.clone() };
            vec![wrapped(&call.arguments, &wrap, call.name.len())]
        }
        types::Part::ToolResult(result) => kept_result(result),
    }
}

fn kept_content(content: &tool::Content) -> Part {
    let blob = |blob: &tool::Blob| (blob.media_type.clone(), Bytes(blob.data.clone()));
    let (wrap, bytes) = match content {
        tool::Content::Text(text) => return Part::text(text.as_str()),
        tool::Content::Image(image) => {
            let (media_type, data) = blob(image);
            (Wrap::Image { media_type, data }, image.data.len())
        }
        tool::Content::Audio(audio) => {
            let (media_type, data) = blob(audio);
            (Wrap::Audio { media_type, data }, audio.data.len())
        }
        tool::Content::Document(document) => {
            let (media_type, data) = blob(&document.body);
            let name = document.name.clone();
            (Wrap::Document { name, media_type, data }, document.body.data.len())
        }
    };
    wrapped("", &wrap, bytes)
}

fn kept_result(result: &types::ToolResult) -> Vec<Part> {
    let call = result.call_id.clone();
    let output = match &result.outcome {
        Err(error) => {
            let text = error_text(error);
            let wrap = Wrap::Result { call, failed: Some(error.clone()), structured: None };
            return vec![wrapped(&text, &wrap, 0)];
        }
        Ok(output) => output,
    };
    let texts = output.content.iter().filter_map(|content| match content {
        tool::Content::Text(text) => Some(text.as_str()),
        tool::Content::Image(_) | tool::Content::Audio(_) | tool::Content::Document(_) => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    // A reader is shown the words; a tool that gives none is read by its structure.
    let text = match (&output.structured, text.is_empty()) {
        (Some(structured), true) => structured.clone(),
        _ => text,
    };
    let wrap = Wrap::Result { call, failed: None, structured: output.structured.clone() };
    let mut parts = vec![wrapped(&text, &wrap, 0)];
    let others = output.content.iter();
    let others = others.filter(|content| !matches!(content, tool::Content::Text(_)));
    parts.extend(others.map(kept_content));
    parts
}

fn wrapped(text: &str, wrap: &Wrap, bytes: usize) -> Part {
    // A closed type of strings always has its JSON.
    let wrap = serde_json::to_vec(wrap).unwrap_or_default();
    let tokens = u32::try_from(bytes.div_ceil(OPAQUE_BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
    Part::wrapped(text, wrap, tokens)
}

fn wrap_of(part: &Part) -> Option<Wrap> {
    part.wrap.as_deref().and_then(|wrap| serde_json::from_slice(wrap).ok())
}

/// The pager's part in the contract's words.
pub(in crate::kernel::agents) fn shown(part: &Part) -> types::Part {
    let text = part.text.to_string();
    let blob = |media_type, data: Bytes| tool::Blob { media_type, data: data.0 };
    types::Part::Content(match wrap_of(part) {
        None => tool::Content::Text(text),
        Some(Wrap::Image { media_type, data }) => tool::Content::Image(blob(media_type, data)),
        Some(Wrap::Audio { media_type, data }) => tool::Content::Audio(blob(media_type, data)),
        Some(Wrap::Document { name, media_type, data }) => {
            tool::Content::Document(tool::Document { name, body: blob(media_type, data) })
        }
        Some(Wrap::Reasoning { opaque }) => {
            return types::Part::Reasoning(types::Reasoning { text, opaque: opaque.0 });
        }
        Some(Wrap::Call { id, name }) => {
            return types::Part::ToolCall(types::ToolCall { id, name, arguments: text });
        }
        Some(Wrap::Result { call, failed, structured }) => {
            let outcome = match failed {
                Some(error) => Err(error),
                None => Ok(tool::Output { content: vec![tool::Content::Text(text)], structured }),
            };
            return types::Part::ToolResult(types::ToolResult { call_id: call, outcome });
        }
    })
}

/// Adds the pager's part to a message: what belongs to a tool result joins it.
pub(super) fn said(part: &Part, parts: &mut Vec<model::Part>) {
    let content = match shown(part) {
        types::Part::Reasoning(reasoning) => {
            let types::Reasoning { text, opaque } = reasoning;
            return parts.push(model::Part::Reasoning { text, opaque });
        }
        types::Part::ToolCall(call) => {
            let types::ToolCall { id, name, arguments } = call;
            return parts.push(model::Part::ToolCall { id, name, arguments });
        }
        types::Part::ToolResult(result) => {
            return parts.push(model::Part::ToolResult {
                call_id: result.call_id,
                content: vec![Content::Text(part.text.to_string())],
                is_error: result.outcome.is_err(),
            });
        }
        types::Part::Content(content) => Content::from(content),
    };
    match (parts.last_mut(), part.wrap.is_some()) {
        // An image after a tool's words is the tool's.
        (Some(model::Part::ToolResult { content: pieces, .. }), true) => pieces.push(content),
        _ => parts.push(model::Part::Content(content)),
    }
}

/// A reply of the model layer in the contract's words.
pub(in crate::kernel::agents) fn answered(part: model::Part) -> types::Part {
    match part {
        model::Part::Content(content) => types::Part::Content(content.into()),
        model::Part::Reasoning { text, opaque } => {
            types::Part::Reasoning(types::Reasoning { text, opaque })
        }
        model::Part::ToolCall { id, name, arguments } => {
            types::Part::ToolCall(types::ToolCall { id, name, arguments })
        }
        model::Part::ToolResult { call_id, content, is_error } => {
            let text = |content: Content| match content {
                Content::Text(text) => text,
                Content::Image(Blob { media_type, .. })
                | Content::Audio(Blob { media_type, .. })
                | Content::Document(_, Blob { media_type, .. }) => format!("[{media_type}]"),
            };
            let outcome = match is_error {
                true => Err(tool::Error::Failed(content.into_iter().map(text).collect())),
                false => Ok(tool::Output {
                    content: content.into_iter().map(Into::into).collect(),
                    structured: None,
                }),
            };
            types::Part::ToolResult(types::ToolResult { call_id, outcome })
        }
    }
}

/// A request's message in the model layer's words.
pub(in crate::kernel::agents) fn message(
    role: model::Role,
    parts: &[types::Part],
) -> model::Message {
    let mut message = model::Message { role, parts: Vec::with_capacity(parts.len()) };
    for part in parts.iter().flat_map(kept) {
        said(&part, &mut message.parts);
    }
    message
}

/// A tool's error as a model reads it.
pub(in crate::kernel::agents) fn error_text(error: &tool::Error) -> String {
    match error {
        tool::Error::UnknownTool(text) => format!("there is no such tool: {text}"),
        tool::Error::InvalidArguments(text) => format!("invalid arguments: {text}"),
        tool::Error::Denied(denial) => {
            format!("denied: {} {}; {}", denial.capability, denial.target, denial.remedy)
        }
        tool::Error::Rejected(text) => format!("rejected: {text}"),
        tool::Error::LimitExceeded(limit) => {
            format!("limit {} of {} {} reached", limit.name, limit.value, limit.unit)
        }
        tool::Error::Interrupted(text) => format!("interrupted, the outcome is unknown: {text}"),
        tool::Error::Unavailable(text) => format!("unavailable: {text}"),
        tool::Error::Failed(text) => text.clone(),
        tool::Error::Other((kind, text)) => format!("{kind}: {text}"),
    }
}
