//! The desk of one agent: each question goes to the file that answers it, and question and answer
//! stand in the agent's chain before the agent has the answer.
//!
//! An agent that a later host took up is first given what it was given then, by its
//! [`Player`](super::player::Player); at the end of its journal it lives.

use std::sync::Arc;

use super::Agents;
use super::birth::Newborn;
use super::checkpoint::LABEL_BYTES_MAX;
use super::family::Letter;
use super::player::{Open, Played};
use super::process::Process;
use super::reason::Asked;
use super::record::{ASK, AnsweredRow, AskedRow, MEMBER, MemberRow, Note, Paged, Told, Took};
use crate::journal::{Body, Class, Group, JournalError, PackedBody, Row, RowKind, Seq};
use crate::sandbox::Ended;
use crate::sandbox::agent::{Answer, Answering, Ask, Desk, process as wit};
use crate::types::Waiting;

/// The desk of one agent.
pub(super) struct AgentDesk {
    pub(super) agents: Agents,
    pub(super) process: Arc<Process>,
}

/// What an answer brings about, in one transaction with its row.
pub(super) enum Effect {
    /// Nothing beside the agent's own memory.
    None,
    /// A message for another agent.
    Send(Letter),
    /// A child.
    Bear(Box<Newborn>),
}

/// An answer that is to be written down.
struct Reply {
    answer: Answer,
    effect: Effect,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self { answer, effect: Effect::None }
    }
}

/// What is known of a question before it is answered.
struct Question {
    name: &'static str,
    /// With what its row says, where it has none yet.
    unwritten: Option<(Told, Option<PackedBody>, Vec<u64>)>,
    class: Class,
    is_call_all: bool,
}

impl Desk for AgentDesk {
    fn ask(&self, ask: Ask) -> Answering<'_> {
        Box::pin(async {
            let answer = match self.replayed(&ask).await? {
                Some(Played::Answer { answer, paged, .. }) => {
                    self.remember(ask, &answer, &paged).await?;
                    answer
                }
                Some(Played::Open(open)) => self.live(ask, Some(open)).await?,
                Some(Played::End) | None => self.live(ask, None).await?,
            };
            if let Answer::Completion(Ok(_)) = &answer {
                self.process.state().replies += 1;
            }
            Ok(answer)
        })
    }
}

/// Whether a question has a row before its answer: it takes a while, or has effects outside.
fn has_own_row(ask: &Ask) -> bool {
    matches!(
        ask,
        Ask::Step(_)
            | Ask::Complete(..)
            | Ask::Embed(_)
            | Ask::Wait(..)
            | Ask::Call(_)
            | Ask::CallAll(_)
    )
}

/// What was paid for, or happened outside, must survive this process before the agent sees it.
fn class_of(ask: &Ask) -> Class {
    match ask {
        Ask::Step(_) | Ask::Complete(..) | Ask::Embed(_) | Ask::Call(_) | Ask::CallAll(_) => {
            Class::Written
        }
        _ => Class::Queued,
    }
}

fn unwritten(error: &JournalError) -> Ended {
    Ended::Journal(error.to_string())
}

impl AgentDesk {
    /// What its journal has of this question; none for one that lives.
    async fn replayed(&self, ask: &Ask) -> Result<Option<Played>, Ended> {
        let mut player = self.process.player.lock().await;
        let Some(playing) = player.as_mut() else { return Ok(None) };
        let played = playing.play(ask).await?;
        if !matches!(played, Played::Answer { .. }) {
            // From here on it lives, and another may be replayed.
            *player = None;
        }
        Ok(Some(played))
    }

    /// Does to the memory what the question did then; its pages go to the store as they did.
    async fn remember(&self, ask: Ask, answer: &Answer, paged: &Paged) -> Result<(), Ended> {
        let Self { agents, process } = self;
        if let (Answer::Completion(Ok(reply)), Some(prompt)) = (answer, &paged.prompt)
            && let Some(row) = prompt.row
        {
            process.state().asked = Asked::again(row, &reply.parts);
        }
        let is_heavy = {
            let mut memory = process.memory();
            let (endpoint, model) = (&process.endpoint, process.endpoint.name());
            let price = |usage| endpoint.price(&usage).unwrap_or(0);
            let replayed = memory.replay(ask, answer, paged, (model, price));
            replayed.map_err(Ended::Diverged)?;
            memory.is_heavy()
        };
        match is_heavy {
            true => agents.keep(process).await,
            false => Ok(()),
        }
    }

    async fn live(&self, ask: Ask, open: Option<Open>) -> Result<Answer, Ended> {
        let question = self.write_question(&ask, open.is_some()).await?;
        self.process.memory().begin();
        let reply = self.answer(ask, open.unwrap_or_default()).await?;
        self.write_answer(question, reply).await
    }

    async fn write_question(&self, ask: &Ask, is_open: bool) -> Result<Question, Ended> {
        let mut question = Question {
            name: ask.name(),
            unwritten: None,
            class: class_of(ask),
            is_call_all: matches!(ask, Ask::CallAll(_)),
        };
        let clock = self.process.clock.take_moves();
        if is_open {
            return Ok(question);
        }
        let (told, body) = Told::of(ask).map_err(|error| unwritten(&error))?;
        if !has_own_row(ask) {
            question.unwritten = Some((told, body, clock));
            return Ok(question);
        }
        let row = AskedRow { ask: told, at: self.process.clock.stamp(), clock };
        let text = serde_json::to_string(&row).map_err(|error| unwritten(&error.into()))?;
        let row = self.row(RowKind::Asked, ASK, question.name, &text);
        let bodies = body.into_iter().collect();
        self.append(row, bodies, Class::Queued).await?;
        Ok(question)
    }

    fn row<'a>(
        &'a self,
        kind: RowKind,
        capability: &'a str,
        target: &'a str,
        text: &'a str,
    ) -> Row<'a> {
        Row {
            who: &self.process.name,
            capability,
            target,
            body: Body::Text(text),
            ..Row::new(kind)
        }
    }

    async fn append(
        &self,
        row: Row<'_>,
        bodies: Vec<PackedBody>,
        class: Class,
    ) -> Result<Seq, Ended> {
        let chain = &self.process.chain;
        if bodies.is_empty() {
            return chain.append(row, class).await.map_err(|error| unwritten(&error));
        }
        let group = Group { rows: vec![(chain, row)], bodies, ..Group::default() };
        let seqs = chain.journal().append_together(group, class).await;
        Ok(seqs.map_err(|error| unwritten(&error))?.first().copied().unwrap_or(Seq(0)))
    }

    /// Writes the answer down with what it brings about, brings it about, and hands it over.
    async fn write_answer(&self, question: Question, reply: Reply) -> Result<Answer, Ended> {
        let Self { agents, process } = self;
        let Reply { mut answer, effect } = reply;
        let at = process.clock.stamp();
        let mut row = AnsweredRow { at, took: took(&answer), ..AnsweredRow::default() };
        row.paged = process.memory().take_paged();
        if let Effect::Bear(newborn) = &effect {
            row.born = Some(newborn.process.pid.0);
        }
        if let Answer::Checkpoint(Ok(id)) = &mut answer {
            *id = format!("{}.{}", process.pid, process.chain.rows().0);
        }
        let mut bodies = Vec::new();
        if let Some((ask, body, clock)) = question.unwritten {
            (row.ask, row.clock) = (Some(ask), clock);
            bodies.extend(body);
        }
        match &answer {
            Answer::CalledAll(all) if question.is_call_all => row.members = Some(all.len() as u64),
            answer => {
                let (told, body) = Told::of(answer).map_err(|error| unwritten(&error))?;
                row.answer = Some(told);
                bodies.extend(body);
            }
        }
        let text = serde_json::to_string(&row).map_err(|error| unwritten(&error.into()))?;
        let row = self.row(RowKind::Answered, ASK, question.name, &text);
        match effect {
            Effect::None => {
                self.append(row, bodies, question.class).await?;
            }
            Effect::Bear(newborn) => {
                agents.bear_with(*newborn, Some((process, row, bodies)), question.class).await?;
            }
            Effect::Send(letter) => {
                let sent = agents.post(letter, Some((process, row, bodies))).await;
                match sent {
                    Ok(()) => {}
                    // Between the look and the letter it has ended.
                    Err(JournalError::ChainClosed(_)) => {
                        return Box::pin(self.undelivered(at, question.name, text)).await;
                    }
                    Err(error) => return Err(unwritten(&error)),
                }
            }
        }
        process.clock.enter(at);
        Ok(answer)
    }

    /// The receiver has ended in between: the same question, with that answer.
    async fn undelivered(&self, at: u64, name: &str, text: String) -> Result<Answer, Ended> {
        let journal = |error: serde_json::Error| unwritten(&error.into());
        let mut row: AnsweredRow = serde_json::from_str(&text).map_err(journal)?;
        let gone = "the agent has ended".to_owned();
        let answer = Answer::Sent(Err(wit::Error::NoSuchProcess(gone)));
        let (told, body) = Told::of(&answer).map_err(|error| unwritten(&error))?;
        row.answer = Some(told);
        let text = serde_json::to_string(&row).map_err(journal)?;
        let row = self.row(RowKind::Answered, ASK, name, &text);
        self.append(row, body.into_iter().collect(), Class::Queued).await?;
        self.process.clock.enter(at);
        Ok(answer)
    }

    async fn answer(&self, ask: Ask, open: Open) -> Result<Reply, Ended> {
        let Self { agents, process } = self;
        let answer = match ask {
            Ask::Step(options) => Answer::Completion(agents.ask_step(process, options).await?),
            Ask::Complete(messages, options) => {
                Answer::Completion(agents.ask_complete(process, messages, options).await?)
            }
            Ask::Embed(texts) => Answer::Vectors(agents.ask_embed(process, texts).await?),
            Ask::Append(kind, parts, importance, label) => {
                Answer::Page(agents.ask_append(process, kind, parts, importance, label).await?)
            }
            Ask::Read(id) => Answer::Parts(agents.ask_read(process, id).await?),
            Ask::Recall(query, max_tokens) => {
                Answer::Recalled(agents.ask_recall(process, &query, max_tokens).await?)
            }
            Ask::Pin(id, pinned) => Answer::Changed(process.memory().pin(id, pinned)),
            Ask::Free(id) => Answer::Changed(process.memory().free(id)),
            Ask::Pages => Answer::Pages(process.memory().pages()),
            Ask::Usage => {
                let usage = process.state().usage;
                #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
                let ratio = usage.cache_read_tokens as f32 / usage.input_tokens.max(1) as f32;
                Answer::Usage(process.memory().usage(ratio))
            }
            Ask::Pid => Answer::Pid(process.pid.0),
            Ask::Spawn(options) => return self.spawned(options).await,
            Ask::Wait(children, messages, timeout_ms) => Answer::Event(
                agents.ask_wait(process, children, messages, timeout_ms, open.at).await,
            ),
            Ask::Kill(child) => Answer::Sent(agents.ask_kill(process, child)),
            Ask::Send(to, body) => {
                return Ok(match agents.ask_send(process, to, body) {
                    Ok(letter) => {
                        Reply { answer: Answer::Sent(Ok(())), effect: Effect::Send(letter) }
                    }
                    Err(error) => Answer::Sent(Err(error)).into(),
                });
            }
            // Its id is the place of its row.
            Ask::Checkpoint(label, _) => Answer::Checkpoint(label_fits(&label)),
            Ask::Definitions => {
                let offers = agents.offers(process).await?;
                Answer::Definitions(offers.iter().map(|offer| (&offer.definition).into()).collect())
            }
            Ask::Call(invocation) => {
                let _waiting = process.waits_for(Waiting::Tool);
                let prior = open.member(0);
                Answer::Called(agents.call_tool(process, invocation, 0, prior).await?)
            }
            Ask::CallAll(invocations) => {
                Answer::CalledAll(agents.call_all(self, invocations, &open).await?)
            }
        };
        Ok(answer.into())
    }

    async fn spawned(&self, options: wit::SpawnOptions) -> Result<Reply, Ended> {
        Ok(match self.agents.ask_spawn(&self.process, options).await? {
            Ok(newborn) => {
                let answer = Answer::Spawned(Ok(newborn.process.pid.0));
                Reply { answer, effect: Effect::Bear(newborn) }
            }
            Err(error) => Answer::Spawned(Err(error)).into(),
        })
    }

    /// Writes the answer of one member of a `call-all` down.
    pub(super) async fn write_member(
        &self,
        member: u32,
        answer: &Result<crate::sandbox::agent::tool::Output, crate::sandbox::agent::tool::Error>,
    ) -> Result<(), Ended> {
        let (told, body) = Told::of(answer).map_err(|error| unwritten(&error))?;
        let row = MemberRow { member, answer: told };
        let text = serde_json::to_string(&row).map_err(|error| unwritten(&error.into()))?;
        let row = self.row(RowKind::Answered, MEMBER, "toolbox.call-all", &text);
        self.append(row, body.into_iter().collect(), Class::Written).await?;
        Ok(())
    }
}

fn label_fits(label: &str) -> Result<String, wit::Error> {
    match label.len() <= LABEL_BYTES_MAX {
        true => Ok(String::new()),
        false => Err(wit::Error::LimitExceeded(wit::Limit {
            name: "label".into(),
            value: LABEL_BYTES_MAX as u64,
            unit: "bytes".into(),
            opens_in_ms: None,
            remedy: "a shorter label".into(),
        })),
    }
}

/// What an answer took out of the inbox.
fn took(answer: &Answer) -> Option<Took> {
    match answer {
        Answer::Event(Ok(Some(wit::Event::Message(_)))) => Some(Took::Message),
        Answer::Event(Ok(Some(wit::Event::Exited(exit)))) => Some(Took::Exit(exit.pid)),
        _ => None,
    }
}

impl Process {
    /// Writes down what happened to it; waits as the class says.
    pub(super) async fn note(
        &self,
        note: &Note,
        bodies: Vec<PackedBody>,
        class: Class,
    ) -> Result<Seq, JournalError> {
        let text = note.text()?;
        let rows = vec![(&self.chain, note.row(&self.name, &text))];
        let group = Group { rows, bodies, ..Group::default() };
        let seqs = self.chain.journal().append_together(group, class).await?;
        Ok(seqs.first().copied().unwrap_or(Seq(0)))
    }
}
