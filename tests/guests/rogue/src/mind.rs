//! The model and the tools.

use crate::bindings::aos::agent::context::{self, PageKind};
use crate::bindings::aos::agent::model::{self, Message, Options, Role, ToolChoice};
use crate::bindings::aos::agent::types::Part;
use crate::bindings::aos::tool::toolbox::{self, Invocation};
use crate::bindings::aos::tool::types::{Content, Error, Output};
use crate::{Outcome, number, size};

pub fn run(what: &str, arguments: &[&str], rest: &str) -> Outcome {
    Some(match (what, arguments) {
        ("count", [turns]) => count(number(turns)),
        ("step-offering", [tool]) => say("Go").and_then(|()| {
            let tools = Some(vec![(*tool).to_owned()]);
            step(&Options { tools, ..options() })
        }),
        ("complete", [bytes]) => complete(size(bytes)),
        ("embed", [count, bytes]) => embed(size(count), size(bytes)),
        ("call", [tool, ..]) => Ok(told(toolbox::call(&invocation(tool, after(rest, 1))))),
        ("call-all", [count, tool, ..]) => Ok(call_all(size(count), tool, after(rest, 2))),
        _ => return None,
    })
}

/// What follows so many words.
fn after(rest: &str, words: usize) -> &str {
    let mut rest = rest;
    for _ in 0..words {
        rest = rest.trim_start().split_once(char::is_whitespace).map_or("", |(_, after)| after);
    }
    rest.trim()
}

fn options() -> Options {
    Options {
        model: None,
        max_output_tokens: None,
        reasoning_tokens_max: None,
        temperature: None,
        tools: None,
        own_tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: None,
        response_schema: None,
        stop_sequences: Vec::new(),
        timeout_ms: None,
        extra: Vec::new(),
    }
}

fn say(text: &str) -> Result<(), String> {
    let parts = [Part::Content(Content::Text(text.to_owned()))];
    let page = context::append(PageKind::User, &parts, 0.5, None);
    page.map(|_| ()).map_err(|error| format!("{error:?}"))
}

fn step(options: &Options) -> Result<String, String> {
    let reply = model::step(options).map_err(|error| format!("{error:?}"))?;
    let texts = reply.parts.iter().filter_map(|part| match part {
        Part::Content(Content::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    Ok(texts.collect())
}

fn count(turns: u64) -> Result<String, String> {
    let mut said = Vec::new();
    for turn in 1..=turns {
        say(&turn.to_string())?;
        said.push(step(&options()).map_err(|error| format!("turn {turn}: {error}"))?);
    }
    Ok(said.join("\n"))
}

fn complete(bytes: usize) -> Result<String, String> {
    let parts = vec![Part::Content(Content::Text("c".repeat(bytes)))];
    let reply = model::complete(&[Message { role: Role::User, parts }], &options());
    reply.map(|reply| format!("{:?}", reply.usage)).map_err(|error| format!("{error:?}"))
}

fn embed(count: usize, bytes: usize) -> Result<String, String> {
    let found = model::embed(&vec!["e".repeat(bytes); count]);
    let told = |(space, vectors): (String, Vec<Vec<f32>>)| format!("{} in {space}", vectors.len());
    found.map(told).map_err(|error| format!("{error:?}"))
}

fn invocation(tool: &str, arguments: &str) -> Invocation {
    Invocation {
        call_id: None,
        name: tool.to_owned(),
        arguments: arguments.to_owned(),
        timeout_ms: None,
    }
}

fn call_all(count: usize, tool: &str, arguments: &str) -> String {
    let invocations = vec![invocation(tool, arguments); count];
    let results = toolbox::call_all(&invocations);
    results.into_iter().map(told).collect::<Vec<_>>().join("\n")
}

fn told(result: Result<Output, Error>) -> String {
    match result {
        Ok(output) => format!("ok {:?}", output.content),
        Err(error) => format!("{error:?}"),
    }
}
