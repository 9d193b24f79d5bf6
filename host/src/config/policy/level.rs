//! Permission levels: what a policy may grant at all, what it grants by itself, and how much it may
//! use where it does not say.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capability::grant::{Capability, Grant, Scope};
use crate::config::{Bytes, LimitsTable, Time};

/// How far a policy may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Reading folders and values that are named, and nothing that reaches others.
    Restricted,
    /// Files, hosts and secrets that are named.
    #[default]
    Standard,
    /// Everything that can be named, raw sockets and children too, and more of each limit.
    Elevated,
    /// Everything that this host can give, without naming it.
    Admin,
}

/// What `admin` grants by itself.
const ADMIN: [&str; 7] =
    ["write:/:/", "net:*", "tcp:*", "udp:*", "env:*", "config:*", "keyvalue:*"];

impl Level {
    /// All of them, narrowest first.
    pub const ALL: [Self; 4] = [Self::Restricted, Self::Standard, Self::Elevated, Self::Admin];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Standard => "standard",
            Self::Elevated => "elevated",
            Self::Admin => "admin",
        }
    }

    /// What it grants without being asked.
    pub fn grants(self) -> &'static [&'static str] {
        match self {
            Self::Restricted | Self::Standard | Self::Elevated => &[],
            Self::Admin => &ADMIN,
        }
    }

    /// The narrowest level at which a capability may be granted.
    pub fn of_capability(capability: Capability) -> Self {
        match capability {
            Capability::Read
            | Capability::Config
            | Capability::KeyValue
            | Capability::Tool
            | Capability::Model => Self::Restricted,
            Capability::Write | Capability::Net | Capability::Env | Capability::Secret => {
                Self::Standard
            }
            Capability::Tcp | Capability::Udp | Capability::Spawn => Self::Elevated,
        }
    }

    /// The narrowest level at which this grant may be given, by what it is for: a host or variable
    /// that is not named takes more than one that is.
    pub fn of(grant: &Grant) -> Self {
        let (capability, open) = match &grant.scope {
            Scope::Read(_) => (Capability::Read, false),
            Scope::Write(_) => (Capability::Write, false),
            Scope::Net(pattern) => (Capability::Net, !pattern.names_a_host()),
            Scope::Tcp(_) => (Capability::Tcp, false),
            Scope::Udp(_) => (Capability::Udp, false),
            Scope::Env(name) => (Capability::Env, name.exact().is_none()),
            Scope::Config(_) => (Capability::Config, false),
            Scope::KeyValue(_) => (Capability::KeyValue, false),
            Scope::Secret(_) => (Capability::Secret, false),
            Scope::Tool(_) => (Capability::Tool, false),
            Scope::Model(_) => (Capability::Model, false),
            Scope::Spawn(_) => (Capability::Spawn, false),
        };
        let level = Self::of_capability(capability);
        if open { level.max(Self::Elevated) } else { level }
    }

    /// The limits where a policy sets none; at `standard` the host's own.
    pub fn limits(self) -> LimitsTable {
        let of = |memory_mib: u64, wall_s: u64, body_mib: u64| LimitsTable {
            memory: Some(Bytes(memory_mib << 20)),
            timeout: Some(Time(Duration::from_secs(wall_s))),
            http_body: Some(Bytes(body_mib << 20)),
            ..LimitsTable::default()
        };
        match self {
            Self::Restricted => of(64, 10, 1),
            Self::Standard => LimitsTable::default(),
            Self::Elevated => of(1024, 300, 256),
            Self::Admin => of(4096, 3600, 1024),
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
