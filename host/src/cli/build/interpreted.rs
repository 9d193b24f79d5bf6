//! Python, JavaScript and TypeScript: the interpreter goes into the component, with the sources.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::super::exit::Failure;
use super::project::{Kind, Language, Project};
use super::toolchain::{Step, find, missing};
use super::wit;

/// Sources that a project may have, so that a link that leads round ends.
const FILES_MAX: usize = 10_000;

/// Builds `tools.py`, `agent.py` or `main.py`, with all modules beside it.
pub fn python(project: &Project) -> Result<Vec<u8>, Failure> {
    let folder = &project.folder;
    let remedy = "`python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1`, in the \
                  project or here";
    let here = std::env::current_dir().map_err(Failure::host)?.join(".venv/bin");
    let program = find("componentize-py", folder, &[".venv/bin"])
        .or_else(|| find("componentize-py", &here, &["."]))
        .ok_or_else(|| missing("componentize-py", remedy))?;
    let scratch = folder.join(super::SCRATCH);
    let wit = wit::write(&scratch)?;
    let sources = scratch.join("python");
    // What was deleted in the project is no part of it any more.
    if sources.exists() {
        fs::remove_dir_all(&sources).map_err(Failure::host)?;
    }
    let mut count = 0;
    copy_modules(folder, &sources, &mut count)
        .map_err(|error| Failure::host(format!("{}: {error}", sources.display())))?;
    let glue = match project.kind {
        Kind::Tool => include_str!("../../../templates/glue/tool.py"),
        Kind::Agent => include_str!("../../../templates/glue/agent.py"),
        Kind::Command => include_str!("../../../templates/glue/command.py"),
    };
    fs::write(sources.join("aos_entry.py"), glue).map_err(Failure::host)?;
    let mut step = Step::new(program, folder).arguments([
        OsString::from("-d"),
        wit.into(),
        "-w".into(),
        wit::world(project.kind).into(),
        "componentize".into(),
        "-p".into(),
        sources.into(),
    ]);
    if folder.join("vendor").is_dir() {
        step = step.arguments(["-p", "vendor"]);
    }
    let raw = project.raw();
    step.arguments([OsString::from("aos_entry"), "-o".into(), raw.clone().into()]).run()?;
    project.read(&raw)
}

/// The project's Python sources, without its tests and what is not its own.
fn copy_modules(from: &Path, to: &Path, count: &mut usize) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let shown = name.to_string_lossy();
        let skipped = shown.starts_with(['.', '_']) && shown != "__init__.py"
            || matches!(&*shown, "dist" | "vendor" | "tests" | "node_modules" | "target")
            || shown.starts_with("test_");
        *count += 1;
        if *count > FILES_MAX {
            let sentence = format!("more than {FILES_MAX} files lie beside the sources");
            return Err(std::io::Error::other(sentence));
        }
        if kind.is_dir() && !skipped {
            copy_modules(&entry.path(), &to.join(&name), count)?;
        } else if kind.is_file() && (shown.ends_with(".py") && !shown.starts_with("test_")) {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

/// The engines that a JavaScript project chooses from, in `package.json`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    /// 1.6 MB, starts soonest: the default.
    QuickJs,
    /// 12 MB, faster on long computations, with `fetch`.
    StarlingMonkey,
}

/// Builds `src/tools.js` and its like: bundled by esbuild, then put beside an engine.
pub fn javascript(project: &Project) -> Result<Vec<u8>, Failure> {
    let folder = &project.folder;
    let engine = engine(folder)?;
    let install = "run `npm install` in the project";
    let program = |name: &str| {
        find(name, folder, &["node_modules/.bin"]).ok_or_else(|| missing(name, install))
    };
    let node = "install Node.js 20 or newer: https://nodejs.org";
    find("node", folder, &[]).ok_or_else(|| missing("node", node))?;
    let (esbuild, end) = (program("esbuild")?, project.language);
    let end = if end == Language::Typescript { "ts" } else { "js" };
    if end == "ts" {
        Step::new(program("tsc")?, folder).arguments(["--noEmit"]).run()?;
    }
    let scratch = folder.join(super::SCRATCH);
    let wit = wit::write(&scratch)?;
    let (stem, glue) = match project.kind {
        Kind::Tool => ("tools", include_str!("../../../templates/glue/tool.js")),
        Kind::Agent => ("agent", include_str!("../../../templates/glue/agent.js")),
        Kind::Command => ("main", include_str!("../../../templates/glue/command.js")),
    };
    let console = match engine {
        Engine::QuickJs => include_str!("../../../templates/glue/console.js"),
        Engine::StarlingMonkey => "",
    };
    let glue = glue.replace("SOURCE", &format!("../src/{stem}.{end}"));
    let glue = glue.replace("LIBRARY", &format!("../src/aos.{end}"));
    fs::write(scratch.join("console.js"), console)
        .and_then(|()| fs::write(scratch.join("entry.js"), glue))
        .map_err(|error| Failure::host(format!("{}: {error}", scratch.display())))?;
    Step::new(esbuild, folder)
        .arguments([".aos/entry.js", "--bundle", "--format=esm", "--target=es2022"])
        .arguments(["--external:wasi:*", "--external:aos:*", "--log-level=warning"])
        .arguments(["--outfile=.aos/bundle.js"])
        .run()?;
    let raw = project.raw();
    let world = wit::world(project.kind);
    let step = match engine {
        Engine::QuickJs => Step::new(program("componentize-qjs")?, folder)
            .arguments(["--sync", "--js", ".aos/bundle.js", "--world"])
            .arguments([format!("{world}-with-console")]),
        Engine::StarlingMonkey => Step::new(program("componentize-js")?, folder).arguments([
            ".aos/bundle.js",
            "--world-name",
            world,
        ]),
    };
    let rest = ["--wit".into(), wit.into_os_string(), "-o".into(), raw.clone().into_os_string()];
    step.arguments(rest).run()?;
    project.read(&raw)
}

/// The engine by `package.json`: `"aos": { "engine": "quickjs" }`.
fn engine(folder: &Path) -> Result<Engine, Failure> {
    let path = folder.join("package.json");
    let wrong = |error: String| Failure::usage(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let package: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    match package["aos"]["engine"].as_str() {
        None | Some("quickjs") => Ok(Engine::QuickJs),
        Some("starlingmonkey") => Ok(Engine::StarlingMonkey),
        Some(other) => {
            Err(wrong(format!("aos.engine is `{other}`; it is quickjs or starlingmonkey")))
        }
    }
}
