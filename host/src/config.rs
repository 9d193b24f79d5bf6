//! Where the host keeps things and what it starts from: the configuration file, the environment
//! and the defaults, as one value. Flags come on top, in `cli`.

pub mod agent;
pub mod anchor;
pub mod host;
pub mod plugins;
pub mod policy;
pub mod secrets;
pub mod supply;
pub mod team;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::host::HostTable;
use crate::container::daemon::ContainerOptions;
use crate::sandbox::limits::Limits;
use crate::storage::StoreUrl;

/// Something in the configuration is not as it should be: one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// What the host starts from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the journal is.
    pub store: StoreUrl,
    /// Where compiled components are kept.
    pub cache_folder: PathBuf,
    /// How many bytes of them; none for the default.
    pub cache_bytes_max: Option<u64>,
    /// Folders in which plugins are looked up by name.
    pub plugin_path: Vec<PathBuf>,
    /// The limits of each call.
    pub limits: Limits,
    /// Grants for every run, in the grammar of grants.
    pub grants: Vec<String>,
    /// Paths that stay closed in every run.
    pub denied_paths: Vec<PathBuf>,
    /// `[models.providers]`: providers, models and prices over the built-in table.
    pub providers: toml::Table,
    /// `[host]`: what agents share.
    pub host: HostTable,
    /// The configuration file, there or not.
    pub file: PathBuf,
    /// Where a daemon's socket is: the session's runtime folder, or below the state folder.
    pub runtime_folder: PathBuf,
    /// Where the default store is, and what else this host keeps.
    pub state_folder: PathBuf,
    /// The key that signs heads of the journal.
    pub anchor_key: PathBuf,
}

/// `aos.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    store: Option<String>,
    #[serde(default)]
    plugin_path: Vec<PathBuf>,
    #[serde(default)]
    cache: CacheTable,
    #[serde(default)]
    grants: GrantsTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    models: ModelsTable,
    #[serde(default)]
    host: HostTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelsTable {
    #[serde(default)]
    providers: toml::Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheTable {
    folder: Option<PathBuf>,
    size: Option<Bytes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsTable {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny_path: Vec<PathBuf>,
}

/// The limits that a file or flags set; what they leave out stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsTable {
    /// `memory`.
    pub memory: Option<Bytes>,
    /// `timeout`: wall time.
    pub timeout: Option<Time>,
    /// `cpu`: CPU time.
    pub cpu: Option<Time>,
    /// `output`.
    pub output: Option<Bytes>,
    /// `stdio`.
    pub stdio: Option<Bytes>,
    /// `host_call`.
    pub host_call: Option<Bytes>,
    /// `handles`.
    pub handles: Option<u64>,
    /// `tasks`.
    pub tasks: Option<u64>,
    /// `open_files`.
    pub open_files: Option<u64>,
    /// `random`.
    pub random: Option<Bytes>,
    /// `http_fields`.
    pub http_fields: Option<Bytes>,
    /// `http_body`.
    pub http_body: Option<Bytes>,
    /// `rows`.
    pub rows: Option<u64>,
    /// `load`: time to load a component.
    pub load: Option<Time>,
}

impl LimitsTable {
    /// The key of the first limit that is zero, if one is. With nothing at all of it no guest
    /// could do anything, and of the rest zero is more likely a mistake for "without a limit".
    pub fn zero(&self) -> Option<&'static str> {
        let bytes = |set: Option<Bytes>| set == Some(Bytes(0));
        let time = |set: Option<Time>| set.is_some_and(|time| time.0.is_zero());
        let each = [
            ("memory", bytes(self.memory)),
            ("timeout", time(self.timeout)),
            ("cpu", time(self.cpu)),
            ("output", bytes(self.output)),
            ("stdio", bytes(self.stdio)),
            ("host_call", bytes(self.host_call)),
            ("handles", self.handles == Some(0)),
            ("open_files", self.open_files == Some(0)),
            ("random", bytes(self.random)),
            ("http_fields", bytes(self.http_fields)),
            ("http_body", bytes(self.http_body)),
        ];
        each.into_iter().find_map(|(key, zero)| zero.then_some(key))
    }

    /// These limits where they are set, those of `other` elsewhere.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            memory: self.memory.or(other.memory),
            // Who sets a time for all means computing too, and not what another file says of it.
            cpu: self.cpu.or(if self.timeout.is_some() { None } else { other.cpu }),
            timeout: self.timeout.or(other.timeout),
            output: self.output.or(other.output),
            stdio: self.stdio.or(other.stdio),
            host_call: self.host_call.or(other.host_call),
            handles: self.handles.or(other.handles),
            tasks: self.tasks.or(other.tasks),
            open_files: self.open_files.or(other.open_files),
            random: self.random.or(other.random),
            http_fields: self.http_fields.or(other.http_fields),
            http_body: self.http_body.or(other.http_body),
            rows: self.rows.or(other.rows),
            load: self.load.or(other.load),
        }
    }

    /// These limits where they are set, `limits` elsewhere.
    pub fn over(self, limits: &Limits) -> Limits {
        let bytes = |set: Option<Bytes>, other: u64| set.map_or(other, |bytes| bytes.0);
        let time = |set: Option<Time>, other: Duration| set.map_or(other, |time| time.0);
        Limits {
            memory_bytes: bytes(self.memory, limits.memory_bytes),
            wall: time(self.timeout, limits.wall),
            // A limit on all time that is raised raises the one on computing with it.
            cpu: time(self.cpu, limits.cpu.max(time(self.timeout, limits.cpu))),
            output_bytes: bytes(self.output, limits.output_bytes),
            stdio_bytes: bytes(self.stdio, limits.stdio_bytes),
            hostcall_bytes: bytes(self.host_call, limits.hostcall_bytes),
            handles: self.handles.unwrap_or(limits.handles),
            tasks: self.tasks.unwrap_or(limits.tasks),
            open_files: self.open_files.unwrap_or(limits.open_files),
            random_bytes: bytes(self.random, limits.random_bytes),
            http_fields_bytes: bytes(self.http_fields, limits.http_fields_bytes),
            http_body_bytes: bytes(self.http_body, limits.http_body_bytes),
            rows: self.rows.unwrap_or(limits.rows),
            load: time(self.load, limits.load),
            stack_bytes: limits.stack_bytes,
        }
    }
}

/// A number of bytes, as `64KiB`, `1MB` or `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Text")]
pub struct Bytes(pub u64);

/// A time, as `30s`, `1m 30s` or `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Text")]
pub struct Time(pub Duration);

/// In a file a number may stand without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Number(u64),
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed: Result<bytesize::ByteSize, _> = text.parse();
        parsed
            .map(|size| Self(size.as_u64()))
            .map_err(|_| format!("`{text}` is no size; write it like 64KiB, 256MiB or 4096"))
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| format!("`{text}` is no time; write it like 30s, 2m or 500ms"))
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl TryFrom<Text> for Bytes {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        match text {
            Text::Text(text) => text.parse(),
            Text::Number(number) => Ok(Self(number)),
        }
    }
}

impl TryFrom<Text> for Time {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        match text {
            Text::Text(text) => text.parse(),
            Text::Number(number) => Err(format!("{number} is no time; write \"{number}s\"")),
        }
    }
}

/// What is wrong with a limit of zero.
pub const ZERO: &str = "a limit must be more than 0";

impl Config {
    /// The file at `path`, or the user's own if there is one, over the defaults.
    ///
    /// # Errors
    /// One sentence that names the file, the line and what would be right.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let folders = Folders::of_the_user();
        let own = path.map_or_else(|| folders.config.join("aos.toml"), Path::to_owned);
        let file = match path.is_some() || own.exists() {
            true => read(&own)?,
            false => File::default(),
        };
        let store = match &file.store {
            Some(text) => text.parse().map_err(|error| ConfigError(format!("store: {error}")))?,
            None => StoreUrl::Sqlite(folders.state.join("journal.db")),
        };
        if let Some(key) = file.limits.zero() {
            let own = own.display();
            return Err(ConfigError(format!("{own}: limits: {key} is 0; {ZERO}")));
        }
        if let Err(what) = file.host.check() {
            return Err(ConfigError(format!("{}: host: {what}", own.display())));
        }
        let mut plugin_path = file.plugin_path;
        plugin_path.push(folders.data.join("plugins"));
        Ok(Self {
            store,
            cache_folder: file.cache.folder.unwrap_or(folders.cache),
            cache_bytes_max: file.cache.size.map(|bytes| bytes.0),
            plugin_path,
            limits: file.limits.over(&Limits::default()),
            grants: file.grants.allow,
            denied_paths: file.grants.deny_path,
            providers: file.models.providers,
            host: file.host,
            file: own,
            runtime_folder: folders.runtime,
            anchor_key: folders.state.join("anchor.key"),
            state_folder: folders.state,
        })
    }
}

impl Config {
    /// Where Docker is: `DOCKER_HOST`, else the sockets that everybody looks at.
    pub fn containers(&self) -> ContainerOptions {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        ContainerOptions {
            docker_host: text("DOCKER_HOST"),
            runtime_folder: text("XDG_RUNTIME_DIR").map(PathBuf::from),
            state_folder: Some(self.state_folder.clone()),
        }
    }

    /// What a guest that could change it would rule the host by: compiled code and its key, the
    /// journal and the key that signs its heads, the configuration, the daemon's socket, the
    /// plugins that are found by name.
    pub fn own_paths(&self) -> Vec<PathBuf> {
        let mut paths =
            vec![self.cache_folder.clone(), self.file.clone(), self.runtime_folder.clone()];
        paths.push(self.anchor_key.clone());
        paths.extend(self.plugin_path.iter().cloned());
        // Also when this run writes to another store: what is there was written by others.
        paths.push(self.state_folder.clone());
        paths.extend(secrets::credentials_folder());
        if let StoreUrl::Sqlite(store) = &self.store {
            for ending in ["", "-wal", "-shm", "-journal", "-daemon"] {
                let mut path = store.clone().into_os_string();
                path.push(ending);
                paths.push(path.into());
            }
        }
        paths
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let fail = |what: String| ConfigError(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path)
        .map_err(|error| fail(format!("the configuration cannot be read: {error}")))?;
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        fail(format!("line {line}: {}", error.message().replace('\n', " ")))
    })
}

/// The user's folders, by the XDG rules.
struct Folders {
    config: PathBuf,
    state: PathBuf,
    data: PathBuf,
    cache: PathBuf,
    runtime: PathBuf,
}

impl Folders {
    fn of_the_user() -> Self {
        match directories::ProjectDirs::from("", "", "aos-host") {
            Some(folders) => Self {
                config: folders.config_dir().to_owned(),
                // Only Linux tells state from data.
                state: folders.state_dir().unwrap_or(folders.data_local_dir()).to_owned(),
                data: folders.data_dir().to_owned(),
                cache: folders.cache_dir().join("compiled"),
                runtime: match folders.runtime_dir() {
                    Some(folder) => folder.to_owned(),
                    None => folders.state_dir().unwrap_or(folders.data_local_dir()).join("run"),
                },
            },
            // No home: everything below the working directory, where the user will see it.
            None => {
                let folder = |name: &str| PathBuf::from(".aos-host").join(name);
                Self {
                    config: folder("config"),
                    state: folder("state"),
                    data: folder("data"),
                    cache: folder("cache"),
                    runtime: folder("run"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("aos.toml");
        std::fs::write(&path, text).expect("writes");
        Config::load(Some(&path)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_sets_what_it_names_and_nothing_else() {
        let config = load(
            "store = \"memory:\"\n[limits]\nmemory = \"64MiB\"\ntimeout = \"2m\"\nhandles = 7\n",
        )
        .expect("loads");
        assert_eq!(config.store, StoreUrl::Memory);
        assert_eq!(config.limits.memory_bytes, 64 << 20);
        assert_eq!(config.limits.wall, Duration::from_secs(120));
        assert_eq!(config.limits.cpu, Duration::from_secs(120));
        assert_eq!(config.limits.handles, 7);
        assert_eq!(config.limits.output_bytes, Limits::default().output_bytes);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, says) in [
            ("\n[limits]\nmemroy = 1\n", "line 3: unknown field `memroy`"),
            ("[limits]\nmemory = \"lots\"\n", "`lots` is no size"),
            ("[limits]\ntimeout = 30\n", "write \"30s\""),
            ("[limits]\ntimeout = \"0s\"\n", "timeout is 0"),
            ("[limits]\nhandles = 0\n", "handles is 0"),
            ("store = \"mysql://x\"\n", "store: "),
            ("store = \n", "line 1"),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(says) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
