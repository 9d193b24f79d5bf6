//! `aos-host serve`: a host that stays.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::agent::models;
use super::audit::{Outside, keep_anchored, signed};
use super::exit::{Code, Failure};
use super::signals::Signals;
use super::terminal::visible;
use crate::api::ApiError;
use crate::api::address::Address;
use crate::api::client::Client;
use crate::api::daemon::Daemon;
use crate::api::words::Blame;
use crate::config::agent::agent_options;
use crate::config::host::HostTable;
use crate::config::{Bytes, Config, Time};
use crate::journal::{SignedHead, SigningKey};
use crate::kernel::Kernel;
use crate::kernel::agents::Recovered;
use crate::sandbox::engine::Profile;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// How long agents may go on after SIGINT or SIGTERM before they are ended; a second signal
    /// leaves at once
    #[arg(long, value_name = "TIME", default_value = "10s")]
    drain: Time,
    /// Where signed heads of the journal go: a file that they are appended to, better one that
    /// this user cannot change, or `|COMMAND`, which gets each on its standard input
    #[arg(long, value_name = "FILE|COMMAND")]
    anchor: Option<Outside>,
    /// How often
    #[arg(long, value_name = "TIME", default_value = "1m", requires = "anchor")]
    anchor_every: Time,
    #[command(flatten)]
    host: HostArgs,
}

/// `[host]` of the configuration, as flags over it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Host")]
struct HostArgs {
    /// Model calls in flight, per provider
    #[arg(long, value_name = "CALLS")]
    model_slots: Option<u32>,
    /// Tool calls at once
    #[arg(long, value_name = "CALLS")]
    tool_slots: Option<u32>,
    /// One turn of CPU
    #[arg(long, value_name = "TIME")]
    cpu_slice: Option<Time>,
    /// Model service after which an agent's place among its equals is reckoned anew
    #[arg(long, value_name = "TIME")]
    model_slice: Option<Time>,
    /// Cut a model call in flight, once, for an agent that is more urgent by so many points
    #[arg(long, value_name = "POINTS")]
    cut_points: Option<u8>,
    /// How long a call is held back for a provider that says "not now"
    #[arg(long, value_name = "TIME")]
    call_patience: Option<Time>,
    /// Agents and tool calls at once
    #[arg(long, value_name = "AGENTS")]
    agents_max: Option<u32>,
    /// Children of one agent
    #[arg(long, value_name = "AGENTS")]
    children_max: Option<u32>,
    /// Generations of agents, with the tools of the last
    #[arg(long, value_name = "GENERATIONS")]
    depth_max: Option<u8>,
    /// Messages in one mailbox
    #[arg(long, value_name = "MESSAGES")]
    mailbox_max: Option<u32>,
    /// Bytes of all pages of one agent
    #[arg(long, value_name = "SIZE")]
    stored_bytes: Option<Bytes>,
}

impl HostArgs {
    /// The flags over what the configuration says.
    fn over(&self, config: &Config) -> Result<Config, Failure> {
        let flags = HostTable {
            model_slots: self.model_slots,
            tool_slots: self.tool_slots,
            cpu_slice: self.cpu_slice,
            model_slice: self.model_slice,
            cut_points: self.cut_points,
            call_patience: self.call_patience,
            agents_max: self.agents_max,
            children_max: self.children_max,
            depth_max: self.depth_max,
            mailbox_max: self.mailbox_max,
            stored_bytes: self.stored_bytes,
            ..HostTable::default()
        };
        flags
            .check()
            .map_err(|what| Failure::usage(format!("--{}", what.replacen('_', "-", 1))))?;
        Ok(Config { host: flags.or(&config.host), ..config.clone() })
    }
}

/// After the drain, what is left to do may take this long before the process leaves anyway.
const GRACE: Duration = Duration::from_secs(20);
/// Each head reads the heads of all chains.
const ANCHOR_EVERY_MIN: Duration = Duration::from_secs(1);

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let code = match error.blame() {
            Blame::Usage | Blame::NoAgent | Blame::Unclear | Blame::Ended => Code::Usage,
            Blame::Plugin => Code::Plugin,
            Blame::Limit => Code::Limit,
            Blame::Closing | Blame::Host => Code::Host,
        };
        Self::new(code, error)
    }
}

/// The daemon of the configured store, there or not.
///
/// # Errors
/// When the store's address cannot be told.
pub fn client(config: &Config) -> Result<Client, Failure> {
    Ok(Client::new(Address::of(&config.store, &config.runtime_folder)?))
}

/// Serves until a signal comes.
pub async fn serve(config: &Config, arguments: &ServeArgs) -> Result<Code, Failure> {
    let config = &arguments.host.over(config)?;
    // First of all: whoever comes second changes nothing.
    let held = Address::of(&config.store, &config.runtime_folder)?.take()?;
    let drain = arguments.drain.0;
    let mut signals = Signals::watch_for(drain.saturating_add(GRACE))?;
    let kernel = Kernel::builder()
        .profile(Profile::Host)
        .store(config.store.clone())
        .cache(config.cache_folder.clone(), config.cache_bytes_max)
        .build()
        .await?;
    let anchored = Anchored::begin(config, &kernel, arguments).await?;
    let models = models(config)?;
    let mut options = agent_options(config, models.clone());
    options.resumes = true;
    let window = options.schedule.window;
    let agents = kernel.start_agents(options)?;
    let (recovered, live_max) = (agents.recover().await?, agents.live_max());
    let daemon = Daemon::listen(held, config.clone(), kernel.clone(), models, window)?;
    let (store, socket) = (daemon.address().store(), daemon.address().socket());
    say(&format!(
        "aos-host {} serves {store} (process {}); its socket is {}; at most {live_max} \
         agents live at once, others wait for one to end",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        socket.display()
    ));
    tell(&recovered);
    let stop = async {
        signals.first().await;
        let drain = humantime::format_duration(drain);
        say(&format!("closing: agents have {drain} to end; another signal leaves at once"));
    };
    let all_ended = {
        let (ended, wait) = tokio::sync::oneshot::channel::<()>();
        let serving = async {
            let all_ended = daemon.serve(stop, drain).await;
            drop(ended);
            all_ended
        };
        let anchoring = async {
            if let Some(anchored) = anchored {
                anchored.keep(&kernel, wait).await;
            }
        };
        tokio::join!(serving, anchoring).0
    };
    kernel.leave().await?;
    match all_ended {
        true => Ok(Code::Ok),
        false => Err(Failure::host("some agents did not end in time; their chains have no end")),
    }
}

/// Where this host's signed heads go, and the first of them.
struct Anchored<'a> {
    outside: &'a Outside,
    every: Duration,
    key: SigningKey,
    first: SignedHead,
}

impl<'a> Anchored<'a> {
    /// Carries the first head away: a host that cannot does not start.
    async fn begin(
        config: &Config,
        kernel: &Kernel,
        arguments: &'a ServeArgs,
    ) -> Result<Option<Self>, Failure> {
        let Some(outside) = &arguments.anchor else { return Ok(None) };
        let every = arguments.anchor_every.0;
        if every < ANCHOR_EVERY_MIN {
            return Err(Failure::usage("--anchor-every is at least 1s"));
        }
        let key = SigningKey::at(&config.anchor_key).map_err(Failure::host)?;
        let first = signed(&**kernel.storage(), &key).await?;
        outside.take(&first).await.map_err(Failure::host)?;
        Ok(Some(Self { outside, every, key, first }))
    }

    async fn keep(self, kernel: &Kernel, ended: tokio::sync::oneshot::Receiver<()>) {
        let stop = async {
            // It is never sent: its other end is dropped.
            let _ended = ended.await;
            // The last rows are on their way.
            if let Err(fault) = kernel.sync().await {
                say(&fault.to_string());
            }
        };
        let Self { outside, every, key, first } = self;
        keep_anchored(&**kernel.storage(), &key, outside, every, first, stop, say).await;
    }
}

/// What became of the agents of the host before.
fn tell(recovered: &Recovered) {
    let Recovered { agents, stopped, orphans } = recovered;
    let count = |n: usize| if n == 1 { "1 agent".to_owned() } else { format!("{n} agents") };
    if *agents > 0 {
        say(&format!("{} of before: they go on where they stood", count(*agents)));
    }
    if *orphans > 0 {
        say(&format!("{} of before had lost their parents and were ended", count(*orphans)));
    }
    for (pid, why) in stopped {
        say(&format!("agent {pid} stands still: {why}"));
    }
}

/// A word for whoever started it, or for its log.
fn say(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _told = writeln!(std::io::stderr(), "{}", visible(text));
}
