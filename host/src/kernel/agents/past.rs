//! What an agent's chain says of it: read once from the first row to the last, each seal checked.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::charter::Charter;
use super::record::{AGENT, ASK, AnsweredRow, Note, Told, Took};
use crate::journal::{History, JournalError, RowKind, read_body};
use crate::sandbox::agent::process::{Ending as ChildEnding, Exit, Message};
use crate::scheduler::{Amounts, Limits, Priority, Scope};
use crate::storage::{Storage, StoredRow};
use crate::types::{AgentUsage, Pid};

/// Rows of a chain that count, one after the other; what was left by a restore is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct Segment {
    /// The number of the chain.
    pub(in crate::kernel) chain: i64,
    /// The first row.
    pub(in crate::kernel) from: i64,
    /// The last row.
    pub(in crate::kernel) until: i64,
    /// What random numbers come from after the segment before.
    pub(in crate::kernel) reseed: Option<[u8; 32]>,
}

/// A named point of an agent's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct Point {
    /// `PID.ROW`.
    pub(in crate::kernel) id: String,
    pub(in crate::kernel) seq: i64,
    pub(in crate::kernel) label: String,
    pub(in crate::kernel) time_us: i64,
    /// Whether it has the state that the agent handed over.
    pub(in crate::kernel) with_state: bool,
}

/// An agent as its chain has it.
pub(in crate::kernel) struct Past {
    /// At the end of the chain.
    pub(in crate::kernel) history: History,
    pub(in crate::kernel) pid: Pid,
    pub(in crate::kernel) parent: Option<Pid>,
    pub(in crate::kernel) charter: Charter,
    pub(in crate::kernel) seed: [u8; 32],
    /// What its clock showed first, in nanoseconds since the Unix epoch.
    pub(in crate::kernel) clock_ns: u64,
    pub(in crate::kernel) segments: Vec<Segment>,
    /// The agent that it was forked from.
    pub(in crate::kernel) source: Option<Pid>,
    prefix: Vec<Segment>,
    restored: Vec<(i64, i64)>,
    pub(in crate::kernel) paused: bool,
    pub(in crate::kernel) priority: Priority,
    pub(in crate::kernel) limits: Vec<(Scope, Limits)>,
    pub(in crate::kernel) usage: AgentUsage,
    /// Each charge of its own: when, in microseconds since the Unix epoch, and what.
    pub(in crate::kernel) charges: Vec<(i64, Amounts)>,
    /// The same of children that are over, with all below them.
    pub(in crate::kernel) children_charges: Vec<(i64, Amounts)>,
    /// Milliseconds that it was under a host.
    pub(in crate::kernel) lived_ms: u64,
    pub(in crate::kernel) children: Vec<Pid>,
    pub(in crate::kernel) messages: VecDeque<Message>,
    pub(in crate::kernel) exits: VecDeque<Exit>,
    pub(in crate::kernel) points: Vec<Point>,
    /// How it ended, where it did.
    pub(in crate::kernel) ending: Option<ChildEnding>,
    /// What it used in all, where it ended.
    pub(in crate::kernel) used_in_all: Option<AgentUsage>,
}

/// The row that an agent ends with, as far as it is read again.
#[derive(Deserialize)]
struct End {
    told: Told,
}

/// The row that an agent begins with, as far as it is read again.
#[derive(Deserialize)]
struct Birth {
    pid: u64,
    parent: Option<u64>,
    seed: String,
    clock: u64,
    charter: Told,
}

/// Where a fork begins.
struct Fork {
    chain: [u8; 16],
    seq: i64,
    seed: [u8; 32],
}

/// How many forks of forks are followed.
const FORKS_MAX: u32 = 64;

/// What the rows gave, before it is known which of them count.
#[derive(Default)]
struct Found {
    birth: Option<Birth>,
    forked: Option<Fork>,
    restored: Vec<(i64, i64)>,
    paused: bool,
    priority: Option<u8>,
    limits: Vec<(Scope, Limits)>,
    usage: AgentUsage,
    charges: Vec<(i64, Amounts)>,
    children_charges: Vec<(i64, Amounts)>,
    /// A model call that was sent and whose end is not written down, with what it set aside.
    open: Option<(i64, Amounts)>,
    born: Vec<(i64, u64)>,
    took: Vec<(i64, Took)>,
    messages: Vec<(u64, Told)>,
    exits: Vec<(u64, Told)>,
    points: Vec<Point>,
    end: Option<End>,
    used_in_all: Option<AgentUsage>,
    lived_us: i64,
    since_us: i64,
    last_us: i64,
    before_us: i64,
    reply_is_on_its_way: bool,
}

impl Past {
    /// Reads the chain with this id.
    ///
    /// # Errors
    /// When the store cannot be read, or the chain is damaged or none of an agent.
    pub(in crate::kernel) async fn read(
        store: &Arc<dyn Storage>,
        chain: [u8; 16],
    ) -> Result<Self, JournalError> {
        Self::read_at(store, chain, 0).await
    }

    async fn read_at(
        store: &Arc<dyn Storage>,
        chain: [u8; 16],
        forks: u32,
    ) -> Result<Self, JournalError> {
        let mut history = History::of(Arc::clone(store), chain).await?;
        let mut found = Found::default();
        while let Some(row) = history.next().await? {
            found.take(&row)?;
        }
        let number = history.chain().number;
        let no_agent = || JournalError::NoChain(format!("an agent: chain {number} is none"));
        // A call whose end was never written down is charged in full.
        found.charges.extend(found.open.take());
        let birth = found.birth.take().ok_or_else(no_agent)?;
        let charter: Charter = value_of(&**store, &birth.charter).await?;
        let seed: [u8; 32] = crate::storage::from_hex(&birth.seed).map_err(|_| no_agent())?;
        let (prefix, source, reseed) = found.source(store, forks).await?;
        let (restored, last) = (std::mem::take(&mut found.restored), history.rows() - 1);
        let segments = segments(&prefix, &restored, number, last, reseed);
        let counts = |seq: i64| {
            segments.iter().any(|s| s.chain == number && (s.from..=s.until).contains(&seq))
        };
        let (messages, exits) = found.inbox(&**store, &counts).await?;
        let born = found.born.iter().filter(|(seq, _)| counts(*seq)).map(|(_, pid)| Pid(*pid));
        let gone = |pid: &Pid| {
            let taken = Took::Exit(pid.0);
            found.took.iter().any(|(seq, took)| counts(*seq) && *took == taken)
        };
        let ending = match &found.end {
            Some(end) => Some(value_of(&**store, &end.told).await?),
            None => None,
        };
        let children = born.filter(|pid| !gone(pid)).collect();
        let priority = found.priority.and_then(Priority::new).unwrap_or(charter.priority);
        let lived_us = found.lived_us + found.last_us - found.since_us;
        Ok(Self {
            pid: Pid(birth.pid),
            parent: birth.parent.map(Pid),
            seed,
            clock_ns: birth.clock,
            paused: found.paused,
            priority,
            limits: found.limits,
            usage: found.usage,
            charges: found.charges,
            children_charges: found.children_charges,
            lived_ms: u64::try_from(lived_us / 1_000).unwrap_or(0),
            points: found.points,
            charter,
            segments,
            source,
            prefix,
            restored,
            children,
            messages,
            exits,
            ending,
            used_in_all: found.used_in_all,
            history,
        })
    }
}

impl Past {
    /// The rows that counted when this row of its chain was the last.
    fn segments_at(&self, last: i64) -> Vec<Segment> {
        let own = self.segments.iter().find(|own| own.chain == self.history.chain().number);
        let reseed = own.and_then(|own| own.reseed);
        segments(&self.prefix, &self.restored, self.history.chain().number, last, reseed)
    }
}

impl Found {
    fn take(&mut self, row: &StoredRow) -> Result<(), JournalError> {
        (self.before_us, self.last_us) = (self.last_us, row.time_us);
        if row.seq == 0 {
            self.since_us = row.time_us;
        }
        match (RowKind::from_word(&row.kind), &*row.capability) {
            (Some(RowKind::Accepted), AGENT) => self.birth = Some(serde_json::from_str(&row.body)?),
            (Some(RowKind::Accepted), "tool") => self.usage.tool_calls += 1,
            (Some(RowKind::Asked), "model") => {
                let body: Value = serde_json::from_str(&row.body)?;
                let reserved = serde_json::from_value(body["reserved"].clone())?;
                self.open = Some((row.time_us, reserved));
            }
            (Some(RowKind::Outcome), "model") => self.model_call(row)?,
            (Some(RowKind::Answered), ASK) => {
                let answered: AnsweredRow = serde_json::from_str(&row.body)?;
                self.took.extend(answered.took.map(|took| (row.seq, took)));
                self.born.extend(answered.born.map(|pid| (row.seq, pid)));
                if row.target.starts_with("model.") && self.reply_is_on_its_way {
                    // Vectors are no turn of its model.
                    self.usage.model_calls += u64::from(row.target != "model.embed");
                    self.reply_is_on_its_way = false;
                }
                if row.target == "process.checkpoint" {
                    self.checkpointed(row, &answered);
                }
            }
            (Some(RowKind::Outcome | RowKind::Fault), AGENT) => {
                self.end = Some(serde_json::from_str(&row.body)?);
            }
            (Some(RowKind::Closed), _) => {
                let body: Value = serde_json::from_str(&row.body)?;
                self.used_in_all = serde_json::from_value(body["usage"].clone()).ok();
            }
            (Some(RowKind::Noted), _) => self.note(row, serde_json::from_str(&row.body)?),
            _ => {}
        }
        Ok(())
    }

    fn checkpointed(&mut self, row: &StoredRow, answered: &AnsweredRow) {
        let value = answered.answer.as_ref().and_then(|told| told.value.as_ref());
        if let Some(id) = value.and_then(|value| value["Checkpoint"]["Ok"].as_str()) {
            let asked = answered.ask.as_ref().and_then(|told| told.value.as_ref());
            let label = asked.and_then(|value| value["Checkpoint"][0].as_str()).unwrap_or("");
            let with_state = asked.is_none_or(|value| !value["Checkpoint"][1].is_null());
            let (seq, time_us) = (row.seq, row.time_us);
            let (id, label) = (id.to_owned(), label.to_owned());
            self.points.push(Point { id, seq, label, time_us, with_state });
        }
    }

    /// A call that has ended: what it used.
    fn model_call(&mut self, row: &StoredRow) -> Result<(), JournalError> {
        let body: Value = serde_json::from_str(&row.body)?;
        if body["held"].as_bool() == Some(true) {
            // Its provider took nothing: it waits again, and nothing was charged.
            self.open = None;
            return Ok(());
        }
        let number = |name: &str| body["usage"][name].as_u64().unwrap_or(0);
        let (input, output) = (number("input_tokens"), number("output_tokens"));
        let (cached, cost) = (number("cache_read_tokens"), number("cost_microdollars"));
        let total = &mut self.usage;
        total.input_tokens = total.input_tokens.saturating_add(input);
        total.output_tokens = total.output_tokens.saturating_add(output);
        total.cache_read_tokens = total.cache_read_tokens.saturating_add(cached);
        total.cost_microdollars = total.cost_microdollars.saturating_add(cost);
        // A reply that never reached the agent is asked for again.
        self.reply_is_on_its_way = body["answered"].as_bool() == Some(true);
        self.open = None;
        // As the ledger charges: cache reads weigh a tenth, rounded up.
        let tokens = input.saturating_sub(cached) + cached.div_ceil(10) + output;
        self.charges.push((row.time_us, Amounts { tokens, calls: 1, microdollars: cost }));
        Ok(())
    }

    fn note(&mut self, row: &StoredRow, note: Note) {
        let seq = row.seq;
        match note {
            Note::Message { from, body } => self.messages.push((from, body)),
            Note::Exit { pid, ending, used } => {
                self.exits.push((pid, ending));
                self.children_charges.push((row.time_us, used));
            }
            Note::Paused => self.paused = true,
            Note::Resumed => self.paused = false,
            Note::Reniced { priority } => self.priority = Some(priority),
            Note::Limits { scope, limits } => {
                self.limits.retain(|(known, _)| *known != scope);
                self.limits.push((scope, limits));
            }
            Note::Checkpoint { label } => {
                let time_us = row.time_us;
                let pid = self.birth.as_ref().map_or(0, |birth| birth.pid);
                let id = format!("{pid}.{seq}");
                self.points.push(Point { id, seq, label, time_us, with_state: false });
            }
            Note::Restored { to } => self.restored.push((seq, to)),
            Note::Recovered => {
                self.reply_is_on_its_way = false;
                // A call that was under way when its host died is charged in full.
                if let Some((at, reserved)) = self.open.take() {
                    self.charges.push((at, reserved));
                }
                // From the last row of before to this one nobody ran it.
                self.lived_us += self.before_us - self.since_us;
                self.since_us = row.time_us;
            }
            Note::Forked { chain, seq, seed, .. } => {
                let chain = crate::storage::from_hex(&chain).ok();
                let seed = crate::storage::from_hex(&seed).ok();
                self.forked = chain.zip(seed).map(|(chain, seed)| Fork { chain, seq, seed });
            }
        }
    }

    /// Where a fork comes from: the rows before its own, whose they are, and its own seed.
    async fn source(
        &mut self,
        store: &Arc<dyn Storage>,
        forks: u32,
    ) -> Result<(Vec<Segment>, Option<Pid>, Option<[u8; 32]>), JournalError> {
        let Some(fork) = self.forked.take() else { return Ok((Vec::new(), None, None)) };
        if forks >= FORKS_MAX {
            return Err(JournalError::NoChain(format!("an agent: {forks} forks deep")));
        }
        let from = Box::pin(Past::read_at(store, fork.chain, forks + 1)).await?;
        Ok((from.segments_at(fork.seq), Some(from.pid), Some(fork.seed)))
    }

    /// What came into the inbox, less what was taken out of it.
    async fn inbox(
        &self,
        store: &dyn Storage,
        counts: &(dyn Fn(i64) -> bool + Sync),
    ) -> Result<(VecDeque<Message>, VecDeque<Exit>), JournalError> {
        let (mut messages, mut exits) = (VecDeque::new(), VecDeque::new());
        for (sender, body) in &self.messages {
            messages.push_back(Message { sender: *sender, body: value_of(store, body).await? });
        }
        for (pid, ending) in &self.exits {
            let ending: ChildEnding = value_of(store, ending).await?;
            exits.push_back(Exit { pid: *pid, ending });
        }
        for (_, took) in self.took.iter().filter(|(seq, _)| counts(*seq)) {
            match took {
                Took::Message => drop(messages.pop_front()),
                Took::Exit(pid) => exits.retain(|exit: &Exit| exit.pid != *pid),
            }
        }
        Ok((messages, exits))
    }
}

/// The rows that count: of the chain that this one was forked from, then of this one up to `last`.
fn segments(
    prefix: &[Segment],
    restored: &[(i64, i64)],
    chain: i64,
    last: i64,
    reseed: Option<[u8; 32]>,
) -> Vec<Segment> {
    let (mut found, mut end) = (Vec::new(), last);
    loop {
        let newest = restored.iter().rev().find(|(seq, _)| *seq <= end);
        let Some((seq, to)) = newest else {
            found.push(Segment { chain, from: 0, until: end, reseed });
            break;
        };
        found.push(Segment { chain, from: seq + 1, until: end, reseed: None });
        // A restore leads back, always.
        end = (*to).min(seq - 1);
    }
    found.extend(prefix.iter().rev());
    found.reverse();
    found
}

/// A value that a row tells of.
pub(in crate::kernel) async fn value_of<T: serde::de::DeserializeOwned>(
    store: &dyn Storage,
    told: &Told,
) -> Result<T, JournalError> {
    if let Some(value) = &told.value {
        return Ok(serde_json::from_value(value.clone())?);
    }
    let hash = told.digest().ok_or_else(|| JournalError::NoChain("a body".to_owned()))?;
    Ok(serde_json::from_slice(&read_body(store, hash).await?)?)
}
