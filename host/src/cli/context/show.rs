//! `aos-host context show`: the window as a map.

use clap::Args;
use serde_json::{Value, json};

use super::super::exit::{Code, Failure};
use super::super::run::Format;
use super::super::terminal::{self, one_line};
use super::{context_of, heading, tell_damage};
use crate::config::Config;
use crate::kernel::contexts::Remembered;
use crate::pager::{Entry, Kept, PageId};

/// Whose window.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The agent's pid or name, or the name of loaded pages
    #[arg(value_name = "PID")]
    who: String,
    /// How it is written; JSON has the pages outside the window too
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub async fn show(config: &Config, arguments: &ShowArgs) -> Result<Code, Failure> {
    let (store, record) = context_of(config, &arguments.who).await?;
    let all = Remembered::read(&*store, record, false).await?;
    tell_damage(&all.damaged, all.damaged_count);
    match arguments.output {
        Format::Json => terminal::print_line(&as_json(&all).to_string()),
        Format::Text => terminal::print_line(&as_text(&all)),
    }
}

fn page(all: &Remembered, id: PageId) -> Option<&Kept> {
    let at = all.pages.binary_search_by_key(&id, |kept| kept.page.id).ok()?;
    Some(&all.pages[at])
}

fn as_json(all: &Remembered) -> Value {
    let entry = |(at, entry): (usize, &Entry)| {
        let mut value = match entry {
            Entry::Page(id) => json!({
                "page": id,
                "tokens": page(all, *id).map(|kept| kept.page.tokens),
            }),
            Entry::Stub(stub) => json!({
                "stub": { "first": stub.first, "last": stub.last, "pages": stub.pages,
                    "left_tokens": stub.left_tokens, "text": stub.text },
                "tokens": stub.tokens,
            }),
        };
        value["head"] = (at < all.state.head_entries).into();
        value["breakpoint"] = all.state.breakpoints.contains(&at).into();
        value
    };
    let pages = all.pages.iter().filter(|kept| !kept.page.freed);
    let usage = &all.state.usage;
    json!({
        "agent": all.record.name,
        "pid": all.record.pid,
        "model": all.state.model,
        "tokenizer": all.state.tokenizer,
        "tokens_of_model_a_counted_token": all.state.factor,
        "budget_tokens": all.state.budget_tokens,
        "window_tokens": usage.budget_tokens,
        "resident_tokens": usage.resident_tokens,
        "swapped_tokens": usage.swapped_tokens,
        "entries": all.entries.iter().enumerate().map(entry).collect::<Vec<_>>(),
        "pages": pages.collect::<Vec<_>>(),
        "damaged": all.damaged,
    })
}

fn as_text(all: &Remembered) -> String {
    let usage = &all.state.usage;
    let mut text = format!(
        "{}: {} of {} tokens in the window, {} outside it, {} pages\n",
        heading(&all.record),
        usage.resident_tokens,
        usage.budget_tokens,
        usage.swapped_tokens,
        usage.pages,
    );
    if all.entries.is_empty() {
        text.push_str("nothing is in the window");
        return text;
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["PAGE", "KIND", "TOKENS", "USES", "MARKS", "WHAT"]);
    for (at, entry) in all.entries.iter().enumerate() {
        let mut marks = Vec::new();
        if at < all.state.head_entries {
            marks.push("head");
        }
        let row = match entry {
            Entry::Page(id) => {
                let Some(Kept { page, .. }) = page(all, *id) else { continue };
                if page.pinned {
                    marks.push("pinned");
                }
                let label = page.label.as_deref().map(one_line).unwrap_or_default();
                [id.to_string(), kind(page.kind), page.tokens.to_string(), page.uses.to_string()]
                    .into_iter()
                    .chain([String::new(), label])
                    .collect::<Vec<_>>()
            }
            Entry::Stub(stub) => {
                let which = match stub.first == stub.last {
                    true => stub.first.to_string(),
                    false => format!("{}-{}", stub.first, stub.last),
                };
                let tokens = stub.tokens.to_string();
                vec![
                    which,
                    "stub".into(),
                    tokens,
                    String::new(),
                    String::new(),
                    one_line(&stub.text),
                ]
            }
        };
        if all.state.breakpoints.contains(&at) {
            marks.push("breakpoint");
        }
        let mut row = row;
        row[4] = marks.join(" ");
        table.add_row(row);
    }
    text.push_str(&table.trim_fmt());
    text
}

fn kind(kind: crate::pager::Kind) -> String {
    json!(kind).as_str().unwrap_or_default().to_owned()
}
