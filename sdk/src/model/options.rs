//! How a model is asked. Everything is optional.

use std::time::Duration;

use crate::{Definition, Tool};

/// Which tools the model may or must call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool may be called.
    None,
    /// One must be called, any of them.
    Any,
    /// This one must be called.
    Named(String),
}

/// The options of one inference.
///
/// ```
/// use aos_sdk::model::{Options, ToolChoice};
///
/// let options = Options::new().max_output_tokens(500).tool_choice(ToolChoice::None);
/// assert_eq!(options.max_output_tokens, Some(500));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// `provider/model`; none for the agent's own.
    pub model: Option<String>,
    /// Where the reply is cut.
    pub max_output_tokens: Option<u32>,
    /// How much the model may think.
    pub reasoning_tokens_max: Option<u32>,
    /// From 0, always the likeliest word, upward.
    pub temperature: Option<f32>,
    /// Names of tools to offer, as `plugin__tool`; none offers every tool the agent holds.
    pub tools: Option<Vec<String>>,
    /// Tools that the agent itself answers.
    pub own_tools: Vec<Definition>,
    /// Which of the tools may or must be called.
    pub tool_choice: ToolChoice,
    /// Whether one reply may call several tools; none leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// JSON Schema that the reply must satisfy.
    pub response_schema: Option<String>,
    /// Texts at which the reply ends.
    pub stop_sequences: Vec<String>,
    /// How long to wait for the whole reply, in milliseconds; the host's own limit holds too.
    pub timeout_ms: Option<u64>,
    /// Names and values of what has no field yet.
    pub extra: Vec<(String, String)>,
}

impl Options {
    /// The agent's own model, with every tool it holds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks this model, as `provider/model`.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Cuts the reply after this many tokens.
    #[must_use]
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// Lets the model think for so many tokens at most.
    #[must_use]
    pub fn reasoning_tokens_max(mut self, tokens: u32) -> Self {
        self.reasoning_tokens_max = Some(tokens);
        self
    }

    /// From 0, always the likeliest word, upward.
    #[must_use]
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Offers these tools alone, named as `plugin__tool`.
    #[must_use]
    pub fn tools<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.tools = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Offers one tool more that the agent itself answers.
    #[must_use]
    pub fn own_tool<T: Tool>(mut self) -> Self {
        self.own_tools.push(T::definition());
        self
    }

    /// Says which tools may or must be called.
    #[must_use]
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = choice;
        self
    }

    /// Asks for one tool call a reply.
    #[must_use]
    pub fn one_call_a_turn(mut self) -> Self {
        self.parallel_tool_calls = Some(false);
        self
    }

    /// Asks for a reply that satisfies this JSON Schema. [`schema`](crate::schema) makes one of a
    /// type.
    #[must_use]
    pub fn response_schema(mut self, schema: impl Into<String>) -> Self {
        self.response_schema = Some(schema.into());
        self
    }

    /// Ends the reply where the model writes this.
    #[must_use]
    pub fn stop_at(mut self, sequence: impl Into<String>) -> Self {
        self.stop_sequences.push(sequence.into());
        self
    }

    /// Waits so long at most.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_ms = Some(crate::call::milliseconds(timeout));
        self
    }

    /// Sets what has no field yet.
    #[must_use]
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }
}
