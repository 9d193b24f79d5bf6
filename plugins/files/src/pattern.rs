//! Globs over paths relative to the directory that is walked.

use aos_sdk::ToolError;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Which files are meant. Without a glob, all of them.
pub(crate) struct Pattern {
    wanted: Option<GlobSet>,
    excluded: GlobSet,
}

impl Pattern {
    /// `argument` names the wanted glob in errors.
    pub(crate) fn new(
        argument: &str,
        wanted: Option<&str>,
        excluded: &[String],
    ) -> Result<Self, ToolError> {
        let wanted = match wanted {
            Some(glob) => Some(set(argument, [glob])?),
            None => None,
        };
        Ok(Self { wanted, excluded: set("exclude", excluded.iter().map(String::as_str))? })
    }

    /// Whether `path`, relative to the walk's start, is meant.
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.is_match(path))
    }

    /// Whether `path` is left out, and with it all that is below it.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        self.excluded.is_match(path)
    }
}

/// A glob without `/` is a name, wherever it is; one with `/` is a path.
fn set<'a>(argument: &str, globs: impl IntoIterator<Item = &'a str>) -> Result<GlobSet, ToolError> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let path = glob.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
        let anywhere = if path.contains('/') { path.to_owned() } else { format!("**/{path}") };
        let parsed = GlobBuilder::new(&anywhere).literal_separator(true).build();
        let parsed = parsed.map_err(|error| {
            ToolError::invalid(argument, format!("{glob} is not a glob: {}", error.kind()))
        })?;
        set.add(parsed);
    }
    set.build().map_err(|error| ToolError::invalid(argument, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        Pattern::new("glob", Some(glob), &[]).expect("a glob").matches(path)
    }

    #[test]
    fn a_glob_without_a_slash_matches_names_anywhere() {
        assert!(matches("*.rs", "main.rs"));
        assert!(matches("*.rs", "cli/run.rs"));
        assert!(!matches("*.rs", "main.rs.orig"));
    }

    #[test]
    fn a_star_stays_in_one_directory_and_two_do_not() {
        assert!(matches("cli/*.rs", "cli/run.rs"));
        assert!(!matches("cli/*.rs", "cli/run/grants.rs"));
        assert!(matches("cli/**/*.rs", "cli/run/grants.rs"));
        assert!(matches("**/*.{rs,toml}", "Cargo.toml"));
    }

    #[test]
    fn a_broken_glob_is_named() {
        let error = Pattern::new("glob", Some("[a"), &[]).err().expect("no glob");
        assert!(error.to_string().contains("glob: [a is not a glob"), "{error}");
    }
}
