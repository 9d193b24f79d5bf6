//! `aos:tool/toolbox`: the tools an agent holds, and one call of one of them.
//!
//! A call waits for its slot, then its guest is a task of the executor like the agent itself, as
//! urgent as the agent.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::oneshot;

use super::desk::AgentDesk;
use super::past::value_of;
use super::player::Open;
use super::process::Process;
use super::record::Told;
use super::{Agents, recall_tools};
use crate::capability::names::NameRequest;
use crate::kernel::executor::{Gone, Signal};
use crate::kernel::session::Origin;
use crate::kernel::{Fault, InTurn, Plugin, Session};
use crate::sandbox::Ended;
use crate::sandbox::agent::{tool, toolbox};
use crate::sandbox::plain::nearest;
use crate::scheduler::{Admission, Event, Limits, Misuse};
use crate::storage::apart;
use crate::types::{CallId, Definition, Output, Pid, ToolError, Waiting};

/// A plugin whose tools an agent may call.
#[derive(Clone)]
pub struct Held {
    /// The first part of its tools' names.
    pub alias: String,
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Its tools that may be called, by the names that models see; none is all.
    pub only: Option<Vec<String>>,
}

/// One tool as agents and models see it.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// `plugin__tool`, at most 64 characters.
    pub(super) name: String,
    pub(super) alias: String,
    tool: String,
    /// With `name` for its name.
    pub(super) definition: Definition,
}

/// What OpenAI and Anthropic take for a tool's name: `^[a-zA-Z0-9_-]{1,64}$`.
const NAME_CHARS_MAX: usize = 64;
/// Calls of one `call-all`; more is a loop gone wrong.
const CALLS_AT_ONCE_MAX: usize = 256;
/// Calls of one `call-all` that wait or run together; the scheduler refuses an agent more.
const CALLS_TOGETHER: usize = 32;
/// Tool guests are tasks beside the agents: their numbers are a call's, with this bit.
const TOOL_BIT: u64 = 1 << 63;

impl Agents {
    /// What the agent may call, asked of its plugins once.
    pub(super) async fn offers<'a>(&self, process: &'a Process) -> Result<&'a [Offer], Ended> {
        let all = process.offers.get_or_try_init(async || {
            let mut offers: Vec<Offer> = Vec::new();
            for held in &process.holdings.tools {
                let session = self.tool_session(process, held)?;
                let catalogue = self.kernel().catalogue(&session).await;
                let catalogue = catalogue.map_err(|fault| {
                    Ended::Host(format!("the tools of `{}` cannot be used: {fault}", held.alias))
                })?;
                for definition in catalogue.definitions() {
                    let name = unique(&offers, full_name(&held.alias, &definition.name));
                    if held.only.as_ref().is_some_and(|only| !only.contains(&name)) {
                        continue;
                    }
                    offers.push(Offer {
                        alias: held.alias.clone(),
                        tool: definition.name.clone(),
                        definition: Definition { name: name.clone(), ..definition.clone() },
                        name,
                    });
                }
            }
            for definition in recall_tools::definitions() {
                let (name, tool) = (definition.name.clone(), definition.name.clone());
                offers.push(Offer { alias: String::new(), tool, definition, name });
            }
            Ok::<_, Ended>(offers)
        });
        Ok(all.await?)
    }

    /// The session of one plugin on behalf of the agent, in the agent's own chain.
    fn tool_session(&self, process: &Process, held: &Held) -> Result<Arc<Session>, Ended> {
        let mut sessions =
            process.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, session)) = sessions.iter().find(|(alias, _)| *alias == held.alias) {
            return Ok(Arc::clone(session));
        }
        let mut options = process.holdings.options.clone();
        options.known_as = Some(held.alias.clone());
        // The same in every call of its life, and again when it is replayed.
        options.placeholder_seed = Some(process.seed);
        if held.plugin.program().manifest.is_none() {
            // It asks for nothing by itself: only what names it is for it.
            options.grants.retain(|(grant, _)| grant.plugin.is_some());
        }
        let opened = Session::open_in(process.chain.clone(), Arc::clone(&held.plugin), options);
        let session = Arc::new(opened.map_err(|fault| Ended::Host(fault.to_string()))?);
        sessions.push((held.alias.clone(), Arc::clone(&session)));
        Ok(session)
    }

    /// `call-all`: each is decided alone, and answered in the order asked.
    pub(super) async fn call_all(
        &self,
        desk: &AgentDesk,
        invocations: Vec<toolbox::Invocation>,
        open: &Open,
    ) -> Result<Vec<Result<tool::Output, tool::Error>>, Ended> {
        let process = &desk.process;
        let mut answers = Vec::with_capacity(invocations.len());
        let refused = invocations.len().saturating_sub(CALLS_AT_ONCE_MAX);
        let asked = invocations.into_iter().take(CALLS_AT_ONCE_MAX);
        let _waiting = process.waits_for(Waiting::Tool);
        let mut calls = futures::stream::iter((0_u32..).zip(asked))
            .map(|(member, invocation)| async move {
                let prior = open.member(member);
                if let Prior::Answered(told) = &prior {
                    let (store, told) = (Arc::clone(self.kernel().storage()), told.clone());
                    let answer = apart(async move { value_of(&*store, &told).await }).await;
                    return answer.map_err(|error| Ended::Diverged(error.to_string()));
                }
                let answer = self.call_tool(process, invocation, member, prior).await?;
                desk.write_member(member, &answer).await?;
                Ok(answer)
            })
            .buffered(CALLS_TOGETHER);
        while let Some(answer) = calls.next().await {
            answers.push(answer?);
        }
        answers.extend((0..refused).map(|_| Err(too_many().into())));
        Ok(answers)
    }

    /// `call`.
    pub(super) async fn call_tool(
        &self,
        process: &Arc<Process>,
        invocation: toolbox::Invocation,
        member: u32,
        prior: Prior,
    ) -> Result<Result<tool::Output, tool::Error>, Ended> {
        let id = match prior {
            Prior::None | Prior::Answered(_) => CallId::fresh(),
            Prior::Again(id) => id,
            Prior::Interrupted => {
                return Ok(Err(tool::Error::Interrupted(format!(
                    "the host ended while `{}` ran: whether it happened is not known, and it was \
                     not called again",
                    invocation.name
                ))));
            }
        };
        let offers = self.offers(process).await?;
        let Some(offer) = offers.iter().find(|offer| offer.name == invocation.name) else {
            return Ok(Err(unknown(&invocation.name, offers).into()));
        };
        let arguments = match arguments_of(&invocation.arguments) {
            Ok(arguments) => arguments,
            Err(error) => return Ok(Err(error.into())),
        };
        if offer.alias.is_empty()
            && let Some(answer) = self.call_memory(process, &offer.tool, &arguments).await?
        {
            return Ok(answer);
        }
        if let Some(denial) = self.let_through(process, NameRequest::tool(&offer.name)).await? {
            return Ok(Err(tool::Error::Denied(denial.into())));
        }
        let held = process.holdings.tools.iter().find(|held| held.alias == offer.alias);
        let held = held.ok_or_else(|| Ended::Host("a tool's plugin is gone".into()))?;
        let session = self.tool_session(process, held)?;
        let timeout = invocation.timeout_ms.map(Duration::from_millis);
        let asked_by = process.state().asked.row_of(&offer.name, &arguments);
        let origin = Some(Origin { id, member, asked_by });
        let how = InTurn { turn: None, timeout, origin };
        let answer = self.in_a_slot(process, session, &offer.tool, arguments, how).await?;
        process.state().usage.tool_calls += 1;
        match answer {
            Ok(output) => Ok(Ok(output.into())),
            Err(Fault::Tool(error)) => Ok(Err(error.into())),
            Err(Fault::Journal(error)) => Err(Ended::Journal(error.to_string())),
            Err(Fault::Ended(Ended::Limit(hit))) => Ok(Err(ToolError::Limit(hit).into())),
            Err(Fault::Ended(Ended::Journal(error))) => Err(Ended::Journal(error)),
            // A tool's crash is the tool's, and its caller reads of it.
            Err(fault) => Ok(Err(ToolError::Failed(fault.to_string()).into())),
        }
    }

    /// Waits for a slot, and has the executor run the tool in it.
    async fn in_a_slot(
        &self,
        process: &Arc<Process>,
        session: Arc<Session>,
        tool: &str,
        arguments: serde_json::Value,
        how: InTurn,
    ) -> Result<Result<Output, Fault>, Ended> {
        let mut call = self.executor().call();
        let ticket = call.ticket();
        self.tell(Event::ToolWanted { ticket, pid: process.pid })?;
        loop {
            match call.signal().await {
                Signal::Start(_) => break,
                Signal::Cut => {}
                Signal::Reject(why) => {
                    let refused = ToolError::Unavailable(why.to_string());
                    return Ok(Err(Fault::Tool(refused)));
                }
                Signal::Abort | Signal::Withdraw => {
                    return Err(Ended::Killed("the agent was ended".into()));
                }
            }
        }
        let pid = Pid(ticket.0 | TOOL_BIT);
        let ran = self.run_tool(process, pid, session, tool, arguments, how);
        let answer = tokio::select! {
            answer = ran => answer,
            signal = call.signal() => Err(Ended::Killed(format!("the call was ended: {signal:?}"))),
        };
        self.tell(Event::ToolEnded(ticket))?;
        answer
    }

    /// Runs a tool as a task of its own, which is ended when this future is dropped.
    async fn run_tool(
        &self,
        process: &Arc<Process>,
        pid: Pid,
        session: Arc<Session>,
        tool: &str,
        arguments: serde_json::Value,
        how: InTurn,
    ) -> Result<Result<Output, Fault>, Ended> {
        self.tell(Event::Admitted(Box::new(Admission {
            pid,
            parent: Some(process.pid),
            owner: process.owner,
            priority: process.state().priority,
            weight: 1,
            limits: Some(Limits::FREE),
            tree_limits: Limits::FREE,
            cpu_share_permille: process.holdings.cpu_share_permille,
        })))?;
        let turn = self.executor().turn();
        let (sender, answer) = oneshot::channel();
        let (kernel, tool) = (self.kernel(), tool.to_owned());
        let how = InTurn { turn: Some(Arc::clone(&turn)), ..how };
        let work = async move {
            let answer = kernel.call_in_turn(&session, &tool, &arguments, how).await;
            // Whoever asked may be gone.
            let _gone = sender.send(answer);
        };
        let guard = KillOnDrop { agents: self, pid };
        self.executor().run(pid, turn, work, |_how: Gone| {});
        let answer = answer.await;
        drop(guard);
        answer.map_err(|_| Ended::Killed("the tool was ended with its agent".into()))
    }

    /// Tells the scheduler what happened; an agent that it no longer knows is being ended.
    pub(super) fn tell(&self, event: Event) -> Result<(), Ended> {
        self.executor().step(event).map_err(|misuse: Misuse| Ended::Killed(misuse.to_string()))
    }
}

/// What is known of a call from before its host ended.
pub(super) enum Prior {
    /// It was not sent.
    None,
    /// It was sent, and may be sent again under its number.
    Again(CallId),
    /// It was sent, and may not be sent again.
    Interrupted,
    /// It was answered.
    Answered(Told),
}

impl Open {
    /// What is known of one call of the question.
    pub(super) fn member(&self, member: u32) -> Prior {
        let Some(known) = self.members.get(&member) else { return Prior::None };
        match (&known.answer, known.sent) {
            (Some(told), _) => Prior::Answered(told.clone()),
            (None, None) => Prior::None,
            (None, Some((id, true))) if !self.restored => Prior::Again(id),
            (None, Some(_)) => Prior::Interrupted,
        }
    }
}

/// The answer to each call beyond the last that one `call-all` may have.
pub(super) fn too_many() -> ToolError {
    ToolError::InvalidArguments(format!(
        "at most {CALLS_AT_ONCE_MAX} calls can be asked for at once"
    ))
}

struct KillOnDrop<'a> {
    agents: &'a Agents,
    pid: Pid,
}

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.agents.executor().kill(self.pid);
    }
}

/// `plugin__tool` in the letters that models take, cut to their length with a hash of the rest.
fn full_name(alias: &str, tool: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let bare = tool.split('@').next().unwrap_or(tool);
    let name = format!("{alias}__{bare}");
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let plain: String = name.chars().map(plain).collect();
    if plain.len() <= NAME_CHARS_MAX {
        return plain;
    }
    let kept: String = plain.chars().take(NAME_CHARS_MAX - 9).collect();
    format!("{kept}_{}", &hash[..8])
}

/// Two tools whose names fall together are told apart by a number.
fn unique(offers: &[Offer], name: String) -> String {
    let is_free = |name: &str| offers.iter().all(|offer| offer.name != name);
    if is_free(&name) {
        return name;
    }
    let kept: String = name.chars().take(NAME_CHARS_MAX - 5).collect();
    (2..10_000).map(|n| format!("{kept}_{n}")).find(|name| is_free(name)).unwrap_or(name)
}

fn unknown(name: &str, offers: &[Offer]) -> ToolError {
    let names = || offers.iter().map(|offer| offer.name.as_str());
    let proposal = match nearest(name, names()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; there are {}", names().take(50).collect::<Vec<_>>().join(", ")),
    };
    let name: String = name.chars().take(80).collect();
    ToolError::UnknownTool(format!("`{name}`{proposal}"))
}

/// A model writes arguments as text; nothing at all means no arguments.
pub(super) fn arguments_of(text: &str) -> Result<serde_json::Value, ToolError> {
    if text.trim().is_empty() {
        return Ok(serde_json::Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(value @ serde_json::Value::Object(_)) => Ok(value),
        Ok(_) => Err(ToolError::InvalidArguments("they must be a JSON object".into())),
        Err(error) => Err(ToolError::InvalidArguments(format!("they are not JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_models_take() {
        assert_eq!(full_name("files", "read_file"), "files__read_file");
        assert_eq!(full_name("case", "demo:text/case.upper"), "case__demo_text_case_upper");
        assert_eq!(full_name("x", "a:b/c@0.1.0"), "x__a_b_c");
        let long = full_name(&"p".repeat(60), &"t".repeat(40));
        assert_eq!(long.len(), NAME_CHARS_MAX);
        assert_ne!(long, full_name(&"p".repeat(60), &"t".repeat(41)));
    }

    #[test]
    fn arguments_are_an_object_or_told_what_they_are() {
        assert!(arguments_of("").expect("none").is_object());
        assert!(arguments_of("{\"a\":1}").expect("an object").is_object());
        for text in ["[1]", "{", "3"] {
            assert!(matches!(arguments_of(text), Err(ToolError::InvalidArguments(_))), "{text}");
        }
    }
}
