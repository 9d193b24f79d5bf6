//! Moments, identifiers, priorities and amounts.

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since the scheduler's clock began. The driver owns the clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Moment(pub u64);

impl Moment {
    /// The end of time: what never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment and so many nanoseconds, at most [`Moment::NEVER`].
    #[must_use]
    pub fn after_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to this; zero where `earlier` is later.
    pub fn since_ns(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

pub use crate::types::Pid;

/// Whoever agents run for; the driver maps names to numbers and keeps them across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OwnerId(pub u32);

/// A provider of models: a pool of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProviderId(pub u16);

/// One thread that runs guests: 0 to [`super::Options::workers`] less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// One model or tool call, unique among all that ever were; the driver numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// How urgent: 0 to 100, lower first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(u8);

impl Priority {
    /// The least urgent.
    pub const LEAST: Self = Self(100);

    /// None above 100.
    pub const fn new(value: u8) -> Option<Self> {
        if value <= Self::LEAST.0 { Some(Self(value)) } else { None }
    }

    /// 0 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    /// The middle.
    fn default() -> Self {
        Self(50)
    }
}

/// Amounts of what the ledger counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Tokens; cache reads weigh a tenth, rounded up.
    pub tokens: u64,
    /// Model calls.
    pub calls: u64,
    /// Millionths of a US dollar.
    pub microdollars: u64,
}

impl Amounts {
    /// The sum, field by field.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            calls: self.calls.saturating_add(other.calls),
            microdollars: self.microdollars.saturating_add(other.microdollars),
        }
    }

    /// What is left without `other`, field by field; nothing where it is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            calls: self.calls.saturating_sub(other.calls),
            microdollars: self.microdollars.saturating_sub(other.microdollars),
        }
    }
}
