//! What messages, pages and results are made of, in both directions.

use super::bindings::aos::agent::types as agent;
use crate::agent::{Part, Reasoning, ToolCall, ToolResult};
use crate::component::{self, wit};
use crate::{Blob, Content, Denial, Limit, MissingIn, Output, ToolError};

pub(super) fn parts_out(parts: Vec<Part>) -> Vec<agent::Part> {
    parts.into_iter().map(part_out).collect()
}

fn part_out(part: Part) -> agent::Part {
    match part {
        Part::Content(content) => agent::Part::Content(component::content(content)),
        Part::Reasoning(Reasoning { text, opaque }) => {
            agent::Part::Reasoning(agent::Reasoning { text, opaque })
        }
        Part::ToolCall(ToolCall { id, name, arguments }) => {
            agent::Part::ToolCall(agent::ToolCall { id, name, arguments })
        }
        Part::ToolResult(ToolResult { call_id, outcome }) => {
            let outcome = outcome.map(component::output).map_err(component::error);
            agent::Part::ToolResult(agent::ToolResult { call_id, outcome })
        }
    }
}

pub(super) fn parts(parts: Vec<agent::Part>) -> Vec<Part> {
    parts.into_iter().map(part).collect()
}

fn part(part: agent::Part) -> Part {
    match part {
        agent::Part::Content(inner) => Part::Content(content(inner)),
        agent::Part::Reasoning(agent::Reasoning { text, opaque }) => {
            Part::Reasoning(Reasoning { text, opaque })
        }
        agent::Part::ToolCall(agent::ToolCall { id, name, arguments }) => {
            Part::ToolCall(ToolCall { id, name, arguments })
        }
        agent::Part::ToolResult(agent::ToolResult { call_id, outcome }) => {
            let outcome = outcome.map(output).map_err(tool_error);
            Part::ToolResult(ToolResult { call_id, outcome })
        }
    }
}

pub(super) fn output(output: wit::Output) -> Output {
    Output {
        content: output.content.into_iter().map(content).collect(),
        structured: output.structured,
    }
}

fn content(content: wit::Content) -> Content {
    match content {
        wit::Content::Text(text) => Content::Text(text),
        wit::Content::Image(body) => Content::Image(blob(body)),
        wit::Content::Audio(body) => Content::Audio(blob(body)),
        wit::Content::Document(wit::Document { name, body }) => {
            Content::Document { name, body: blob(body) }
        }
    }
}

fn blob(blob: wit::Blob) -> Blob {
    Blob { media_type: blob.media_type, data: blob.data }
}

pub(super) fn tool_error(error: wit::Error) -> ToolError {
    match error {
        wit::Error::UnknownTool(name) => ToolError::UnknownTool(name),
        wit::Error::InvalidArguments(message) => ToolError::InvalidArguments(message),
        wit::Error::Denied(missing) => ToolError::Denied(denial(missing)),
        wit::Error::Rejected(message) => ToolError::Rejected(message),
        wit::Error::LimitExceeded(reached) => ToolError::LimitExceeded(limit(reached)),
        wit::Error::Interrupted(message) => ToolError::Interrupted(message),
        wit::Error::Unavailable(message) => ToolError::Unavailable(message),
        wit::Error::Failed(message) => ToolError::Failed(message),
        wit::Error::Other((kind, message)) => ToolError::Other { kind, message },
    }
}

pub(super) fn denial(denial: wit::Denial) -> Denial {
    Denial {
        capability: denial.capability,
        target: denial.target,
        missing_in: match denial.missing_in {
            wit::MissingIn::Plugin => MissingIn::Plugin,
            wit::MissingIn::Operator => MissingIn::Operator,
            wit::MissingIn::Caller => MissingIn::Caller,
        },
        remedy: denial.remedy,
    }
}

pub(super) fn limit(limit: wit::Limit) -> Limit {
    Limit {
        name: limit.name,
        value: limit.value,
        unit: limit.unit,
        opens_in_ms: limit.opens_in_ms,
        remedy: limit.remedy,
    }
}
