//! Keeping to a provider's rate limits without leaving them unused. Pure: time comes in as the
//! duration since a start that the caller chose, and nothing here waits.
//!
//! # The model
//! Providers enforce token buckets that refill continuously (Anthropic's documentation says so;
//! OpenAI's behaves so), for requests, tokens, or tokens in and out apart. Every answer says a
//! bucket's limit, what remains and when it is full again. From these a [`Pacer`] keeps a copy of
//! each bucket:
//! - what remains was true when the provider took the request, or when it answered: nobody says
//!   which. So the copy is replayed from what remained at sending time, with everything admitted
//!   since, and never set above what was said;
//! - the most that was ever seen to remain is the burst that is allowed;
//! - the copy keeps a reserve, a second's worth, for what it cannot see: clocks, other hosts with
//!   the same key, tokens counted otherwise. A 429 widens the reserve, time narrows it again.
//!
//! Before the first answer only a few calls are let out: nothing is known yet. A provider that says
//! no limits is let run wider with every answer, and narrower after a 429.
//!
//! # Protocol
//! [`Pacer::admit`], then for a call that was let out [`Pacer::learn`] with every answer's headers,
//! and [`Pacer::settle`] once, or [`Pacer::take_back`] when it was never sent.

mod bucket;
mod headers;

pub use headers::{RateHeaders, duration_of, retry_after};

use super::completion::{Demand, TokenUsage};
use bucket::Bucket;
use std::collections::VecDeque;
use std::time::Duration;

/// Calls let out before anything is known, and the tokens they may have together: under the
/// smallest paid limit in use (30,000 tokens a minute) two ordinary calls, under others more.
const PROBES_MAX: usize = 8;
const PROBE_TOKENS_MAX: u64 = 100_000;
/// Calls at once to a provider that says no limits, at most.
const WINDOW_MAX: f64 = 10_000.0;
/// Admissions remembered for replay at most; older ones are long settled.
const ADMITTED_MAX: usize = 8192;
/// The wait after a 429 that does not say one.
const RETRY_DEFAULT: Duration = Duration::from_secs(2);
/// The longest wait that a provider can ask for: a header must not stop the host for a day.
pub const RETRY_MAX: Duration = Duration::from_secs(600);
/// How much one more call weighs in what calls really take.
const LEARNING_RATE: f64 = 0.05;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meter {
    /// Calls.
    Requests,
    /// Tokens in and out together.
    Tokens,
    /// Prompt tokens, without those read from a cache.
    Input,
    /// Tokens of replies.
    Output,
}

/// All meters, in the order of [`Pacer`]'s buckets.
pub const METERS: [Meter; 4] = [Meter::Requests, Meter::Tokens, Meter::Input, Meter::Output];

/// Whether a call may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Yes; it is counted under this ticket.
    Now(Ticket),
    /// Not yet: ask again at this time, since the start.
    At(Duration),
}

/// A call that was let out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// How a call ended, for [`Pacer::learn`].
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What the provider said of its limits.
    pub headers: RateHeaders,
    /// Whether it said 429.
    pub limited: bool,
    /// How long it asked to wait.
    pub retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Admitted {
    ticket: u64,
    at: Duration,
    charges: [f64; METERS.len()],
}

/// What a call of a given demand really takes.
#[derive(Clone, Copy, Debug)]
struct Shares {
    /// Prompt tokens charged, of those estimated.
    input: f64,
    /// Tokens of the reply, of its maximum.
    output: f64,
}

/// The limits of one model of one provider, as far as they are known.
#[derive(Debug)]
pub struct Pacer {
    buckets: [Option<Bucket>; METERS.len()],
    admitted: VecDeque<Admitted>,
    open: usize,
    open_tokens: u64,
    next: u64,
    /// Calls at once while no limit is known.
    window: f64,
    answered: bool,
    blocked_until: Duration,
    narrowed_at: Option<Duration>,
    shares: Shares,
}

impl Default for Pacer {
    fn default() -> Self {
        Self {
            buckets: [None, None, None, None],
            admitted: VecDeque::new(),
            open: 0,
            open_tokens: 0,
            next: 0,
            #[expect(clippy::cast_precision_loss, reason = "a small constant")]
            window: PROBES_MAX as f64,
            answered: false,
            blocked_until: Duration::ZERO,
            narrowed_at: None,
            // A reply seldom is as long as it may be; this is corrected with the first ones.
            shares: Shares { input: 1.0, output: 0.5 },
        }
    }
}

impl Pacer {
    /// Whether a call may go out now, or when to ask again. Let out, it is counted at once.
    pub fn admit(&mut self, now: Duration, demand: Demand) -> Admit {
        if now < self.blocked_until {
            return Admit::At(self.blocked_until);
        }
        if self.buckets.iter().all(Option::is_none) && !self.window_is_open(demand) {
            // An answer opens the window; nothing else does, so this is only a time to look again.
            return Admit::At(now + Duration::from_millis(50));
        }
        let charges = self.charges(demand);
        let known = self.buckets.iter_mut().zip(charges);
        let waits = known.filter_map(|(bucket, charge)| Some(bucket.as_mut()?.wait(now, charge)));
        let wait = waits.max().unwrap_or_default();
        if wait > Duration::ZERO {
            return Admit::At(now + wait);
        }
        Admit::Now(self.let_out(now, demand))
    }

    /// Counts a call that goes out whatever is left: another attempt of one that was admitted.
    pub fn let_out(&mut self, now: Duration, demand: Demand) -> Ticket {
        let charges = self.charges(demand);
        for (bucket, charge) in self.buckets.iter_mut().zip(charges) {
            if let Some(bucket) = bucket {
                bucket.take(now, charge);
            }
        }
        let ticket = self.next;
        self.next += 1;
        if self.admitted.len() == ADMITTED_MAX {
            self.admitted.pop_front();
        }
        self.admitted.push_back(Admitted { ticket, at: now, charges });
        self.open += 1;
        self.open_tokens = self.open_tokens.saturating_add(demand.input);
        Ticket(ticket)
    }

    /// Takes in what an answer says. `now` is when it came.
    pub fn learn(&mut self, now: Duration, ticket: Ticket, answer: &Answer) {
        let found = self.find(ticket);
        let (sent, own) = (found.map(|found| found.at), found.map(|found| found.charges));
        for (place, meter) in METERS.into_iter().enumerate() {
            if let (Some(said), Some(sent)) = (answer.headers.of(meter), sent) {
                // A call let out just before may have arrived after it. They are in order of time.
                let first = self.admitted.partition_point(|a| a.at + bucket::TRANSIT <= sent);
                let since = self.admitted.range(first..).filter(|a| a.ticket != ticket.0);
                let since = since.map(|a| (a.at, a.charges[place]));
                let bucket = self.buckets[place].get_or_insert_with(|| Bucket::new(&said));
                bucket.sync(&said, own.map_or(0.0, |own| own[place]), sent, now, since);
            }
        }
        if answer.limited {
            self.narrow(now, sent.unwrap_or(now), answer.retry_after);
        } else {
            self.answered = true;
            self.window = (self.window + 1.0).min(WINDOW_MAX);
        }
    }

    /// A call that was let out has ended. What it took teaches what the next will; none where it
    /// was refused or lost.
    pub fn settle(&mut self, ticket: Ticket, demand: Demand, usage: Option<&TokenUsage>) {
        if self.find(ticket).is_some() {
            self.close(demand);
        }
        let Some(usage) = usage.filter(|usage| !usage.estimated) else { return };
        let learn = |share: &mut f64, took: u64, of: u64| {
            if of > 0 {
                #[expect(clippy::cast_precision_loss, reason = "no call has 2^53 tokens")]
                let seen = (took as f64 / of as f64).clamp(0.01, 4.0);
                *share += LEARNING_RATE * (seen - *share);
            }
        };
        learn(&mut self.shares.input, usage.input.saturating_add(usage.cache_write), demand.input);
        learn(&mut self.shares.output, usage.output, demand.output);
    }

    /// A call that was let out was never sent: its place is free again.
    pub fn take_back(&mut self, ticket: Ticket, demand: Demand) {
        let Some(found) = self.admitted.iter().position(|a| a.ticket == ticket.0) else { return };
        if let Some(admitted) = self.admitted.remove(found) {
            for (bucket, charge) in self.buckets.iter_mut().zip(admitted.charges) {
                if let Some(bucket) = bucket {
                    bucket.give_back(charge);
                }
            }
        }
        self.close(demand);
    }

    fn close(&mut self, demand: Demand) {
        self.open = self.open.saturating_sub(1);
        self.open_tokens = self.open_tokens.saturating_sub(demand.input);
    }

    fn find(&self, ticket: Ticket) -> Option<&Admitted> {
        // Tickets are in order: a search by halves.
        let found = self.admitted.binary_search_by_key(&ticket.0, |admitted| admitted.ticket);
        found.ok().and_then(|place| self.admitted.get(place))
    }

    fn window_is_open(&self, demand: Demand) -> bool {
        if self.open == 0 {
            return true;
        }
        let tokens = self.open_tokens.saturating_add(demand.input);
        #[expect(clippy::cast_precision_loss, reason = "bounded by the memory of calls")]
        let narrow = self.open as f64 + 1.0 <= self.window;
        narrow && (self.answered || tokens <= PROBE_TOKENS_MAX)
    }

    /// What a call takes from each bucket.
    fn charges(&self, demand: Demand) -> [f64; METERS.len()] {
        #[expect(clippy::cast_precision_loss, reason = "no call has 2^53 tokens")]
        let (input, output) =
            (demand.input as f64 * self.shares.input, demand.output as f64 * self.shares.output);
        [1.0, input + output, input, output]
    }

    fn narrow(&mut self, now: Duration, sent: Duration, asked: Option<Duration>) {
        let wait = asked.unwrap_or(RETRY_DEFAULT).min(RETRY_MAX);
        self.blocked_until = self.blocked_until.max(now + wait);
        // The calls that were on their way together get their 429s together: one lesson.
        if self.narrowed_at.is_some_and(|at| sent <= at) {
            return;
        }
        self.narrowed_at = Some(now);
        self.window = (self.window / 2.0).max(1.0);
        for bucket in self.buckets.iter_mut().flatten() {
            bucket.widen_reserve(now);
        }
    }
}

#[cfg(test)]
mod tests;
