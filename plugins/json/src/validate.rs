//! `validate_json`: JSON Schema.

use aos_sdk::{Answer, Limit, ToolError, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{given, load};
use crate::schema::{Schema, Stopped, Violation};

/// More errors than these do not help to correct a document.
const ERRORS_MAX: usize = 100;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Validate {
    /// The document, as JSON.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Value")]
    document: Option<Value>,
    /// A file that holds the document, instead of `document`.
    file: Option<String>,
    /// The schema: draft 2020-12; the spellings of drafts 4 to 7 are read as well. Only references
    /// within the schema are followed.
    schema: Value,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Verdict {
    valid: bool,
    /// At most 100.
    errors: Vec<Violation>,
}

/// Validates a JSON document against a JSON Schema, and lists what is wrong and where.
///
/// A document that is not valid is a result, not an error of the tool.
#[tool(read_only, idempotent, title = "Validate JSON")]
pub(crate) fn validate_json(arguments: Validate) -> Result<Answer<Verdict>, ToolError> {
    let schema =
        Schema::new(&arguments.schema).map_err(|error| ToolError::invalid("schema", error))?;
    let document = load(arguments.document, arguments.file.as_deref())?;
    let mut errors = schema.check(&document).map_err(stopped)?;
    let count = errors.len();
    errors.truncate(ERRORS_MAX);
    if errors.is_empty() {
        return Ok(Answer::new("valid", Verdict { valid: true, errors }));
    }
    let plural = if count == 1 { "" } else { "s" };
    let mut text = format!("not valid: {count} error{plural}");
    for Violation { path, message, .. } in &errors {
        let path = if path.is_empty() { "the document" } else { path };
        text.push_str(&format!("\n{path}: {message}"));
    }
    Ok(Answer::new(text, Verdict { valid: false, errors }))
}

fn stopped(stopped: Stopped) -> ToolError {
    let (name, value, unit, remedy) = match stopped {
        Stopped::TooDeep(most) => ("schema depth", most, "levels", "look for a $ref to itself"),
        Stopped::TooLong(most) => ("schema steps", most, "steps", "use a simpler schema"),
    };
    ToolError::LimitExceeded(Limit {
        name: name.to_owned(),
        value: value as u64,
        unit: unit.to_owned(),
        opens_in_ms: None,
        remedy: remedy.to_owned(),
    })
}
