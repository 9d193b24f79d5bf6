//! Claims about recall.

use super::super::page::PageId;
use super::*;

fn document(id: u64, text: &str) -> Document<'_> {
    Document { id: PageId(id), text, speaker: None, session: Some(id / 100), said_at: None }
}

fn index(texts: &[&str]) -> Index {
    let mut index = Index::new();
    for (id, text) in (0..).zip(texts) {
        index.add(document(id, text));
    }
    index
}

fn ids(hits: &[Hit]) -> Vec<u64> {
    hits.iter().map(|hit| hit.id.0).collect()
}

/// Enough talk of other things that words have information.
fn talk() -> Vec<String> {
    let topics = ["garden roses", "football match", "train ticket", "guitar lesson", "tax form"];
    (0..60).map(|n| format!("We spoke of the {} number {n}.", topics[n % topics.len()])).collect()
}

fn with_talk(special: &[&str]) -> Index {
    let talk = talk();
    let mut index = Index::new();
    let texts = talk.iter().map(String::as_str).chain(special.iter().copied());
    for (id, text) in (0..).zip(texts) {
        let session = Some(if id < 60 { 0 } else { id });
        index.add(Document { session, ..document(id, text) });
    }
    index
}

#[test]
fn forms_and_misspellings_of_a_word_find_it() {
    let index = with_talk(&["She adopted two kittens from Lisbon"]);
    for query in ["adopting a kitten", "who adopts?", "kitens", "what about LISBON?", "Lisabon"] {
        assert_eq!(ids(&index.rank(query, 1)), [60], "{query}");
    }
}

#[test]
fn an_answer_is_found_by_its_question() {
    let mut index = with_talk(&[]);
    let turns = ["Which instrument do you play, cello or oboe?", "The second, since school."];
    for (id, text) in (60..).zip(turns) {
        index.add(Document { session: Some(7), ..document(id, text) });
    }
    assert_eq!(ids(&index.rank("cello or oboe instrument", 2)), [60, 61]);
}

#[test]
fn a_named_speaker_and_a_named_date_decide_between_equals() {
    let mut index = with_talk(&[]);
    let said = [("Ana", "8 May, 2023"), ("Ben Li", "8 May, 2023"), ("Ana", "2023-06-09T10:00:00Z")];
    for (id, (speaker, said_at)) in (60..).zip(said) {
        let (speaker, said_at) = (Some(speaker), Some(said_at));
        let session = Some(id);
        index.add(Document { speaker, said_at, session, ..document(id, "I bought a bicycle") });
    }
    assert_eq!(ids(&index.rank("What did Ben buy, a bicycle?", 1)), [61]);
    assert_eq!(ids(&index.rank("Ana's bicycle in June", 1)), [62]);
    assert_eq!(ids(&index.rank("Ana's bicycle on May 8", 1)), [60]);
}

#[test]
fn any_text_is_a_query() {
    let index = with_talk(&["She adopted two kittens"]);
    let long = "kittens AND roses OR \"a b\" NEAR/3 * ^ - : ( ".repeat(2_300);
    assert!(long.len() > 100_000);
    let queries =
        ["\"kittens", "kittens*", "NOT kittens", "text:kittens", "(kittens", "kittens AND"];
    for query in queries {
        assert_eq!(ids(&index.rank(query, 1)), [60], "{query}");
    }
    assert!(!index.rank(&long, 50).is_empty());
    for query in ["", " ", "what is the of and", "\0\u{feff}", "?!", "' OR 1=1 --", "قطة", "🐈"]
    {
        let hits = index.rank(query, 50);
        assert!(hits.iter().all(|hit| hit.score.is_finite() && hit.score > 0.0), "{query}");
    }
    assert_eq!(index.rank("what is the of and", 50), []);
}

#[test]
fn other_scripts_are_found() {
    let index = with_talk(&["我们在东京看了樱花", "היינו בליסבון בקיץ", "Мы были в Москве"]);
    assert_eq!(ids(&index.rank("樱花", 1)), [60]);
    assert_eq!(ids(&index.rank("בליסבון", 1)), [61]);
    assert_eq!(ids(&index.rank("москве", 1)), [62]);
}

#[test]
fn empty_and_binary_pages_do_no_harm() {
    let long = "\u{0}\u{1}x".repeat(100_000);
    let index = index(&["", "\0\u{1}\u{fffd}", &long, "kittens", "😀".repeat(10_000).as_str()]);
    assert_eq!(ids(&index.rank("kittens", 1)), [3]);
    assert_eq!(Index::new().rank("kittens", 10), []);
    assert_eq!(index.rank("kittens", 0), []);
}

#[test]
fn a_removed_page_is_not_found_again() {
    let mut index = with_talk(&["She adopted two kittens"]);
    let before = index.len();
    index.remove(PageId(60));
    index.remove(PageId(9_999));
    assert_eq!(index.len(), before - 1);
    assert!(!ids(&index.rank("kittens", 50)).contains(&60));
}

#[test]
fn the_same_pages_give_the_same_ranking_whenever_they_are_asked() {
    let texts = talk();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (whole, mut grown) = (index(&texts), Index::new());
    for (id, text) in (0..).zip(&texts) {
        grown.add(document(id, text));
        grown.rank("a ticket for the match", 5);
    }
    let query = "roses, a ticket for the match and a lesson";
    assert_eq!(whole.rank(query, 50), grown.rank(query, 50));
    // A shorter list is the beginning of a longer one.
    assert_eq!(whole.rank(query, 50)[..10], whole.rank(query, 10));
}
