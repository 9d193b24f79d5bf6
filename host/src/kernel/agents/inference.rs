//! `aos:agent/model`: one call of a model, from the wish to the reply. The scheduler says when,
//! pacing says whether the provider takes it now, the ledger is told what it used.

use std::sync::Arc;

use super::Agents;
use super::memory::{answered, message};
use super::process::Process;
use super::reason::{Asked, SAID_CHARS_MAX};
use crate::capability::names::NameRequest;
use crate::journal::{Body, Class, Row, RowKind, Seq};
use crate::kernel::executor::{Call, Signal};
use crate::model::{
    self, Admission, Caller, Completion, Endpoint, ModelError, Request, Role, Spent, Stop,
    TokenUsage, ToolChoice, ToolOffer,
};
use crate::pager::PagerError;
use crate::sandbox::Ended;
use crate::sandbox::agent::model as wit;
use crate::scheduler::{Amounts, Event, ModelCall, ModelEnding, ModelUsage, Price, Rejection};
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
            return Ok(Err(too_large(&error)));
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

    /// `embed`.
    pub(super) async fn ask_embed(
        &self,
        process: &Arc<Process>,
        texts: Vec<String>,
    ) -> Result<Result<(String, Vec<Vec<f32>>), wit::Error>, Ended> {
        let endpoint = &process.endpoint;
        if let Some(denial) = self.let_through(process, NameRequest::model(endpoint.name())).await?
        {
            return Ok(Err(wit::Error::Denied(denial.into())));
        }
        let _waiting = process.waits_for(Waiting::Model);
        match endpoint.embed(&texts).await {
            Ok(found) => {
                self.charge(process, &found.usage);
                Ok(Ok((found.space, found.vectors)))
            }
            Err(error) => Ok(Err(failure(&error))),
        }
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
                Err(error) => return Ok(Err(failure(&error))),
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
            match self.attempt(process, endpoint, &request, &mut call).await? {
                Attempt::Again => {}
                Attempt::Aborted => return Err(Ended::Killed("the agent was ended".into())),
                Attempt::Answered(Ok(completion)) => return Ok(Ok(completion)),
                Attempt::Answered(Err(error)) => return Ok(Err(failure(&error))),
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
    ) -> Result<Attempt, Ended> {
        let ticket = call.ticket();
        let demand = endpoint.demand(request);
        let place = match endpoint.admit(demand) {
            Admission::Now(place) => place,
            Admission::After(wait) => {
                let wait_ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                let until = self.executor().now().after_ns(wait_ns);
                self.tell(Event::ModelPaced { ticket, until })?;
                return Ok(Attempt::Again);
            }
        };
        self.reserve(process, endpoint, request, demand.input).await?;
        self.tell(Event::ModelSent(ticket))?;
        let mut spent = Spent::of(demand);
        let (answer, signal) = {
            let mut note = |delta: model::Delta<'_>| spent.note(&delta);
            tokio::select! {
                answer = endpoint.infer(request, place, &mut note) => (Some(answer), None),
                signal = call.signal() => (None, Some(signal)),
            }
        };
        let (usage, ending) = match &answer {
            Some(Ok(completion)) => (completion.usage, ModelEnding::Finished),
            Some(Err(_)) => (spent.usage(), ModelEnding::Failed),
            None if signal == Some(Signal::Cut) => (spent.usage(), ModelEnding::Cut),
            None => (spent.usage(), ModelEnding::Failed),
        };
        self.charge(process, &usage);
        self.tell(Event::ModelEnded { ticket, ending, usage: ledger_usage(&usage) })?;
        let row = self.record(process, endpoint, &usage, ending, answer.as_ref()).await?;
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

    /// Adds a call to what the agent has used.
    fn charge(&self, process: &Process, usage: &TokenUsage) {
        let mut state = process.state();
        let total = &mut state.usage;
        total.input_tokens = total.input_tokens.saturating_add(usage.prompt());
        total.output_tokens = total.output_tokens.saturating_add(usage.output);
        total.cache_read_tokens = total.cache_read_tokens.saturating_add(usage.cache_read);
        let cost = usage.cost_microdollars.unwrap_or(0);
        total.cost_microdollars = total.cost_microdollars.saturating_add(cost);
    }

    /// The row that says what a call sets aside, before it is sent: what its end is not written
    /// after is charged in full.
    async fn reserve(
        &self,
        process: &Process,
        endpoint: &Endpoint,
        request: &Request,
        input: u64,
    ) -> Result<(), Ended> {
        let output = request.max_output_tokens.map_or(0, u64::from);
        let most = TokenUsage { input, output, ..TokenUsage::default() };
        let reserved = Amounts {
            tokens: input.saturating_add(output),
            calls: 1,
            microdollars: endpoint.price(&most).unwrap_or(0),
        };
        let body = serde_json::json!({ "reserved": reserved });
        let row = Row {
            who: &process.name,
            capability: "model",
            target: endpoint.name(),
            body: Body::Value(&body),
            ..Row::new(RowKind::Asked)
        };
        let written = process.chain.append(row, Class::Written).await;
        written.map(|_| ()).map_err(|error| Ended::Journal(error.to_string()))
    }

    /// The row that says what a call used, and how its reply begins.
    async fn record(
        &self,
        process: &Process,
        endpoint: &Endpoint,
        usage: &TokenUsage,
        ending: ModelEnding,
        answer: Option<&Result<Completion, ModelError>>,
    ) -> Result<Seq, Ended> {
        let said = answer
            .and_then(|answer| answer.as_ref().ok())
            .map(|reply| reply.text().chars().take(SAID_CHARS_MAX).collect::<String>());
        let error = answer.and_then(|answer| answer.as_ref().err());
        let body = serde_json::json!({
            "answered": ending == ModelEnding::Finished,
            "error": error.map(ToString::to_string),
            "said": said,
            "usage": {
                "input_tokens": usage.prompt(),
                "output_tokens": usage.output,
                "cache_read_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write,
                "cost_microdollars": usage.cost_microdollars,
                "estimated": usage.estimated,
            },
        });
        let row = Row {
            who: &process.name,
            capability: "model",
            target: endpoint.name(),
            body: Body::Value(&body),
            ..Row::new(RowKind::Outcome)
        };
        let written = process.chain.append(row, Class::Written).await;
        written.map_err(|error| Ended::Journal(error.to_string()))
    }
}

/// Prices are asked for a million tokens, so that they are whole numbers.
fn price_of(endpoint: &Endpoint) -> Price {
    const MILLION: u64 = 1_000_000;
    let of = |usage: TokenUsage| endpoint.price(&usage).unwrap_or(0);
    Price {
        input: of(TokenUsage { input: MILLION, ..TokenUsage::default() }),
        cache_read: of(TokenUsage { cache_read: MILLION, ..TokenUsage::default() }),
        output: of(TokenUsage { output: MILLION, ..TokenUsage::default() }),
    }
}

fn ledger_usage(usage: &TokenUsage) -> ModelUsage {
    ModelUsage {
        input_tokens: usage.prompt(),
        output_tokens: usage.output,
        cache_read_tokens: usage.cache_read,
        microdollars: usage.cost_microdollars,
    }
}

fn empty_completion() -> Completion {
    Completion {
        model: String::new(),
        parts: Vec::new(),
        stop: Stop::EndTurn,
        usage: TokenUsage::default(),
    }
}

fn reply_of(completion: Completion) -> wit::Completion {
    let usage = completion.usage;
    wit::Completion {
        model: completion.model,
        parts: completion.parts.into_iter().map(answered).collect(),
        stop: match completion.stop {
            Stop::EndTurn => wit::StopReason::EndTurn,
            Stop::ToolUse => wit::StopReason::ToolUse,
            Stop::MaxOutput => wit::StopReason::MaxOutput,
            Stop::StopSequence(text) => wit::StopReason::StopSequence(text),
            Stop::Refusal(text) => wit::StopReason::Refusal(text),
            Stop::Other(text) => wit::StopReason::Other(text),
        },
        usage: wit::Usage {
            input_tokens: usage.prompt(),
            output_tokens: usage.output,
            reasoning_tokens: usage.reasoning,
            cache_read_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            cost_microdollars: usage.cost_microdollars,
            estimated: usage.estimated,
        },
        pages: Vec::new(),
    }
}

fn too_large(error: &PagerError) -> wit::Error {
    let (value, remedy) = match error {
        PagerError::HeadTooLarge { budget_tokens, needed_tokens, .. } => (
            *budget_tokens,
            format!(
                "its instructions, task and tools need a budget of at least {needed_tokens} \
                 tokens: `--context-budget {needed_tokens}`"
            ),
        ),
        PagerError::Wedged { needed_tokens, budget_tokens } => (
            *budget_tokens,
            format!(
                "what must stay takes {needed_tokens} tokens: unpin pages, or raise \
                 `--context-budget`"
            ),
        ),
        PagerError::NoSuchPage(_)
        | PagerError::TooLarge(_)
        | PagerError::OutOfOrder(_)
        | PagerError::Damaged(_) => (0, error.to_string()),
    };
    let (name, unit) = ("context-budget".into(), "tokens".into());
    wit::Error::TooLarge(wit::Limit { name, value, unit, opens_in_ms: None, remedy })
}

fn failure(error: &ModelError) -> wit::Error {
    let text = error.to_string();
    match error {
        ModelError::TooLarge { .. } => wit::Error::TooLarge(wit::Limit {
            name: text,
            value: 0,
            unit: "tokens".into(),
            opens_in_ms: None,
            remedy: "a smaller context".into(),
        }),
        ModelError::Refused { .. } => wit::Error::RefusedByPolicy(text),
        ModelError::TimedOut { after, .. } => {
            wit::Error::TimedOut(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
        }
        ModelError::BadRequest { .. } | ModelError::UnknownModel { .. } => {
            wit::Error::InvalidRequest(text)
        }
        ModelError::Unauthorised { .. }
        | ModelError::RateLimited { .. }
        | ModelError::Overloaded { .. }
        | ModelError::Unavailable { .. }
        | ModelError::BrokenStream { .. } => wit::Error::Unavailable(text),
    }
}

fn rejected(why: &Rejection) -> wit::Error {
    let limit = |name: &str, value: u64, unit: &str| wit::Limit {
        name: format!("{name}: {why}"),
        value,
        unit: unit.into(),
        opens_in_ms: None,
        remedy: "a raised quota".into(),
    };
    match why {
        Rejection::RequestTooLarge { limit: most, .. } => {
            wit::Error::TooLarge(limit("request-tokens", *most, "tokens"))
        }
        Rejection::WindowTooSmall { limit: most, .. } => {
            wit::Error::QuotaExhausted(limit("window", *most, "tokens"))
        }
        Rejection::TooManyCalls { limit: most } => {
            wit::Error::QuotaExhausted(limit("calls-at-once", u64::from(*most), "calls"))
        }
        Rejection::NoProvider(text) => wit::Error::Unavailable(text.to_string()),
        Rejection::Ending => wit::Error::Unavailable(why.to_string()),
    }
}
