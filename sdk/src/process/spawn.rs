//! A child to start.

use std::time::Duration;

use super::{Error, Pid, host};

/// What a child may take. None in a field leaves it to the parent's own budget, which always holds
/// as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Input and output of its models.
    pub tokens: Option<u64>,
    /// Model calls.
    pub calls: Option<u64>,
    /// Millionths of a US dollar.
    pub microdollars: Option<u64>,
    /// From start to end, in milliseconds.
    pub wall_ms: Option<u64>,
    /// Of the program, not of its context.
    pub memory_bytes: Option<u64>,
}

/// A child to start: its name and task, and what it gets of what the parent holds. A child never
/// holds more than its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing starts before `start`"]
pub struct Spawn {
    /// For people, and for lists of processes.
    pub name: String,
    /// An installed agent plugin; none for the parent's own program.
    pub program: Option<String>,
    /// What the child's `run` gets.
    pub task: String,
    /// 0 to 100, lower runs first; none for the parent's.
    pub priority: Option<u8>,
    /// `provider/model`; none for the parent's.
    pub model: Option<String>,
    /// Names of tools to pass on; none passes all.
    pub tools: Option<Vec<String>>,
    /// Grants to pass on, as `read:/w`; none passes all.
    pub grants: Option<Vec<String>>,
    /// What it may take.
    pub budget: Budget,
}

impl Spawn {
    /// A child that runs the parent's own program with all that the parent holds.
    pub fn new(name: impl Into<String>, task: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            program: None,
            task: task.into(),
            priority: None,
            model: None,
            tools: None,
            grants: None,
            budget: Budget::default(),
        }
    }

    /// Runs this agent plugin.
    pub fn program(mut self, name: impl Into<String>) -> Self {
        self.program = Some(name.into());
        self
    }

    /// 0 to 100, lower runs first; never more urgent than the parent.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Thinks with this model, as `provider/model`.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Passes on these tools alone, named as `plugin__tool`.
    pub fn tools<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.tools = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Passes on these grants alone, as `read:/w`.
    pub fn grants<S: Into<String>>(mut self, grants: impl IntoIterator<Item = S>) -> Self {
        self.grants = Some(grants.into_iter().map(Into::into).collect());
        self
    }

    /// So many tokens at most.
    pub fn tokens(mut self, tokens: u64) -> Self {
        self.budget.tokens = Some(tokens);
        self
    }

    /// So many model calls at most.
    pub fn calls(mut self, calls: u64) -> Self {
        self.budget.calls = Some(calls);
        self
    }

    /// So many millionths of a US dollar at most.
    pub fn microdollars(mut self, microdollars: u64) -> Self {
        self.budget.microdollars = Some(microdollars);
        self
    }

    /// So long at most, from start to end.
    pub fn wall_time(mut self, time: Duration) -> Self {
        self.budget.wall_ms = Some(crate::call::milliseconds(time));
        self
    }

    /// So much memory at most.
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.budget.memory_bytes = Some(bytes);
        self
    }

    /// Starts the child.
    ///
    /// # Errors
    /// Where the program is not there, a bound is reached, or the parent lacks what it passes on.
    pub fn start(self) -> Result<Pid, Error> {
        host::spawn(self)
    }
}
