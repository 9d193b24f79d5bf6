//! From what came back (a status, an error in a stream, a failed connection) to the reaction it
//! asks for. Pure.

use super::error::ModelError;
use super::pacing;
use super::reply::{StreamFault, provider_error};
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Characters of a provider's own words in an error at most.
const WORDS_CHARS_MAX: usize = 300;
/// The wait that an overloaded provider is given when it names none.
const OVERLOADED_WAIT: Duration = Duration::from_secs(5);
/// The wait after a rate limit that names none.
const LIMITED_WAIT: Duration = Duration::from_secs(2);
/// Part of a key that may not be shown: shorter pieces are in any text by chance.
const KEY_PIECE_BYTES: usize = 8;

/// A failed attempt: what to say, and whether another attempt is safe.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: ModelError,
    /// Nothing has happened yet that a second attempt would repeat.
    pub(super) safe: bool,
    /// How long the provider asked to wait.
    pub(super) retry_after: Option<Duration>,
    /// Whether it speaks against the provider as a whole.
    pub(super) provider_failed: bool,
}

impl Failure {
    pub(super) fn last(error: ModelError) -> Self {
        Self { error, safe: false, retry_after: None, provider_failed: false }
    }
}

/// Who was asked, for the sentence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// `provider/model`.
    pub(super) model: &'a str,
    /// The variable that held the key.
    pub(super) key_variable: Option<&'a str>,
    pub(super) key: Option<&'a SecretString>,
}

impl Asked<'_> {
    /// A remote server's words, fit to be shown: short, on one line, without the key or a piece
    /// of it (OpenAI repeats the ends of a wrong one).
    pub(super) fn scrub(&self, words: &str) -> String {
        let mut clean: String =
            words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(4096).collect();
        if let Some(key) = self.key {
            hide(&mut clean, key.expose_secret());
        }
        let short: String = clean.trim().chars().take(WORDS_CHARS_MAX).collect();
        if short.is_empty() { "it gave no reason".to_owned() } else { short }
    }
}

/// Replaces the key and every piece of it that is long enough to matter.
fn hide(text: &mut String, key: &str) {
    if key.is_empty() {
        return;
    }
    let size = KEY_PIECE_BYTES.min(key.len());
    let mut hidden = vec![false; text.len()];
    for piece in key.as_bytes().windows(size) {
        let mut from = 0;
        while let Some(found) = find(&text.as_bytes()[from..], piece) {
            let start = from + found;
            hidden[start..start + size].fill(true);
            from = start + 1;
        }
    }
    if hidden.contains(&true) {
        let mut kept = String::with_capacity(text.len());
        for (place, c) in text.char_indices() {
            match hidden[place] {
                false => kept.push(c),
                true if !kept.ends_with('*') => kept.push_str("***"),
                true => {}
            }
        }
        *text = kept;
    }
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    text.windows(piece.len()).position(|window| window == piece)
}

/// What an answer that is no success means.
pub(super) fn of_status(
    asked: &Asked<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    wall: SystemTime,
) -> Failure {
    let parsed: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let inner = parsed.get("error").filter(|error| !error.is_null()).unwrap_or(&parsed);
    let (kind, mut words) = provider_error(inner);
    if words.is_empty() {
        words = String::from_utf8_lossy(body).into_owned();
    }
    let words = asked.scrub(&words);
    let retry_after = pacing::retry_after(headers, wall);
    let told = Told { kind: &kind, words: &words, retry_after, status: Some(status) };
    let code = status.as_u16();
    Failure {
        error: told.error(asked),
        safe: matches!(code, 408 | 429 | 500 | 502 | 503 | 504 | 529) && !told.is_spent(),
        retry_after,
        provider_failed: code >= 500,
    }
}

/// What a stream that failed means. `started` is whether anything of the reply had come.
pub(super) fn of_stream(asked: &Asked<'_>, fault: StreamFault, started: bool) -> Failure {
    match fault {
        StreamFault::Broken(reason) => Failure::last(ModelError::BrokenStream {
            model: asked.model.to_owned(),
            reason: asked.scrub(&reason),
        }),
        StreamFault::Provider { kind, message } => {
            let words = asked.scrub(&message);
            let told = Told { kind: &kind, words: &words, retry_after: None, status: None };
            let error = told.error(asked);
            let provider_failed =
                matches!(error, ModelError::Overloaded { .. } | ModelError::Unavailable { .. });
            let safe = !started && error.can_retry();
            Failure { error, safe, retry_after: None, provider_failed }
        }
    }
}

struct Told<'a> {
    kind: &'a str,
    words: &'a str,
    retry_after: Option<Duration>,
    status: Option<StatusCode>,
}

impl Told<'_> {
    fn says(&self, any: &[&str]) -> bool {
        any.iter().any(|word| self.kind.contains(word))
    }

    /// OpenAI says 429 to an empty purse too; waiting does not fill it.
    fn is_spent(&self) -> bool {
        self.says(&["insufficient_quota", "insufficient_balance", "billing"])
    }

    fn is_too_large(&self) -> bool {
        const SIGNS: [&str; 5] = [
            "prompt is too long",
            "context length",
            "context window",
            "maximum context",
            "too many tokens",
        ];
        let words = self.words.to_lowercase();
        self.says(&["context_length_exceeded", "request_too_large"])
            || SIGNS.iter().any(|sign| words.contains(sign))
    }

    fn error(&self, asked: &Asked<'_>) -> ModelError {
        let model = asked.model.to_owned();
        let words = self.words.to_owned();
        let code = self.status.map_or(0, |status| status.as_u16());
        let by_kind = self.status.is_none();
        let wait = |default| self.retry_after.unwrap_or(default);
        match code {
            401 | 403 => ModelError::Unauthorised { model, reason: key_refused(asked, code) },
            402 => ModelError::Unauthorised { model, reason: format!("payment needed: {words}") },
            _ if self.is_spent() => ModelError::Unauthorised { model, reason: words },
            413 => ModelError::TooLarge { model, reason: words },
            400 | 422 if self.is_too_large() => ModelError::TooLarge { model, reason: words },
            _ if by_kind && self.is_too_large() => ModelError::TooLarge { model, reason: words },
            400 if self.says(&["content_filter", "content_policy", "moderation"]) => {
                ModelError::Refused { model, reason: words }
            }
            404 => ModelError::UnknownModel { model, hint: format!("the provider says: {words}") },
            429 => ModelError::RateLimited { model, after: wait(LIMITED_WAIT) },
            _ if by_kind && self.says(&["rate_limit", "429"]) => {
                ModelError::RateLimited { model, after: wait(LIMITED_WAIT) }
            }
            503 | 529 => overloaded(model, words, wait(OVERLOADED_WAIT)),
            _ if by_kind && self.says(&["overloaded", "529", "503"]) => {
                overloaded(model, words, wait(OVERLOADED_WAIT))
            }
            300..=399 => ModelError::Unavailable {
                model,
                reason: format!("it answered {code}, a redirect, and none is followed"),
            },
            408 | 500.. => {
                ModelError::Unavailable { model, reason: format!("it answered {code}: {words}") }
            }
            _ if by_kind && self.says(&["invalid_request"]) => {
                ModelError::BadRequest { model, reason: words }
            }
            _ if by_kind => ModelError::Unavailable { model, reason: words },
            _ => ModelError::BadRequest { model, reason: format!("it answered {code}: {words}") },
        }
    }
}

fn overloaded(model: String, reason: String, after: Duration) -> ModelError {
    ModelError::Overloaded { model, reason, after }
}

/// The provider's own words stay out: they are where keys are repeated.
fn key_refused(asked: &Asked<'_>, code: u16) -> String {
    match asked.key_variable {
        Some(variable) => {
            format!("the provider refused the key in {variable} ({code}); check it and its rights")
        }
        None => format!("the provider wants a key ({code}) and the table names no variable for it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: &SecretString) -> Asked<'_> {
        Asked { model: "openai/gpt", key_variable: Some("OPENAI_API_KEY"), key: Some(key) }
    }

    fn status(code: u16, body: &str) -> Failure {
        let key = SecretString::from("sk-proj-0123456789abcdefghij");
        let status = StatusCode::from_u16(code).expect("a status");
        of_status(&asked(&key), status, &HeaderMap::new(), body.as_bytes(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn each_status_has_its_reaction() {
        use ModelError as E;
        let is = |failure: &Failure, name: &str| format!("{:?}", failure.error).starts_with(name);
        for (code, body, name, safe) in [
            (401, "", "Unauthorised", false),
            (402, "{}", "Unauthorised", false),
            (403, "", "Unauthorised", false),
            (404, "", "UnknownModel", false),
            (408, "", "Unavailable", true),
            (413, "", "TooLarge", false),
            (429, "", "RateLimited", true),
            (
                429,
                r#"{"error":{"code":"insufficient_quota","message":"x"}}"#,
                "Unauthorised",
                false,
            ),
            (500, "", "Unavailable", true),
            (502, "<html>", "Unavailable", true),
            (503, "", "Overloaded", true),
            (529, "", "Overloaded", true),
            (501, "", "Unavailable", false),
            (302, "", "Unavailable", false),
            (400, r#"{"error":{"message":"prompt is too long: 300000"}}"#, "TooLarge", false),
            (400, r#"{"error":{"code":"context_length_exceeded"}}"#, "TooLarge", false),
            (400, r#"{"error":{"code":"content_filter","message":"no"}}"#, "Refused", false),
            (400, r#"{"detail":"what"}"#, "BadRequest", false),
            (422, "", "BadRequest", false),
            (418, "", "BadRequest", false),
        ] {
            let failure = status(code, body);
            assert!(is(&failure, name), "{code}: {:?}", failure.error);
            assert_eq!(failure.safe, safe, "{code}");
            assert_eq!(failure.provider_failed, code >= 500, "{code}");
        }
        assert!(matches!(status(401, "sk").error, E::Unauthorised { .. }));
    }

    #[test]
    fn no_piece_of_a_key_is_repeated() {
        for body in [
            r#"{"error":{"message":"wrong key sk-proj-0123456789abcdefghij given"}}"#,
            r#"{"error":{"message":"wrong key sk-proj-01****efghij given, 456789abcd"}}"#,
            "sk-proj-0123456789abcdefghij",
        ] {
            for code in [400, 401, 404, 413, 429, 500, 529] {
                let failure = status(code, body);
                let all = format!("{} {failure:?}", failure.error);
                for piece in ["sk-proj-", "23456789", "cdefghij"] {
                    assert!(!all.contains(piece), "{code}: {all}");
                }
            }
        }
    }

    #[test]
    fn words_are_one_short_line() {
        let failure = status(500, &"word\n\u{1b}[31m".repeat(10_000));
        let said = failure.error.to_string();
        assert!(said.chars().count() < 400 && !said.contains(['\n', '\u{1b}']), "{said}");
    }

    #[test]
    fn an_error_in_a_stream_is_safe_to_repeat_only_before_the_first_token() {
        let key = SecretString::from("k");
        let fault = |kind: &str| StreamFault::Provider {
            kind: kind.to_owned(),
            message: "busy".to_owned(),
        };
        let before = of_stream(&asked(&key), fault("overloaded_error"), false);
        assert!(before.safe && matches!(before.error, ModelError::Overloaded { .. }));
        let after = of_stream(&asked(&key), fault("overloaded_error"), true);
        assert!(!after.safe);
        let limited = of_stream(&asked(&key), fault("rate_limit_error"), false);
        assert!(matches!(limited.error, ModelError::RateLimited { .. }));
        let wrong = of_stream(&asked(&key), fault("invalid_request_error"), false);
        assert!(!wrong.safe && matches!(wrong.error, ModelError::BadRequest { .. }));
        let broken = of_stream(&asked(&key), StreamFault::Broken("torn".to_owned()), false);
        assert!(!broken.safe);
    }
}
