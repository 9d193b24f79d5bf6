//! A page: what one entry of the log says, and what the pager keeps of it beside its words.
//! Knows nothing of the window.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::signature::Signature;
use super::tokens::Count;

/// A page's number in its agent's log: from 0, without gaps, never used again.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct PageId(pub u64);

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// How the agent is to behave; only in the head.
    System,
    /// What it is to do; in the head.
    Task,
    /// Said to the agent.
    User,
    /// Said by the model.
    Assistant,
    /// A tool call of the model.
    ToolCall,
    /// What a tool answered.
    ToolResult,
    /// Written by the agent's program for later.
    Note,
}

/// One content block of a page: words, and what else the model layer needs to make it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The words: counted, searched, and cut where a page is split. May be empty.
    pub text: Arc<str>,
    /// The model layer's own bytes (the part's other fields, an image), handed back as they are.
    pub wrap: Option<Bytes>,
    /// Tokens of `wrap`, as the model layer counts them; 0 where only the words count.
    pub wrap_tokens: u32,
    /// Of use to the model for a turn only, as its reasoning is: left out of the prompt once an
    /// eviction has broken the prefix before it anyway, and kept in storage like all else.
    pub fleeting: bool,
}

impl Part {
    /// Plain words.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), wrap: None, wrap_tokens: 0, fleeting: false }
    }

    /// Words with the model layer's bytes, which take `wrap_tokens` in a prompt.
    pub fn wrapped(text: impl Into<Arc<str>>, wrap: impl Into<Bytes>, wrap_tokens: u32) -> Self {
        Self { text: text.into(), wrap: Some(wrap.into()), wrap_tokens, fleeting: false }
    }

    /// The same part, of use for a turn only.
    #[must_use]
    pub fn passing(self) -> Self {
        Self { fleeting: true, ..self }
    }
}

/// Which pages belong together: they leave the window together and are never split apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Relation {
    /// The model's reply that this page is of; all pages of a reply carry the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<u64>,
    /// The tool call that this page is, or answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Arc<str>>,
}

/// A page on its way into the log.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPage {
    /// What it is.
    pub kind: Kind,
    /// Its content blocks, in order.
    pub parts: Vec<Part>,
    /// 0.0 to 1.0; what is outside is brought inside, no number counts as 0.5.
    pub importance: f32,
    /// A name that stubs and listings show.
    pub label: Option<Arc<str>>,
    /// What it belongs to.
    pub relation: Relation,
}

impl NewPage {
    /// A page of one text, of middling importance, that belongs to nothing.
    pub fn text(kind: Kind, text: impl Into<Arc<str>>) -> Self {
        let parts = vec![Part::text(text)];
        Self { kind, parts, importance: 0.5, label: None, relation: Relation::default() }
    }

    /// Counts its tokens and hashes its content: the costly part of an append, which needs no
    /// context and can run anywhere.
    ///
    /// A page without parts gets an empty one, so that it has a place in the prompt.
    pub fn measure(mut self, counter: &dyn Count) -> Measured {
        if self.parts.is_empty() {
            self.parts.push(Part::text(""));
        }
        let part_tokens = |part: &Part| counter.tokens(&part.text) + u64::from(part.wrap_tokens);
        let tokens = self.parts.iter().map(part_tokens).sum();
        let hash = ContentHash::of(&self.parts);
        let mut signature = Signature::default();
        self.parts.iter().for_each(|part| signature.add(&part.text));
        Measured { page: self, tokens, hash, signature }
    }
}

/// A page with its tokens and its hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The page.
    pub page: NewPage,
    /// Its tokens.
    pub tokens: u64,
    /// Its content's name.
    pub hash: ContentHash,
    /// Its words as bits.
    pub signature: Signature,
}

/// The blake3 hash of a page's parts: the name of its body in storage.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// Hashes parts, each field with its length before it, so that no two contents spell the same.
    pub fn of(parts: &[Part]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            let wrap: &[u8] = part.wrap.as_deref().unwrap_or(&[]);
            hasher.update(&(part.text.len() as u64).to_le_bytes());
            hasher.update(part.text.as_bytes());
            hasher.update(&[u8::from(part.wrap.is_some()) | (u8::from(part.fleeting) << 1)]);
            hasher.update(&(wrap.len() as u64).to_le_bytes());
            hasher.update(wrap);
            hasher.update(&part.wrap_tokens.to_le_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

impl serde::Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ContentHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("a content hash is 64 hexadecimal digits");
        let hash = blake3::Hash::from_hex(text).map_err(|_| wrong())?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// What the pager keeps of a page beside its words.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Page {
    /// Its number.
    pub id: PageId,
    /// What it is.
    pub kind: Kind,
    /// Its tokens in a prompt.
    pub tokens: u64,
    /// 0.0 to 1.0.
    pub importance: f32,
    /// In the window now.
    pub resident: bool,
    /// May not leave the window.
    pub pinned: bool,
    /// Out of prompt and recall for good.
    pub freed: bool,
    /// Shown without its fleeting parts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thin: bool,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Arc<str>>,
    /// The name of its body in storage.
    pub hash: ContentHash,
    /// What it belongs to.
    #[serde(flatten)]
    pub relation: Relation,
    /// The first page of the group that it leaves with.
    pub group: PageId,
    /// The first page of what it is a piece of, where a page was too large for the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece_of: Option<PageId>,
    /// The log's length in tokens when it was last used.
    pub used_at_tokens: u64,
    /// How often it was used: appended, read, recalled.
    pub uses: u32,
}
