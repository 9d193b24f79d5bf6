//! The tools by which a model reaches its own memory: `recall` finds pages, `read_page` shows one.
//!
//! They need no grant, since a model is shown nothing but its own agent's pages, and they run in
//! the kernel. An answer is a page itself, so it is bounded by a share of the window.

use serde::Deserialize;
use serde_json::json;

use super::Agents;
use super::memory::{READ_PAGE, RECALL};
use super::process::Process;
use crate::sandbox::Ended;
use crate::sandbox::agent::{context as wit, tool, types};
use crate::types::{Behaviour, Definition};

/// Tokens of an answer where the model does not say.
const TOKENS_DEFAULT: u32 = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecallArguments {
    query: String,
    #[serde(default)]
    max_tokens: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadArguments {
    page: u64,
    #[serde(default)]
    from: usize,
}

/// What the model is told of them.
pub(super) fn definitions() -> [Definition; 2] {
    let behaviour =
        Behaviour { read_only: true, destructive: false, idempotent: true, open_world: false };
    let definition = |name: &str, description: &str, input_schema| Definition {
        name: name.into(),
        title: None,
        description: description.into(),
        input_schema,
        output_schema: None,
        behaviour,
    };
    let recall = "Finds what was said or done earlier in this conversation and has left your \
                  context. Returns the pages that say most about the query, each with its number.";
    let read = "Shows one page of this conversation by its number, also where it has left your \
                context. `from` skips so many characters, for a page that is too long at once.";
    [
        definition(
            RECALL,
            recall,
            json!({
                "type": "object",
                "properties": {
                    "query": { "type": "string", "description": "What to look for, in words" },
                    "max_tokens": { "type": "integer", "minimum": 1 },
                },
                "required": ["query"],
                "additionalProperties": false,
            }),
        ),
        definition(
            READ_PAGE,
            read,
            json!({
                "type": "object",
                "properties": {
                    "page": { "type": "integer", "minimum": 0 },
                    "from": { "type": "integer", "minimum": 0 },
                },
                "required": ["page"],
                "additionalProperties": false,
            }),
        ),
    ]
}

impl Agents {
    /// A call of one of the two; none where the name is another's.
    pub(super) async fn call_memory(
        &self,
        process: &Process,
        name: &str,
        arguments: &serde_json::Value,
    ) -> Result<Option<Result<tool::Output, tool::Error>>, Ended> {
        let wrong = |error: serde_json::Error| tool::Error::InvalidArguments(error.to_string());
        Ok(Some(match name {
            RECALL => match RecallArguments::deserialize(arguments) {
                Ok(arguments) => self.recall_for_model(process, arguments).await?.map(output),
                Err(error) => Err(wrong(error)),
            },
            READ_PAGE => match ReadArguments::deserialize(arguments) {
                Ok(arguments) => self.read_for_model(process, &arguments).await?.map(output),
                Err(error) => Err(wrong(error)),
            },
            _ => return Ok(None),
        }))
    }

    async fn recall_for_model(
        &self,
        process: &Process,
        arguments: RecallArguments,
    ) -> Result<Result<String, tool::Error>, Ended> {
        let most = u32::try_from(process.memory().answer_tokens_max()).unwrap_or(u32::MAX);
        let tokens = arguments.max_tokens.unwrap_or(TOKENS_DEFAULT).min(most);
        let found = self.ask_recall(process, &arguments.query, tokens).await?;
        Ok(match found {
            Err(error) => Err(failed(&error)),
            Ok(found) if found.is_empty() => {
                Ok("no page says anything about that; try other words".into())
            }
            Ok(mut found) => {
                found.sort_unstable_by_key(|(page, _)| page.id);
                let shown = found.iter().map(|(page, text)| shown(page, text));
                Ok(shown.collect::<Vec<_>>().join("\n\n"))
            }
        })
    }

    async fn read_for_model(
        &self,
        process: &Process,
        arguments: &ReadArguments,
    ) -> Result<Result<String, tool::Error>, Ended> {
        let parts = match self.ask_read(process, arguments.page).await? {
            Ok(parts) => parts,
            Err(error) => return Ok(Err(failed(&error))),
        };
        let text = parts.iter().map(words).collect::<Vec<_>>().join("\n");
        let skipped = text.char_indices().nth(arguments.from).map_or(text.len(), |(at, _)| at);
        let rest = &text[skipped..];
        let memory = process.memory();
        let shown = memory.cut(rest, memory.answer_tokens_max());
        if shown.len() == rest.len() {
            return Ok(Ok(rest.to_owned()));
        }
        let next = arguments.from + shown.chars().count();
        Ok(Ok(format!("{shown}\n[more of page {}: from {next}]", arguments.page)))
    }
}

fn shown(page: &wit::Page, text: &str) -> String {
    let label = page.label.as_deref().map(|label| format!(", {label}")).unwrap_or_default();
    format!("[page {}{label}]\n{text}", page.id)
}

fn words(part: &types::Part) -> String {
    match part {
        types::Part::Content(tool::Content::Text(text)) => text.clone(),
        types::Part::Content(tool::Content::Image(blob) | tool::Content::Audio(blob)) => {
            format!("[{}]", blob.media_type)
        }
        types::Part::Content(tool::Content::Document(document)) => format!("[{}]", document.name),
        types::Part::Reasoning(reasoning) => reasoning.text.clone(),
        types::Part::ToolCall(call) => format!("{} {}", call.name, call.arguments),
        types::Part::ToolResult(result) => match &result.outcome {
            Ok(output) => {
                let texts = output.content.iter().map(|content| match content {
                    tool::Content::Text(text) => text.as_str(),
                    tool::Content::Image(_)
                    | tool::Content::Audio(_)
                    | tool::Content::Document(_) => "[not text]",
                });
                texts.collect::<Vec<_>>().join("\n")
            }
            Err(error) => super::memory::error_text(error),
        },
    }
}

fn failed(error: &wit::Error) -> tool::Error {
    tool::Error::Failed(match error {
        wit::Error::NoSuchPage(page) => format!("there is no page {page}"),
        wit::Error::TooLarge(text)
        | wit::Error::OutOfOrder(text)
        | wit::Error::StorageFull(text) => text.clone(),
    })
}

fn output(text: String) -> tool::Output {
    tool::Output { content: vec![tool::Content::Text(text)], structured: None }
}
