//! Makes tool plugins that say of themselves, and answer, whatever a test wants.
//!
//! What they say lies as bytes in the component's memory, in the layout of the canonical ABI.

use std::fmt::Write;
use std::sync::Arc;

use aos_host::kernel::Plugin;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::house::{guest_path, house};
use crate::support;

/// Where the data begins: `(data (i32.const 65536) …)` in `liar.wat`.
const BASE: usize = 65_536;

/// One tool as the guest tells it.
#[derive(Clone)]
pub struct Lie {
    pub name: String,
    pub input: String,
    pub output: Option<String>,
}

/// A tool of that name without arguments.
pub fn honest(name: &str) -> Lie {
    Lie { name: name.into(), input: r#"{"type":"object"}"#.into(), output: None }
}

/// A tool whose input schema is this.
pub fn taking(input: &str) -> Lie {
    Lie { input: input.into(), ..honest("tool") }
}

/// What the two exports do.
#[derive(Clone, Default)]
pub struct Liar {
    pub tools: Vec<Lie>,
    /// In the place of a catalogue: core instructions.
    pub definitions: Option<String>,
    /// In the place of an answer: core instructions that leave its address.
    pub call: Option<String>,
    /// Core instructions before the answer, with the clock of WASI 0.3 at hand: `$now`, `$wait`.
    pub first: Option<String>,
    /// The answer: a text.
    pub text: String,
    /// The answer's structured part.
    pub structured: Option<String>,
}

impl Liar {
    /// One that tells these tools and answers an empty text.
    pub fn telling(tools: &[Lie]) -> Self {
        Self { tools: tools.to_vec(), ..Self::default() }
    }

    /// One with an honest tool, `tool`, that answers this.
    pub fn answering(structured: &str) -> Self {
        Self { structured: Some(structured.into()), ..Self::telling(&[honest("tool")]) }
    }

    /// One with an honest tool, `tool`, that does this instead of answering.
    pub fn doing(call: &str) -> Self {
        Self { call: Some(call.into()), ..Self::telling(&[honest("tool")]) }
    }

    /// The plugin, in the house's kernel.
    pub fn plugin(&self) -> Arc<Plugin> {
        house().load("liar", self.component()).expect("loads")
    }

    /// The component's bytes.
    pub fn component(&self) -> Vec<u8> {
        let mut data = Data(Vec::new());
        let definitions = data.definitions(&self.tools);
        let answer = data.answer(&self.text, self.structured.as_deref());
        let end = BASE + data.0.len();
        let bytes = data.0.iter().fold(String::new(), |mut text, byte| {
            write!(text, "\\{byte:02x}").expect("writes");
            text
        });
        let template = std::fs::read_to_string(guest_path("liar.wat")).expect("a guest");
        let constant = |at: usize| format!("(i32.const {at})");
        let text = template
            .replace("{pages}", &(end / 65_536 + 2).to_string())
            .replace("{data}", &bytes)
            .replace("{end}", &end.to_string())
            .replace("{imports}", self.first.as_ref().map_or("", |_| CLOCK))
            .replace("{first}", self.first.as_deref().unwrap_or(""))
            .replace("{definitions}", self.definitions.as_ref().unwrap_or(&constant(definitions)))
            .replace("{call}", self.call.as_ref().unwrap_or(&constant(answer)));
        componentize(&text, if self.first.is_some() { "liar-with-a-clock" } else { "liar" })
    }
}

/// The clock of WASI 0.3, as a core module imports it.
const CLOCK: &str = r#"
  (import "wasi:clocks/monotonic-clock@0.3.0" "now" (func $now (result i64)))
  (import "wasi:clocks/monotonic-clock@0.3.0" "wait-for" (func $wait (param i64)))"#;

/// A core module in text, made a component of a world of `liar.wit`.
fn componentize(text: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).expect("a module");
    let mut resolve = Resolve::default();
    let mut push = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path).expect("WIT");
        resolve.push_source(&path.display().to_string(), &text).expect("WIT")
    };
    push(&support::top().join("wit/deps/aos-tool/tool.wit"));
    push(&guest_path("exit.wit"));
    push(&guest_path("clock.wit"));
    let package = push(&guest_path("liar.wit"));
    let world = resolve.select_world(&[package], Some(world)).expect("a world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("embeds");
    let encoder = ComponentEncoder::default().validate(true);
    encoder.module(&module).expect("a module").encode().expect("a component")
}

/// Bytes from [`BASE`] on.
struct Data(Vec<u8>);

impl Data {
    fn put(&mut self, bytes: &[u8]) -> usize {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let at = BASE + self.0.len();
        self.0.extend_from_slice(bytes);
        at
    }

    /// Pointer and length.
    fn string(&mut self, text: &str) -> Vec<u8> {
        let at = self.put(text.as_bytes());
        words(&[at, text.len()])
    }

    fn option(&mut self, text: Option<&str>) -> Vec<u8> {
        let mut bytes = words(&[usize::from(text.is_some())]);
        match text {
            Some(text) => bytes.extend(self.string(text)),
            None => bytes.extend([0; 8]),
        }
        bytes
    }

    /// `list<definition>`, of which each is 52 bytes.
    fn definitions(&mut self, tools: &[Lie]) -> usize {
        let mut records = Vec::new();
        for tool in tools {
            records.extend(self.string(&tool.name));
            records.extend(self.option(None));
            records.extend(self.string(""));
            records.extend(self.string(&tool.input));
            records.extend(self.option(tool.output.as_deref()));
            // Read-only and idempotent: its row need not be on a disk first.
            records.extend([1, 0, 1, 0]);
        }
        let list = self.put(&records);
        self.put(&words(&[list, tools.len()]))
    }

    /// `result<output, error>`, an output with one text.
    fn answer(&mut self, text: &str, structured: Option<&str>) -> usize {
        let mut content = words(&[0]);
        content.extend(self.string(text));
        let content = self.put(&content);
        let mut result = words(&[0, 0, content, 1]);
        result.extend(self.option(structured));
        // The largest error is larger than an output.
        result.resize(64, 0);
        self.put(&result)
    }
}

/// Little-endian words of 32 bits.
fn words(words: &[usize]) -> Vec<u8> {
    let word = |word: &usize| u32::try_from(*word).expect("a small guest").to_le_bytes();
    words.iter().flat_map(word).collect()
}
