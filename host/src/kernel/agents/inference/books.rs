//! What a call sets aside and what it used: its rows, the agent's sums, the ledger's words.

use std::time::Duration;

use super::super::Agents;
use super::super::process::Process;
use crate::journal::{Body, Class, Row, RowKind, Seq};
use crate::model::{Endpoint, ModelError, TokenUsage};
use crate::sandbox::Ended;
use crate::scheduler::{Amounts, Event, ModelUsage, Price, Ticket};

/// How a call ended, for its row.
#[derive(Debug, Default)]
pub(in crate::kernel::agents) struct CallEnd<'a> {
    pub(in crate::kernel::agents) usage: TokenUsage,
    /// The agent gets an answer.
    pub(in crate::kernel::agents) answered: bool,
    /// Its provider said "not now": it is charged nothing, and is sent again.
    pub(in crate::kernel::agents) held: bool,
    /// How its reply begins.
    pub(in crate::kernel::agents) said: Option<String>,
    pub(in crate::kernel::agents) error: Option<&'a ModelError>,
}

impl<'a> CallEnd<'a> {
    /// Of a call that is sent again later.
    pub(in crate::kernel::agents) fn held(error: &'a ModelError) -> Self {
        Self { held: true, error: Some(error), ..Self::default() }
    }
}

impl Agents {
    /// The started call goes back to its place: its provider takes nothing for so long.
    pub(in crate::kernel::agents) fn hold(
        &self,
        ticket: Ticket,
        wait: Duration,
    ) -> Result<(), Ended> {
        let wait_ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let until = self.executor().now().after_ns(wait_ns);
        self.tell(Event::ModelPaced { ticket, until })
    }

    /// Adds a call to what the agent has used.
    pub(in crate::kernel::agents) fn charge(&self, process: &Process, usage: &TokenUsage) {
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
    pub(in crate::kernel::agents) async fn reserve(
        &self,
        process: &Process,
        endpoint: &Endpoint,
        input: u64,
        output: u64,
    ) -> Result<(), Ended> {
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
    pub(in crate::kernel::agents) async fn record(
        &self,
        process: &Process,
        endpoint: &Endpoint,
        end: &CallEnd<'_>,
    ) -> Result<Seq, Ended> {
        let usage = &end.usage;
        let mut body = serde_json::json!({
            "answered": end.answered,
            "error": end.error.map(ToString::to_string),
            "said": end.said,
            "usage": {
                "input_tokens": usage.prompt(),
                "output_tokens": usage.output,
                "cache_read_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write,
                "cost_microdollars": usage.cost_microdollars,
                "estimated": usage.estimated,
            },
        });
        if end.held {
            body["held"] = true.into();
        }
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
pub(in crate::kernel::agents) fn price_of(endpoint: &Endpoint) -> Price {
    const MILLION: u64 = 1_000_000;
    let of = |usage: TokenUsage| endpoint.price(&usage).unwrap_or(0);
    Price {
        input: of(TokenUsage { input: MILLION, ..TokenUsage::default() }),
        cache_read: of(TokenUsage { cache_read: MILLION, ..TokenUsage::default() }),
        output: of(TokenUsage { output: MILLION, ..TokenUsage::default() }),
    }
}

pub(in crate::kernel::agents) fn ledger_usage(usage: &TokenUsage) -> ModelUsage {
    ModelUsage {
        input_tokens: usage.prompt(),
        output_tokens: usage.output,
        cache_read_tokens: usage.cache_read,
        microdollars: usage.cost_microdollars,
    }
}
