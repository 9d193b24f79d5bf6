//! One kernel for all hostile guests, and the neighbour that runs beside each of them.

use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use aos_host::capability::grant::Grant;
use aos_host::kernel::{Fault, Kernel, Plugin, SessionOptions, Streams};
use aos_host::sandbox::Ended;
use aos_host::sandbox::engine::Profile;
use aos_host::sandbox::limits::Limits;
use aos_host::sandbox::state::Input;
use aos_host::sandbox::stdio::Sink;
use aos_host::types::{Content, Reply, Syscall, ToolError};
use tokio::runtime::Runtime;

use crate::support;
pub use crate::support::guest_path;

/// As many threads as the smallest machine has cores.
const THREADS: usize = 2;

/// Longer than any guest here may take, also on a busy machine: to wait longer is to hang.
const PATIENCE: Duration = Duration::from_secs(40);

/// Names the engine's profile to a child process of [`super::daemon`].
pub const PROFILE: &str = "AOS_TEST_PROFILE";

/// How the kernel of this process is built: for one run, unless the environment says otherwise.
fn profile() -> Profile {
    match std::env::var(PROFILE).as_deref() {
        Ok("daemon") => Profile::Daemon,
        Err(_) => Profile::OneShot,
        Ok(other) => panic!("there is no profile {other}"),
    }
}

/// The kernel, its runtime and its good citizen.
pub struct House {
    runtime: Runtime,
    kernel: Kernel,
    calculator: Arc<Plugin>,
}

/// How one guest ended, and what it had printed by then.
#[derive(Debug)]
pub struct Ending {
    pub reply: Result<Reply, Fault>,
    pub stdout: String,
}

/// The house that all tests share.
pub fn house() -> &'static House {
    static HOUSE: LazyLock<House> = LazyLock::new(House::build);
    &HOUSE
}

/// The guest in Rust.
pub fn misbehave() -> &'static Arc<Plugin> {
    static GUEST: LazyLock<Arc<Plugin>> = LazyLock::new(|| guest("dist/misbehave.wasm"));
    &GUEST
}

/// The guest in Rust of WASI 0.3.
pub fn overlap() -> &'static Arc<Plugin> {
    static GUEST: LazyLock<Arc<Plugin>> = LazyLock::new(|| guest("dist/overlap.wasm"));
    &GUEST
}

/// A guest by its file's name.
pub fn guest(name: &str) -> Arc<Plugin> {
    let bytes = std::fs::read(guest_path(name)).expect("a guest");
    house().load(name, bytes).expect("loads")
}

/// Limits under which only the one that a test is about can be reached.
pub fn limits() -> Limits {
    Limits {
        memory_bytes: 32 << 20,
        wall: Duration::from_secs(30),
        cpu: Duration::from_secs(30),
        ..Limits::default()
    }
}

/// A session with limits and grants like `read:/tmp/x:/src`.
pub fn options(limits: Limits, grants: &[String]) -> SessionOptions {
    let grant = |text: &String| (text.parse::<Grant>().expect("a grant"), text.clone());
    SessionOptions {
        grants: grants.iter().map(grant).collect(),
        limits,
        ..SessionOptions::default()
    }
}

/// A grant of a folder.
pub fn folder_grant(capability: &str, folder: &Path, guest: &str) -> String {
    format!("{capability}:{}:{guest}", folder.display())
}

/// A run of a command.
pub fn command(arguments: &[&str]) -> Syscall {
    Syscall::Run { arguments: arguments.iter().map(ToString::to_string).collect() }
}

/// A call of a tool without arguments.
pub fn call(tool: &str) -> Syscall {
    Syscall::Call { tool: Some(tool.to_owned()), arguments: serde_json::json!({}) }
}

impl House {
    fn build() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()
            .expect("a runtime");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let built =
            runtime.block_on(Kernel::builder().profile(profile()).cache(cache, None).build());
        let kernel = built.expect("a kernel");
        let bytes = std::fs::read(support::plugin("calculator")).expect("the calculator");
        let calculator = runtime.block_on(kernel.load("calculator", bytes)).expect("loads");
        Self { runtime, kernel, calculator }
    }

    /// Loads a component.
    pub fn load(&self, name: &str, bytes: impl Into<Vec<u8>>) -> Result<Arc<Plugin>, Fault> {
        self.runtime.block_on(self.kernel.load(name, bytes.into()))
    }

    /// Runs a guest on every thread that there is, and a neighbour beside them, who must answer.
    /// Gives the ending of one of them; all must have ended alike as far as a limit is concerned.
    pub fn beside_a_neighbour(
        &self,
        guest: &Arc<Plugin>,
        options: &SessionOptions,
        what: &Syscall,
    ) -> Ending {
        let mut running: Vec<_> =
            (0..THREADS).map(|_| self.spawn(guest, options.clone(), what.clone())).collect();
        self.neighbour_answers();
        let mut ending = finish(&running.remove(0));
        for other in &running {
            let other = finish(other);
            assert_eq!(limit_of(&other.reply), limit_of(&ending.reply), "{other:?}");
            ending = other;
        }
        ending
    }

    /// Runs a guest once, with a neighbour beside it.
    pub fn once(&self, guest: &Arc<Plugin>, options: &SessionOptions, what: &Syscall) -> Ending {
        let running = self.spawn(guest, options.clone(), what.clone());
        self.neighbour_answers();
        finish(&running)
    }

    /// Starts a guest; what it prints is kept.
    pub fn spawn(
        &self,
        guest: &Arc<Plugin>,
        mut options: SessionOptions,
        what: Syscall,
    ) -> mpsc::Receiver<Ending> {
        let (ended, ending) = mpsc::channel();
        let (kernel, guest) = (self.kernel.clone(), Arc::clone(guest));
        let (stdout, printed) = Sink::memory();
        options.streams = Streams { stdin: Input::Empty, stdout, stderr: Sink::memory().0 };
        self.runtime.spawn(async move {
            let session = kernel.session(guest, options).expect("a session");
            let reply = kernel.submit(&session, what).await;
            let stdout = text(&printed);
            // A test that has failed already no longer listens.
            let _heard = ended.send(Ending { reply, stdout });
        });
        ending
    }

    /// Several calls of a good citizen, each of which must give the right answer in time.
    #[track_caller]
    fn neighbour_answers(&self) {
        for _ in 0..3 {
            let arguments = serde_json::json!({ "expression": "(2+3)*4^2" });
            let what = Syscall::Call { tool: None, arguments };
            let limits = Limits { wall: Duration::from_secs(20), ..Limits::default() };
            let called = self.spawn(&self.calculator, options(limits, &[]), what);
            match finish(&called).reply {
                Ok(Reply::Output(output, _)) => {
                    let [Content::Text(text)] = &output.content[..] else {
                        panic!("the neighbour says {output:?}");
                    };
                    assert_eq!(text, "80");
                }
                other => panic!("the neighbour noticed: {other:?}"),
            }
        }
    }
}

#[track_caller]
pub fn finish(running: &mpsc::Receiver<Ending>) -> Ending {
    running.recv_timeout(PATIENCE).expect("it ends in time, and not by a panic")
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn limit_of(reply: &Result<Reply, Fault>) -> Option<&str> {
    match reply {
        Err(Fault::Ended(Ended::Limit(limit)) | Fault::Tool(ToolError::Limit(limit))) => {
            Some(&limit.name)
        }
        _ => None,
    }
}

impl Ending {
    /// Fails unless it was ended by this limit.
    #[track_caller]
    pub fn by_limit(&self, name: &str) {
        assert_eq!(limit_of(&self.reply), Some(name), "{self:?}");
    }

    /// What a command printed before it ended by itself.
    #[track_caller]
    pub fn printed(&self) -> &str {
        assert!(matches!(self.reply, Ok(Reply::Exit(..))), "{self:?}");
        &self.stdout
    }

    /// The sentence of a fault.
    #[track_caller]
    pub fn sentence(&self) -> String {
        self.reply.as_ref().expect_err("a fault").to_string()
    }

    /// Fails unless the guest is said to be at fault, in these words.
    #[track_caller]
    pub fn bad_answer(&self, words: &str) {
        let Err(Fault::Ended(Ended::BadAnswer(sentence))) = &self.reply else {
            panic!("no bad answer: {self:?}");
        };
        assert!(sentence.contains(words), "no {words:?} in: {sentence}");
    }

    /// Fails unless the guest is said to have crashed, in these words.
    #[track_caller]
    pub fn crashed(&self, words: &str) {
        let Err(Fault::Ended(Ended::Trapped(sentence))) = &self.reply else {
            panic!("no crash: {self:?}");
        };
        assert!(sentence.contains(words), "no {words:?} in: {sentence}");
    }
}
