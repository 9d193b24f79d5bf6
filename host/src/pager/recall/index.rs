//! What is kept of each page to rank it: postings of stems and grams, and a few marks.

use std::collections::HashMap;

use super::super::page::PageId;
use super::super::words;
use super::dates::{self, Date};
use super::terms::{self, Analyzer};

/// A page as recall sees it.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Its number.
    pub id: PageId,
    /// Its words.
    pub text: &'a str,
    /// Who said it, where that is known.
    pub speaker: Option<&'a str>,
    /// The conversation or turn that it is of; pages of one session are neighbours. Where there is
    /// none, [`SESSION_PAGES`] pages in a row are one.
    pub session: Option<u64>,
    /// When it was said, as a text with a date in it.
    pub said_at: Option<&'a str>,
}

/// How many pages without a session are one: about a topic's length in talk.
pub const SESSION_PAGES: u64 = 24;

/// Where a term is: the page's place, and how often.
pub(super) type Posting = (u32, u16);

/// What is kept of a page.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    pub id: PageId,
    pub session: u32,
    pub speaker: Option<u32>,
    pub date: Option<Date>,
    pub words: u16,
    pub grams: u16,
    pub asks: bool,
    pub tells_time: bool,
    pub removed: bool,
}

/// The pages of one agent, ready to rank.
#[derive(Default)]
pub struct Index {
    pub(super) analyzer: Analyzer,
    pub(super) pages: Vec<Marks>,
    /// Each page's distinct terms, for feedback.
    pub(super) terms_of: Vec<Box<[Posting]>>,
    pub(super) vocabulary: HashMap<Box<str>, u32>,
    pub(super) words: Vec<Vec<Posting>>,
    pub(super) grams: HashMap<u16, Vec<Posting>>,
    pub(super) speakers: HashMap<Box<str>, u32>,
    /// Words in each session.
    pub(super) session_words: Vec<u32>,
    pub(super) words_total: u64,
    pub(super) grams_total: u64,
    sessions: HashMap<u64, u32>,
    last_session: Option<u32>,
    without_session: u64,
}

impl Index {
    /// An index of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many pages were added and not removed.
    pub fn len(&self) -> usize {
        self.pages.iter().filter(|page| !page.removed).count()
    }

    /// Whether there is nothing to recall.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a page. Pages come in the order of the log, with rising numbers.
    pub fn add(&mut self, document: Document<'_>) {
        let Ok(place) = u32::try_from(self.pages.len()) else { return };
        let subjects = Analyzer::subjects(document.text);
        let counts = self.count_words(&subjects);
        let gram_count = self.add_grams(place, &subjects);
        let word_count: u32 = counts.iter().map(|(_, count)| u32::from(*count)).sum();
        let session = self.session(document.session);
        for (term, count) in &counts {
            self.words[*term as usize].push((place, *count));
        }
        self.session_words[session as usize] += word_count;
        self.words_total += u64::from(word_count);
        self.grams_total += u64::from(gram_count);
        let speaker = document.speaker.map(|name| self.speaker(name));
        self.pages.push(Marks {
            id: document.id,
            session,
            speaker,
            date: document.said_at.and_then(|said| dates::dates(said).first().copied()),
            words: u16::try_from(word_count).unwrap_or(u16::MAX),
            grams: u16::try_from(gram_count).unwrap_or(u16::MAX),
            asks: document.text.contains(['?', '？', '؟']),
            tells_time: words::words(head(document.text)).any(|word| tells_time(&word)),
            removed: false,
        });
        self.terms_of.push(counts.into());
    }

    /// Takes a page out for good. Its words still count as known.
    pub fn remove(&mut self, id: PageId) {
        if let Ok(place) = self.pages.binary_search_by_key(&id, |page| page.id) {
            self.pages[place].removed = true;
        }
    }

    fn count_words(&mut self, subjects: &[String]) -> Vec<Posting> {
        let mut counts: HashMap<u32, u16> = HashMap::new();
        for word in subjects {
            let stem = self.analyzer.stem(word);
            let next = u32::try_from(self.vocabulary.len()).unwrap_or(u32::MAX);
            let term = *self.vocabulary.entry(stem.into_boxed_str()).or_insert(next);
            if term as usize >= self.words.len() {
                self.words.push(Vec::new());
            }
            let count = counts.entry(term).or_default();
            *count = count.saturating_add(1);
        }
        let mut counts: Vec<Posting> = counts.into_iter().collect();
        counts.sort_unstable();
        counts
    }

    fn add_grams(&mut self, place: u32, subjects: &[String]) -> u32 {
        let mut all: Vec<u16> = subjects.iter().flat_map(|word| terms::grams(word)).collect();
        all.sort_unstable();
        for run in all.chunk_by(|a, b| a == b) {
            let count = u16::try_from(run.len()).unwrap_or(u16::MAX);
            self.grams.entry(run[0]).or_default().push((place, count));
        }
        u32::try_from(all.len()).unwrap_or(u32::MAX)
    }

    fn speaker(&mut self, name: &str) -> u32 {
        let next = u32::try_from(self.speakers.len()).unwrap_or(u32::MAX);
        *self.speakers.entry(name.to_lowercase().into_boxed_str()).or_insert(next)
    }

    /// A session's place in the table.
    fn session(&mut self, named: Option<u64>) -> u32 {
        let next = u32::try_from(self.session_words.len()).unwrap_or(u32::MAX);
        let place = match named {
            Some(session) => *self.sessions.entry(session).or_insert(next),
            None => {
                let starts = self.without_session.is_multiple_of(SESSION_PAGES);
                self.without_session += 1;
                match self.last_session {
                    Some(last) if !starts => last,
                    _ => next,
                }
            }
        };
        if place == next {
            self.session_words.push(0);
        }
        self.last_session = Some(place);
        place
    }
}

/// The beginning of a text, which is read for marks.
fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(text.len().min(4_096))]
}

/// English words that place something in time, sorted.
const TIME_WORDS: &[&str] = &[
    "ago",
    "april",
    "august",
    "day",
    "days",
    "december",
    "february",
    "fri",
    "friday",
    "january",
    "july",
    "june",
    "last",
    "march",
    "may",
    "mon",
    "monday",
    "month",
    "months",
    "morning",
    "next",
    "night",
    "november",
    "october",
    "recently",
    "sat",
    "saturday",
    "september",
    "since",
    "soon",
    "sun",
    "sunday",
    "thurs",
    "thursday",
    "today",
    "tomorrow",
    "tues",
    "tuesday",
    "wed",
    "wednesday",
    "week",
    "weekend",
    "weeks",
    "year",
    "years",
    "yesterday",
];

fn tells_time(word: &str) -> bool {
    TIME_WORDS.binary_search(&word).is_ok()
}
