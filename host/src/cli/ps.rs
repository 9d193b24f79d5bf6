//! `aos-host ps`, and agents as rows of a table wherever they are shown.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit::{Code, Failure};
use super::logs::store_to_look_at;
use super::run::Format;
use super::serve::client;
use super::terminal::{self, one_line};
use crate::api::ApiError;
use crate::config::Config;
use crate::kernel::agents::stored;
use crate::storage::Storage;
use crate::types::{ProcessView, Standing};

/// Agents of the store that are listed where no host runs.
const STORED_MAX: usize = 1_000;

#[derive(Debug, Args)]
pub struct PsArgs {
    /// Those that have ended lately too; without a running host those of the store
    #[arg(long, short)]
    all: bool,
    /// How they are written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// Lists agents, oldest first.
pub async fn ps(config: &Config, arguments: &PsArgs) -> Result<Code, Failure> {
    let mut agents = match client(config)?.list().await {
        Err(error @ ApiError::NoHost(_)) if arguments.all => {
            match store_to_look_at(config).await? {
                None => return Err(error.into()),
                Some(store) => from_store(&store).await?,
            }
        }
        listed => listed?,
    };
    agents.retain(|agent| arguments.all || agent.standing != Standing::Exited);
    terminal::print_line(&match arguments.output {
        Format::Json => serde_json::json!(agents).to_string(),
        Format::Text => table(&agents),
    })
}

/// The newest agents that the store has.
async fn from_store(store: &Arc<dyn Storage>) -> Result<Vec<ProcessView>, Failure> {
    let (agents, unread) = stored(store, STORED_MAX).await?;
    if unread > 0 {
        // Nobody is left to tell when stderr is closed.
        let _told = writeln!(
            std::io::stderr(),
            "{unread} agents are left out: their chains cannot be read; `aos-host audit verify` \
             says more"
        );
    }
    Ok(agents)
}

/// The heads of the columns of [`cells`].
pub const HEADS: [&str; 10] =
    ["PID", "PARENT", "NAME", "PRI", "STATE", "TOKENS", "COST", "CPU", "TIME", "TASK"];

/// One agent as a row.
pub fn cells(agent: &ProcessView) -> [String; 10] {
    let usage = &agent.usage;
    [
        agent.pid.to_string(),
        agent.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        one_line(&agent.name),
        agent.priority.to_string(),
        state(agent),
        count(usage.input_tokens + usage.output_tokens),
        money(usage.cost_microdollars),
        time(usage.cpu_us / 1_000),
        time(agent.wall_ms),
        cut(&one_line(&agent.task), TASK_COLUMNS),
    ]
}

/// Characters of a task in a table.
const TASK_COLUMNS: usize = 40;

/// Agents for people.
pub fn table(agents: &[ProcessView]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(HEADS);
    for agent in agents {
        table.add_row(cells(agent));
    }
    table.trim_fmt()
}

/// Where it stands, or how it ended.
pub fn state(agent: &ProcessView) -> String {
    match &agent.ending {
        Some(ending) => ending.word().to_owned(),
        None => agent.standing.to_string(),
    }
}

/// A number with at most four digits and a unit of thousands.
pub fn count(number: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    // Below ten thousand every digit is shown.
    let unit = units.into_iter().find(|(size, _)| number >= 10 * size);
    match unit {
        None => number.to_string(),
        Some((size, letter)) => format!("{}.{}{letter}", number / size, number % size * 10 / size),
    }
}

/// Millionths of a US dollar.
pub fn money(microdollars: u64) -> String {
    let (dollars, rest) = (microdollars / 1_000_000, microdollars % 1_000_000);
    format!("${dollars}.{:04}", rest / 100)
}

/// Milliseconds.
pub fn time(ms: u64) -> String {
    let whole = match ms {
        0..1_000 => Duration::from_millis(ms),
        1_000.. => Duration::from_secs(ms / 1_000),
    };
    humantime::format_duration(whole).to_string()
}

/// A text of at most so many characters.
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.chars().count() > chars_max {
        true => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let counts: Vec<_> = [0, 9_999, 10_000, 123_456, 99_999_999].map(count).into();
        assert_eq!(counts, ["0", "9999", "10.0k", "123.4k", "99.9M"]);
        assert_eq!([0, 1_234_567, 99].map(money), ["$0.0000", "$1.2345", "$0.0000"]);
        assert_eq!([0, 15, 61_500].map(time), ["0s", "15ms", "1m 1s"]);
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
