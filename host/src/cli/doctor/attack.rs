//! `doctor --attack`: hostile guests that ship with the host, each against one barrier of it.
//!
//! They run in this process with the engine, the gate and the journal that every run has, in a
//! store in memory and a folder that is removed afterwards. Nothing leaves the machine: where a
//! guest may not go is a port of this machine, on which somebody listens and counts.

mod guests;

use serde_json::json;

use self::guests::Range;
use super::super::exit::{Code, Failure};
use super::super::run::Format;
use super::super::terminal::{self, one_line};

/// How one attack ended.
pub(super) struct Outcome {
    pub(super) attack: &'static str,
    pub(super) barrier: &'static str,
    /// Nothing when the barrier held, else what came through.
    pub(super) broken: Option<String>,
}

pub(super) async fn attack(format: Format) -> Result<Code, Failure> {
    let range = Range::new().await?;
    let outcomes = range.all().await;
    range.leave().await;
    let outcomes = outcomes?;
    let broken = outcomes.iter().filter(|outcome| outcome.broken.is_some()).count();
    terminal::print_line(&told(&outcomes, broken, format))?;
    match broken {
        0 => Ok(Code::Ok),
        _ => Err(Failure::silent(Code::Tool)),
    }
}

fn told(outcomes: &[Outcome], broken: usize, format: Format) -> String {
    if format == Format::Json {
        let each = outcomes.iter().map(|outcome| {
            let Outcome { attack, barrier, broken } = outcome;
            json!({ "attack": attack, "barrier": barrier, "held": broken.is_none(),
                    "what": broken })
        });
        return json!({ "ok": broken == 0, "attacks": each.collect::<Vec<_>>() }).to_string();
    }
    let mut text = format!("{:<44} {:<28} HELD\n", "ATTACK", "BARRIER");
    for Outcome { attack, barrier, broken } in outcomes {
        let held =
            broken.as_ref().map_or("yes".to_owned(), |what| format!("NO: {}", one_line(what)));
        text.push_str(&format!("{attack:<44} {barrier:<28} {held}\n"));
    }
    text.push_str(&format!("{} of {} held", outcomes.len() - broken, outcomes.len()));
    text
}
