//! The rules of the house that no compiler checks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::support::top;

/// Top to bottom: a module names only modules below it.
const LAYERS: [&str; 13] = [
    "cli",
    "api",
    "config",
    "kernel",
    "scheduler",
    "sandbox",
    "container",
    "capability",
    "model",
    "pager",
    "journal",
    "storage",
    "types",
];

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// All files below a folder with that ending, in order.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rust that people wrote: the host, the SDK, the plugins, the tests, the benches.
fn sources() -> Vec<PathBuf> {
    let folders = ["host/src", "sdk", "plugins", "tests", "benches"];
    let all: Vec<_> = folders.iter().flat_map(|folder| files(&top().join(folder), "rs")).collect();
    assert!(all.len() > 50, "the sources are not where this test looks");
    all
}

#[test]
fn a_module_names_only_modules_below_it() {
    let root = top().join("host/src");
    let mut upward = Vec::new();
    for path in files(&root, "rs") {
        let inside = path.strip_prefix(&root).expect("below the root");
        let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs");
        let Some(own) = LAYERS.iter().position(|layer| *layer == module) else {
            assert!(matches!(module, "lib" | "main"), "{module} is in no layer: name it in LAYERS");
            continue;
        };
        for (number, line) in read(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            for part in code.split("crate::").skip(1) {
                let name: String =
                    part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let named = LAYERS.iter().position(|layer| *layer == name);
                if named.is_some_and(|named| named < own) {
                    upward.push(format!("{}:{}: {name}", inside.display(), number + 1));
                }
            }
        }
    }
    assert!(upward.is_empty(), "upward imports:\n{}", upward.join("\n"));
}

#[test]
fn files_are_short_and_lines_are_narrow() {
    let mut wrong = Vec::new();
    for path in sources() {
        let text = read(&path);
        let before_tests = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
        let is_test = path.to_string_lossy().contains("/tests");
        if before_tests > FILE_LINES_MAX && !is_test {
            wrong.push(format!("{}: {before_tests} lines", path.display()));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                wrong.push(format!("{}:{}: too wide", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Functions that are too long, and how many there are. The code is formatted, so a function ends
/// at the first line that closes a brace at the indent at which it began.
fn long_functions(text: &str) -> (Vec<String>, usize) {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let (mut long, mut seen) = (Vec::new(), 0);
    for (start, line) in lines.iter().enumerate() {
        let words = line.trim_start();
        let mut before = words.split("fn ").next().unwrap_or("").split_whitespace();
        let qualifies = |word: &str| {
            matches!(word, "pub" | "async" | "const" | "unsafe" | "extern")
                || word.starts_with("pub(")
        };
        if !words.contains("fn ") || !before.all(qualifies) {
            continue;
        }
        let body = lines[start..].iter().take_while(|other| {
            !(indent(other) == indent(line) && other.trim_start().starts_with('}'))
        });
        let ends_at_once = line.ends_with('}') || line.ends_with(';');
        let length = if ends_at_once { 1 } else { body.count() + 1 };
        seen += 1;
        if length > FUNCTION_LINES_MAX {
            long.push(format!("{}: {length} lines: {words}", start + 1));
        }
    }
    (long, seen)
}

#[test]
fn functions_are_short() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in sources() {
        let (long, count) = long_functions(&read(&path));
        wrong.extend(long.into_iter().map(|function| format!("{}:{function}", path.display())));
        seen += count;
    }
    assert!(seen > 500, "only {seen} functions were seen");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_long_function_is_found() {
    let body = "    x();\n".repeat(FUNCTION_LINES_MAX);
    assert_eq!(long_functions("fn short() {\n    x();\n}\n").0.len(), 0);
    assert_eq!(long_functions(&format!("pub async fn long() {{\n{body}}}\n")).0.len(), 1);
}

#[test]
fn there_is_no_mod_rs() {
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|n| n == "mod.rs"))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_sdks_copy_of_the_contract_is_the_contract() {
    let (own, copy) = (top().join("wit"), top().join("sdk/wit"));
    let names = |folder: &Path| -> Vec<PathBuf> {
        let all = files(folder, "wit").into_iter();
        all.map(|path| path.strip_prefix(folder).expect("below it").to_owned()).collect()
    };
    assert_eq!(names(&own), names(&copy));
    assert!(!names(&own).is_empty());
    for name in names(&own) {
        assert_eq!(read(&own.join(&name)), read(&copy.join(&name)), "{}", name.display());
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rule of plugins/README.md: a line for each file below these roots, by path.
fn sources_hash(roots: &[&str]) -> String {
    let top = top();
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    let mut left: Vec<PathBuf> = roots.iter().map(|root| top.join(root)).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder");
            let entries = entries.map(|entry| entry.expect("an entry").path());
            left.extend(entries.filter(|path| path.file_name().is_some_and(|n| n != "target")));
        } else {
            let name = path.strip_prefix(&top).expect("inside").display().to_string();
            let line = format!("{}  {name}\n", sha256(&fs::read(&path).expect("reads")));
            lines.insert(name, line);
        }
    }
    sha256(lines.into_values().collect::<String>().as_bytes())
}

/// What shapes a plugin besides its own folder.
const SHARED_SOURCES: [&str; 7] = [
    "plugins/Cargo.toml",
    "plugins/Cargo.lock",
    "sdk/src",
    "sdk/macros",
    "sdk/wit",
    "sdk/Cargo.toml",
    "wit",
];

#[test]
fn the_committed_components_are_built_from_the_committed_sources() {
    let of_a_plugin = |name: &str| {
        let own = format!("plugins/{name}");
        sources_hash(&[&[own.as_str()], &SHARED_SOURCES[..]].concat())
    };
    assert!(up_to_date("plugins/dist", of_a_plugin, "plugins/build.sh") >= 6);
    let of_a_guest = |name: &str| sources_hash(&[&format!("tests/guests/{name}"), "wit"]);
    assert!(up_to_date("tests/guests/dist", of_a_guest, "tests/guests/build.sh") >= 3);
}

/// Holds each component of a folder against its line in the manifest; how many there are.
fn up_to_date(folder: &str, sources: impl Fn(&str) -> String, build: &str) -> usize {
    let dist = top().join(folder);
    let manifest: toml::Table = read(&dist.join("manifest.toml")).parse().expect("TOML");
    let built: BTreeMap<String, PathBuf> = files(&dist, "wasm")
        .into_iter()
        .map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), path))
        .collect();
    assert_eq!(manifest.keys().collect::<Vec<_>>(), built.keys().collect::<Vec<_>>());
    for (name, path) in &built {
        let entry = |key: &str| manifest[name][key].as_str().expect("text").to_owned();
        let bytes = fs::read(path).expect("reads");
        assert_eq!(sha256(&bytes), entry("sha256"), "{name}.wasm is not what was recorded");
        assert_eq!(
            sources(name),
            entry("sources_sha256"),
            "{name} changed since it was built: run {build}"
        );
    }
    built.len()
}
