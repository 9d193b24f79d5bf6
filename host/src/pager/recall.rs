//! Recall: which of all an agent's pages, in the window or not, say most about a query. Pure: the
//! pages are given to it in the order of the log, so the same log gives the same ranking on every
//! store. Knows nothing of windows; no neural model, no download.
//!
//! # The ranking
//! Four scores of a page's content are each divided by the greatest for the query and summed:
//! BM25 of its stemmed words (Robertson and Zaragoza, 2009); BM25 of hashed character 4-grams, a
//! sparse vector of 65,536 dimensions that forgives spelling; BM25 of the words of its session as
//! one text; the squared share of the query's information that the page covers. The words of the
//! best pages are a fifth, weaker query (RM3 feedback, Lavrenko and Croft 2001).
//! A page's neighbours in its session lift it, one after a question the most; then it is weighed
//! by what the query says beside its words: who spoke, when, and whether it asks for a time.
//! All weights are in [`weights`], with the way they were found.

mod dates;
mod fit;
mod index;
mod query;
mod terms;
pub mod weights;

pub use self::fit::{EXCERPT_TOKENS, FRAME_TOKENS, Pick, excerpt, fit};
pub use self::index::{Document, Index};
pub use self::query::Hit;

#[cfg(test)]
mod tests;
