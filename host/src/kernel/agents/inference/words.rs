//! Replies, and errors of models, of the pager and of the ledger, in the words of the contract.

use super::super::bounds::PromptRoom;
use super::super::memory::answered;
use crate::model::{Completion, Endpoint, ModelError, Stop};
use crate::pager::PagerError;
use crate::sandbox::agent::model as wit;
use crate::scheduler::{Quota, Rejection};

pub(super) fn reply_of(completion: Completion) -> wit::Completion {
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

fn limit(name: &str, value: u64, unit: &str, remedy: impl Into<String>) -> wit::Limit {
    let (name, unit, remedy) = (name.into(), unit.into(), remedy.into());
    wit::Limit { name, value, unit, opens_in_ms: None, remedy }
}

/// A prompt for which there is no room.
pub(super) fn too_large(error: &PagerError, room: PromptRoom) -> wit::Error {
    let (name, value, remedy) = match (error, room.limit) {
        (PagerError::HeadTooLarge { budget_tokens, needed_tokens, .. }, Some(request))
            if *budget_tokens == room.tokens =>
        {
            let needed = needed_tokens.saturating_add(room.reply_tokens);
            let remedy = format!(
                "its instructions, task and tools, and a reply, need {needed} tokens: \
                 `--request-tokens {needed}`"
            );
            ("request", request, remedy)
        }
        (PagerError::HeadTooLarge { budget_tokens, needed_tokens, .. }, _) => {
            let remedy = format!(
                "its instructions, task and tools need a budget of at least {needed_tokens} \
                 tokens: `--context-budget {needed_tokens}`"
            );
            ("context-budget", *budget_tokens, remedy)
        }
        (PagerError::Wedged { needed_tokens, budget_tokens }, limited) => {
            let flag = if limited.is_some() { "--request-tokens" } else { "--context-budget" };
            let remedy = format!(
                "what must stay takes {needed_tokens} tokens: unpin pages, or raise `{flag}`"
            );
            ("context-budget", *budget_tokens, remedy)
        }
        (
            PagerError::NoSuchPage(_)
            | PagerError::TooLarge(_)
            | PagerError::OutOfOrder(_)
            | PagerError::Damaged(_),
            _,
        ) => ("context-budget", room.tokens, error.to_string()),
    };
    wit::Error::TooLarge(limit(name, value, "tokens", remedy))
}

/// Why a model gave no reply.
pub(in crate::kernel::agents) fn failure(endpoint: &Endpoint, error: &ModelError) -> wit::Error {
    let text = error.to_string();
    match error {
        ModelError::TooLarge { .. } => {
            let remedy = format!("a smaller `--context-budget`: {text}");
            wit::Error::TooLarge(limit("window", endpoint.window(), "tokens", remedy))
        }
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

/// Why the ledger lets a call never start.
pub(in crate::kernel::agents) fn rejected(why: &Rejection) -> wit::Error {
    match why {
        Rejection::RequestTooLarge { limit: most, .. } => {
            wit::Error::TooLarge(limit("request", *most, "tokens", "--request-tokens"))
        }
        Rejection::WindowTooSmall { quota, limit: most, .. } => {
            let (name, unit, remedy) = match quota {
                Quota::WindowTokens => ("window-tokens", "tokens", "--window-tokens"),
                Quota::WindowCalls => ("window-calls", "calls", "--window-calls"),
                Quota::WindowMicrodollars => {
                    ("window-cost", "microdollars", "quota set --window-cost")
                }
                Quota::TotalTokens => ("tokens", "tokens", "--max-tokens"),
                Quota::TotalCalls => ("calls", "calls", "--max-calls"),
                Quota::TotalMicrodollars => ("cost", "microdollars", "--max-cost"),
                Quota::TotalWallMs => ("time", "milliseconds", "--max-time"),
            };
            wit::Error::QuotaExhausted(limit(name, *most, unit, remedy))
        }
        Rejection::TooManyCalls { limit: most } => {
            let remedy = "fewer calls at once";
            wit::Error::QuotaExhausted(limit("calls-at-once", u64::from(*most), "calls", remedy))
        }
        Rejection::NoProvider(text) => wit::Error::Unavailable(text.to_string()),
        Rejection::Ending => wit::Error::Unavailable(why.to_string()),
    }
}
