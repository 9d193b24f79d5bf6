//! `aos-host doctor`: whether this host is as it should be; with `--attack`, whether its barriers
//! hold.

mod attack;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use super::agent::models;
use super::audit::opened;
use super::exit::{Code, Failure};
use super::run::Format;
use super::terminal::{self, one_line};
use crate::config::Config;
use crate::config::supply::lock::{self, Lock};
use crate::container::ContainerError;
use crate::container::daemon::Daemon;
use crate::journal::list;
use crate::sandbox::cache::CacheFolder;
use crate::storage::StoreUrl;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Run hostile guests against this host, in a store in memory and a folder of their own
    #[arg(long)]
    attack: bool,
    /// How it is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// How one part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// Something is not there, and what needs it says so.
    Absent,
    Bad,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Absent => "absent",
            Self::Bad => "BAD",
        }
    }
}

/// One line of the answer.
#[derive(Debug)]
struct Line {
    part: &'static str,
    state: State,
    what: String,
}

fn line(part: &'static str, state: State, what: impl Into<String>) -> Line {
    Line { part, state, what: what.into() }
}

pub async fn doctor(config: &Config, arguments: &DoctorArgs) -> Result<Code, Failure> {
    if arguments.attack {
        return attack::attack(arguments.output).await;
    }
    let mut lines = vec![store(config).await, cache(config)];
    lines.extend(files(config));
    lines.push(plugins(config));
    lines.push(docker(config).await);
    lines.push(providers(config)?);
    lines.push(clock(config).await);
    let bad = lines.iter().filter(|line| line.state == State::Bad).count();
    let text = match arguments.output {
        Format::Json => {
            let each = lines.iter().map(
                |line| json!({ "part": line.part, "state": line.state.word(), "what": line.what }),
            );
            json!({ "ok": bad == 0, "parts": each.collect::<Vec<_>>() }).to_string()
        }
        Format::Text => {
            let each = lines.iter().map(|line| {
                format!("{:<10} {:<7} {}\n", line.part, line.state.word(), one_line(&line.what))
            });
            each.collect()
        }
    };
    terminal::print_line(&text)?;
    match bad {
        0 => Ok(Code::Ok),
        _ => Err(Failure::silent(Code::Tool)),
    }
}

async fn store(config: &Config) -> Line {
    let part = "store";
    let place = config.store.to_string();
    if let StoreUrl::Sqlite(path) = &config.store
        && !path.exists()
    {
        return line(part, State::Absent, format!("{place}: the first run makes it"));
    }
    match config.store.open().await {
        Err(error) => line(part, State::Bad, error.to_string()),
        Ok(store) => match list(&*store, None, 1).await {
            Err(error) => line(part, State::Bad, format!("{place}: {error}")),
            Ok(runs) => {
                let count = runs.first().map_or(0, |run| run.number);
                let what = format!("{place}: {count} runs; `aos-host audit verify` checks them");
                line(part, State::Good, what)
            }
        },
    }
}

fn cache(config: &Config) -> Line {
    match CacheFolder::open(&config.cache_folder) {
        Ok(cache) => line("cache", State::Good, cache.path().display().to_string()),
        Err(error) => line("cache", State::Bad, error.to_string()),
    }
}

/// What is this user's alone, and what others may read and not write.
fn files(config: &Config) -> Vec<Line> {
    let part = "files";
    let state = &config.state_folder;
    let secret = [config.anchor_key.clone(), state.join("host.id"), config.cache_folder.clone()];
    let mut lines = Vec::new();
    let watched = config.plugin_path.iter().chain([&config.file, state]);
    for (path, mask) in
        secret.iter().map(|path| (path, 0o077)).chain(watched.map(|path| (path, 0o022)))
    {
        let Some(wrong) = wrong_mode(path, mask) else { continue };
        lines.push(line(part, State::Bad, wrong));
    }
    if lines.is_empty() {
        lines.push(line(part, State::Good, "what the host trusts is its user's alone"));
    }
    lines
}

/// What is wrong with who may use a file; nothing when it is not there.
fn wrong_mode(path: &Path, mask: u32) -> Option<String> {
    let found = path.symlink_metadata().ok()?;
    let found = if found.is_symlink() { path.metadata().ok()? } else { found };
    let (mode, shown) = (found.mode() & 0o777, path.display());
    let own = rustix::process::getuid().as_raw();
    if found.uid() != own && found.uid() != 0 {
        return Some(format!(
            "{shown} belongs to user {}, and the host runs as {own}",
            found.uid()
        ));
    }
    (mode & mask != 0).then(|| {
        let what = if mask & 0o044 != 0 { "read or change" } else { "change" };
        format!("others may {what} {shown} (mode {mode:o}): `chmod {:o}`", mode & !mask)
    })
}

fn plugins(config: &Config) -> Line {
    let part = "plugins";
    let Some(folder) = config.plugin_path.last() else {
        return line(part, State::Absent, "there is no folder of plugins");
    };
    let all = match Lock::of(folder) {
        Ok(all) => all.plugins,
        Err(error) => return line(part, State::Bad, error.to_string()),
    };
    for plugin in &all {
        let path = lock::path_of(folder, &plugin.name);
        let checked = match std::fs::read(&path) {
            Ok(bytes) => lock::check(folder, &plugin.name, &bytes).map_err(|e| e.to_string()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        };
        if let Err(what) = checked {
            return line(part, State::Bad, what);
        }
    }
    line(part, State::Good, format!("{} were added and are what they were", all.len()))
}

async fn docker(config: &Config) -> Line {
    let part = "docker";
    match Daemon::connect(&config.containers()).await {
        Ok(daemon) => match daemon.version().await {
            Ok(version) => {
                line(part, State::Good, format!("version {version} at {}", daemon.address))
            }
            Err(error) => line(part, State::Bad, error.to_string()),
        },
        Err(error @ ContainerError::NoDaemon(..)) => line(part, State::Absent, error.to_string()),
        Err(error) => line(part, State::Bad, error.to_string()),
    }
}

fn providers(config: &Config) -> Result<Line, Failure> {
    let configured = models(config)?.configured();
    Ok(match configured.is_empty() {
        false => line("providers", State::Good, configured.join(", ")),
        true => line(
            "providers",
            State::Absent,
            "no provider's key is set, as ANTHROPIC_API_KEY; scripts work without one",
        ),
    })
}

/// 2026-01-01, before which nothing of this was built.
const BUILT_S: u64 = 1_767_225_600;

async fn clock(config: &Config) -> Line {
    let part = "clock";
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if now.as_secs() < BUILT_S {
        return line(part, State::Bad, "it shows a time before this program was built");
    }
    let newest = match opened(&config.store).await {
        Ok(store) => list(&*store, None, 1).await.ok().and_then(|runs| Some(runs.first()?.last_us)),
        Err(_) => None,
    };
    let ahead_us = newest.map_or(0, |last| i128::from(last) - now.as_micros() as i128);
    match ahead_us > 60_000_000 {
        true => {
            let seconds = ahead_us / 1_000_000;
            let what = format!("the newest row of the journal is {seconds} s in the future");
            line(part, State::Bad, what)
        }
        false => line(
            part,
            State::Good,
            humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        ),
    }
}
