//! An agent runs natively, with a scripted model, fake tools, a context in memory and a process
//! table with virtual time in place of a host.
//!
//! ```
//! use aos_sdk::agent::{Error, Loop};
//! use aos_sdk::testing::{Kernel, Script, Turn};
//! use aos_sdk::{Output, agent};
//! use serde_json::json;
//!
//! fn run(task: String) -> Result<String, Error> {
//!     Loop::new().run(&task)
//! }
//! agent!(run);
//!
//! # fn main() {
//! let outcome = Kernel::new()
//!     .model(
//!         Script::new()
//!             .turn(Turn::call("weather__today", json!({ "city": "Oslo" })))
//!             .turn(Turn::say("Take an umbrella.")),
//!     )
//!     .tool("weather__today", |_| Ok(Output::text("rain")))
//!     .run(program, "Do I need an umbrella in Oslo?");
//! assert_eq!(outcome.text(), "Take an umbrella.");
//! assert_eq!(outcome.calls[0].arguments, json!({ "city": "Oslo" }));
//! # }
//! ```
//!
//! Processes are threads of which one runs at a time, the most urgent first, so a run is the same
//! every time. Nothing waits for real: model calls, tools and waits take virtual time. It keeps the
//! promises of `aos:agent` as far as an agent can see them; quotas, eviction and journal it has
//! none.

mod machine;
mod memory;
mod prompt;
mod table;
mod tools;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Host, Progress};
use crate::agent::Part;
use crate::context::Page;
use crate::process::{Ending, Pid};
use crate::{Output, Plugin, ToolError};

pub use prompt::{Model, Prompt};

/// What a process runs.
type Program = Arc<dyn Fn(String) -> Result<String, String> + Send + Sync>;

/// A call that an agent made.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Who made it.
    pub pid: Pid,
    /// Of which tool.
    pub name: String,
    /// The object; null where it was none.
    pub arguments: Value,
    /// Since the start of the run.
    pub at: Duration,
}

/// A process of the run, with all that is known of it at the end.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its number; the agent that the test started has 1.
    pub pid: Pid,
    /// As it was spawned; that of the first is `agent`.
    pub name: String,
    /// The program's name; none for that of the first agent.
    pub program: Option<String>,
    /// What its `run` got.
    pub task: String,
    /// Who spawned it; none for the first.
    pub parent: Option<Pid>,
    /// 0 to 100, lower runs first.
    pub priority: u8,
    /// Names of the tools that it holds.
    pub tools: Vec<String>,
    /// Its context, page by page.
    pub pages: Vec<(Page, Vec<Part>)>,
    /// Its checkpoints, with their state.
    pub checkpoints: Vec<(String, Option<Vec<u8>>)>,
    /// How it ended.
    pub ending: Ending,
    /// Since the start of the run.
    pub ended_at: Duration,
}

/// A run that ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How the first agent ended.
    pub ending: Ending,
    /// Virtual time from start to end.
    pub elapsed: Duration,
    /// Every process, in the order they were spawned.
    pub processes: Vec<Process>,
    /// What the models were asked, in order.
    pub prompts: Vec<Prompt>,
    /// The tool calls that reached a tool, in order.
    pub calls: Vec<Call>,
    /// What the agents logged, in order.
    pub logged: Vec<String>,
    /// What the agents told whoever watches, in order.
    pub progress: Vec<Progress>,
}

impl Outcome {
    /// What the first agent returned.
    ///
    /// # Panics
    /// Where it ended in another way, with that.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.ending {
            Ending::Returned(text) => text,
            other => panic!("the agent did not return: {other:?}"),
        }
    }

    /// The first agent's own error.
    ///
    /// # Panics
    /// Where it ended in another way, with that.
    #[must_use]
    pub fn error(&self) -> &str {
        match &self.ending {
            Ending::Failed(reason) => reason,
            other => panic!("the agent did not fail: {other:?}"),
        }
    }

    /// The process of this name.
    ///
    /// # Panics
    /// Where there was none.
    #[must_use]
    pub fn process(&self, name: &str) -> &Process {
        let found = self.processes.iter().find(|process| process.name == name);
        found.unwrap_or_else(|| panic!("there was no process named {name}"))
    }
}

/// A host's stand-in for agents. Everything is denied or empty that the test does not give.
pub struct Kernel {
    models: HashMap<String, Box<dyn Model>>,
    tools: tools::Tools,
    programs: HashMap<String, Program>,
    endings: HashMap<String, (Duration, Ending)>,
    mail: Vec<(Duration, String)>,
    priority: u8,
    grants: Vec<String>,
    window_tokens: u64,
    mailbox_max: u32,
    children_max: usize,
}

impl Default for Kernel {
    fn default() -> Self {
        Self {
            models: HashMap::new(),
            tools: tools::Tools::default(),
            programs: HashMap::new(),
            endings: HashMap::new(),
            mail: Vec::new(),
            priority: Self::PRIORITY,
            grants: Vec::new(),
            window_tokens: Self::WINDOW_TOKENS,
            mailbox_max: Self::MAILBOX_MAX,
            children_max: Self::CHILDREN_MAX,
        }
    }
}

impl Kernel {
    /// Of the first agent, without [`priority`](Self::priority): in the middle.
    pub const PRIORITY: u8 = 50;
    /// What a context holds, without [`window_tokens`](Self::window_tokens).
    pub const WINDOW_TOKENS: u64 = 200_000;
    /// Messages that a mailbox holds, without [`mailbox_max`](Self::mailbox_max).
    pub const MAILBOX_MAX: u32 = 100;
    /// Live children of one process: more than a test needs, fewer than a machine has threads.
    pub const CHILDREN_MAX: usize = 64;

    /// A kernel without model, tools and programs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every process thinks with this model: a [`Script`](super::Script), or a function of the
    /// [`Prompt`].
    #[must_use]
    pub fn model(self, model: impl Model + 'static) -> Self {
        self.model_for("", model)
    }

    /// The processes of this name think with this model.
    #[must_use]
    pub fn model_for(mut self, process: &str, model: impl Model + 'static) -> Self {
        self.models.insert(process.to_owned(), Box::new(model));
        self
    }

    /// A fake tool, named as `plugin__tool`: it gets the arguments and takes no time.
    #[must_use]
    pub fn tool(
        self,
        name: &str,
        answer: impl FnMut(Value) -> Result<Output, ToolError> + 'static,
    ) -> Self {
        self.tool_that_takes(Duration::ZERO, name, answer)
    }

    /// A fake tool that takes so much virtual time.
    #[must_use]
    pub fn tool_that_takes(
        mut self,
        time: Duration,
        name: &str,
        answer: impl FnMut(Value) -> Result<Output, ToolError> + 'static,
    ) -> Self {
        self.tools.add_fake(name, time, Box::new(answer));
        self
    }

    /// All tools of a plugin, as they are, under the grants of `host`.
    #[must_use]
    pub fn plugin(mut self, name: &str, plugin: Plugin, host: Host) -> Self {
        self.tools.add_plugin(name, plugin, host);
        self
    }

    /// An agent that can be spawned by this name. A closure will do.
    #[must_use]
    pub fn program(
        mut self,
        name: &str,
        run: impl Fn(String) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        self.programs.insert(name.to_owned(), Arc::new(run));
        self
    }

    /// A child that is spawned under this name runs nothing, and ends so after that time.
    #[must_use]
    pub fn child_ends(mut self, name: &str, after: Duration, ending: Ending) -> Self {
        self.endings.insert(name.to_owned(), (after, ending));
        self
    }

    /// The first agent gets this message from outside, from process 0, after that time.
    #[must_use]
    pub fn message_after(mut self, after: Duration, body: &str) -> Self {
        self.mail.push((after, body.to_owned()));
        self
    }

    /// Of the first agent: 0 to 100, lower is more urgent.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// What the first agent can pass on, as `read:/w`.
    #[must_use]
    pub fn grants<S: Into<String>>(mut self, grants: impl IntoIterator<Item = S>) -> Self {
        self.grants = grants.into_iter().map(Into::into).collect();
        self
    }

    /// What each context holds at most; a token is four bytes here.
    #[must_use]
    pub fn window_tokens(mut self, tokens: u64) -> Self {
        self.window_tokens = tokens;
        self
    }

    /// How many messages each mailbox holds at most.
    #[must_use]
    pub fn mailbox_max(mut self, messages: u32) -> Self {
        self.mailbox_max = messages;
        self
    }

    /// How many live children a process has at most.
    #[must_use]
    pub fn children_max(mut self, children: usize) -> Self {
        self.children_max = children;
        self
    }

    /// Runs an agent, such as the `program` that `agent!` makes, to its end. Children that still
    /// live then are ended.
    pub fn run(
        self,
        program: impl Fn(String) -> Result<String, String> + Send + Sync + 'static,
        task: &str,
    ) -> Outcome {
        machine::Machine::new(self, Arc::new(program)).run(task)
    }
}
