//! `aos:agent/process`: children and mail, and what an agent may do with them.

use std::sync::Arc;
use std::time::Duration;

use super::birth::Newborn;
use super::process::{Holdings, Process};
use super::record::{Note, Told};
use super::tools::Offer;
use super::{Agents, Spawn, SpawnError};
use crate::capability::gate::Refusal;
use crate::capability::grant::{Capability, Grant};
use crate::capability::names::NameRequest;
use crate::journal::{Class, Group, JournalError, PackedBody, Row};
use crate::sandbox::Ended;
use crate::sandbox::agent::process::{self as wit, Error, Event, Exit, Message, SpawnOptions};
use crate::scheduler::{Limits, Priority};
use crate::types::{Denial, Ending, MissingIn, Pid, Waiting};

impl Agents {
    /// `spawn`: a child with no more than its parent has.
    pub(super) async fn ask_spawn(
        &self,
        parent: &Arc<Process>,
        wanted: SpawnOptions,
    ) -> Result<Result<Box<Newborn>, Error>, Ended> {
        let own = &parent.plugin.program().name;
        let program = wanted.program.clone().unwrap_or_else(|| own.clone());
        if let Some(error) = self.let_through(parent, NameRequest::spawn(&program)).await? {
            return Ok(Err(Error::Denied(error.into())));
        }
        let plugin = match wanted.program {
            None => Arc::clone(&parent.plugin),
            Some(_) => match self.program(&program).await {
                Ok(plugin) => plugin,
                Err(sentence) => return Ok(Err(Error::NoSuchProgram(sentence))),
            },
        };
        let endpoint = match &wanted.model {
            None => parent.endpoint.clone(),
            Some(name) => {
                if let Some(error) = self.let_through(parent, NameRequest::model(name)).await? {
                    return Ok(Err(Error::Denied(error.into())));
                }
                match self.models().resolve(Some(name)) {
                    Ok(endpoint) => endpoint,
                    Err(error) => return Ok(Err(Error::NoSuchProgram(error.to_string()))),
                }
            }
        };
        let (holdings, priority) = match self.shrunk(parent, &wanted).await? {
            Ok(less) => less,
            Err(error) => return Ok(Err(error)),
        };
        let SpawnOptions { name, task, .. } = wanted;
        let (owner, weight, context_tokens) = (parent.owner, parent.weight, None);
        let spawn = Spawn {
            name,
            plugin,
            task,
            owner,
            priority,
            weight,
            endpoint,
            holdings,
            context_tokens,
            remembers: None,
        };
        match self.conceive(Some(parent), spawn).await {
            Ok(newborn) => Ok(Ok(Box::new(newborn))),
            Err(SpawnError::Journal(error)) => Err(Ended::Journal(error)),
            Err(SpawnError::Limit(hit)) => Ok(Err(Error::LimitExceeded(hit.into()))),
            Err(SpawnError::Window { tokens, sentence }) => {
                Ok(Err(Error::LimitExceeded(wit::Limit {
                    name: "context-budget".into(),
                    value: tokens,
                    unit: "tokens".into(),
                    opens_in_ms: None,
                    remedy: sentence,
                })))
            }
            Err(SpawnError::Refused(sentence)) => Ok(Err(Error::NoSuchProgram(sentence))),
        }
    }

    /// What a child may hold, once it is known which tools its parent may call.
    async fn shrunk(
        &self,
        parent: &Process,
        wanted: &SpawnOptions,
    ) -> Result<Result<(Holdings, Priority), Error>, Ended> {
        let offers = match wanted.tools {
            Some(_) => self.offers(parent).await?,
            None => &[],
        };
        Ok(shrunk(parent, offers, wanted))
    }

    /// The verdict on a name, journaled; the denial where it is no.
    pub(super) async fn let_through(
        &self,
        process: &Process,
        request: NameRequest<'_>,
    ) -> Result<Option<Denial>, Ended> {
        let allowed = async |permit: crate::capability::gate::Permit<&str>| {
            permit.spend();
            Ok::<_, std::convert::Infallible>(())
        };
        match process.gate.perform(request, allowed).await {
            Ok(()) => Ok(None),
            Err(Refusal::Denied(denial)) => Ok(Some(denial)),
            Err(Refusal::Journal(error)) => Err(Ended::Journal(error.to_string())),
            Err(Refusal::Limit(limit)) => Err(Ended::Limit(limit)),
            Err(Refusal::Effect(never)) => match never {},
        }
    }

    /// `wait`: the first of a child's end, a message, the time.
    pub(super) async fn ask_wait(
        &self,
        process: &Arc<Process>,
        children: Vec<u64>,
        messages: bool,
        timeout_ms: Option<u64>,
        asked_ns: u64,
    ) -> Result<Option<Event>, Error> {
        let own: Vec<Pid> = process.state().children.clone();
        if let Some(stranger) = children.iter().find(|child| !own.contains(&Pid(**child))) {
            return Err(Error::NoSuchProcess(format!("{stranger} is no child of this agent")));
        }
        if children.is_empty() && !messages && timeout_ms.is_none() {
            let nothing = "it would wait for nothing: name a child, messages or a time";
            return Err(Error::NoSuchProcess(nothing.into()));
        }
        let what = match (children.is_empty(), messages) {
            (false, _) => Waiting::Child,
            (true, true) => Waiting::Message,
            (true, false) => Waiting::Time,
        };
        let _waiting = process.waits_for(what);
        let came = async {
            loop {
                let news = process.news.notified();
                if let Some(event) = taken(process, &children, messages) {
                    return event;
                }
                news.await;
            }
        };
        let Some(ms) = timeout_ms else { return Ok(Some(came.await)) };
        // One that was asked under an earlier host keeps its deadline.
        let waited_ns = match asked_ns {
            0 => 0,
            asked => process.clock.stamp().saturating_sub(asked),
        };
        let left = Duration::from_millis(ms).saturating_sub(Duration::from_nanos(waited_ns));
        Ok(tokio::time::timeout(left, came).await.ok())
    }

    /// `kill`: a child and all below it.
    pub(super) fn ask_kill(&self, process: &Process, child: u64) -> Result<(), Error> {
        if !process.state().children.contains(&Pid(child)) {
            return Err(Error::NoSuchProcess(format!("{child} is no child of this agent")));
        }
        self.kill(Pid(child), &format!("agent {} ended it", process.pid));
        Ok(())
    }

    /// `send`: to an agent of the same tree.
    pub(super) fn ask_send(&self, from: &Process, to: u64, body: String) -> Result<Letter, Error> {
        let nobody = || Error::NoSuchProcess(format!("there is no agent {to} that it could reach"));
        let to = self.find(Pid(to)).filter(|to| to.root == from.root).ok_or_else(nobody)?;
        self.letter(from.pid, &to, body)
    }

    /// A message for which there is room in the mailbox.
    pub(super) fn letter(
        &self,
        from: Pid,
        to: &Arc<Process>,
        body: String,
    ) -> Result<Letter, Error> {
        let options = &self.options;
        if body.len() > options.message_bytes_max {
            return Err(Error::LimitExceeded(wit::Limit {
                name: "message".into(),
                value: options.message_bytes_max as u64,
                unit: "bytes".into(),
                opens_in_ms: None,
                remedy: "a shorter message".into(),
            }));
        }
        {
            let mut state = to.state();
            if state.ending.is_some() {
                return Err(Error::NoSuchProcess(format!("agent {} has ended", to.pid)));
            }
            if state.messages.len() + state.incoming >= options.mailbox_max {
                let most = u32::try_from(options.mailbox_max).unwrap_or(u32::MAX);
                return Err(Error::MailboxFull(most));
            }
            let held: usize = state.messages.iter().map(|message| message.body.len()).sum();
            let held = held.saturating_add(state.incoming_bytes);
            if held.saturating_add(body.len()) > options.mailbox_bytes_max {
                return Err(Error::LimitExceeded(wit::Limit {
                    name: "mailbox".into(),
                    value: options.mailbox_bytes_max as u64,
                    unit: "bytes".into(),
                    opens_in_ms: None,
                    remedy: "a receiver that reads its mail".into(),
                }));
            }
            state.incoming += 1;
            state.incoming_bytes += body.len();
        }
        let bytes = body.len();
        Ok(Letter { to: Arc::clone(to), message: Message { sender: from.0, body }, bytes })
    }

    /// Puts a message into its mailbox, in order. Its row in the receiver's chain and `own`, a row
    /// of the sender's, are one transaction.
    pub(super) async fn post(
        &self,
        mut letter: Letter,
        own: Option<(&Arc<Process>, Row<'_>, Vec<PackedBody>)>,
    ) -> Result<(), JournalError> {
        let to = Arc::clone(&letter.to);
        let (told, body) = Told::of(&letter.message.body)?;
        let note = Note::Message { from: letter.message.sender, body: told };
        let text = note.text()?;
        let class = if own.is_none() { Class::Written } else { Class::Queued };
        let mut group =
            Group { rows: vec![(&to.chain, note.row(&to.name, &text))], ..Group::default() };
        group.bodies.extend(body);
        if let Some((process, row, bodies)) = own {
            group.rows.push((&process.chain, row));
            group.bodies.extend(bodies);
        }
        to.chain.journal().append_together(group, class).await?;
        let body = std::mem::take(&mut letter.message.body);
        to.state().messages.push_back(Message { sender: letter.message.sender, body });
        to.news.notify_one();
        Ok(())
    }
}

/// A message on its way, with its place in the mailbox.
pub(super) struct Letter {
    to: Arc<Process>,
    message: Message,
    bytes: usize,
}

impl Drop for Letter {
    fn drop(&mut self) {
        let mut state = self.to.state();
        state.incoming -= 1;
        state.incoming_bytes -= self.bytes;
    }
}

/// The event that is there already, taken out of the inbox.
fn taken(process: &Process, children: &[u64], messages: bool) -> Option<Event> {
    let mut state = process.state();
    let exited = state.exits.iter().position(|exit| children.contains(&exit.pid));
    if let Some(exit) = exited.and_then(|at| state.exits.remove(at)) {
        state.children.retain(|child| child.0 != exit.pid);
        return Some(Event::Exited(exit));
    }
    match messages {
        true => state.messages.pop_front().map(Event::Message),
        false => None,
    }
}

/// How a child's end is told to its parent.
pub(super) fn exit_of(pid: Pid, ending: &Ending) -> Exit {
    let ending = match ending.clone() {
        Ending::Returned(text) => wit::Ending::Returned(text),
        Ending::Failed(text) => wit::Ending::Failed(text),
        Ending::Trapped(text) => wit::Ending::Trapped(text),
        Ending::Killed(text) => wit::Ending::Killed(text),
        Ending::Limit(text) => wit::Ending::LimitExceeded(text),
    };
    Exit { pid: pid.0, ending }
}

/// What the child holds and how urgent it is: never more than its parent. `offers` are the tools
/// that its parent may call.
fn shrunk(
    parent: &Process,
    offers: &[Offer],
    wanted: &SpawnOptions,
) -> Result<(Holdings, Priority), Error> {
    let mut holdings = parent.holdings.clone();
    if let Some(grants) = &wanted.grants {
        holdings.options.grants = narrowed(&holdings.options.grants, grants)?;
    }
    if let Some(tools) = &wanted.tools {
        pass_on(&mut holdings, offers, tools)?;
    }
    let own = parent.state().priority;
    let priority = match wanted.priority {
        None => own,
        Some(points) => Priority::new(points)
            .filter(|asked| *asked >= own)
            .ok_or_else(|| not_held("priority", &format!("{points} (its own is {})", own.get())))?,
    };
    let asked = wanted.budget;
    holdings.budget = Limits {
        total_tokens: within("tokens", holdings.budget.total_tokens, asked.tokens)?,
        total_calls: within("calls", holdings.budget.total_calls, asked.calls)?,
        total_microdollars: {
            let own = holdings.budget.total_microdollars;
            within("microdollars", own, asked.microdollars)?
        },
        total_wall_ms: within("wall time", holdings.budget.total_wall_ms, asked.wall_ms)?,
        ..holdings.budget
    };
    let memory = &mut holdings.options.limits.memory_bytes;
    let within_memory = within("memory", Some(*memory), asked.memory_bytes)?;
    *memory = within_memory.unwrap_or(*memory);
    Ok((holdings, priority))
}

/// Leaves the tools of these names, as `plugin__tool`; a plugin's name alone means all of its own.
fn pass_on(holdings: &mut Holdings, offers: &[Offer], names: &[String]) -> Result<(), Error> {
    let means = |name: &str, offer: &Offer| offer.name == name || offer.alias == name;
    let unheld = |name: &&String| !offers.iter().any(|offer| means(name, offer));
    if let Some(name) = names.iter().find(unheld) {
        return Err(not_held("tool", name));
    }
    let passed = |offer: &&Offer| names.iter().any(|name| means(name, offer));
    let left: Vec<&Offer> = offers.iter().filter(passed).collect();
    holdings.tools.retain(|held| left.iter().any(|offer| offer.alias == held.alias));
    for held in &mut holdings.tools {
        let own = left.iter().filter(|offer| offer.alias == held.alias);
        held.only = Some(own.map(|offer| offer.name.clone()).collect());
    }
    Ok(())
}

/// The child's grants, each covered by one of its parent's. Which tools, models and programs it may
/// name is said elsewhere in its options: grants of these kinds stay where none of the kind is
/// named.
fn narrowed(held: &[(Grant, String)], wanted: &[String]) -> Result<Vec<(Grant, String)>, Error> {
    let one = |text: &String| {
        let grant: Grant = text.parse().map_err(|_| not_held("grant", text))?;
        match held.iter().any(|(held, _)| held.covers(&grant)) {
            true => Ok((grant, text.clone())),
            false => Err(not_held("grant", text)),
        }
    };
    let mut grants = wanted.iter().map(one).collect::<Result<Vec<_>, Error>>()?;
    for kind in [Capability::Tool, Capability::Model, Capability::Spawn] {
        if grants.iter().all(|(grant, _)| grant.scope.capability() != kind) {
            let same = held.iter().filter(|(grant, _)| grant.scope.capability() == kind);
            grants.extend(same.cloned());
        }
    }
    Ok(grants)
}

/// What is asked, when the parent has as much; the parent's own where nothing is asked.
fn within(what: &str, own: Option<u64>, asked: Option<u64>) -> Result<Option<u64>, Error> {
    match (own, asked) {
        (Some(own), Some(asked)) if asked > own => {
            Err(not_held("budget", &format!("{asked} {what} (its own are {own})")))
        }
        (_, Some(asked)) => Ok(Some(asked)),
        (own, None) => Ok(own),
    }
}

fn not_held(capability: &str, target: &str) -> Error {
    let target: String = target.chars().take(200).collect();
    Error::Denied(
        Denial {
            capability: capability.into(),
            remedy: "its parent would have to hold it".into(),
            target,
            missing_in: MissingIn::Caller,
        }
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(texts: &[&str]) -> Vec<(Grant, String)> {
        let one = |text: &&str| (text.parse().expect("a grant"), (*text).to_owned());
        texts.iter().map(one).collect()
    }

    fn narrowed_to(wanted: &[&str]) -> Result<Vec<String>, Error> {
        let held = grants(&["read:/srv:/w", "model:*", "tool:*", "spawn:assistant"]);
        let wanted: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
        Ok(narrowed(&held, &wanted)?.into_iter().map(|(_, text)| text).collect())
    }

    #[test]
    fn grants_that_are_named_replace_those_of_their_kind() {
        let kept = ["tool:*", "model:*", "spawn:assistant"];
        assert_eq!(narrowed_to(&[]).expect("held"), kept);
        let read = narrowed_to(&["read:/srv/a:/w"]).expect("held");
        assert_eq!(read, ["read:/srv/a:/w", "tool:*", "model:*", "spawn:assistant"]);
        let model = narrowed_to(&["model:script/x"]).expect("held");
        assert_eq!(model, ["model:script/x", "tool:*", "spawn:assistant"]);
        assert!(matches!(narrowed_to(&["read:/etc:/etc"]), Err(Error::Denied(_))));
    }
}
