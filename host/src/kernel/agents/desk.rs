//! The desk of one agent: each question goes to the file that answers it.

use std::sync::Arc;

use super::Agents;
use super::process::Process;
use crate::sandbox::Ended;
use crate::sandbox::agent::{Answer, Answering, Ask, Desk, process as wit};
use crate::types::Waiting;

/// The desk of one agent.
pub(super) struct AgentDesk {
    pub(super) agents: Agents,
    pub(super) process: Arc<Process>,
}

impl Desk for AgentDesk {
    fn ask(&self, ask: Ask) -> Answering<'_> {
        Box::pin(async {
            let answer = self.answer(ask).await;
            self.process.clock.advance();
            answer
        })
    }
}

impl AgentDesk {
    async fn answer(&self, ask: Ask) -> Result<Answer, Ended> {
        let Self { agents, process } = self;
        Ok(match ask {
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
            Ask::Spawn(options) => Answer::Spawned(agents.ask_spawn(process, options).await?),
            Ask::Wait(children, messages, timeout_ms) => {
                Answer::Event(agents.ask_wait(process, children, messages, timeout_ms).await)
            }
            Ask::Kill(child) => Answer::Sent(agents.ask_kill(process, child)),
            Ask::Send(to, body) => Answer::Sent(agents.ask_send(process, to, body)),
            Ask::Checkpoint(..) => {
                let sentence = "this version keeps no checkpoints".to_owned();
                Answer::Checkpoint(Err(wit::Error::NoSuchProgram(sentence)))
            }
            Ask::Definitions => {
                let offers = agents.offers(process).await?;
                Answer::Definitions(offers.iter().map(|offer| (&offer.definition).into()).collect())
            }
            Ask::Call(invocation) => {
                let _waiting = process.waits_for(Waiting::Tool);
                Answer::Called(agents.call_tool(process, invocation).await?)
            }
            Ask::CallAll(invocations) => {
                Answer::CalledAll(agents.call_all(process, invocations).await?)
            }
        })
    }
}
