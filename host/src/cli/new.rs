//! `aos-host new`: a project that builds, tests and runs, in the language of its author.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use include_dir::{Dir, DirEntry, include_dir};

use super::build::{Kind, Language};
use super::exit::{Code, Failure};
use super::terminal;

/// The projects, a folder for each language and kind, with `{{name}}` and `{{crate_name}}` to be
/// filled in.
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
/// The library of Rust, which is not published yet, so each project gets a copy.
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../sdk");

/// Arguments of the tool that the project begins with.
const EXAMPLE: &str = r#"{"text":"to be or not to be"}"#;

/// Names that Cargo or the compiler refuses for a crate, or that hide one every crate has: the
/// keywords of Rust 2024, strict and reserved, and the names of its own crates.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "aos-sdk",
    "schemars",
    "serde",
    "serde-json",
];

#[derive(Debug, Args)]
pub struct NewArgs {
    /// The folder and the plugin's name: a-z, 0-9 and -
    name: String,
    /// What is made
    #[arg(long, value_enum, default_value = "tool")]
    kind: Kind,
    /// What it is written in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
}

pub fn new(arguments: &NewArgs) -> Result<Code, Failure> {
    let folder = PathBuf::from(&arguments.name);
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let rust = arguments.lang == Language::Rust;
    check_name(name, rust)?;
    if folder.exists() {
        return Err(Failure::usage(format!("{} is there already", folder.display())));
    }
    let templates = templates(arguments.lang, arguments.kind)?;
    let mut written = Ok(());
    for template in templates {
        written = written.and_then(|()| write(template, &folder, Some(name)));
    }
    // A command of Rust needs no library: the standard one speaks WASI.
    if rust && arguments.kind != Kind::Command {
        written = written.and_then(|()| write(&SDK, &folder.join("vendor/aos-sdk"), None));
    }
    written.map_err(|error| Failure::host(format!("{}: {error}", folder.display())))?;
    let shown = terminal::visible(&folder.display().to_string());
    let steps = steps(arguments.lang, arguments.kind);
    let mut words = format!("{name} is in {shown}. Next:\n  cd {shown}\n");
    steps.iter().for_each(|step| words.push_str(&format!("  {step}\n")));
    words.push_str(&format!("  aos-host run dist/{name}.wasm {}", example(arguments.kind)));
    terminal::print_line(&words)
}

fn check_name(name: &str, rust: bool) -> Result<(), Failure> {
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(named)
        && !name.ends_with('-')
        && name.len() <= 64;
    if !good {
        return Err(Failure::usage(format!(
            "`{name}` is no plugin name: use a-z, 0-9 and -, and begin with a letter"
        )));
    }
    if rust && RESERVED.contains(&name) {
        return Err(Failure::usage(format!(
            "`{name}` is a word of Rust or Cargo and names no crate; take another, like {name}-tool"
        )));
    }
    Ok(())
}

/// The folders that make a project: what all commands share, and the language's own.
fn templates(language: Language, kind: Kind) -> Result<Vec<&'static Dir<'static>>, Failure> {
    let word = match kind {
        Kind::Tool => "tool",
        Kind::Agent => "agent",
        Kind::Command => "command",
    };
    let own = TEMPLATES.get_dir(format!("{}-{word}", language.name().to_ascii_lowercase()));
    let own = own.ok_or_else(|| {
        let can = ["Rust", "Python", "JavaScript", "TypeScript", "C", "Zig", "Go"];
        let there = |name: &&str| {
            TEMPLATES.get_dir(format!("{}-{word}", name.to_ascii_lowercase())).is_some()
        };
        let can: Vec<_> = can.into_iter().filter(there).map(str::to_ascii_lowercase).collect();
        let name = language.name();
        Failure::usage(format!("there is no {word} in {name} yet; take --lang {}", can.join(", ")))
    })?;
    let shared = TEMPLATES.get_dir("command").filter(|_| kind == Kind::Command);
    Ok(shared.into_iter().chain([own]).collect())
}

/// What comes before the first run.
fn steps(language: Language, kind: Kind) -> Vec<&'static str> {
    let mut steps = match language {
        Language::Rust => vec!["cargo test"],
        Language::Python => vec![
            "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1",
            "python3 -m unittest",
        ],
        Language::Javascript if kind == Kind::Command => vec!["npm install"],
        Language::Javascript | Language::Typescript => vec!["npm install", "npm test"],
        Language::C | Language::Zig => {
            vec!["python3 -m venv .venv && .venv/bin/pip install ziglang==0.17.1"]
        }
        Language::Go => vec!["go test ./..."],
        Language::Wat => Vec::new(),
    };
    steps.push("aos-host build");
    steps
}

/// How what is made is run first.
fn example(kind: Kind) -> String {
    match kind {
        Kind::Tool => format!("--input '{EXAMPLE}'"),
        Kind::Agent => {
            "--task 'What is 6 times 7?' --plugin calculator --model script:demo.toml".into()
        }
        Kind::Command => "-- Ada Alan".into(),
    }
}

/// Writes a folder; with a name, its placeholders are filled in.
fn write(source: &Dir<'_>, target: &Path, name: Option<&str>) -> std::io::Result<()> {
    fs::create_dir_all(target)?;
    for entry in source.entries() {
        let Some(file_name) = entry.path().file_name() else { continue };
        match entry {
            DirEntry::Dir(folder) => write(folder, &target.join(file_name), name)?,
            DirEntry::File(file) => {
                let file_name = file_name.to_string_lossy();
                let path = target.join(file_name.trim_end_matches(".tmpl"));
                write_file(&path, file.contents(), name)?;
            }
        }
    }
    Ok(())
}

fn write_file(path: &Path, contents: &[u8], name: Option<&str>) -> std::io::Result<()> {
    match (name, std::str::from_utf8(contents)) {
        (Some(name), Ok(text)) => {
            let crate_name = name.replace('-', "_");
            let text = text.replace("{{name}}", name).replace("{{crate_name}}", &crate_name);
            fs::write(path, text)?;
        }
        (None, _) | (_, Err(_)) => fs::write(path, contents)?,
    }
    if path.extension().is_some_and(|end| end == "sh") {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
