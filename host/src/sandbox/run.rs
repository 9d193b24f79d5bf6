//! One run: a fresh store, an instance, a call, and how it ended.

use std::sync::Arc;

use serde_json::Value;
use wasmtime::Store;
use wasmtime::Trap;
use wasmtime::component::{ComponentExportIndex, ResourceTableError};
use wasmtime_wasi::I32Exit;

use crate::journal::JournalError;
use crate::sandbox::host::bindings::Tool;
use crate::sandbox::limits::{LimitName, Limits};
use crate::sandbox::meter::Meter;
use crate::sandbox::plain::{self, Outcome, PlainError};
use crate::sandbox::program::{Entry, Kind, Program, one_line};
use crate::sandbox::state::{Setup, State, new_store};
use crate::sandbox::{Sandbox, tool};
use crate::types::{Definition, LimitHit, Output, ToolError, Usage};

/// Why a run ended without an answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Ended {
    /// A limit was reached.
    #[error("{0}")]
    Limit(LimitHit),
    /// The guest trapped: its own fault, and its own end.
    #[error("the program crashed: {0}")]
    Trapped(String),
    /// The guest answered what its interface does not allow.
    #[error("{0}")]
    BadAnswer(String),
    /// The journal could not be written, so the run was stopped.
    #[error("{0}")]
    Journal(String),
    /// Somebody ended it: who, and why.
    #[error("{0}")]
    Killed(String),
    /// What it asks is not what its journal has: both sides.
    #[error("its journal cannot be replayed: {0}")]
    Diverged(String),
    /// The host could not start it.
    #[error("the host could not run it: {0}")]
    Host(String),
}

/// An answer or an end, and what it took.
#[derive(Debug)]
pub struct Finished<T> {
    /// How it ended.
    pub result: Result<T, Ended>,
    /// What it used.
    pub usage: Usage,
    /// The limit at which the guest was refused something and went on: its own word for it is not
    /// enough.
    pub refused: Option<LimitHit>,
}

impl<T> Finished<T> {
    /// An end without a run.
    pub(crate) fn at_once(result: Result<T, Ended>) -> Self {
        Self { result, usage: Usage::default(), refused: None }
    }
}

impl Sandbox {
    /// The tools of a program, as it describes them itself: in the section that its build wrote,
    /// or else when it is asked.
    pub async fn definitions(&self, program: &Program, setup: Setup) -> Finished<Vec<Definition>> {
        if let Some(written) = &program.definitions {
            return Finished::at_once(Ok(written.clone()));
        }
        match &program.kind {
            Kind::Tool(_) => {
                self.run(program, setup, async |_, store| {
                    let tool = tool(program, store).await?;
                    let tools = tool.aos_tool_tools();
                    let found = tools.call_definitions(&mut *store).await?;
                    Ok(tool::definitions(found).map_err(Ended::BadAnswer))
                })
                .await
            }
            Kind::Plain(exports) => Finished::at_once(Ok(tool::plain_definitions(exports))),
            Kind::Agent(_) | Kind::Command(_) => Finished::at_once(Ok(Vec::new())),
        }
    }

    /// Calls one tool in a fresh instance. `arguments` is a JSON object that fits its schema,
    /// `text` the same as JSON text.
    pub async fn call(
        &self,
        program: &Program,
        setup: Setup,
        name: &str,
        arguments: &Value,
        text: &str,
    ) -> Finished<Result<Output, ToolError>> {
        match &program.kind {
            Kind::Tool(_) => {
                self.run(program, setup, async |limits, store| {
                    let tool = tool(program, store).await?;
                    let tools = tool.aos_tool_tools();
                    let answer = tools.call_call(&mut *store, name, text).await?;
                    Ok(tool::answer(answer, limits))
                })
                .await
            }
            Kind::Plain(exports) => {
                self.run(program, setup, async |limits, store| {
                    plain_call(program, exports, limits, store, name, arguments).await
                })
                .await
            }
            Kind::Agent(_) | Kind::Command(_) => {
                Finished::at_once(Err(Ended::BadAnswer("it has no tools".into())))
            }
        }
    }

    /// Runs a command to its exit code.
    pub async fn command(&self, program: &Program, setup: Setup) -> Finished<i32> {
        let Kind::Command(entry) = &program.kind else {
            let refused = Ended::BadAnswer("it is no command".into());
            return Finished::at_once(Err(refused));
        };
        self.run(program, setup, async |_, store| {
            let ran = match entry {
                Entry::P2(command) => {
                    let command = command.instantiate_async(&mut *store).await?;
                    command.wasi_cli_run().call_run(&mut *store).await
                }
                Entry::P3(run) => run_to_its_end(program, *run, store).await,
            };
            let exit = match ran {
                Ok(Ok(())) => 0,
                Ok(Err(())) => 1,
                Err(error) => match error.downcast_ref::<I32Exit>() {
                    Some(exit) => exit.0,
                    None => return Err(error),
                },
            };
            Ok(Ok(exit))
        })
        .await
    }

    /// Runs an agent to its own answer, or its own error. Its setup carries the desk.
    pub async fn agent(
        &self,
        program: &Program,
        setup: Setup,
        task: &str,
    ) -> Finished<Result<String, String>> {
        let Kind::Agent(agent) = &program.kind else {
            return Finished::at_once(Err(Ended::BadAnswer("it is no agent".into())));
        };
        self.run(program, setup, async |limits, store| {
            let agent = agent.instantiate_async(&mut *store).await?;
            let answer = agent.aos_agent_program().call_run(&mut *store, task).await?;
            let bytes = answer.as_ref().map_or_else(String::len, String::len) as u64;
            if bytes > limits.output_bytes {
                return Ok(Err(Ended::Limit(limits.hit(LimitName::Output))));
            }
            Ok(Ok(answer))
        })
        .await
    }

    /// The frame of every run: meter, store, wall time, and the reason of its end.
    async fn run<T>(
        &self,
        program: &Program,
        setup: Setup,
        body: impl AsyncFnOnce(&Limits, &mut Store<State>) -> wasmtime::Result<Result<T, Ended>>,
    ) -> Finished<T> {
        let meter = Meter::start();
        let limits = setup.limits.clone();
        let identity = Arc::clone(&program.identity);
        let mut store = new_store(program.pre.engine(), &self.services, setup, identity, &meter);
        let timed = {
            let running = std::pin::pin!(body(&limits, &mut store));
            tokio::time::timeout(limits.wall, meter.measure(running)).await
        };
        let result = match timed {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(ended(&error, store.data(), &limits)),
            Err(_) => Err(Ended::Limit(limits.hit(LimitName::Wall))),
        };
        let refused = store.data().memory.refused().then(|| limits.hit(LimitName::Memory));
        Finished { result, usage: usage(&meter, store.data()), refused }
    }
}

async fn tool(program: &Program, store: &mut Store<State>) -> wasmtime::Result<Tool> {
    match &program.kind {
        Kind::Tool(tool) => tool.instantiate_async(store).await,
        Kind::Agent(_) | Kind::Command(_) | Kind::Plain(_) => {
            Err(wasmtime::Error::msg("no tool plugin"))
        }
    }
}

/// Runs a command of WASI 0.3. What it has begun and not waited for is part of it, so that its
/// last line is printed.
async fn run_to_its_end(
    program: &Program,
    run: ComponentExportIndex,
    store: &mut Store<State>,
) -> wasmtime::Result<Result<(), ()>> {
    let instance = program.pre.instantiate_async(&mut *store).await?;
    let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, run)?;
    let (ended,) = run.call_async(&mut *store, ()).await?;
    let rest = store.run_concurrent(async |store| {
        std::future::poll_fn(|context| store.poll_no_interesting_tasks(context)).await;
    });
    rest.await?;
    Ok(ended)
}

/// Calls an export of a plain component, and before it the calls that make its handles.
async fn plain_call(
    program: &Program,
    exports: &plain::Exports,
    limits: &Limits,
    store: &mut Store<State>,
    name: &str,
    arguments: &Value,
) -> wasmtime::Result<Result<Result<Output, ToolError>, Ended>> {
    let bounds = plain::Limits {
        output_bytes_max: usize::try_from(limits.output_bytes).unwrap_or(usize::MAX),
        ..plain::Limits::default()
    };
    let export = match exports.resolve(name) {
        Ok(export) => export,
        Err(unknown) => return Ok(Ok(Err(ToolError::UnknownTool(unknown.to_string())))),
    };
    let mut run = match exports.plan(export, arguments, &bounds) {
        Ok(plan) => plan.start(),
        Err(error) => return Ok(plain_error(error, limits)),
    };
    let instance = program.pre.instantiate_async(&mut *store).await?;
    while let Some(mut call) = run.next_call() {
        let function = instance
            .get_func(&mut *store, call.export.index)
            .ok_or_else(|| wasmtime::Error::msg("an export is gone"))?;
        function.call_async(&mut *store, &call.arguments, &mut call.results).await?;
        match run.answer(call.results) {
            Ok(None) => {}
            Ok(Some(Outcome::Returned(value))) => {
                return Ok(Ok(Ok(Output { content: Vec::new(), structured: Some(value) })));
            }
            Ok(Some(Outcome::Failed(value))) => {
                let text = match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                return Ok(Ok(Err(ToolError::Failed(text))));
            }
            Err(error) => return Ok(plain_error(error, limits)),
        }
    }
    Ok(Err(Ended::Host("a call ended without an outcome".into())))
}

fn plain_error<T>(error: PlainError, limits: &Limits) -> Result<Result<T, ToolError>, Ended> {
    match error {
        PlainError::Argument { .. } => Ok(Err(ToolError::InvalidArguments(error.to_string()))),
        PlainError::NotCallable { .. } => Ok(Err(ToolError::InvalidArguments(error.to_string()))),
        PlainError::Nested { .. } => Ok(Err(ToolError::Failed(error.to_string()))),
        PlainError::Limit { limit: plain::LimitName::OutputBytes, .. } => {
            Err(Ended::Limit(limits.hit(LimitName::Output)))
        }
        PlainError::Limit { .. } => Ok(Err(ToolError::InvalidArguments(error.to_string()))),
        PlainError::Mismatch { .. } => Err(Ended::Host(error.to_string())),
    }
}

fn usage(meter: &Arc<Meter>, state: &State) -> Usage {
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Usage {
        wall_us: micros(meter.wall()),
        cpu_us: micros(meter.cpu()),
        memory_bytes: state.memory.bytes_peak(),
    }
}

/// Texts by which the engine's errors are known that have no public type.
const HANDLES_TEXT: &str = "store handle limit exceeded";
const HOSTCALL_TEXT: &str = "fuel allocated for hostcalls has been exhausted";
const RANDOM_TEXT: &str = "exceeds limit";
const FIELDS_TEXT: &str = "total size of fields exceeds limit";

/// Which limit, or what else, ended a guest.
fn ended(error: &wasmtime::Error, state: &State, limits: &Limits) -> Ended {
    let hit = |name| Ended::Limit(limits.hit(name));
    if let Some(ended) = error.downcast_ref::<Ended>() {
        return ended.clone();
    }
    if let Some(limit) = error.downcast_ref::<LimitHit>() {
        return Ended::Limit(limit.clone());
    }
    if let Some(journal) = error.downcast_ref::<JournalError>() {
        return Ended::Journal(journal.to_string());
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return hit(LimitName::Handles);
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref() {
        return hit(LimitName::Stack);
    }
    let text = one_line(error);
    if text.contains(HOSTCALL_TEXT) {
        return hit(LimitName::HostCall);
    }
    if text.contains(HANDLES_TEXT) {
        return hit(state.guest_handles);
    }
    if text.contains(FIELDS_TEXT) {
        return hit(LimitName::HttpFields);
    }
    if text.contains("requested len") && text.contains(RANDOM_TEXT) {
        return hit(LimitName::Random);
    }
    // Something was refused and the guest gave up: the refusal is the reason, the trap its form.
    if state.memory.refused() {
        return hit(LimitName::Memory);
    }
    if let Some(limit) = state.memory.slot_full().or_else(|| state.gate.limit()) {
        return Ended::Limit(limit);
    }
    Ended::Trapped(trap_text(error))
}

/// What went wrong, without the addresses of the guest's stack.
fn trap_text(error: &wasmtime::Error) -> String {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return format!("it exited with code {} instead of answering", exit.0);
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => {
            let root = error.root_cause().to_string();
            root.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    }
}
