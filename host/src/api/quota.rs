//! Scopes as people write them, and what may be changed of their limits.

use super::find::find;
use super::words::{Blame, Change, Problem, Set};
use crate::kernel::agents::Agents;
use crate::scheduler::{OwnerId, Scope};

/// `host`, `owner`, `owner:N`, `agent:WHO`, `tree:WHO`.
pub(super) fn scope(agents: &Agents, text: &str) -> Result<Scope, Problem> {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    match (kind, name) {
        ("host", "") => Ok(Scope::Host),
        ("owner", "") => Ok(Scope::Owner(OwnerId(0))),
        ("owner", number) => {
            number.parse().map(|number| Scope::Owner(OwnerId(number))).map_err(|_| {
                Problem::new(Blame::Usage, format!("`{number}` is no number of an owner"))
            })
        }
        ("agent", who) if !who.is_empty() => Ok(Scope::Agent(find(agents, who)?)),
        ("tree", who) if !who.is_empty() => Ok(Scope::Tree(find(agents, who)?)),
        _ => Err(Problem::new(
            Blame::Usage,
            format!("`{text}` is no scope; write host, owner, agent:PID or tree:PID"),
        )),
    }
}

/// Refuses what would have no effect, or stop everything.
pub(super) fn check(scope: Scope, change: &Change) -> Result<(), Problem> {
    let Change { request_tokens, window_tokens, window_calls, window_microdollars, .. } = *change;
    let Change { total_tokens, total_calls, total_microdollars, total_wall_ms, .. } = *change;
    let all = [
        request_tokens,
        window_tokens,
        window_calls,
        window_microdollars,
        total_tokens,
        total_calls,
        total_microdollars,
        total_wall_ms,
    ];
    if all.contains(&Set::To(0)) {
        let sentence = "a limit must be more than 0; `aos-host pause` stops an agent";
        return Err(Problem::new(Blame::Usage, sentence));
    }
    if all.iter().all(|set| *set == Set::Keep) {
        return Err(Problem::new(Blame::Usage, "say which limit: none was named"));
    }
    let is_alone = matches!(scope, Scope::Host | Scope::Owner(_));
    if is_alone && total_wall_ms != Set::Keep {
        return Err(Problem::new(Blame::Usage, format!("{scope} has no limit on wall time")));
    }
    Ok(())
}
