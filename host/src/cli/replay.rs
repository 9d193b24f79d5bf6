//! `aos-host replay PID`: an agent's program run again against its journal.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use tokio::sync::mpsc;

use super::exit::{Code, Failure};
use super::run::Format;
use super::signals::Signals;
use super::terminal::{self, visible};
use crate::config::Config;
use crate::kernel::Kernel;
use crate::kernel::replay::{Replayed, Shown, Step};
use crate::types::Pid;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The agent's number
    pid: u64,
    /// The last row to play back; without it the replay goes to the end of the journal
    #[arg(long, value_name = "ROW")]
    until: Option<i64>,
    /// Wait for Enter after each question
    #[arg(long)]
    step: bool,
    /// How to print each question
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
}

/// Characters of a question or answer that a line shows.
const SHOWN_CHARS: usize = 160;

/// Replays, and shows each question. A difference is told with both sides, and is code 1.
pub async fn replay(config: &Config, arguments: &ReplayArgs) -> Result<Code, Failure> {
    let store = super::audit::opened(&config.store).await?;
    if arguments.step && !std::io::stdin().is_terminal() {
        return Err(Failure::usage("--step waits for Enter, and stdin is no terminal"));
    }
    if arguments.until.is_some_and(|until| until < 0) {
        return Err(Failure::usage("--until takes the number of a row: 0 or more"));
    }
    let mut signals = Signals::watch()?;
    let kernel = Kernel::builder()
        .storage(store)
        .cache(config.cache_folder.clone(), config.cache_bytes_max)
        .on_compile(terminal::compile_spinner())
        .build()
        .await?;
    let (show, mut steps) = mpsc::channel::<Shown>(1);
    let replayed = kernel.replay(Pid(arguments.pid), arguments.until, show);
    let looked = async {
        while let Some((step, go_on)) = steps.recv().await {
            print(&step, arguments)?;
            let _gone = go_on.send(());
        }
        Ok::<_, Failure>(())
    };
    let both = async { tokio::join!(replayed, looked) };
    let (replayed, looked) = signals.or(both).await?;
    looked?;
    tell(arguments, &replayed?)
}

fn print(step: &Step, arguments: &ReplayArgs) -> Result<(), Failure> {
    let line = match arguments.output {
        Format::Json => serde_json::json!({
            "seq": step.seq, "name": step.name, "asked": step.asked, "answer": step.answer,
        })
        .to_string(),
        Format::Text => format!(
            "{:>5} {:<20} {}\n      {:<20} {}",
            step.seq,
            step.name,
            shown(&step.asked.to_string()),
            "",
            shown(&step.answer.to_string())
        ),
    };
    terminal::print_line(&line)?;
    if arguments.step {
        let _told = write!(std::io::stderr(), "      Enter goes on ");
        let read = std::io::stdin().lock().read_line(&mut String::new());
        read.map_err(Failure::host)?;
    }
    Ok(())
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    visible(&format!("{cut}{more}")).to_string()
}

fn tell(arguments: &ReplayArgs, replayed: &Replayed) -> Result<Code, Failure> {
    let pid = arguments.pid;
    let (word, compared, sentence) = match replayed {
        Replayed::Ended(compared) => ("ended", compared, "it ended as its journal says".to_owned()),
        Replayed::Live(compared) => {
            ("live", compared, "it stands where its journal ends".to_owned())
        }
        Replayed::Until(compared) => {
            let until = arguments.until.unwrap_or_default();
            ("until", compared, format!("row {until} is reached"))
        }
        Replayed::Diverged(compared, both) => ("diverged", compared, both.clone()),
    };
    if arguments.output == Format::Json {
        let value = serde_json::json!({
            "pid": pid, "replay": word, "compared": compared, "sentence": sentence,
        });
        terminal::print_line(&value.to_string())?;
    }
    match (replayed, arguments.output) {
        (Replayed::Diverged(..), Format::Json) => Err(Failure::silent(Code::Tool)),
        (Replayed::Diverged(..), Format::Text) => Err(Failure::new(
            Code::Tool,
            format!("agent {pid} differs from its journal after {compared} questions: {sentence}"),
        )),
        (_, Format::Json) => Ok(Code::Ok),
        (_, Format::Text) => {
            terminal::print_line(&format!("ok: {compared} questions as they were; {sentence}"))
        }
    }
}
