//! Running the program as a user does: a fresh home, arguments, what came out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The top of the checkout.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the checkout")
}

/// The folder of built plugins: the rebuilt ones where `tests/run.sh` has made them.
pub fn dist() -> PathBuf {
    match std::env::var_os("AOS_TEST_DIST") {
        Some(folder) => folder.into(),
        None => top().join("plugins/dist"),
    }
}

/// A plugin's path, for the command line.
pub fn plugin(name: &str) -> String {
    dist().join(format!("{name}.wasm")).display().to_string()
}

/// The path of a file of `tests/guests`.
pub fn guest_path(name: &str) -> PathBuf {
    // The rebuilt ones where `tests/run.sh` has made them.
    match (name.strip_prefix("dist/"), std::env::var_os("AOS_TEST_DIST")) {
        (Some(built), Some(folder)) => PathBuf::from(folder).join(built),
        (None, _) | (_, None) => top().join("tests/guests").join(name),
    }
}

/// A user with nothing but an empty home.
pub struct User {
    home: tempfile::TempDir,
}

impl User {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a home") }
    }

    /// The user's working folder.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// The program, ready to be given arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aos-host"));
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // Compiled components are shared: what is tested is not the compiler.
            .env("AOS_CONFIG", self.config())
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// A configuration whose cache all tests share.
    fn config(&self) -> PathBuf {
        let path = self.home.path().join("aos.toml");
        if !path.exists() {
            let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
            let text = format!("[cache]\nfolder = {:?}\n", cache.display().to_string());
            std::fs::write(&path, text).expect("writes");
        }
        path
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command().args(arguments).output().expect("starts"))
    }

    /// Runs it with bytes on stdin.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        use std::io::Write;
        let mut child = self
            .command()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stdin = child.stdin.take().expect("piped");
        // A program that has ended already does not read: that is its affair.
        let _written = stdin.write_all(input);
        drop(stdin);
        Ran::of(child.wait_with_output().expect("ends"))
    }
}

/// What came out.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            // A signal has no code; no test expects one.
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails with everything that was printed unless the code is this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Fails unless stderr is about one thing, says this, and is no panic.
    #[track_caller]
    pub fn complains(self, code: i32, words: &[&str]) -> Self {
        let ran = self.expect(code);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "no {word:?} in: {}", ran.stderr);
        }
        ran
    }
}
