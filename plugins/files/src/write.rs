//! `write_file`: a whole file, atomically.

use std::io::Write;

use aos_sdk::{Answer, ToolError, fs, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct WriteFile {
    /// The file, for example `/out/report.md`.
    path: String,
    /// The whole text of the file.
    content: String,
    /// Only make a new file: one that is there already is left as it is, and is an error.
    #[serde(default)]
    create_new: bool,
    /// Make the directories above the file that are missing.
    #[serde(default)]
    create_parents: bool,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Written {
    path: String,
    size_bytes: u64,
    /// Whether the file is new.
    created: bool,
}

/// Writes a file as a whole. A reader sees all of the old text or all of the new, never a part.
///
/// An existing file is replaced, unless `create_new` is set. To change a part, use `edit_file`.
#[tool(destructive, idempotent, title = "Write file")]
pub(crate) fn write_file(arguments: WriteFile) -> Result<Answer<Written>, ToolError> {
    let WriteFile { path, content, create_new, create_parents } = arguments;
    if create_parents && let Some((parent, _)) = fs::normalize(&path).rsplit_once('/') {
        // The root itself is there, and it is not this plugin's to make.
        if !fs::roots().iter().any(|root| fs::normalize(root) == parent) {
            fs::create_dir_all(parent)?;
        }
    }
    let created = if create_new {
        create(&path, content.as_bytes())?
    } else {
        let created = is_new(&path)?;
        fs::replace(&path, content.as_bytes())?;
        created
    };
    let size_bytes = content.len() as u64;
    let text = format!("wrote {size_bytes} bytes to {path}");
    Ok(Answer::new(text, Written { path, size_bytes, created }))
}

/// Whether there is no such file yet. Asks for the file by its own name, so that a denial names it
/// and not the file beside it that is written first.
fn is_new(path: &str) -> Result<bool, ToolError> {
    match fs::open_to_write(path) {
        Ok(_) => Ok(false),
        Err(error) if error.denial().is_some() => Err(error.into()),
        // What keeps it from being written in its place does not keep it from being replaced.
        Err(error) => Ok(error.kind() == std::io::ErrorKind::NotFound),
    }
}

/// False where the file was there with this very content: the call was sent a second time.
fn create(path: &str, content: &[u8]) -> Result<bool, ToolError> {
    let mut file = match fs::create_new(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let there = fs::read_up_to(path, content.len() as u64 + 1)?;
            return if there == content { Ok(false) } else { Err(error.into()) };
        }
        opened => opened?,
    };
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // A file that is half there would pass for a written one.
        fs::remove_file(path).ok();
    }
    written?;
    Ok(true)
}
