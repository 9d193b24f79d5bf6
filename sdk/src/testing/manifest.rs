//! `plugin.toml` in tests: is it well formed, and do its examples give what they say?

use serde::Deserialize;
use serde_json::Value;

use super::Host;
use crate::{Output, Plugin};

/// What the author says of a plugin, as the host reads it: an unknown key is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `[a-z][a-z0-9-]*`.
    pub name: String,
    /// As in `0.1.0`.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// As in `MIT`.
    pub license: Option<String>,
    /// What the plugin asks for.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// What its tools do.
    #[serde(default)]
    pub examples: Vec<Example>,
}

/// One thing the plugin asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// `capability:pattern`.
    pub ask: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// One call and its result.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The tool's name.
    pub tool: String,
    /// Its arguments.
    pub input: Value,
    /// The text of its output.
    pub text: Option<String>,
    /// Its structured output.
    pub structured: Option<Value>,
}

impl Manifest {
    /// Reads the text of a `plugin.toml`.
    ///
    /// # Errors
    /// A sentence with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        const CAPABILITIES: [&str; 9] =
            ["read", "write", "net", "tcp", "udp", "env", "config", "keyvalue", "secret"];
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for grant in &manifest.grants {
            match grant.ask.split_once(':') {
                Some((capability, pattern))
                    if CAPABILITIES.contains(&capability) && !pattern.is_empty() => {}
                _ => return Err(format!("{}: a grant is capability:pattern", grant.ask)),
            }
        }
        Ok(manifest)
    }

    /// Runs every example under `host`.
    ///
    /// # Errors
    /// The examples that did not give what they say, one a line.
    pub fn check_examples(&self, host: &Host, plugin: &Plugin) -> Result<(), String> {
        let wrong: Vec<String> = self
            .examples
            .iter()
            .filter_map(|example| {
                let reason = example.check(host, plugin).err()?;
                Some(format!("{} {}: {reason}", example.tool, example.input))
            })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

impl Example {
    fn check(&self, host: &Host, plugin: &Plugin) -> Result<(), String> {
        let output =
            host.call(plugin, &self.tool, self.input.clone()).map_err(|error| error.to_string())?;
        self.compare(&output)
    }

    fn compare(&self, output: &Output) -> Result<(), String> {
        if let Some(expected) = &self.text {
            let text = output.to_text();
            if text != *expected {
                return Err(format!("the text is {text:?}, not {expected:?}"));
            }
        }
        if let Some(expected) = &self.structured {
            let json = output.structured.as_deref().unwrap_or("null");
            let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
            if value != *expected {
                return Err(format!("the structured output is {value}, not {expected}"));
            }
        }
        Ok(())
    }
}
