//! The text of a JSON object to a typed argument struct, with errors that name the JSON path.

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::de::{Deserializer, StrRead};

use crate::ToolError;

/// Parses the arguments of a call. A name that the struct does not have is an error too.
///
/// # Errors
/// `InvalidArguments` with the path of the argument and what was expected there.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ToolError> {
    let mut json = Deserializer::new(StrRead::new(text));
    let mut track = serde_path_to_error::Track::new();
    let mut unknown: Option<String> = None;
    let parsed = {
        let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
        let mut note = |path: Path<'_>| {
            unknown.get_or_insert_with(|| written(&path));
        };
        T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note))
    };
    let arguments = parsed.map_err(|error| invalid(&track.path().to_string(), &error))?;
    json.end().map_err(|error| invalid(".", &error))?;
    match unknown {
        Some(path) => Err(ToolError::invalid(&path, "there is no argument of this name")),
        None => Ok(arguments),
    }
}

/// As `serde_path_to_error` writes it: `lines[2].text`.
fn written(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", written(parent)),
        Path::Map { parent, key } => {
            let parent = written(parent);
            if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") }
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => written(parent),
    }
}

fn invalid(path: &str, error: &serde_json::Error) -> ToolError {
    if path == "." {
        // The root: the message alone says what is wrong, as in "missing field `path`".
        return ToolError::InvalidArguments(error.to_string());
    }
    ToolError::invalid(path, error)
}
