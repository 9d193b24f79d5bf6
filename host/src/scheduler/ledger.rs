//! Quotas: what was used and what is set aside, in every scope.

use serde::{Deserialize, Serialize};

use super::event::Amounts;
use super::options::Limits;

/// The ledger at one moment, to be stored by whoever makes it durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerSnapshot {}

/// What a scope used, and its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeUsage {
    /// The limits in force.
    pub limits: Limits,
    /// Charged within the present window.
    pub window: Amounts,
    /// Charged since the beginning.
    pub total: Amounts,
    /// The part of `total` that gave no answer.
    pub wasted: Amounts,
    /// Set aside for calls in flight.
    pub reserved: Amounts,
    /// Milliseconds since admission, pauses left out; zero for owners and the host.
    pub wall_ms: u64,
}
