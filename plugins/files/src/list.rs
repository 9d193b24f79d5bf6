//! `list_files`: names in a directory, or in a tree.

use aos_sdk::{Answer, ToolError, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;
use crate::walk::{Entry, Kind, Walk};

const ENTRIES_DEFAULT: usize = 1000;
const ENTRIES_MAX: usize = 10_000;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ListFiles {
    /// The directory, for example `/src`; without it, the roots that are granted.
    #[serde(default = "root")]
    path: String,
    /// Only what matches this glob: `*.rs` matches names at any depth, `src/**/*.rs` paths below
    /// `path`. A glob lists recursively.
    pattern: Option<String>,
    /// Leave out what matches one of these globs, and all that is below it.
    #[serde(default)]
    exclude: Vec<String>,
    /// List all that is below the directory, too.
    #[serde(default)]
    recursive: bool,
    /// List names that start with a dot, too.
    #[serde(default)]
    hidden: bool,
    /// How many entries to return at most: 1000 where it is not given, never more than 10000.
    #[schemars(range(min = 1, max = 10_000))]
    entries_max: Option<usize>,
}

fn root() -> String {
    "/".to_owned()
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Listing {
    entries: Vec<Entry>,
    /// Whether there are more.
    truncated: bool,
    /// How many directories could not be read.
    unreadable: usize,
}

/// Lists a directory, or finds files in it by a glob such as `**/*.rs`.
///
/// Paths come sorted, one a line; a directory ends with `/`, a symbolic link with `@` and is not
/// followed.
#[tool(read_only, idempotent, title = "List files")]
pub(crate) fn list_files(arguments: ListFiles) -> Result<Answer<Listing>, ToolError> {
    let pattern = Pattern::new("pattern", arguments.pattern.as_deref(), &arguments.exclude)?;
    let walk = Walk {
        pattern: &pattern,
        recursive: arguments.recursive || arguments.pattern.is_some(),
        hidden: arguments.hidden,
    };
    let limit = arguments.entries_max.unwrap_or(ENTRIES_DEFAULT).min(ENTRIES_MAX);
    let mut entries = Vec::new();
    let left = walk.run(&arguments.path, &mut |entry| {
        if entries.len() == limit {
            return Ok(false);
        }
        entries.push(entry);
        Ok(true)
    })?;
    let listing = Listing { entries, truncated: left.stopped, unreadable: left.unreadable };
    Ok(Answer::new(text(&listing), listing))
}

fn text(listing: &Listing) -> String {
    let mut lines: Vec<String> = listing
        .entries
        .iter()
        .map(|entry| match entry.kind {
            Kind::Directory => format!("{}/", entry.path.trim_end_matches('/')),
            Kind::Link => format!("{}@", entry.path),
            Kind::File | Kind::Other => entry.path.clone(),
        })
        .collect();
    if lines.is_empty() {
        lines.push("[nothing matches]".to_owned());
    }
    if listing.truncated {
        lines.push(format!("[more than {} entries; narrow the pattern]", listing.entries.len()));
    }
    if listing.unreadable > 0 {
        lines.push(format!("[{} directories could not be read]", listing.unreadable));
    }
    lines.join("\n")
}
