//! What every store's [`super::Documents`] must do: part of the conformance suite.
#![cfg(test)]

use super::*;
use crate::storage::Storage;
use std::sync::Arc;

fn document(id: &str, text: &str, vector: Option<&[f32]>) -> Document {
    Document { id: id.to_owned(), text: text.to_owned(), vector: vector.map(<[f32]>::to_vec) }
}

fn space(model: &str, dimensions: usize) -> Space {
    Space { model: model.to_owned(), version: "1".to_owned(), dimensions }
}

fn ids(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.id.as_str()).collect()
}

/// Runs every case, each on a fresh store from `open`. `vectors` is off where a server has no
/// pgvector; then the words are tested and the vectors must be refused in one sentence.
pub(crate) async fn conforms<F: Future<Output = Arc<dyn Storage>>>(
    open: impl Fn() -> F,
    vectors: bool,
) {
    words_are_found_and_replaced_and_removed(&*open().await).await;
    questions_are_only_words(&*open().await).await;
    limits_hold(&*open().await).await;
    if vectors {
        the_nearest_come_first_and_within_one_agent(&*open().await).await;
        spaces_do_not_mix(&*open().await).await;
        many_vectors_are_found_after_a_restart_too(&*open().await).await;
    } else {
        let store = open().await;
        let one = [document("a", "x", Some(&[1.0, 0.0]))];
        let put = store.documents().put_documents("a", &one, Some(&space("m", 2))).await;
        let sentence = put.expect_err("refused").to_string();
        assert!(sentence.contains("pgvector"), "{sentence}");
        assert!(store.documents().find_words(Scope::All, "x", 5).await.unwrap().is_empty());
    }
}

async fn words_are_found_and_replaced_and_removed(store: &dyn Storage) {
    let documents = store.documents();
    let first = [
        document("plan", "The bridge over the river needs two pillars", None),
        document("bill", "Invoice: pillars 400, bridge 900, bridge toll 3", None),
        document("näh", "Über den Fluß \0 führt kein Weg", None),
    ];
    documents.put_documents("ann", &first, None).await.unwrap();
    documents.put_documents("bob", &[document("b", "a bridge", None)], None).await.unwrap();
    let find = async |scope, text| documents.find_words(scope, text, 10).await.unwrap();
    let found = find(Scope::Agent("ann"), "bridge invoice").await;
    assert_eq!(ids(&found), ["bill", "plan"]);
    assert!(found[0].score > found[1].score && found[0].agent == "ann");
    assert_eq!(found[1].text, first[0].text);
    assert_eq!(ids(&find(Scope::Agent("bob"), "bridge").await), ["b"]);
    assert_eq!(find(Scope::All, "BRIDGE").await.len(), 3);
    assert_eq!(find(Scope::Agent("eve"), "bridge").await, []);
    assert_eq!(find(Scope::Agent("ann"), "führt").await[0].text, first[2].text);
    let again = [document("plan", "Nothing of the kind", None)];
    documents.put_documents("ann", &again, None).await.unwrap();
    assert_eq!(ids(&find(Scope::Agent("ann"), "bridge").await), ["bill"]);
    let gone = ["bill".to_owned(), "none".to_owned()];
    assert_eq!(documents.remove_documents("ann", &gone).await.unwrap(), 1);
    assert_eq!(documents.remove_documents("bob", &gone).await.unwrap(), 0);
    assert_eq!(find(Scope::Agent("ann"), "bridge").await, []);
    assert_eq!(documents.find_words(Scope::All, "bridge", 0).await.unwrap(), []);
}

async fn questions_are_only_words(store: &dyn Storage) {
    let documents = store.documents();
    documents.put_documents("a", &[document("d", "one two", None)], None).await.unwrap();
    for text in
        ["", "'", "\"", "one AND", "NEAR(one", "one*", "(", "one:two", "!one", "\0", "one & |"]
    {
        let found = documents.find_words(Scope::Agent("a"), text, 5).await.unwrap();
        assert_eq!(found.len(), usize::from(text.contains("one")), "{text:?}");
    }
}

async fn limits_hold(store: &dyn Storage) {
    let documents = store.documents();
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let text = "x ".repeat(TEXT_BYTES_MAX);
    let many = vec![document("a", "", None); PUT_MAX + 1];
    let two = space("m", 2);
    for (agent, put, space) in [
        (&*long, vec![document("a", "", None)], None),
        ("a", vec![document(&long, "", None)], None),
        ("a", vec![document("a", &text, None)], None),
        ("a", many, None),
        ("a", vec![document("a", "", Some(&[1.0]))], Some(&two)),
        ("a", vec![document("a", "", Some(&[0.0, 0.0]))], Some(&two)),
        ("a", vec![document("a", "", Some(&[1.0, 0.0]))], None),
        ("a", Vec::new(), Some(&space("m", DIMENSIONS_MAX + 1))),
    ] {
        documents.put_documents(agent, &put, space).await.unwrap_err();
    }
    // Different words up to the limit still have their index.
    let mut full = String::new();
    for number in 0.. {
        let word = format!("w{number:x} ");
        if full.len() + word.len() > TEXT_BYTES_MAX {
            break;
        }
        full.push_str(&word);
    }
    documents.put_documents("a", &[document("full", &full, None)], None).await.unwrap();
    assert_eq!(documents.find_words(Scope::Agent("a"), "w1f", 5).await.unwrap().len(), 1);
    documents.find_nearest(Scope::All, &two, &[1.0], 5).await.unwrap_err();
}

async fn the_nearest_come_first_and_within_one_agent(store: &dyn Storage) {
    let documents = store.documents();
    let three = space("model/a", 3);
    let put = [
        document("x", "right", Some(&[2.0, 0.0, 0.0])),
        document("xy", "between", Some(&[1.0, 1.0, 0.0])),
        document("-x", "left", Some(&[-5.0, 0.0, 0.0])),
        document("words", "without a vector", None),
    ];
    documents.put_documents("ann", &put, Some(&three)).await.unwrap();
    let other = [document("near", "nearer", Some(&[1.0, 0.01, 0.0]))];
    documents.put_documents("bob", &other, Some(&three)).await.unwrap();
    let query = [3.0, 0.3, 0.0];
    let find =
        async |scope, limit| documents.find_nearest(scope, &three, &query, limit).await.unwrap();
    let found = find(Scope::Agent("ann"), 10).await;
    assert_eq!(ids(&found), ["x", "xy", "-x"]);
    assert!((found[0].score - 0.995).abs() < 0.002, "{}", found[0].score);
    assert!((found[2].score + 0.995).abs() < 0.002, "{}", found[2].score);
    assert_eq!(ids(&find(Scope::Agent("ann"), 1).await), ["x"]);
    assert_eq!(ids(&find(Scope::All, 2).await), ["near", "x"]);
    assert_eq!(find(Scope::Agent("eve"), 5).await, []);
    // A document that is put again without a vector has none any more.
    documents.put_documents("ann", &[document("x", "moved", None)], None).await.unwrap();
    assert_eq!(ids(&find(Scope::Agent("ann"), 10).await), ["xy", "-x"]);
    documents.remove_documents("ann", &["xy".to_owned()]).await.unwrap();
    assert_eq!(ids(&find(Scope::Agent("ann"), 10).await), ["-x"]);
}

async fn spaces_do_not_mix(store: &dyn Storage) {
    let documents = store.documents();
    let newer = Space { version: "2".to_owned(), ..space("m", 2) };
    for (id, of) in [("m", space("m", 2)), ("n", space("n", 2)), ("newer", newer.clone())] {
        let put = [document(id, id, Some(&[1.0, 0.0]))];
        documents.put_documents("a", &put, Some(&of)).await.unwrap();
    }
    let long = [document("long", "", Some(&[1.0, 0.0, 0.0]))];
    documents.put_documents("a", &long, Some(&space("m", 3))).await.unwrap();
    let agent = Scope::Agent("a");
    let found = documents.find_nearest(agent, &space("m", 2), &[1.0, 0.0], 9).await.unwrap();
    assert_eq!(ids(&found), ["m"]);
    let found = documents.find_nearest(agent, &newer, &[1.0, 0.0], 9).await.unwrap();
    assert_eq!(ids(&found), ["newer"]);
    let unknown = documents.find_nearest(agent, &space("z", 2), &[1.0, 0.0], 9).await.unwrap();
    assert_eq!(unknown, []);
}

async fn many_vectors_are_found_after_a_restart_too(store: &dyn Storage) {
    let documents = store.documents();
    let of = space("many", 8);
    let vector = |number: u32| -> Vec<f32> {
        let digest = blake3::hash(&number.to_le_bytes());
        digest.as_bytes()[..8].iter().map(|byte| f32::from(*byte) - 127.5).collect()
    };
    // Enough for an index on a server; every other one is another agent's.
    for part in 0..3 {
        for agent in ["ann", "bob"] {
            let one = |number: u32| document(&number.to_string(), "t", Some(&vector(number)));
            let from = part * 800 + u32::from(agent == "bob") * 400;
            let put: Vec<_> = (from..from + 400).map(one).collect();
            documents.put_documents(agent, &put, Some(&of)).await.unwrap();
        }
    }
    let mut right = 0;
    for number in [3, 399, 801, 1999] {
        let query = vector(number);
        let hits = documents.find_nearest(Scope::Agent("ann"), &of, &query, 10).await.unwrap();
        assert_eq!(hits.len(), 10);
        assert!(hits.iter().all(|hit| hit.agent == "ann"));
        right += usize::from(hits[0].id == number.to_string());
    }
    assert_eq!(right, 4, "a vector is the nearest to itself");
}
