//! A session: who calls, with what grants and limits, and the chain in which it is written down.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;

use crate::capability::authority::Authority;
use crate::capability::gate::{Gate, Permit, Refusal};
use crate::capability::grant::{Capability, Grant};
use crate::capability::names::NameRequest;
use crate::capability::secrets::Secrets;
use crate::capability::tools::{CallRequest, ToolRules};
use crate::journal::{
    Body, Chain, ChainId, Class, Closing, Journal, JournalError, Opening, Row, RowKind,
};
use crate::kernel::{Fault, Plugin};
use crate::sandbox::Ended;
use crate::sandbox::host::call::Progress;
use crate::sandbox::limits::{LimitName, Limits};
use crate::sandbox::state::{Ambient, Input, Setup};
use crate::sandbox::stdio::Sink;
use crate::types::{CallId, Definition, Denial, LimitHit, ToolError, Usage};

/// Standard streams of a session's programs.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Where stdin comes from.
    pub stdin: Input,
    /// Where stdout goes.
    pub stdout: Sink,
    /// Where stderr goes.
    pub stderr: Sink,
}

impl Default for Streams {
    /// Nothing comes in, and what is printed goes to the host's stderr: stdout is for answers.
    fn default() -> Self {
        Self { stdin: Input::Empty, stdout: Sink::Log, stderr: Sink::Log }
    }
}

/// What a session starts from.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// The name by which the operator knows the plugin, where that is not the plugin's own word:
    /// it was looked up by it. Grants for one plugin mean this name, or the hash of its bytes.
    pub known_as: Option<String>,
    /// What the operator gives, each with the text it was written as.
    pub grants: Vec<(Grant, String)>,
    /// Paths inside granted roots that stay closed.
    pub denied_paths: Vec<PathBuf>,
    /// The limits of each call.
    pub limits: Limits,
    /// Clocks and random numbers.
    pub ambient: Ambient,
    /// The environment that grants pick from.
    pub environment: Vec<(String, String)>,
    /// Configuration values; setting one grants it.
    pub config: Vec<(String, String)>,
    /// Values of the secrets that grants name.
    pub secrets: Vec<(String, SecretString)>,
    /// What placeholders of secrets are derived from; a seed of its own where it is left out.
    pub placeholder_seed: Option<[u8; 32]>,
    /// Tools that a policy allows and denies.
    pub tools: ToolRules,
    /// Standard streams.
    pub streams: Streams,
    /// Who is told of progress.
    pub progress: Option<Progress>,
    /// Whether what the plugin says on stderr while it is asked for its tools is passed on: for its
    /// author, who has to learn why it did not answer.
    pub shows_catalogue: bool,
}

/// One caller and one plugin. Dropped without [`crate::kernel::Kernel::close_session`] it leaves
/// a chain without an end, as a crash would.
#[derive(Debug)]
pub struct Session {
    pub(super) plugin: Arc<Plugin>,
    options: SessionOptions,
    authority: Arc<Authority>,
    secrets: Arc<Secrets>,
    chain: Chain,
    total: std::sync::Mutex<Usage>,
    denials: std::sync::Mutex<Vec<Denial>>,
    limit: std::sync::Mutex<Option<LimitHit>>,
}

/// Where a call of an agent comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Its number, which a call that is sent again after a crash keeps.
    pub(super) id: CallId,
    /// Its place in the question that it is part of.
    pub(super) member: u32,
    /// The row of the chain in which a model's reply asked for it.
    pub(super) asked_by: Option<u64>,
}

/// A call that was taken on, with its gate.
pub(super) struct Call {
    id: CallId,
    gate: Arc<Gate>,
}

impl Call {
    /// A guest's error, as far as the host knows of it: that a grant is missing, a limit was
    /// reached or a person said no is the host's to say, and in the guest's mouth its word alone.
    /// What failed after the host refused something because of a limit failed of that limit.
    pub(super) fn believed(&self, error: ToolError, refused: Option<LimitHit>) -> ToolError {
        let word = |text: &str| ToolError::Failed(format!("the plugin says: {text}"));
        let limit = self.gate.limit();
        match error {
            ToolError::Denied(told) => {
                let denials = self.gate.denials();
                let same = |known: &&Denial| {
                    known.capability == told.capability && known.target == told.target
                };
                match denials.iter().find(same).or(denials.last()) {
                    Some(known) => ToolError::Denied(known.clone()),
                    None => word(&told.to_string()),
                }
            }
            ToolError::Limit(told) => {
                limit.or(refused).map_or_else(|| word(&told.to_string()), ToolError::Limit)
            }
            ToolError::Rejected(_) => word(&error.to_string()),
            ToolError::Unavailable(_) | ToolError::Failed(_) | ToolError::Other(..) => {
                limit.map_or(error, ToolError::Limit)
            }
            // They say that nothing was tried.
            ToolError::UnknownTool(_)
            | ToolError::InvalidArguments(_)
            | ToolError::Interrupted(_) => error,
        }
    }
}

/// Characters of a component's hash by which a grant may name it.
pub const HASH_CHARS_MIN: usize = 16;

/// Denials that a session remembers, for the sentences that it tells at the end.
const DENIALS_MAX: usize = 64;

impl Session {
    pub(super) fn open(
        journal: &Journal,
        plugin: Arc<Plugin>,
        options: SessionOptions,
    ) -> Result<Self, Fault> {
        // A grant that cannot be given leaves nothing open behind it.
        let authority = authority_of(&plugin, &options)?;
        let secrets = secrets_of(&authority, &options)?;
        let program = &plugin.program;
        let written: Vec<String> = options.grants.iter().map(|(_, text)| text.clone()).collect();
        let chain = journal.chain(Opening {
            plugin: &program.name,
            component: Some(program.hash),
            host_version: env!("CARGO_PKG_VERSION"),
            grants: &written,
        });
        Ok(Self::with((authority, secrets), chain, plugin, options))
    }

    /// Opens a session that is written down in a chain that is open already: an agent's.
    pub(super) fn open_in(
        chain: Chain,
        plugin: Arc<Plugin>,
        options: SessionOptions,
    ) -> Result<Self, Fault> {
        let authority = authority_of(&plugin, &options)?;
        let secrets = secrets_of(&authority, &options)?;
        Ok(Self::with((authority, secrets), chain, plugin, options))
    }

    fn with(
        (authority, secrets): (Arc<Authority>, Arc<Secrets>),
        chain: Chain,
        plugin: Arc<Plugin>,
        options: SessionOptions,
    ) -> Self {
        Self {
            plugin,
            options,
            authority,
            secrets,
            chain,
            total: Default::default(),
            denials: Default::default(),
            limit: Default::default(),
        }
    }

    /// The plugin that it is opened on.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// The chain in which this session is written down.
    pub fn chain(&self) -> ChainId {
        self.chain.id()
    }

    /// What it was given, each grant with its text.
    pub fn grants(&self) -> &[(Grant, String)] {
        &self.options.grants
    }

    /// What its calls were denied, at most 64.
    pub fn denials(&self) -> Vec<Denial> {
        self.denials.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The last limit because of which its last call was refused something, whether or not that
    /// call ended well.
    pub fn limit(&self) -> Option<LimitHit> {
        self.limit.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What its calls used: times added up, the largest memory.
    pub fn usage(&self) -> Usage {
        *self.total.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes a tool call on: its row is in the chain before anything of it happens.
    pub(super) async fn accept_call(
        &self,
        tool: &Definition,
        arguments: &str,
        origin: Option<Origin>,
    ) -> Result<Call, JournalError> {
        // What may not happen twice is on the disk before it happens once.
        let again = tool.behaviour.read_only || tool.behaviour.idempotent;
        let class = if again { Class::Queued } else { Class::Synced };
        let id = origin.map_or_else(CallId::fresh, |origin| origin.id);
        let more = match origin {
            Some(Origin { member, asked_by, .. }) => {
                let by = asked_by.map(|row| format!(r#","asked_by":{row}"#)).unwrap_or_default();
                format!(r#","member":{member},"again":{again}{by}"#)
            }
            None => String::new(),
        };
        self.accept(id, &tool.name, arguments, &more, class).await
    }

    /// Takes a run of a command on.
    pub(super) async fn accept_run(&self, arguments: &[String]) -> Result<Call, JournalError> {
        let (id, arguments) = (CallId::fresh(), arguments.join("\0"));
        self.accept(id, "run", &arguments, "", Class::Queued).await
    }

    /// `more` is what else its row says, as JSON that goes on an object.
    async fn accept(
        &self,
        id: CallId,
        target: &str,
        arguments: &str,
        more: &str,
        class: Class,
    ) -> Result<Call, JournalError> {
        // The hash proves which arguments they were; they themselves may hold secrets.
        let hash = blake3::hash(arguments.as_bytes());
        let body = format!(
            r#"{{"arguments_blake3":"{}","arguments_bytes":{}{more}}}"#,
            hash.to_hex(),
            arguments.len()
        );
        let row = self.row(RowKind::Accepted, id, target);
        self.chain.append(Row { body: Body::Text(&body), ..row }, class).await?;
        Ok(Call { id, gate: self.gate(id, Arc::clone(&self.authority)) })
    }

    fn gate(&self, id: CallId, authority: Arc<Authority>) -> Arc<Gate> {
        let rows = self.options.limits.hit(LimitName::Rows);
        let hash = self.plugin.program.hash;
        let gate = Gate::new(authority, self.chain.clone(), id, hash, rows);
        Arc::new(gate.of(&self.plugin.program.name))
    }

    fn row<'a>(&'a self, kind: RowKind, call: CallId, target: &'a str) -> Row<'a> {
        Row {
            who: &self.plugin.program.name,
            call: Some(call),
            component: Some(self.plugin.program.hash),
            capability: "tool",
            target,
            ..Row::new(kind)
        }
    }

    /// What a policy says of this tool, where it says anything: an agent's own gate was asked.
    pub(super) async fn let_call(&self, call: &Call, tool: &str) -> Result<(), Fault> {
        if self.options.tools.is_empty() {
            return Ok(());
        }
        let plugin = self.options.known_as.as_deref().unwrap_or(&self.plugin.program.name);
        let name = format!("{plugin}__{tool}");
        let allowed = async |permit: Permit<()>| {
            permit.spend();
            Ok::<_, std::convert::Infallible>(())
        };
        match call.gate.perform(CallRequest { name: &name }, allowed).await {
            Ok(()) => Ok(()),
            Err(Refusal::Denied(denial)) => Err(Fault::Tool(ToolError::Denied(denial))),
            Err(Refusal::Limit(limit)) => Err(Fault::Ended(Ended::Limit(limit))),
            Err(Refusal::Journal(error)) => Err(error.into()),
            Err(Refusal::Effect(never)) => match never {},
        }
    }

    /// What a call's instance starts from: names that the gate let through, and nothing else.
    pub(super) async fn setup(&self, call: &Call) -> Result<Setup, Fault> {
        let mut setup = self.setup_of(Arc::clone(&call.gate));
        for name in chosen(&self.authority, Capability::Env, &self.options.environment) {
            let request = NameRequest::environment(&name.0);
            setup.environment.extend(let_through(&call.gate, request, name).await?);
        }
        for name in chosen(&self.authority, Capability::Config, &self.options.config) {
            let request = NameRequest::config(&name.0);
            setup.config.extend(let_through(&call.gate, request, name).await?);
        }
        for held in self.secrets.held() {
            // Programs that know nothing of this host find it where they look for a key.
            let pair = (held.name.clone(), held.placeholder.clone());
            let request = NameRequest::secret(&held.name);
            if let Some(pair) = let_through(&call.gate, request, &pair).await? {
                // It may hold the value itself, from a wide grant of variables.
                setup.environment.retain(|(name, _)| *name != pair.0);
                setup.config.retain(|(name, _)| *name != pair.0);
                setup.environment.push(pair.clone());
                setup.config.push(pair);
            }
        }
        Ok(setup)
    }

    /// A setup for an instance that may do nothing.
    pub(super) fn setup_of_catalogue(&self) -> Setup {
        let nothing = Arc::new(Authority::nothing());
        let setup = self.setup_of(self.gate(CallId::fresh(), nothing));
        // It is asked to describe itself: whatever else it says is not for whoever looks at it.
        let stderr = if self.options.shows_catalogue { Sink::Log } else { Sink::Discard };
        Setup { stdin: Input::Empty, stdout: Sink::Discard, stderr, ..setup }
    }

    fn setup_of(&self, gate: Arc<Gate>) -> Setup {
        let SessionOptions { limits, ambient, streams, progress, .. } = &self.options;
        Setup {
            gate,
            limits: limits.clone(),
            ambient: *ambient,
            arguments: vec![self.plugin.program.name.clone()],
            environment: Vec::new(),
            config: Vec::new(),
            secrets: Arc::clone(&self.secrets),
            stdin: streams.stdin.clone(),
            stdout: streams.stdout.clone(),
            stderr: streams.stderr.clone(),
            progress: progress.clone(),
            desk: None,
            fate: None,
            turn: None,
        }
    }

    /// Writes down how a call ended and what it took.
    pub(super) async fn settle(
        &self,
        call: &Call,
        target: &str,
        fault: Option<&Fault>,
        usage: Usage,
    ) -> Result<(), JournalError> {
        call.gate.finish().await?;
        self.remember(call, usage);
        let kind = match fault {
            Some(Fault::Ended(_)) => RowKind::Fault,
            Some(_) | None => RowKind::Outcome,
        };
        let Usage { wall_us, cpu_us, memory_bytes } = usage;
        let error = match fault {
            None => "\"ok\":true".to_owned(),
            Some(fault) => format!("\"error\":{}", json!(short(&fault.to_string()))),
        };
        let body = format!(
            "{{{error},\"usage\":{{\"wall_us\":{wall_us},\"cpu_us\":{cpu_us},\
             \"memory_bytes\":{memory_bytes}}}}}"
        );
        let row = self.row(kind, call.id, target);
        self.chain.append(Row { body: Body::Text(&body), ..row }, Class::Queued).await?;
        Ok(())
    }

    fn remember(&self, call: &Call, usage: Usage) {
        let mut total = self.total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        total.wall_us = total.wall_us.saturating_add(usage.wall_us);
        total.cpu_us = total.cpu_us.saturating_add(usage.cpu_us);
        total.memory_bytes = total.memory_bytes.max(usage.memory_bytes);
        let mut limit = self.limit.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *limit = call.gate.limit();
        let mut denials = self.denials.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for denial in call.gate.denials() {
            if denials.len() < DENIALS_MAX && !denials.contains(&denial) {
                denials.push(denial);
            }
        }
    }

    pub(super) async fn close(self, outcome: &str) -> Result<(), JournalError> {
        let usage = json!(self.usage());
        self.chain.close(Closing { outcome, usage: &usage }, Class::Queued).await?;
        Ok(())
    }
}

/// What the operator gives to this plugin, of what it asks for.
fn authority_of(plugin: &Plugin, options: &SessionOptions) -> Result<Arc<Authority>, Fault> {
    let program = &plugin.program;
    let asks = program.manifest.as_ref().map(|manifest| manifest.asks()).transpose();
    let asks = asks.map_err(Fault::Caller)?;
    let grants: Vec<Grant> = options.grants.iter().map(|(grant, _)| grant.clone()).collect();
    let hash = program.hash.to_string();
    // What a manifest or a file calls itself earns no grant that was meant for another.
    let meant = |plugin: &str| {
        options.known_as.as_deref() == Some(plugin)
            || (plugin.len() >= HASH_CHARS_MIN && hash.starts_with(plugin))
    };
    Authority::for_plugin(&meant, asks, &grants, &options.denied_paths)
        .map(|authority| Arc::new(authority.with_tools(options.tools.clone())))
        .map_err(|error| Fault::Caller(error.to_string()))
}

/// The values of the secrets that are granted, and what stands for them in the guest.
fn secrets_of(authority: &Authority, options: &SessionOptions) -> Result<Arc<Secrets>, Fault> {
    let seed = options.placeholder_seed.unwrap_or_else(rand::random);
    Secrets::new(authority.secrets(), &options.secrets, &seed)
        .map(Arc::new)
        .map_err(|error| Fault::Caller(error.to_string()))
}

/// The pairs whose names the grants mean.
fn chosen<'a>(
    authority: &'a Authority,
    capability: Capability,
    pairs: &'a [(String, String)],
) -> impl Iterator<Item = &'a (String, String)> {
    let patterns = authority.names(capability);
    pairs.iter().filter(|(name, _)| patterns.iter().any(|pattern| pattern.matches(name)))
}

/// One named value through the gate; none when the manifest did not ask for it.
async fn let_through(
    gate: &Gate,
    request: NameRequest<'_>,
    (name, value): &(String, String),
) -> Result<Option<(String, String)>, Fault> {
    let give = async |permit: Permit<&str>| {
        let name: &str = permit.spend();
        Ok::<_, std::convert::Infallible>((name.to_owned(), value.clone()))
    };
    debug_assert!(!name.is_empty());
    match gate.perform(request, give).await {
        Ok(pair) => Ok(Some(pair)),
        Err(Refusal::Denied(_)) => Ok(None),
        Err(Refusal::Limit(limit)) => Err(Fault::Ended(Ended::Limit(limit))),
        Err(Refusal::Journal(error)) => Err(error.into()),
        Err(Refusal::Effect(never)) => match never {},
    }
}

/// An error in the journal is for people: a long one is cut.
fn short(text: &str) -> String {
    text.chars().take(1_000).collect()
}
