//! An agent's program run again against its journal: for people who want to see what it did, and
//! for nothing else. No effect is repeated, no row is written, no model is asked; each question is
//! compared with the one that was asked then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::agents::{Past, Played, Player};
use super::{Fault, Kernel};
use crate::capability::authority::Authority;
use crate::capability::gate::Gate;
use crate::journal::{Journal, JournalOptions, Opening, RowKind, chain_rows, read_body};
use crate::sandbox::Ended;
use crate::sandbox::agent::{Answering, Ask, Desk};
use crate::sandbox::host::clock::AgentClock;
use crate::sandbox::host::random::AgentRandom;
use crate::sandbox::limits::LimitName;
use crate::sandbox::state::{Ambient, Fate, Input, Setup};
use crate::sandbox::stdio::Sink;
use crate::storage::{ProcessRange, StoreUrl};
use crate::types::{CallId, Pid};

/// One question of a replay, with its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The row of the question.
    pub seq: i64,
    /// The import, as in `model.step`.
    pub name: &'static str,
    /// What was asked, as JSON.
    pub asked: Value,
    /// What was answered, as JSON.
    pub answer: Value,
}

/// How a replay ended. Each names how many questions were compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The program ended as its journal says.
    Ended(u64),
    /// The program stands where its journal ends.
    Live(u64),
    /// The row that was named was reached.
    Until(u64),
    /// The program asks for something else than its journal has, or ends otherwise: both sides.
    Diverged(u64, String),
}

/// A step on its way to whoever looks on; the replay goes on when it is answered.
pub type Shown = (Step, oneshot::Sender<()>);

/// What the desk keeps.
struct Playing {
    player: Player,
    compared: u64,
    stood: Option<Stood>,
}

/// Why the desk answered no more.
enum Stood {
    AtEnd,
    Until,
}

struct ReplayDesk {
    playing: tokio::sync::Mutex<Playing>,
    until: Option<i64>,
    show: mpsc::Sender<Shown>,
    diverged: Mutex<Option<String>>,
}

impl Kernel {
    /// Replays the journal of an agent, living or ended, up to its end or a row. Each step goes to
    /// `show` and waits for its answer there.
    ///
    /// # Errors
    /// When there is no such agent, its chain is damaged, or its program is not in the store.
    pub async fn replay(
        &self,
        pid: Pid,
        until: Option<i64>,
        show: mpsc::Sender<Shown>,
    ) -> Result<Replayed, Fault> {
        let store = self.storage();
        let record = store.processes(ProcessRange::Only(pid.0)).await?.into_iter().next();
        let record = record.ok_or_else(|| {
            Fault::Caller(format!("there is no agent {pid} in the store {}", store.name()))
        })?;
        let chain = <[u8; 16]>::try_from(&record.chain[..]).unwrap_or_default();
        let past = Past::read(store, chain).await?;
        let program = past.charter.program.clone();
        let hash = program.hash.parse().map_err(|_| {
            Fault::Caller(format!("the birth of agent {pid} names no program by its hash"))
        })?;
        let plugin = self.load(&program.name, read_body(&**store, hash).await?).await?;
        let clock = AgentClock::at(past.clock_ns);
        let random = AgentRandom::of(past.seed);
        let fate = Fate { clock: clock.clone(), random: random.clone(), seed: past.seed };
        let player = Player::of(Arc::clone(store), past.segments.clone(), clock, random).await?;
        let playing = Playing { player, compared: 0, stood: None };
        let desk = Arc::new(ReplayDesk {
            playing: tokio::sync::Mutex::new(playing),
            until,
            show,
            diverged: Mutex::default(),
        });
        let setup = setup_of(&past, fate, Arc::clone(&desk) as Arc<dyn Desk>).await?;
        let sandbox = self.parts.loading.sandbox();
        let finished = sandbox.agent(&plugin.program, setup, &past.charter.task).await;
        let playing = desk.playing.lock().await;
        let compared = playing.compared;
        let diverged = desk.diverged.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(both) = diverged {
            return Ok(Replayed::Diverged(compared, both));
        }
        match playing.stood {
            Some(Stood::Until) => return Ok(Replayed::Until(compared)),
            Some(Stood::AtEnd) => return Ok(Replayed::Live(compared)),
            None => {}
        }
        let now = match &finished.result {
            Ok(Ok(text)) => ("returned", text.clone()),
            Ok(Err(text)) => ("failed", text.clone()),
            // What a limit or a crash ended then ends so again.
            Err(ended) => ("", ended.to_string()),
        };
        self.compare_end(&past, compared, now, playing.player.has_ended()).await
    }

    /// Compares how the program ended with what its journal says.
    async fn compare_end(
        &self,
        past: &Past,
        compared: u64,
        (word, text): (&str, String),
        all: bool,
    ) -> Result<Replayed, Fault> {
        let diverged = |what: String| Ok(Replayed::Diverged(compared, what));
        if !all {
            return diverged(format!("its journal goes on, and now it ends: {word} {text}"));
        }
        let rows = past.history.rows();
        let chain = past.history.chain().number;
        let last = chain_rows(&**self.storage(), chain, rows.saturating_sub(2)).await?;
        let ends = |row: &&crate::storage::StoredRow| {
            row.capability == "agent"
                && [RowKind::Outcome.word(), RowKind::Fault.word()].contains(&&*row.kind)
        };
        let Some(end) = last.iter().find(ends) else {
            // It ended, and its host before that was written down.
            return Ok(Replayed::Live(compared));
        };
        let body: Value = serde_json::from_str(&end.body).unwrap_or_default();
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let same = body["ending"] == word && body["text_blake3"] == hash.as_str();
        // The sentence of a limit or a crash is the host's, which may be another version.
        if same || word.is_empty() {
            return Ok(Replayed::Ended(compared));
        }
        diverged(format!("its journal ends with {}, and now it {word} {text}", end.body))
    }
}

/// What the program starts from: as then, with a gate that lets nothing through.
async fn setup_of(past: &Past, fate: Fate, desk: Arc<dyn Desk>) -> Result<Setup, Fault> {
    // Nothing is asked of this gate; its rows would go nowhere.
    let nowhere = StoreUrl::Memory.open().await?;
    let journal = Journal::open(nowhere, JournalOptions::default()).await?;
    let chain = journal.chain(Opening {
        plugin: &past.charter.program.name,
        component: None,
        host_version: env!("CARGO_PKG_VERSION"),
        grants: &[],
    });
    let mut limits = past.charter.limits.clone();
    let rows = limits.hit(LimitName::Rows);
    let component = crate::types::ComponentHash([0; 32]);
    let authority = Arc::new(Authority::nothing());
    let gate = Gate::new(authority, chain, CallId::fresh(), component, rows);
    limits.wall = Duration::MAX;
    limits.cpu = Duration::MAX;
    Ok(Setup {
        gate: Arc::new(gate),
        limits,
        ambient: Ambient::default(),
        arguments: vec![past.charter.name.clone()],
        environment: Vec::new(),
        config: Vec::new(),
        secrets: Arc::default(),
        stdin: Input::Empty,
        stdout: Sink::Discard,
        stderr: Sink::Discard,
        progress: None,
        desk: Some(desk),
        fate: Some(fate),
        turn: None,
    })
}

impl Desk for ReplayDesk {
    fn ask(&self, ask: Ask) -> Answering<'_> {
        Box::pin(async move {
            let mut playing = self.playing.lock().await;
            let played = match playing.player.play(&ask).await {
                Ok(played) => played,
                Err(ended) => {
                    let mut told = self.diverged.lock().unwrap_or_else(PoisonError::into_inner);
                    *told = Some(match &ended {
                        Ended::Diverged(both) => both.clone(),
                        other => other.to_string(),
                    });
                    return Err(ended);
                }
            };
            let Played::Answer { answer, seq, .. } = played else {
                playing.stood = Some(Stood::AtEnd);
                return Err(Ended::Killed("its journal ends here".into()));
            };
            if self.until.is_some_and(|until| seq > until) {
                playing.stood = Some(Stood::Until);
                return Err(Ended::Killed("the row that was named is reached".into()));
            }
            playing.compared += 1;
            let json = |value: Result<Value, serde_json::Error>| value.unwrap_or_default();
            let step = Step {
                seq,
                name: ask.name(),
                asked: json(serde_json::to_value(&ask)),
                answer: json(serde_json::to_value(&answer)),
            };
            let (go_on, wait) = oneshot::channel();
            // Whoever looked on may be gone; then it goes on unseen.
            if self.show.send((step, go_on)).await.is_ok() {
                let _seen = wait.await;
            }
            Ok(answer)
        })
    }
}
