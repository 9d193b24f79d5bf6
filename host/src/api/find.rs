//! Which agent a person means: its pid, or a name that one agent alone has.

use super::words::{Blame, Problem};
use crate::kernel::agents::Agents;
use crate::sandbox::plain::nearest;
use crate::types::{Pid, ProcessView, Standing};

/// Agents that a sentence names at most.
const NAMED_MAX: usize = 8;

/// The agent that `who` means.
pub(super) fn find(agents: &Agents, who: &str) -> Result<Pid, Problem> {
    if let Ok(pid) = who.parse().map(Pid)
        && agents.show(pid).is_ok()
    {
        return Ok(pid);
    }
    choose(&agents.list(), who)
}

/// Those that live come first: a name may have been used before.
fn choose(agents: &[ProcessView], who: &str) -> Result<Pid, Problem> {
    let lives = |agent: &&ProcessView| agent.standing != Standing::Exited;
    let named: Vec<_> = agents.iter().filter(|agent| agent.name == who).collect();
    let living: Vec<_> = named.iter().copied().filter(lives).collect();
    match (&living[..], &named[..]) {
        ([one], _) => Ok(one.pid),
        ([], [.., newest]) => Ok(newest.pid),
        ([], []) => Err(Problem::new(Blame::NoAgent, nobody(agents, who))),
        (several, _) => {
            let count = several.len();
            let pids: Vec<_> = several.iter().map(|agent| agent.pid.to_string()).collect();
            let pids = cut(&pids);
            let sentence =
                format!("{count} agents are called `{who}`: name one by its pid ({pids})");
            Err(Problem::new(Blame::Unclear, sentence))
        }
    }
}

fn nobody(agents: &[ProcessView], who: &str) -> String {
    let kind = if who.parse::<u64>().is_ok() { "agent" } else { "agent called" };
    let who = match who.parse::<u64>() {
        Ok(number) => number.to_string(),
        Err(_) => format!("`{who}`"),
    };
    if agents.is_empty() {
        return format!("there is no {kind} {who}: none has run here; `aos-host spawn` starts one");
    }
    let name = who.trim_matches('`');
    if let Some(near) = nearest(name, agents.iter().map(|agent| agent.name.as_str())) {
        return format!("there is no {kind} {who}; did you mean `{near}`?");
    }
    let known: Vec<_> =
        agents.iter().rev().map(|agent| format!("{} ({})", agent.pid, agent.name)).collect();
    format!("there is no {kind} {who}; there are {}", cut(&known))
}

fn cut(words: &[String]) -> String {
    let shown = words[..words.len().min(NAMED_MAX)].join(", ");
    match words.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::AgentUsage;

    fn agent(pid: u64, name: &str, standing: Standing) -> ProcessView {
        ProcessView {
            pid: Pid(pid),
            parent: None,
            name: name.into(),
            program: "p".into(),
            model: "m".into(),
            priority: 50,
            standing,
            reason: None,
            ending: None,
            usage: AgentUsage::default(),
            wall_ms: 0,
            chain: String::new(),
            task: String::new(),
        }
    }

    #[test]
    fn a_name_means_the_one_that_lives_else_the_last_that_did() {
        let agents = [
            agent(1, "a", Standing::Exited),
            agent(2, "a", Standing::Ready),
            agent(3, "b", Standing::Exited),
            agent(4, "b", Standing::Exited),
        ];
        assert_eq!(choose(&agents, "a"), Ok(Pid(2)));
        assert_eq!(choose(&agents, "b"), Ok(Pid(4)));
    }

    #[test]
    fn what_is_not_clear_is_told_with_what_would_be() {
        let agents = [agent(1, "twin", Standing::Ready), agent(2, "twin", Standing::Paused)];
        let error = choose(&agents, "twin").expect_err("two").sentence;
        assert!(error.contains("pid (1, 2)"), "{error}");
        let error = choose(&agents, "twinn").expect_err("none").sentence;
        assert!(error.contains("did you mean `twin`"), "{error}");
        let error = choose(&agents, "7").expect_err("none").sentence;
        assert!(error.contains("no agent 7; there are 2 (twin), 1 (twin)"), "{error}");
        assert!(choose(&[], "7").expect_err("none").sentence.contains("spawn"));
    }
}
