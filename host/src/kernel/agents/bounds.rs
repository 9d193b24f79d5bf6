//! What no agent may exceed: the bounds on a birth, its own limits, the room for one request.

use std::sync::Arc;

use super::memory::budget_tokens_min;
use super::process::{Holdings, Process};
use super::{Agents, Spawn, SpawnError};
use crate::model::Endpoint;
use crate::sandbox::program::Kind;
use crate::scheduler::{Limits, Misuse, Scope};
use crate::types::LimitHit;

/// Tokens of a prompt that are left free in a model's window for its reply.
const REPLY_TOKENS: u64 = 4_096;
/// Bytes of an agent's name.
const NAME_BYTES_MAX: usize = 200;

impl Agents {
    /// Refuses what can be told before anything is written.
    pub(super) fn check(
        &self,
        parent: Option<&Arc<Process>>,
        spawn: &Spawn,
    ) -> Result<(), SpawnError> {
        let refused = |sentence: String| Err(SpawnError::Refused(sentence));
        let Spawn { name, plugin, task, .. } = spawn;
        if !matches!(plugin.program().kind, Kind::Agent(_)) {
            let (program, kind) = (&plugin.program().name, plugin.program().kind.name());
            return refused(format!("`{program}` is a {kind} and no agent"));
        }
        let named =
            !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
        if !named {
            return refused("an agent's name has 1 to 200 bytes and no control characters".into());
        }
        let most = self.options.task_bytes_max;
        if task.len() > most {
            let remedy = "a shorter task, or a file that it reads";
            return Err(bound("task", most as u64, "bytes", remedy));
        }
        if let Some(parent) = parent {
            let (children, depth) = (self.options.children_max, self.options.schedule.depth_max);
            if parent.state().children.len() >= children {
                return Err(bound("children", children as u64, "agents", "waiting for some"));
            }
            // Its tools are a generation below an agent.
            if parent.depth + 2 >= depth {
                return Err(bound("depth", u64::from(depth), "generations", "a flatter team"));
            }
        }
        self.check_budget(spawn)?;
        if self.table().closing {
            return refused("the host is closing".into());
        }
        Ok(())
    }

    /// A budget that its task alone exceeds is refused before anything is written.
    fn check_budget(&self, spawn: &Spawn) -> Result<(), SpawnError> {
        let setting = self.setting(spawn);
        let counter = setting.tokenizer.counter();
        let needed = budget_tokens_min(&spawn.task, &*counter, setting.factor);
        if needed <= setting.budget_tokens {
            return Ok(());
        }
        let room = self.room_at_birth(spawn);
        let flag = match room.limit {
            Some(_) if setting.budget_tokens == room.tokens => "`--request-tokens` raises it",
            Some(_) | None => "`--context-budget` sets it",
        };
        let tokens = setting.budget_tokens;
        let sentence = format!(
            "a context budget of {tokens} tokens is too small for the task: it needs at least \
             {needed}, and the program's own instructions and tools beside that; {flag}"
        );
        Err(SpawnError::Window { tokens, sentence })
    }

    /// Windows of its own over the usual ones; none where it brings none.
    pub(super) fn own_limits(&self, holdings: &Holdings) -> Option<Limits> {
        let (own, usual) = (holdings.windows, self.options.schedule.agent_limits);
        (own != Limits::FREE).then(|| Limits {
            request_tokens: own.request_tokens.or(usual.request_tokens),
            window_tokens: own.window_tokens.or(usual.window_tokens),
            window_calls: own.window_calls.or(usual.window_calls),
            window_microdollars: own.window_microdollars.or(usual.window_microdollars),
            ..usual
        })
    }

    /// Room for a prompt of an agent that is to be born: as in the ledger, a limit above replaces
    /// the usual one, and one of its own holds as well.
    pub(super) fn room_at_birth(&self, spawn: &Spawn) -> PromptRoom {
        let of = |scope| self.usage(scope).ok().and_then(|usage| usage.limits.request_tokens);
        let above = of(Scope::Host).into_iter().chain(of(Scope::Owner(spawn.owner))).min();
        let usual = self.options.schedule.agent_limits.request_tokens;
        let request = match (spawn.holdings.windows.request_tokens, above) {
            (Some(own), above) => Some(own.min(above.unwrap_or(u64::MAX))),
            (None, above) => above.or(usual),
        };
        PromptRoom::of(&spawn.endpoint, request)
    }

    /// Room for a prompt of an agent to this model, now.
    pub(super) fn room_now(&self, process: &Process, endpoint: &Endpoint) -> PromptRoom {
        let limit = self.executor().look(|scheduler, _now| scheduler.request_limit(process.pid));
        PromptRoom::of(endpoint, limit)
    }
}

/// Room for a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PromptRoom {
    /// In the model's own count.
    pub(super) tokens: u64,
    /// Tokens that are left for the reply.
    pub(super) reply_tokens: u64,
    /// The limit on one request that makes it smaller than the model's window, where one does.
    pub(super) limit: Option<u64>,
}

impl PromptRoom {
    /// What a model's window and a limit on one request leave.
    fn of(endpoint: &Endpoint, request: Option<u64>) -> Self {
        let whole = endpoint.window().min(request.unwrap_or(u64::MAX));
        let reply = REPLY_TOKENS.min(u64::from(endpoint.output_max()));
        // A quarter is enough of a small whole, and what estimates miss fits into it too.
        let reply_tokens = reply.min(whole / 4);
        let limit = request.filter(|limit| *limit < endpoint.window());
        Self { tokens: (whole - reply_tokens).max(1), reply_tokens, limit }
    }
}

/// Why the scheduler took no agent, for whoever wanted it.
pub(super) fn unadmitted(misuse: &Misuse) -> SpawnError {
    match misuse {
        Misuse::Full { what, limit } => {
            let remedy = match *what {
                "agents" => "--agents-max of the host",
                "generations" => "--depth-max of the host",
                _ => "waiting",
            };
            bound(what, *limit, what, remedy)
        }
        Misuse::NoAgent(_)
        | Misuse::AgentTwice(_)
        | Misuse::WrongParent(_)
        | Misuse::WrongCall(_)
        | Misuse::CallTwice(_)
        | Misuse::WrongWorker(_)
        | Misuse::NoScope(_) => SpawnError::Refused(misuse.to_string()),
    }
}

fn bound(name: &'static str, value: u64, unit: &'static str, remedy: &'static str) -> SpawnError {
    SpawnError::Limit(LimitHit {
        name: name.into(),
        value,
        unit: unit.into(),
        remedy: remedy.into(),
    })
}
