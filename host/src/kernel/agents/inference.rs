//! `aos:agent/model`: one call of a model, from the wish to the reply. The scheduler says when,
//! pacing says whether the provider takes it now, the ledger is told what it used.

mod books;
mod words;

use std::sync::Arc;

pub(super) use self::books::{CallEnd, ledger_usage, price_of};
pub(super) use self::words::{failure, rejected};
use self::words::{reply_of, too_large};
use super::Agents;
use super::memory::message;
use super::patience::Patience;
use super::process::Process;
use super::reason::{Asked, SAID_CHARS_MAX};
use crate::capability::names::NameRequest;
use crate::kernel::executor::{Call, Signal};
use crate::model::{
    self, Admission, Caller, Completion, Endpoint, ModelError, Request, Role, Spent, Stop,
    TokenUsage, ToolChoice, ToolOffer,
};
use crate::sandbox::Ended;
use crate::sandbox::agent::model as wit;
use crate::scheduler::{Event, ModelCall, ModelEnding};
use crate::types::Waiting;

/// How one start of a call came out.
enum Attempt {
    Answered(Result<Completion, ModelError>),
    /// It goes back to its place.
    Again,
    Aborted,
}

impl Agents {
    /// `step`: one inference over the agent's context; the reply is appended to it.
    pub(super) async fn ask_step(
        &self,
        process: &Arc<Process>,
        options: wit::Options,
    ) -> Result<Result<wit::Completion, wit::Error>, Ended> {
        let endpoint = match self.endpoint_of(process, &options).await? {
            Ok(endpoint) => endpoint,
            Err(error) => return Ok(Err(error)),
        };
        let mut request = match self.request(process, options).await? {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.page_in(process, &endpoint, &mut request).await? {
            let room = self.room_now(process, &endpoint);
            return Ok(Err(too_large(&error, room)));
        }
        let completion = match self.infer(process, &endpoint, request).await? {
            Ok(completion) => completion,
            Err(error) => return Ok(Err(error)),
        };
        let usage = completion.usage;
        let mut reply = reply_of(completion);
        match self.settle_reply(process, &endpoint, &reply.parts, &usage) {
            Ok(pages) => reply.pages = pages,
            Err(error) => {
                let what = format!("the reply does not fit the context: {error:?}");
                return Ok(Err(wit::Error::Other(("context".into(), what))));
            }
        }
        Ok(Ok(reply))
    }

    /// `complete`: one inference over these messages alone.
    pub(super) async fn ask_complete(
        &self,
        process: &Arc<Process>,
        messages: Vec<wit::Message>,
        options: wit::Options,
    ) -> Result<Result<wit::Completion, wit::Error>, Ended> {
        let endpoint = match self.endpoint_of(process, &options).await? {
            Ok(endpoint) => endpoint,
            Err(error) => return Ok(Err(error)),
        };
        let mut request = match self.request(process, options).await? {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        for said in &messages {
            let role = match said.role {
                wit::Role::User => Role::User,
                wit::Role::Assistant => Role::Assistant,
                wit::Role::System => {
                    let text = message(Role::User, &said.parts);
                    let text = Completion { parts: text.parts, ..empty_completion() }.text();
                    request.system.push_str(&text);
                    continue;
                }
            };
            request.messages.push(message(role, &said.parts));
        }
        Ok(self.infer(process, &endpoint, request).await?.map(reply_of))
    }

    /// The model that these options mean: the agent's own, or another that it may ask.
    async fn endpoint_of(
        &self,
        process: &Process,
        options: &wit::Options,
    ) -> Result<Result<Endpoint, wit::Error>, Ended> {
        let endpoint = match &options.model {
            None => process.endpoint.clone(),
            Some(name) => match self.models().resolve(Some(name)) {
                Ok(endpoint) => endpoint,
                Err(error) => return Ok(Err(failure(&process.endpoint, &error))),
            },
        };
        let denial = self.let_through(process, NameRequest::model(endpoint.name())).await?;
        Ok(match denial {
            None => Ok(endpoint),
            Some(denial) => Err(wit::Error::Denied(denial.into())),
        })
    }

    /// A request without its messages.
    async fn request(
        &self,
        process: &Process,
        options: wit::Options,
    ) -> Result<Result<Request, wit::Error>, Ended> {
        let wrong = |what: String| Ok(Err(wit::Error::InvalidRequest(what)));
        let mut tools = Vec::new();
        for offer in self.offers(process).await? {
            let wanted = options.tools.as_ref().is_none_or(|names| names.contains(&offer.name));
            if wanted {
                tools.push(ToolOffer {
                    name: offer.name.clone(),
                    description: offer.definition.description.clone(),
                    input_schema: offer.definition.input_schema.clone(),
                });
            }
        }
        for own in &options.own_tools {
            let Ok(input_schema) = serde_json::from_str(&own.input_schema) else {
                return wrong(format!("the schema of the own tool `{}` is no JSON", own.name));
            };
            let (name, description) = (own.name.clone(), own.description.clone());
            tools.push(ToolOffer { name, description, input_schema });
        }
        let response_schema = match options.response_schema.as_deref().map(serde_json::from_str) {
            None => None,
            Some(Ok(schema)) => Some(schema),
            Some(Err(error)) => return wrong(format!("the response schema is no JSON: {error}")),
        };
        let mut extra = Vec::with_capacity(options.extra.len());
        for (name, text) in options.extra {
            match serde_json::from_str(&text) {
                Ok(value) => extra.push((name, value)),
                Err(error) => return wrong(format!("the extra field `{name}`: {error}")),
            }
        }
        Ok(Ok(Request {
            tools,
            tool_choice: match options.tool_choice {
                wit::ToolChoice::Auto => ToolChoice::Auto,
                wit::ToolChoice::None => ToolChoice::None,
                wit::ToolChoice::Any => ToolChoice::Any,
                wit::ToolChoice::Named(name) => ToolChoice::Named(name),
            },
            parallel_tool_calls: options.parallel_tool_calls,
            max_output_tokens: options.max_output_tokens,
            temperature: options.temperature,
            stop_sequences: options.stop_sequences,
            response_schema,
            reasoning_tokens_max: options.reasoning_tokens_max,
            extra,
            caller: Caller {
                agent: process.name.clone(),
                instance: process.pid.0,
                answered: Some(process.state().replies),
            },
            timeout: options.timeout_ms.map(std::time::Duration::from_millis),
            ..Request::default()
        }))
    }

    /// Waits for a slot, makes the call, and settles it.
    pub(super) async fn infer(
        &self,
        process: &Arc<Process>,
        endpoint: &Endpoint,
        mut request: Request,
    ) -> Result<Result<Completion, wit::Error>, Ended> {
        let demand = endpoint.demand(&request);
        let mut call = self.executor().call();
        let wanted = ModelCall {
            ticket: call.ticket(),
            pid: process.pid,
            provider: self.provider(endpoint)?,
            input_tokens: demand.input,
            output_tokens_asked: request.max_output_tokens.map(u64::from),
            output_tokens_model: Some(u64::from(endpoint.output_max())),
            price: price_of(endpoint),
        };
        let _waiting = process.waits_for(Waiting::Model);
        let mut patience = Patience::new(request.timeout.unwrap_or(self.options.call_patience));
        self.tell(Event::ModelWanted(wanted))?;
        loop {
            let most = match call.signal().await {
                Signal::Start(most) => most,
                // It came too late: the call had ended, or was waiting already.
                Signal::Cut => continue,
                Signal::Reject(why) => return Ok(Err(rejected(&why))),
                Signal::Abort | Signal::Withdraw => {
                    return Err(Ended::Killed("the agent was ended".into()));
                }
            };
            request.max_output_tokens = Some(u32::try_from(most).unwrap_or(u32::MAX));
            match self.attempt(process, endpoint, &request, &mut call, &mut patience).await? {
                Attempt::Again => {}
                Attempt::Aborted => return Err(Ended::Killed("the agent was ended".into())),
                Attempt::Answered(Ok(completion)) => return Ok(Ok(completion)),
                Attempt::Answered(Err(error)) => {
                    return Ok(Err(failure(endpoint, &error)));
                }
            }
        }
    }

    /// One start of a call that has its slot.
    async fn attempt(
        &self,
        process: &Arc<Process>,
        endpoint: &Endpoint,
        request: &Request,
        call: &mut Call,
        patience: &mut Patience,
    ) -> Result<Attempt, Ended> {
        let ticket = call.ticket();
        let demand = endpoint.demand(request);
        let place = match endpoint.admit(demand) {
            Admission::Now(place) => place,
            Admission::After(wait) => {
                self.hold(ticket, wait)?;
                return Ok(Attempt::Again);
            }
        };
        let output = request.max_output_tokens.map_or(0, u64::from);
        self.reserve(process, endpoint, demand.input, output).await?;
        self.tell(Event::ModelSent(ticket))?;
        let mut spent = Spent::of(demand);
        let (answer, signal) = {
            let mut note = |delta: model::Delta<'_>| spent.note(&delta);
            tokio::select! {
                answer = endpoint.infer(request, place, &mut note) => (Some(answer), None),
                signal = call.signal() => (None, Some(signal)),
            }
        };
        if let Some(Err(error)) = &answer
            && spent.usage() == TokenUsage::default()
            && let Some(wait) = patience.holds(error)
        {
            self.record(process, endpoint, &CallEnd::held(error)).await?;
            self.hold(ticket, wait)?;
            return Ok(Attempt::Again);
        }
        let (usage, ending) = match &answer {
            Some(Ok(completion)) => (completion.usage, ModelEnding::Finished),
            Some(Err(_)) => (spent.usage(), ModelEnding::Failed),
            None if signal == Some(Signal::Cut) => (spent.usage(), ModelEnding::Cut),
            None => (spent.usage(), ModelEnding::Failed),
        };
        self.charge(process, &usage);
        self.tell(Event::ModelEnded { ticket, ending, usage: ledger_usage(&usage) })?;
        let end = CallEnd {
            usage,
            answered: ending == ModelEnding::Finished,
            said: answer.as_ref().and_then(|answer| answer.as_ref().ok()).map(said),
            error: answer.as_ref().and_then(|answer| answer.as_ref().err()),
            ..CallEnd::default()
        };
        let row = self.record(process, endpoint, &end).await?;
        Ok(match (answer, ending) {
            (Some(answer), _) => {
                if let Ok(reply) = &answer {
                    let mut state = process.state();
                    state.usage.model_calls += 1;
                    state.asked = Asked::of(row, reply);
                }
                Attempt::Answered(answer)
            }
            (None, ModelEnding::Cut) => Attempt::Again,
            (None, ModelEnding::Finished | ModelEnding::Failed) => Attempt::Aborted,
        })
    }
}

/// How a reply begins, for its row.
fn said(reply: &Completion) -> String {
    reply.text().chars().take(SAID_CHARS_MAX).collect()
}

fn empty_completion() -> Completion {
    Completion {
        model: String::new(),
        parts: Vec::new(),
        stop: Stop::EndTurn,
        usage: TokenUsage::default(),
    }
}
