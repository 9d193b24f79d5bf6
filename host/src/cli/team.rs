//! `aos-host run team.toml`: the agents of a file in the foreground, to their last answer.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinSet;

use super::agent::models;
use super::exit::{Code, Failure};
use super::operate::{code_of, how};
use super::ps::{state, table};
use super::run::Format;
use super::signals::Signals;
use super::terminal::{self, one_line};
use crate::config::Config;
use crate::config::agent::agent_options;
use crate::config::team::{Team, load};
use crate::kernel::agents::{Agents, Spawn, SpawnError};
use crate::kernel::{Kernel, SessionOptions};
use crate::sandbox::engine::Profile;
use crate::types::{Ending, Pid, ProcessView, Standing, Waiting};

/// When every agent has waited so long for room in a budget, the run ends, unless the file says.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the table is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// After a signal agents have this long to end.
const GRACE: Duration = Duration::from_secs(15);
/// Agents that a live table shows.
const SHOWN_MAX: usize = 30;

/// Runs the agents of a file; the code is that of the worst ending.
///
/// # Errors
/// One sentence about the file or what it names, before anything runs.
pub async fn run(config: &Config, path: &Path, format: Format) -> Result<Code, Failure> {
    let team = load(path).map_err(Failure::usage)?;
    let mut signals = Signals::watch_for(GRACE)?;
    let kernel = Kernel::builder()
        .profile(Profile::Host)
        .store(config.store.clone())
        .cache(config.cache_folder.clone(), config.cache_bytes_max)
        .on_compile(terminal::compile_spinner())
        .build()
        .await?;
    let ran = signals.or(run_in(config, &kernel, &team, path)).await;
    let ran = match ran {
        Ok(ran) => ran,
        Err(interrupted) => {
            if let Ok(agents) = kernel.agents() {
                agents.close(Duration::ZERO).await;
            }
            kernel.leave().await?;
            return Err(interrupted.into());
        }
    };
    kernel.leave().await?;
    tell(&ran?, format)
}

/// How one agent came to its end.
struct Ended {
    view: ProcessView,
    /// None: it waited for room in a budget that did not come.
    ending: Option<Ending>,
}

async fn run_in(
    config: &Config,
    kernel: &Kernel,
    team: &Team,
    path: &Path,
) -> Result<Vec<Ended>, Failure> {
    let models = models(config)?;
    let mut spawns: Vec<Spawn> = Vec::with_capacity(team.agents.len());
    for spec in &team.agents {
        let resolved = spec.resolve(config, kernel, &models, SessionOptions::default()).await;
        spawns.push(resolved.map_err(|error| {
            let name = spec.name.as_deref().unwrap_or_default();
            let Failure { code, sentence } = error.into();
            Failure::new(code, format!("{}: agent `{name}`: {sentence}", path.display()))
        })?);
    }
    let mut options = agent_options(config, models);
    team.host.over(&mut options);
    let agents = kernel.start_agents(options)?.clone();
    let mut pids = Vec::with_capacity(spawns.len());
    for spawn in spawns {
        let born = agents.spawn_first(spawn).await;
        pids.push(born.map_err(|error| Failure::new(code_of_birth(&error), error))?);
    }
    let patience = team.host.patience.or(config.host.patience).map_or(PATIENCE, |time| time.0);
    let ended = follow(&agents, &pids, patience).await;
    agents.close(Duration::ZERO).await;
    // What is told as done is on the disk first.
    kernel.sync().await?;
    ended
}

/// The code of an agent that was not born.
fn code_of_birth(error: &SpawnError) -> Code {
    match error {
        SpawnError::Limit(_) => Code::Limit,
        SpawnError::Refused(_) | SpawnError::Window { .. } => Code::Usage,
        SpawnError::Journal(_) => Code::Host,
    }
}

/// Waits for all of them, and says meanwhile where they stand.
async fn follow(agents: &Agents, pids: &[Pid], patience: Duration) -> Result<Vec<Ended>, Failure> {
    let mut waiting = JoinSet::new();
    for pid in pids.iter().copied() {
        let agents = agents.clone();
        waiting.spawn(async move {
            let ending = agents.wait(pid).await;
            // At once: it is forgotten when many have ended after it.
            (pid, agents.show(pid), ending)
        });
    }
    let mut ended: BTreeMap<Pid, Ended> = BTreeMap::new();
    let mut shown = Shown::new();
    let mut stuck_since = None;
    while !waiting.is_empty() {
        if let Ok(Some(joined)) = tokio::time::timeout(LOOK, waiting.join_next()).await {
            let (pid, view, ending) = joined.map_err(Failure::host)?;
            let view = view.map_err(Failure::host)?;
            let ending = Some(ending.map_err(Failure::host)?);
            shown.ended(&view);
            ended.insert(pid, Ended { view, ending });
        }
        let views = agents.list();
        shown.draw(&views);
        if !all_wait_for_quota(&views) {
            stuck_since = None;
        } else if stuck_since.get_or_insert_with(Instant::now).elapsed() >= patience {
            break;
        }
    }
    // Those that are left wait for what does not come.
    for pid in pids.iter().filter(|pid| !ended.contains_key(pid)).copied().collect::<Vec<_>>() {
        let view = agents.show(pid).map_err(Failure::host)?;
        ended.insert(pid, Ended { view, ending: None });
    }
    shown.clear();
    Ok(ended.into_values().collect())
}

fn all_wait_for_quota(views: &[ProcessView]) -> bool {
    let mut living = views.iter().filter(|view| view.standing != Standing::Exited).peekable();
    living.peek().is_some() && living.all(|view| view.standing == Standing::Waiting(Waiting::Quota))
}

/// What is shown while they run: a table on a terminal, a line an end elsewhere.
struct Shown {
    table: Option<ProgressBar>,
    drawn: Option<Instant>,
}

impl Shown {
    fn new() -> Self {
        let table = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // Without a template of its own it would draw a bar.
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { table, drawn: None }
    }

    fn draw(&mut self, views: &[ProcessView]) {
        let Some(bar) = &self.table else { return };
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < LOOK) {
            return;
        }
        self.drawn = Some(Instant::now());
        // Those that live come first, so that a large team shows what goes on.
        let mut shown: Vec<_> = views.to_vec();
        shown.sort_by_key(|view| view.standing == Standing::Exited);
        let more = shown.len().saturating_sub(SHOWN_MAX);
        shown.truncate(SHOWN_MAX);
        let mut text = table(&shown);
        if more > 0 {
            text.push_str(&format!("\nand {more} more"));
        }
        bar.set_message(text);
    }

    fn ended(&self, view: &ProcessView) {
        if self.table.is_none() {
            // Nobody is left to tell when stderr is closed.
            let _told = writeln!(
                std::io::stderr(),
                "agent {} ({}) {}",
                view.pid,
                one_line(&view.name),
                state(view)
            );
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.table {
            bar.finish_and_clear();
        }
    }
}

/// Prints the answers in the order of the file.
fn tell(ended: &[Ended], format: Format) -> Result<Code, Failure> {
    let codes = ended.iter().map(|one| one.ending.as_ref().map_or(Code::Paused, code_of));
    let worst = codes.max_by_key(|code| rank(*code)).unwrap_or(Code::Ok);
    if format == Format::Json {
        let views: Vec<_> = ended.iter().map(|one| &one.view).collect();
        terminal::print_line(&serde_json::json!(views).to_string())?;
        return if worst == Code::Ok { Ok(worst) } else { Err(Failure::silent(worst)) };
    }
    let mut failed = Vec::new();
    for Ended { view, ending } in ended {
        let name = one_line(&view.name);
        match ending {
            Some(Ending::Returned(text)) => {
                terminal::print_line(&format!("## {name}\n{}", terminal::shown(text)))?;
            }
            Some(ending) => failed.push(format!("{name} {}", how(ending))),
            None => {
                let why = view.reason.as_deref().unwrap_or("it waits for room in a budget");
                failed.push(format!("{name} is paused: {why}"));
            }
        }
    }
    match failed.is_empty() {
        true => Ok(worst),
        false => Err(Failure::new(worst, failed.join("\n       "))),
    }
}

/// The worse the higher.
fn rank(code: Code) -> u8 {
    match code {
        Code::Ok => 0,
        Code::Tool | Code::Guest(_) => 1,
        Code::Usage | Code::Denied | Code::Plugin | Code::Missing => 2,
        Code::Limit => 3,
        Code::Paused => 4,
        Code::Host | Code::Signal(_) => 5,
    }
}
