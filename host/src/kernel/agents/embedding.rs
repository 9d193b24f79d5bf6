//! `aos:agent/model` `embed`: texts into vectors, by the same slot, quota, pacing and journal as
//! any other call of a model.

use std::sync::Arc;

use super::Agents;
use super::inference::{CallEnd, failure, ledger_usage, price_of, rejected};
use super::patience::Patience;
use super::process::Process;
use crate::capability::names::NameRequest;
use crate::kernel::executor::{Call, Signal};
use crate::model::{Admission, Embeddings, Endpoint, ModelError, TokenUsage};
use crate::sandbox::Ended;
use crate::sandbox::agent::model as wit;
use crate::scheduler::{Event, ModelCall, ModelEnding};
use crate::types::Waiting;

/// The space, and a vector for each text.
type Found = Result<(String, Vec<Vec<f32>>), wit::Error>;

impl Agents {
    /// `embed`.
    pub(super) async fn ask_embed(
        &self,
        process: &Arc<Process>,
        texts: Vec<String>,
    ) -> Result<Found, Ended> {
        let endpoint = &process.endpoint;
        let denial = self.let_through(process, NameRequest::model(endpoint.name())).await?;
        if let Some(denial) = denial {
            return Ok(Err(wit::Error::Denied(denial.into())));
        }
        let mut call = self.executor().call();
        let wanted = ModelCall {
            ticket: call.ticket(),
            pid: process.pid,
            provider: self.provider(endpoint)?,
            input_tokens: endpoint.embed_demand(&texts).input,
            // Vectors are no tokens; the ledger's least is one.
            output_tokens_asked: Some(1),
            output_tokens_model: Some(1),
            price: price_of(endpoint),
        };
        let _waiting = process.waits_for(Waiting::Model);
        let mut patience = Patience::new(self.options.call_patience);
        self.tell(Event::ModelWanted(wanted))?;
        loop {
            match call.signal().await {
                Signal::Start(_) => {}
                // It came too late: the call was waiting already.
                Signal::Cut => continue,
                Signal::Reject(why) => return Ok(Err(rejected(&why))),
                Signal::Abort | Signal::Withdraw => return Err(ended()),
            }
            match self.embed_once(process, endpoint, &texts, &mut call, &mut patience).await? {
                None => {}
                Some(Ok(found)) => return Ok(Ok((found.space, found.vectors))),
                Some(Err(error)) => return Ok(Err(failure(endpoint, &error))),
            }
        }
    }

    /// One start of a call that has its slot; none where it goes back to its place.
    async fn embed_once(
        &self,
        process: &Arc<Process>,
        endpoint: &Endpoint,
        texts: &[String],
        call: &mut Call,
        patience: &mut Patience,
    ) -> Result<Option<Result<Embeddings, ModelError>>, Ended> {
        let ticket = call.ticket();
        let place = match endpoint.admit(endpoint.embed_demand(texts)) {
            Admission::Now(place) => place,
            Admission::After(wait) => {
                self.hold(ticket, wait)?;
                return Ok(None);
            }
        };
        let input = endpoint.embed_demand(texts).input;
        self.reserve(process, endpoint, input, 0).await?;
        self.tell(Event::ModelSent(ticket))?;
        let (answer, signal) = tokio::select! {
            answer = endpoint.embed(texts, place) => (Some(answer), None),
            signal = call.signal() => (None, Some(signal)),
        };
        if let Some(Err(error)) = &answer
            && let Some(wait) = patience.holds(error)
        {
            self.record(process, endpoint, &CallEnd::held(error)).await?;
            self.hold(ticket, wait)?;
            return Ok(None);
        }
        let (usage, ending) = match &answer {
            Some(Ok(found)) => (found.usage, ModelEnding::Finished),
            None if signal == Some(Signal::Cut) => (TokenUsage::default(), ModelEnding::Cut),
            Some(Err(_)) | None => (TokenUsage::default(), ModelEnding::Failed),
        };
        self.charge(process, &usage);
        self.tell(Event::ModelEnded { ticket, ending, usage: ledger_usage(&usage) })?;
        let end = CallEnd {
            usage,
            answered: ending == ModelEnding::Finished,
            error: answer.as_ref().and_then(|answer| answer.as_ref().err()),
            ..CallEnd::default()
        };
        self.record(process, endpoint, &end).await?;
        match (answer, ending) {
            (Some(answer), _) => Ok(Some(answer)),
            (None, ModelEnding::Cut) => Ok(None),
            (None, ModelEnding::Finished | ModelEnding::Failed) => Err(ended()),
        }
    }
}

fn ended() -> Ended {
    Ended::Killed("the agent was ended".into())
}
