//! `validate_json`: JSON Schema.

use aos_sdk::{Answer, ToolError, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{given, load};

/// More errors than these do not help to correct a document.
const ERRORS_MAX: usize = 100;
/// A message quotes the value; a large one is cut off.
const MESSAGE_CHARACTERS_MAX: usize = 300;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Validate {
    /// The document, as JSON.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Value")]
    document: Option<Value>,
    /// A file that holds the document, instead of `document`.
    file: Option<String>,
    /// The schema: draft 2020-12, or the draft that its `$schema` names. Only references within
    /// the schema are followed.
    schema: Value,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Verdict {
    valid: bool,
    /// At most 100.
    errors: Vec<Violation>,
}

#[derive(Serialize, JsonSchema)]
struct Violation {
    /// Where in the document: a JSON Pointer, empty for all of it.
    path: String,
    /// Where in the schema.
    schema_path: String,
    message: String,
}

/// Validates a JSON document against a JSON Schema, and lists what is wrong and where.
///
/// A document that is not valid is a result, not an error of the tool.
#[tool(read_only, idempotent, title = "Validate JSON")]
pub(crate) fn validate_json(arguments: Validate) -> Result<Answer<Verdict>, ToolError> {
    let validator = jsonschema::validator_for(&arguments.schema)
        .map_err(|error| ToolError::invalid("schema", cut(&error.to_string())))?;
    let document = load(arguments.document, arguments.file.as_deref())?;
    let errors: Vec<Violation> = validator
        .iter_errors(&document)
        .take(ERRORS_MAX)
        .map(|error| Violation {
            path: error.instance_path().to_string(),
            schema_path: error.schema_path().to_string(),
            message: cut(&error.to_string()),
        })
        .collect();
    if errors.is_empty() {
        return Ok(Answer::new("valid", Verdict { valid: true, errors }));
    }
    let plural = if errors.len() == 1 { "" } else { "s" };
    let mut text = format!("not valid: {} error{plural}", errors.len());
    for Violation { path, message, .. } in &errors {
        let path = if path.is_empty() { "the document" } else { path };
        text.push_str(&format!("\n{path}: {message}"));
    }
    Ok(Answer::new(text, Verdict { valid: false, errors }))
}

fn cut(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_CHARACTERS_MAX) {
        None => message.to_owned(),
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}
