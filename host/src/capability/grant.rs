//! The grammar of grants: `[PLUGIN@]capability:pattern`, the same in flags, TOML and manifests.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::capability::names::NamePattern;
use crate::capability::network::pattern::{HttpPattern, SocketPattern};
use crate::capability::secrets::{SecretPattern, check_name};

/// What can be granted, one word each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Reading files below a root.
    Read,
    /// Writing (and reading) files below a root.
    Write,
    /// Outgoing HTTP requests.
    Net,
    /// Outgoing TCP connections.
    Tcp,
    /// UDP datagrams to an address.
    Udp,
    /// An environment variable.
    Env,
    /// A configuration value.
    Config,
    /// A bucket of the plugin's own key-value store.
    KeyValue,
    /// A secret, at some hosts.
    Secret,
    /// A tool, by the name under which an agent sees it.
    Tool,
    /// A model.
    Model,
    /// Children that run a program.
    Spawn,
}

impl Capability {
    /// All of them, for help texts and parsers.
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::Write,
        Self::Net,
        Self::Tcp,
        Self::Udp,
        Self::Env,
        Self::Config,
        Self::KeyValue,
        Self::Secret,
        Self::Tool,
        Self::Model,
        Self::Spawn,
    ];

    /// The word in the grammar.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Net => "net",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Env => "env",
            Self::Config => "config",
            Self::KeyValue => "keyvalue",
            Self::Secret => "secret",
            Self::Tool => "tool",
            Self::Model => "model",
            Self::Spawn => "spawn",
        }
    }

    /// The flag of `aos-host run` that grants it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Read => "--allow-read",
            Self::Write => "--allow-write",
            Self::Net => "--allow-net",
            Self::Tcp => "--allow-tcp",
            Self::Udp => "--allow-udp",
            Self::Env => "--allow-env",
            Self::Config => "--set-config",
            Self::KeyValue => "--allow-keyvalue",
            Self::Secret => "--secret",
            Self::Tool => "--plugin",
            Self::Model => "--model",
            Self::Spawn => "--allow-spawn",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A grant or a manifest line that could not be read: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GrantError(pub String);

impl FromStr for Capability {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        Self::ALL.into_iter().find(|capability| capability.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|capability| capability.name()).collect();
            GrantError(format!("`{text}` is no capability; there are {}", names.join(", ")))
        })
    }
}

/// A folder of the machine and the path under which a guest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRoot {
    /// The folder on this machine, as typed.
    pub host: PathBuf,
    /// The absolute path in the guest.
    pub guest: String,
}

impl FromStr for PathRoot {
    type Err = GrantError;

    /// `HOST[:GUEST]`; without GUEST the guest sees the same path.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (host, guest) = match text.rsplit_once(":/") {
            Some((host, guest)) => (host, format!("/{guest}")),
            None if text.contains(':') => {
                return Err(GrantError(format!(
                    "`{text}`: the path in the guest must be absolute, as in `{}:/data`",
                    text.split(':').next().unwrap_or(".")
                )));
            }
            None => (text, guest_path_of(text)?),
        };
        if host.is_empty() {
            return Err(GrantError(format!("`{text}` names no folder; write HOST or HOST:/GUEST")));
        }
        let guest = normalised(&guest)
            .ok_or_else(|| GrantError(format!("`{text}`: the guest's path holds `..`")))?;
        Ok(Self { host: PathBuf::from(host), guest })
    }
}

/// A relative folder without a path for the guest would mean another place in the guest for
/// every working directory; so it is seen below the guest's root.
fn guest_path_of(host: &str) -> Result<String, GrantError> {
    let trimmed = host.trim_start_matches("./");
    match trimmed {
        "." | "" => Ok("/".into()),
        path if path.starts_with("..") => Err(GrantError(format!(
            "`{host}` lies above the working directory: say where the guest sees it, as in \
             `{host}:/data`"
        ))),
        path if path.starts_with('/') => Ok(path.into()),
        path => Ok(format!("/{path}")),
    }
}

/// An absolute path without `.`, doubled or trailing slashes; none when it holds `..`.
fn normalised(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}

/// What the operator gives: one capability and the things it reaches.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Files below a root may be read.
    Read(PathRoot),
    /// Files below a root may be read, made, changed and removed.
    Write(PathRoot),
    /// HTTP requests that match.
    Net(HttpPattern),
    /// TCP connections that match.
    Tcp(SocketPattern),
    /// UDP datagrams that match.
    Udp(SocketPattern),
    /// Environment variables that match.
    Env(NamePattern),
    /// Configuration keys that match.
    Config(NamePattern),
    /// Buckets that match.
    KeyValue(NamePattern),
    /// A secret, in the requests that match, which are granted with it.
    Secret(SecretPattern),
    /// Tools that match, as `files__*`.
    Tool(NamePattern),
    /// Models that match, as `anthropic/*`.
    Model(NamePattern),
    /// Programs that children may run.
    Spawn(NamePattern),
}

impl Scope {
    /// Reads `pattern` as `capability` writes it.
    ///
    /// # Errors
    /// One sentence that says what the pattern should look like.
    pub fn parse(capability: Capability, pattern: &str) -> Result<Self, GrantError> {
        let text = |error: &dyn fmt::Display| GrantError(error.to_string());
        Ok(match capability {
            Capability::Read => Self::Read(pattern.parse()?),
            Capability::Write => Self::Write(pattern.parse()?),
            Capability::Net => Self::Net(pattern.parse().map_err(|e| text(&e))?),
            Capability::Tcp => Self::Tcp(pattern.parse().map_err(|e| text(&e))?),
            Capability::Udp => Self::Udp(pattern.parse().map_err(|e| text(&e))?),
            Capability::Env => Self::Env(pattern.parse()?),
            Capability::Config => Self::Config(pattern.parse()?),
            Capability::KeyValue => Self::KeyValue(pattern.parse()?),
            Capability::Secret => Self::Secret(pattern.parse()?),
            Capability::Tool => Self::Tool(pattern.parse()?),
            Capability::Model => Self::Model(pattern.parse()?),
            Capability::Spawn => Self::Spawn(pattern.parse()?),
        })
    }
}

impl Scope {
    /// What it is a scope of.
    pub fn capability(&self) -> Capability {
        match self {
            Self::Read(_) => Capability::Read,
            Self::Write(_) => Capability::Write,
            Self::Net(_) => Capability::Net,
            Self::Tcp(_) => Capability::Tcp,
            Self::Udp(_) => Capability::Udp,
            Self::Env(_) => Capability::Env,
            Self::Config(_) => Capability::Config,
            Self::KeyValue(_) => Capability::KeyValue,
            Self::Secret(_) => Capability::Secret,
            Self::Tool(_) => Capability::Tool,
            Self::Model(_) => Capability::Model,
            Self::Spawn(_) => Capability::Spawn,
        }
    }
}

/// One line of what the operator gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The one plugin it is for; none for every plugin whose manifest asks for it.
    pub plugin: Option<String>,
    /// What it gives.
    pub scope: Scope,
}

impl Grant {
    /// Whether whoever holds this grant holds `other` too: for the same plugin or for all, and
    /// nothing that this one does not reach. Patterns of requests and sockets must be the same.
    pub fn covers(&self, other: &Self) -> bool {
        let plugin = self.plugin.is_none() || self.plugin == other.plugin;
        let below = |outer: &PathRoot, inner: &PathRoot| outer.covers(inner);
        plugin
            && match (&self.scope, &other.scope) {
                (Scope::Read(a) | Scope::Write(a), Scope::Read(b))
                | (Scope::Write(a), Scope::Write(b)) => below(a, b),
                (Scope::Env(a), Scope::Env(b))
                | (Scope::Config(a), Scope::Config(b))
                | (Scope::KeyValue(a), Scope::KeyValue(b))
                | (Scope::Tool(a), Scope::Tool(b))
                | (Scope::Model(a), Scope::Model(b))
                | (Scope::Spawn(a), Scope::Spawn(b)) => a.covers(b),
                (a, b) => a == b,
            }
    }
}

impl PathRoot {
    /// Whether `inner` is the same place, or one below it under the name that follows from it.
    /// Both are compared as written: a host path with `..` covers nothing but itself.
    fn covers(&self, inner: &Self) -> bool {
        let plain = |path: &std::path::Path| {
            !path.components().any(|part| part == std::path::Component::ParentDir)
        };
        let same = self == inner;
        let host = inner.host.strip_prefix(&self.host).ok().filter(|_| plain(&inner.host));
        let guest = std::path::Path::new(&inner.guest).strip_prefix(&self.guest).ok();
        same || (host.is_some() && host == guest)
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (plugin, capability, pattern) = split(text)?;
        Ok(Self { plugin, scope: Scope::parse(capability, pattern)? })
    }
}

/// `[PLUGIN@]capability:pattern`, cut in three. An `@` after the colon belongs to the pattern.
fn split(text: &str) -> Result<(Option<String>, Capability, &str), GrantError> {
    let (head, pattern) = text.split_once(':').ok_or_else(|| {
        GrantError(format!("`{text}` is no grant; write capability:pattern, as in `read:./src`"))
    })?;
    let (plugin, capability) = match head.split_once('@') {
        Some((plugin, capability)) => (Some(plugin.to_owned()), capability),
        None => (None, head),
    };
    Ok((plugin, capability.parse()?, pattern))
}

/// One line of what a plugin's author asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The capability.
    pub capability: Capability,
    /// What of it.
    pub pattern: AskPattern,
}

/// What an author can ask for. Files are named as the guest sees them: where they lie on the
/// operator's machine an author cannot know.
#[derive(Clone, Debug, PartialEq)]
pub enum AskPattern {
    /// Whatever the operator gives.
    Anything,
    /// Guest paths at and below this one.
    Path(String),
    /// Requests that match.
    Http(HttpPattern),
    /// Sockets that match.
    Socket(SocketPattern),
    /// Names that match.
    Name(NamePattern),
}

impl FromStr for Ask {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (plugin, capability, pattern) = split(text)?;
        if plugin.is_some() {
            return Err(GrantError(format!("`{text}`: a manifest asks for its own plugin only")));
        }
        let pattern = if pattern == "*" {
            AskPattern::Anything
        } else if capability == Capability::Secret {
            // At which hosts it is used, what it asks of the network says.
            check_name(pattern)?;
            AskPattern::Name(pattern.parse()?)
        } else {
            match Scope::parse(capability, pattern)? {
                Scope::Read(root) | Scope::Write(root) if pattern.starts_with('/') => {
                    AskPattern::Path(root.guest)
                }
                Scope::Read(_) | Scope::Write(_) => {
                    return Err(GrantError(format!(
                        "`{text}`: a manifest names absolute paths of the guest, or `*`"
                    )));
                }
                Scope::Net(pattern) => AskPattern::Http(pattern),
                Scope::Secret(secret) => AskPattern::Http(secret.place),
                Scope::Tcp(pattern) | Scope::Udp(pattern) => AskPattern::Socket(pattern),
                Scope::Env(name)
                | Scope::Config(name)
                | Scope::KeyValue(name)
                | Scope::Tool(name)
                | Scope::Model(name)
                | Scope::Spawn(name) => AskPattern::Name(name),
            }
        };
        Ok(Self { capability, pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> (String, String) {
        let root: PathRoot = text.parse().expect("parses");
        (root.host.display().to_string(), root.guest)
    }

    #[test]
    fn a_root_names_a_folder_and_where_the_guest_sees_it() {
        assert_eq!(root("./src:/s"), ("./src".into(), "/s".into()));
        assert_eq!(root("/a/b/"), ("/a/b/".into(), "/a/b".into()));
        assert_eq!(root("./src"), ("./src".into(), "/src".into()));
        assert_eq!(root("."), (".".into(), "/".into()));
        assert_eq!(root("/odd:/name:/w"), ("/odd:/name".into(), "/w".into()));
    }

    #[test]
    fn a_root_that_is_ambiguous_is_refused_with_the_right_form() {
        for text in ["../up", "src:data", ":/x", "a:/b/../c", ""] {
            let error = text.parse::<PathRoot>().expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_grant_may_name_one_plugin() {
        let grant: Grant = "files@read:/src".parse().expect("parses");
        assert_eq!(grant.plugin.as_deref(), Some("files"));
        let grant: Grant = "env:HOME".parse().expect("parses");
        assert_eq!(grant.plugin, None);
    }

    #[test]
    fn an_unknown_capability_lists_the_known_ones() {
        let error = "root:/".parse::<Grant>().expect_err("unknown").to_string();
        assert!(error.contains("`root`") && error.contains("keyvalue"), "{error}");
    }

    #[test]
    fn a_manifest_asks_in_guest_paths() {
        assert_eq!("read:*".parse::<Ask>().expect("parses").pattern, AskPattern::Anything);
        let ask: Ask = "write:/out/".parse().expect("parses");
        assert_eq!(ask.pattern, AskPattern::Path("/out".into()));
        assert!("read:src".parse::<Ask>().is_err());
        assert!("files@read:*".parse::<Ask>().is_err());
    }
}
