//! Embeddings in OpenAI's format: texts in, one vector a text out.

use super::super::reply::StreamFault;
use serde_json::{Value, json};

/// Texts in one request at most (OpenAI's bound is 2,048).
pub const TEXTS_MAX: usize = 2048;
/// Numbers in one vector at most: the largest models in use have 8,192.
const DIMENSIONS_MAX: usize = 16_384;

/// The request's JSON.
pub fn embeddings_body(model: &str, texts: &[String]) -> Value {
    json!({"model": model, "input": texts, "encoding_format": "float"})
}

/// The vectors in the order of the texts, and the tokens they took. Fails unless there is one
/// vector of finite numbers for each text, all of one length.
pub fn read_embeddings(reply: &Value, texts: usize) -> Result<(Vec<Vec<f32>>, u64), StreamFault> {
    let broken = |reason: &str| Err(StreamFault::broken(reason));
    let Some(data) = reply["data"].as_array() else { return broken("it holds no vectors") };
    if data.len() != texts {
        return broken(&format!("{} vectors came for {texts} texts", data.len()));
    }
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts];
    for (order, item) in data.iter().enumerate() {
        let index = item["index"].as_u64().and_then(|i| usize::try_from(i).ok()).unwrap_or(order);
        let numbers = item["embedding"].as_array().map(Vec::as_slice).unwrap_or_default();
        if numbers.is_empty() || numbers.len() > DIMENSIONS_MAX {
            return broken("a vector's length is not 1 to 16,384");
        }
        let vector: Option<Vec<f32>> = numbers.iter().map(single).collect();
        let (Some(place), Some(vector)) = (vectors.get_mut(index), vector) else {
            return broken("a vector is not for one of the texts, or holds no numbers");
        };
        *place = Some(vector);
    }
    let Some(vectors) = vectors.into_iter().collect::<Option<Vec<_>>>() else {
        return broken("a text has no vector");
    };
    if vectors.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        return broken("the vectors differ in length");
    }
    Ok((vectors, reply["usage"]["prompt_tokens"].as_u64().unwrap_or(0)))
}

fn single(number: &Value) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "vectors are kept in single precision")]
    let number = number.as_f64()? as f32;
    number.is_finite().then_some(number)
}
