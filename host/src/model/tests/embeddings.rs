//! Vectors of texts.

use super::server::{Server, options, plain};
use crate::model::{Admission, Embeddings, Endpoint, ModelError, ModelOptions};

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("text {number}")).collect()
}

/// Embeds as a caller does who is let out at once.
async fn embed(endpoint: &Endpoint, texts: &[String]) -> Result<Embeddings, ModelError> {
    let Admission::Now(place) = endpoint.admit(endpoint.embed_demand(texts)) else {
        panic!("nothing is limited yet")
    };
    endpoint.embed(texts, place).await
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_texts() {
    let body = r#"{"data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1,2]}],
                   "usage":{"prompt_tokens":1000000}}"#;
    let server = Server::start(vec![plain("200 OK", "", body)]).await;
    let models = server.models();
    let endpoint = models.resolve(Some("openai/text-embedding-3-small")).expect("known");
    let done = embed(&endpoint, &texts(2)).await.expect("fine");
    assert_eq!(done.vectors, [[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(done.space, "openai/text-embedding-3-small@2");
    assert_eq!((done.usage.input, done.usage.cost_microdollars), (1_000_000, Some(20_000)));
    assert!(server.last().head.starts_with("POST /v1/embeddings "), "{}", server.last().head);
}

#[tokio::test]
async fn vectors_that_do_not_fit_are_refused() {
    for body in [
        "{}",
        r#"{"data":[]}"#,
        r#"{"data":[{"embedding":[1]},{"embedding":[1,2]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
        r#"{"data":[{"embedding":[1]},{"embedding":["x"]}]}"#,
        r#"{"data":[{"embedding":[1]},{"embedding":[1e99]}]}"#,
        r#"{"data":[{"embedding":[1]},{"embedding":[]}]}"#,
        r#"{"data":[{"index":7,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
        "not JSON",
    ] {
        let server = Server::start(vec![plain("200 OK", "", body)]).await;
        let endpoint = server.models().resolve(Some("openai/text-embedding-3-small"));
        let error = embed(&endpoint.expect("known"), &texts(2)).await.expect_err(body);
        assert!(matches!(error, ModelError::BrokenStream { .. }), "{body}: {error}");
    }
}

#[tokio::test]
async fn what_has_no_vectors_says_so() {
    let server = Server::start(vec![plain("500 x", "", "")]).await;
    let models = server.models_with(ModelOptions { attempts_max: 2, ..options() });
    let claude = models.resolve(Some("anthropic/claude-haiku-4-5")).expect("known");
    let error = embed(&claude, &texts(1)).await.expect_err("none");
    assert!(error.to_string().contains("openai/text-embedding-3-small"), "{error}");
    let endpoint = models.resolve(Some("openai/text-embedding-3-small")).expect("known");
    assert!(matches!(embed(&endpoint, &[]).await, Err(ModelError::BadRequest { .. })));
    let empty = [String::new()];
    assert!(matches!(embed(&endpoint, &empty).await, Err(ModelError::BadRequest { .. })));
    assert_eq!(server.count(), 0);
    embed(&endpoint, &texts(1)).await.expect_err("it fails");
    assert_eq!(server.count(), 2, "what is safe is tried again");
}
