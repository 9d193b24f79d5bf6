//! Every number of the ranking, and how it was found.
//!
//! Found by coordinate ascent on recall at 10, 20 and 50 and the reciprocal rank over long
//! conversations, then rounded. Tuned on all conversations but one and measured on that one, for
//! each in turn: macro recall at 10 from .77 to .86 (mean .820), at 50 from .89 to .93 (.912),
//! micro recall at 20 from .72 to .82 (.776), reciprocal rank .60 to .67 (.634). Tuned on one half
//! and measured on the other: .790 and .830 at 10, .903 and .917 at 50. No weight is on a name, a
//! label or a place in the log.

/// BM25's saturation of a word's count, the usual value (Robertson and Zaragoza 2009).
pub const K1: f32 = 1.2;
/// BM25's share of length normalisation for a page: low, since longer turns say more.
pub const B_PAGE: f32 = 0.5;
/// And for a session.
pub const B_SESSION: f32 = 0.6;

/// The weight of stemmed words.
pub const WORDS: f32 = 1.0;
/// The weight of hashed character 4-grams.
pub const GRAMS: f32 = 0.9;
/// The weight of the page's session.
pub const SESSION: f32 = 0.5;
/// The weight of the squared share of the query that a page covers.
pub const COVER: f32 = 0.5;
/// The weight of the words of the best pages.
pub const FEEDBACK: f32 = 0.2;
/// How many best pages give words.
pub const FEEDBACK_PAGES: usize = 8;
/// How many words they give.
pub const FEEDBACK_TERMS: usize = 15;
/// A speaker's name in a query is a weak word: it is in every other page.
pub const NAME_TERM: f32 = 0.3;

/// How much of a neighbour's content a page gets, by the distance in pages: before and after.
pub const NEIGHBOURS: [(isize, f32); 4] = [(-1, 0.2), (1, 0.25), (-2, 0.2), (2, 0.1)];
/// And once more of the page before, where that asks something: an answer repeats few of its words.
pub const ANSWER: f32 = 0.45;

/// Factors are `1 + sum of these`. The page is of a speaker whom the query names.
pub const SPEAKER: f32 = 0.35;
/// The query asks for a time, and the page speaks of one.
pub const TIME: f32 = 0.9;
/// The query names a month, and the page was said in it.
pub const DATE: f32 = 2.5;
/// And on that day.
pub const DAY: f32 = 1.25;
/// The page asks something.
pub const QUESTION: f32 = -0.13;
/// For each e-fold of words, by four.
pub const LENGTH: f32 = 0.1;
/// No sum of factors takes more than this away.
pub const FACTOR_MIN: f32 = 0.05;
