//! What a call hands back, and what can be turned into it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::ToolError;

/// Bytes with a media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// As in `image/png`.
    pub media_type: String,
    /// The bytes themselves.
    pub data: Vec<u8>,
}

/// One piece of what a reader is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A picture.
    Image(Blob),
    /// A sound.
    Audio(Blob),
    /// Something with a name that a reader can ask for again.
    Document {
        /// As the reader would ask for it.
        name: String,
        /// What it holds.
        body: Blob,
    },
}

/// The result of a call: content for readers and, beside it, the same for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// In the order to show.
    pub content: Vec<Content>,
    /// JSON text of an object.
    pub structured: Option<String>,
}

impl Output {
    /// One text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::Text(text.into())], structured: None }
    }

    /// The same output with one content more.
    #[must_use]
    pub fn with(mut self, content: Content) -> Self {
        self.content.push(content);
        self
    }

    /// The same output with `value` for programs: an object as it is, all else as
    /// `{"result": value}`.
    ///
    /// # Errors
    /// `Failed` where `value` is not JSON, as a map with keys that are no strings is not.
    pub fn with_structured(mut self, value: &impl Serialize) -> Result<Self, ToolError> {
        self.structured = Some(object(&json(value)?));
        Ok(self)
    }

    /// All text of the content, one piece a line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let texts = self.content.iter().filter_map(|content| match content {
            Content::Text(text) => Some(text.as_str()),
            Content::Image(_) | Content::Audio(_) | Content::Document { .. } => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// A result with a text of its own for readers, where JSON would be a poor one. The output schema
/// is that of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// For readers.
    pub text: String,
    /// For programs: the same result.
    pub value: T,
}

impl<T> Answer<T> {
    /// The same result twice: as text and as a value.
    pub fn new(text: impl Into<String>, value: T) -> Self {
        Self { text: text.into(), value }
    }
}

impl<T: JsonSchema> JsonSchema for Answer<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What a tool function may return.
///
/// Everything that serializes does: a string becomes text alone; an object becomes structured
/// output and its JSON as text; any other value becomes `{"result": value}` and its own text.
/// [`Answer`] has a text of its own; [`Output`] and [`Content`] go through as they are. A float
/// that is not finite has no JSON and becomes an empty output: check for it where it can happen.
pub trait IntoOutput {
    /// The output that the caller gets.
    ///
    /// # Errors
    /// `Failed` where the value is not JSON, as a map with keys that are no strings is not.
    fn into_output(self) -> Result<Output, ToolError>;
}

impl IntoOutput for Output {
    fn into_output(self) -> Result<Output, ToolError> {
        Ok(self)
    }
}

impl IntoOutput for Content {
    fn into_output(self) -> Result<Output, ToolError> {
        Ok(Output::default().with(self))
    }
}

impl<T: Serialize> IntoOutput for Answer<T> {
    fn into_output(self) -> Result<Output, ToolError> {
        Output::text(self.text).with_structured(&self.value)
    }
}

impl<T: Serialize> IntoOutput for T {
    fn into_output(self) -> Result<Output, ToolError> {
        let json = json(&self)?;
        // An empty result says nothing; so does its output.
        if json == "null" {
            return Ok(Output::default());
        }
        if json.starts_with('"') {
            return Ok(Output::text(serde_json::from_str::<String>(&json)?));
        }
        let structured = Some(object(&json));
        Ok(Output { structured, ..Output::text(json) })
    }
}

/// JSON text of an object: structured output is one, whatever the tool returns.
fn object(json: &str) -> String {
    if json.starts_with('{') { json.to_owned() } else { format!(r#"{{"result":{json}}}"#) }
}

/// JSON text straight from the value, so that members keep the order of the struct's fields.
fn json(value: &impl Serialize) -> Result<String, ToolError> {
    let json = serde_json::to_string(value).map_err(|error| {
        ToolError::Failed(format!("the tool's result cannot be written as JSON: {error}"))
    })?;
    let is_number = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match json.parse::<f64>() {
        Ok(number) if is_number && json.contains(['.', 'e']) => Ok(whole(number).unwrap_or(json)),
        _ => Ok(json),
    }
}

/// 80.0 as 80: the same number, and the way people write it.
fn whole(number: f64) -> Option<String> {
    /// Every whole number up to 2^53 is itself as a float.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then(|| (number as i64).to_string())
}
