//! `aos-host dev`: builds and runs a project, again on each save.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use clap::Args;
use notify::{Event, EventKind, RecursiveMode, Watcher};

use super::build::{self, BuildArgs, SCRATCH};
use super::exit::{Asked, Code, Failure};
use super::terminal;
use crate::config::Config;

/// An editor writes several files, and some of them twice: what comes within this is one save.
const QUIET: Duration = Duration::from_millis(150);
/// How often a program that runs is looked at.
const TICK: Duration = Duration::from_millis(50);
/// What toolchains write themselves.
const NOT_SOURCES: &[&str] = &[
    SCRATCH,
    "dist",
    "target",
    "node_modules",
    "__pycache__",
    "vendor",
    "zig-out",
    ".zig-cache",
    ".git",
    ".venv",
];

#[derive(Debug, Args)]
pub struct DevArgs {
    #[command(flatten)]
    build: BuildArgs,
    /// What `aos-host run` gets after the plugin, as in -- --tool forecast --arg city=Oslo
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Builds, runs, and waits for a save, until it is interrupted.
pub fn dev(config: &Config, arguments: &DevArgs) -> Result<Code, Failure> {
    let folder = arguments.build.folder();
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{}: there is no such folder", folder.display())));
    }
    loop {
        // Set up before the build, so that a save during it is not lost.
        let saves = Saves::watch(folder)?;
        let mut running = match super::block_on(build::make(config, &arguments.build)) {
            Ok(built) => {
                say(&built.words);
                Some(start(&built.path, &arguments.arguments)?)
            }
            Err(failure) => {
                // The exit code is for who ends; this goes on.
                let _code = failure.tell(Asked::default());
                None
            }
        };
        let saved = saves.wait(&mut running);
        if let Some(mut child) = running {
            // It may have ended by itself just now.
            let _killed = child.kill();
            let _ended = child.wait();
        }
        let name = saved.strip_prefix(folder).unwrap_or(&saved).display().to_string();
        say(&format!("-- {name} was saved"));
    }
}

/// A run in a process of its own: it can be ended at any time, whatever it does.
fn start(plugin: &Path, arguments: &[String]) -> Result<Child, Failure> {
    let program = std::env::current_exe().map_err(Failure::host)?;
    let plugin = std::path::absolute(plugin).map_err(Failure::host)?;
    Command::new(program).arg("run").arg(plugin).args(arguments).spawn().map_err(Failure::host)
}

fn say(words: &str) {
    // Nobody is left to tell when stderr is closed.
    let _told = writeln!(std::io::stderr(), "{}", terminal::visible(words));
}

/// The saves of sources below a folder.
struct Saves {
    changes: Receiver<PathBuf>,
    /// Ends with this.
    _watcher: notify::RecommendedWatcher,
}

impl Saves {
    fn watch(folder: &Path) -> Result<Self, Failure> {
        let (sender, changes) = channel();
        let wrong = |error: notify::Error| {
            Failure::host(format!("{} cannot be watched: {error}", folder.display()))
        };
        let root = folder.canonicalize().map_err(Failure::host)?;
        let inside = root.clone();
        let mut watcher = notify::recommended_watcher(move |event| report(event, &inside, &sender))
            .map_err(wrong)?;
        watcher.watch(&root, RecursiveMode::NonRecursive).map_err(wrong)?;
        let entries = std::fs::read_dir(&root).map_err(Failure::host)?;
        for entry in entries.filter_map(Result::ok) {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && !is_skipped(&entry.file_name()) {
                watcher.watch(&entry.path(), RecursiveMode::Recursive).map_err(wrong)?;
            }
        }
        Ok(Self { changes, _watcher: watcher })
    }

    /// Waits for a save, and looks after the program that runs meanwhile.
    fn wait(&self, running: &mut Option<Child>) -> PathBuf {
        let first = loop {
            match self.changes.recv_timeout(TICK) {
                Ok(path) => break path,
                // The sender lives in the watcher, which lives here.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if let Some(child) = running
                && let Ok(Some(status)) = child.try_wait()
            {
                let word = status.code().map_or("a signal".into(), |code| code.to_string());
                say(&format!("-- ended with {word}; waiting for a save"));
                *running = None;
            }
        };
        while self.changes.recv_timeout(QUIET).is_ok() {}
        first
    }
}

fn report(event: notify::Result<Event>, root: &Path, sender: &Sender<PathBuf>) {
    let Ok(event) = event else { return };
    let changes = match event.kind {
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
        EventKind::Any | EventKind::Access(_) | EventKind::Other => false,
    };
    let is_source = |path: &&PathBuf| {
        let inside = path.strip_prefix(root).unwrap_or(path);
        !inside.components().any(|part| is_skipped(part.as_os_str()))
    };
    if changes && let Some(path) = event.paths.iter().find(is_source) {
        // Whoever waited is gone when this fails.
        let _sent = sender.send(path.clone());
    }
}

/// Whether a file or folder is no source: a toolchain's own, or an editor's.
fn is_skipped(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    NOT_SOURCES.contains(&&*name) || name.ends_with('~') || name.ends_with(".swp")
}
