//! What each request gets.

use std::time::Duration;

use serde_json::Value;

use super::super::memory::tokens;
use super::super::table::{EventAnswer, Waiting};
use super::super::{Call, Prompt};
use super::{Due, Machine, Next};
use crate::agent::Part;
use crate::context::PageKind;
use crate::model::{self, Completion, Embeddings, Message, Options, Role, StopReason, Usage};
use crate::process::{self, Ending, Pid, Wait};
use crate::testing::Turn;
use crate::testing::link::{Answer, Called, Request};
use crate::toolbox::Invocation;
use crate::{Definition, ToolError};

/// What a prompt becomes, and when.
type Replied = (Result<Completion, model::Error>, Duration);

impl Machine {
    pub(super) fn handle(&mut self, pid: Pid, request: Request) -> Next {
        let at_once = Duration::ZERO;
        match request {
            Request::Step(options, answer) => {
                let (reply, after) = self.step(pid, options);
                self.answer(pid, after, answer, reply)
            }
            Request::Complete(messages, options, answer) => {
                let (reply, after) = self.complete(pid, messages, options);
                self.answer(pid, after, answer, reply)
            }
            Request::Embed(texts, answer) => self.answer(pid, at_once, answer, Ok(embed(&texts))),
            Request::Definitions(answer) => {
                let held = self.held(pid);
                self.answer(pid, at_once, answer, held)
            }
            Request::Call(invocations, answer) => self.call(pid, &invocations, answer),
            Request::SelfPid(answer) => self.answer(pid, at_once, answer, pid),
            Request::Spawn(spawn, answer) => {
                let spawned = self.spawn(pid, spawn);
                self.answer(pid, at_once, answer, spawned)
            }
            Request::Wait(wait, answer) => self.wait(pid, wait, answer),
            Request::Kill(child, answer) => {
                let killed = self.kill(pid, child);
                self.answer(pid, at_once, answer, killed)
            }
            Request::Send(to, body, answer) => {
                let sent = self.send(pid, to, body);
                self.answer(pid, at_once, answer, sent)
            }
            Request::Ended(ending) => {
                self.end(pid, ending);
                Next::Sleeps
            }
            other => self.handle_own(pid, other),
        }
    }

    /// What concerns the process alone.
    fn handle_own(&mut self, pid: Pid, request: Request) -> Next {
        let at_once = Duration::ZERO;
        let entry = self.table.entry(pid);
        let memory = &mut entry.memory;
        match request {
            Request::Append(draft, answer) => {
                let appended = memory.append(draft);
                self.answer(pid, at_once, answer, appended)
            }
            Request::Read(id, answer) => {
                let read = memory.read(id);
                self.answer(pid, at_once, answer, read)
            }
            Request::Recall(query, tokens_max, answer) => {
                let recalled = memory.recall(&query, tokens_max);
                self.answer(pid, at_once, answer, Ok(recalled))
            }
            Request::Pin(id, pinned, answer) => {
                let done = memory.pin(id, pinned);
                self.answer(pid, at_once, answer, done)
            }
            Request::Free(id, answer) => {
                let done = memory.free(id);
                self.answer(pid, at_once, answer, done)
            }
            Request::Pages(answer) => {
                let pages = memory.pages();
                self.answer(pid, at_once, answer, pages)
            }
            Request::Usage(answer) => {
                let usage = memory.usage();
                self.answer(pid, at_once, answer, usage)
            }
            Request::Checkpoint(label, state, answer) => {
                entry.checkpoints.push((label, state));
                let id = format!("{pid}-{}", entry.checkpoints.len());
                self.answer(pid, at_once, answer, Ok(id))
            }
            Request::Progress(progress) => {
                self.progress.push(progress);
                Next::Runs
            }
            Request::Log(line) => {
                self.logged.push(line);
                Next::Runs
            }
            _ => unreachable!("invariant: `handle` answers the others"),
        }
    }

    fn step(&mut self, pid: Pid, options: Options) -> Replied {
        let memory = &self.table.entry(pid).memory;
        if let Some(open) = memory.open_calls().first() {
            let message = format!("the tool call {open} has no result yet");
            return (Err(model::Error::InvalidRequest(message)), Duration::ZERO);
        }
        let pages = memory.rendered();
        let (reply, after) = self.infer(pid, pages, options);
        let reply = reply.and_then(|mut completion| {
            let appended = self.table.entry(pid).memory.append_reply(&completion.parts);
            let too_large = |error: crate::context::Error| model::Error::Other {
                kind: "context".to_owned(),
                message: error.to_string(),
            };
            completion.pages = appended.map_err(too_large)?;
            Ok(completion)
        });
        (reply, after)
    }

    fn complete(&mut self, pid: Pid, messages: Vec<Message>, options: Options) -> Replied {
        let kind = |role| match role {
            Role::System => PageKind::System,
            Role::User => PageKind::User,
            Role::Assistant => PageKind::Assistant,
        };
        let pages = messages.into_iter().map(|said| (kind(said.role), said.parts)).collect();
        self.infer(pid, pages, options)
    }

    fn infer(&mut self, pid: Pid, pages: Vec<(PageKind, Vec<Part>)>, options: Options) -> Replied {
        if pages.is_empty() {
            let message = "there is nothing to answer: append a page first";
            return (Err(model::Error::InvalidRequest(message.to_owned())), Duration::ZERO);
        }
        let mut tools: Vec<String> = self.held(pid).into_iter().map(|held| held.name).collect();
        if let Some(names) = &options.tools {
            tools.retain(|name| names.contains(name));
        }
        tools.extend(options.own_tools.iter().map(|own| own.name.clone()));
        let process = self.table.entry(pid).birth.name.clone();
        let prompt = Prompt { pid, process, pages, options, tools };
        let models = &mut self.kernel.models;
        let name = if models.contains_key(&prompt.process) { prompt.process.as_str() } else { "" };
        let reply = match models.get_mut(name) {
            Some(model) => model.answer(&prompt),
            None => Err(model::Error::Unavailable(format!(
                "the test gives {} no model: Kernel::model",
                prompt.process
            ))),
        };
        self.prompts.push(prompt);
        match reply {
            Ok(turn) => {
                let after = turn.after;
                (Ok(self.completion(turn)), after)
            }
            Err(error) => (Err(error), Duration::ZERO),
        }
    }

    fn completion(&mut self, turn: Turn) -> Completion {
        let read = self
            .prompts
            .last()
            .map(|prompt| prompt.pages.iter().map(|(_, parts)| u64::from(tokens(parts))).sum());
        let parts = turn.into_parts(|| format!("call-{}", self.count()));
        let (parts, stop) = parts;
        let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let by_parts = if has_calls { StopReason::ToolUse } else { StopReason::EndTurn };
        let usage = Usage {
            input_tokens: read.unwrap_or_default(),
            output_tokens: u64::from(tokens(&parts)),
            estimated: true,
            ..Usage::default()
        };
        Completion {
            model: "test/script".to_owned(),
            parts,
            stop: stop.unwrap_or(by_parts),
            usage,
            pages: Vec::new(),
        }
    }

    fn held(&mut self, pid: Pid) -> Vec<Definition> {
        let names = &self.table.entry(pid).birth.tools;
        let all = self.kernel.tools.definitions();
        all.into_iter().filter(|definition| names.contains(&definition.name)).collect()
    }

    /// All at once: the slowest says how long it takes.
    fn call(&mut self, pid: Pid, invocations: &[Invocation], answer: Answer<Vec<Called>>) -> Next {
        let held = self.table.entry(pid).birth.tools.clone();
        let mut slowest = Duration::ZERO;
        let mut outcomes = Vec::with_capacity(invocations.len());
        for invocation in invocations {
            if !held.contains(&invocation.name) {
                outcomes.push(Err(ToolError::UnknownTool(invocation.name.clone())));
                continue;
            }
            let arguments = serde_json::from_str(&invocation.arguments).unwrap_or(Value::Null);
            let name = invocation.name.clone();
            self.calls.push(Call { pid, name, arguments, at: self.now });
            let (outcome, time) = self.kernel.tools.call(invocation);
            slowest = slowest.max(time);
            outcomes.push(outcome);
        }
        self.answer(pid, slowest, answer, outcomes)
    }

    fn wait(&mut self, pid: Pid, wait: Wait, answer: EventAnswer) -> Next {
        let wrong = wait.children.iter().find(|child| !self.table.can_wait(**child, pid));
        if let Some(wrong) = wrong {
            let message = format!("{wrong} is no child to wait for");
            answer.send(Err(process::Error::NoSuchProcess(message))).ok();
            return Next::Runs;
        }
        let event = self.table.entry(pid).take_event(&wait);
        if event.is_some() || wait.timeout_ms == Some(0) {
            answer.send(Ok(event)).ok();
            return Next::Runs;
        }
        let number = self.count();
        if let Some(timeout_ms) = wait.timeout_ms {
            let at = self.now.saturating_add(Duration::from_millis(timeout_ms));
            self.at(at, pid, Due::TimeOut(number));
        }
        self.table.entry(pid).waiting = Some(Waiting { wait, answer, number });
        Next::Sleeps
    }

    fn kill(&mut self, pid: Pid, child: Pid) -> Result<(), process::Error> {
        if !self.table.is_child(child, pid) {
            return Err(process::Error::NoSuchProcess(format!("{child} is no child of {pid}")));
        }
        self.end(child, Ending::Killed(format!("by its parent, {pid}")));
        Ok(())
    }

    fn send(&mut self, sender: Pid, to: Pid, body: String) -> Result<(), process::Error> {
        let (number, messages_max) = (self.count(), self.kernel.mailbox_max);
        let gone = || process::Error::NoSuchProcess(to.to_string());
        let mailbox = &mut self.table.live(to).ok_or_else(gone)?.mailbox;
        if mailbox.len() >= messages_max as usize {
            return Err(process::Error::MailboxFull(messages_max));
        }
        mailbox.push_back((number, process::Message { sender, body }));
        self.deliver(to);
        Ok(())
    }
}

/// How often each letter is in a text: enough to tell texts apart, and the same every time.
fn embed(texts: &[String]) -> Embeddings {
    let vector = |text: &String| {
        let mut counts = vec![0.0; 26];
        for letter in text.to_lowercase().bytes().filter(u8::is_ascii_lowercase) {
            counts[usize::from(letter - b'a')] += 1.0;
        }
        counts
    };
    Embeddings { space: "test/letters".to_owned(), vectors: texts.iter().map(vector).collect() }
}
