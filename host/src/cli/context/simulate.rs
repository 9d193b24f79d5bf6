//! `aos-host context simulate`: the prompts of a recorded log.

use std::path::PathBuf;

use clap::Args;

use super::super::exit::{Code, Failure};
use super::lines::{self, Writer};
use crate::pager::simulate::{Message, Options, Simulation};
use crate::pager::{LOW_MARK, PagerError, Tokenizer};

/// Which log, which budget.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The log, one message a line:
    /// {"agent","role","call","text"?,"tool_calls"?,"tool_call_id"?}
    log: PathBuf,
    /// Tokens for what follows the head
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(512..))]
    budget: u64,
    /// How tokens are counted: o200k, cl100k or chars4
    #[arg(long, value_name = "NAME", default_value = "chars4")]
    tokenizer: Tokenizer,
    /// Where an eviction stops, as a share of the budget, 0.1 to 0.9
    #[arg(long, value_name = "SHARE", default_value_t = LOW_MARK, value_parser = share)]
    low_mark: f32,
    /// Show recalled pages after each user turn, once something has left: at most TOKENS
    #[arg(long, value_name = "TOKENS", num_args = 0..=1, require_equals = true,
          default_value_t = 0, default_missing_value = "250")]
    recall: u64,
    /// The prompts, {"agent","blocks","breakpoints"} a line; without it to stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn share(text: &str) -> Result<f32, String> {
    let share: f32 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.1..=0.9).contains(&share) { Ok(share) } else { Err("write a share of 0.1 to 0.9".into()) }
}

pub fn simulate(arguments: &SimulateArgs) -> Result<Code, Failure> {
    if arguments.recall >= arguments.budget / 2 {
        return Err(Failure::usage(format!(
            "--recall={} leaves too little of --budget {}: give it less than half",
            arguments.recall, arguments.budget
        )));
    }
    let mut simulation = Simulation::new(Options {
        log_tokens: arguments.budget,
        low_mark: arguments.low_mark,
        counter: arguments.tokenizer.counter(),
        recall_tokens: arguments.recall,
    });
    let mut out = Writer::open(arguments.output.as_deref())?;
    lines::read(&arguments.log, |message: Message| {
        let prompt = simulation.push(message).map_err(refused)?;
        prompt.map_or(Ok(()), |prompt| out.write(&prompt))
    })?;
    let code = out.finish()?;
    let totals = simulation.totals();
    let mean = totals.prompt_tokens.checked_div(totals.calls).unwrap_or(0);
    let hit = 100.0 * totals.prefix_tokens as f64 / totals.prompt_tokens.max(1) as f64;
    tracing::debug!(?totals, "simulated");
    eprintln!(
        "{} calls, mean prompt {mean} tokens, {hit:.2} % of it as in the call before, \
         {} evictions, recalled pages in {} of {} user turns after the first",
        totals.calls, totals.evictions, totals.recalled_turns, totals.user_turns
    );
    Ok(code)
}

fn refused(error: PagerError) -> Failure {
    match error {
        PagerError::Wedged { .. } | PagerError::HeadTooLarge { .. } | PagerError::TooLarge(_) => {
            Failure::new(Code::Limit, format!("{error}; --budget raises it"))
        }
        PagerError::NoSuchPage(_) | PagerError::OutOfOrder(_) | PagerError::Damaged(_) => {
            Failure::usage(error)
        }
    }
}
