//! What an agent may ask of the host above the sandbox, as one closed list of questions and
//! answers: what enters an agent is an [`Answer`], so whoever keeps the answers can play them
//! again.
//!
//! The sandbox carries them; what they mean is the kernel's business.

mod words;

use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::sandbox::Ended;
use crate::sandbox::host::bindings::agent::aos;
/// The words of tools, shared by both worlds.
pub use crate::sandbox::host::bindings::aos::tool::types as tool;
pub use aos::agent::{context, model, process, types};
pub use aos::tool::toolbox;

/// One import of the agent world, with its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    /// `model.step`.
    Step(model::Options),
    /// `model.complete`.
    Complete(Vec<model::Message>, model::Options),
    /// `model.embed`.
    Embed(Vec<String>),
    /// `context.append`: kind, parts, importance, label.
    Append(context::PageKind, Vec<types::Part>, f32, Option<String>),
    /// `context.read`.
    Read(u64),
    /// `context.recall`: query, most tokens.
    Recall(String, u32),
    /// `context.pin`.
    Pin(u64, bool),
    /// `context.free`.
    Free(u64),
    /// `context.pages`.
    Pages,
    /// `context.usage`.
    Usage,
    /// `process.self-pid`.
    Pid,
    /// `process.spawn`.
    Spawn(process::SpawnOptions),
    /// `process.wait`: children, messages too, milliseconds.
    Wait(Vec<u64>, bool, Option<u64>),
    /// `process.kill`.
    Kill(u64),
    /// `process.send`.
    Send(u64, String),
    /// `process.checkpoint`.
    Checkpoint(String, Option<Vec<u8>>),
    /// `toolbox.definitions`.
    Definitions,
    /// `toolbox.call`.
    Call(toolbox::Invocation),
    /// `toolbox.call-all`.
    CallAll(Vec<toolbox::Invocation>),
}

impl Ask {
    /// The import's name, as in `model.step`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Step(_) => "model.step",
            Self::Complete(..) => "model.complete",
            Self::Embed(_) => "model.embed",
            Self::Append(..) => "context.append",
            Self::Read(_) => "context.read",
            Self::Recall(..) => "context.recall",
            Self::Pin(..) => "context.pin",
            Self::Free(_) => "context.free",
            Self::Pages => "context.pages",
            Self::Usage => "context.usage",
            Self::Pid => "process.self-pid",
            Self::Spawn(_) => "process.spawn",
            Self::Wait(..) => "process.wait",
            Self::Kill(_) => "process.kill",
            Self::Send(..) => "process.send",
            Self::Checkpoint(..) => "process.checkpoint",
            Self::Definitions => "toolbox.definitions",
            Self::Call(_) => "toolbox.call",
            Self::CallAll(_) => "toolbox.call-all",
        }
    }
}

/// What came back; each [`Ask`] has one kind of answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To `model.step` and `model.complete`.
    Completion(Result<model::Completion, model::Error>),
    /// To `model.embed`.
    Vectors(Result<(String, Vec<Vec<f32>>), model::Error>),
    /// To `context.append`.
    Page(Result<u64, context::Error>),
    /// To `context.read`.
    Parts(Result<Vec<types::Part>, context::Error>),
    /// To `context.recall`.
    Recalled(Result<Vec<(context::Page, String)>, context::Error>),
    /// To `context.pin` and `context.free`.
    Changed(Result<(), context::Error>),
    /// To `context.pages`.
    Pages(Vec<context::Page>),
    /// To `context.usage`.
    Usage(context::Statistics),
    /// To `process.self-pid`.
    Pid(u64),
    /// To `process.spawn`.
    Spawned(Result<u64, process::Error>),
    /// To `process.wait`.
    Event(Result<Option<process::Event>, process::Error>),
    /// To `process.kill` and `process.send`.
    Sent(Result<(), process::Error>),
    /// To `process.checkpoint`.
    Checkpoint(Result<String, process::Error>),
    /// To `toolbox.definitions`.
    Definitions(Vec<tool::Definition>),
    /// To `toolbox.call`.
    Called(Result<tool::Output, tool::Error>),
    /// To `toolbox.call-all`, in the order asked.
    CalledAll(Vec<Result<tool::Output, tool::Error>>),
}

/// An answer on its way; an error ends the agent with that reason.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Ended>> + Send + 'a>>;

/// Who answers: the kernel, one desk an agent.
pub trait Desk: Send + Sync {
    /// Answers one question. An agent has one question open at a time.
    fn ask(&self, ask: Ask) -> Answering<'_>;
}
