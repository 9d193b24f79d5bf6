//! How many tokens a request will be, before a provider has counted it. Pure.
//!
//! Vendors other than OpenAI publish no tokeniser, so the text is measured by kinds of characters,
//! and a factor per provider, learnt from the usage that comes back, corrects the sum.

use super::request::{Message, Part, Request};
use crate::types::Content;

/// An image of ordinary size: Anthropic's width × height / 750 at its largest, 1,568 pixels.
const IMAGE_TOKENS: u64 = 1_600;
/// Bytes of a document or a sound per token, a rough middle of text pages and scans.
const BLOB_BYTES_PER_TOKEN: u64 = 24;
/// What a message costs besides its text (roles and separators; OpenAI's cookbook says 3 to 4).
const MESSAGE_TOKENS: u64 = 4;

/// Tokens of a request's prompt, before any correction.
pub fn request_tokens(request: &Request) -> u64 {
    let tools = request.tools.iter().map(|tool| {
        let schema = tool.input_schema.to_string();
        MESSAGE_TOKENS
            + text_tokens(&tool.name)
            + text_tokens(&tool.description)
            + text_tokens(&schema)
    });
    let schema = request.response_schema.as_ref().map(|schema| text_tokens(&schema.to_string()));
    let messages = request.messages.iter().map(message_tokens);
    let system = MESSAGE_TOKENS + text_tokens(&request.system);
    tools.chain(messages).chain(schema).fold(system, u64::saturating_add)
}

fn message_tokens(message: &Message) -> u64 {
    message.parts.iter().map(part_tokens).fold(MESSAGE_TOKENS, u64::saturating_add)
}

fn part_tokens(part: &Part) -> u64 {
    match part {
        Part::Content(content) => content_tokens(content),
        // Signatures are not counted by the text they are.
        Part::Reasoning { text, .. } => text_tokens(text),
        Part::ToolCall { name, arguments, .. } => {
            MESSAGE_TOKENS + text_tokens(name) + text_tokens(arguments)
        }
        Part::ToolResult { content, .. } => {
            content.iter().map(content_tokens).fold(MESSAGE_TOKENS, u64::saturating_add)
        }
    }
}

fn content_tokens(content: &Content) -> u64 {
    match content {
        Content::Text(text) => text_tokens(text),
        Content::Image(_) => IMAGE_TOKENS,
        Content::Audio(blob) => blob.data.len() as u64 / BLOB_BYTES_PER_TOKEN,
        Content::Document(name, blob) => {
            let inside = match std::str::from_utf8(&blob.data) {
                Ok(text) => text_tokens(text),
                Err(_) => blob.data.len() as u64 / BLOB_BYTES_PER_TOKEN,
            };
            text_tokens(name).saturating_add(inside)
        }
    }
}

/// What kind of run a character belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letters,
    Digits,
    Space,
    Marks,
    /// Letters beyond ASCII of alphabets.
    Abroad,
    /// Writing without spaces, emoji, all else.
    Dense,
}

fn kind(c: char) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' => Kind::Letters,
        '0'..='9' => Kind::Digits,
        _ if c.is_whitespace() => Kind::Space,
        _ if c.is_ascii() => Kind::Marks,
        '\u{80}'..='\u{1fff}' => Kind::Abroad,
        _ => Kind::Dense,
    }
}

/// Tokens of a text, by the rules of byte-pair vocabularies of 100,000 to 200,000 entries: a word
/// of up to eight letters is one token with the space before it, three digits are one.
pub fn text_tokens(text: &str) -> u64 {
    let (mut tokens, mut run, mut length) = (0, Kind::Space, 0);
    for c in text.chars() {
        let this = kind(c);
        // A capital inside a word begins a new one, as in camelCase.
        let broken = this != run || (run == Kind::Letters && c.is_ascii_uppercase() && length > 1);
        if broken {
            tokens += run_tokens(run, length);
            (run, length) = (this, 0);
        }
        length += 1;
    }
    // Counted in eighths, so that short runs do not round up one by one.
    (tokens + run_tokens(run, length)).div_ceil(8)
}

/// Eighths of tokens of a run of one kind. Against bpe-openai 0.3 (o200k): within 10 % on prose,
/// Rust, TOML, WIT, Russian, German, Chinese and Japanese, 17 % over on dense JSON, 24 % under on
/// bare numbers.
fn run_tokens(kind: Kind, length: u64) -> u64 {
    match kind {
        Kind::Letters => 8 * length.div_ceil(8),
        Kind::Digits => 8 * length.div_ceil(3),
        Kind::Space if length <= 1 => 0,
        Kind::Space => 8,
        Kind::Marks => 4 + 2 * length,
        Kind::Abroad => 2 + 2 * length,
        Kind::Dense => 6 * length,
    }
}

/// A factor that draws estimates to what a provider counts.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    factor: f64,
}

impl Default for Factor {
    fn default() -> Self {
        Self { factor: 1.0 }
    }
}

/// How much one more observation weighs: about the last twenty count.
const LEARNING_RATE: f64 = 0.1;
/// Under this many tokens a sample says more of fixed parts than of the vocabulary.
const SAMPLE_TOKENS_MIN: u64 = 200;

impl Factor {
    /// The corrected estimate.
    pub fn apply(self, estimate: u64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the factor is 0.25 to 4, the cast saturates"
        )]
        let corrected = (estimate as f64 * self.factor).ceil() as u64;
        corrected
    }

    /// Learns from one call: what was estimated without correction, what the provider counted.
    pub fn learn(&mut self, estimate: u64, counted: u64) {
        if estimate < SAMPLE_TOKENS_MIN || counted == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "no prompt has 2^53 tokens")]
        let seen = (counted as f64 / estimate as f64).clamp(0.25, 4.0);
        self.factor += LEARNING_RATE * (seen - self.factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What bpe-openai 0.3 (o200k) counts for these, taken once.
    #[test]
    fn the_estimate_is_near_a_real_tokeniser() {
        for (text, real) in SAMPLES {
            let estimate = text_tokens(text);
            let ratio = estimate as f64 / *real as f64;
            assert!((0.75..1.25).contains(&ratio), "{estimate} for {real}: {text}");
        }
    }

    const SAMPLES: &[(&str, u64)] = &[
        (
            "The quick brown fox jumps over the lazy dog. Agents and tools are WebAssembly \
             components, and capabilities are denied by default; what an operator has not granted \
             cannot be reached.",
            35,
        ),
        (
            "Быстрая коричневая лиса перепрыгивает через ленивую собаку. Система запускает агентов \
             и инструменты, которым никто не обязан доверять, и ограничивает всё.",
            42,
        ),
        (
            "Die Hauptversammlung beschließt über die Verwendung des Bilanzgewinns, die Entlastung \
             des Vorstands und des Aufsichtsrats sowie über Maßnahmen der Kapitalbeschaffung.",
            36,
        ),
        (
            "操作系统为每个智能体分配处理器、内存和设备,并且默认拒绝所有权限。\
             只有操作员可以授予新的能力,任何工具都不能自行扩大权限。",
            42,
        ),
        (
            "fn admit(&mut self, now: Duration, demand: Demand) -> Admit {\n    let wait = \
             self.buckets.iter().map(|bucket| bucket.wait(now, demand)).max();\n    \
             wait.map_or(Admit::Now, Admit::After)\n}\n",
            53,
        ),
        (
            "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\
             \"text\":\"Hello\"},\"usage\":{\"input_tokens\":12,\"output_tokens\":30}}",
            35,
        ),
        ("2026-11-23 07:46:55, 3.14159, 1234567890, 192.168.0.1, 0xdeadbeef, 42%, $1,299.99", 50),
    ];

    #[test]
    fn the_factor_comes_to_what_is_counted() {
        let mut factor = Factor::default();
        for _ in 0..60 {
            factor.learn(1000, 1300);
        }
        let corrected = factor.apply(1000);
        assert!((1290..=1300).contains(&corrected), "{corrected}");
        factor.learn(10, 1_000_000);
        factor.learn(1000, 0);
        assert_eq!(factor.apply(1000), corrected);
    }
}
