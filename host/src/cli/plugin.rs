//! `aos-host plugin`: plugins that are added, pinned by hash, signed, upgraded and removed.

mod build;
mod compare;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use self::compare::Contents;
use super::exit::{Code, Failure};
use super::run::Format;
use super::terminal::{self, one_line};
use crate::config::Config;
use crate::config::supply::fetch::{Fetched, Source};
use crate::config::supply::lock::{self, Lock, Locked};
use crate::config::supply::trust::{SIGNATURE_ENDING, Signature, Trust};
use crate::config::supply::{SupplyError, plugin_name, sha256};
use crate::journal::SigningKey;

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Add one: a file, https://…, or oci://HOST/REPOSITORY:TAG
    Add(AddArgs),
    /// List what was added
    List {
        /// How it is written
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Check that what was added is still what it was; all of it, or one
    Verify {
        /// Its name
        name: Option<String>,
    },
    /// Remove one
    Remove {
        /// Its name
        name: String,
    },
    /// Fetch one again, show what would change, and take it when it asks for nothing more
    Upgrade(UpgradeArgs),
    /// Build a plugin that is too large to come with the program, and install it
    Build(build::BuildArgs),
    /// Sign a plugin's file: writes FILE.sig
    Sign {
        /// The file
        file: PathBuf,
        /// The key: made there when there is none
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// Where it comes from
    source: String,
    /// What it is called here, instead of its file's or repository's name
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// Its name
    name: String,
    /// Where the new one comes from, instead of where the old one did
    source: Option<String>,
    /// Take it although it asks for more, or somebody else signed it
    #[arg(long)]
    yes: bool,
}

impl From<SupplyError> for Failure {
    fn from(error: SupplyError) -> Self {
        let code = match error {
            SupplyError::Asked(_) => Code::Usage,
            SupplyError::Untrusted(_) => Code::Denied,
            SupplyError::Source(_) | SupplyError::Files(_) => Code::Host,
        };
        Self::new(code, error)
    }
}

pub async fn plugin(config: &Config, command: PluginCommand) -> Result<Code, Failure> {
    match command {
        PluginCommand::Add(arguments) => add(config, &arguments).await,
        PluginCommand::List { output } => list(config, output),
        PluginCommand::Verify { name } => verify(config, name.as_deref()),
        PluginCommand::Remove { name } => remove(config, &name),
        PluginCommand::Upgrade(arguments) => upgrade(config, &arguments).await,
        PluginCommand::Build(arguments) => build::build(config, &arguments).await,
        PluginCommand::Sign { file, key } => sign(&file, &key),
    }
}

/// The user's own folder of plugins.
fn folder(config: &Config) -> Result<&Path, Failure> {
    let last = config.plugin_path.last().map(PathBuf::as_path);
    last.ok_or_else(|| Failure::host("there is no folder of plugins"))
}

/// The operator's policy: beside the configuration.
fn trust(config: &Config) -> Result<Trust, Failure> {
    Ok(Trust::of(config.file.parent().unwrap_or(Path::new(".")))?)
}

/// Hash and signature first: nothing has read the bytes as a component when this returns.
fn locked(
    config: &Config,
    name: &str,
    source: &Source,
    fetched: &Fetched,
) -> Result<Locked, Failure> {
    let signer = trust(config)?.check(name, &fetched.bytes, fetched.signature.as_ref())?;
    let source = match source {
        Source::File(path) => {
            path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string()
        }
        Source::Url(_) | Source::Oci(_) => source.to_string(),
    };
    Ok(Locked { name: name.to_owned(), source, sha256: sha256(&fetched.bytes), signer })
}

async fn add(config: &Config, arguments: &AddArgs) -> Result<Code, Failure> {
    let source = Source::parse(&arguments.source)?;
    let name = arguments.name.clone().unwrap_or_else(|| source.name());
    let name = plugin_name(&name)?;
    let folder = folder(config)?;
    let mut all = Lock::of(folder)?;
    let path = lock::path_of(folder, name);
    let fetched = source.fetch().await?;
    let new = locked(config, name, &source, &fetched)?;
    match all.find(name) {
        Some(old) if old.sha256 != new.sha256 => {
            return Err(Failure::usage(format!(
                "`{name}` is here with other bytes; `aos-host plugin upgrade {name} {source}` \
                 compares and takes new ones"
            )));
        }
        None if path.exists() => {
            let path = path.display();
            let what = format!("{path} is there and was not added; remove it, or give a --name");
            return Err(Failure::usage(what));
        }
        Some(_) | None => {}
    }
    let contents = Contents::of(config, name, &fetched.bytes).await?;
    // The lock first: bytes without a line in it would run unpinned.
    all.put(new.clone());
    all.write(folder)?;
    lock::write_whole(&path, &fetched.bytes)?;
    terminal::print_line(&format!(
        "{name}: {} bytes, sha256 {}, {}\n{}",
        fetched.bytes.len(),
        new.sha256,
        signed(&new),
        contents.text()
    ))
}

fn signed(plugin: &Locked) -> String {
    match &plugin.signer {
        Some(key) => format!("signed by {key}"),
        None => "signed by nobody".into(),
    }
}

fn list(config: &Config, format: Format) -> Result<Code, Failure> {
    let all = Lock::of(folder(config)?)?;
    if format == Format::Json {
        return terminal::print_line(&json!(all.plugins).to_string());
    }
    if all.plugins.is_empty() {
        return terminal::print_line("no plugins were added; `aos-host plugin add` adds them");
    }
    let line = |plugin: &Locked| {
        format!(
            "{:<16} {}  {}  {}\n",
            one_line(&plugin.name),
            &plugin.sha256[..plugin.sha256.len().min(16)],
            one_line(&plugin.source),
            signed(plugin)
        )
    };
    terminal::print_line(&all.plugins.iter().map(line).collect::<String>())
}

fn verify(config: &Config, name: Option<&str>) -> Result<Code, Failure> {
    let folder = folder(config)?;
    let all = Lock::of(folder)?;
    let wanted: Vec<&Locked> =
        all.plugins.iter().filter(|plugin| name.is_none_or(|name| plugin.name == name)).collect();
    if let (Some(name), true) = (name, wanted.is_empty()) {
        return Err(missing(name));
    }
    let mut wrong = Vec::new();
    for plugin in &wanted {
        let path = lock::path_of(folder, &plugin.name);
        match std::fs::read(&path) {
            Err(error) => wrong.push(format!("{}: {error}", path.display())),
            Ok(bytes) => {
                if let Err(error) = lock::check(folder, &plugin.name, &bytes) {
                    wrong.push(error.to_string());
                }
            }
        }
    }
    match wrong.is_empty() {
        true => terminal::print_line(&format!("ok: {} plugins are what was added", wanted.len())),
        false => Err(Failure::new(Code::Denied, wrong.join("; "))),
    }
}

fn missing(name: &str) -> Failure {
    let name = one_line(name);
    Failure::new(Code::Missing, format!("`{name}` was not added; `aos-host plugin list`"))
}

fn remove(config: &Config, name: &str) -> Result<Code, Failure> {
    let folder = folder(config)?;
    let mut all = Lock::of(folder)?;
    if all.find(name).is_none() {
        return Err(missing(name));
    }
    let path = lock::path_of(folder, name);
    // The file first: without its line it would run unpinned.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::host(format!("{}: {error}", path.display())));
        }
        Ok(()) | Err(_) => {}
    }
    all.plugins.retain(|plugin| plugin.name != name);
    all.write(folder)?;
    terminal::print_line(&format!("removed {name}"))
}

async fn upgrade(config: &Config, arguments: &UpgradeArgs) -> Result<Code, Failure> {
    let folder = folder(config)?;
    let mut all = Lock::of(folder)?;
    let name = arguments.name.as_str();
    let old = all.find(name).cloned().ok_or_else(|| missing(name))?;
    let source = Source::parse(arguments.source.as_deref().unwrap_or(&old.source))?;
    let fetched = source.fetch().await?;
    let new = locked(config, name, &source, &fetched)?;
    if new.sha256 == old.sha256 {
        return terminal::print_line(&format!("{name} is what {source} has: {}", new.sha256));
    }
    let path = lock::path_of(folder, name);
    let before = std::fs::read(&path)
        .map_err(|error| Failure::host(format!("{}: {error}", path.display())))?;
    lock::check(folder, name, &before)?;
    let before = Contents::of(config, name, &before).await?;
    let after = Contents::of(config, name, &fetched.bytes).await?;
    let mut difference = before.difference(&after);
    if old.signer.is_some() && old.signer != new.signer {
        difference.lines.push(format!("! {} before, {} now", signed(&old), signed(&new)));
        difference.asks_for_more = true;
    }
    terminal::print_line(&difference.text())?;
    if difference.asks_for_more && !arguments.yes {
        return Err(Failure::new(
            Code::Denied,
            format!("`{name}` stays as it was: the new one asks for more; --yes takes it"),
        ));
    }
    // Between the two writes the old bytes do not fit the new line, and nothing runs.
    all.put(new.clone());
    all.write(folder)?;
    lock::write_whole(&path, &fetched.bytes)?;
    terminal::print_line(&format!("{name} is now {}, {}", new.sha256, signed(&new)))
}

fn sign(file: &Path, key: &Path) -> Result<Code, Failure> {
    let bytes = std::fs::read(file)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let key = SigningKey::at(key).map_err(Failure::usage)?;
    let mut path = file.as_os_str().to_owned();
    path.push(SIGNATURE_ENDING);
    let path = PathBuf::from(path);
    let signature = Signature::of(&key, &bytes);
    std::fs::write(&path, signature.text())
        .map_err(|error| Failure::host(format!("{}: {error}", path.display())))?;
    terminal::print_line(&format!("{}\nkey {}", path.display(), signature.key))
}
