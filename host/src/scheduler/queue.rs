//! Who is next for one resource: levels of priority, owners inside a level, runs inside an owner.
//!
//! It knows nothing of what a slot is, of quotas or of agents; costs come in as scaled numbers.
//!
//! # Order
//! 1. **Level.** The most urgent level that waits, unless a less urgent one has become *due*. A
//!    level gathers urgency with the wait of its oldest member, from a debt that grows with its
//!    priority and at a rate that falls with it (delayed accumulating priority: Mojalal, Stanford
//!    and Caron 2019; Stanford, Taylor and Ziedins 2014). While a due level and a more urgent one
//!    both wait, each gets half of the service begun, so that a flood of old background work
//!    cannot shut out what is urgent, nor the other way round.
//! 2. **Owner.** The least virtual token counter (VTC: Sheng et al., OSDI 2024). One that comes
//!    back is lifted to the least counter that waits.
//! 3. **Run.** Least attained service by weight, in steps of a quantum. A new run starts at the
//!    line's virtual time, which moves with the service it gives (start-time fair queueing), so
//!    it neither passes the old nor waits for them, and a stream of new runs starves nobody.
//! 4. First come, first served, by an order that the caller may tilt.
//!
//! # Bound
//! A level of priority p is due at the latest when its oldest member has waited p times the
//! patience. From then on levels like it get at least half of the service begun, the one that is
//! longest due first: a call waits at most `patience p + 2 B / slots + L`, where B is the service
//! of those that come before it among the due or in its own line, and L that of the longest call.

use std::collections::{BTreeSet, HashMap};

use crate::scheduler::{Moment, OwnerId, Priority};

const LEVELS: usize = Priority::LEAST.get() as usize + 1;

/// A level's urgency grows at 1 / (1 + p / this).
const RATE_POINTS: f64 = 20.0;

/// A level's debt of urgency, in patiences times its priority. With the rate it makes a call of
/// priority 60 wait about as long as one of priority 20 twice over and 48 patiences more, so that
/// under more load the less urgent wait grows faster.
const DEBT: f64 = 2.4;

/// What has used up its patience comes before all that has not: no wait is so long (31 years in
/// nanoseconds, and still exact to 0.1 µs).
const DUE: f64 = 1e18;

/// The runs of one owner at one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Line {
    /// The priority.
    pub(super) level: u8,
    /// The owner.
    pub(super) owner: OwnerId,
}

/// One that waits, and all that its place hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: Line,
    /// The run's attained service when it came, in quanta.
    pub(super) tag: u64,
    /// Among equal tags: nanoseconds.
    pub(super) order: u64,
    /// Since when it waits.
    pub(super) since: Moment,
    /// Whose place it is.
    pub(super) id: u64,
}

/// What an agent attained of one resource.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    line: Option<Line>,
    attained: u64,
    /// Its calls that wait or are served.
    active: u32,
}

impl Run {
    /// Whether any call of it waits or is served.
    pub(super) fn is_active(&self) -> bool {
        self.active > 0
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct LineState {
    /// The owner's virtual counter at this level.
    counter: u64,
    /// The line's virtual time.
    virtual_time: u64,
    /// Weights of the runs that wait or are served.
    weight: u64,
    waiting: u32,
    known: bool,
}

/// Whether a choice was between a due level and a more urgent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contest {
    None,
    DueWon,
    UrgentWon,
}

/// The one that is next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) id: u64,
    pub(super) contest: Contest,
}

#[derive(Debug)]
pub(super) struct Queue {
    patience_ns: u64,
    quantum: u64,
    lines: HashMap<Line, LineState>,
    /// (level, owner, tag, order, id)
    places: BTreeSet<(u8, OwnerId, u64, u64, u64)>,
    /// (level, counter, owner) of lines that wait.
    owners: BTreeSet<(u8, u64, OwnerId)>,
    /// (level, since, id)
    ages: BTreeSet<(u8, Moment, u64)>,
    /// The first of `ages` in each level.
    oldest: [Moment; LEVELS],
    /// One bit a level that waits.
    occupied: u128,
    /// The counter that was served last in each level.
    floors: [u64; LEVELS],
    /// Service that due levels got more than the urgent ones, in nanoseconds.
    due_lead_ns: i64,
    /// The largest cost so far.
    largest: u64,
}

impl Queue {
    /// `patience_ns`: the longest wait for each point of priority. `quantum`: attained service
    /// (scaled, of weight 1) that makes a difference.
    pub(super) fn new(patience_ns: u64, quantum: u64) -> Self {
        Self {
            patience_ns,
            quantum: quantum.max(1),
            lines: HashMap::new(),
            places: BTreeSet::new(),
            owners: BTreeSet::new(),
            ages: BTreeSet::new(),
            oldest: [Moment::NEVER; LEVELS],
            occupied: 0,
            floors: [0; LEVELS],
            due_lead_ns: 0,
            largest: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The most urgent level that waits.
    pub(super) fn top_level(&self) -> Option<u8> {
        u8::try_from(self.occupied.trailing_zeros()).ok().filter(|level| *level < 128)
    }

    /// A run wants service: it counts in its line from now on.
    pub(super) fn join(&mut self, run: &mut Run, line: Line, weight: u16) {
        if run.line != Some(line) {
            self.rebase(run, line, weight);
        }
        if run.active == 0 {
            let allowance = 2 * self.largest / u64::from(weight);
            let state = self.lines.entry(line).or_default();
            state.weight += u64::from(weight);
            run.attained = run.attained.max(state.virtual_time.saturating_sub(allowance));
        }
        run.active += 1;
    }

    /// One call of a run is done with, served or not.
    pub(super) fn part(&mut self, run: &mut Run, weight: u16) {
        run.active = run.active.saturating_sub(1);
        if run.active == 0
            && let Some(state) = run.line.and_then(|line| self.lines.get_mut(&line))
        {
            state.weight = state.weight.saturating_sub(u64::from(weight));
        }
    }

    /// The run is gone with all its calls.
    pub(super) fn retire(&mut self, run: &mut Run, weight: u16) {
        run.active = run.active.min(1);
        if run.active > 0 {
            self.part(run, weight);
        }
    }

    /// Moves a run to another line: what it was ahead stays, what it was behind does not.
    pub(super) fn rebase(&mut self, run: &mut Run, line: Line, weight: u16) {
        let limit = 2 * self.largest / u64::from(weight);
        let ahead = match run.line.and_then(|old| self.lines.get_mut(&old)) {
            None => 0,
            Some(old) => {
                if run.active > 0 {
                    old.weight = old.weight.saturating_sub(u64::from(weight));
                }
                run.attained.saturating_sub(old.virtual_time).min(limit)
            }
        };
        let state = self.lines.entry(line).or_default();
        if run.active > 0 {
            state.weight += u64::from(weight);
        }
        run.attained = state.virtual_time.saturating_add(ahead);
        run.line = Some(line);
    }

    /// The place of a run that joined; `order_ns` settles equals.
    pub(super) fn place(&self, run: &Run, since: Moment, order_ns: u64, id: u64) -> Place {
        let line = run.line.expect("invariant: a run joins before it takes a place");
        Place { line, tag: run.attained / self.quantum, order: order_ns, since, id }
    }

    pub(super) fn push(&mut self, place: &Place) {
        let Place { line, tag, order, since, id } = *place;
        let level = usize::from(line.level);
        if !self.places.insert((line.level, line.owner, tag, order, id)) {
            return;
        }
        let waits = self.owners.range((line.level, 0, OwnerId(0))..).next();
        let floor = match waits {
            Some((at, counter, _)) if *at == line.level => *counter,
            _ => self.floors[level],
        };
        let state = self.lines.entry(line).or_default();
        if state.waiting == 0 {
            let allowance = if state.known { 2 * self.largest } else { 0 };
            state.counter = state.counter.max(floor.saturating_sub(allowance));
            state.known = true;
            self.owners.insert((line.level, state.counter, line.owner));
        }
        state.waiting += 1;
        self.ages.insert((line.level, since, id));
        self.oldest[level] = self.oldest[level].min(since);
        self.occupied |= 1 << level;
    }

    pub(super) fn remove(&mut self, place: &Place) {
        let Place { line, tag, order, since, id } = *place;
        let level = usize::from(line.level);
        if !self.places.remove(&(line.level, line.owner, tag, order, id)) {
            return;
        }
        self.ages.remove(&(line.level, since, id));
        if let Some(state) = self.lines.get_mut(&line) {
            state.waiting -= 1;
            if state.waiting == 0 {
                self.owners.remove(&(line.level, state.counter, line.owner));
            }
        }
        if self.oldest[level] == since {
            let next = self.ages.range((line.level, Moment(0), 0)..).next();
            self.oldest[level] = match next {
                Some((at, since, _)) if *at == line.level => *since,
                _ => Moment::NEVER,
            };
            if self.oldest[level] == Moment::NEVER {
                self.occupied &= !(1 << level);
            }
        }
    }

    /// Who is next; the place stays until it is removed.
    pub(super) fn choose(&mut self, now: Moment) -> Option<Choice> {
        let top = self.top_level()?;
        let most = self.most_urgent(now);
        let (level, contest) = if most == top {
            self.due_lead_ns = 0;
            (top, Contest::None)
        } else if self.due_lead_ns <= 0 {
            (most, Contest::DueWon)
        } else {
            (top, Contest::UrgentWon)
        };
        let (_, counter, owner) = *self.owners.range((level, 0, OwnerId(0))..).next()?;
        self.floors[usize::from(level)] = counter;
        let (.., id) = *self.places.range((level, owner, 0, 0, 0)..).next()?;
        Some(Choice { id, contest })
    }

    /// The level with the most urgency, the more urgent one among equals.
    fn most_urgent(&self, now: Moment) -> u8 {
        let (mut best, mut most) = (f64::NEG_INFINITY, 0);
        let mut left = self.occupied;
        while left != 0 {
            let level = left.trailing_zeros() as u8;
            left &= left - 1;
            let urgency = self.urgency(level, now);
            if urgency > best {
                (best, most) = (urgency, level);
            }
        }
        most
    }

    fn urgency(&self, level: u8, now: Moment) -> f64 {
        let points = f64::from(level);
        let waited = now.since_ns(self.oldest[usize::from(level)]) as f64;
        let patience = self.patience_ns as f64 * points;
        if waited >= patience && level > 0 {
            return DUE + (waited - patience);
        }
        (waited - DEBT * patience) / (1.0 + points / RATE_POINTS)
    }

    /// The choice was taken: service of about so long began.
    pub(super) fn begun(&mut self, contest: Contest, expected_ns: u64) {
        let expected = i64::try_from(expected_ns).unwrap_or(i64::MAX);
        self.due_lead_ns = match contest {
            Contest::None => return,
            Contest::DueWon => self.due_lead_ns.saturating_add(expected),
            Contest::UrgentWon => self.due_lead_ns.saturating_sub(expected),
        };
    }

    /// Charges a run and its owner when service begins, by what it is expected to cost.
    pub(super) fn charge(&mut self, run: &mut Run, share: Share, cost: u64) {
        run.attained = run.attained.saturating_add(cost / u64::from(share.run_weight));
        if let Some(line) = run.line {
            self.count(line, |counter| counter + cost / u64::from(share.owner_weight));
        }
    }

    /// Service of a line ended: what was charged at first is replaced by what it cost.
    pub(super) fn settle(
        &mut self,
        line: Line,
        run: Option<&mut Run>,
        share: Share,
        charged: u64,
        cost: u64,
    ) {
        self.largest = self.largest.max(cost);
        let correct = |value: u64, weight: u16| {
            let weight = u64::from(weight);
            (value + cost / weight).saturating_sub(charged / weight)
        };
        if let Some(state) = self.lines.get_mut(&line) {
            state.virtual_time += cost / state.weight.max(1);
            self.count(line, |counter| correct(counter, share.owner_weight));
        }
        if let Some(run) = run.filter(|run| run.line == Some(line)) {
            run.attained = correct(run.attained, share.run_weight);
        }
    }

    fn count(&mut self, line: Line, change: impl FnOnce(u64) -> u64) {
        let Some(state) = self.lines.get_mut(&line) else { return };
        let old = state.counter;
        state.counter = change(old);
        if state.waiting > 0 && state.counter != old {
            self.owners.remove(&(line.level, old, line.owner));
            self.owners.insert((line.level, state.counter, line.owner));
        }
    }

    /// The owner has no agent any more.
    pub(super) fn forget(&mut self, owner: OwnerId) {
        for level in 0..=Priority::LEAST.get() {
            let line = Line { level, owner };
            if self.lines.get(&line).is_some_and(|state| state.waiting == 0) {
                self.lines.remove(&line);
            }
        }
    }
}

/// The weights that a cost is divided by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) run_weight: u16,
    pub(super) owner_weight: u16,
}
