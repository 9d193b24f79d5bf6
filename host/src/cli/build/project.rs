//! What a project is: its folder, its manifest, its language by the files in it.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::super::exit::Failure;
use crate::sandbox::manifest::Manifest;

/// A language that plugins are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust, by cargo
    Rust,
    /// Python, by componentize-py
    Python,
    /// JavaScript, by esbuild and QuickJS or StarlingMonkey
    Javascript,
    /// TypeScript, as JavaScript, with its types checked first
    Typescript,
    /// C, by zig or clang
    C,
    /// Zig
    Zig,
    /// Go, by its own compiler
    Go,
    /// WebAssembly's own text: no toolchain
    #[value(hide = true)]
    Wat,
}

impl Language {
    /// All of them, in the order in which a folder is looked through.
    const ALL: [Self; 8] = [
        Self::Rust,
        Self::Python,
        Self::Javascript,
        Self::Typescript,
        Self::C,
        Self::Zig,
        Self::Go,
        Self::Wat,
    ];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Javascript => "JavaScript",
            Self::Typescript => "TypeScript",
            Self::C => "C",
            Self::Zig => "Zig",
            Self::Go => "Go",
            Self::Wat => "WebAssembly text",
        }
    }

    /// The file whose presence says what is made: of a tool, an agent, a command.
    fn entries(self) -> [(&'static str, Kind); 3] {
        let [tool, agent, command] = match self {
            // What cargo makes is told by the crate's own kinds.
            Self::Rust => ["src/lib.rs", "src/agent.rs", "src/main.rs"],
            Self::Python => ["tools.py", "agent.py", "main.py"],
            Self::Javascript => ["src/tools.js", "src/agent.js", "src/main.js"],
            Self::Typescript => ["src/tools.ts", "src/agent.ts", "src/main.ts"],
            Self::C => ["src/tools.c", "src/agent.c", "src/main.c"],
            Self::Zig => ["src/tools.zig", "src/agent.zig", "src/main.zig"],
            Self::Go => ["tools.go", "agent.go", "main.go"],
            Self::Wat => ["src/tools.wat", "src/agent.wat", "src/main.wat"],
        };
        [(tool, Kind::Tool), (agent, Kind::Agent), (command, Kind::Command)]
    }
}

/// What a project makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A tool plugin
    Tool,
    /// An agent (Rust, Python, JavaScript, TypeScript)
    Agent,
    /// A WASI command
    Command,
}

/// A project.
#[derive(Debug)]
pub struct Project {
    /// Where it is.
    pub folder: PathBuf,
    /// Its plugin's name.
    pub name: String,
    /// The text of its `plugin.toml`.
    pub manifest: String,
    /// What it is written in.
    pub language: Language,
    /// What it makes.
    pub kind: Kind,
}

/// A manifest longer than this is refused when it is loaded.
const MANIFEST_BYTES_MAX: u64 = 256 * 1024;

impl Project {
    /// Reads what is in the folder.
    ///
    /// # Errors
    /// One sentence: no folder, no manifest, no language or more than one.
    pub fn find(folder: &Path, language: Option<Language>) -> Result<Self, Failure> {
        let shown = folder.display();
        if !folder.is_dir() {
            return Err(Failure::usage(format!("{shown}: there is no such folder")));
        }
        let path = folder.join("plugin.toml");
        let manifest = match std::fs::metadata(&path) {
            Err(_) => {
                return Err(Failure::usage(format!(
                    "{shown} has no plugin.toml, so it is no project; `aos-host new NAME --lang \
                     python` makes one"
                )));
            }
            Ok(about) if about.len() > MANIFEST_BYTES_MAX => {
                let sentence = format!("is over {MANIFEST_BYTES_MAX} bytes");
                return Err(Failure::usage(format!("{} {sentence}", path.display())));
            }
            Ok(_) => std::fs::read_to_string(&path)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?,
        };
        let name = Manifest::parse(&manifest)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?
            .name;
        let (language, kind) = recognised(folder, language)?;
        let folder = folder.canonicalize().map_err(Failure::host)?;
        Ok(Self { folder, name, manifest, language, kind })
    }

    /// Where the toolchain leaves the component or module.
    pub fn raw(&self) -> PathBuf {
        self.folder.join(super::SCRATCH).join(format!("{}.wasm", self.name))
    }

    /// What the toolchain left.
    ///
    /// # Errors
    /// When it left nothing.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        std::fs::read(path).map_err(|error| {
            Failure::host(format!("the toolchain left nothing at {}: {error}", path.display()))
        })
    }
}

/// The language and kind, by the files that are there.
fn recognised(folder: &Path, wanted: Option<Language>) -> Result<(Language, Kind), Failure> {
    let is_rust = folder.join("Cargo.toml").is_file();
    let there = |language: Language| {
        let entries = language.entries().into_iter();
        let found = entries.filter(|(name, _)| folder.join(name).is_file());
        let fits = is_rust == (language == Language::Rust);
        found.filter(move |_| fits).map(move |(_, kind)| (language, kind)).next_back()
    };
    let found: Vec<_> = match wanted {
        Some(language) => there(language).into_iter().collect(),
        None => Language::ALL.into_iter().filter_map(there).collect(),
    };
    match (&found[..], wanted) {
        ([one], _) => Ok(*one),
        ([], Some(language)) => {
            let [(tool, _), _, (command, _)] = language.entries();
            let sentence = format!("has no {}: {tool} or {command}", language.name());
            Err(Failure::usage(format!("{} {sentence}", folder.display())))
        }
        ([], None) => {
            let files: Vec<_> = Language::ALL.iter().map(|one| one.entries()[0].0).collect();
            let files = files[..files.len() - 1].join(", ");
            let sentence = format!("in no language known here: looked for {files}, and the others");
            Err(Failure::usage(format!("{} holds sources {sentence}", folder.display())))
        }
        (several, _) => {
            let names: Vec<_> = several.iter().map(|(language, _)| language.name()).collect();
            let sentence = format!("holds {}: say which with --lang", names.join(" and "));
            Err(Failure::usage(format!("{} {sentence}", folder.display())))
        }
    }
}
