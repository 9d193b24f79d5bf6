//! `diff_json` and `patch_json`: RFC 6902, RFC 7386.

use aos_sdk::{Answer, ToolError, tool};
use json_patch::Patch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Diff {
    /// The document before.
    from: Value,
    /// The document after.
    to: Value,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Difference {
    /// RFC 6902 operations that make `to` of `from`; empty where the two are equal.
    patch: Vec<Value>,
}

/// Compares two JSON documents. The result is an RFC 6902 patch that makes `to` of `from`.
#[tool(read_only, idempotent, title = "Diff JSON")]
pub(crate) fn diff_json(arguments: Diff) -> Result<Answer<Difference>, ToolError> {
    let operations = json_patch::diff(&arguments.from, &arguments.to).0;
    let patch: Vec<Value> =
        operations.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    let lines: Vec<String> = patch.iter().map(Value::to_string).collect();
    let text = if lines.is_empty() { "[no difference]".to_owned() } else { lines.join("\n") };
    Ok(Answer::new(text, Difference { patch }))
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    #[default]
    JsonPatch,
    MergePatch,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct PatchJson {
    /// The document to change.
    document: Value,
    /// The patch.
    patch: Value,
    /// What the patch is: `json_patch`, a list of RFC 6902 operations, or `merge_patch`, an
    /// RFC 7386 object whose members are set, and removed where they are null.
    #[serde(default)]
    kind: Kind,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Patched {
    document: Value,
}

/// Applies an RFC 6902 patch, or an RFC 7386 merge patch, to a JSON document and returns the
/// result. It fails as a whole where an operation cannot be applied.
#[tool(read_only, idempotent, title = "Patch JSON")]
pub(crate) fn patch_json(arguments: PatchJson) -> Result<Answer<Patched>, ToolError> {
    let PatchJson { mut document, patch, kind } = arguments;
    match kind {
        Kind::MergePatch => json_patch::merge(&mut document, &patch),
        Kind::JsonPatch => {
            let patch: Patch = serde_json::from_value(patch)
                .map_err(|error| ToolError::invalid("patch", error))?;
            json_patch::patch(&mut document, &patch)
                .map_err(|error| ToolError::invalid("patch", error))?;
        }
    }
    Ok(Answer::new(document.to_string(), Patched { document }))
}
