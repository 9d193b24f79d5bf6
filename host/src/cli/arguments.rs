//! Grants and limits as flags, resolved with what the configuration says.

use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use crate::capability::grant::{Capability, Grant, Scope};
use crate::capability::names::NamePattern;
use crate::config::policy::{Level, Policy, settled, tool_rules};
use crate::config::secrets::{KEY_VARIABLE, VARIABLE_PREFIX};
use crate::config::{Bytes, Config, LimitsTable, Time, ZERO};
use crate::kernel::{HASH_CHARS_MIN, SessionOptions};
use crate::sandbox::plain::nearest;
use crate::sandbox::state::Ambient;

/// What a run may do. Everything is denied unless one of these gives it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Grants")]
pub struct GrantArgs {
    /// Let it read files below a folder; GUEST is where it sees them
    #[arg(long, value_name = "HOST[:GUEST]")]
    allow_read: Vec<String>,
    /// Let it read and write files below a folder
    #[arg(long, value_name = "HOST[:GUEST]")]
    allow_write: Vec<String>,
    /// Close a path inside a granted folder
    #[arg(long, value_name = "HOST")]
    deny_path: Vec<PathBuf>,
    /// Let it send HTTP requests: '[METHOD ]https://HOST[:PORT]', host also *.suffix
    #[arg(long, value_name = "PATTERN")]
    allow_net: Vec<String>,
    /// Let it connect by TCP
    #[arg(long, value_name = "HOST:PORT")]
    allow_tcp: Vec<String>,
    /// Let it send and receive UDP datagrams
    #[arg(long, value_name = "HOST:PORT")]
    allow_udp: Vec<String>,
    /// Let it read an environment variable, or set one for it
    #[arg(long, value_name = "NAME[=VALUE]")]
    allow_env: Vec<String>,
    /// Give it a configuration value (wasi:config)
    #[arg(long, value_name = "KEY=VALUE")]
    set_config: Vec<String>,
    /// Let it use a bucket of its own key-value store
    #[arg(long, value_name = "BUCKET")]
    allow_keyvalue: Vec<String>,
    /// Let it use a secret at some hosts, without seeing it: NAME@https://HOST
    #[arg(long, value_name = "NAME@PLACE")]
    secret: Vec<String>,
    /// Any grant in the grammar [PLUGIN@]capability:pattern
    #[arg(long, value_name = "GRANT")]
    allow: Vec<String>,
    /// Grants, limits and tools from a policy file; flags come on top, within its level
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Freeze its clocks
    #[arg(long)]
    no_clock: bool,
    /// Give it the same random numbers in every run
    #[arg(long)]
    no_random: bool,
}

/// What a run may use. Sizes like 64KiB, times like 30s.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Memory: all its memories and tables together [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<Bytes>,
    /// Time of a call, asleep or not [default: 30s]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Time>,
    /// CPU time of a call [default: as the timeout]
    #[arg(long, value_name = "TIME")]
    max_cpu: Option<Time>,
    /// Its answer [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    max_output: Option<Bytes>,
    /// What it prints to stdout, and to stderr [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    max_stdio: Option<Bytes>,
    /// Bytes it may hand to the host in one call [default: 128MiB]
    #[arg(long, value_name = "SIZE")]
    max_host_call: Option<Bytes>,
    /// Handles of all kinds at once: streams, timers, fields [default: 10000]
    #[arg(long, value_name = "COUNT")]
    max_handles: Option<u64>,
    /// Streams, futures and calls under way at once, of WASI 0.3 [default: 1000]
    #[arg(long, value_name = "COUNT")]
    max_tasks: Option<u64>,
    /// Files, folders and sockets open at once [default: 256]
    #[arg(long, value_name = "COUNT")]
    max_open_files: Option<u64>,
    /// Random bytes in one call [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    max_random: Option<Bytes>,
    /// The header fields of one HTTP message [default: 128KiB]
    #[arg(long, value_name = "SIZE")]
    max_http_fields: Option<Bytes>,
    /// The body of one HTTP message [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    max_http_body: Option<Bytes>,
    /// Journal rows of a call's effects [default: 100000]
    #[arg(long, value_name = "COUNT")]
    max_rows: Option<u64>,
    /// Time to load and compile the plugin [default: 5m]
    #[arg(long, value_name = "TIME")]
    max_load: Option<Time>,
}

impl GrantArgs {
    /// Whether any of them was given.
    pub fn given(&self) -> bool {
        let texts = [
            &self.allow_read,
            &self.allow_write,
            &self.allow_net,
            &self.allow_tcp,
            &self.allow_udp,
            &self.allow_env,
            &self.set_config,
            &self.allow_keyvalue,
            &self.secret,
            &self.allow,
        ];
        let ambient = self.no_clock || self.no_random || self.policy.is_some();
        ambient || !self.deny_path.is_empty() || texts.iter().any(|texts| !texts.is_empty())
    }
}

impl GrantArgs {
    /// The policy that was named.
    ///
    /// # Errors
    /// One sentence that names the file, the line and what would be right.
    pub fn policy(&self) -> Result<Option<Policy>, Failure> {
        self.policy.as_deref().map(Policy::load).transpose().map_err(Failure::usage)
    }
}

impl LimitArgs {
    /// The limits that were given.
    pub fn table(&self) -> LimitsTable {
        LimitsTable {
            memory: self.max_memory,
            timeout: self.timeout,
            cpu: self.max_cpu,
            output: self.max_output,
            stdio: self.max_stdio,
            host_call: self.max_host_call,
            handles: self.max_handles,
            tasks: self.max_tasks,
            open_files: self.max_open_files,
            random: self.max_random,
            http_fields: self.max_http_fields,
            http_body: self.max_http_body,
            rows: self.max_rows,
            load: self.max_load,
        }
    }
}

/// Flags and configuration as what a session starts from.
///
/// # Errors
/// One sentence that names the flag and what would be right.
pub fn session_options(
    config: &Config,
    grants: &GrantArgs,
    limits: &LimitArgs,
) -> Result<SessionOptions, Failure> {
    let limits = limits.table();
    if let Some(key) = limits.zero() {
        let flag = match key {
            "timeout" => "--timeout".to_owned(),
            key => format!("--max-{}", key.replace('_', "-")),
        };
        return Err(Failure::usage(format!("{flag} is 0; {ZERO}")));
    }
    let policy = grants.policy()?;
    let limits = limits.or(policy.as_ref().map(|p| p.limits.clone()).unwrap_or_default());
    let mut options = SessionOptions {
        denied_paths: config
            .denied_paths
            .iter()
            .chain(&grants.deny_path)
            .chain(policy.iter().flat_map(|policy| &policy.deny_path))
            .cloned()
            // What the host itself trusts is in no grant, whatever folder it lies in.
            .chain(config.own_paths())
            .collect(),
        limits: limits.over(&config.limits),
        ambient: Ambient { clock: !grants.no_clock, random: !grants.no_random },
        ..SessionOptions::default()
    };
    for text in &grants.allow {
        let grant: Grant = text.parse().map_err(Failure::usage)?;
        options.grants.push((grant, text.clone()));
    }
    let by_capability = [
        (Capability::Read, &grants.allow_read),
        (Capability::Write, &grants.allow_write),
        (Capability::Net, &grants.allow_net),
        (Capability::Tcp, &grants.allow_tcp),
        (Capability::Udp, &grants.allow_udp),
        (Capability::KeyValue, &grants.allow_keyvalue),
        (Capability::Secret, &grants.secret),
    ];
    for (capability, patterns) in by_capability {
        for pattern in patterns {
            give(&mut options, capability, pattern)?;
        }
    }
    give_values(&mut options, grants)?;
    if let Some(policy) = &policy {
        options.tools =
            tool_rules(&policy.allow_tools, &policy.deny_tools).map_err(Failure::usage)?;
        let given = policy.grants().map_err(Failure::usage)?;
        let all = given.into_iter().chain(options.grants).collect();
        options.grants = policy.settle(all).map_err(Failure::usage)?;
    }
    // The configuration's own are for everything that runs here, whatever the level.
    for text in config.grants.iter().rev() {
        let grant: Grant = text.parse().map_err(Failure::usage)?;
        let read_only = policy.as_ref().is_some_and(|policy| policy.read_only);
        let own = settled(Level::Admin, read_only, (grant, text.clone()));
        options.grants.insert(0, own.map_err(Failure::usage)?);
    }
    granted_environment(&mut options);
    Ok(options)
}

/// Variables and configuration values, which are granted by being given.
fn give_values(options: &mut SessionOptions, grants: &GrantArgs) -> Result<(), Failure> {
    for text in &grants.allow_env {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text.as_str(), None),
        };
        give(options, Capability::Env, name)?;
        options.environment.extend(environment(name, value)?);
    }
    for text in &grants.set_config {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--set-config {text}: write KEY=VALUE")))?;
        give(options, Capability::Config, key)?;
        options.config.push((key.to_owned(), value.to_owned()));
    }
    Ok(())
}

/// What the flags name and is not there: words on stderr, since a typo there would go unnoticed.
/// Grants of the configuration are for other plugins too, so they are not looked at.
pub fn likely_typos(grants: &GrantArgs, options: &SessionOptions, name: &str) -> Vec<String> {
    let mut notes = Vec::new();
    for path in grants.deny_path.iter().filter(|path| !path.exists()) {
        let near = sibling(path).map(|near| format!("; did you mean `{near}`?"));
        let near = near.unwrap_or_else(|| "; it is denied if it is made".into());
        notes.push(format!("--deny-path {}: it is not there{near}", path.display()));
    }
    for text in &grants.allow {
        // What is no grant was refused before.
        let Ok(Grant { plugin: Some(plugin), .. }) = text.parse() else { continue };
        let is_hash =
            plugin.len() >= HASH_CHARS_MIN && plugin.chars().all(|c| c.is_ascii_hexdigit());
        let note = match &options.known_as {
            Some(known) if *known == plugin => continue,
            _ if is_hash => continue,
            Some(known) => format!("`{known}` runs here, and no `{plugin}`"),
            None if plugin == name => format!(
                "`{plugin}` is what the file calls itself; name it by its hash (`aos-host inspect`)"
            ),
            None => format!("no `{plugin}` runs here; `{name}` was given as a file"),
        };
        notes.push(format!("--allow {text}: it gives nothing: {note}"));
    }
    notes
}

/// The name most like that of a path that is not there, in its folder.
fn sibling(path: &std::path::Path) -> Option<String> {
    /// Names looked at: a hint is worth no long search.
    const NAMES_MAX: usize = 10_000;
    let wanted = path.file_name()?.to_str()?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => std::path::Path::new("."),
    };
    let names = std::fs::read_dir(folder).ok()?.take(NAMES_MAX);
    let names: Vec<String> =
        names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

fn give(
    options: &mut SessionOptions,
    capability: Capability,
    pattern: &str,
) -> Result<(), Failure> {
    let scope = Scope::parse(capability, pattern)
        .map_err(|error| Failure::usage(format!("{}: {error}", capability.flag())))?;
    // The journal keeps what was granted; the value of a variable is not part of it.
    let text = format!("{capability}:{pattern}");
    options.grants.push((Grant { plugin: None, scope }, text));
    Ok(())
}

/// The variables that one flag means.
fn environment(name: &str, value: Option<&str>) -> Result<Vec<(String, String)>, Failure> {
    if let Some(value) = value {
        return Ok(vec![(name.to_owned(), value.to_owned())]);
    }
    let pattern: NamePattern = name.parse().map_err(Failure::usage)?;
    if name.starts_with(VARIABLE_PREFIX) || name == KEY_VARIABLE {
        return Err(Failure::usage(format!(
            "--allow-env {name}: it is a secret of the host's; give it with `--secret \
             NAME@https://HOST`"
        )));
    }
    let found = inherited(&pattern);
    if found.is_empty() && pattern.exact().is_some() {
        return Err(Failure::usage(format!(
            "--allow-env {name}: it is not set; set it, or write {name}=VALUE"
        )));
    }
    Ok(found)
}

/// Variables that grants of the configuration and of `--allow` mean.
fn granted_environment(options: &mut SessionOptions) {
    let patterns: Vec<NamePattern> = options
        .grants
        .iter()
        .filter_map(|(grant, _)| match &grant.scope {
            Scope::Env(pattern) => Some(pattern.clone()),
            Scope::Read(_)
            | Scope::Write(_)
            | Scope::Net(_)
            | Scope::Tcp(_)
            | Scope::Udp(_)
            | Scope::Config(_)
            | Scope::KeyValue(_)
            | Scope::Secret(_)
            | Scope::Tool(_)
            | Scope::Model(_)
            | Scope::Spawn(_) => None,
        })
        .collect();
    for pattern in patterns {
        for pair in inherited(&pattern) {
            if !options.environment.iter().any(|(name, _)| *name == pair.0) {
                options.environment.push(pair);
            }
        }
    }
}

/// The host's own variables that a pattern means. What is no text is no guest's to read.
fn inherited(pattern: &NamePattern) -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        // Secrets are given by grants of their own, never as what they are.
        .filter(|(name, _)| !name.starts_with(VARIABLE_PREFIX) && name != KEY_VARIABLE)
        .filter(|(name, _)| pattern.matches(name))
        .collect()
}
