//! Documents of agents, found again by their words or by vectors.
//!
//! Knows texts, vectors and whose they are; knows nothing of what a document is about, or of who
//! makes vectors of texts. Vectors are compared only within one [`Space`]: those of two models, or
//! of two versions of one, say nothing of each other. A search looks at the documents of one agent,
//! unless it is told to look at all.
//!
//! Similarity is the cosine: vectors are brought to length 1 when they come in.

mod conform;
pub mod nearest;

#[cfg(test)]
pub(crate) use conform::conforms;

use super::{Answer, StorageError};

/// The longest name of an agent, of a document, of a model or a version, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;
/// The longest text, in bytes: a `tsvector` of it stays below PostgreSQL's 1 MiB.
pub const TEXT_BYTES_MAX: usize = 256 << 10;
/// The longest vector: pgvector's index takes 4,000 dimensions of two bytes.
pub const DIMENSIONS_MAX: usize = 4000;
/// How many documents one [`Documents::put_documents`] takes.
pub const PUT_MAX: usize = 1000;
/// How many documents an agent may have.
pub const DOCUMENTS_MAX: i64 = 1_000_000;
/// How many hits one search gives at most.
pub const HITS_MAX: usize = 1000;
/// How many words of a question count.
const WORDS_MAX: usize = 32;

/// What vectors must have in common to be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// The model that made them, as `provider/model`.
    pub model: String,
    /// The version of the model, or of how it was asked; may be empty.
    pub version: String,
    /// How long they are.
    pub dimensions: usize,
}

/// One document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its name, unique within its agent.
    pub id: String,
    /// Its text.
    pub text: String,
    /// Its vector, in the space that it comes with.
    pub vector: Option<Vec<f32>>,
}

/// Whose documents are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Those of this agent.
    Agent(&'a str),
    /// Those of all agents: an operator's question, or what a grant says.
    All,
}

/// One document that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Whose it is.
    pub agent: String,
    /// Its name.
    pub id: String,
    /// Its text.
    pub text: String,
    /// How well it fits, the higher the better: for vectors the cosine, for words the store's own
    /// measure, which compares only within one answer.
    pub score: f32,
}

/// The part of a store that finds documents. Changes are atomic, and once answered they survive
/// `kill -9`. Every method fails with `TooLarge` for what is over its limit, before anything else.
pub trait Documents: Send + Sync {
    /// Puts documents in, at most [`PUT_MAX`]; one of the same name is replaced, with its vectors
    /// of all spaces. `space` is that of the vectors, all of its length; without it none may have
    /// one.
    fn put_documents<'a>(
        &'a self,
        agent: &'a str,
        documents: &'a [Document],
        space: Option<&'a Space>,
    ) -> Answer<'a, ()>;

    /// Removes documents; those that are not there are no error. Answers how many were.
    fn remove_documents<'a>(&'a self, agent: &'a str, ids: &'a [String]) -> Answer<'a, u64>;

    /// The documents with most of these words, best first; any word is enough.
    fn find_words<'a>(
        &'a self,
        scope: Scope<'a>,
        text: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<Hit>>;

    /// The documents nearest to this vector of this space, best first. A space that nobody has put
    /// a vector of has no documents.
    fn find_nearest<'a>(
        &'a self,
        scope: Scope<'a>,
        space: &'a Space,
        vector: &'a [f32],
        limit: usize,
    ) -> Answer<'a, Vec<Hit>>;
}

/// Refuses what is over a limit, and vectors that are not of the space.
pub(super) fn check(
    place: &str,
    agent: &str,
    documents: &[Document],
    space: Option<&Space>,
) -> Result<(), StorageError> {
    within("name of an agent", agent.len(), NAME_BYTES_MAX)?;
    within("put of documents", documents.len(), PUT_MAX)?;
    if let Some(space) = space {
        check_space(space)?;
    }
    for document in documents {
        within("document's name", document.id.len(), NAME_BYTES_MAX)?;
        within("document", document.text.len(), TEXT_BYTES_MAX)?;
        match (&document.vector, space) {
            (None, _) => {}
            (Some(vector), Some(space)) => unit(place, vector, space).map(drop)?,
            (Some(_), None) => return Err(refused(place, "it has no space")),
        }
    }
    Ok(())
}

pub(super) fn check_space(space: &Space) -> Result<(), StorageError> {
    within("model's name", space.model.len().max(space.version.len()), NAME_BYTES_MAX)?;
    within("vector's length", space.dimensions, DIMENSIONS_MAX)
}

fn within(what: &'static str, bytes: usize, limit: usize) -> Result<(), StorageError> {
    match bytes > limit {
        true => Err(StorageError::TooLarge { what, bytes, limit }),
        false => Ok(()),
    }
}

fn refused(place: &str, what: &str) -> StorageError {
    let (place, reason) = (place.to_owned(), what.to_owned());
    StorageError::Failed { place, doing: "taking a vector", reason }
}

/// The vector at length 1. Fails when it is not of the space, has no direction, or is not finite.
pub(super) fn unit(place: &str, vector: &[f32], space: &Space) -> Result<Vec<f32>, StorageError> {
    if vector.len() != space.dimensions || vector.is_empty() {
        let (is, of) = (vector.len(), space.dimensions);
        let what = format!("it has {is} numbers, and the space has {of} dimensions");
        return Err(refused(place, &what));
    }
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(refused(place, "its numbers are all zero, or not finite"));
    }
    // Back to the precision that it came in.
    #[expect(clippy::cast_possible_truncation, reason = "a quotient of at most 1")]
    let scaled = vector.iter().map(|x| (f64::from(*x) / length) as f32);
    Ok(scaled.collect())
}

/// The words of a question, each once.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word: String = word.chars().take(64).collect::<String>().to_lowercase();
        if words.len() < WORDS_MAX && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_question_are_bounded_and_plain() {
        assert_eq!(words("It's (NOT) \"a\" TEST: a*"), ["it", "s", "not", "a", "test"]);
        assert!(words("'; -- \\").is_empty());
        let many: String = (0..100).map(|n| format!("w{n} ")).collect();
        assert_eq!(words(&many).len(), WORDS_MAX);
    }

    #[test]
    fn a_vector_is_of_its_space_or_refused() {
        let space = Space { model: "m".into(), version: String::new(), dimensions: 2 };
        assert_eq!(unit("s", &[3.0, 4.0], &space).expect("a vector"), [0.6, 0.8]);
        assert_eq!(unit("s", &[1e-30, 0.0], &space).expect("a small one"), [1.0, 0.0]);
        for wrong in [&[1.0][..], &[0.0, 0.0], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0], &[]] {
            unit("s", wrong, &space).expect_err("refused");
        }
    }
}
