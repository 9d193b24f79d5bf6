//! From bytes to a program that can be instantiated: read, adapt, compile or load, link.

mod exit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime_wasi::{p2, p3};
use wit_component::ComponentEncoder;

use crate::sandbox::cache::CompileCache;
use crate::sandbox::concurrency::is_wasi_0_3;
use crate::sandbox::engine::Concurrency;
use crate::sandbox::host::bindings::ToolPre;
use crate::sandbox::host::bindings::agent::AgentPre;
use crate::sandbox::host::link::{CONTRACT_LINE, Unoffered, is_agent, is_release, unoffered};
use crate::sandbox::manifest::Manifest;
use crate::sandbox::plain::Exports;
use crate::sandbox::state::State;
use crate::sandbox::{sections, tool};
use crate::types::{ComponentHash, Definition, LimitHit};

/// A component larger than this is refused before anything reads it.
pub const COMPONENT_BYTES_MAX: u64 = 256 << 20;

/// Why bytes are no program for this host. Each is one sentence and the plugin's fault.
#[derive(Debug, thiserror::Error)]
pub enum BadPlugin {
    /// Neither a component, nor a core module, nor their text.
    #[error("{0}")]
    NotWasm(String),
    /// WebAssembly that does not hold together, or uses what this engine has not.
    #[error("it is not valid: {0}")]
    Invalid(String),
    /// Its manifest cannot be read.
    #[error("{0}")]
    Manifest(String),
    /// It imports what nobody offers.
    #[error("{}", unoffered_sentence(.0))]
    Imports(Vec<Unoffered>),
    /// It exports nothing that can be run or called.
    #[error("{0}")]
    NothingToRun(String),
    /// It is larger, or takes longer to load, than the host allows.
    #[error("loading it: {0}")]
    Budget(LimitHit),
}

fn unoffered_sentence(unoffered: &[Unoffered]) -> String {
    let each = |import: &Unoffered| format!("`{}`, which needs {}", import.name, import.offered_by);
    format!("it imports {}", unoffered.iter().map(each).collect::<Vec<_>>().join("; and "))
}

/// What a program is, by what it exports.
pub enum Kind {
    /// `aos:tool/tools`: a catalogue of tools.
    Tool(ToolPre<State>),
    /// `aos:agent/program`: an agent.
    Agent(AgentPre<State>),
    /// `wasi:cli/run`: a command.
    Command(Entry),
    /// Anything else: its functions are tools.
    Plain(Box<Exports>),
}

/// Where a command begins.
pub enum Entry {
    /// `wasi:cli/run` 0.2.
    P2(p2::bindings::CommandPre<State>),
    /// The function of `wasi:cli/run` 0.3.
    P3(ComponentExportIndex),
}

impl Kind {
    /// The word for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tool(_) => "tool plugin",
            Self::Agent(_) => "agent",
            Self::Command(_) => "command",
            Self::Plain(_) => "plain component",
        }
    }
}

/// A program that is ready to be instantiated.
pub struct Program {
    /// What grants and people call it.
    pub name: String,
    /// The hash of the bytes it came from.
    pub hash: ComponentHash,
    /// Whose key-value store it uses: that of these bytes, until a lock file names plugins.
    pub(crate) identity: Arc<str>,
    /// What its author says.
    pub manifest: Option<Manifest>,
    /// What it is.
    pub kind: Kind,
    /// The tools that `aos-host build` wrote into it, so that it need not run to be asked.
    pub(crate) definitions: Option<Vec<Definition>>,
    /// Linked, ready to be instantiated.
    pub(crate) pre: InstancePre<State>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("name", &self.name).field("hash", &self.hash).finish()
    }
}

/// Who is told that a compile has begun: it can take half a minute.
pub type OnCompile = Arc<dyn Fn(CompileEvent) + Send + Sync>;

/// The beginning and the end of a compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileEvent {
    /// It begins; the component's size in bytes.
    Begins(usize),
    /// It took so long.
    Ended(Duration),
}

/// What loading needs besides the bytes.
pub(crate) struct Loader<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) linker: &'a Linker<State>,
    pub(crate) concurrency: Concurrency,
    pub(crate) cache: Option<&'a CompileCache>,
    pub(crate) on_compile: Option<&'a OnCompile>,
}

impl Loader<'_> {
    /// Makes a program of a component or core module, which came from bytes with this hash.
    ///
    /// # Errors
    /// [`BadPlugin`] says what is wrong with them.
    pub(crate) fn load(
        &self,
        name: &str,
        hash: ComponentHash,
        binary: &[u8],
    ) -> Result<Program, BadPlugin> {
        let manifest = Manifest::of(binary).map_err(BadPlugin::Manifest)?;
        // What the host appended is no code: the same code is compiled once.
        let code = &binary[..sections::code_end(binary)];
        let key = if code.len() < binary.len() { ComponentHash::of(code) } else { hash };
        let component = self.component(key, code)?;
        let missing = unoffered(&component, self.engine);
        if !missing.is_empty() {
            return Err(BadPlugin::Imports(missing));
        }
        if self.concurrency == Concurrency::On && is_agent(&component, self.engine) {
            return Err(BadPlugin::NothingToRun(
                "it is an agent that has async functions, streams or futures, and agents run \
                 without: rebuild it for WASI 0.2"
                    .into(),
            ));
        }
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| BadPlugin::Invalid(one_line(&error)))?;
        let kind = self.kind(&component, &pre)?;
        let definitions = match kind {
            Kind::Tool(_) => tool::definitions_in(binary).map_err(BadPlugin::Manifest)?,
            Kind::Agent(_) | Kind::Command(_) | Kind::Plain(_) => None,
        };
        let name = manifest.as_ref().map_or(name, |manifest| manifest.name.as_str()).to_owned();
        let identity = hash.to_string().into();
        Ok(Program { name, hash, identity, manifest, kind, definitions, pre })
    }

    /// From the cache, or compiled and then kept there.
    fn component(&self, hash: ComponentHash, binary: &[u8]) -> Result<Component, BadPlugin> {
        let key = cache_key(hash);
        let cached = || self.cache.and_then(|cache| cache.load(self.engine, key));
        if let Some(component) = cached() {
            return Ok(component);
        }
        // Of many hosts that start at once one compiles, and the others find it done.
        let _compiling = self.cache.and_then(|cache| cache.wait_for_others(self.engine, key));
        if let Some(component) = cached() {
            return Ok(component);
        }
        let adapted;
        let binary = match Parser::is_core_wasm(binary) {
            true => {
                adapted = adapt(binary)?;
                &adapted
            }
            false => binary,
        };
        let began = Instant::now();
        self.tell(CompileEvent::Begins(binary.len()));
        let compiled = Component::from_binary(self.engine, binary);
        self.tell(CompileEvent::Ended(began.elapsed()));
        tracing::debug!("compiled {hash} in {:?}", began.elapsed());
        let component = compiled.map_err(|error| BadPlugin::Invalid(one_line(&error)))?;
        if let Some(cache) = self.cache
            && let Err(error) = cache.store(self.engine, key, &component)
        {
            // Slower next time, and nothing else: the program runs.
            tracing::warn!("the compiled component was not kept: {error}");
        }
        Ok(component)
    }

    fn tell(&self, event: CompileEvent) {
        if let Some(on_compile) = self.on_compile {
            on_compile(event);
        }
    }

    fn kind(&self, component: &Component, pre: &InstancePre<State>) -> Result<Kind, BadPlugin> {
        let of_type = component.component_type();
        let export = |interface: &str| {
            let mut names = of_type.exports(self.engine).map(|(name, _)| name.to_owned());
            names.find(|name| name.split('@').next() == Some(interface))
        };
        if let Some(name) = export("aos:tool/tools") {
            let pre = ToolPre::new(pre.clone()).map_err(|error| misfit(&name, &error))?;
            return Ok(Kind::Tool(pre));
        }
        if let Some(name) = export("aos:agent/program") {
            let pre = AgentPre::new(pre.clone()).map_err(|error| misfit(&name, &error))?;
            return Ok(Kind::Agent(pre));
        }
        if let Some(entry) = self.entry(component, pre)? {
            return Ok(Kind::Command(entry));
        }
        let exports = Exports::of(component);
        if exports.list().is_empty() {
            return Err(BadPlugin::NothingToRun(
                "it exports no function: nothing can be called".into(),
            ));
        }
        Ok(Kind::Plain(Box::new(exports)))
    }

    /// Where a command begins; none when it is no command. Of two versions the newer is taken.
    fn entry(
        &self,
        component: &Component,
        pre: &InstancePre<State>,
    ) -> Result<Option<Entry>, BadPlugin> {
        let of_type = component.component_type();
        let mut runs: Vec<&str> = of_type
            .exports(self.engine)
            .map(|(name, _)| name)
            .filter(|name| name.split('@').next() == Some("wasi:cli/run"))
            .collect();
        runs.sort_by_key(|name| !is_wasi_0_3(name));
        let wrong = |error: wasmtime::Error| BadPlugin::Invalid(one_line(&error));
        let Some(run) = runs.first() else { return Ok(None) };
        if !is_wasi_0_3(run) {
            let command = p2::bindings::CommandPre::new(pre.clone()).map_err(wrong)?;
            return Ok(Some(Entry::P2(command)));
        }
        // Checks the function's type; it is called by its index, which tells a deadlock.
        p3::bindings::CommandPre::new(pre.clone()).map_err(wrong)?;
        let interface = component.get_export_index(None, run);
        let found = interface.and_then(|outer| component.get_export_index(Some(&outer), "run"));
        let found = found.ok_or_else(|| BadPlugin::Invalid(format!("`{run}` has no `run`")))?;
        Ok(Some(Entry::P3(found)))
    }
}

use wasmparser::Parser;

/// Changes with how this host adapts: what an older one adapted is adapted anew.
const ADAPTED: &[u8] = b"exit codes";

/// The adapter is part of what a core module becomes, so it is part of its key.
fn cache_key(hash: ComponentHash) -> ComponentHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&hash.0);
    hasher.update(ADAPTED);
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
    ComponentHash(*hasher.finalize().as_bytes())
}

/// Text becomes binary; what is neither is refused with what it looks like.
pub fn binary(bytes: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, BadPlugin> {
    if bytes.is_empty() {
        return Err(BadPlugin::NotWasm("it is empty (0 bytes)".into()));
    }
    if bytes.starts_with(b"\0asm") {
        if Parser::is_component(bytes) || Parser::is_core_wasm(bytes) {
            return Ok(bytes.into());
        }
        let version = bytes.get(4..8);
        return Err(BadPlugin::NotWasm(match version {
            Some(version) => format!(
                "it is WebAssembly of version {version:02x?}, which this host does not know; it \
                 knows core modules of version 1 and components of version 13"
            ),
            None => "it is WebAssembly cut off in its header".into(),
        }));
    }
    let text = std::str::from_utf8(bytes).ok().map(str::trim_start);
    match text {
        Some(text) if text.starts_with('(') || text.starts_with(";;") => wat::parse_str(text)
            .map(Into::into)
            .map_err(|error| BadPlugin::Invalid(text_error(&error.to_string()))),
        _ => Err(BadPlugin::NotWasm(format!(
            "it is not WebAssembly: it begins with {:02x?}, not with \\0asm",
            &bytes[..bytes.len().min(4)]
        ))),
    }
}

/// A mistake in the text format as one line: the library draws it below the line that it is in.
fn text_error(drawn: &str) -> String {
    let mut lines = drawn.lines().map(str::trim);
    let what = lines.next().unwrap_or_default().trim_end_matches(':');
    let place = lines.find_map(|line| line.strip_prefix("--> ")).and_then(|place| {
        let mut parts = place.rsplit(':');
        let (column, line) = (parts.next()?, parts.next()?);
        Some(format!("line {line}, column {column}: "))
    });
    format!("{}{what}", place.unwrap_or_default())
}

/// A sentence of the parser; an end that comes too early has its usual reason beside it.
pub(crate) fn parse_error(message: &str) -> String {
    let cut = message.contains("unexpected end") || message.contains("extends past end");
    format!("{message}{}", if cut { ": the file is cut off" } else { "" })
}

/// Whether one of its tables may grow to more than so many elements. What cannot be read has none.
pub(crate) fn has_table_beyond(bytes: &[u8], elements: u64) -> bool {
    let Ok(binary) = binary(bytes) else { return false };
    let payloads = Parser::new(0).parse_all(&binary).map_while(Result::ok);
    let sections = payloads.filter_map(|payload| match payload {
        wasmparser::Payload::TableSection(tables) => Some(tables),
        _ => None,
    });
    let mut tables = sections.flatten().map_while(Result::ok);
    tables.any(|table| table.ty.maximum.is_none_or(|maximum| maximum > elements))
}

/// A core module of WASI 0.1 becomes a component by the adapter of wasmtime's project.
fn adapt(module: &[u8]) -> Result<Vec<u8>, BadPlugin> {
    use wasi_preview1_component_adapter_provider::{
        WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    };
    // The adapter trusts what it is given: it was made for the output of compilers.
    wasmparser::Validator::new().validate_all(module).map_err(|error| {
        BadPlugin::Invalid(format!("{} (at byte {})", error.message(), error.offset()))
    })?;
    let shape = Shape::of(module)?;
    if shape.start && !shape.typed && !shape.strangers.is_empty() {
        return Err(BadPlugin::Imports(shape.strangers));
    }
    if shape.start && !shape.memory {
        return Err(BadPlugin::Invalid(
            "this command exports no memory, through which WASI 0.1 hands everything over; add \
             `(memory (export \"memory\") 1)`"
                .into(),
        ));
    }
    let adapter = match shape {
        Shape { start: true, .. } => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        Shape { typed: true, .. } => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        Shape { .. } => {
            return Err(BadPlugin::NothingToRun(
                "it is a core module without `_start`: build it as a command, or as a component"
                    .into(),
            ));
        }
    };
    let encode = |module: &[u8]| {
        ComponentEncoder::default()
            .module(module)?
            .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
            .encode()
    };
    if shape.start
        && let Ok(Some(module)) = exit::with_code(module)
        && let Ok(component) = encode(&module)
    {
        return Ok(component);
    }
    // Without the codes of its exits it is a command still; what is wrong with it is told here.
    encode(module).map_err(|error| {
        let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
        BadPlugin::Invalid(format!("this core module cannot be adapted: {}", causes.join(": ")))
    })
}

/// Why an export of the contract is not the one that this host calls: another version, or one that
/// lacks a function or has it with other types.
fn misfit(name: &str, error: &wasmtime::Error) -> BadPlugin {
    let version = name.split_once('@').map_or("no version", |(_, version)| version);
    if is_release(version, CONTRACT_LINE) {
        return BadPlugin::Invalid(one_line(error));
    }
    BadPlugin::NothingToRun(format!(
        "it exports `{name}`, and this host calls version {CONTRACT_LINE}0: rebuild it with \
         the library of this version"
    ))
}

/// A command of WASI 0.1 with its exit codes led past the adapter; none when it has no exit.
///
/// # Errors
/// When the module cannot be read.
pub(super) fn with_exit_codes(module: &[u8]) -> Result<Option<Vec<u8>>, String> {
    exit::with_code(module)
}

/// What would offer an import of a core module that is not of WASI 0.1.
fn offered_to_core_by(module: &str) -> &'static str {
    match module {
        "wasi_unstable" => "a WASI of before 0.1: rebuild it for `wasm32-wasip1` or newer",
        module if module.starts_with("wasix") => "a WASIX runtime: build it for plain WASI",
        module if module.contains(':') => "to be a component: build it as one",
        _ => "its own embedder: it was built for a host that defines it",
    }
}

/// What a core module exports and carries.
struct Shape {
    start: bool,
    typed: bool,
    memory: bool,
    /// Functions that are not of WASI 0.1.
    strangers: Vec<Unoffered>,
}

/// Strangers that are named; one is enough to be refused.
const STRANGERS_NAMED_MAX: usize = 3;

impl Shape {
    fn of(module: &[u8]) -> Result<Self, BadPlugin> {
        let mut shape = Self { start: false, typed: false, memory: false, strangers: Vec::new() };
        for payload in Parser::new(0).parse_all(module) {
            let payload =
                payload.map_err(|error| BadPlugin::Invalid(parse_error(error.message())))?;
            match payload {
                wasmparser::Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import =
                            import.map_err(|error| BadPlugin::Invalid(error.message().into()))?;
                        if import.module != WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME
                            && shape.strangers.len() < STRANGERS_NAMED_MAX
                        {
                            let name = format!("{}.{}", import.module, import.name);
                            let offered_by = offered_to_core_by(import.module);
                            shape.strangers.push(Unoffered { name, offered_by });
                        }
                    }
                }
                wasmparser::Payload::ExportSection(exports) => {
                    for export in exports {
                        let export =
                            export.map_err(|error| BadPlugin::Invalid(error.message().into()))?;
                        shape.start |= export.name == "_start";
                        shape.memory |= export.kind == wasmparser::ExternalKind::Memory
                            && export.name == "memory";
                    }
                }
                wasmparser::Payload::CustomSection(section) => {
                    shape.typed |= section.name().starts_with("component-type");
                }
                _ => {}
            }
        }
        Ok(shape)
    }
}

/// An engine's error and its causes as one sentence.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error
        .chain()
        .map(|cause| cause.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    causes.join(": ")
}
