//! The files of container tools in the operator's own folder.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::exit::{Code, Failure};
use crate::capability::grant::PathRoot;
use crate::config::Config;
use crate::container::discover::{Image, Program};
use crate::container::manifest::{AskLine, ENDING, Native, Tool, ToolFile, ToolLimits};
use crate::container::parameter::{Kind, Parameter};
use crate::sandbox::plain::nearest;

/// A tool file is no longer than its reader takes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What a tool is made of.
pub struct Wanted<'a> {
    pub name: &'a str,
    pub image: &'a Image,
    pub program: &'a Program,
    pub tools: Vec<Tool>,
    pub grants: Grants,
}

/// What it asks for, and what the operator gives it for good.
pub struct Grants {
    asks: Vec<AskLine>,
    allow: Vec<String>,
    /// Where it reads, when that is one folder: paths that are not given mean it.
    only: Option<String>,
}

/// The grants of `--read` and `--write`: real paths, so that they mean the same from everywhere.
pub fn grants(read: &[String], write: &[String]) -> Result<Grants, Failure> {
    let mut grants = Grants { asks: Vec::new(), allow: Vec::new(), only: None };
    for (capability, roots) in [("read", read), ("write", write)] {
        for text in roots {
            let root: PathRoot =
                text.parse().map_err(|error| Failure::usage(format!("--{capability}: {error}")))?;
            let real = root.host.canonicalize().map_err(|error| {
                Failure::usage(format!("--{capability} {}: {error}", root.host.display()))
            })?;
            grants.asks.push(AskLine {
                ask: format!("{capability}:{}", root.guest),
                reason: "what the operator wrapped it with".into(),
            });
            grants.allow.push(format!("{capability}:{}:{}", real.display(), root.guest));
            grants.only = Some(root.guest);
        }
    }
    if grants.asks.len() != 1 {
        grants.only = None;
    }
    if grants.asks.is_empty() {
        return Ok(anything());
    }
    Ok(grants)
}

/// Asks for whatever folders its calls name; gives none.
pub fn anything() -> Grants {
    let ask = |capability: &str, reason: &str| AskLine {
        ask: format!("{capability}:*"),
        reason: reason.into(),
    };
    let asks = vec![
        ask("read", "the folders that hold the paths of a call"),
        ask("write", "where a call says that it writes"),
    ];
    Grants { asks, allow: Vec::new(), only: None }
}

/// The tools of a file that `--template` names; their program is the one that is wrapped.
pub fn template(path: &Path) -> Result<Vec<Tool>, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Template {
        tools: Vec<Tool>,
    }
    let wrong = |error: String| Failure::usage(format!("--template {}: {error}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(format!("it is over {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let template: Template = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        wrong(format!("line {line}: {}", error.message().replace('\n', " ")))
    })?;
    Ok(template.tools)
}

/// The file of a tool.
pub fn manifest(wanted: Wanted<'_>) -> ToolFile {
    let Wanted { name, image, program, tools, grants } = wanted;
    let tools = tools.into_iter().map(|mut tool| {
        if tool.program.is_empty() {
            tool.program.clone_from(&program.path);
        }
        if let Some(only) = &grants.only {
            let unset = |of: &&mut Parameter| of.is_path() && !of.write && of.default.is_none();
            for parameter in tool.parameters.values_mut().filter(unset) {
                parameter.required = false;
                parameter.default = Some(match parameter.kind {
                    Kind::Paths => toml::Value::Array(vec![only.clone().into()]),
                    _ => only.clone().into(),
                });
            }
        }
        tool
    });
    ToolFile {
        format: 1,
        name: name.to_owned(),
        description: format!("{} of the image {}", program.name, image.reference),
        image: image.id.clone(),
        reference: image.reference.clone(),
        tools: tools.collect(),
        limits: ToolLimits::default(),
        allow: grants.allow,
        grants: grants.asks,
    }
}

/// Each tool with its parameters, in one line.
pub fn parameters(file: &ToolFile) -> String {
    let tool = |tool: &Tool| {
        let names: Vec<&str> = tool.parameters.keys().map(String::as_str).collect();
        format!("{}({})", tool.name, names.join(", "))
    };
    file.tools.iter().map(tool).collect::<Vec<_>>().join(" ")
}

/// Where the operator's tools lie: the user's own folder of plugins.
fn folder(config: &Config) -> Result<&Path, Failure> {
    let last = config.plugin_path.last().map(PathBuf::as_path);
    last.ok_or_else(|| Failure::host("there is no folder of plugins"))
}

/// Writes a file; whole, or not at all.
pub fn keep(config: &Config, file: &ToolFile, force: bool) -> Result<PathBuf, Failure> {
    let text = file.text().map_err(Failure::host)?;
    // What is written is what can be read.
    let name = &file.name;
    Native::parse(text.as_bytes())
        .map_err(|error| Failure::usage(format!("`{name}` cannot be a tool: {error}")))?;
    let folder = folder(config)?;
    let path = folder.join(format!("{name}{ENDING}"));
    if path.exists() && !force {
        let path = path.display();
        return Err(Failure::usage(format!("{path} is there; --force writes over it")));
    }
    let wrong = |error: std::io::Error| Failure::host(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(folder).map_err(wrong)?;
    let new = folder.join(format!(".{name}-{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
    let mut opened = opened.map_err(wrong)?;
    opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()).map_err(wrong)?;
    std::fs::rename(&new, &path).map_err(wrong)?;
    Ok(path)
}

/// A file of tools, and what it says or what is wrong with it.
pub type ToolPath = (PathBuf, Result<Native, String>);

/// All files of tools, by name; those that cannot be read with what is wrong with them.
pub fn all(config: &Config) -> Result<Vec<ToolPath>, Failure> {
    let mut all = Vec::new();
    for folder in &config.plugin_path {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if !path.to_string_lossy().ends_with(ENDING) {
                continue;
            }
            let read = text_of(&path).and_then(|text| Native::parse(text.as_bytes()));
            all.push((path, read));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

/// The path and the text of one, by its name.
pub fn read(config: &Config, name: &str) -> Result<(PathBuf, String), Failure> {
    let plain = !name.contains('/') && !name.starts_with('.');
    for folder in config.plugin_path.iter().filter(|_| plain) {
        let path = folder.join(format!("{name}{ENDING}"));
        if path.is_file() {
            let wrong = |error| Failure::host(format!("{}: {error}", path.display()));
            let text = text_of(&path).map_err(wrong)?;
            return Ok((path, text));
        }
    }
    let all = all(config)?;
    let names = all.iter().filter_map(|(path, _)| path.file_name()?.to_str()?.strip_suffix(ENDING));
    let near = nearest(name, names).map(|near| format!("; did you mean `{near}`?"));
    let near = near.unwrap_or_else(|| "; `aos-host tool list` shows them".into());
    Err(Failure::new(Code::Missing, format!("there is no container tool `{name}`{near}")))
}

fn text_of(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("it is over {FILE_BYTES_MAX} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
