//! `search_files`: a regular expression over the lines of many files.

mod lines;

use aos_sdk::{Answer, ToolError, call, fs, tool};
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;
use crate::walk::{Entry, Kind, Left, Walk};
use lines::Found;

const RESULTS_DEFAULT: usize = 200;
const RESULTS_MAX: usize = 2000;
const CONTEXT_MAX: usize = 10;
/// A larger file is data, not text to read.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// What one call returns; a model reads less.
const TEXT_BYTES_MAX: usize = 512 * 1024;
/// The compiled expression's memory: a bound on what `a{1000}{1000}` can take.
const REGEX_BYTES_MAX: usize = 4 << 20;
/// How often whoever watches is told.
const FILES_PER_PROGRESS: usize = 500;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct SearchFiles {
    /// The directory or file to search, for example `/src`.
    path: String,
    /// A regular expression, in Rust's syntax, which is matched line by line.
    #[schemars(length(min = 1))]
    pattern: String,
    /// Only files that match this glob: `*.rs` at any depth, `cli/**/*.rs` below `path`.
    glob: Option<String>,
    /// Leave out what matches one of these globs, and all that is below it.
    #[serde(default)]
    exclude: Vec<String>,
    /// Take upper and lower case as the same.
    #[serde(default)]
    ignore_case: bool,
    /// How many lines to show before and after each match: 0 to 10.
    #[serde(default)]
    #[schemars(range(max = 10))]
    context: usize,
    /// Search names that start with a dot, too.
    #[serde(default)]
    hidden: bool,
    /// How many matching lines to return at most: 200 where it is not given, never more than 2000.
    #[schemars(range(min = 1, max = 2000))]
    results_max: Option<usize>,
}

#[derive(Default, Serialize, JsonSchema)]
pub(crate) struct Matches {
    matches: Vec<Match>,
    files_searched: usize,
    /// Files that are not text, too large or not readable.
    files_skipped: usize,
    /// Whether there may be more matches.
    truncated: bool,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Match {
    path: String,
    /// From 1.
    line: usize,
    /// The line, cut off after 500 characters.
    text: String,
}

/// Searches files for a regular expression and lists the lines that match, as `path:line: text`.
///
/// Lines of context are listed as `path-line- text`. Directories are searched with all that is
/// below them, in the order of names. Files that are not UTF-8 text are skipped.
#[tool(read_only, idempotent, title = "Search files")]
pub(crate) fn search_files(arguments: SearchFiles) -> Result<Answer<Matches>, ToolError> {
    let mut search = Search::new(&arguments)?;
    let pattern = Pattern::new("glob", arguments.glob.as_deref(), &arguments.exclude)?;
    let metadata = fs::metadata(&arguments.path)?;
    let left = if metadata.is_dir() {
        let walk = Walk { pattern: &pattern, recursive: true, hidden: arguments.hidden };
        walk.run(&arguments.path, &mut |entry| search.visit(&entry))?
    } else {
        let path = fs::normalize(&arguments.path);
        search.visit(&Entry { path, kind: Kind::of(metadata.file_type()) })?;
        Left::default()
    };
    search.matches.truncated |= left.stopped;
    Ok(search.answer(&left))
}

struct Search {
    regex: Regex,
    context: usize,
    results_max: usize,
    text: String,
    matches: Matches,
}

/// What is wrong with a pattern, in one line: the library draws it over several.
fn sentence(error: &regex::Error) -> String {
    match error {
        regex::Error::Syntax(drawn) => {
            let last = drawn.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
        other => other.to_string(),
    }
}

impl Search {
    fn new(arguments: &SearchFiles) -> Result<Self, ToolError> {
        let regex = RegexBuilder::new(&arguments.pattern)
            .case_insensitive(arguments.ignore_case)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| ToolError::invalid("pattern", sentence(&error)))?;
        Ok(Self {
            regex,
            context: arguments.context.min(CONTEXT_MAX),
            results_max: arguments.results_max.unwrap_or(RESULTS_DEFAULT).min(RESULTS_MAX),
            text: String::new(),
            matches: Matches::default(),
        })
    }

    /// Searches one file; false when there is no room for more.
    fn visit(&mut self, entry: &Entry) -> Result<bool, ToolError> {
        if entry.kind != Kind::File {
            return Ok(true);
        }
        let Some(text) = read(&entry.path) else {
            self.matches.files_skipped += 1;
            return Ok(true);
        };
        self.matches.files_searched += 1;
        if self.matches.files_searched.is_multiple_of(FILES_PER_PROGRESS) {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            call::progress(self.matches.files_searched as f64, None, &entry.path);
        }
        let room = self.results_max - self.matches.matches.len();
        let (found, more) = lines::find(&self.regex, &text, room);
        self.keep(&entry.path, &text, found);
        self.matches.truncated |= more || self.text.len() > TEXT_BYTES_MAX;
        Ok(!self.matches.truncated)
    }

    fn keep(&mut self, path: &str, text: &str, found: Vec<Found<'_>>) {
        if found.is_empty() {
            return;
        }
        if self.context > 0 && !self.text.is_empty() {
            self.text.push_str("--\n");
        }
        lines::write(&mut self.text, path, text, &found, self.context);
        self.matches.matches.extend(found.iter().map(|found| Match {
            path: path.to_owned(),
            line: found.line,
            text: lines::cut(found.text).into_owned(),
        }));
    }

    fn answer(self, left: &Left) -> Answer<Matches> {
        let Self { mut text, matches, .. } = self;
        if matches.matches.is_empty() {
            text = format!("[no match in {} files]\n", matches.files_searched);
        }
        if matches.truncated {
            let count = matches.matches.len();
            text.push_str(&format!("[stopped after {count} matches; narrow the search]\n"));
        }
        if left.unreadable > 0 {
            text.push_str(&format!("[{} directories could not be read]\n", left.unreadable));
        }
        text.pop();
        Answer::new(text, matches)
    }
}

/// A file's text; none where there is none to search.
fn read(path: &str) -> Option<String> {
    let bytes = fs::read_up_to(path, FILE_BYTES_MAX + 1).ok()?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return None;
    }
    String::from_utf8(bytes).ok()
}
