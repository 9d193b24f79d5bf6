//! One agent as the kernel keeps it: who it is, what it holds, where it stands, its mail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OnceCell};

use super::memory::Memory;
use super::past::Segment;
use super::player::Player;
use super::reason::Asked;
use super::tools::{Held, Offer};
use crate::capability::gate::Gate;
use crate::journal::Chain;
use crate::kernel::{Plugin, Session, SessionOptions};
use crate::model::Endpoint;
use crate::sandbox::agent::process::{Exit, Message};
use crate::sandbox::host::clock::AgentClock;
use crate::sandbox::host::random::AgentRandom;
use crate::sandbox::state::Turn;
use crate::scheduler::{Amounts, Exhausted, Limits, OwnerId, Priority};
use crate::types::{AgentUsage, Ending, Pid, Waiting};

/// One agent.
pub(in crate::kernel) struct Process {
    pub(super) pid: Pid,
    pub(super) name: String,
    pub(super) parent: Option<Pid>,
    /// The eldest ancestor: whose tree it is of.
    pub(super) root: Pid,
    /// Generations above it.
    pub(super) depth: u8,
    pub(super) owner: OwnerId,
    pub(super) weight: u16,
    pub(super) plugin: Arc<Plugin>,
    pub(super) task: String,
    pub(super) endpoint: Endpoint,
    pub(super) holdings: Holdings,
    pub(super) chain: Chain,
    pub(super) gate: Arc<Gate>,
    pub(super) memory: Mutex<Memory>,
    /// Held while something of its memory is written, so that writes come in their order. The bytes
    /// that it was counted to hold then.
    pub(super) keeping: tokio::sync::Mutex<u64>,
    pub(super) offers: OnceCell<Vec<Offer>>,
    /// Of its tools, one a plugin, opened when first needed.
    pub(super) sessions: Mutex<Vec<(String, Arc<Session>)>>,
    /// Told when something came into the inbox. The agent alone waits for it, one question at a
    /// time.
    pub(super) news: Notify,
    /// Told when it has ended.
    pub(super) exited: Notify,
    pub(super) began: Instant,
    /// Milliseconds that it lived under earlier hosts.
    pub(super) lived_before_ms: u64,
    pub(super) clock: AgentClock,
    pub(super) seed: [u8; 32],
    pub(super) random: AgentRandom,
    /// Whose budget it draws on besides its parent's: the agent that it was forked from.
    pub(super) draws_on: Option<Pid>,
    /// Its journal, while that is played back to it.
    pub(super) player: tokio::sync::Mutex<Option<Player>>,
    /// The rows of a journal that is still to be played back.
    pub(super) segments: Mutex<Option<Vec<Segment>>>,
    /// Its turns on the processor, from when it was handed to the executor.
    pub(super) turn: Mutex<Option<Arc<Turn>>>,
    state: Mutex<State>,
}

/// What an agent may use, and pass on to its children.
#[derive(Clone)]
pub struct Holdings {
    /// The plugins whose tools it may call.
    pub tools: Vec<Held>,
    /// Its pairs (plugin, grant), and the limits and environment of its tools.
    pub options: SessionOptions,
    /// What it and all below it may use together.
    pub budget: Limits,
    /// Its own limits on one request and on windows; what is left free is the host's usual.
    pub windows: Limits,
    /// CPU that it, its tools and its children may use together at most, in thousandths of one
    /// core; none is all.
    pub cpu_share_permille: Option<u16>,
    /// How it and its children remember.
    pub memory: super::MemoryOptions,
}

/// What changes while it lives.
pub(super) struct State {
    pub(super) priority: Priority,
    pub(super) waiting: Option<Waiting>,
    pub(super) paused: bool,
    pub(super) exhausted: Option<Exhausted>,
    pub(super) usage: AgentUsage,
    /// What the model's newest reply asked for.
    pub(super) asked: Asked,
    /// Replies of models that it had, in the life that counts: a restore leads back, and a fork
    /// begins with its source's.
    pub(super) replies: u64,
    /// Why somebody is ending it.
    pub(super) killed: Option<String>,
    pub(super) ending: Option<Ending>,
    pub(super) wall_ms: Option<u64>,
    /// Children that live, or whose end it was not told of.
    pub(super) children: Vec<Pid>,
    pub(super) messages: VecDeque<Message>,
    pub(super) exits: VecDeque<Exit>,
    /// Messages on their way into the mailbox.
    pub(super) incoming: usize,
    pub(super) incoming_bytes: usize,
    /// What children that are over used, with all below them.
    pub(super) children_used: Amounts,
    /// Why it stands still until a later host: its journal cannot be replayed.
    pub(super) stopped: Option<String>,
    /// Who waits until its instance is gone, to let it begin again.
    pub(super) suspended: Option<tokio::sync::oneshot::Sender<()>>,
}

/// What a process starts from.
pub(super) struct Birth {
    pub(super) pid: Pid,
    pub(super) name: String,
    pub(super) parent: Option<Pid>,
    pub(super) root: Pid,
    pub(super) depth: u8,
    pub(super) owner: OwnerId,
    pub(super) priority: Priority,
    pub(super) weight: u16,
    pub(super) plugin: Arc<Plugin>,
    pub(super) task: String,
    pub(super) endpoint: Endpoint,
    pub(super) holdings: Holdings,
    pub(super) chain: Chain,
    pub(super) gate: Arc<Gate>,
    pub(super) memory: Memory,
    pub(super) seed: [u8; 32],
    pub(super) clock: AgentClock,
    pub(super) lived_before_ms: u64,
    pub(super) draws_on: Option<Pid>,
}

impl Process {
    pub(super) fn new(birth: Birth) -> Self {
        let Birth { pid, name, parent, root, depth, owner, priority, weight, plugin, .. } = birth;
        let Birth { task, endpoint, holdings, chain, gate, memory, seed, clock, .. } = birth;
        let (lived_before_ms, draws_on) = (birth.lived_before_ms, birth.draws_on);
        Self {
            pid,
            name,
            parent,
            root,
            depth,
            owner,
            weight,
            plugin,
            task,
            endpoint,
            holdings,
            chain,
            gate,
            memory: Mutex::new(memory),
            keeping: tokio::sync::Mutex::default(),
            offers: OnceCell::new(),
            sessions: Mutex::default(),
            news: Notify::new(),
            exited: Notify::new(),
            began: Instant::now(),
            lived_before_ms,
            clock,
            seed,
            random: AgentRandom::of(seed),
            draws_on,
            player: tokio::sync::Mutex::default(),
            segments: Mutex::default(),
            turn: Mutex::default(),
            state: Mutex::new(State {
                priority,
                waiting: None,
                paused: false,
                exhausted: None,
                usage: AgentUsage::default(),
                asked: Asked::default(),
                replies: 0,
                killed: None,
                ending: None,
                wall_ms: None,
                children: Vec::new(),
                messages: VecDeque::new(),
                exits: VecDeque::new(),
                incoming: 0,
                incoming_bytes: 0,
                children_used: Amounts::default(),
                stopped: None,
                suspended: None,
            }),
        }
    }

    /// CPU time of its turns so far, in microseconds.
    pub(super) fn cpu_us(&self) -> u64 {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.as_ref().map_or(0, |turn| turn.cpu_us())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Whole after every statement: a panic elsewhere harms nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what it waits for until the guard is dropped.
    pub(super) fn waits_for(&self, what: Waiting) -> WaitGuard<'_> {
        self.state().waiting = Some(what);
        WaitGuard(self)
    }

    /// Lets go of what only a living agent needs. What it remembers was let go when it was written
    /// into the store.
    pub(super) fn let_go(&self) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut state = self.state();
        (state.messages, state.exits) = Default::default();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ending.is_some()
    }
}

/// Takes back what an agent waits for.
pub(super) struct WaitGuard<'a>(&'a Process);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.state().waiting = None;
    }
}
