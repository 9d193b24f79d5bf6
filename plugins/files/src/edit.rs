//! `edit_file`: one exact text for another.

use aos_sdk::{Answer, ToolError, fs, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file is edited in memory, so its size is bounded; sources are far smaller.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// How many line numbers an answer names.
const LINES_NAMED_MAX: usize = 20;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct EditFile {
    /// The file, for example `/src/main.rs`.
    path: String,
    /// The text to replace, exactly as it is in the file, with its white space.
    #[schemars(length(min = 1))]
    old_text: String,
    /// The text to put there.
    new_text: String,
    /// Replace every occurrence. Without it, `old_text` must occur exactly once.
    #[serde(default)]
    replace_all: bool,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Edited {
    path: String,
    replacements: usize,
    /// The lines where the replaced texts began, at most 20 of them.
    lines: Vec<usize>,
}

/// Replaces an exact text in a file, and leaves all else as it is.
///
/// It fails, and changes nothing, when the text is not there, or is there more than once and
/// `replace_all` is not set.
#[tool(destructive, title = "Edit file")]
pub(crate) fn edit_file(arguments: EditFile) -> Result<Answer<Edited>, ToolError> {
    let EditFile { path, old_text, new_text, replace_all } = arguments;
    if old_text.is_empty() {
        return Err(ToolError::invalid("old_text", "it is empty; say what to replace"));
    }
    if old_text == new_text {
        return Err(ToolError::invalid("new_text", "it equals old_text; nothing would change"));
    }
    let metadata = fs::metadata(&path)?;
    if metadata.is_dir() {
        return Err(ToolError::failed(format!("{path} is a directory, and no file to edit")));
    }
    let size_bytes = metadata.len();
    if size_bytes > FILE_BYTES_MAX {
        let message =
            format!("{path} has {size_bytes} bytes; at most {FILE_BYTES_MAX} can be edited");
        return Err(ToolError::failed(message));
    }
    let text = fs::read_to_string(&path)?;
    let replacements = text.matches(&old_text).count();
    let lines = line_numbers(&text, &old_text);
    match replacements {
        0 => return Err(absent(&path, &text, &old_text)),
        2.. if !replace_all => return Err(ambiguous(&path, replacements, &lines)),
        _ => {}
    }
    fs::replace(&path, text.replace(&old_text, &new_text).as_bytes())?;
    let what = if replacements == 1 { "text" } else { "texts" };
    let answer = format!("replaced {replacements} {what} in {path}, at line {}", listed(&lines));
    Ok(Answer::new(answer, Edited { path, replacements, lines }))
}

fn line_numbers(text: &str, wanted: &str) -> Vec<usize> {
    let mut line = 1;
    let mut counted_to = 0;
    let starts = text.match_indices(wanted).take(LINES_NAMED_MAX);
    starts
        .map(|(start, _)| {
            line += text[counted_to..start].matches('\n').count();
            counted_to = start;
            line
        })
        .collect()
}

fn absent(path: &str, text: &str, wanted: &str) -> ToolError {
    let crlf = text.contains("\r\n") && wanted.contains('\n') && !wanted.contains('\r');
    let first = wanted.trim().lines().next().unwrap_or_default().trim();
    let hint = if crlf {
        "; the file's lines end with \\r\\n".to_owned()
    } else if let Some(line) = line_numbers(text, first).first().filter(|_| !first.is_empty()) {
        format!("; its first line is at line {line}, so white space or what follows differs")
    } else {
        String::new()
    };
    ToolError::failed(format!("old_text is not in {path}{hint}; nothing was changed"))
}

fn ambiguous(path: &str, count: usize, lines: &[usize]) -> ToolError {
    ToolError::failed(format!(
        "old_text is in {path} {count} times, at lines {}: give more of what surrounds it, or set \
         replace_all; nothing was changed",
        listed(lines)
    ))
}

fn listed(lines: &[usize]) -> String {
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
