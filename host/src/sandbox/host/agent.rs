//! `aos:agent` and `aos:tool/toolbox`: each import is one question to the desk above.

use wasmtime::component::{HasSelf, Linker};

use crate::sandbox::agent::{Answer, Ask, context, model, process, tool, toolbox, types};
use crate::sandbox::state::State;

/// Links what agents import beside WASI, and what a tool made of tools imports.
///
/// # Errors
/// When two interfaces claim one name: a mistake in this file.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    model::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    context::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    process::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    toolbox::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl State {
    fn ask(&self, ask: Ask) -> impl Future<Output = wasmtime::Result<Answer>> + Send + use<> {
        let desk = self.desk.clone();
        async move {
            let Some(desk) = desk else {
                return Err(wasmtime::Error::msg(format!("{} is for agents", ask.name())));
            };
            Ok(desk.ask(ask).await?)
        }
    }
}

/// Asks, and takes the one kind of answer that fits. Another kind is the host's own mistake.
macro_rules! ask {
    ($state:expr, $ask:expr, $kind:ident) => {{
        let ask = $ask;
        let name = ask.name();
        match $state.ask(ask).await? {
            Answer::$kind(value) => Ok(value),
            _ => Err(wasmtime::Error::msg(format!("{name} was answered with something else"))),
        }
    }};
}

impl types::Host for State {}

impl model::Host for State {
    async fn step(
        &mut self,
        options: model::Options,
    ) -> wasmtime::Result<Result<model::Completion, model::Error>> {
        ask!(self, Ask::Step(options), Completion)
    }

    async fn complete(
        &mut self,
        messages: Vec<model::Message>,
        options: model::Options,
    ) -> wasmtime::Result<Result<model::Completion, model::Error>> {
        ask!(self, Ask::Complete(messages, options), Completion)
    }

    async fn embed(
        &mut self,
        texts: Vec<String>,
    ) -> wasmtime::Result<Result<(String, Vec<Vec<f32>>), model::Error>> {
        ask!(self, Ask::Embed(texts), Vectors)
    }
}

impl context::Host for State {
    async fn append(
        &mut self,
        kind: context::PageKind,
        parts: Vec<types::Part>,
        importance: f32,
        label: Option<String>,
    ) -> wasmtime::Result<Result<u64, context::Error>> {
        ask!(self, Ask::Append(kind, parts, importance, label), Page)
    }

    async fn read(
        &mut self,
        id: u64,
    ) -> wasmtime::Result<Result<Vec<types::Part>, context::Error>> {
        ask!(self, Ask::Read(id), Parts)
    }

    async fn recall(
        &mut self,
        query: String,
        max_tokens: u32,
    ) -> wasmtime::Result<Result<Vec<(context::Page, String)>, context::Error>> {
        ask!(self, Ask::Recall(query, max_tokens), Recalled)
    }

    async fn pin(&mut self, id: u64, pinned: bool) -> wasmtime::Result<Result<(), context::Error>> {
        ask!(self, Ask::Pin(id, pinned), Changed)
    }

    async fn free(&mut self, id: u64) -> wasmtime::Result<Result<(), context::Error>> {
        ask!(self, Ask::Free(id), Changed)
    }

    async fn pages(&mut self) -> wasmtime::Result<Vec<context::Page>> {
        ask!(self, Ask::Pages, Pages)
    }

    async fn usage(&mut self) -> wasmtime::Result<context::Statistics> {
        ask!(self, Ask::Usage, Usage)
    }
}

impl process::Host for State {
    async fn self_pid(&mut self) -> wasmtime::Result<u64> {
        ask!(self, Ask::Pid, Pid)
    }

    async fn spawn(
        &mut self,
        options: process::SpawnOptions,
    ) -> wasmtime::Result<Result<u64, process::Error>> {
        ask!(self, Ask::Spawn(options), Spawned)
    }

    async fn wait(
        &mut self,
        children: Vec<u64>,
        messages: bool,
        timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Option<process::Event>, process::Error>> {
        ask!(self, Ask::Wait(children, messages, timeout_ms), Event)
    }

    async fn kill(&mut self, child: u64) -> wasmtime::Result<Result<(), process::Error>> {
        ask!(self, Ask::Kill(child), Sent)
    }

    async fn send(
        &mut self,
        to: u64,
        body: String,
    ) -> wasmtime::Result<Result<(), process::Error>> {
        ask!(self, Ask::Send(to, body), Sent)
    }

    async fn checkpoint(
        &mut self,
        label: String,
        state: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<String, process::Error>> {
        ask!(self, Ask::Checkpoint(label, state), Checkpoint)
    }
}

impl toolbox::Host for State {
    async fn definitions(&mut self) -> wasmtime::Result<Vec<tool::Definition>> {
        ask!(self, Ask::Definitions, Definitions)
    }

    async fn call(
        &mut self,
        invocation: toolbox::Invocation,
    ) -> wasmtime::Result<Result<tool::Output, tool::Error>> {
        ask!(self, Ask::Call(invocation), Called)
    }

    async fn call_all(
        &mut self,
        invocations: Vec<toolbox::Invocation>,
    ) -> wasmtime::Result<Vec<Result<tool::Output, tool::Error>>> {
        ask!(self, Ask::CallAll(invocations), CalledAll)
    }
}
