//! What is asked of a model, in no provider's words.

use crate::types::Content;
use serde_json::Value;

/// One inference. The wire modules turn it into a provider's JSON; what a provider cannot express
/// is [`super::ModelError::BadRequest`], never left out in silence, except where a field says so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The whole system prompt; empty for none.
    pub system: String,
    /// The conversation, oldest first. Messages of one role in a row are joined where a provider
    /// needs them to alternate.
    pub messages: Vec<Message>,
    /// Tools to offer, at most 128 of them (OpenAI's bound).
    pub tools: Vec<ToolOffer>,
    /// Whether, and which, tool must be called. Meaningless without tools.
    pub tool_choice: ToolChoice,
    /// False forbids more than one tool call in a reply; none leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// The most tokens that the reply may have, reasoning included. Always sent: none stands for
    /// the smaller of 4,096 and the model's own maximum.
    pub max_output_tokens: Option<u32>,
    /// 0 to 2. Left out where the provider refuses it (Anthropic while it reasons, o-series).
    pub temperature: Option<f32>,
    /// Texts at which the reply ends, at most 4.
    pub stop_sequences: Vec<String>,
    /// JSON Schema (an object) that the reply's text must satisfy.
    pub response_schema: Option<Value>,
    /// How many tokens the model may reason for; none for its default, 0 for no reasoning. For
    /// providers that know steps only: up to 2,048 is low, up to 8,192 medium, above it high.
    pub reasoning_tokens_max: Option<u32>,
    /// Where the prompt may be cached up to, for providers that want it said. The last four count.
    pub cache_breakpoints: Vec<Breakpoint>,
    /// Fields added to the provider's JSON body as they are, at its top, over all that is above.
    /// `stream`, `messages`, `model` and `tools` cannot be replaced.
    pub extra: Vec<(String, Value)>,
    /// Whose call this is. Not sent anywhere: a script keeps a place for each.
    pub caller: Caller,
    /// Ends the whole call, retries included; none for the host's own limit.
    pub timeout: Option<std::time::Duration>,
}

/// Whose call it is: scripts answer by it, other providers never see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The agent's name; `turn`s of a script can be for one name only.
    pub agent: String,
    /// What tells this agent from others of its name, as its pid.
    pub instance: u64,
    /// How many calls this agent had answered before. With it, a script's place survives a crash
    /// and a repeated call; none lets the script count for itself.
    pub answered: Option<u64>,
}

/// Who speaks. The system prompt is [`Request::system`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user, or tools through [`Part::ToolResult`].
    User,
    /// The model.
    Assistant,
}

/// One turn of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

impl Message {
    /// A message of one piece of text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::text(text)] }
    }
}

/// One piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text, or an image, a sound, a document where the model takes them.
    Content(Content),
    /// What the model thought, and everything else of the provider's own (calls of tools that ran
    /// on its side and their results). Sent back to the same provider, left out for others.
    Reasoning {
        /// For people; empty where the provider hides it.
        text: String,
        /// The provider's block, a JSON object with its signature, byte for byte as it will be
        /// sent back. Empty where there is nothing to send back.
        opaque: Vec<u8>,
    },
    /// The model wants a tool.
    ToolCall {
        /// The provider's name for this call, or one made here where it gave none.
        id: String,
        /// The tool, as it was offered.
        name: String,
        /// What the model wrote: meant to be a JSON object, and not checked here. Empty is `{}`.
        arguments: String,
    },
    /// What the tool answered.
    ToolResult {
        /// [`Part::ToolCall`]'s `id`.
        call_id: String,
        /// The answer's pieces. Providers that take text only get text only, others described.
        content: Vec<Content>,
        /// Whether the tool failed.
        is_error: bool,
    },
}

impl Part {
    /// A piece of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Content(Content::Text(text.into()))
    }
}

/// A tool as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolOffer {
    /// `[a-zA-Z0-9_-]`, 1 to 64 characters.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments, an object schema.
    pub input_schema: Value,
}

/// Whether a tool must be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool.
    None,
    /// Any tool, but one.
    Any,
    /// This one.
    Named(String),
}

/// A place up to which the prompt stays the same in later calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakpoint {
    /// After the tools.
    Tools,
    /// After the system prompt.
    System,
    /// After the last part of the message at this index.
    Message(usize),
}
