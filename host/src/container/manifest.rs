//! The manifest of container tools: one file of TOML, an image, and one tool or several.
//!
//! Its first line is `aos-tool = 1`, by which it is told from a component. The operator's own
//! standing grants for it are its `allow` lines; what it asks for are its `[[grants]]`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::container::parameter::Parameter;
use crate::container::template::{self, Filled, Word};
use crate::types::{Behaviour, ComponentHash, Definition};

/// How the file begins.
const MAGIC: &[u8] = b"aos-tool = ";
/// The ending of its name.
pub const ENDING: &str = ".tool.toml";
/// A manifest longer than this is an attack.
const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// Tools of one manifest.
const TOOLS_MAX: usize = 64;

/// Whether bytes are meant as a manifest of container tools.
pub fn is_manifest(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// How an answer is read from stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputForm {
    /// As one text.
    #[default]
    Text,
    /// As `{"lines": […]}`.
    Lines,
    /// As a JSON value.
    Json,
}

/// What exit codes mean. A code that stands nowhere here is the tool's failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    /// It went well, and stdout is the answer.
    #[serde(default = "zero")]
    pub ok: Vec<u8>,
    /// It went well, and there was nothing to find: the answer is empty whatever it printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<u8>,
    /// What other codes mean, by their number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<String, String>,
}

fn zero() -> Vec<u8> {
    vec![0]
}

impl Default for Exit {
    fn default() -> Self {
        Self { ok: zero(), empty: Vec::new(), words: BTreeMap::new() }
    }
}

/// Limits beside those of every call; the smaller of two counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolLimits {
    /// Memory, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Wall time, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_s: Option<u32>,
    /// Bytes of stdout, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_kib: Option<u32>,
    /// Processes and threads: 64 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u16>,
    /// Thousandths of a processor: 1000 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_permille: Option<u32>,
    /// Size of `/tmp`, in MiB, out of the memory: 16 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_mib: Option<u16>,
}

/// One line of what the tools ask for, as in the manifest of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskLine {
    /// `capability:pattern`; containers take `read` and `write`.
    pub ask: String,
    /// Why, for the operator.
    pub reason: String,
}

/// One tool: a program and the template of its arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// The name to call it by.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The program's absolute path in the image; the catalogue leaves it out.
    #[serde(default)]
    pub program: String,
    /// Its arguments.
    pub argv: Vec<Word>,
    /// The parameter that goes to stdin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// How its answer is read.
    #[serde(default)]
    pub output: OutputForm,
    /// It changes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// A second call with the same arguments changes nothing more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
    /// What its exit codes mean.
    #[serde(default)]
    pub exit: Exit,
    /// Its parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolFile {
    /// The version of this format: 1.
    #[serde(rename = "aos-tool")]
    pub format: u32,
    /// The name, which grants use.
    pub name: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// `sha256:` and the hash of the image's configuration, which names its layers by theirs.
    pub image: String,
    /// What people call the image.
    #[serde(default)]
    pub reference: String,
    /// The operator's standing grants for these tools, in the grammar of grants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Limits beside those of every call.
    #[serde(default)]
    pub limits: ToolLimits,
    /// What the tools ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<AskLine>,
    /// The tools.
    pub tools: Vec<Tool>,
}

/// Tools that can be called: a file that was checked, and the hash of its bytes.
#[derive(Clone, Debug)]
pub struct Native {
    /// What the file says.
    pub file: ToolFile,
    /// The identity of exactly these tools in exactly this image.
    pub hash: ComponentHash,
}

impl Native {
    /// Reads a manifest.
    ///
    /// # Errors
    /// One sentence: where, and what would be right.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(format!("it is over {MANIFEST_BYTES_MAX} bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())?;
        let file: ToolFile = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            format!("line {line}: {}", error.message().replace('\n', " "))
        })?;
        file.check()?;
        Ok(Self { file, hash: ComponentHash::of(bytes) })
    }

    /// The tools as every caller sees them.
    pub fn definitions(&self) -> Vec<Definition> {
        self.file.tools.iter().map(Tool::definition).collect()
    }

    /// The tool of that name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.file.tools.iter().find(|tool| tool.name == name)
    }
}

impl ToolFile {
    /// The file's text, with the line by which it is known first.
    ///
    /// # Errors
    /// When a value cannot be written as TOML.
    pub fn text(&self) -> Result<String, String> {
        toml::to_string_pretty(self).map_err(|error| error.to_string())
    }

    fn check(&self) -> Result<(), String> {
        if self.format != 1 {
            return Err(format!("`aos-tool = {}`: this host reads format 1", self.format));
        }
        is_name(&self.name).map_err(|error| format!("name {error}"))?;
        let digest = self.image.strip_prefix("sha256:").unwrap_or("");
        let is_hash = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err(
                "`image` is `sha256:` and 64 hexadecimal digits, as `docker image inspect` shows \
                 its Id; `aos-host tool wrap` writes it"
                    .into(),
            );
        }
        if self.tools.is_empty() || self.tools.len() > TOOLS_MAX {
            return Err(format!("it has 1 to {TOOLS_MAX} [[tools]]"));
        }
        for grant in &self.grants {
            if !grant.ask.starts_with("read:") && !grant.ask.starts_with("write:") {
                return Err(format!(
                    "`{}`: container tools ask for read and write alone",
                    grant.ask
                ));
            }
        }
        for (index, tool) in self.tools.iter().enumerate() {
            if self.tools[..index].iter().any(|other| other.name == tool.name) {
                return Err(format!("two tools are called `{}`", tool.name));
            }
            tool.check().map_err(|error| format!("tool `{}`: {error}", tool.name))?;
        }
        Ok(())
    }
}

impl Tool {
    fn check(&self) -> Result<(), String> {
        is_name(&self.name).map_err(|error| format!("name {error}"))?;
        let plain = crate::container::parameter::plain_path(&self.program);
        if plain.as_deref() != Ok(self.program.as_str()) || self.program == "/" {
            return Err(format!(
                "`program` is an absolute path in the image, not `{}`",
                self.program
            ));
        }
        for (name, parameter) in &self.parameters {
            is_name(name).map_err(|error| format!("parameter {error}"))?;
            parameter.check().map_err(|error| format!("`{name}`: {error}"))?;
        }
        if let Some(code) = self.exit.words.keys().find(|code| code.parse::<u8>().is_err()) {
            return Err(format!("`exit.words` has `{code}`, which is no exit code"));
        }
        template::check(&self.argv, &self.parameters, self.stdin.as_deref())
    }

    /// How callers see it.
    pub fn definition(&self) -> Definition {
        let properties: Map<String, Value> = self
            .parameters
            .iter()
            .map(|(name, parameter)| (name.clone(), parameter.schema()))
            .collect();
        let required: Vec<&String> = self
            .parameters
            .iter()
            .filter(|(_, parameter)| parameter.required)
            .map(|(name, _)| name)
            .collect();
        Definition {
            name: self.name.clone(),
            title: None,
            description: self.description.clone(),
            input_schema: json!({
                "type": "object", "properties": properties, "required": required,
                "additionalProperties": false,
            }),
            output_schema: match self.output {
                OutputForm::Text | OutputForm::Json => None,
                OutputForm::Lines => Some(json!({
                    "type": "object", "required": ["lines"],
                    "properties": { "lines": { "type": "array", "items": { "type": "string" } } },
                })),
            },
            behaviour: Behaviour {
                read_only: self.read_only,
                destructive: !self.read_only,
                idempotent: self.idempotent || self.read_only,
                open_world: false,
            },
        }
    }

    /// The argument list of one call.
    ///
    /// # Errors
    /// One sentence that names the parameter.
    pub fn fill(&self, arguments: &Map<String, Value>) -> Result<Filled, String> {
        template::fill(&self.argv, &self.parameters, self.stdin.as_deref(), arguments)
    }
}

/// Letters that every caller's grammar takes.
fn is_name(name: &str) -> Result<(), String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && name.chars().all(letter) && name.len() <= 64 {
        true => Ok(()),
        false => Err(format!(
            "`{}` must be letters, digits, - and _, and at most 64",
            name.chars().take(80).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(change: impl Fn(&mut toml::Table)) -> String {
        let mut table: toml::Table = toml::from_str(&format!(
            "aos-tool = 1\nname = 'x'\nimage = 'sha256:{}'\n[[tools]]\nname = 'x'\n\
             description = ''\nprogram = '/bin/x'\nargv = ['-a']\n",
            "ab".repeat(32)
        ))
        .expect("parses");
        change(&mut table);
        toml::to_string(&table).expect("writes")
    }

    #[test]
    fn a_mistake_in_a_manifest_is_one_sentence() {
        assert!(Native::parse(text(|_| {}).as_bytes()).is_ok());
        type Change = fn(&mut toml::Table);
        let wrong: [(Change, &str); 7] = [
            (|t| drop(t.insert("aos-tool".into(), 2.into())), "format 1"),
            (|t| drop(t.insert("image".into(), "debian:12".into())), "64 hexadecimal"),
            (|t| drop(t.insert("name".into(), "a/b".into())), "`a/b`"),
            (|t| drop(t.insert("tools".into(), toml::Value::Array(vec![]))), "[[tools]]"),
            (
                |t| {
                    drop(
                        t["tools"][0]
                            .as_table_mut()
                            .map(|t| t.insert("program".into(), "x".into())),
                    )
                },
                "absolute path",
            ),
            (|t| drop(t.insert("shell".into(), true.into())), "unknown field `shell`"),
            (
                |t| {
                    drop(t.insert(
                        "grants".into(),
                        toml::Value::Array(vec![toml::Value::Table(
                            toml::toml! { ask = "net:https://x.example"
                            reason = "" },
                        )]),
                    ))
                },
                "read and write alone",
            ),
        ];
        for (change, says) in wrong {
            let error = Native::parse(text(change).as_bytes()).expect_err(says);
            assert!(error.contains(says) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let native = Native::parse(text(|_| {}).as_bytes()).expect("parses");
        let written = native.file.text().expect("writes");
        assert!(is_manifest(written.as_bytes()), "{written}");
        assert_eq!(Native::parse(written.as_bytes()).expect("parses").file, native.file);
    }
}
