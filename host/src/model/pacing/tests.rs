//! A day of a busy host in a second: agents, a provider that enforces its limit, a virtual clock.
#![expect(clippy::cast_possible_truncation, reason = "numbers of tokens, far under 2^53")]

use super::*;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::SystemTime;

/// How the provider words its headers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Anthropic,
    OpenAi,
    Silent,
}

/// What `remaining` is true of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum TrueOf {
    Arrival,
    Answer,
}

#[derive(Clone, Copy, Debug)]
struct World {
    seed: u64,
    agents: usize,
    tokens: u64,
    output: u64,
    limit_per_minute: f64,
    burst_s: f64,
    minutes: u64,
    style: Style,
    true_of: TrueOf,
    /// What the provider counts for a token of ours.
    counts: f64,
    /// Whether `remaining` is told as a part of the minute's limit, not as what may go at once.
    by_the_minute: bool,
}

impl World {
    /// The figure of the plan: 512 agents, 10,000 tokens a request, 1.5 million tokens a minute.
    fn planned(seed: u64, style: Style, true_of: TrueOf) -> Self {
        Self {
            seed,
            agents: 512,
            tokens: 10_000,
            output: 0,
            limit_per_minute: 1.5e6,
            burst_s: 10.0,
            minutes: 10,
            style,
            true_of,
            counts: 1.0,
            by_the_minute: false,
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    answered: u64,
    limited: u64,
    used: f64,
}

impl Seen {
    fn share(&self, world: &World) -> f64 {
        self.used / (world.limit_per_minute * world.minutes as f64)
    }

    fn limited_share(&self) -> f64 {
        self.limited as f64 / (self.answered + self.limited) as f64
    }
}

/// The provider's own bucket.
struct Enforced {
    level: f64,
    at: Duration,
    rate: f64,
    most: f64,
}

impl Enforced {
    fn at(&mut self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.most);
        self.at = now;
        self.level
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake,
    Arrives(u64),
    Answers(u64, bool, u64),
}

struct Simulation {
    world: World,
    random: rand::rngs::StdRng,
    pacer: Pacer,
    bucket: Enforced,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    order: u64,
    waiting: VecDeque<usize>,
    wake: Option<Duration>,
    agents: Vec<usize>,
    seen: Seen,
}

const START: &str = "2026-11-23T08:00:00Z";

impl Simulation {
    fn new(world: World) -> Self {
        let rate = world.limit_per_minute / 60.0;
        let most = rate * world.burst_s;
        Self {
            world,
            random: rand::rngs::StdRng::seed_from_u64(world.seed),
            pacer: Pacer::default(),
            bucket: Enforced { level: most, at: Duration::ZERO, rate, most },
            events: BinaryHeap::new(),
            order: 0,
            waiting: (0..world.agents).collect(),
            wake: None,
            agents: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn demand(&self) -> Demand {
        Demand { input: self.world.tokens - self.world.output, output: self.world.output }
    }

    fn at(&mut self, time: Duration, event: Event) {
        self.order += 1;
        self.events.push(Reverse((time, self.order, event)));
    }

    fn run(mut self) -> Seen {
        let end = Duration::from_secs(60 * self.world.minutes);
        self.at(Duration::ZERO, Event::Wake);
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            if now > end {
                break;
            }
            match event {
                Event::Wake => {}
                Event::Arrives(ticket) => self.arrives(now, ticket),
                Event::Answers(ticket, limited, remaining) => {
                    self.answers(now, ticket, limited, remaining);
                }
            }
            self.let_out(now);
        }
        self.seen
    }

    /// The first in the queue asks; nobody overtakes it.
    fn let_out(&mut self, now: Duration) {
        while let Some(agent) = self.waiting.front().copied() {
            match self.pacer.admit(now, self.demand()) {
                Admit::Now(ticket) => {
                    self.waiting.pop_front();
                    assert_eq!(usize::try_from(ticket.0).expect("small"), self.agents.len());
                    self.agents.push(agent);
                    let network = Duration::from_millis(self.random.random_range(5..120));
                    self.at(now + network, Event::Arrives(ticket.0));
                }
                Admit::At(time) => {
                    assert!(time > now, "asked to come back at once");
                    // One timer is enough: whoever is first uses it.
                    if self.wake.is_none_or(|wake| wake <= now || time < wake) {
                        self.wake = Some(time);
                        self.at(time, Event::Wake);
                    }
                    return;
                }
            }
        }
    }

    fn arrives(&mut self, now: Duration, ticket: u64) {
        let charge = self.world.tokens as f64 * self.world.counts;
        let limited = self.bucket.at(now) < charge;
        if limited {
            self.seen.limited += 1;
            self.at(now + Duration::from_millis(20), Event::Answers(ticket, true, 0));
            return;
        }
        self.bucket.level -= charge;
        self.seen.used += charge;
        let latency = Duration::from_secs_f64(self.random.random_range(2.0..20.0));
        let remaining = self.bucket.level as u64;
        self.at(now + latency, Event::Answers(ticket, false, remaining));
    }

    fn answers(&mut self, now: Duration, ticket: u64, limited: bool, at_arrival: u64) {
        let level = self.bucket.at(now);
        let remaining = match self.world.true_of {
            TrueOf::Arrival if !limited => at_arrival as f64,
            TrueOf::Arrival | TrueOf::Answer => level,
        };
        let wall: SystemTime = humantime::parse_rfc3339(START).expect("a time") + now;
        let full_s = (self.bucket.most - remaining) / self.bucket.rate;
        let scale = self.world.limit_per_minute / self.bucket.most;
        let told = if self.world.by_the_minute { remaining * scale } else { remaining };
        let headers = words(&self.world, told, full_s, wall);
        let answer = Answer {
            headers: RateHeaders::read(&headers, wall),
            limited,
            retry_after: limited.then(|| Duration::from_secs(1)),
        };
        self.pacer.learn(now, Ticket(ticket), &answer);
        let usage = TokenUsage {
            input: ((self.world.tokens - self.world.output) as f64 * self.world.counts) as u64,
            output: (self.world.output as f64 * self.world.counts) as u64,
            ..TokenUsage::default()
        };
        let usage = (!limited).then_some(usage);
        self.pacer.settle(Ticket(ticket), self.demand(), usage.as_ref());
        self.seen.answered += u64::from(!limited);
        let agent = self.agents[usize::try_from(ticket).expect("small")];
        match limited {
            true => self.waiting.push_front(agent),
            false => self.waiting.push_back(agent),
        }
    }
}

fn words(world: &World, remaining: f64, full_s: f64, wall: SystemTime) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    let mut put = |name: &'static str, value: String| {
        headers.insert(name, value.parse().expect("a header's value"));
    };
    match world.style {
        Style::Anthropic => {
            let reset = wall + Duration::from_secs_f64(full_s);
            put("anthropic-ratelimit-input-tokens-limit", world.limit_per_minute.to_string());
            // Documented: rounded to the nearest thousand.
            let rounded = (remaining / 1000.0).round() * 1000.0;
            put("anthropic-ratelimit-input-tokens-remaining", rounded.to_string());
            let reset = humantime::format_rfc3339_seconds(reset).to_string();
            put("anthropic-ratelimit-input-tokens-reset", reset);
        }
        Style::OpenAi => {
            put("x-ratelimit-limit-tokens", world.limit_per_minute.to_string());
            put("x-ratelimit-remaining-tokens", (remaining as u64).to_string());
            put("x-ratelimit-reset-tokens", format!("{}ms", (full_s * 1000.0) as u64));
            put("x-ratelimit-limit-requests", "30000".to_owned());
            put("x-ratelimit-remaining-requests", "29999".to_owned());
            put("x-ratelimit-reset-requests", "2ms".to_owned());
        }
        Style::Silent => {}
    }
    headers
}

#[test]
fn the_limit_is_used_and_kept() {
    for style in [Style::Anthropic, Style::OpenAi] {
        for true_of in [TrueOf::Arrival, TrueOf::Answer] {
            for seed in 0..5 {
                let world = World::planned(seed, style, true_of);
                let seen = Simulation::new(world).run();
                let (share, limited) = (seen.share(&world), seen.limited_share());
                println!("{style:?} {true_of:?} seed {seed}: {share:.4} of the limit, {seen:?}");
                assert!(share >= 0.95, "{world:?}: {share}");
                assert!(limited <= 0.001, "{world:?}: {limited}");
            }
        }
    }
}

#[test]
fn other_worlds_are_kept_too() {
    let base = |seed, style| World::planned(seed, style, TrueOf::Arrival);
    for seed in 0..3 {
        for (what, world) in [
            ("a burst of 3 s", World { burst_s: 3.0, ..base(seed, Style::Anthropic) }),
            ("a burst of a minute", World { burst_s: 60.0, ..base(seed, Style::OpenAi) }),
            ("counted 30 % dearer", World { counts: 1.3, ..base(seed, Style::OpenAi) }),
            ("counted 30 % cheaper", World { counts: 0.7, ..base(seed, Style::Anthropic) }),
            ("half of it output", World { output: 5_000, ..base(seed, Style::OpenAi) }),
            ("told wrong", World { by_the_minute: true, ..base(seed, Style::OpenAi) }),
            ("small calls", World { tokens: 1_000, ..base(seed, Style::OpenAi) }),
        ] {
            let seen = Simulation::new(world).run();
            let (share, limited) = (seen.share(&world), seen.limited_share());
            println!("{what} seed {seed}: {share:.4} of the limit, {seen:?}");
            assert!(share >= 0.93, "{what}, seed {seed}: {share}");
            // What cannot be known beforehand is learnt from refusals, so some there are.
            let most = if world.by_the_minute { 0.04 } else { 0.005 };
            assert!(limited <= most, "{what}, seed {seed}: {limited}");
        }
    }
}

#[test]
fn a_provider_without_headers_is_found_out_by_its_refusals() {
    let world = World::planned(1, Style::Silent, TrueOf::Answer);
    let seen = Simulation::new(world).run();
    println!("{:.4} of the limit, {seen:?}", seen.share(&world));
    assert!(seen.share(&world) >= 0.7, "{seen:?}");
    assert!(seen.limited_share() <= 0.25, "{seen:?}");
}

#[test]
fn few_calls_go_before_anything_is_known() {
    let mut pacer = Pacer::default();
    let demand = Demand { input: 30_000, output: 0 };
    let mut out = 0;
    while let Admit::Now(_) = pacer.admit(Duration::ZERO, demand) {
        out += 1;
    }
    assert_eq!(out, 3);
    let small = Demand { input: 1_000, output: 0 };
    while let Admit::Now(_) = pacer.admit(Duration::ZERO, small) {
        out += 1;
    }
    assert_eq!(out, PROBES_MAX);
}

#[test]
fn one_call_always_goes_however_large() {
    let mut pacer = Pacer::default();
    let huge = Demand { input: u64::MAX, output: u64::MAX };
    assert!(matches!(pacer.admit(Duration::ZERO, huge), Admit::Now(_)));
}

#[test]
fn a_call_larger_than_the_burst_waits_for_a_full_bucket_and_goes() {
    let mut pacer = Pacer::default();
    let small = Demand { input: 1, output: 0 };
    let Admit::Now(ticket) = pacer.admit(Duration::ZERO, small) else { panic!("refused") };
    let mut headers = http::HeaderMap::new();
    headers.insert("x-ratelimit-limit-tokens", "60000".parse().expect("a value"));
    headers.insert("x-ratelimit-remaining-tokens", "60000".parse().expect("a value"));
    let wall = SystemTime::UNIX_EPOCH;
    let answer = Answer { headers: RateHeaders::read(&headers, wall), ..Answer::default() };
    pacer.learn(Duration::ZERO, ticket, &answer);
    let large = Demand { input: 500_000, output: 0 };
    assert!(matches!(pacer.admit(Duration::ZERO, large), Admit::Now(_)));
    let Admit::At(time) = pacer.admit(Duration::ZERO, large) else { panic!("let out twice") };
    assert!(time > Duration::from_secs(10), "{time:?}");
    let mut now = time;
    for _ in 0..100 {
        match pacer.admit(now, large) {
            Admit::Now(_) => return,
            Admit::At(time) => now = time,
        }
    }
    panic!("never let out");
}

#[test]
fn what_was_never_sent_is_given_back() {
    let mut pacer = Pacer::default();
    let demand = Demand { input: 90_000, output: 0 };
    for _ in 0..1000 {
        let Admit::Now(ticket) = pacer.admit(Duration::ZERO, demand) else { panic!("leaks") };
        pacer.take_back(ticket, demand);
    }
}

#[test]
fn a_refusal_stops_everybody_for_as_long_as_it_asks() {
    let mut pacer = Pacer::default();
    let demand = Demand { input: 10, output: 10 };
    let Admit::Now(ticket) = pacer.admit(Duration::ZERO, demand) else { panic!("refused") };
    let asked = Some(Duration::from_secs(7));
    let answer = Answer { limited: true, retry_after: asked, ..Answer::default() };
    pacer.learn(Duration::from_secs(1), ticket, &answer);
    pacer.settle(ticket, demand, None);
    let at = |second| pacer_at(&mut Pacer::default(), second);
    assert!(matches!(at(0), Admit::Now(_)), "another model's pacer is free");
    let blocked = pacer.admit(Duration::from_secs(7), demand);
    assert_eq!(blocked, Admit::At(Duration::from_secs(8)));
    assert!(matches!(pacer.admit(Duration::from_secs(8), demand), Admit::Now(_)));
}

fn pacer_at(pacer: &mut Pacer, second: u64) -> Admit {
    pacer.admit(Duration::from_secs(second), Demand { input: 1, output: 1 })
}
