//! `aos-host new`: a project that builds, tests and runs.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use include_dir::{Dir, DirEntry, include_dir};

use super::exit::{Code, Failure};
use super::terminal;

/// The project, with `{{name}}` and `{{crate_name}}` to be filled in.
static TOOL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates/tool");
/// The library it is written with, which is not published yet, so each project gets a copy.
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

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A tool plugin in Rust
    Tool,
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// The folder and the plugin's name: a-z, 0-9 and -
    name: String,
    /// What is made
    #[arg(long, value_enum, default_value = "tool")]
    kind: Kind,
}

pub fn new(arguments: &NewArgs) -> Result<Code, Failure> {
    let folder = PathBuf::from(&arguments.name);
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("");
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
    if RESERVED.contains(&name) {
        return Err(Failure::usage(format!(
            "`{name}` is a word of Rust or Cargo and names no crate; take another, like {name}-tool"
        )));
    }
    if folder.exists() {
        return Err(Failure::usage(format!("{} is there already", folder.display())));
    }
    let template = match arguments.kind {
        Kind::Tool => &TOOL,
    };
    let written = write(template, &folder, Some(name))
        .and_then(|()| write(&SDK, &folder.join("vendor/aos-sdk"), None));
    written.map_err(|error| Failure::host(format!("{}: {error}", folder.display())))?;
    let shown = terminal::visible(&folder.display().to_string());
    terminal::print_line(&format!(
        "{name} is in {shown}. Next:\n  cd {shown}\n  cargo test\n  ./build.sh\n  \
         aos-host run dist/{name}.wasm --input '{EXAMPLE}'"
    ))
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
