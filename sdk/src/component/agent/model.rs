//! `aos:agent/model`.

use super::bindings::aos::agent::model as host;
use super::parts;
use crate::component;
use crate::context::PageId;
use crate::model::{
    Completion, Embeddings, Error, Message, Options, Role, StopReason, ToolChoice, Usage,
};

pub(crate) fn step(options: &Options) -> Result<Completion, Error> {
    host::step(&options_out(options)).map(completion).map_err(error)
}

pub(crate) fn complete(messages: &[Message], options: &Options) -> Result<Completion, Error> {
    let messages: Vec<_> = messages.iter().map(message_out).collect();
    host::complete(&messages, &options_out(options)).map(completion).map_err(error)
}

pub(crate) fn embed(texts: &[&str]) -> Result<Embeddings, Error> {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    let embedded = host::embed(&texts);
    embedded.map(|(space, vectors)| Embeddings { space, vectors }).map_err(error)
}

fn options_out(options: &Options) -> host::Options {
    let own_tools = options.own_tools.iter().cloned().map(component::definition).collect();
    host::Options {
        model: options.model.clone(),
        max_output_tokens: options.max_output_tokens,
        reasoning_tokens_max: options.reasoning_tokens_max,
        temperature: options.temperature,
        tools: options.tools.clone(),
        own_tools,
        tool_choice: match &options.tool_choice {
            ToolChoice::Auto => host::ToolChoice::Auto,
            ToolChoice::None => host::ToolChoice::None,
            ToolChoice::Any => host::ToolChoice::Any,
            ToolChoice::Named(name) => host::ToolChoice::Named(name.clone()),
        },
        parallel_tool_calls: options.parallel_tool_calls,
        response_schema: options.response_schema.clone(),
        stop_sequences: options.stop_sequences.clone(),
        timeout_ms: options.timeout_ms,
        extra: options.extra.clone(),
    }
}

fn message_out(message: &Message) -> host::Message {
    host::Message {
        role: match message.role {
            Role::System => host::Role::System,
            Role::User => host::Role::User,
            Role::Assistant => host::Role::Assistant,
        },
        parts: parts::parts_out(message.parts.clone()),
    }
}

fn completion(completion: host::Completion) -> Completion {
    Completion {
        model: completion.model,
        parts: parts::parts(completion.parts),
        stop: stop(completion.stop),
        usage: usage(completion.usage),
        pages: completion.pages.into_iter().map(PageId).collect(),
    }
}

fn stop(stop: host::StopReason) -> StopReason {
    match stop {
        host::StopReason::EndTurn => StopReason::EndTurn,
        host::StopReason::ToolUse => StopReason::ToolUse,
        host::StopReason::MaxOutput => StopReason::MaxOutput,
        host::StopReason::StopSequence(sequence) => StopReason::StopSequence(sequence),
        host::StopReason::Refusal(reason) => StopReason::Refusal(reason),
        host::StopReason::Other(reason) => StopReason::Other(reason),
    }
}

fn usage(usage: host::Usage) -> Usage {
    Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        reasoning_tokens: usage.reasoning_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        cost_microdollars: usage.cost_microdollars,
        estimated: usage.estimated,
    }
}

fn error(error: host::Error) -> Error {
    match error {
        host::Error::QuotaExhausted(limit) => Error::QuotaExhausted(parts::limit(limit)),
        host::Error::Denied(denial) => Error::Denied(parts::denial(denial)),
        host::Error::TimedOut(waited_ms) => Error::TimedOut(waited_ms),
        host::Error::TooLarge(limit) => Error::TooLarge(parts::limit(limit)),
        host::Error::RefusedByPolicy(message) => Error::RefusedByPolicy(message),
        host::Error::Unavailable(message) => Error::Unavailable(message),
        host::Error::InvalidRequest(message) => Error::InvalidRequest(message),
        host::Error::Other((kind, message)) => Error::Other { kind, message },
    }
}
