//! `aos-host build`: from a project in any language to one plugin. It runs the language's own
//! toolchain, and says which command that was.

mod compiled;
mod interpreted;
mod project;
mod rust;
mod toolchain;
mod wit;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;

pub use self::project::{Kind, Language};

use self::project::Project;
use super::exit::{Code, Failure, code_of};
use super::run::kernel;
use super::terminal::{self, one_line};
use crate::config::Config;
use crate::kernel::SessionOptions;
use crate::sandbox::manifest::{Manifest, SECTION};
use crate::sandbox::program::Kind as ProgramKind;
use crate::sandbox::sections;
use crate::storage::StoreUrl;
use crate::types::{Definition, Reply, Syscall};

/// The folder in a project for what is made on the way.
pub const SCRATCH: &str = ".aos";

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The project's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Its language, where the files could mean several
    #[arg(long, value_enum)]
    lang: Option<Language>,
    /// Where the plugin goes, instead of dist/NAME.wasm in the project
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl BuildArgs {
    /// A project of the host's own, in a known language, built into a known place.
    pub fn of(folder: PathBuf, language: Language, output: PathBuf) -> Self {
        Self { folder, lang: Some(language), output: Some(output) }
    }

    /// The project's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Builds what the arguments say.
pub async fn build(config: &Config, arguments: &BuildArgs) -> Result<Code, Failure> {
    let built = make(config, arguments).await?;
    terminal::print_line(&built.words)
}

/// A plugin that was built.
pub struct Built {
    /// Where it is.
    pub path: PathBuf,
    /// What it is, how large, and what it asks for.
    pub words: String,
}

/// Builds a project into one file.
pub async fn make(config: &Config, arguments: &BuildArgs) -> Result<Built, Failure> {
    let project = Project::find(&arguments.folder, arguments.lang)?;
    let scratch = project.folder.join(SCRATCH);
    std::fs::create_dir_all(&scratch)
        .map_err(|error| Failure::host(format!("{}: {error}", scratch.display())))?;
    let raw = match project.language {
        Language::Rust => rust::build(&project)?,
        Language::Python => interpreted::python(&project)?,
        Language::Javascript | Language::Typescript => interpreted::javascript(&project)?,
        Language::C => compiled::c(&project)?,
        Language::Zig => compiled::zig(&project)?,
        Language::Go => compiled::go(&project)?,
        Language::Wat => compiled::wat(&project)?,
    };
    let plugin = sections::with(&sections::strip(&raw), SECTION, project.manifest.as_bytes());
    let described = describe(config, &project.name, plugin).await?;
    let path = match &arguments.output {
        Some(path) => path.clone(),
        // As the user sees it from here.
        None => {
            let folder = arguments.folder.strip_prefix(".").unwrap_or(&arguments.folder);
            folder.join("dist").join(format!("{}.wasm", project.name))
        }
    };
    write(&path, &described.bytes)?;
    let words = told(&path, &described)?;
    Ok(Built { path, words })
}

/// A plugin with what it says of itself inside.
struct Described {
    bytes: Vec<u8>,
    kind: &'static str,
    tools: Vec<Definition>,
}

/// Loads it, so that what cannot run is found now, and writes its tools into it.
async fn describe(config: &Config, name: &str, plugin: Vec<u8>) -> Result<Described, Failure> {
    let config = Config { store: StoreUrl::Memory, ..config.clone() };
    let kernel = kernel(&config).await?;
    let wrong = |fault| {
        let code = code_of(&fault);
        Failure::new(code, format!("{name} was compiled, and is no plugin: {fault}"))
    };
    let loaded = kernel.load(name, plugin.clone()).await.map_err(wrong)?;
    let kind = &loaded.program().kind;
    let (word, is_tool) = (kind.name(), matches!(kind, ProgramKind::Tool(_)));
    let options = SessionOptions { shows_catalogue: true, ..SessionOptions::default() };
    let session = kernel.session(loaded, options).map_err(wrong)?;
    let tools = match kernel.submit(&session, Syscall::Definitions).await.map_err(wrong)? {
        Reply::Definitions(tools) => tools,
        Reply::Output(..) | Reply::Exit(..) => Vec::new(),
    };
    let bytes = match is_tool {
        false => plugin,
        true => {
            let text = serde_json::to_vec(&tools).map_err(Failure::host)?;
            sections::with(&plugin, sections::DEFINITIONS, &text)
        }
    };
    Ok(Described { bytes, kind: word, tools })
}

/// Written aside and renamed: whoever runs it meanwhile has the old one or the new one.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::host(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    let aside = path.with_extension("wasm.new");
    std::fs::write(&aside, bytes).and_then(|()| std::fs::rename(&aside, path)).map_err(fail)
}

/// What was built: its size, its tools, what it asks for.
fn told(path: &Path, described: &Described) -> Result<String, Failure> {
    let size = ByteSize(described.bytes.len() as u64);
    let shown = one_line(&path.display().to_string());
    let mut words = format!("{shown}: {}, {size}\n", described.kind);
    if !described.tools.is_empty() {
        let names: Vec<_> = described.tools.iter().map(|tool| one_line(&tool.name)).collect();
        words.push_str(&format!("tools: {}\n", names.join(", ")));
    }
    let manifest = Manifest::of(&described.bytes).map_err(Failure::usage)?;
    let asks = manifest.map(|manifest| manifest.grants).unwrap_or_default();
    if asks.is_empty() {
        words.push_str("asks for no grant");
    }
    let lines: Vec<_> = asks
        .iter()
        .map(|line| format!("asks for {}: {}", one_line(&line.ask), one_line(&line.reason)))
        .collect();
    words.push_str(&lines.join("\n"));
    Ok(words)
}

/// A word on stderr, beside what toolchains say there.
fn tell(words: &str) {
    // Nobody is left to tell when stderr is closed.
    let _told = writeln!(std::io::stderr(), "{}", terminal::visible(words));
}
