//! Ranking: a query's words and what it says beside them, against the index.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::super::page::PageId;
use super::super::words;
use super::dates::{self, Date};
use super::index::{Index, Marks};
use super::terms::{self, Analyzer};
use super::weights::{self, K1};

/// A page that says something about the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The page.
    pub id: PageId,
    /// Greater is better; comparable within one query only.
    pub score: f32,
}

/// No more distinct words of a query count: 100 KB of text is a page, not a question.
const QUERY_TERMS_MAX: usize = 64;
/// No more distinct grams of a query count.
const QUERY_GRAMS_MAX: usize = 512;
/// No more of a query is read, in bytes.
const QUERY_BYTES_MAX: usize = 16 * 1024;

/// A query as the ranking sees it.
struct Query {
    terms: Vec<(u32, f32)>,
    grams: Vec<u16>,
    speakers: Vec<u32>,
    dates: Vec<Date>,
    asks_time: bool,
}

impl Index {
    /// The pages that say most about `query`, best first, at most `limit`. Any text is a query: it
    /// has no syntax. Where no page shares anything with it, there is no hit.
    pub fn rank(&self, query: &str, limit: usize) -> Vec<Hit> {
        let query = self.query(query);
        let content = self.content(&query);
        let scores = self.pages.iter().enumerate().filter_map(|(place, page)| {
            let score = self.lifted(&content, place) * factor(page, &query);
            let hit = Hit { id: page.id, score };
            (!page.removed && score > 0.0).then_some(hit)
        });
        let mut hits: Vec<Hit> = scores.collect();
        if hits.len() > limit && limit > 0 {
            hits.select_nth_unstable_by(limit - 1, order);
        }
        hits.truncate(limit);
        hits.sort_unstable_by(order);
        hits
    }

    fn query(&self, text: &str) -> Query {
        let text = &text[..text.floor_char_boundary(QUERY_BYTES_MAX.min(text.len()))];
        let (mut terms, mut grams) = (Vec::new(), Vec::new());
        let (mut speakers, mut seen) = (Vec::new(), HashSet::new());
        let mut names = Vec::new();
        for word in Analyzer::subjects(text) {
            let stem = self.vocabulary.get(self.analyzer.stem(&word).as_str()).copied();
            if let Some(speaker) = self.speaker_named(&word) {
                speakers.push(speaker);
                names.extend(stem.map(|term| (term, weights::NAME_TERM)));
                continue;
            }
            grams.extend(terms::grams(&word));
            terms.extend(stem.map(|term| (term, 1.0)));
        }
        terms.extend(names);
        terms.retain(|(term, _)| seen.insert(*term));
        terms.truncate(QUERY_TERMS_MAX);
        grams.truncate(4 * QUERY_GRAMS_MAX);
        grams.sort_unstable();
        grams.dedup();
        grams.truncate(QUERY_GRAMS_MAX);
        let asks = ["when", "date", "month", "year", "day"];
        let asks_time = words::words(text).any(|word| asks.contains(&word.as_str()));
        Query { terms, grams, speakers, dates: dates::dates(text), asks_time }
    }

    /// A speaker by name, or by one word of it.
    fn speaker_named(&self, word: &str) -> Option<u32> {
        let whole = self.speakers.get(word).copied();
        let part = || {
            let has = |name: &str| name.split_whitespace().any(|part| part == word);
            let named = self.speakers.iter().filter(|(name, _)| has(name));
            named.min().map(|(_, speaker)| *speaker)
        };
        whole.or_else(part)
    }

    /// What a page's own words are worth, all but its neighbours.
    fn content(&self, query: &Query) -> Vec<f32> {
        let words = self.words_score(&query.terms);
        let feedback = self.words_score(&self.feedback(&words, &query.terms));
        let mut content = vec![0.0; self.pages.len()];
        let add = |content: &mut Vec<f32>, scores: Vec<f32>, weight: f32| {
            let most = scores.iter().copied().fold(0.0, f32::max);
            if most > 0.0 {
                let scale = weight / most;
                content.iter_mut().zip(scores).for_each(|(sum, score)| *sum += scale * score);
            }
        };
        add(&mut content, self.session_score(&query.terms), weights::SESSION);
        add(&mut content, self.cover(&query.terms), weights::COVER);
        add(&mut content, self.grams_score(&query.grams), weights::GRAMS);
        add(&mut content, feedback, weights::FEEDBACK);
        add(&mut content, words, weights::WORDS);
        content
    }

    fn words_score(&self, terms: &[(u32, f32)]) -> Vec<f32> {
        let mut scores = vec![0.0; self.pages.len()];
        let average = self.words_total as f32 / self.pages.len().max(1) as f32;
        for (term, weight) in terms {
            let postings = &self.words[*term as usize];
            let idf = idf(self.pages.len(), postings.len()) * weight;
            for (place, count) in postings {
                let length = f32::from(self.pages[*place as usize].words) / average.max(1.0);
                let score = saturated(f32::from(*count), length, weights::B_PAGE);
                scores[*place as usize] += idf * score;
            }
        }
        scores
    }

    fn grams_score(&self, grams: &[u16]) -> Vec<f32> {
        let mut scores = vec![0.0; self.pages.len()];
        let average = self.grams_total as f32 / self.pages.len().max(1) as f32;
        for postings in grams.iter().filter_map(|gram| self.grams.get(gram)) {
            let idf = idf(self.pages.len(), postings.len());
            for (place, count) in postings {
                let length = f32::from(self.pages[*place as usize].grams) / average.max(1.0);
                let score = saturated(f32::from(*count), length, weights::B_PAGE);
                scores[*place as usize] += idf * score;
            }
        }
        scores
    }

    /// BM25 with each session as one text, given to all its pages.
    fn session_score(&self, terms: &[(u32, f32)]) -> Vec<f32> {
        let sessions = self.session_words.len();
        let mut scores = vec![0.0_f32; sessions];
        let average = self.words_total as f32 / sessions.max(1) as f32;
        for (term, weight) in terms {
            let mut counts: HashMap<u32, u32> = HashMap::new();
            for (place, count) in &self.words[*term as usize] {
                let session = self.pages[*place as usize].session;
                *counts.entry(session).or_default() += u32::from(*count);
            }
            let idf = idf(sessions, counts.len()) * weight;
            for (session, count) in counts {
                let length = self.session_words[session as usize] as f32 / average.max(1.0);
                let score = saturated(count as f32, length, weights::B_SESSION);
                scores[session as usize] += idf * score;
            }
        }
        self.pages.iter().map(|page| scores[page.session as usize]).collect()
    }

    /// The squared share of the query's information that a page covers.
    fn cover(&self, terms: &[(u32, f32)]) -> Vec<f32> {
        let mut scores = vec![0.0_f32; self.pages.len()];
        for (term, weight) in terms {
            let postings = &self.words[*term as usize];
            let idf = idf(self.pages.len(), postings.len()) * weight;
            postings.iter().for_each(|(place, _)| scores[*place as usize] += idf);
        }
        scores.iter_mut().for_each(|score| *score *= *score);
        scores
    }

    /// The telling words of the best pages that the query does not have, with weights to 1.
    fn feedback(&self, scores: &[f32], terms: &[(u32, f32)]) -> Vec<(u32, f32)> {
        let mut best: Vec<(f32, usize)> =
            scores.iter().copied().zip(0..).filter(|(score, _)| *score > 0.0).collect();
        let by_score =
            |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1));
        if best.len() > weights::FEEDBACK_PAGES {
            best.select_nth_unstable_by(weights::FEEDBACK_PAGES - 1, by_score);
            best.truncate(weights::FEEDBACK_PAGES);
        }
        best.sort_unstable_by(by_score);
        let mut sums: HashMap<u32, f32> = HashMap::new();
        for (score, place) in best {
            let words = f32::from(self.pages[place].words.max(1));
            for (term, count) in &self.terms_of[place] {
                let idf = idf(self.pages.len(), self.words[*term as usize].len());
                *sums.entry(*term).or_default() += score * f32::from(*count) * idf / words;
            }
        }
        sums.retain(|term, _| !terms.iter().any(|(known, _)| known == term));
        let mut sums: Vec<(u32, f32)> = sums.into_iter().collect();
        sums.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sums.truncate(weights::FEEDBACK_TERMS);
        let most = sums.first().map_or(1.0, |first| first.1);
        sums.iter_mut().for_each(|(_, weight)| *weight /= most);
        sums
    }

    /// A page's content with what its neighbours in the session lift it by.
    fn lifted(&self, content: &[f32], place: usize) -> f32 {
        let session = self.pages[place].session;
        let near = |step: isize| {
            let other = place.checked_add_signed(step)?;
            let page = self.pages.get(other)?;
            (page.session == session).then_some((content[other], page.asks))
        };
        let around = weights::NEIGHBOURS.iter();
        let around: f32 =
            around.map(|(step, weight)| near(*step).map_or(0.0, |(score, _)| weight * score)).sum();
        let asked = near(-1).map_or(0.0, |(score, asks)| if asks { score } else { 0.0 });
        content[place] + around + weights::ANSWER * asked
    }
}

/// What the query says beside its words, as a factor.
fn factor(page: &Marks, query: &Query) -> f32 {
    let mut sum = 1.0 + weights::LENGTH * (f32::from(page.words) + 1.0).ln() / 4.0;
    if page.speaker.is_some_and(|speaker| query.speakers.contains(&speaker)) {
        sum += weights::SPEAKER;
    }
    if query.asks_time && page.tells_time {
        sum += weights::TIME;
    }
    if page.asks {
        sum += weights::QUESTION;
    }
    let fits = |said: Date| query.dates.iter().map(|named| said.fit(*named)).max().unwrap_or(0);
    sum += match page.date.map_or(0, fits) {
        0 => 0.0,
        1 => weights::DATE,
        _ => weights::DATE + weights::DAY,
    };
    sum.max(weights::FACTOR_MIN)
}

/// The information of a term that `found` of `all` texts have, never negative (Lucene's form).
fn idf(all: usize, found: usize) -> f32 {
    let (all, found) = (all as f32, found as f32);
    (1.0 + (all - found + 0.5) / (found + 0.5)).ln()
}

/// BM25's saturation of a count, for a text of `length` times the average.
fn saturated(count: f32, length: f32, b: f32) -> f32 {
    count * (K1 + 1.0) / (count + K1 * (1.0 - b + b * length))
}

/// Best first; of equals the older page.
fn order(a: &Hit, b: &Hit) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id))
}
