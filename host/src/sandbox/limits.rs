//! Every limit of a guest: its name, its default, the flag that moves it, and the error that
//! names it. Knows nothing of what a guest does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::sandbox::engine::POOL_MEMORY_BYTES;
use crate::types::LimitHit;

const MIB: u64 = 1 << 20;

/// The limits of one run. Each is a number with a flag of the same name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Sum of all linear memories and tables of the store, in bytes.
    pub memory_bytes: u64,
    /// Wall time of one call, also while it sleeps in a host call.
    pub wall: Duration,
    /// CPU time of one call.
    pub cpu: Duration,
    /// Largest result of one call, in bytes of its JSON or text.
    pub output_bytes: u64,
    /// Bytes that a guest may write to each of stdout and stderr.
    pub stdio_bytes: u64,
    /// Bytes that one host call may carry into the host.
    pub hostcall_bytes: u64,
    /// Open handles in the store's resource table.
    pub handles: u64,
    /// Streams, futures and calls that a guest of WASI 0.3 has under way at once.
    pub tasks: u64,
    /// Files, folders and sockets open at once: the process shares what the system allows it.
    pub open_files: u64,
    /// Random bytes per call of the random interface.
    pub random_bytes: u64,
    /// Bytes of one set of HTTP header fields. A response may have one field for each
    /// [`Limits::FIELD_BYTES`] of them.
    pub http_fields_bytes: u64,
    /// Bytes of one HTTP body, in either direction.
    pub http_body_bytes: u64,
    /// Rows that the effects of one call may put into the journal.
    pub rows: u64,
    /// Time to load a component: to read, adapt and compile it. Not of a call but of the host, so
    /// that sessions do not differ in it.
    pub load: Duration,
    /// Wasm stack of one call, in bytes: fixed by the engine, so it has no flag.
    pub stack_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * MIB,
            wall: Duration::from_secs(30),
            // A call that only computes may use all of its wall time.
            cpu: Duration::from_secs(30),
            // A model's window holds far less; a person's terminal too.
            output_bytes: 16 * MIB,
            stdio_bytes: 64 * MIB,
            // wasmtime's own default, and enough for any one string of a tool.
            hostcall_bytes: 128 * MIB,
            handles: 10_000,
            // Each is a future of the host's with what it holds, outside the limit on memory.
            tasks: 1_000,
            // A quarter of what most systems give a process.
            open_files: 256,
            random_bytes: MIB,
            http_fields_bytes: 128 * 1024,
            http_body_bytes: 64 * MIB,
            // Ten megabytes or so of journal, and some seconds of a disk's time.
            rows: 100_000,
            // Ten times what the largest known components take: 60 MB of Python in half a minute.
            load: Duration::from_secs(300),
            stack_bytes: super::engine::WASM_STACK_BYTES as u64,
        }
    }
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitName {
    /// `memory_bytes`.
    Memory,
    /// `wall`.
    Wall,
    /// `cpu`.
    Cpu,
    /// `output_bytes`.
    Output,
    /// `stdio_bytes`.
    Stdio,
    /// `hostcall_bytes`.
    HostCall,
    /// `handles`.
    Handles,
    /// `tasks`.
    Tasks,
    /// `open_files`.
    OpenFiles,
    /// `random_bytes`.
    Random,
    /// `http_fields_bytes`.
    HttpFields,
    /// `http_body_bytes`.
    HttpBody,
    /// `rows`.
    Rows,
    /// `load`.
    Load,
    /// `stack_bytes`.
    Stack,
}

impl Limits {
    /// Header fields are seldom shorter, so that their bytes are the limit that is met first.
    pub const FIELD_BYTES: u64 = 32;

    /// The error that names a limit: its value in force, its unit and the flag that raises it.
    pub fn hit(&self, name: LimitName) -> LimitHit {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (text, value, unit, flag) = match name {
            LimitName::Memory => ("memory", self.memory_bytes, "bytes", "--max-memory"),
            LimitName::Wall => ("time", millis(self.wall), "ms", "--timeout"),
            LimitName::Cpu => ("cpu", millis(self.cpu), "ms", "--max-cpu"),
            LimitName::Output => ("output", self.output_bytes, "bytes", "--max-output"),
            LimitName::Stdio => ("stdio", self.stdio_bytes, "bytes", "--max-stdio"),
            LimitName::HostCall => ("host-call", self.hostcall_bytes, "bytes", "--max-host-call"),
            LimitName::Handles => ("handles", self.handles, "handles", "--max-handles"),
            LimitName::Tasks => ("tasks", self.tasks, "streams, futures and calls", "--max-tasks"),
            LimitName::OpenFiles => {
                ("open-files", self.open_files, "files and sockets", "--max-open-files")
            }
            LimitName::Random => ("random", self.random_bytes, "bytes", "--max-random"),
            LimitName::HttpFields => {
                ("http-fields", self.http_fields_bytes, "bytes", "--max-http-fields")
            }
            LimitName::HttpBody => ("http-body", self.http_body_bytes, "bytes", "--max-http-body"),
            LimitName::Rows => ("rows", self.rows, "journal rows", "--max-rows"),
            LimitName::Load => ("load", millis(self.load), "ms", "--max-load"),
            LimitName::Stack => ("stack", self.stack_bytes, "bytes", "no flag"),
        };
        LimitHit { name: text.into(), value, unit: unit.into(), remedy: flag.into() }
    }
}

/// Counts all memories and tables of one store together, since wasmtime's own limiter counts
/// each memory alone and a component may hold many.
#[derive(Debug)]
pub struct MemoryLimiter {
    bytes_max: u64,
    bytes: u64,
    bytes_peak: u64,
    refused: bool,
    slot_full: bool,
}

/// A table element is a pointer in wasmtime's runtime.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// Instances, memories and tables that one store may hold: wide enough for componentize-py,
/// narrow enough that their fixed costs stay small.
const ITEMS_MAX: usize = 1_000;

impl MemoryLimiter {
    /// A limiter for one store.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, bytes_peak: 0, refused: false, slot_full: false }
    }

    /// The largest sum so far, in bytes.
    pub fn bytes_peak(&self) -> u64 {
        self.bytes_peak
    }

    /// The size of a daemon's memories, when that refused a growth which the limit would allow.
    pub fn slot_full(&self) -> Option<LimitHit> {
        self.slot_full.then(|| LimitHit {
            name: "memory".into(),
            value: POOL_MEMORY_BYTES as u64,
            unit: "bytes in one memory of a daemon".into(),
            remedy: "running it with `aos-host run`".into(),
        })
    }

    /// True when a growth was refused: a trap after that is most likely its consequence.
    pub fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, from: u64, to: u64) -> bool {
        let bytes = self.bytes.saturating_add(to.saturating_sub(from));
        if bytes > self.bytes_max {
            self.refused = true;
            return false;
        }
        self.bytes = bytes;
        self.bytes_peak = self.bytes_peak.max(bytes);
        true
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A growth past the memory's own maximum fails anyway and must not be counted. Where that
        // maximum is the pool's, it is not the guest's own doing.
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.slot_full |= maximum == Some(POOL_MEMORY_BYTES);
            return Ok(false);
        }
        Ok(self.grow(current as u64, desired as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let bytes = |elements: usize| (elements as u64).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }

    fn instances(&self) -> usize {
        ITEMS_MAX
    }

    fn tables(&self) -> usize {
        ITEMS_MAX
    }

    fn memories(&self) -> usize {
        ITEMS_MAX
    }
}

/// A count of bytes that may be spent up to a limit, shared by the streams that spend it.
#[derive(Debug)]
pub struct ByteBudget {
    left: AtomicU64,
    exhausted: AtomicBool,
}

impl ByteBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { left: AtomicU64::new(bytes), exhausted: AtomicBool::new(false) }
    }

    /// Takes up to `bytes` and returns how many were granted; fewer means the budget is spent.
    pub fn take(&self, bytes: u64) -> u64 {
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(bytes))
            })
            .unwrap_or(0);
        if before < bytes {
            self.exhausted.store(true, Ordering::Relaxed);
        }
        before.min(bytes)
    }

    /// True once more was asked than was left.
    pub fn exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_are_counted_together() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).expect("no error"));
        assert!(limiter.table_growing(0, 5, None).expect("no error"));
        assert!(!limiter.refused());
        assert!(!limiter.memory_growing(0, 1, None).expect("no error"));
        assert!(limiter.refused());
        assert_eq!(limiter.bytes_peak(), 100);
    }

    #[test]
    fn growth_past_a_memorys_own_maximum_is_not_counted() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(!limiter.memory_growing(0, 90, Some(80)).expect("no error"));
        assert!(!limiter.refused());
        assert!(limiter.memory_growing(0, 80, Some(80)).expect("no error"));
    }

    #[test]
    fn a_growth_that_the_pools_slot_refuses_is_told_as_such() {
        let mut limiter = MemoryLimiter::new(u64::MAX);
        let beyond = POOL_MEMORY_BYTES + 1;
        assert!(!limiter.memory_growing(0, beyond, Some(beyond - 2)).expect("no error"));
        assert_eq!(limiter.slot_full(), None);
        assert!(!limiter.memory_growing(0, beyond, Some(POOL_MEMORY_BYTES)).expect("no error"));
        assert_eq!(limiter.slot_full().expect("full").value, POOL_MEMORY_BYTES as u64);
    }

    #[test]
    fn a_byte_budget_gives_what_is_left_and_remembers_that_it_ran_out() {
        let budget = ByteBudget::new(10);
        assert_eq!(budget.take(7), 7);
        assert!(!budget.exhausted());
        assert_eq!(budget.take(7), 3);
        assert!(budget.exhausted());
    }
}
