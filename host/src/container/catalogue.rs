//! The programs that `discover` knows, from `catalogue.toml`: data, and no code for any of them.

use serde::Deserialize;

use crate::container::manifest::Tool;

const TEXT: &str = include_str!("catalogue.toml");

/// One way in which a program is wrapped, or why it is not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The program's name.
    pub program: String,
    /// What it must say to `--help`.
    #[serde(default)]
    pub needs: Option<String>,
    /// Why it is not wrapped.
    #[serde(default)]
    pub refused: Option<String>,
    /// Its tools, still without a path.
    #[serde(default)]
    pub tools: Vec<Tool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    entry: Vec<Entry>,
}

/// All entries, in order.
///
/// # Panics
/// Never: a test reads the same text.
pub fn entries() -> Vec<Entry> {
    let file: File = toml::from_str(TEXT).expect("invariant: the catalogue is TOML, by its test");
    file.entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::manifest::{Native, ToolFile, ToolLimits};

    #[test]
    fn each_entry_is_a_manifest_that_holds_together() {
        let mut seen = 0;
        for Entry { program, tools, refused, .. } in entries() {
            assert_eq!(tools.is_empty(), refused.is_some(), "{program}");
            if tools.is_empty() {
                continue;
            }
            let path = format!("/usr/bin/{program}");
            let file = ToolFile {
                format: 1,
                name: program.clone(),
                description: String::new(),
                image: format!("sha256:{}", "0".repeat(64)),
                reference: String::new(),
                allow: Vec::new(),
                limits: ToolLimits::default(),
                grants: Vec::new(),
                tools: tools
                    .into_iter()
                    .map(|tool| Tool { program: path.clone(), ..tool })
                    .collect(),
            };
            let text = file.text().expect("writes");
            Native::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{program}: {error}"));
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn the_programs_that_are_promised_are_known() {
        let known: Vec<_> = entries().into_iter().map(|entry| entry.program).collect();
        for name in [
            "grep", "find", "sed", "awk", "jq", "git", "curl", "head", "tail", "wc", "sort",
            "uniq", "cut", "tr", "cat", "ls", "tar", "diff",
        ] {
            assert!(known.iter().any(|known| known == name), "{name}");
        }
    }
}
