//! `format_json`: JSON text to JSON text.

use aos_sdk::{ToolError, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Format {
    /// The JSON text.
    text: String,
    /// Spaces a level: 0 writes all on one line, 2 where it is not given.
    #[serde(default = "two")]
    #[schemars(range(max = 8))]
    indent: usize,
    /// Sort the members of objects by name.
    #[serde(default)]
    sort_keys: bool,
}

fn two() -> usize {
    2
}

/// Formats JSON text, indented or on one line; where it is not JSON, the error says line and
/// column.
#[tool(read_only, idempotent, title = "Format JSON")]
pub(crate) fn format_json(arguments: Format) -> Result<String, ToolError> {
    let mut value: Value =
        serde_json::from_str(&arguments.text).map_err(|error| ToolError::invalid("text", error))?;
    if arguments.sort_keys {
        value = sorted(value);
    }
    if arguments.indent == 0 {
        return Ok(value.to_string());
    }
    let indent = " ".repeat(arguments.indent.min(8));
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8(bytes)?)
}

/// The parser bounds how deep a value nests, so the recursion is bounded too.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            let members = members.into_iter().map(|(name, value)| (name, sorted(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        other => other,
    }
}
