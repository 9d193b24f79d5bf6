//! Who gets how many tokens when all want more.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Each agent always wants a call: a new one as soon as one has ended.
struct Hungry {
    world: World,
    rng: ChaCha8Rng,
    next: u64,
    ends: BTreeMap<(Moment, u64), (u64, ModelUsage)>,
    /// Weighted tokens (input + 2 × output) by agent.
    got: BTreeMap<u64, u64>,
    /// (input, output) at most.
    sizes: BTreeMap<u64, (u64, u64)>,
}

impl Hungry {
    fn new(slots: u32, seed: u64) -> Self {
        Self {
            world: World::new(options(slots)),
            rng: ChaCha8Rng::seed_from_u64(seed),
            next: 0,
            ends: BTreeMap::new(),
            got: BTreeMap::new(),
            sizes: BTreeMap::new(),
        }
    }

    fn join(&mut self, admission: Admission, calls: u32, sizes: (u64, u64)) {
        let pid = admission.pid.0;
        self.world.admit(admission);
        self.sizes.insert(pid, sizes);
        for _ in 0..calls {
            self.want(pid);
        }
    }

    fn want(&mut self, pid: u64) {
        self.next += 1;
        let (input, _) = self.sizes[&pid];
        let input = self.rng.random_range(input / 2..=input);
        self.world.want(call(self.next, pid, input));
        self.book();
    }

    fn book(&mut self) {
        for action in self.world.last.clone() {
            if let Action::StartModel { ticket, pid, .. } = action {
                let (input, output) = self.sizes[&pid.0];
                let used = usage(
                    self.rng.random_range(input / 2..=input),
                    self.rng.random_range(1..=output),
                );
                let service = used.input_tokens * SECOND / 8_000 + used.output_tokens * SECOND / 40;
                let end = Moment(self.world.now.0 + service);
                self.ends.insert((end, ticket.0), (pid.0, used));
            }
        }
    }

    fn run(&mut self, calls: usize, mut each: impl FnMut(&Self)) {
        for _ in 0..calls {
            let ((at, ticket), (pid, used)) = self.ends.pop_first().expect("calls run");
            self.world.now = at;
            self.world.end(ticket, used);
            self.book();
            *self.got.entry(pid).or_default() += used.input_tokens + 2 * used.output_tokens;
            self.want(pid);
            each(self);
        }
    }

    fn share(&self, pid: u64) -> f64 {
        self.got[&pid] as f64 / self.got.values().sum::<u64>() as f64
    }
}

#[test]
fn equal_agents_get_equal_tokens() {
    for (agents, slots) in [(2_u64, 1), (5, 2), (16, 4)] {
        let mut hungry = Hungry::new(slots, 11);
        for pid in 1..=agents {
            // Some ask for much at a time, some for little.
            let sizes = if pid % 2 == 0 { (2_000, 300) } else { (400, 80) };
            hungry.join(admission(pid, 50), 2, sizes);
        }
        hungry.run(40_000, |_| {});
        for pid in 1..=agents {
            let share = hungry.share(pid) * agents as f64;
            assert!((share - 1.0).abs() < 0.01, "seed 11, agent {pid} of {agents}: {share}");
        }
    }
}

#[test]
fn tokens_follow_weights() {
    let mut hungry = Hungry::new(2, 12);
    for (pid, weight) in [(1, 1), (2, 2), (3, 4)] {
        hungry.join(Admission { weight, ..admission(pid, 50) }, 4, (1_000, 200));
    }
    hungry.run(30_000, |_| {});
    for (pid, weight) in [(1, 1.0), (2, 2.0), (3, 4.0)] {
        let share = hungry.share(pid) * 7.0 / weight;
        assert!((share - 1.0).abs() < 0.03, "seed 12, agent {pid}: {share}");
    }
}

#[test]
fn an_owner_with_many_agents_gets_no_more_than_one_with_few() {
    let mut hungry = Hungry::new(4, 13);
    for pid in 1..=40 {
        hungry.join(Admission { owner: OwnerId(1), ..admission(pid, 50) }, 1, (1_000, 200));
    }
    for pid in 41..=45 {
        hungry.join(Admission { owner: OwnerId(2), ..admission(pid, 50) }, 2, (3_000, 100));
    }
    hungry.run(20_000, |_| {});
    let first: f64 = (1..=40).map(|pid| hungry.share(pid)).sum();
    assert!((first - 0.5).abs() < 0.01, "seed 13: {first}");
}

#[test]
fn two_owners_that_always_wait_stay_within_twice_the_largest_request() {
    let mut hungry = Hungry::new(1, 14);
    hungry.join(Admission { owner: OwnerId(1), ..admission(1, 50) }, 3, (2_000, 900));
    hungry.join(Admission { owner: OwnerId(2), ..admission(2, 50) }, 3, (300, 40));
    let mut widest = 0;
    hungry.run(30_000, |hungry| {
        let of = |pid| hungry.got.get(&pid).copied().unwrap_or_default();
        widest = widest.max(of(1).abs_diff(of(2)));
    });
    let largest = 2_000 + 2 * 900;
    assert!(widest <= 2 * largest, "seed 14: {widest} is over twice {largest}");
    assert!(widest > largest / 2, "seed 14: {widest}, the test tests nothing");
}

#[test]
fn owners_weights_are_shares() {
    let mut hungry = Hungry::new(2, 15);
    hungry.join(Admission { owner: OwnerId(1), ..admission(1, 50) }, 4, (1_000, 200));
    hungry.join(Admission { owner: OwnerId(2), ..admission(2, 50) }, 4, (1_000, 200));
    hungry.world.step(Event::OwnerWeight(OwnerId(2), 3)).expect("is known");
    hungry.run(20_000, |_| {});
    assert!((hungry.share(2) - 0.75).abs() < 0.01, "seed 15: {}", hungry.share(2));
}

#[test]
fn a_new_agent_neither_starves_the_old_nor_waits_for_them() {
    let mut hungry = Hungry::new(2, 16);
    for pid in 1..=4 {
        hungry.join(admission(pid, 50), 2, (1_000, 200));
    }
    hungry.run(5_000, |_| {});
    hungry.got.clear();
    hungry.join(admission(5, 50), 2, (1_000, 200));
    hungry.run(500, |_| {});
    for pid in 1..=5 {
        let share = hungry.share(pid) * 5.0;
        assert!((share - 1.0).abs() < 0.1, "seed 16, agent {pid}: {share}");
    }
}
