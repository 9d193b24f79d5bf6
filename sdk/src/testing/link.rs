//! How an agent's thread reaches the kernel that runs it: what the generated bindings are in a
//! component. One request at a time; the thread sleeps until the answer comes.

use std::cell::RefCell;
use std::panic;
use std::sync::mpsc::{self, Sender};

use super::Progress;
use crate::agent::Part;
use crate::context::{self, Draft, Page, PageId, Recalled, Statistics};
use crate::model::{self, Completion, Embeddings, Message, Options};
use crate::process::{self, Ending, Event, Pid, Spawn, Wait};
use crate::toolbox::Invocation;
use crate::{Definition, Output, ToolError};

/// Where an answer goes.
pub(super) type Answer<T> = Sender<T>;
/// What comes of a call.
pub(super) type Called = Result<Output, ToolError>;

/// All that an agent can ask of a kernel, and how it ends.
pub(super) enum Request {
    Step(Options, Answer<Result<Completion, model::Error>>),
    Complete(Vec<Message>, Options, Answer<Result<Completion, model::Error>>),
    Embed(Vec<String>, Answer<Result<Embeddings, model::Error>>),
    Append(Draft, Answer<Result<PageId, context::Error>>),
    Read(PageId, Answer<Result<Vec<Part>, context::Error>>),
    Recall(String, u32, Answer<Result<Vec<Recalled>, context::Error>>),
    Pin(PageId, bool, Answer<Result<(), context::Error>>),
    Free(PageId, Answer<Result<(), context::Error>>),
    Pages(Answer<Vec<Page>>),
    Usage(Answer<Statistics>),
    Definitions(Answer<Vec<Definition>>),
    Call(Vec<Invocation>, Answer<Vec<Called>>),
    SelfPid(Answer<Pid>),
    Spawn(Spawn, Answer<Result<Pid, process::Error>>),
    Wait(Wait, Answer<Result<Option<Event>, process::Error>>),
    Kill(Pid, Answer<Result<(), process::Error>>),
    Send(Pid, String, Answer<Result<(), process::Error>>),
    Checkpoint(String, Option<Vec<u8>>, Answer<Result<String, process::Error>>),
    Progress(Progress),
    Log(String),
    Ended(Ending),
}

/// What the kernel's end of the requests carries.
pub(super) type Asked = (Pid, Request);

/// Thrown through an agent that the kernel ended.
pub(super) struct Killed;

struct Link {
    pid: Pid,
    kernel: Sender<Asked>,
}

thread_local! {
    static LINK: RefCell<Option<Link>> = const { RefCell::new(None) };
}

/// Makes this thread that of a process, until it ends.
pub(super) fn connect(pid: Pid, kernel: Sender<Asked>) {
    LINK.set(Some(Link { pid, kernel }));
}

/// Whether this thread is an agent's.
pub(super) fn pid() -> Option<Pid> {
    LINK.with_borrow(|link| link.as_ref().map(|link| link.pid))
}

/// Tells the kernel something that has no answer.
pub(super) fn tell(request: Request) {
    LINK.with_borrow(|link| {
        let link = link.as_ref().expect(
            "a test of an agent runs it under aos_sdk::testing::Kernel, which stands in for the \
             host",
        );
        // A kernel that has gone listens no more, and the test has ended with it.
        link.kernel.send((link.pid, request)).ok();
    });
}

fn ask<T>(request: impl FnOnce(Answer<T>) -> Request) -> T {
    let (answer, answered) = mpsc::channel();
    tell(request(answer));
    match answered.recv() {
        Ok(answer) => answer,
        // The kernel dropped the question: this process was ended while it waited.
        Err(_) => panic::resume_unwind(Box::new(Killed)),
    }
}

pub(crate) fn step(options: &Options) -> Result<Completion, model::Error> {
    ask(|answer| Request::Step(options.clone(), answer))
}

pub(crate) fn complete(
    messages: &[Message],
    options: &Options,
) -> Result<Completion, model::Error> {
    ask(|answer| Request::Complete(messages.to_vec(), options.clone(), answer))
}

pub(crate) fn embed(texts: &[&str]) -> Result<Embeddings, model::Error> {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    ask(|answer| Request::Embed(texts, answer))
}

pub(crate) fn append(draft: Draft) -> Result<PageId, context::Error> {
    ask(|answer| Request::Append(draft, answer))
}

pub(crate) fn read(id: PageId) -> Result<Vec<Part>, context::Error> {
    ask(|answer| Request::Read(id, answer))
}

pub(crate) fn recall(query: &str, tokens_max: u32) -> Result<Vec<Recalled>, context::Error> {
    ask(|answer| Request::Recall(query.to_owned(), tokens_max, answer))
}

pub(crate) fn pin(id: PageId, pinned: bool) -> Result<(), context::Error> {
    ask(|answer| Request::Pin(id, pinned, answer))
}

pub(crate) fn free(id: PageId) -> Result<(), context::Error> {
    ask(|answer| Request::Free(id, answer))
}

pub(crate) fn pages() -> Vec<Page> {
    ask(Request::Pages)
}

pub(crate) fn usage() -> Statistics {
    ask(Request::Usage)
}

pub(crate) fn definitions() -> Vec<Definition> {
    ask(Request::Definitions)
}

pub(crate) fn call(invocation: Invocation) -> Called {
    let mut outcomes = call_all(vec![invocation]);
    outcomes.pop().unwrap_or_else(|| Err(ToolError::failed("no result")))
}

pub(crate) fn call_all(invocations: Vec<Invocation>) -> Vec<Called> {
    ask(|answer| Request::Call(invocations, answer))
}

pub(crate) fn self_pid() -> Pid {
    ask(Request::SelfPid)
}

pub(crate) fn spawn(spawn: Spawn) -> Result<Pid, process::Error> {
    ask(|answer| Request::Spawn(spawn, answer))
}

pub(crate) fn wait(wait: Wait) -> Result<Option<Event>, process::Error> {
    ask(|answer| Request::Wait(wait, answer))
}

pub(crate) fn kill(child: Pid) -> Result<(), process::Error> {
    ask(|answer| Request::Kill(child, answer))
}

pub(crate) fn send(to: Pid, body: String) -> Result<(), process::Error> {
    ask(|answer| Request::Send(to, body, answer))
}

pub(crate) fn checkpoint(label: &str, state: Option<Vec<u8>>) -> Result<String, process::Error> {
    ask(|answer| Request::Checkpoint(label.to_owned(), state, answer))
}
