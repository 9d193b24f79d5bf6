//! All that an agent starts from, as its birth has it: enough to start it again on another day.
//!
//! Programs are pinned by their hashes, and their bytes are bodies of the store.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::memory::Setting;
use super::process::{Holdings, Process};
use super::tools::Held;
use super::{Agents, MemoryOptions, Spawn};
use crate::capability::grant::{Grant, Scope};
use crate::capability::tools::ToolRules;
use crate::journal::{Digest, JournalError, read_body};
use crate::kernel::{Plugin, SessionOptions};
use crate::sandbox::limits::Limits as RunLimits;
use crate::sandbox::state::Ambient;
use crate::scheduler::{Limits, OwnerId, Priority};

impl From<Setting> for MemoryOptions {
    fn from(setting: Setting) -> Self {
        let Setting { tokenizer, auto_recall, .. } = setting;
        Self { tokenizer, auto_recall, summarise: None }
    }
}

/// An agent's start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::kernel) struct Charter {
    pub(in crate::kernel) name: String,
    pub(in crate::kernel) program: Pinned,
    pub(in crate::kernel) task: String,
    owner: OwnerId,
    pub(in crate::kernel) priority: Priority,
    weight: u16,
    /// As [`crate::model::Models::resolve`] takes it.
    model: String,
    context_tokens: Option<u64>,
    pub(in crate::kernel) remembers: Option<Setting>,
    /// The model that says what left its window, as `model`.
    summarises: Option<String>,
    tools: Vec<HeldTools>,
    grants: Vec<String>,
    denied_paths: Vec<PathBuf>,
    pub(in crate::kernel) limits: RunLimits,
    clock: bool,
    random: bool,
    environment: Vec<(String, String)>,
    config: Vec<(String, String)>,
    /// What its policy says of tools.
    #[serde(default)]
    rules: ToolRules,
    pub(in crate::kernel) budget: Limits,
    windows: Limits,
    cpu_share_permille: Option<u16>,
}

/// The tools of one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HeldTools {
    alias: String,
    plugin: Pinned,
    /// Those that may be called; none is all.
    only: Option<Vec<String>>,
}

/// A program, by the name it was loaded under and the hash of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::kernel) struct Pinned {
    pub(in crate::kernel) name: String,
    /// 64 hexadecimal digits.
    pub(in crate::kernel) hash: String,
}

impl Pinned {
    fn of(plugin: &Plugin) -> Self {
        let program = plugin.program();
        Self { name: program.name.clone(), hash: program.hash.to_string() }
    }
}

impl Charter {
    /// Everything that it runs.
    pub(in crate::kernel) fn programs(&self) -> impl Iterator<Item = &Pinned> {
        std::iter::once(&self.program).chain(self.tools.iter().map(|held| &held.plugin))
    }

    /// What it was granted, as it was written.
    pub(in crate::kernel) fn grants(&self) -> &[String] {
        &self.grants
    }

    /// The same agent elsewhere: with these grants and no others, and nothing of the environment
    /// that it had.
    pub(super) fn elsewhere(self, grants: Vec<String>) -> Self {
        Self { grants, environment: Vec::new(), ..self }
    }

    /// The model, as it was asked for.
    pub(in crate::kernel) fn model(&self) -> &str {
        &self.model
    }

    /// Of an agent that is to be born.
    pub(super) fn of(spawn: &Spawn) -> Self {
        let options = &spawn.holdings.options;
        let summarises = spawn.holdings.memory.summarise.as_ref();
        Self {
            name: spawn.name.clone(),
            program: Pinned::of(&spawn.plugin),
            task: spawn.task.clone(),
            owner: spawn.owner,
            priority: spawn.priority,
            weight: spawn.weight,
            model: spawn.endpoint.address().to_owned(),
            context_tokens: spawn.context_tokens,
            remembers: spawn.remembers,
            summarises: summarises.map(|endpoint| endpoint.address().to_owned()),
            tools: held(&spawn.holdings),
            grants: options.grants.iter().map(|(_, text)| text.clone()).collect(),
            denied_paths: options.denied_paths.clone(),
            limits: options.limits.clone(),
            clock: options.ambient.clock,
            random: options.ambient.random,
            environment: options.environment.clone(),
            config: options.config.clone(),
            rules: options.tools.clone(),
            budget: spawn.holdings.budget,
            windows: spawn.holdings.windows,
            cpu_share_permille: spawn.holdings.cpu_share_permille,
        }
    }
}

fn held(holdings: &Holdings) -> Vec<HeldTools> {
    let of = |held: &Held| HeldTools {
        alias: held.alias.clone(),
        plugin: Pinned::of(&held.plugin),
        only: held.only.clone(),
    };
    holdings.tools.iter().map(of).collect()
}

impl Agents {
    /// What a charter describes, ready to be started again. Fails with one sentence.
    pub(super) async fn spawn_of(&self, charter: &Charter) -> Result<Spawn, String> {
        let plugin = self.pinned(&charter.program).await?;
        let mut tools = Vec::with_capacity(charter.tools.len());
        for HeldTools { alias, plugin, only } in charter.tools.clone() {
            tools.push(Held { alias, plugin: self.pinned(&plugin).await?, only });
        }
        let resolve = |model: &String| self.models().resolve(Some(model));
        let endpoint = resolve(&charter.model).map_err(|error| error.to_string())?;
        let summarise = charter.summarises.as_ref().map(resolve).transpose();
        let memory = MemoryOptions {
            summarise: summarise.map_err(|error| error.to_string())?,
            ..charter.remembers.map_or_else(MemoryOptions::default, Into::into)
        };
        let mut grants = Vec::with_capacity(charter.grants.len());
        for text in &charter.grants {
            let grant: Grant = text.parse().map_err(|error| format!("{error}"))?;
            grants.push((grant, text.clone()));
        }
        let mut secrets = Vec::new();
        for (grant, _) in &grants {
            // The value itself is in no row: it is what is kept under that name now.
            if let Scope::Secret(wanted) = &grant.scope {
                secrets.push((wanted.name.clone(), (self.options.secrets)(&wanted.name)?));
            }
        }
        let options = SessionOptions {
            secrets,
            tools: charter.rules.clone(),
            grants,
            denied_paths: charter.denied_paths.clone(),
            limits: charter.limits.clone(),
            ambient: Ambient { clock: charter.clock, random: charter.random },
            environment: charter.environment.clone(),
            config: charter.config.clone(),
            ..SessionOptions::default()
        };
        let (budget, windows) = (charter.budget, charter.windows);
        let cpu_share_permille = charter.cpu_share_permille;
        Ok(Spawn {
            name: charter.name.clone(),
            plugin,
            task: charter.task.clone(),
            owner: charter.owner,
            priority: charter.priority,
            weight: charter.weight,
            endpoint,
            holdings: Holdings { tools, options, budget, windows, cpu_share_permille, memory },
            context_tokens: charter.context_tokens,
            remembers: charter.remembers,
        })
    }

    /// The program with exactly this hash: one that is loaded, the bytes that the store keeps, or
    /// what has its name now, if that is the same. Says both sides where it is another.
    pub(super) async fn pinned(&self, pinned: &Pinned) -> Result<Arc<Plugin>, String> {
        if let Some(plugin) = self.loaded(&pinned.hash) {
            return Ok(plugin);
        }
        let hash: Digest = pinned.hash.parse().map_err(|_| "its program has no hash".to_owned())?;
        let kernel = self.kernel();
        let kept = match read_body(&**kernel.storage(), hash).await {
            Ok(bytes) => bytes,
            Err(JournalError::Read(error)) => {
                let name = &pinned.name;
                let found = (self.options.programs)(name).map_err(|missing| {
                    format!("its program `{name}` ({hash}) is missing: {error}; {missing}")
                })?;
                let now = blake3::hash(&found).to_hex();
                if now.as_str() != pinned.hash {
                    return Err(format!(
                        "it ran the program `{name}` with the hash {hash}, and the one that is \
                         found now has {now}: put the first one back, or `aos-host upgrade` it"
                    ));
                }
                found
            }
            Err(error) => return Err(error.to_string()),
        };
        let plugin = kernel.load(&pinned.name, kept).await.map_err(|fault| fault.to_string())?;
        self.remember_loaded(&plugin);
        Ok(plugin)
    }

    /// Keeps the bytes of all that an agent runs, where the store does not have them.
    pub(super) async fn keep_programs(&self, spawn: &Spawn) -> Result<(), JournalError> {
        let tools = spawn.holdings.tools.iter().map(|held| &held.plugin);
        for plugin in std::iter::once(&spawn.plugin).chain(tools) {
            self.remember_loaded(plugin);
            plugin.keep(&self.kernel()).await?;
        }
        Ok(())
    }
}

impl Process {
    /// The hash of the program it runs.
    pub(super) fn component(&self) -> crate::types::ComponentHash {
        self.plugin.program().hash
    }
}
