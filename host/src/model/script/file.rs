//! The script's file: TOML, checked when it is read.
//!
//! ```toml
//! name = "bills"             # completions are named script/bills; else the file's name
//! window_tokens = 200_000    # optional, as output_tokens_max
//!
//! [[turn]]
//! agent = "Architect"        # optional: for agents of this name only
//! expect = "Sum"             # optional: must be in the last message of the user or a tool
//! delay_ms = 100             # optional
//! reasoning = "I look."      # optional
//! call = [{ tool = "files__read", arguments = { path = "/w/bills.json" } }]
//! usage = { input = 900, output = 40, cache_read = 800 }      # optional: else counted
//!
//! [[turn]]
//! fault = "429"              # or a list; happens before what the turn says, `times` times
//! retry_after_ms = 50
//! say = "The sum is {{last_result}}."   # also {{last_user}}, {{agent}}, {{turn}}
//! repeat = 3                 # optional: answers three calls alike
//! ```

use super::super::catalogue::{ModelFacts, Quirks};
use super::super::completion::Stop;
use http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Bounds of a script: bytes, turns, repeats of one, milliseconds of a delay.
const BYTES_MAX: u64 = 4 << 20;
const TURNS_MAX: usize = 10_000;
const REPEAT_MAX: u64 = 1_000_000;
const DELAY_MS_MAX: u64 = 3_600_000;
const FAULTS_MAX: usize = 1_000;

/// A script as it was read.
#[derive(Debug)]
pub(super) struct File {
    name: Option<String>,
    facts: ModelFacts,
    turns: Vec<Turn>,
    /// For each agent's name, and for all others under the empty name: where each turn ends,
    /// counted in calls, and which it is.
    orders: BTreeMap<String, Vec<(u64, usize)>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    window_tokens: Option<u64>,
    output_tokens_max: Option<u32>,
    #[serde(default)]
    turn: Vec<toml::Spanned<Turn>>,
}

/// What happens at one call, or at `repeat` calls alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    agent: Option<String>,
    pub(super) expect: Option<String>,
    #[serde(default)]
    pub(super) delay_ms: u64,
    pub(super) reasoning: Option<String>,
    pub(super) say: Option<String>,
    #[serde(default)]
    pub(super) call: Vec<Call>,
    #[serde(default, rename = "fault", deserialize_with = "one_or_more")]
    pub(super) faults: Vec<Fault>,
    #[serde(default = "one")]
    times: usize,
    pub(super) retry_after_ms: Option<u64>,
    #[serde(default = "one_call")]
    repeat: u64,
    pub(super) stop: Option<ScriptedStop>,
    pub(super) usage: Option<ScriptedUsage>,
}

/// A tool call. Arguments that are a text are what the model writes, JSON or not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) tool: String,
    #[serde(default = "no_arguments")]
    pub(super) arguments: Value,
    pub(super) id: Option<String>,
}

/// Tokens that a turn claims to take; what is not set is counted.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ScriptedUsage {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) reasoning: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
}

/// Why a scripted reply ends, where it is not plain.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ScriptedStop {
    EndTurn,
    ToolUse,
    MaxOutput,
    Refusal,
}

impl From<ScriptedStop> for Stop {
    fn from(stop: ScriptedStop) -> Self {
        match stop {
            ScriptedStop::EndTurn => Self::EndTurn,
            ScriptedStop::ToolUse => Self::ToolUse,
            ScriptedStop::MaxOutput => Self::MaxOutput,
            ScriptedStop::Refusal => Self::Refusal("scripted".to_owned()),
        }
    }
}

/// What goes wrong instead of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Status(StatusCode),
    Hang,
    Reset,
    Garbage,
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u16),
            Word(String),
        }
        let word = match Either::deserialize(from)? {
            Either::Number(number) => number.to_string(),
            Either::Word(word) => word,
        };
        match word.as_str() {
            "hang" => return Ok(Self::Hang),
            "reset" => return Ok(Self::Reset),
            "garbage" => return Ok(Self::Garbage),
            _ => {}
        }
        let status = word.parse().ok().filter(|code| (400..600).contains(code));
        let status = status.and_then(|code: u16| StatusCode::from_u16(code).ok());
        status.map(Self::Status).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{word}` is no fault: use hang, reset, garbage, or a status from 400 to 599"
            ))
        })
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Fault>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        More(Vec<Value>),
        One(Value),
    }
    let faults = match Either::deserialize(from)? {
        Either::One(one) => vec![one],
        Either::More(more) => more,
    };
    // Untagged errors say nothing; each fault's own error does.
    faults.into_iter().map(|f| Fault::deserialize(f).map_err(serde::de::Error::custom)).collect()
}

fn one() -> usize {
    1
}

fn one_call() -> u64 {
    1
}

fn no_arguments() -> Value {
    Value::Object(serde_json::Map::new())
}

impl Turn {
    /// Whether it says anything besides its faults.
    pub(super) fn answers(&self) -> bool {
        self.say.is_some() || !self.call.is_empty() || self.reasoning.is_some()
    }
}

impl File {
    /// Reads and checks it. The error is a sentence's end: which line, what, what would be right.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = read_bounded(path)?;
        Self::parse(&text)
    }

    /// Checks a script's text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            format!("line {line}: {}", error.message().replace('\n', " "))
        })?;
        if written.turn.len() > TURNS_MAX {
            return Err(format!("{} turns are more than {TURNS_MAX}", written.turn.len()));
        }
        let mut turns: Vec<Turn> = Vec::new();
        // Faults of a turn that says nothing happen before the next turn of the same agents.
        let mut ahead: BTreeMap<Option<String>, Vec<Fault>> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for spanned in written.turn {
            let line = line_of(text, spanned.span().start);
            let mut turn = spanned.into_inner();
            check(&turn).map_err(|reason| format!("line {line}: {reason}"))?;
            turn.faults = turn.faults.repeat(turn.times);
            if turn.faults.len() > FAULTS_MAX {
                return Err(format!("line {line}: more than {FAULTS_MAX} faults before one reply"));
            }
            let before = ahead.entry(turn.agent.clone()).or_default();
            if !turn.answers() {
                before.extend(&turn.faults);
                last.insert(turn.agent.clone(), turn);
                continue;
            }
            turn.faults.splice(0..0, std::mem::take(before));
            last.remove(&turn.agent);
            turns.push(turn);
        }
        for (agent, mut turn) in last {
            turn.faults = ahead.remove(&agent).unwrap_or_default();
            turns.push(turn);
        }
        if turns.is_empty() {
            return Err("it has no turn: add one as `[[turn]]` with `say = \"…\"`".to_owned());
        }
        let facts = ModelFacts::scripted(
            written.window_tokens.unwrap_or(200_000).max(1),
            written.output_tokens_max.unwrap_or(8_192).max(1),
            Quirks::default(),
        );
        let orders = orders(&turns);
        Ok(Self { name: written.name, facts, turns, orders })
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn facts(&self) -> ModelFacts {
        self.facts.clone()
    }

    /// The turn for an agent's call of this number, from 0.
    pub(super) fn turn(&self, agent: &str, number: u64) -> Result<&Turn, String> {
        let own = self.orders.get(agent).filter(|_| !agent.is_empty());
        let Some(order) = own.or_else(|| self.orders.get("")) else {
            return Err(format!("the script has no turn for an agent named `{agent}`"));
        };
        let place = order.partition_point(|(end, _)| *end <= number);
        match order.get(place) {
            Some((_, index)) => Ok(&self.turns[*index]),
            None => Err(format!(
                "the script ends after {} calls{}: add a [[turn]], or `repeat` to the last",
                order.last().map_or(0, |(end, _)| *end),
                if agent.is_empty() { String::new() } else { format!(" of agent `{agent}`") }
            )),
        }
    }
}

fn orders(turns: &[Turn]) -> BTreeMap<String, Vec<(u64, usize)>> {
    let mut orders: BTreeMap<String, Vec<(u64, usize)>> = BTreeMap::new();
    for (index, turn) in turns.iter().enumerate() {
        let order = orders.entry(turn.agent.clone().unwrap_or_default()).or_default();
        let before = order.last().map_or(0, |(end, _)| *end);
        order.push((before.saturating_add(turn.repeat), index));
    }
    orders
}

fn check(turn: &Turn) -> Result<(), String> {
    if !turn.answers() && turn.faults.is_empty() {
        return Err("the turn does nothing: add `say`, `call` or `fault`".to_owned());
    }
    if turn.agent.as_deref() == Some("") {
        return Err("`agent` is empty: leave it out for agents of any name".to_owned());
    }
    if !(1..=REPEAT_MAX).contains(&turn.repeat) || turn.times == 0 || turn.times > FAULTS_MAX {
        return Err(format!("`repeat` is 1 to {REPEAT_MAX} and `times` 1 to {FAULTS_MAX}"));
    }
    if turn.delay_ms > DELAY_MS_MAX {
        return Err(format!("delay_ms {} is over {DELAY_MS_MAX}, an hour", turn.delay_ms));
    }
    if turn.call.iter().any(|call| call.tool.is_empty()) {
        return Err("a call names no `tool`".to_owned());
    }
    Ok(())
}

fn read_bounded(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|error| format!("it cannot be read ({error})"))?;
    let mut text = String::new();
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| format!("it cannot be read ({error})"))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("it is larger than {BYTES_MAX} bytes"));
    }
    Ok(text)
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}
