//! The host's words for tools in the contract's words, on their way into an agent.

use crate::sandbox::agent::tool;
use crate::types::{
    Behaviour, Blob, Content, Definition, Denial, LimitHit, MissingIn, Output, ToolError,
};

impl From<&Definition> for tool::Definition {
    fn from(definition: &Definition) -> Self {
        let Behaviour { read_only, destructive, idempotent, open_world } = definition.behaviour;
        Self {
            name: definition.name.clone(),
            title: definition.title.clone(),
            description: definition.description.clone(),
            input_schema: definition.input_schema.to_string(),
            output_schema: definition.output_schema.as_ref().map(ToString::to_string),
            behaviour: tool::Behaviour { read_only, destructive, idempotent, open_world },
        }
    }
}

impl From<Output> for tool::Output {
    fn from(output: Output) -> Self {
        Self {
            content: output.content.into_iter().map(Into::into).collect(),
            structured: output.structured.map(|value| value.to_string()),
        }
    }
}

impl From<Content> for tool::Content {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text),
            Content::Image(blob) => Self::Image(blob.into()),
            Content::Audio(blob) => Self::Audio(blob.into()),
            Content::Document(name, body) => {
                Self::Document(tool::Document { name, body: body.into() })
            }
        }
    }
}

impl From<tool::Content> for Content {
    fn from(content: tool::Content) -> Self {
        match content {
            tool::Content::Text(text) => Self::Text(text),
            tool::Content::Image(blob) => Self::Image(blob.into()),
            tool::Content::Audio(blob) => Self::Audio(blob.into()),
            tool::Content::Document(document) => {
                Self::Document(document.name, document.body.into())
            }
        }
    }
}

impl From<Blob> for tool::Blob {
    fn from(Blob { media_type, data }: Blob) -> Self {
        Self { media_type, data }
    }
}

impl From<tool::Blob> for Blob {
    fn from(tool::Blob { media_type, data }: tool::Blob) -> Self {
        Self { media_type, data }
    }
}

impl From<Denial> for tool::Denial {
    fn from(denial: Denial) -> Self {
        Self {
            capability: denial.capability,
            target: denial.target,
            missing_in: match denial.missing_in {
                MissingIn::Plugin => tool::MissingIn::Plugin,
                MissingIn::Operator => tool::MissingIn::Operator,
                MissingIn::Caller => tool::MissingIn::Caller,
            },
            remedy: denial.remedy,
        }
    }
}

impl From<LimitHit> for tool::Limit {
    fn from(hit: LimitHit) -> Self {
        Self {
            name: hit.name.into_owned(),
            value: hit.value,
            unit: hit.unit.into_owned(),
            opens_in_ms: None,
            remedy: hit.remedy.into_owned(),
        }
    }
}

impl From<ToolError> for tool::Error {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::UnknownTool(text) => Self::UnknownTool(text),
            ToolError::InvalidArguments(text) => Self::InvalidArguments(text),
            ToolError::Denied(denial) => Self::Denied(denial.into()),
            ToolError::Rejected(text) => Self::Rejected(text),
            ToolError::Limit(hit) => Self::LimitExceeded(hit.into()),
            ToolError::Interrupted(text) => Self::Interrupted(text),
            ToolError::Unavailable(text) => Self::Unavailable(text),
            ToolError::Failed(text) => Self::Failed(text),
            ToolError::Other(kind, text) => Self::Other((kind, text)),
        }
    }
}
