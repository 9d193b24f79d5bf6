//! The manifest that a plugin carries: `plugin.toml` in the custom section `aos:plugin`.

use serde::Deserialize;
use wasmparser::{Parser, Payload};

use crate::capability::grant::Ask;
use crate::sandbox::program::parse_error;

/// The custom section of the outermost component.
pub const SECTION: &str = "aos:plugin";

/// A manifest longer than this is an attack.
const MANIFEST_BYTES_MAX: usize = 256 * 1024;

/// What a plugin's author says of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name, which grants and lock files use.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// An SPDX licence expression.
    #[serde(default)]
    pub license: String,
    /// What it asks for, each with a reason.
    #[serde(default)]
    pub grants: Vec<AskLine>,
    /// Calls that show what it does.
    #[serde(default)]
    pub examples: Vec<Example>,
}

/// One line of what a plugin asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskLine {
    /// `capability:pattern`.
    pub ask: String,
    /// Why, for the operator.
    pub reason: String,
}

/// One call and what it answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub input: toml::Table,
    /// The text it answers.
    pub text: Option<String>,
    /// The structured output it answers.
    pub structured: Option<toml::Value>,
}

impl Manifest {
    /// Finds and reads the manifest; none when the component has none.
    ///
    /// # Errors
    /// One sentence: which line, and what would be right.
    pub fn of(component: &[u8]) -> Result<Option<Self>, String> {
        section(component)?.map(Self::parse).transpose()
    }

    /// Reads the text of a `plugin.toml`.
    ///
    /// # Errors
    /// One sentence: which line, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            let message = error.message().replace('\n', " ");
            format!("its manifest (plugin.toml), line {line}: {message}")
        })?;
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let starts = manifest.name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || !manifest.name.chars().all(named) || manifest.name.len() > 64 {
            return Err(format!(
                "its manifest (plugin.toml): name `{}` must be a-z, 0-9 and -, \
                 begin with a letter, and have at most 64",
                manifest.name.chars().take(80).collect::<String>()
            ));
        }
        manifest.asks()?;
        Ok(manifest)
    }

    /// What it asks for.
    ///
    /// # Errors
    /// When a line is no grant.
    pub fn asks(&self) -> Result<Vec<Ask>, String> {
        let parse = |line: &AskLine| {
            line.ask.parse().map_err(|error| {
                let ask: String = line.ask.chars().take(80).collect();
                format!("its manifest (plugin.toml), ask `{ask}`: {error}")
            })
        };
        self.grants.iter().map(parse).collect()
    }
}

/// The text of the section, from the outermost component alone: what an inner one carries was
/// written by somebody else.
fn section(component: &[u8]) -> Result<Option<&str>, String> {
    let mut depth = 0_u32;
    let mut found = None;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| parse_error(error.message()))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(custom) if depth == 0 && custom.name() == SECTION => {
                if found.is_some() {
                    return Err(format!("it has two sections `{SECTION}`"));
                }
                if custom.data().len() > MANIFEST_BYTES_MAX {
                    return Err(format!("its manifest is over {MANIFEST_BYTES_MAX} bytes"));
                }
                let text = std::str::from_utf8(custom.data())
                    .map_err(|_| "its manifest is no UTF-8 text".to_owned())?;
                found = Some(text);
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_section(text: &str) -> Vec<u8> {
        wat::parse_str(format!(
            "(component (core module (@custom \"aos:plugin\" \"inner\")) \
             (@custom \"aos:plugin\" {text:?}))"
        ))
        .expect("parses")
    }

    #[test]
    fn the_outermost_section_is_read() {
        let component = with_section("name = 'x'\nversion = '1'\n");
        let manifest = Manifest::of(&component).expect("reads").expect("is there");
        assert_eq!(manifest.name, "x");
        assert!(
            Manifest::of(&wat::parse_str("(component)").expect("parses")).expect("reads").is_none()
        );
    }

    #[test]
    fn a_malformed_manifest_is_one_sentence() {
        for (text, says) in [
            ("name = 'x'", "version"),
            ("name = 'x'\nversion = '1'\ngrant = 1", "line 3: unknown field `grant`"),
            ("name = 'X Y'\nversion = '1'", "`X Y`"),
            ("name = 'x'\nversion = '1'\n[[grants]]\nask = 'root:*'\nreason = ''", "`root`"),
            ("name = ", "its manifest"),
        ] {
            let error = Manifest::of(&with_section(text)).expect_err(text);
            assert!(error.contains(says) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
