//! What a call will take, learnt from those that ended: the caller never says.
//!
//! Means by priority and by the input's length, in buckets a quarter of a doubling wide.

use std::collections::HashMap;

/// A new value counts one part in so many, once as many were seen.
const MEMORY: u32 = 100;

/// What is expected before anything was seen: 256 tokens, 5 s.
const FIRST: Expected = Expected { output_tokens: 256, service_ns: 5_000_000_000 };

/// What a call is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) output_tokens: u64,
    pub(super) service_ns: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    output_tokens: f64,
    service_ns: f64,
    seen: u32,
}

impl Mean {
    fn learn(&mut self, output_tokens: u64, service_ns: u64) {
        self.seen = (self.seen + 1).min(MEMORY);
        let part = 1.0 / f64::from(self.seen);
        self.output_tokens += (output_tokens as f64 - self.output_tokens) * part;
        self.service_ns += (service_ns as f64 - self.service_ns) * part;
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, and means are not negative"
    )]
    fn expected(self) -> Option<Expected> {
        (self.seen > 0).then_some(Expected {
            output_tokens: self.output_tokens as u64,
            service_ns: self.service_ns as u64,
        })
    }
}

/// All means: at most 101 levels of 257, and as many again without the length.
#[derive(Debug, Default)]
pub(super) struct Estimates {
    by_length: HashMap<(u8, u8), Mean>,
    by_level: HashMap<u8, Mean>,
}

impl Estimates {
    pub(super) fn expect(&self, level: u8, input_tokens: u64) -> Expected {
        let length = self.by_length.get(&(level, bucket(input_tokens)));
        let mean = length.or_else(|| self.by_level.get(&level)).copied().unwrap_or_default();
        mean.expected().unwrap_or(FIRST)
    }

    pub(super) fn learn(&mut self, level: u8, input: u64, output: u64, service_ns: u64) {
        let length = self.by_length.entry((level, bucket(input))).or_default();
        length.learn(output, service_ns);
        self.by_level.entry(level).or_default().learn(output, service_ns);
    }
}

/// Four times the logarithm to base 2, by the leading bits.
fn bucket(tokens: u64) -> u8 {
    let value = tokens.saturating_add(1);
    let exponent = value.ilog2();
    let fraction = if exponent >= 2 { (value >> (exponent - 2)) & 3 } else { 0 };
    u8::try_from(u64::from(exponent) * 4 + fraction).unwrap_or(u8::MAX)
}
