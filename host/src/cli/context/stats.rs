//! `aos-host context stats`: what a memory holds, did and saved. A hit ratio never stands alone:
//! prompt size and recall are beside it, since sending nothing would hit always.

use clap::Args;
use serde_json::{Value, json};

use super::super::exit::{Code, Failure};
use super::super::run::Format;
use super::super::terminal;
use super::{context_of, heading, tell_damage};
use crate::config::Config;
use crate::kernel::contexts::{KnownItems, Remembered};
use crate::pager::{Figures, State, Usage};

/// Whose memory.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The agent's pid or name, or the name of loaded pages
    #[arg(value_name = "PID")]
    who: String,
    /// How it is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub async fn stats(config: &Config, arguments: &StatsArgs) -> Result<Code, Failure> {
    let (store, record) = context_of(config, &arguments.who).await?;
    let all = Remembered::read(&*store, record, true).await?;
    tell_damage(&all.damaged, all.damaged_count);
    let items = all.known_items(&all.index());
    match arguments.output {
        Format::Json => terminal::print_line(&as_json(&all, items).to_string()),
        Format::Text => terminal::print_line(&as_text(&all, items)),
    }
}

/// A share of 1; none of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn as_json(all: &Remembered, items: KnownItems) -> Value {
    let (state, figures, usage) = (&all.state, &all.state.figures, &all.state.usage);
    json!({
        "agent": all.record.name,
        "pid": all.record.pid,
        "model": state.model,
        "budget_tokens": state.budget_tokens,
        "tokens_of_model_a_counted_token": state.factor,
        "usage": usage,
        "figures": figures,
        "mean_prompt_tokens": share(figures.prompt_tokens, figures.prompts),
        "prefix_hit_ratio": share(figures.prefix_tokens, figures.prompt_tokens),
        "provider_hit_ratio": share(figures.provider_cached_tokens, figures.provider_tokens),
        "known_item_recall_at_10": share(items.found, items.asked),
        "known_items": items,
        "damaged_pages": all.damaged_count,
    })
}

/// A share for people.
fn percent(share: Option<f64>) -> String {
    share.map_or("none".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

fn dollars(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}${:.4}", micros.unsigned_abs() as f64 / 1e6)
}

fn as_text(all: &Remembered, items: KnownItems) -> String {
    let mut text = heading(&all.record);
    for (name, what) in held(&all.state).into_iter().chain(done(&all.state.figures, items)) {
        text.push_str(&format!("\n  {name:12} {what}"));
    }
    text
}

/// What the memory holds.
fn held(state: &State) -> [(&'static str, String); 4] {
    let usage = &state.usage;
    let budget = match state.model.as_str() {
        "" => "no model was asked".to_owned(),
        model => format!("{} tokens of {model}", state.budget_tokens),
    };
    let (inside, outside) = (usage.resident_tokens, usage.swapped_tokens);
    let Usage { evictions, evicted_pages, faults, .. } = usage;
    [
        ("budget", budget),
        ("counted by", format!("{}, times {:.3}", state.tokenizer.name(), state.factor.ratio())),
        ("pages", format!("{}: {inside} tokens in the window, {outside} outside it", usage.pages)),
        ("evictions", format!("{evictions} batches, {evicted_pages} pages; {faults} faults")),
    ]
}

/// What it did: hits beside prompt size and recall.
fn done(figures: &Figures, items: KnownItems) -> [(&'static str, String); 5] {
    let mean = share(figures.prompt_tokens, figures.prompts).map_or(0.0, f64::round);
    let unsent = i64::try_from(figures.unsent_saved_microdollars).unwrap_or(i64::MAX);
    [
        ("prompts", format!("{} of {mean} tokens on average", figures.prompts)),
        (
            "prefix hits",
            format!(
                "{} of all prompt tokens stood so in the prompt before; by the provider {}",
                percent(share(figures.prefix_tokens, figures.prompt_tokens)),
                percent(share(figures.provider_cached_tokens, figures.provider_tokens))
            ),
        ),
        (
            "recall",
            format!(
                "{} of {} pages outside the window are among the best 10 for words of theirs",
                percent(share(items.found, items.asked)),
                items.asked
            ),
        ),
        (
            "recalled",
            format!(
                "by itself in {} of {} user turns, {} tokens; asked for {} times, {} answered",
                figures.recalled_turns,
                figures.user_turns,
                figures.recalled_tokens,
                figures.recalls,
                figures.recalls_answered
            ),
        ),
        (
            "saved",
            format!(
                "{} tokens were not sent, at least {}; the cache saved {}",
                figures.unsent_tokens,
                dollars(unsent),
                dollars(figures.cache_saved_microdollars)
            ),
        ),
    ]
}
