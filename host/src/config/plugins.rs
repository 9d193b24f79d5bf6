//! Finding a plugin: a path, or a name looked up in folders and then in the program itself.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::capability::grant::Grant;
use crate::config::supply::lock;
use crate::container::manifest::{ENDING, Native, is_manifest};
use crate::sandbox::plain::nearest;
use crate::sandbox::program::COMPONENT_BYTES_MAX;

/// A plugin's bytes and what to call it.
pub struct Found {
    /// The name for grants and messages, where the plugin has no manifest.
    pub name: String,
    /// Whether the name is the one that the operator asked for, and not the plugin's own.
    pub looked_up: bool,
    /// Where it came from, for messages.
    pub origin: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why there is no plugin: one sentence, and whether anything is there.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// Nothing has that name.
    #[error("{0}")]
    Missing(String),
    /// What is there cannot be read as a plugin.
    #[error("{0}")]
    Unusable(String),
}

impl Found {
    /// The operator's standing grants for container tools: the `allow` lines of their file, where
    /// it lies in the operator's own folders. A stranger's file gives itself nothing.
    ///
    /// # Errors
    /// One sentence, when a line is no grant.
    pub fn standing_grants(&self) -> Result<Vec<(Grant, String)>, String> {
        if !self.looked_up || !is_manifest(&self.bytes) {
            return Ok(Vec::new());
        }
        // What is wrong with the file is told when it is loaded.
        let Ok(tools) = Native::parse(&self.bytes) else { return Ok(Vec::new()) };
        let grant = |line: &String| match line.parse::<Grant>() {
            Ok(grant) => Ok((grant, line.clone())),
            Err(error) => Err(format!("{}: allow: {error}", self.origin)),
        };
        tools.file.allow.iter().map(grant).collect()
    }
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$((
            $name,
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/../plugins/dist/", $name, ".wasm"
            )),
        )),*]
    };
}

/// The plugins that come with the program.
pub const EMBEDDED: &[(&str, &[u8])] =
    embedded!["assistant", "calculator", "files", "http", "javascript", "json", "search", "team"];

/// The plugins that are too large for that, and are built where they are used.
pub const BUILT: &[&str] = &["python"];

/// Finds what `wanted` means.
///
/// # Errors
/// One sentence: not there (with the nearest name), a folder, unreadable, too large.
pub fn find(wanted: &str, folders: &[PathBuf]) -> Result<Found, NotFound> {
    let path = Path::new(wanted);
    let is_path = wanted.contains('/')
        || wanted.ends_with(ENDING)
        || path.extension().is_some_and(|end| end == "wasm" || end == "wat");
    if is_path {
        return read(path);
    }
    for folder in folders {
        for end in [".wasm", ".wat", ENDING] {
            let path = folder.join(format!("{wanted}{end}"));
            if path.is_file() {
                let found = Found { looked_up: true, ..read(&path)? };
                // Before anything reads the bytes as a component.
                lock::check(folder, wanted, &found.bytes)
                    .map_err(|error| NotFound::Unusable(error.to_string()))?;
                return Ok(found);
            }
        }
    }
    match EMBEDDED.iter().find(|(name, _)| *name == wanted) {
        Some((name, bytes)) => Ok(Found {
            name: (*name).to_owned(),
            looked_up: true,
            origin: format!("{name} (comes with aos-host)"),
            bytes: bytes.to_vec(),
        }),
        None => Err(not_found(wanted, folders)),
    }
}

fn not_found(wanted: &str, folders: &[PathBuf]) -> NotFound {
    if BUILT.contains(&wanted) {
        return NotFound::Missing(format!(
            "{wanted} is too large to come along: `aos-host plugin build {wanted}` builds and \
             installs it"
        ));
    }
    let names = EMBEDDED.iter().map(|(name, _)| *name);
    let installed = in_folders(folders);
    let known = names.clone().chain(installed.iter().map(String::as_str));
    let proposal = match nearest(wanted, known) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => {
            let folders: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
            format!(
                "; it is no file here, in none of {}, and not one of {}",
                folders.join(", "),
                names.collect::<Vec<_>>().join(", ")
            )
        }
    };
    NotFound::Missing(format!("there is no plugin `{wanted}`{proposal}"))
}

/// Files of a folder that are looked at for a name that is like the one that was meant.
const NAMES_LOOKED_AT_MAX: usize = 10_000;

/// The names that these folders have.
fn in_folders(folders: &[PathBuf]) -> Vec<String> {
    let mut names = Vec::new();
    for folder in folders {
        // A folder that is not there has none.
        let Ok(entries) = folder.read_dir() else { continue };
        let paths = entries.take(NAMES_LOOKED_AT_MAX).filter_map(Result::ok).map(|e| e.path());
        let plugins = paths.filter(|path| {
            path.extension().is_some_and(|end| end == "wasm" || end == "wat") && path.is_file()
        });
        names.extend(plugins.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())));
    }
    names
}

fn read(path: &Path) -> Result<Found, NotFound> {
    let fail = |what: &str| NotFound::Unusable(format!("{}: {what}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            NotFound::Missing(format!("{}: there is no such file", path.display()))
        }
        _ => fail(&error.to_string()),
    })?;
    if metadata.is_dir() {
        return Err(fail("it is a folder; name the .wasm file in it"));
    }
    if !metadata.is_file() {
        return Err(fail("it is no regular file"));
    }
    if metadata.len() > COMPONENT_BYTES_MAX {
        return Err(fail(&format!("it is larger than {COMPONENT_BYTES_MAX} bytes")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    let file = std::fs::File::open(path).map_err(|error| fail(&error.to_string()))?;
    // The file may grow while it is read.
    file.take(COMPONENT_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| fail(&error.to_string()))?;
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
    let name = file.strip_suffix(ENDING).map_or(stem, str::to_owned);
    Ok(Found { name, looked_up: false, origin: path.display().to_string(), bytes })
}
