//! Finding the programs of toolchains, and running them: the command is shown first, and what they
//! say goes to stderr, as it is.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::exit::{Code, Failure};
use super::tell;

/// One command of a toolchain.
pub struct Step {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    folder: PathBuf,
}

impl Step {
    /// A program, to be run in a folder.
    pub fn new(program: impl Into<PathBuf>, folder: &Path) -> Self {
        let (program, folder) = (program.into(), folder.to_owned());
        Self { program, arguments: Vec::new(), environment: Vec::new(), folder }
    }

    /// Adds arguments.
    pub fn arguments<A: Into<OsString>>(mut self, all: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(all.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The command as a shell would take it.
    fn words(&self) -> String {
        // It runs in the project's folder, so paths are shown from there.
        let folder = format!("{}/", self.folder.display());
        let shown = |word: &OsStr| quoted(&word.to_string_lossy().replace(&folder, ""));
        let pairs = self.environment.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={}", shown(value)));
        let words = [self.program.as_os_str()].into_iter();
        let words = words.chain(self.arguments.iter().map(OsString::as_os_str)).map(shown);
        pairs.chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Shows it and runs it to its end.
    ///
    /// # Errors
    /// When it does not start, or ends with another code than 0: what it says of that stands above.
    pub fn run(&self) -> Result<(), Failure> {
        tell(&format!("$ {}", self.words()));
        let pairs = self.environment.iter().map(|(name, value)| (name, value));
        let status = Command::new(&self.program)
            .args(&self.arguments)
            .envs(pairs)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            // Answers alone go to stdout.
            .stdout(Stdio::from(std::io::stderr()))
            .status();
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let sentence = format!("{name} ended with {status}: what it says stands above");
                Err(Failure::new(Code::Tool, sentence))
            }
            Err(error) => Err(Failure::usage(format!("{name} does not start: {error}"))),
        }
    }
}

/// As a shell reads it back.
fn quoted(word: &str) -> String {
    // The separator of cargo's encoded flags is no character to show.
    let word = word.replace('\u{1f}', " ");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Looks for a program: in these folders of the project, then where the shell does.
pub fn find(name: &str, project: &Path, folders: &[&str]) -> Option<PathBuf> {
    let own = folders.iter().map(|folder| project.join(folder));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all: Vec<_> = own.chain(std::env::split_paths(&path)).collect();
    all.into_iter().map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// What a program prints, as one line; none when it does not run.
pub fn answer(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Says what is missing and how it is got.
pub fn missing(what: &str, remedy: &str) -> Failure {
    Failure::usage(format!("{what} is not installed: {remedy}"))
}
