//! What messages and pages are made of.

use crate::{Content, Output, ToolError};

/// A call that a model asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's own; the result carries it back.
    pub id: String,
    /// As in the toolbox: `plugin__tool`.
    pub name: String,
    /// JSON text of an object, as far as the model kept to that.
    pub arguments: String,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// Of the call that it answers.
    pub call_id: String,
    /// The output, or the error that the model reads.
    pub outcome: Result<Output, ToolError>,
}

/// What the model thought, where its provider gives it. It goes back byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// For a reader.
    pub text: String,
    /// For the provider.
    pub opaque: Vec<u8>,
}

/// One part of a message or a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text, an image, a sound, a document.
    Content(Content),
    /// What the model thought.
    Reasoning(Reasoning),
    /// A call that the model asks for.
    ToolCall(ToolCall),
    /// What came of one.
    ToolResult(ToolResult),
}

impl Part {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Content(Content::Text(text.into()))
    }

    /// The text of this part, where it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Content(Content::Text(text)) => Some(text),
            Self::Content(_) | Self::Reasoning(_) | Self::ToolCall(_) | Self::ToolResult(_) => None,
        }
    }
}

/// All text of `parts`, in order, as it is: providers may cut one text into several parts.
pub(crate) fn text(parts: &[Part]) -> String {
    parts.iter().filter_map(Part::as_text).collect()
}
