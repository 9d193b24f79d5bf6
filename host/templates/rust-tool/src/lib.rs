//! {{name}}: a tool plugin for aos-host.

use std::collections::BTreeSet;

use aos_sdk::{ToolError, plugin, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// The arguments of a tool: the struct becomes a JSON Schema, and each doc comment a description
// that the caller, often a model, reads.
#[derive(Deserialize, JsonSchema)]
struct CountWords {
    /// The text to count.
    text: String,
    /// Count words that are no longer than this only.
    #[serde(default)]
    letters_max: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct Counts {
    /// How many words there are.
    words: usize,
    /// How many different ones.
    distinct: usize,
}

/// Counts the words of a text.
#[tool(read_only, idempotent)]
fn count_words(arguments: CountWords) -> Result<Counts, ToolError> {
    if arguments.letters_max == Some(0) {
        return Err(ToolError::invalid("letters_max", "expected at least 1"));
    }
    let letters_max = arguments.letters_max.unwrap_or(usize::MAX);
    let words: Vec<&str> = arguments
        .text
        .split_whitespace()
        .filter(|word| word.chars().count() <= letters_max)
        .collect();
    let distinct: BTreeSet<&str> = words.iter().copied().collect();
    Ok(Counts { words: words.len(), distinct: distinct.len() })
}

// Every tool of the plugin, once.
plugin!(count_words);

#[cfg(test)]
mod tests {
    use aos_sdk::testing::{Host, Manifest};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_manifest_is_well_formed_and_its_examples_hold() {
        let manifest = Manifest::parse(include_str!("../plugin.toml")).expect("a manifest");
        manifest.check_examples(&Host::new(), &plugin()).expect("examples hold");
    }

    #[test]
    fn long_words_can_be_left_out() {
        let arguments = json!({ "text": "a bb ccc", "letters_max": 2 });
        let output = Host::new().call(&plugin(), "count_words", arguments).expect("an output");
        assert_eq!(output.structured.as_deref(), Some(r#"{"words":2,"distinct":2}"#));
    }

    #[test]
    fn a_limit_of_nothing_is_an_invalid_argument() {
        let arguments = json!({ "text": "a", "letters_max": 0 });
        let error = Host::new().call(&plugin(), "count_words", arguments);
        assert!(matches!(error, Err(ToolError::InvalidArguments(_))));
    }
}
