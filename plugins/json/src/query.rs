//! `query_json`: RFC 9535.

use aos_sdk::{Answer, ToolError, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::document::{given, load};

const RESULTS_DEFAULT: usize = 1000;
const RESULTS_MAX: usize = 10_000;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Query {
    /// The document, as JSON.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Value")]
    document: Option<Value>,
    /// A file that holds the document, instead of `document`.
    file: Option<String>,
    /// An RFC 9535 JSONPath, for example `$.store.book[?@.price < 10].title`.
    query: String,
    /// Return the normalized path of each value, too.
    #[serde(default)]
    paths: bool,
    /// How many values to return at most: 1000 where it is not given, never more than 10000.
    #[schemars(range(min = 1, max = 10_000))]
    results_max: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Selected {
    values: Vec<Value>,
    /// One a value, where paths were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
    /// Whether there are more values.
    truncated: bool,
}

/// Selects values of a JSON document by an RFC 9535 JSONPath.
///
/// Each value comes on a line of its own, as JSON; with `paths`, its path comes before it. The
/// functions length, count, match, search and value can be used in filters.
#[tool(read_only, idempotent, title = "Query JSON")]
pub(crate) fn query_json(arguments: Query) -> Result<Answer<Selected>, ToolError> {
    let path =
        JsonPath::parse(&arguments.query).map_err(|error| ToolError::invalid("query", error))?;
    let document = load(arguments.document, arguments.file.as_deref())?;
    let limit = arguments.results_max.unwrap_or(RESULTS_DEFAULT).min(RESULTS_MAX);
    let located = path.query_located(&document);
    let truncated = located.len() > limit;
    let mut lines = Vec::new();
    let mut selected = Selected { values: Vec::new(), paths: None, truncated };
    for node in located.iter().take(limit) {
        let (value, path) = (node.node(), node.location().to_string());
        if arguments.paths {
            lines.push(format!("{path}: {value}"));
            selected.paths.get_or_insert_default().push(path);
        } else {
            lines.push(value.to_string());
        }
        selected.values.push(value.clone());
    }
    if lines.is_empty() {
        lines.push("[nothing matches]".to_owned());
    }
    if truncated {
        lines.push(format!("[more than {limit} values; narrow the query]"));
    }
    Ok(Answer::new(lines.join("\n"), selected))
}
