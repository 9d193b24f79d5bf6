//! `aos-host quota`: limits on tokens, calls and money, and what is used of them.

use clap::{Args, Subcommand};

use super::agent::microdollars;
use super::exit::{Code, Failure};
use super::ps::{count, money, time};
use super::run::Format;
use super::serve::client;
use super::terminal;
use crate::api::words::{Change, Quota, Set};
use crate::config::{Config, Time};
use crate::scheduler::Amounts;

#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// Show the limits of the host, an owner, an agent, or an agent with its children
    Show {
        /// host, owner, agent:PID or tree:PID; a pid alone is the agent's
        #[arg(default_value = "host")]
        scope: String,
        /// How they are written
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Set limits; what they open goes on at once
    Set(SetArgs),
}

/// Limits are numbers, or `none`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// host, owner, agent:PID or tree:PID; a pid alone is the agent's
    scope: String,
    /// Tokens of one request
    #[arg(long, value_name = "TOKENS", value_parser = number)]
    request_tokens: Option<Set>,
    /// Tokens in a window of an hour
    #[arg(long, value_name = "TOKENS", value_parser = number)]
    window_tokens: Option<Set>,
    /// Model calls in a window
    #[arg(long, value_name = "CALLS", value_parser = number)]
    window_calls: Option<Set>,
    /// US dollars in a window
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    window_cost: Option<Set>,
    /// Tokens in all
    #[arg(long, value_name = "TOKENS", value_parser = number)]
    max_tokens: Option<Set>,
    /// Model calls in all
    #[arg(long, value_name = "CALLS", value_parser = number)]
    max_calls: Option<Set>,
    /// US dollars in all
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    max_cost: Option<Set>,
    /// How long an agent may live, pauses left out
    #[arg(long, value_name = "TIME", value_parser = life)]
    max_time: Option<Set>,
    /// How the limits are written afterwards
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

fn number(text: &str) -> Result<Set, String> {
    match text {
        "none" => Ok(Set::Lift),
        text => whole(text).map(Set::To).ok_or_else(|| {
            format!("`{text}` is no number; write it like 50000 or 50k, or none for no limit")
        }),
    }
}

/// `5000`, `5_000`, `5k`, `2M` or `1G`.
fn whole(text: &str) -> Option<u64> {
    let units = [('k', 1_000), ('M', 1_000_000), ('G', 1_000_000_000)];
    let of = |(letter, size)| Some((text.strip_suffix(letter)?, size));
    let (digits, size) = units.into_iter().find_map(of).unwrap_or((text, 1));
    digits.replace('_', "").parse::<u64>().ok()?.checked_mul(size)
}

fn dollars(text: &str) -> Result<Set, String> {
    match text {
        "none" => Ok(Set::Lift),
        text => microdollars(text).map(Set::To),
    }
}

fn life(text: &str) -> Result<Set, String> {
    match text {
        "none" => Ok(Set::Lift),
        text => {
            let time: Time = text.parse()?;
            Ok(Set::To(u64::try_from(time.0.as_millis()).unwrap_or(u64::MAX)))
        }
    }
}

/// Shows or sets.
pub async fn quota(config: &Config, command: &QuotaCommand) -> Result<Code, Failure> {
    let client = client(config)?;
    let (quota, output) = match command {
        QuotaCommand::Show { scope, output } => (client.quota(&full(scope)).await?, output),
        QuotaCommand::Set(arguments) => {
            let (scope, change) = (full(&arguments.scope), arguments.change());
            (client.set_quota(&scope, &change).await?, &arguments.output)
        }
    };
    terminal::print_line(&match output {
        Format::Json => serde_json::json!(quota).to_string(),
        Format::Text => table(&quota),
    })
}

impl SetArgs {
    fn change(&self) -> Change {
        Change {
            request_tokens: self.request_tokens.unwrap_or_default(),
            window_tokens: self.window_tokens.unwrap_or_default(),
            window_calls: self.window_calls.unwrap_or_default(),
            window_microdollars: self.window_cost.unwrap_or_default(),
            total_tokens: self.max_tokens.unwrap_or_default(),
            total_calls: self.max_calls.unwrap_or_default(),
            total_microdollars: self.max_cost.unwrap_or_default(),
            total_wall_ms: self.max_time.unwrap_or_default(),
        }
    }
}

/// A pid alone means the agent.
fn full(scope: &str) -> String {
    match scope.parse::<u64>() {
        Ok(pid) => format!("agent:{pid}"),
        Err(_) => scope.to_owned(),
    }
}

fn table(quota: &Quota) -> String {
    let Quota { limits, window, total, reserved, .. } = quota;
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let name = terminal::one_line(&quota.scope);
    table.set_header([name.as_str(), "USED", "LIMIT", "SET BY"]);
    let within = format!("in {}", time(quota.window_ms));
    let lines = [
        Line::new("a request: tokens", None, limits.request_tokens, "--request-tokens", count),
        Line::new(
            &format!("{within}: tokens"),
            Some(window.tokens),
            limits.window_tokens,
            "--window-tokens",
            count,
        ),
        Line::new(
            &format!("{within}: calls"),
            Some(window.calls),
            limits.window_calls,
            "--window-calls",
            count,
        ),
        Line::new(
            &format!("{within}: cost"),
            Some(window.microdollars),
            limits.window_microdollars,
            "--window-cost",
            money,
        ),
        Line::new("in all: tokens", Some(total.tokens), limits.total_tokens, "--max-tokens", count),
        Line::new("in all: calls", Some(total.calls), limits.total_calls, "--max-calls", count),
        Line::new(
            "in all: cost",
            Some(total.microdollars),
            limits.total_microdollars,
            "--max-cost",
            money,
        ),
        Line::new("in all: time", Some(quota.wall_ms), limits.total_wall_ms, "--max-time", time),
    ];
    for line in lines {
        table.add_row(line.0);
    }
    let mut text = table.trim_fmt();
    let Amounts { tokens, calls, microdollars } = *reserved;
    if calls > 0 {
        let (tokens, cost) = (count(tokens), money(microdollars));
        text.push_str(&format!("\n {calls} in flight: {tokens} tokens and {cost} are set aside"));
    }
    text
}

/// A limit and what is used of it.
struct Line([String; 4]);

impl Line {
    fn new(
        what: &str,
        used: Option<u64>,
        limit: Option<u64>,
        flag: &str,
        shown: fn(u64) -> String,
    ) -> Self {
        Self([
            what.to_owned(),
            used.map(shown).unwrap_or_default(),
            limit.map_or("none".to_owned(), shown),
            flag.to_owned(),
        ])
    }
}
