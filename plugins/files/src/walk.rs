//! A bounded walk through directories, in the order of names, so that two calls agree.

use aos_sdk::{ToolError, fs};
use schemars::JsonSchema;
use serde::Serialize;

use crate::pattern::Pattern;

/// What one call looks at, at most.
const VISITED_MAX: usize = 100_000;
/// Deeper than sources nest. Links are not followed, so a walk always ends.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Other,
}

impl Kind {
    pub(crate) fn of(file_type: std::fs::FileType) -> Self {
        if file_type.is_dir() {
            Self::Directory
        } else if file_type.is_file() {
            Self::File
        } else if file_type.is_symlink() {
            Self::Link
        } else {
            Self::Other
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "link",
            Self::Other => "other",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) kind: Kind,
}

pub(crate) struct Walk<'a> {
    pub(crate) pattern: &'a Pattern,
    pub(crate) recursive: bool,
    /// Whether names that start with a dot are looked at.
    pub(crate) hidden: bool,
}

/// What the walk left out, for the answer to say.
#[derive(Default)]
pub(crate) struct Left {
    /// Directories that could not be read.
    pub(crate) unreadable: usize,
    /// Whether it stopped before the end.
    pub(crate) stopped: bool,
}

impl Walk<'_> {
    /// Calls `found` with each entry that the pattern means, until it says no more.
    pub(crate) fn run(
        &self,
        start: &str,
        found: &mut dyn FnMut(Entry) -> Result<bool, ToolError>,
    ) -> Result<Left, ToolError> {
        let start = fs::normalize(start);
        let prefix = if start == "/" { 1 } else { start.len() + 1 };
        let mut left = Left::default();
        let mut visited = 0;
        // The next entry is last, so that a directory's own follow it.
        let mut pending = self.entries(&start)?;
        while let Some((entry, depth)) = pending.pop() {
            visited += 1;
            if visited > VISITED_MAX {
                left.stopped = true;
                break;
            }
            let relative = &entry.path[prefix..];
            if self.pattern.excludes(relative) {
                continue;
            }
            if self.recursive && entry.kind == Kind::Directory && depth < DEPTH_MAX {
                match self.entries(&entry.path) {
                    Ok(below) => pending.extend(below.into_iter().map(|(e, _)| (e, depth + 1))),
                    // One closed directory is no reason to hide all others.
                    Err(_) => left.unreadable += 1,
                }
            }
            if self.pattern.matches(relative) && !found(entry)? {
                left.stopped = true;
                break;
            }
        }
        Ok(left)
    }

    /// A directory's entries, the first name last.
    fn entries(&self, path: &str) -> Result<Vec<(Entry, usize)>, ToolError> {
        let listed = match fs::read_dir(path) {
            Err(error) if path == "/" && error.denial().is_some() => {
                let roots = roots();
                return if roots.is_empty() { Err(error.into()) } else { Ok(roots) };
            }
            listed => listed?,
        };
        let mut entries = Vec::new();
        for entry in listed {
            let entry = entry?;
            if self.hidden || !entry.name.starts_with('.') {
                entries.push((Entry { path: entry.path, kind: Kind::of(entry.file_type) }, 0));
            }
            if entries.len() > VISITED_MAX {
                break;
            }
        }
        entries.sort_by(|(a, _), (b, _)| b.path.cmp(&a.path));
        Ok(entries)
    }
}

/// What a caller sees at `/` where it is no root itself: the roots.
fn roots() -> Vec<(Entry, usize)> {
    let mut roots: Vec<String> = fs::roots().iter().map(|root| fs::normalize(root)).collect();
    // A host may show `/` itself, with nothing in it, to say what is denied below.
    roots.retain(|root| root != "/");
    roots.sort_by(|a, b| b.cmp(a));
    roots.dedup();
    roots.into_iter().map(|path| (Entry { path, kind: Kind::Directory }, 0)).collect()
}
