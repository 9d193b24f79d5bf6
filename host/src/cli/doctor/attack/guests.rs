//! The attacks themselves.

use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;

use super::Outcome;
use crate::capability::grant::Grant;
use crate::cli::exit::Failure;
use crate::config::supply::lock::{self, Lock, Locked};
use crate::config::supply::sha256;
use crate::config::supply::trust::{Signature, Trust};
use crate::container::catalogue;
use crate::journal::{Exported, SigningKey, export, verify_export};
use crate::kernel::{Fault, Kernel, Plugin, SessionOptions, Streams};
use crate::sandbox::Ended;
use crate::sandbox::limits::Limits;
use crate::sandbox::state::Input;
use crate::sandbox::stdio::Sink;
use crate::types::{Reply, Syscall};

/// The guest of `tests/guests/misbehave`, built.
const MISBEHAVE: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guests/dist/misbehave.wasm"));
/// A core module that computes for ever.
const SPIN: &str = "(module (memory (export \"memory\") 1) \
                    (func (export \"_start\") (loop br 0)))";
/// One that takes memory until there is none, and then stops.
const HOARD: &str = "(module (memory (export \"memory\") 1) (func (export \"_start\") \
                     (loop (br_if 0 (i32.ne (memory.grow (i32.const 1000)) (i32.const -1)))) \
                     unreachable))";
/// One that calls itself for ever.
const DEEP: &str = "(module (memory (export \"memory\") 1) (func $f (call $f) (call $f)) \
                    (func (export \"_start\") (call $f)))";
/// What no guest may come to know.
const SECRET: &str = "the-secret-of-the-host";

/// Where they run.
pub struct Range {
    kernel: Kernel,
    folder: PathBuf,
    misbehave: Arc<Plugin>,
    /// Somebody listens there, and counts who comes.
    port: u16,
    came: Arc<AtomicUsize>,
}

/// How a guest ended, and what it printed.
struct Ran {
    reply: Result<Reply, Fault>,
    printed: String,
}

impl Ran {
    /// What is wrong unless one of these limits ended it.
    fn ended_by(&self, limits: &[&str]) -> Option<String> {
        match &self.reply {
            Err(Fault::Ended(Ended::Limit(hit))) if limits.contains(&&*hit.name) => None,
            other => Some(format!("{other:?}")),
        }
    }
}

impl Range {
    pub async fn new() -> Result<Self, Failure> {
        let name = format!("aos-host-attack-{}", uuid::Uuid::now_v7().simple());
        let folder = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(Failure::host)?;
        let inside = folder.join("inside");
        std::fs::create_dir(&inside).map_err(Failure::host)?;
        std::fs::write(folder.join("secret"), SECRET).map_err(Failure::host)?;
        symlink("../secret", inside.join("link")).map_err(Failure::host)?;
        std::fs::write(inside.join("closed"), SECRET).map_err(Failure::host)?;
        let kernel = Kernel::builder().build().await?;
        let misbehave = kernel.load("misbehave", MISBEHAVE).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::host)?;
        let port = listener.local_addr().map_err(Failure::host)?.port();
        let came = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&came);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(Self { kernel, folder, misbehave, port, came })
    }

    pub async fn leave(self) {
        let folder = self.folder.clone();
        if let Err(error) = self.kernel.leave().await {
            tracing::warn!("{error}");
        }
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!("{}: {error}", folder.display());
        }
    }

    /// Every attack, in order.
    pub async fn all(&self) -> Result<Vec<Outcome>, Failure> {
        let mut all = vec![
            self.files("a path that leads out of its folder", &["read ../secret", "list .."])
                .await?,
            self.files("a path from the root of the disk", &["read /etc/passwd"]).await?,
            self.files("a link that leads out of its folder", &["read link"]).await?,
            self.files("a closed path, and its other name", &["read closed", "link closed b"])
                .await?,
            self.files("writing where reading is granted", &["write new x", "remove link"]).await?,
        ];
        all.extend(self.network().await?);
        all.extend(self.names().await?);
        all.extend(self.limits().await?);
        all.push(self.stores().await?);
        all.push(self.journal().await?);
        all.push(self.supply()?);
        all.push(arguments());
        Ok(all)
    }

    async fn files(&self, attack: &'static str, steps: &[&str]) -> Result<Outcome, Failure> {
        let inside = self.folder.join("inside");
        let mut options = options(&[format!("read:{}:/w", inside.display())])?;
        options.denied_paths.push(inside.join("closed"));
        let words = [&["files", "/w"], steps].concat();
        let ran = self.run(&self.misbehave, options, &words).await?;
        let came_through = ran.printed.lines().find(|line| line.contains(": ok"));
        let told = ran.printed.contains(SECRET) || came_through.is_some();
        // A guest that could not even try is no attack.
        let tried = ran.printed.lines().count() == steps.len();
        let broken = (told || !tried).then(|| format!("{:?} {}", ran.reply, ran.printed));
        Ok(Outcome { attack, barrier: "gate: files", broken })
    }

    async fn network(&self) -> Result<Vec<Outcome>, Failure> {
        let barrier = "gate: network";
        let mut outcomes = Vec::new();
        let address = format!("127.0.0.1:{}", self.port);
        let url = format!("{address}/x");
        for (attack, words) in [
            ("an HTTP request without a grant", ["http", url.as_str()]),
            ("a TCP connection without a grant", ["tcp", address.as_str()]),
        ] {
            let before = self.came.load(Ordering::SeqCst);
            let ran = self.run(&self.misbehave, options(&[])?, &words).await?;
            // Whoever came has been counted by then.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let came = self.came.load(Ordering::SeqCst) - before;
            let broken = (came > 0).then(|| format!("{came} came; {}", ran.printed));
            outcomes.push(Outcome { attack, barrier, broken });
        }
        // Granted by name, and the name means an address of this machine.
        let granted = options(&[format!("net:http://localhost:{}", self.port ^ 1)])?;
        let before = self.came.load(Ordering::SeqCst);
        let url = format!("localhost:{}/x", self.port);
        let ran = self.run(&self.misbehave, granted, &["http", &url]).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let came = self.came.load(Ordering::SeqCst) - before;
        let broken = (came > 0).then_some(ran.printed);
        let attack = "another port than the one that is granted";
        outcomes.push(Outcome { attack, barrier, broken });
        Ok(outcomes)
    }

    async fn names(&self) -> Result<Vec<Outcome>, Failure> {
        let mut options = options(&[])?;
        options.environment.push(("KEY".into(), SECRET.into()));
        options.config.push(("key".into(), SECRET.into()));
        let mut outcomes = Vec::new();
        for (attack, words) in [
            ("a variable of the host's environment", ["env", "KEY"]),
            ("a configuration value without a grant", ["config", "key"]),
        ] {
            let ran = self.run(&self.misbehave, options.clone(), &words).await?;
            let broken = (ran.printed.contains(SECRET) || ran.reply.is_err())
                .then(|| format!("{:?} {}", ran.reply, ran.printed));
            outcomes.push(Outcome { attack, barrier: "gate: names", broken });
        }
        Ok(outcomes)
    }

    async fn limits(&self) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes = Vec::new();
        for (attack, text, limit) in [
            // On a busy machine its time is over before its share of the processor.
            ("computing for ever", SPIN, &["cpu", "time"][..]),
            ("memory without end", HOARD, &["memory"]),
            ("recursion without end", DEEP, &["stack"]),
        ] {
            let plugin = self.kernel.load("guest", text.as_bytes()).await?;
            let ran = self.run(&plugin, options(&[])?, &[]).await?;
            let broken = ran.ended_by(limit);
            outcomes.push(Outcome { attack, barrier: "limit", broken });
        }
        for (attack, words, limit) in [
            ("sleeping for ever", &["sleep"][..], "time"),
            ("handles without end", &["handles"], "handles"),
            ("random bytes by the gigabyte", &["random", "1000000000"], "random"),
        ] {
            let ran = self.run(&self.misbehave, options(&[])?, words).await?;
            outcomes.push(Outcome { attack, barrier: "limit", broken: ran.ended_by(&[limit]) });
        }
        Ok(outcomes)
    }

    /// Two plugins with a bucket of one name: each has its own.
    async fn stores(&self) -> Result<Outcome, Failure> {
        let grant = ["keyvalue:shared".to_owned()];
        let set = format!("set key {SECRET}");
        let words = ["keyvalue", "shared", set.as_str()];
        let wrote = self.run(&self.misbehave, options(&grant)?, &words).await?;
        let mut bytes = MISBEHAVE.to_vec();
        // A section that nobody reads: another component with the same code.
        bytes.extend_from_slice(&[0, 2, 1, b'x']);
        let other = self.kernel.load("misbehave", bytes).await?;
        let words = ["keyvalue", "shared", "get key"];
        let read = self.run(&other, options(&grant)?, &words).await?;
        let fooled = read.printed.contains(SECRET) || !wrote.printed.contains(": ok");
        let broken = fooled.then(|| format!("{} {}", wrote.printed, read.printed));
        let (attack, barrier) = ("another plugin's keys", "identity of plugins");
        Ok(Outcome { attack, barrier, broken })
    }

    /// What these runs wrote is exported, and each line of it changed once.
    async fn journal(&self) -> Result<Outcome, Failure> {
        self.kernel.sync().await?;
        let mut lines = Vec::new();
        export(&**self.kernel.storage(), Exported::All, &mut lines).await.map_err(Failure::host)?;
        let whole = verify_export(&lines[..], None::<&[u8]>).map_err(Failure::host)?;
        let text = String::from_utf8_lossy(&lines).into_owned();
        let mut unseen = (!whole.problems.is_empty()).then(|| "it does not verify".to_owned());
        for old in ["\"allowed\"", "\"denied\"", "\"/w", "\"accepted\""] {
            let changed = text.replacen(old, "\"xx", 1);
            if changed == text {
                continue;
            }
            // What is no export any more is found out too.
            let seen = verify_export(changed.as_bytes(), None::<&[u8]>)
                .map_or(true, |report| !report.problems.is_empty());
            if !seen {
                unseen = Some(format!("{old} was changed and nobody saw it"));
            }
        }
        let (attack, barrier) = ("a row of the journal, changed", "journal: hash chain");
        Ok(Outcome { attack, barrier, broken: unseen })
    }

    /// A plugin whose bytes were changed, and one with another's signature.
    fn supply(&self) -> Result<Outcome, Failure> {
        let folder: &Path = &self.folder;
        let mut lock = Lock::of(folder)?;
        let locked = |hash: String| Locked {
            name: "tool".into(),
            source: "doctor".into(),
            sha256: hash,
            signer: None,
        };
        lock.put(locked(sha256(b"what was added")));
        lock.write(folder)?;
        let changed = lock::check(folder, "tool", b"what came later").is_ok();
        let key = SigningKey::of(&[7; 32]).map_err(Failure::host)?;
        let signature = Signature::of(&key, b"what was signed");
        let forged = Trust::of(folder)?.check("tool", b"other bytes", Some(&signature)).is_ok();
        let broken = (changed || forged).then(|| format!("changed {changed}, forged {forged}"));
        let (attack, barrier) = ("a plugin's bytes, changed; a signature, moved", "plugins.lock");
        Ok(Outcome { attack, barrier, broken })
    }

    async fn run(
        &self,
        plugin: &Arc<Plugin>,
        mut options: SessionOptions,
        words: &[&str],
    ) -> Result<Ran, Failure> {
        let (stdout, printed) = Sink::memory();
        options.streams = Streams { stdin: Input::Empty, stdout, stderr: Sink::memory().0 };
        let session = self.kernel.session(Arc::clone(plugin), options)?;
        let arguments = words.iter().map(ToString::to_string).collect();
        let reply = self.kernel.submit(&session, Syscall::Run { arguments }).await;
        self.kernel.close_session(session, "ok").await?;
        let bytes = printed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Ok(Ran { reply, printed: String::from_utf8_lossy(&bytes).into_owned() })
    }
}

/// Small limits, so that each attack ends soon, and these grants.
fn options(grants: &[String]) -> Result<SessionOptions, Failure> {
    let parse = |text: &String| match text.parse::<Grant>() {
        Ok(grant) => Ok((grant, text.clone())),
        Err(error) => Err(Failure::host(error)),
    };
    Ok(SessionOptions {
        grants: grants.iter().map(parse).collect::<Result<_, _>>()?,
        limits: Limits {
            memory_bytes: 32 << 20,
            wall: Duration::from_secs(3),
            cpu: Duration::from_secs(1),
            ..Limits::default()
        },
        ..SessionOptions::default()
    })
}

/// Values that want to be flags, in every template of the catalogue that takes a text.
fn arguments() -> Outcome {
    const FLAGS: [&str; 5] = ["--output=/x", "-rf", "@/etc/passwd", "a\n--b", "--"];
    let mut broken = None;
    for entry in catalogue::entries() {
        for tool in entry.tools {
            for (name, value) in
                tool.parameters.keys().flat_map(|name| FLAGS.map(|value| (name, value)))
            {
                let of = &tool.parameters[name];
                // Where the manifest says that the program gives it no meaning, it is a value.
                if (of.lines && value.contains('\n')) || (of.at && value.starts_with('@')) {
                    continue;
                }
                let mut arguments: serde_json::Map<String, serde_json::Value> = tool
                    .parameters
                    .iter()
                    .filter(|(_, of)| of.required)
                    .map(|(name, of)| {
                        (name.clone(), if of.is_path() { "/w".into() } else { "x".into() })
                    })
                    .collect();
                arguments.insert(name.clone(), value.into());
                let Ok(filled) = tool.fill(&arguments) else { continue };
                let end = filled.words.iter().position(|word| word == "--");
                let flags = &filled.words[..end.unwrap_or(filled.words.len())];
                // Joined to its option it is a value; alone before `--` it would be a flag.
                if flags.iter().any(|word| word == value) {
                    broken = Some(format!("{} takes {name}={value:?}", tool.name));
                }
            }
        }
    }
    let (attack, barrier) = ("a flag as an argument of a container tool", "argument templates");
    Outcome { attack, barrier, broken }
}
