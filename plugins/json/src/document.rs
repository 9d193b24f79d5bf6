//! Where a document comes from: the call itself, or a file.

use aos_sdk::{ToolError, fs};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A parsed document takes several times its text in memory.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The one of the two that is given.
pub(crate) fn load(document: Option<Value>, file: Option<&str>) -> Result<Value, ToolError> {
    match (document, file) {
        (Some(document), None) => Ok(document),
        (None, Some(file)) => read(file),
        (Some(_), Some(_)) => Err(ToolError::invalid("file", "give document or file, not both")),
        (None, None) => Err(ToolError::invalid("document", "give document or file")),
    }
}

fn read(file: &str) -> Result<Value, ToolError> {
    let bytes = fs::read_up_to(file, FILE_BYTES_MAX + 1)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ToolError::failed(format!("{file} is larger than {FILE_BYTES_MAX} bytes")));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| ToolError::failed(format!("{file} is not JSON: {error}")))
}

/// `null` is a document; only a field that is not there is none.
pub(crate) fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}
