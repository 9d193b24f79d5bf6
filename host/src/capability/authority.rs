//! What one plugin may do in one run: what its manifest asks, cut with what the operator gives.

use crate::capability::files::FileRules;
use crate::capability::grant::{Ask, AskPattern, Capability, Grant, GrantError, Scope};
use crate::capability::names::NamePattern;
use crate::capability::network::pattern::{HttpPattern, SocketPattern};
use crate::capability::secrets::SecretPattern;
use crate::capability::tools::ToolRules;
use crate::types::{Denial, MissingIn};

/// The grants that are in force for one plugin, sorted by what they are for.
#[derive(Debug, Default)]
pub struct Authority {
    /// None: the plugin being run has no manifest and asks for everything.
    asks: Option<Vec<Ask>>,
    files: FileRules,
    net: Vec<HttpPattern>,
    tcp: Vec<SocketPattern>,
    udp: Vec<SocketPattern>,
    env: Vec<NamePattern>,
    config: Vec<NamePattern>,
    keyvalue: Vec<NamePattern>,
    secrets: Vec<SecretPattern>,
    secret_names: Vec<NamePattern>,
    tool: Vec<NamePattern>,
    tools: ToolRules,
    model: Vec<NamePattern>,
    spawn: Vec<NamePattern>,
}

impl Authority {
    /// Nothing at all.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The grants among `grants` that are for every plugin, or for one whose name is `meant`. Host
    /// folders are resolved here, once: a link that changes later does not move a root.
    ///
    /// # Errors
    /// When a root or a denied path cannot be resolved; the sentence names it.
    pub fn for_plugin(
        meant: &dyn Fn(&str) -> bool,
        asks: Option<Vec<Ask>>,
        grants: &[Grant],
        denied_paths: &[std::path::PathBuf],
    ) -> Result<Self, GrantError> {
        let mut authority = Self { asks, ..Self::default() };
        for denied in denied_paths {
            authority.files.deny(denied)?;
        }
        let is_meant = |grant: &&Grant| grant.plugin.as_deref().is_none_or(meant);
        for grant in grants.iter().filter(is_meant) {
            match grant.scope.clone() {
                Scope::Read(root) => authority.files.allow_read(&root)?,
                Scope::Write(root) => authority.files.allow_write(&root)?,
                Scope::Net(pattern) => authority.net.push(pattern),
                Scope::Tcp(pattern) => authority.tcp.push(pattern),
                Scope::Udp(pattern) => authority.udp.push(pattern),
                Scope::Env(name) => authority.env.push(name),
                Scope::Config(name) => authority.config.push(name),
                Scope::KeyValue(name) => authority.keyvalue.push(name),
                Scope::Secret(secret) => {
                    authority.secret_names.push(secret.name.parse()?);
                    // Without the request, what is granted would be nothing.
                    authority.net.push(secret.place.clone());
                    authority.secrets.push(secret);
                }
                Scope::Tool(name) => authority.tool.push(name),
                Scope::Model(name) => authority.model.push(name),
                Scope::Spawn(name) => authority.spawn.push(name),
            }
        }
        Ok(authority)
    }

    /// What an agent itself may name: tools, models, programs. Its other grants are for its tools.
    pub fn of_agent(grants: &[Grant]) -> Self {
        let mut authority = Self::default();
        for grant in grants.iter().filter(|grant| grant.plugin.is_none()) {
            match grant.scope.clone() {
                Scope::Tool(name) => authority.tool.push(name),
                Scope::Model(name) => authority.model.push(name),
                Scope::Spawn(name) => authority.spawn.push(name),
                Scope::Read(_)
                | Scope::Write(_)
                | Scope::Net(_)
                | Scope::Tcp(_)
                | Scope::Udp(_)
                | Scope::Env(_)
                | Scope::Config(_)
                | Scope::KeyValue(_)
                | Scope::Secret(_) => {}
            }
        }
        authority
    }

    /// The same, with what a policy says of tools.
    #[must_use]
    pub fn with_tools(self, tools: ToolRules) -> Self {
        Self { tools, ..self }
    }

    /// What a policy says of tools.
    pub fn tools(&self) -> &ToolRules {
        &self.tools
    }

    /// What the manifest asks for; none when there is no manifest.
    pub fn asks(&self) -> Option<&[Ask]> {
        self.asks.as_deref()
    }

    /// The roots and denied paths.
    pub fn files(&self) -> &FileRules {
        &self.files
    }

    /// The HTTP patterns.
    pub fn net(&self) -> &[HttpPattern] {
        &self.net
    }

    /// The TCP patterns.
    pub fn tcp(&self) -> &[SocketPattern] {
        &self.tcp
    }

    /// The UDP patterns.
    pub fn udp(&self) -> &[SocketPattern] {
        &self.udp
    }

    /// The secrets, and the requests in which they may go out.
    pub fn secrets(&self) -> &[SecretPattern] {
        &self.secrets
    }

    /// The name patterns of a capability that goes by names; nothing for the others.
    pub fn names(&self, capability: Capability) -> &[NamePattern] {
        match capability {
            Capability::Env => &self.env,
            Capability::Config => &self.config,
            Capability::KeyValue => &self.keyvalue,
            Capability::Secret => &self.secret_names,
            Capability::Tool => &self.tool,
            Capability::Model => &self.model,
            Capability::Spawn => &self.spawn,
            Capability::Read
            | Capability::Write
            | Capability::Net
            | Capability::Tcp
            | Capability::Udp => &[],
        }
    }

    /// Asked ∧ granted, or the denial that says which of the two is missing.
    ///
    /// # Errors
    /// The denial; `target` is only built for it.
    pub fn decide(
        &self,
        capability: Capability,
        granted: bool,
        asked: impl Fn(&AskPattern) -> bool,
        target: impl FnOnce() -> String,
    ) -> Result<(), Denial> {
        if !self.asks_for(capability, asked) {
            let target = target();
            return Err(Denial {
                remedy: ask_line(capability, &target),
                capability: capability.to_string(),
                target,
                missing_in: MissingIn::Plugin,
            });
        }
        if granted {
            return Ok(());
        }
        let target = target();
        Err(Denial {
            remedy: remedy(capability, &target),
            capability: capability.to_string(),
            target,
            missing_in: MissingIn::Operator,
        })
    }

    fn asks_for(&self, capability: Capability, asked: impl Fn(&AskPattern) -> bool) -> bool {
        let Some(asks) = &self.asks else { return true };
        let covers = |ask: &Ask| {
            ask.capability == capability
                // Who asks to write asks to read the same.
                || (capability == Capability::Read && ask.capability == Capability::Write)
        };
        asks.iter().any(|ask| covers(ask) && asked(&ask.pattern))
    }
}

/// The line of a manifest that would ask for it.
pub(crate) fn ask_line(capability: Capability, target: &str) -> String {
    format!(
        "its author would add `[[grants]]` with `ask = \"{capability}:{target}\"` to plugin.toml"
    )
}

/// The flag that would allow an effect, ready to paste.
fn remedy(capability: Capability, target: &str) -> String {
    let flag = capability.flag();
    match capability {
        Capability::Read | Capability::Write => format!("`{flag} HOST_FOLDER:{target}`"),
        Capability::Net | Capability::Tcp | Capability::Udp | Capability::Secret => {
            format!("`{flag} '{target}'`")
        }
        Capability::Config => format!("`{flag} {target}=VALUE`"),
        Capability::Tool => {
            let plugin = target.split("__").next().unwrap_or(target);
            format!("`{flag} {plugin}`")
        }
        Capability::Env | Capability::KeyValue | Capability::Model | Capability::Spawn => {
            format!("`{flag} {target}`")
        }
    }
}
