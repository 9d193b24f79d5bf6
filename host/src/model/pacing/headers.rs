//! What providers say of their limits: `anthropic-ratelimit-*`, `x-ratelimit-*`, `retry-after`.

use super::{Meter, RETRY_MAX};
use std::time::{Duration, SystemTime};

/// One limit as an answer tells it, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Said {
    /// The most there can be.
    pub(super) limit: f64,
    /// What is left.
    pub(super) remaining: f64,
    /// How long until all of it is there again.
    pub(super) reset: Option<Duration>,
}

/// The limits that one answer tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateHeaders {
    requests: Option<Said>,
    tokens: Option<Said>,
    input: Option<Said>,
    output: Option<Said>,
}

impl RateHeaders {
    /// Reads an answer's headers. `wall` is the time by which dates in them count.
    pub fn read(headers: &http::HeaderMap, wall: SystemTime) -> Self {
        let anthropic = |meter: &str| {
            let name = |what: &str| format!("anthropic-ratelimit-{meter}-{what}");
            said(headers, &name("limit"), &name("remaining"), &name("reset"), wall)
        };
        let common = |meter: &str| {
            let name = |what: &str| format!("x-ratelimit-{what}-{meter}");
            said(headers, &name("limit"), &name("remaining"), &name("reset"), wall)
        };
        let (input, output) = (anthropic("input-tokens"), anthropic("output-tokens"));
        Self {
            requests: anthropic("requests").or_else(|| common("requests")),
            // `tokens` tells the tightest of Anthropic's other two again.
            tokens: match (&input, &output) {
                (None, None) => anthropic("tokens").or_else(|| common("tokens")),
                _ => None,
            },
            input,
            output,
        }
    }

    pub(super) fn of(&self, meter: Meter) -> Option<Said> {
        match meter {
            Meter::Requests => self.requests,
            Meter::Tokens => self.tokens,
            Meter::Input => self.input,
            Meter::Output => self.output,
        }
    }
}

fn said(
    headers: &http::HeaderMap,
    limit: &str,
    remaining: &str,
    reset: &str,
    wall: SystemTime,
) -> Option<Said> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name)?.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    let limit = number(limit).filter(|limit| *limit > 0.0)?;
    let remaining = number(remaining)?.clamp(0.0, limit);
    Some(Said { limit, remaining, reset: text(reset).and_then(|text| duration_of(text, wall)) })
}

/// How long an answer asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date; at
/// most [`RETRY_MAX`].
pub fn retry_after(headers: &http::HeaderMap, wall: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let milliseconds = text("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok());
    let wait = match milliseconds.map(|ms| Duration::try_from_secs_f64(ms / 1000.0)) {
        Some(Ok(wait)) => Some(wait),
        _ => text("retry-after").and_then(|text| duration_of(text, wall)),
    };
    wait.map(|wait| wait.min(RETRY_MAX))
}

/// A time to wait as headers write it: `12`, `0.5`, `1s`, `6m0s`, `120ms`, an RFC 3339 time or an
/// HTTP date (past ones are zero). None for anything else.
pub fn duration_of(text: &str, wall: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = |moment: SystemTime| moment.duration_since(wall).unwrap_or_default();
    if let Ok(moment) = humantime::parse_rfc3339(text) {
        return Some(until(moment));
    }
    if text.contains(',') {
        return http_date(text).map(until);
    }
    go_duration(text)
}

/// `1h2m3.5s`, `120ms`: Go's way, which OpenAI and Groq use.
fn go_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let tail = &rest[end..];
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        seconds += number
            * match &tail[..unit_end] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &tail[unit_end..];
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(seconds).ok() }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that RFC 9110 lets a server send.
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? + 1;
    let (day, year): (u8, u16) = (day.parse().ok()?, year.parse().ok()?);
    humantime::parse_rfc3339(&format!("{year:04}-{month:02}-{day:02}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall() -> SystemTime {
        humantime::parse_rfc3339("2026-11-23T08:00:00Z").expect("a time")
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> http::HeaderMap {
        let entry = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        };
        pairs.iter().map(entry).collect()
    }

    #[test]
    fn every_way_to_write_a_wait_is_read() {
        for (text, seconds) in [
            ("12", 12.0),
            ("0.25", 0.25),
            ("1s", 1.0),
            ("6m0s", 360.0),
            ("120ms", 0.12),
            ("1h2m3.5s", 3723.5),
            ("2026-11-23T08:00:30Z", 30.0),
            ("Mon, 23 Nov 2026 08:01:00 GMT", 60.0),
            ("Mon, 23 Nov 2026 07:01:00 GMT", 0.0),
        ] {
            let read = duration_of(text, wall()).expect(text);
            assert!((read.as_secs_f64() - seconds).abs() < 1e-6, "{text}: {read:?}");
        }
        for text in ["", "soon", "1x", "-5", "NaN", "inf", "1e400", "Mon, 99 Nov 2026 08:01:00 GMT"]
        {
            assert_eq!(duration_of(text, wall()), None, "{text}");
        }
    }

    #[test]
    fn a_wait_is_capped() {
        let asked = headers(&[("retry-after", "86400")]);
        assert_eq!(retry_after(&asked, wall()), Some(RETRY_MAX));
        let asked = headers(&[("retry-after", "3"), ("retry-after-ms", "250")]);
        assert_eq!(retry_after(&asked, wall()), Some(Duration::from_millis(250)));
        assert_eq!(retry_after(&headers(&[("retry-after", "later")]), wall()), None);
    }

    #[test]
    fn both_families_of_headers_are_read() {
        let anthropic = RateHeaders::read(
            &headers(&[
                ("anthropic-ratelimit-requests-limit", "1000"),
                ("anthropic-ratelimit-requests-remaining", "999"),
                ("anthropic-ratelimit-requests-reset", "2026-11-23T08:00:01Z"),
                ("anthropic-ratelimit-input-tokens-limit", "2000000"),
                ("anthropic-ratelimit-input-tokens-remaining", "1990000"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-11-23T08:00:00Z"),
                ("anthropic-ratelimit-tokens-limit", "2400000"),
                ("anthropic-ratelimit-tokens-remaining", "2390000"),
            ]),
            wall(),
        );
        assert_eq!(anthropic.of(Meter::Requests).expect("said").limit, 1000.0);
        assert_eq!(anthropic.of(Meter::Input).expect("said").remaining, 1_990_000.0);
        assert_eq!(anthropic.of(Meter::Tokens), None);
        let openai = RateHeaders::read(
            &headers(&[
                ("x-ratelimit-limit-tokens", "150000"),
                ("x-ratelimit-remaining-tokens", "149984"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ]),
            wall(),
        );
        let tokens = openai.of(Meter::Tokens).expect("said");
        assert_eq!(tokens.reset, Some(Duration::from_secs(360)));
        assert_eq!(RateHeaders::read(&headers(&[]), wall()), RateHeaders::default());
    }
}
