//! The memory: pages that the model reads, in the order they were appended.
//!
//! Nothing that was appended is lost: a page may leave the model's window, and [`read`] or
//! [`recall`] brings it back.

use std::fmt;

use crate::agent::Part;

#[cfg(target_family = "wasm")]
use crate::component::agent::context as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::link as host;

/// A page of the agent's own context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a page is to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// How the model is set up. Before the first turn only.
    System,
    /// What the agent is to do.
    Task,
    /// Said by whoever the agent works for.
    User,
    /// Said by the model.
    Assistant,
    /// A call that the model asked for.
    ToolCall,
    /// What came of one. After its call only.
    ToolResult,
    /// The agent's own, for later.
    Note,
}

/// One page, without what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its number.
    pub id: PageId,
    /// What it is to the model.
    pub kind: PageKind,
    /// How long it is.
    pub tokens: u32,
    /// From 0.0 to 1.0.
    pub importance: f32,
    /// Whether it is in the model's window now.
    pub resident: bool,
    /// Whether it stays there.
    pub pinned: bool,
    /// A name of the agent's own.
    pub label: Option<String>,
}

/// A page that [`recall`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalled {
    /// The page.
    pub page: Page,
    /// The text in it that matched.
    pub text: String,
}

/// How full the memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// What the window holds at most.
    pub budget_tokens: u64,
    /// What is in it.
    pub resident_tokens: u64,
    /// What left it.
    pub swapped_tokens: u64,
    /// How many pages there are.
    pub pages: u64,
    /// Times that a swapped page was brought in.
    pub faults: u64,
    /// Share of prompt tokens that came from the provider's cache.
    pub cache_hit_ratio: f32,
}

/// Why the context did not do what was asked, case by case that of `aos:agent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no such page, or it was freed.
    NoSuchPage(PageId),
    /// The page cannot fit.
    TooLarge(String),
    /// A tool result without its call, a system page after the first turn.
    OutOfOrder(String),
    /// Nothing more can be kept.
    StorageFull(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPage(id) => write!(f, "the context has no page {id}"),
            Self::TooLarge(message) => write!(f, "the page is too large: {message}"),
            Self::OutOfOrder(message) => write!(f, "the page comes out of order: {message}"),
            Self::StorageFull(message) => write!(f, "the context is full: {message}"),
        }
    }
}

impl std::error::Error for Error {}

/// A page to append.
///
/// ```no_run
/// use aos_sdk::context::{Draft, PageKind};
///
/// # fn main() -> Result<(), aos_sdk::context::Error> {
/// let page = Draft::new(PageKind::Note).text("The user's name is Ada.").label("user").append()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a draft is no page before `append`"]
pub struct Draft {
    /// What it is to the model.
    pub kind: PageKind,
    /// What is in it.
    pub parts: Vec<Part>,
    /// From 0.0 to 1.0.
    pub importance: f32,
    /// A name of the agent's own.
    pub label: Option<String>,
}

impl Draft {
    /// An empty page, of importance 1.0 for what the model is and has to do, else of 0.5.
    pub fn new(kind: PageKind) -> Self {
        let importance = match kind {
            PageKind::System | PageKind::Task => 1.0,
            PageKind::User
            | PageKind::Assistant
            | PageKind::ToolCall
            | PageKind::ToolResult
            | PageKind::Note => 0.5,
        };
        Self { kind, parts: Vec::new(), importance, label: None }
    }

    /// The same page with one text more.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.part(Part::text(text))
    }

    /// The same page with one part more.
    pub fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// From 0.0 to 1.0: what is more important stays in the window longer.
    pub fn importance(mut self, importance: f32) -> Self {
        self.importance = importance;
        self
    }

    /// A name of the agent's own.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Appends the page to the context.
    ///
    /// # Errors
    /// Where it does not fit or comes out of order.
    pub fn append(self) -> Result<PageId, Error> {
        host::append(self)
    }
}

/// Appends a page of one text; [`Draft`] can say more.
///
/// # Errors
/// As [`Draft::append`].
pub fn append(kind: PageKind, text: impl Into<String>) -> Result<PageId, Error> {
    Draft::new(kind).text(text).append()
}

/// What is in a page. A page that left the window is brought in first.
///
/// # Errors
/// Where there is no such page.
pub fn read(id: PageId) -> Result<Vec<Part>, Error> {
    host::read(id)
}

/// The pages that matter most to `query`, in the window or not, best first, within `tokens_max`.
///
/// # Errors
/// Where nothing fits.
pub fn recall(query: &str, tokens_max: u32) -> Result<Vec<Recalled>, Error> {
    host::recall(query, tokens_max)
}

/// Keeps a page in the window until [`unpin`].
///
/// # Errors
/// Where there is no such page.
pub fn pin(id: PageId) -> Result<(), Error> {
    host::pin(id, true)
}

/// Lets a page leave the window again.
///
/// # Errors
/// Where there is no such page.
pub fn unpin(id: PageId) -> Result<(), Error> {
    host::pin(id, false)
}

/// Takes a page out of prompt and recall.
///
/// # Errors
/// Where there is no such page.
pub fn free(id: PageId) -> Result<(), Error> {
    host::free(id)
}

/// All pages, in the order they were appended.
#[must_use]
pub fn pages() -> Vec<Page> {
    host::pages()
}

/// How full the context is.
#[must_use]
pub fn usage() -> Statistics {
    host::usage()
}
