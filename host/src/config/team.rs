//! `team.toml`: several agents in one file, with their priorities, grants and budgets.
//!
//! ```toml
//! [host]                      # limits of all of them together; every line may be left out
//! max_tokens = 200_000
//! model_slots = 4
//!
//! [[agent]]                   # the fields of `AgentSpec`
//! name = "Architect"
//! program = "assistant"
//! task = "Draw the plan"
//! priority = 20
//! plugins = ["files"]
//! allow = ["read:./docs:/docs"]
//! ```
//! Paths are relative to the file.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::agent::AgentSpec;
use super::anchor::anchor;
pub use super::host::HostTable;

/// Bytes of a team's file.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Agents in one file.
const AGENTS_MAX: usize = 10_000;

/// The agents of a file, paths absolute, and what they may use together.
#[derive(Clone, Debug, Default)]
pub struct Team {
    /// The agents, in the order of the file; each has a name of its own.
    pub agents: Vec<AgentSpec>,
    /// Limits of all of them.
    pub host: HostTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    host: Option<Spanned<HostTable>>,
    #[serde(default)]
    agent: Vec<Spanned<AgentSpec>>,
}

/// Reads and checks a team's file.
///
/// # Errors
/// One sentence that names the file, the line and what would be right.
pub fn load(path: &Path) -> Result<Team, ConfigError> {
    let fail = |what: String| ConfigError(format!("{}: {what}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| fail(error.to_string()))?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| fail(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(fail(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    // A file below the root, as it was opened just now.
    let path = std::path::absolute(path).map_err(|error| fail(error.to_string()))?;
    let base = path.parent().unwrap_or(Path::new("/")).to_owned();
    parse(&text, &base).map_err(fail)
}

fn parse(text: &str, base: &Path) -> Result<Team, String> {
    let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let file: File = toml::from_str(text).map_err(|error| {
        let at = line(error.span().map_or(0, |span| span.start));
        format!("line {at}: {}", error.message().replace('\n', " "))
    })?;
    let host = match file.host {
        Some(host) => {
            let at = line(host.span().start);
            let host = host.into_inner();
            host.check().map_err(|what| format!("line {at}: host: {what}"))?;
            host
        }
        None => HostTable::default(),
    };
    match file.agent.len() {
        0 => return Err("there is no agent in it; write one under [[agent]]".into()),
        1..=AGENTS_MAX => {}
        more => return Err(format!("{more} agents are more than {AGENTS_MAX}")),
    }
    let mut agents = Vec::with_capacity(file.agent.len());
    let mut names = BTreeMap::new();
    for spanned in file.agent {
        let at = line(spanned.span().start);
        let mut spec = spanned.into_inner();
        let number = agents.len() + 1;
        let called = spec.name.get_or_insert_with(|| format!("agent-{number}")).clone();
        spec.check().map_err(|what| format!("line {at}: agent `{called}`: {what}"))?;
        anchor(&mut spec, base).map_err(|what| format!("line {at}: agent `{called}`: {what}"))?;
        if let Some(first) = names.insert(called.clone(), at) {
            return Err(format!("line {at}: `{called}` is the name of the agent of line {first}"));
        }
        agents.push(spec);
    }
    Ok(Team { agents, host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_describes_agents_and_what_they_share() {
        let text = "[host]\nmax_tokens = 1000\nmodel_slots = 2\n\n[[agent]]\nname = \"A\"\n\
                    program = \"assistant\"\ntask = \"x\"\npriority = 20\nallow = [\"read:d:/d\"]\n\
                    max_time = \"1m\"\nlimits = { memory = \"64MiB\" }\n\n[[agent]]\n\
                    program = \"./b.wasm\"\ntask = \"y\"\n";
        let team = parse(text, Path::new("/base")).expect("a team");
        assert_eq!((team.host.max_tokens, team.host.model_slots), (Some(1000), Some(2)));
        let [first, second] = &team.agents[..] else { panic!("two agents") };
        assert_eq!(first.name.as_deref(), Some("A"));
        assert_eq!(first.priority, Some(20));
        assert_eq!(first.allow, ["read:/base/d:/d"]);
        assert_eq!(second.name.as_deref(), Some("agent-2"));
        assert_eq!(second.program, "/base/b.wasm");
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let agent = "[[agent]]\nprogram = \"p\"\ntask = \"t\"\n";
        for (text, says) in [
            (String::new(), "no agent"),
            (format!("{agent}taks = 1\n"), "line 4: unknown field `taks`"),
            (format!("{agent}priority = 101\n"), "line 1: agent `agent-1`: priority 101"),
            (format!("{agent}priority = 300\n"), "line 4: "),
            (format!("{agent}weight = 0\n"), "weight 0: it goes from 1"),
            (format!("{agent}max_tokens = 0\n"), "max_tokens is 0"),
            (format!("{agent}limits = {{ timeout = \"0s\" }}\n"), "timeout is 0"),
            (format!("{agent}allow = [\"read\"]\n"), "`read` is no grant"),
            (format!("\n\n{agent}name = \"a\"\n{agent}name = \"a\"\n"), "line 7: `a` is the name"),
            ("[[agent]]\ntask = \"t\"\n".into(), "no program"),
            ("[[agent]]\nprogram = \"p\"\n".into(), "no task"),
            (format!("[host]\nmodel_slots = 0\n{agent}"), "line 1: host: model_slots is 0"),
            (format!("[hots]\n{agent}"), "line 1: unknown field `hots`"),
            ("[[agent]\n".into(), "line 1"),
        ] {
            let error = parse(&text, Path::new("/")).expect_err(&text);
            assert!(error.contains(says) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
