//! What a call may have: its output maximum and its reservation, or what stands against it.

use super::meter::Meter;
use super::window::Width;
use super::{Ledger, MeterId};
use crate::scheduler::event::{Amounts, Exhausted, ModelUsage, Moment, Opens, Quota, Rejection};
use crate::scheduler::options::Price;

/// The output maximum of a caller that names none.
const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;
/// With less room for output a call is not worth making, unless less was asked for.
const OUTPUT_TOKENS_LEAST: u64 = 256;
const MILLION: u128 = 1_000_000;

/// What a call asks of the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Need {
    pub(crate) input_tokens: u64,
    /// The most output that caller and model leave.
    output_tokens_most: u64,
    price: Price,
}

/// A call that may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) output_tokens_max: u64,
    pub(crate) reserved: Amounts,
}

/// Why it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Not now: what is exhausted, and the meter to wait at.
    Wait(MeterId, Exhausted),
    /// Never.
    Never(Rejection),
}

impl Need {
    pub(crate) fn new(input: u64, asked: Option<u64>, model: Option<u64>, price: Price) -> Self {
        let most = asked.unwrap_or(OUTPUT_TOKENS_DEFAULT).min(model.unwrap_or(u64::MAX)).max(1);
        Self { input_tokens: input, output_tokens_most: most, price }
    }

    /// The least that it needs of everything.
    pub(crate) fn least(&self) -> Amounts {
        self.amounts(self.output_tokens_most.min(OUTPUT_TOKENS_LEAST))
    }

    fn amounts(&self, output_tokens: u64) -> Amounts {
        Amounts {
            tokens: self.input_tokens.saturating_add(output_tokens),
            calls: 1,
            microdollars: cost(&[
                (self.input_tokens, self.price.input.max(self.price.cache_read)),
                (output_tokens, self.price.output),
            ]),
        }
    }

    /// What `usage` is charged. Cache reads weigh a tenth, rounded up.
    pub(crate) fn charge(&self, usage: &ModelUsage) -> Amounts {
        let cached = usage.cache_read_tokens.min(usage.input_tokens);
        let fresh = usage.input_tokens - cached;
        let by_price = || {
            cost(&[
                (fresh, self.price.input),
                (cached, self.price.cache_read),
                (usage.output_tokens, self.price.output),
            ])
        };
        Amounts {
            tokens: fresh.saturating_add(cached.div_ceil(10)).saturating_add(usage.output_tokens),
            calls: 1,
            microdollars: usage.microdollars.unwrap_or_else(by_price),
        }
    }
}

/// Millionths of a dollar, rounded up.
fn cost(parts: &[(u64, u64)]) -> u64 {
    let sum: u128 = parts.iter().map(|(n, price)| u128::from(*n) * u128::from(*price)).sum();
    u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX)
}

/// One limit of a scope as a call meets it.
struct Gauge {
    quota: Quota,
    limit: Option<u64>,
    used: u64,
    reserved: u64,
    needed: u64,
    of: fn(&Amounts) -> u64,
    is_window: bool,
}

impl Ledger {
    /// What a call may have now. `promised` is left free for others at `promised_at`.
    pub(crate) fn plan(
        &mut self,
        own: MeterId,
        need: &Need,
        now: Moment,
        promised: Option<(MeterId, Amounts)>,
    ) -> Result<Plan, Obstacle> {
        let least = need.least();
        let mut output = need.output_tokens_most;
        let mut worst: Option<(Opens, MeterId, Exhausted)> = None;
        let is_set_above = self.has_request_limit_above(own);
        let mut next = Some(own);
        while let Some(id) = next {
            let width = self.width;
            let meter = self.meter_mut(id);
            meter.window.slide(width, now);
            next = meter.parent;
            if !(is_set_above && meter.usual_request) {
                output = output.min(request_room(meter, need).map_err(Obstacle::Never)?);
            }
            let extra = promised.filter(|(at, _)| *at == id).map_or(Amounts::default(), |p| p.1);
            for gauge in gauges(meter, least, extra) {
                match gauge.room(meter, width) {
                    Ok(room) => output = output.min(gauge.output_in(room, need)),
                    Err(Blocked::Never(limit)) => {
                        return Err(Obstacle::Never(gauge.too_small(meter, limit)));
                    }
                    Err(Blocked::Until(opens, why)) => {
                        if worst.as_ref().is_none_or(|(other, ..)| *other < opens) {
                            worst = Some((opens, id, why));
                        }
                    }
                }
            }
        }
        match worst {
            Some((_, id, why)) => Err(Obstacle::Wait(id, why)),
            None => Ok(Plan { output_tokens_max: output, reserved: need.amounts(output) }),
        }
    }

    /// The least limit on one request that holds here: a usual one of agents does not where one is
    /// set above.
    pub(crate) fn request_limit(&self, own: MeterId) -> Option<u64> {
        let is_set_above = self.has_request_limit_above(own);
        let meters = self.chain(own).map(|id| self.meter(id));
        let holds = meters.filter(|meter| !(is_set_above && meter.usual_request));
        holds.filter_map(|meter| meter.limits.request_tokens).min()
    }

    fn has_request_limit_above(&self, own: MeterId) -> bool {
        self.chain(own).skip(1).any(|id| self.meter(id).limits.request_tokens.is_some())
    }
}

enum Blocked {
    Never(u64),
    Until(Opens, Exhausted),
}

/// Output that a scope's limit on one request leaves.
fn request_room(meter: &Meter, need: &Need) -> Result<u64, Rejection> {
    let Some(limit) = meter.limits.request_tokens else { return Ok(u64::MAX) };
    let needed = need.least().tokens;
    if needed > limit {
        return Err(Rejection::RequestTooLarge { scope: meter.scope, limit, needed });
    }
    Ok(limit - need.input_tokens)
}

fn gauges(meter: &Meter, least: Amounts, promised: Amounts) -> [Gauge; 6] {
    let limits = &meter.limits;
    let (window, total) = (meter.window.sum(), meter.total);
    let reserved = meter.reserved.plus(promised);
    let gauge = |quota, limit, of: fn(&Amounts) -> u64, is_window| Gauge {
        quota,
        limit,
        used: of(if is_window { &window } else { &total }),
        reserved: of(&reserved),
        needed: of(&least),
        of,
        is_window,
    };
    let (tokens, calls, money) = (
        (|amounts: &Amounts| amounts.tokens) as fn(&Amounts) -> u64,
        (|amounts: &Amounts| amounts.calls) as fn(&Amounts) -> u64,
        (|amounts: &Amounts| amounts.microdollars) as fn(&Amounts) -> u64,
    );
    [
        gauge(Quota::WindowTokens, limits.window_tokens, tokens, true),
        gauge(Quota::WindowCalls, limits.window_calls, calls, true),
        gauge(Quota::WindowMicrodollars, limits.window_microdollars, money, true),
        gauge(Quota::TotalTokens, limits.total_tokens, tokens, false),
        gauge(Quota::TotalCalls, limits.total_calls, calls, false),
        gauge(Quota::TotalMicrodollars, limits.total_microdollars, money, false),
    ]
}

impl Gauge {
    /// What is left for this call, or when there is enough.
    fn room(&self, meter: &Meter, width: Width) -> Result<u64, Blocked> {
        let Some(limit) = self.limit else { return Ok(u64::MAX) };
        let left = limit.saturating_sub(self.used).saturating_sub(self.reserved);
        if left >= self.needed {
            return Ok(left);
        }
        if self.is_window && self.needed > limit {
            return Err(Blocked::Never(limit));
        }
        let without_flight = limit.saturating_sub(self.used);
        let opens = if without_flight >= self.needed && self.reserved > 0 {
            Opens::WhenCallsEnd
        } else if self.is_window {
            let spare = (limit - self.needed).saturating_sub(self.reserved);
            let slid = meter.window.falls_to(width, spare, self.of);
            slid.map_or(Opens::WhenCallsEnd, Opens::At)
        } else {
            Opens::WhenRaised
        };
        let why =
            Exhausted { scope: meter.scope, quota: self.quota, limit, needed: self.needed, opens };
        Err(Blocked::Until(opens, why))
    }

    /// Output tokens that fit into what is left.
    fn output_in(&self, room: u64, need: &Need) -> u64 {
        match self.quota {
            Quota::WindowTokens | Quota::TotalTokens => room.saturating_sub(need.input_tokens),
            Quota::WindowMicrodollars | Quota::TotalMicrodollars if need.price.output > 0 => {
                let spare = room.saturating_sub(need.amounts(0).microdollars);
                let tokens = u128::from(spare) * MILLION / u128::from(need.price.output);
                u64::try_from(tokens).unwrap_or(u64::MAX)
            }
            Quota::WindowCalls
            | Quota::WindowMicrodollars
            | Quota::TotalCalls
            | Quota::TotalMicrodollars
            | Quota::TotalWallMs => u64::MAX,
        }
    }

    fn too_small(&self, meter: &Meter, limit: u64) -> Rejection {
        let Self { quota, needed, .. } = *self;
        Rejection::WindowTooSmall { scope: meter.scope, quota, limit, needed }
    }
}
