//! A policy: what a run or an agent may do, in one file.
//!
//! ```toml
//! permission_level = "standard"       # restricted, standard, elevated, admin
//! read_only = true                    # every `write` grant is one to read
//! allow_tools = ["files__*"]          # which tools; all where it is left out
//! deny_tools = ["files__write_file"]  # wins over everything
//! [grants]
//! allow = ["read:./src:/src"]         # paths are relative to the file
//! hosts = ["https://api.example.org"] # the same as "net:…"
//! deny_path = ["./src/private"]
//! [limits]
//! memory = "64MiB"
//! timeout = "30s"
//! [quotas]                            # of agents
//! max_tokens = 50_000
//! cpu_percent = 50
//! ```
//! It gives nothing that flags could not; what it denies no flag opens.

mod level;
mod record;
mod words;

pub use level::Level;
pub use record::{recorded, wanted_line};
pub use words::{describe, differences, preset};

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::anchor::grant as anchored;
use super::{ConfigError, LimitsTable, Time, ZERO};
use crate::capability::grant::{Grant, Scope};
use crate::capability::names::NamePattern;
use crate::capability::tools::ToolRules;
use crate::sandbox::plain::nearest;

/// The largest policy file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Grants of one policy.
const GRANTS_MAX: usize = 1_000;

/// What is read from a file; paths are absolute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// How far it may go.
    pub level: Level,
    /// Whether what is granted to be written is only to be read.
    pub read_only: bool,
    /// Names of tools that may be called; all where there is none.
    pub allow_tools: Vec<String>,
    /// Names of tools that may not.
    pub deny_tools: Vec<String>,
    /// Grants in their grammar, those of the level too.
    pub allow: Vec<String>,
    /// Paths inside granted roots that stay closed.
    pub deny_path: Vec<PathBuf>,
    /// Limits, those of the level where it sets none.
    pub limits: LimitsTable,
    /// What an agent and its children may use.
    pub quotas: Quotas,
}

/// `[quotas]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Tokens in all.
    pub max_tokens: Option<u64>,
    /// Model calls in all.
    pub max_calls: Option<u64>,
    /// Millionths of a US dollar in all.
    pub max_microdollars: Option<u64>,
    /// How long it may live, pauses left out.
    pub max_time: Option<Time>,
    /// CPU in percent of one core.
    pub cpu_percent: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    permission_level: Level,
    read_only: bool,
    allow_tools: Vec<String>,
    deny_tools: Vec<String>,
    grants: Grants,
    limits: LimitsTable,
    quotas: Quotas,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Grants {
    allow: Vec<String>,
    hosts: Vec<String>,
    deny_path: Vec<PathBuf>,
}

impl Policy {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// One sentence that names the file, the line and what would be right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let fail =
            |what: &dyn std::fmt::Display| ConfigError(format!("{}: {what}", path.display()));
        let file = std::fs::File::open(path).map_err(|error| fail(&error))?;
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        read.map_err(|error| fail(&error))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(fail(&format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        let path = std::path::absolute(path).map_err(|error| fail(&error))?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("/"))).map_err(|what| fail(&what))
    }

    /// Reads and checks a text; relative paths are below `base`.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str, base: &Path) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            format!("line {line}: {}", with_nearest(error.message()))
        })?;
        let File { permission_level: level, read_only, allow_tools, deny_tools, .. } = file;
        if let Some(key) = file.limits.zero() {
            return Err(format!("limits: {key} is 0; {ZERO}"));
        }
        let hosts = file.grants.hosts.into_iter().map(|host| format!("net:{host}"));
        let written: Vec<String> = file.grants.allow.into_iter().chain(hosts).collect();
        if written.len() > GRANTS_MAX {
            return Err(format!("{} grants are more than {GRANTS_MAX}", written.len()));
        }
        let mut allow: Vec<String> = level.grants().iter().map(|text| (*text).to_owned()).collect();
        for text in &written {
            allow.push(anchored(text, base).map_err(|error| format!("grants: {error}"))?);
        }
        let policy = Self {
            level,
            read_only,
            allow_tools,
            deny_tools,
            allow,
            deny_path: file.grants.deny_path.iter().map(|path| base.join(path)).collect(),
            limits: file.limits.or(level.limits()),
            quotas: file.quotas,
        };
        tool_rules(&policy.allow_tools, &policy.deny_tools)?;
        policy.settle(policy.grants()?)?;
        Ok(policy)
    }

    /// Its grants, as they are written.
    ///
    /// # Errors
    /// One sentence about one that is none.
    pub fn grants(&self) -> Result<Vec<(Grant, String)>, String> {
        self.allow
            .iter()
            .map(|text| {
                let grant: Grant = text.parse().map_err(|error| format!("grants: {error}"))?;
                Ok((grant, text.clone()))
            })
            .collect()
    }

    /// All grants of a run under it, also those of flags: none above its level, and none to write
    /// where it is for reading.
    ///
    /// # Errors
    /// One sentence about a grant that its level does not allow.
    pub fn settle(&self, grants: Vec<(Grant, String)>) -> Result<Vec<(Grant, String)>, String> {
        grants.into_iter().map(|grant| settled(self.level, self.read_only, grant)).collect()
    }
}

/// One grant under a level.
///
/// # Errors
/// One sentence that names the level that would do.
pub fn settled(
    level: Level,
    read_only: bool,
    (grant, text): (Grant, String),
) -> Result<(Grant, String), String> {
    let needed = Level::of(&grant);
    if needed > level {
        return Err(format!(
            "`{text}` is more than permission_level `{level}` allows; `{needed}` would"
        ));
    }
    match grant {
        Grant { plugin, scope: Scope::Write(root) } if read_only => {
            let text = text.replacen("write:", "read:", 1);
            Ok((Grant { plugin, scope: Scope::Read(root) }, text))
        }
        grant => Ok((grant, text)),
    }
}

/// Names of tools as rules.
///
/// # Errors
/// One sentence about a name that is none.
pub fn tool_rules(allowed: &[String], denied: &[String]) -> Result<ToolRules, String> {
    let read = |key: &str, texts: &[String]| {
        let parsed = texts.iter().map(|text| text.parse::<NamePattern>());
        parsed.collect::<Result<Vec<_>, _>>().map_err(|error| format!("{key}: {error}"))
    };
    Ok(ToolRules { allowed: read("allow_tools", allowed)?, denied: read("deny_tools", denied)? })
}

/// An error of the TOML reader about an unknown name, with the nearest instead of all of them.
fn with_nearest(message: &str) -> String {
    let message = message.replace('\n', " ");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let known = ["unknown field", "unknown variant"].iter().any(|words| message.starts_with(words));
    let Some(wrong) = quoted.next().filter(|_| known) else { return message };
    let names: Vec<&str> = quoted.collect();
    let what = if message.starts_with("unknown field") { "key" } else { "value" };
    match nearest(wrong, names.iter().copied()) {
        Some(near) => format!("unknown {what} `{wrong}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{wrong}`; there are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
