//! The loop of a tool-using agent: ask the model, call the tools it asks for, until it has done.
//!
//! What a model gets wrong (a tool that it was not offered, arguments that are no JSON) goes back
//! to it as the result of that call, so that it can do better. What only the host or its operator
//! can change ends the loop.

use serde_json::Value;

use super::{Error, Part, ToolCall, ToolResult};
use crate::context::{self, Draft, PageKind};
use crate::model::{self, Completion, Options, StopReason};
use crate::toolbox::{self, Invocation};
use crate::{Output, Plugin, Tool, ToolError};

/// Said to a model whose reply was cut at its length limit.
const GO_ON: &str = "Your reply was cut off. Go on exactly where it ends; repeat nothing.";
/// Said, once, to a model that ended its turn without a word.
const ANSWER: &str = "You ended without an answer. Say your final answer now.";

/// An agent that works on a task with a model and tools until the model has done.
///
/// ```no_run
/// use aos_sdk::agent::{Error, Loop};
///
/// fn run(task: String) -> Result<String, Error> {
///     Loop::new().system("You answer briefly.").tools(["files__read_file"]).run(&task)
/// }
/// ```
#[must_use = "nothing happens before `run`"]
pub struct Loop {
    system: Option<String>,
    turns_max: u32,
    options: Options,
    own: Plugin,
}

impl Default for Loop {
    fn default() -> Self {
        Self {
            system: None,
            turns_max: Self::TURNS_MAX,
            options: Options::new(),
            own: Plugin::new(),
        }
    }
}

impl Loop {
    /// Without [`turns_max`](Self::turns_max): more than a task of a few tools takes, and few
    /// enough that a model that goes in circles does not go on for long.
    pub const TURNS_MAX: u32 = 20;

    /// A loop with every tool the agent holds, its own model, and no system page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the context with this text, before the task.
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.system = Some(text.into());
        self
    }

    /// Asks the model so many times at most.
    pub fn turns_max(mut self, turns: u32) -> Self {
        self.turns_max = turns;
        self
    }

    /// Asks this model, as `provider/model`.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.options.model = Some(model.into());
        self
    }

    /// Offers these tools alone, named as `plugin__tool`.
    pub fn tools<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.options = self.options.tools(names);
        self
    }

    /// Offers one tool more, which this program itself answers: a function with `#[tool]`. It is
    /// called by its bare name.
    pub fn own_tool<T: Tool>(mut self) -> Self {
        self.options = self.options.own_tool::<T>();
        self.own = self.own.with::<T>();
        self
    }

    /// Asks with these options. Tools and model that were named before are replaced; own tools
    /// stay.
    pub fn options(mut self, options: Options) -> Self {
        let own_tools = std::mem::take(&mut self.options.own_tools);
        self.options = Options { own_tools, ..options };
        self
    }

    /// Begins the context with system and task, then goes on until the model has done; returns
    /// what it said last.
    ///
    /// # Errors
    /// Where the model cannot be asked, refuses, or still calls tools after the last turn, and
    /// where the context takes no more.
    pub fn run(self, task: &str) -> Result<String, Error> {
        if let Some(system) = &self.system {
            context::append(PageKind::System, system)?;
        }
        context::append(PageKind::Task, task)?;
        self.resume()
    }

    /// Goes on with the context as it is: after [`run`](Self::run) and a page more, or after a
    /// checkpoint.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn resume(self) -> Result<String, Error> {
        let mut answer = String::new();
        let mut was_asked_to_speak = false;
        for _ in 0..self.turns_max {
            let reply = model::step(&self.options)?;
            match self.judge(&reply)? {
                Next::Call => {
                    answer.clear();
                    self.answer_calls(&reply)?;
                }
                Next::GoOn => {
                    answer.push_str(&reply.text());
                    context::append(PageKind::User, GO_ON)?;
                }
                Next::Done => {
                    answer.push_str(&reply.text());
                    if !answer.trim().is_empty() {
                        return Ok(answer);
                    }
                    if was_asked_to_speak {
                        let reason = "it said nothing, and nothing again when asked for its answer";
                        return Err(Error::Stopped(reason.to_owned()));
                    }
                    was_asked_to_speak = true;
                    context::append(PageKind::User, ANSWER)?;
                }
            }
        }
        Err(Error::TurnsExhausted(self.turns_max))
    }

    /// Tool calls come first, whatever the stop reason: some providers end a turn that calls tools
    /// as any other, and a call without its result makes the context useless to most.
    fn judge(&self, reply: &Completion) -> Result<Next, Error> {
        let has_calls = reply.tool_calls().next().is_some();
        match &reply.stop {
            StopReason::Refusal(reason) => Err(Error::Refused(reason.clone())),
            StopReason::EndTurn
            | StopReason::ToolUse
            | StopReason::MaxOutput
            | StopReason::StopSequence(_)
            | StopReason::Other(_)
                if has_calls =>
            {
                Ok(Next::Call)
            }
            // Without a call, a turn for tools is a turn that ended.
            StopReason::EndTurn | StopReason::StopSequence(_) | StopReason::ToolUse => {
                Ok(Next::Done)
            }
            StopReason::MaxOutput if reply.text().is_empty() => {
                let reason = "its reply was cut at the length limit before it said a word; raise \
                              max_output_tokens";
                Err(Error::Stopped(reason.to_owned()))
            }
            StopReason::MaxOutput => Ok(Next::GoOn),
            StopReason::Other(reason) => Err(Error::Stopped(reason.clone())),
        }
    }

    /// Calls all tools of a turn at once, and appends one page a result, in the order of the calls.
    fn answer_calls(&self, reply: &Completion) -> Result<(), Error> {
        let offered = self.offered();
        let calls: Vec<&ToolCall> = reply.tool_calls().collect();
        let mut outcomes = Vec::with_capacity(calls.len());
        let mut invocations = Vec::new();
        for call in &calls {
            outcomes.push(match self.check(call, &offered) {
                Err(error) => Some(Err(error)),
                Ok(Checked::Own(arguments)) => Some(self.own.call(&call.name, &arguments)),
                Ok(Checked::Toolbox(arguments)) => {
                    let invocation = Invocation::new(&call.name, arguments).answering(&call.id);
                    invocations.push(invocation);
                    None
                }
            });
        }
        let mut called = match invocations.is_empty() {
            true => Vec::new(),
            false => toolbox::call_all(invocations),
        }
        .into_iter();
        for (call, outcome) in calls.iter().zip(outcomes) {
            let outcome = outcome
                .or_else(|| called.next())
                .unwrap_or_else(|| Err(ToolError::failed("the host gave no result for this call")));
            append_result(call, outcome)?;
        }
        Ok(())
    }

    /// The names of the toolbox that the model was offered. Own tools are looked up apart.
    fn offered(&self) -> Vec<String> {
        let held = toolbox::definitions().into_iter().map(|definition| definition.name);
        match &self.options.tools {
            None => held.collect(),
            Some(names) => held.filter(|name| names.contains(name)).collect(),
        }
    }

    fn check(&self, call: &ToolCall, offered: &[String]) -> Result<Checked, ToolError> {
        let is_own = self.options.own_tools.iter().any(|own| own.name == call.name);
        if !is_own && !offered.contains(&call.name) {
            return Err(ToolError::UnknownTool(call.name.clone()));
        }
        let arguments = object(&call.arguments)?;
        Ok(if is_own { Checked::Own(arguments) } else { Checked::Toolbox(arguments) })
    }
}

/// What a reply asks for.
enum Next {
    Call,
    GoOn,
    Done,
}

/// Whose tool it is, with arguments that are an object.
enum Checked {
    Own(String),
    Toolbox(String),
}

/// The arguments as the JSON text of an object. A model that has none to give may give no text.
fn object(arguments: &str) -> Result<String, ToolError> {
    if arguments.trim().is_empty() {
        return Ok("{}".to_owned());
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(_)) => Ok(arguments.to_owned()),
        Ok(_) => {
            let message = "the arguments must be a JSON object, as {\"name\": \"value\"}";
            Err(ToolError::InvalidArguments(message.to_owned()))
        }
        Err(error) => {
            Err(ToolError::InvalidArguments(format!("the arguments are no JSON: {error}")))
        }
    }
}

/// One page. A result that the context cannot take is told as such, and the agent goes on.
fn append_result(call: &ToolCall, outcome: Result<Output, ToolError>) -> Result<(), Error> {
    let page = |outcome| {
        let result = ToolResult { call_id: call.id.clone(), outcome };
        Draft::new(PageKind::ToolResult).part(Part::ToolResult(result)).label(&call.name).append()
    };
    match page(outcome) {
        Ok(_) => Ok(()),
        Err(context::Error::TooLarge(reason)) => {
            let message = format!("the result does not fit the context ({reason}): ask for less");
            page(Err(ToolError::failed(message)))?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
