//! What an operator sees of the ledger and of the slots.

use std::sync::PoisonError;

use super::{Agents, OperateError};
use crate::scheduler::{ProviderId, Scope, ScopeUsage, SlotUse};

impl Agents {
    /// The limits of a scope and what it has used.
    ///
    /// # Errors
    /// There is no such scope: an agent that was never here or has ended.
    pub fn usage(&self, scope: Scope) -> Result<ScopeUsage, OperateError> {
        let usage = self.executor().look(|scheduler, now| scheduler.usage(scope, now));
        let limits = self.options.schedule.owner_limits;
        let unused = ScopeUsage { limits, ..ScopeUsage::default() };
        // An owner whose agents are still to come has used nothing.
        let usage = usage.or_else(|| matches!(scope, Scope::Owner(_)).then_some(unused));
        usage.ok_or_else(|| match scope {
            Scope::Agent(pid) | Scope::Tree(pid) if self.find(pid).is_some() => {
                OperateError::Ended(pid)
            }
            Scope::Agent(pid) | Scope::Tree(pid) => OperateError::NoAgent(pid),
            Scope::Host | Scope::Owner(_) => OperateError::Refused(format!("{scope} has no agent")),
        })
    }

    /// The providers that were asked so far, each with its slots.
    pub fn provider_slots(&self) -> Vec<(String, SlotUse)> {
        let names = self.own.providers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.executor().look(|scheduler, _now| {
            let numbered = (0..=u16::MAX).zip(names);
            let slots = |number| scheduler.model_slots(ProviderId(number)).unwrap_or_default();
            numbered.map(|(number, name)| (name, slots(number))).collect()
        })
    }

    /// The slots of tools.
    pub fn tool_slots(&self) -> SlotUse {
        self.executor().look(|scheduler, _now| scheduler.tool_slots())
    }
}
