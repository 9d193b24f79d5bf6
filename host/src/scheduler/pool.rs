//! The slots of one provider, or of all tools: who holds them and who waits.

use std::collections::{BTreeMap, BTreeSet};

use super::estimate::Estimates;
use super::queue::Queue;
use crate::scheduler::{Moment, ProviderId, Ticket};

/// Tokens times this are the queue's cost units, so that weights of 1,000 still divide well.
pub(super) const TOKEN_UNITS: u64 = 1_024;
/// Runs whose attained tokens differ by less than this are equals.
const TOKENS_QUANTUM: u64 = 2_048;
/// A nanosecond of a tool's time or of CPU in the queue's cost units.
pub(super) const TIME_UNITS: u64 = 16;
/// Tool time that makes a difference between runs.
const TOOL_QUANTUM_NS: u64 = 100_000_000;

/// What a call needs a slot of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    Model(ProviderId),
    Tools,
}

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) slots: u32,
    pub(super) running: u32,
    /// Nothing starts before.
    pub(super) paced_until: Moment,
    pub(super) queue: Queue,
    pub(super) estimates: Estimates,
    /// Calls that may be cut: (level, started, ticket).
    pub(super) cuttable: BTreeSet<(u8, Moment, Ticket)>,
    /// Calls that were told to stop and have not ended.
    pub(super) cutting: u32,
}

impl Pool {
    pub(super) fn models(slots: u32, patience_ns: u64) -> Self {
        Self::new(slots, Queue::new(patience_ns, TOKENS_QUANTUM * TOKEN_UNITS))
    }

    pub(super) fn tools(slots: u32, patience_ns: u64) -> Self {
        Self::new(slots, Queue::new(patience_ns, TOOL_QUANTUM_NS * TIME_UNITS))
    }

    fn new(slots: u32, queue: Queue) -> Self {
        Self {
            slots,
            running: 0,
            paced_until: Moment::default(),
            queue,
            estimates: Estimates::default(),
            cuttable: BTreeSet::new(),
            cutting: 0,
        }
    }

    pub(super) fn may_start(&self, now: Moment) -> bool {
        self.running < self.slots && now >= self.paced_until
    }
}

/// All pools.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) models: BTreeMap<ProviderId, Pool>,
    pub(super) tools: Pool,
}

impl Pools {
    pub(super) fn get_mut(&mut self, resource: Resource) -> Option<&mut Pool> {
        match resource {
            Resource::Model(provider) => self.models.get_mut(&provider),
            Resource::Tools => Some(&mut self.tools),
        }
    }
}
