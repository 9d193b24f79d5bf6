//! Which chains are agents: the index of the process table, kept in the transactions of the rows
//! that it follows from.

use super::{Answer, ChainId};

/// How many records one page holds at most.
pub const PROCESSES_PAGE: usize = 1024;

/// What a batch changes in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessChange {
    /// An agent begins.
    Born(NewProcess),
    /// It is over.
    Ended(u64),
}

/// An agent to be entered. One whose pid is there already is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewProcess {
    /// Its number.
    pub pid: u64,
    /// Its chain, registered in this batch or before.
    pub chain: ChainId,
    /// Whose child it is; 0 for nobody's.
    pub parent: u64,
    /// Whether a later host takes it up where it stood.
    pub resumes: bool,
}

/// An agent as the index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRecord {
    /// Its number.
    pub pid: u64,
    /// The id of its chain.
    pub chain: Vec<u8>,
    /// The number of its chain; 0 when that is not registered.
    pub number: i64,
    /// Whose child it is; 0 for nobody's.
    pub parent: u64,
    /// Whether a later host takes it up where it stood.
    pub resumes: bool,
    /// Whether it is over.
    pub ended: bool,
}

/// Which agents to read, by ascending pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessRange {
    /// Those after this pid that a host takes up: they resume and have not ended.
    LiveAfter(u64),
    /// All after this pid.
    After(u64),
    /// This one.
    Only(u64),
}

/// The process table's part of a store.
pub trait Processes {
    /// Takes so many numbers for agents, never given before and never again; returns the first.
    fn take_pids(&self, count: u64) -> Answer<'_, u64>;

    /// A page of agents: at most [`PROCESSES_PAGE`].
    fn processes(&self, range: ProcessRange) -> Answer<'_, Vec<ProcessRecord>>;
}
