//! What the scheduler's steps cost with 10,000 agents, and the worst of a hundred of them.
//!
//! `cargo bench --bench scheduler`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::time::Instant;

use aos_host::scheduler::{
    Action, Admission, Event, Limits, ModelCall, ModelEnding, ModelUsage, Moment, Options, OwnerId,
    Pid, Price, Priority, ProviderId, ProviderOptions, Scheduler, Stop, Ticket, WorkerId,
};
use criterion::Criterion;

const AGENTS: u64 = 10_000;
const SLOTS: u32 = 512;
const SAMPLES: usize = 100_000;
const PROVIDER: ProviderId = ProviderId(0);
const WORKER: WorkerId = WorkerId(0);
const SLICE_NS: u64 = 10_000_000;

/// A host with its clock.
struct Host {
    scheduler: Scheduler,
    actions: Vec<Action>,
    now: Moment,
    next: u64,
    /// Started calls, oldest first.
    running: std::collections::VecDeque<(Ticket, Pid)>,
}

impl Host {
    /// Agents of ten owners and nine priorities, and one more urgent than all.
    fn new() -> Self {
        let options = Options {
            workers: 1,
            providers: vec![ProviderOptions { id: PROVIDER, slots: SLOTS }],
            ..Options::default()
        };
        let mut host = Self {
            scheduler: Scheduler::new(options),
            actions: Vec::new(),
            now: Moment::default(),
            next: 0,
            running: std::collections::VecDeque::new(),
        };
        for pid in 0..AGENTS {
            let priority = if pid == 0 { 0 } else { pid / 10 % 9 * 10 + 10 };
            let admission = Admission {
                pid: Pid(pid),
                parent: None,
                owner: OwnerId(u32::try_from(pid % 10).expect("below ten")),
                priority: Priority::new(u8::try_from(priority).expect("small")).expect("in range"),
                weight: 1,
                limits: Some(Limits { window_tokens: Some(u64::MAX), ..Limits::AGENT }),
                tree_limits: Limits::FREE,
                cpu_share_permille: None,
            };
            host.step(Event::Admitted(Box::new(admission)));
        }
        host
    }

    fn step(&mut self, event: Event) {
        self.scheduler.step(event, self.now, &mut self.actions).expect("the protocol is kept");
        for action in self.actions.drain(..) {
            if let Action::StartModel { ticket, pid, .. } = action {
                self.running.push_back((ticket, pid));
            }
        }
    }

    /// A guest's turn: it gives its worker back, and the next is chosen.
    fn turn(&mut self) {
        self.now = self.now.after_ns(SLICE_NS);
        self.step(Event::Stopped { worker: WORKER, ran_ns: SLICE_NS, why: Stop::StillReady });
        black_box(self.scheduler.next_cpu(WORKER, self.now));
    }

    /// An urgent guest becomes ready, runs for a moment and sleeps again.
    fn wake(&mut self) {
        self.now = self.now.after_ns(1_000);
        self.step(Event::Ready(Pid(0)));
        self.step(Event::Stopped { worker: WORKER, ran_ns: 1_000, why: Stop::StillReady });
        let urgent = self.scheduler.next_cpu(WORKER, self.now);
        assert_eq!(urgent.map(|slice| slice.pid), Some(Pid(0)));
        self.step(Event::Stopped { worker: WORKER, ran_ns: 1_000, why: Stop::Blocked });
        black_box(self.scheduler.next_cpu(WORKER, self.now));
    }

    fn want(&mut self, pid: Pid) {
        self.next += 1;
        self.step(Event::ModelWanted(ModelCall {
            ticket: Ticket(self.next),
            pid,
            provider: PROVIDER,
            input_tokens: 500 + self.next % 1_000,
            output_tokens_asked: None,
            output_tokens_model: None,
            price: Price { input: 3_000_000, cache_read: 300_000, output: 15_000_000 },
        }));
    }

    /// A call ends, another starts, and the agent wants its next.
    fn call(&mut self) {
        self.now = self.now.after_ns(1_000_000);
        let (ticket, pid) = self.running.pop_front().expect("calls run");
        let usage = ModelUsage {
            input_tokens: 1_000,
            output_tokens: 50 + self.next % 200,
            ..ModelUsage::default()
        };
        self.step(Event::ModelEnded { ticket, ending: ModelEnding::Finished, usage });
        self.want(pid);
    }
}

/// Median and the worst of a hundred, in microseconds.
fn tails(name: &str, host: &mut Host, mut act: impl FnMut(&mut Host)) {
    let mut took: Vec<u128> = (0..SAMPLES)
        .map(|_| {
            let began = Instant::now();
            act(host);
            began.elapsed().as_nanos()
        })
        .collect();
    took.sort_unstable();
    let us = |at: usize| took[at] as f64 / 1e3;
    println!("{name}: p50 {:.2} µs, p99 {:.2} µs", us(SAMPLES / 2), us(SAMPLES * 99 / 100));
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();

    let mut turns = Host::new();
    for pid in 1..AGENTS {
        turns.step(Event::Ready(Pid(pid)));
    }
    turns.scheduler.next_cpu(WORKER, turns.now);
    tails("a turn of CPU among 10,000 ready (2 steps)", &mut turns, Host::turn);
    criterion.bench_function("turn of CPU, 10,000 ready", |bench| bench.iter(|| turns.turn()));
    tails("an urgent wake among 10,000 ready, and back (5 steps)", &mut turns, Host::wake);

    let mut calls = Host::new();
    for pid in 0..AGENTS {
        calls.want(Pid(pid));
    }
    assert_eq!(calls.running.len(), SLOTS as usize);
    tails("a model call ends, one starts, one is wanted (2 steps)", &mut calls, Host::call);
    criterion.bench_function("model call, 9,488 waiting", |bench| bench.iter(|| calls.call()));
    criterion.final_summary();
}
