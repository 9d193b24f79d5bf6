//! Texts into vectors, in batches.

use super::super::catalogue::Wire;
use super::super::chat::{TEXTS_MAX, embeddings_body, read_embeddings};
use super::super::completion::TokenUsage;
use super::super::error::ModelError;
use super::super::estimate;
use super::super::failure::{Failure, of_stream};
use super::super::place::Place;
use super::call::{Attempts, fetch, model_name};
use super::{Inner, Remote};

/// Texts in one call at most, all batches together.
const TEXTS_IN_CALL_MAX: usize = 65_536;

/// Vectors of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// The space they are in, `provider/model@dimensions`: vectors of two spaces do not compare.
    pub space: String,
    /// One a text, in order, all of one length.
    pub vectors: Vec<Vec<f32>>,
    /// What they took.
    pub usage: TokenUsage,
}

pub(super) async fn embed(
    inner: &Inner,
    remote: &Remote,
    texts: &[String],
    mut place: Place,
) -> Result<Embeddings, ModelError> {
    debug_assert!(remote.wire == Wire::Chat, "the caller looked");
    let refuse = |reason: String| ModelError::BadRequest { model: inner.name.clone(), reason };
    if texts.is_empty() || texts.len() > TEXTS_IN_CALL_MAX {
        let count = texts.len();
        return Err(refuse(format!("{count} texts are not 1 to {TEXTS_IN_CALL_MAX}")));
    }
    if texts.iter().any(String::is_empty) {
        return Err(refuse("an empty text has no vector".to_owned()));
    }
    let model = model_name(inner, remote).await?;
    let (mut vectors, mut counted) = (Vec::with_capacity(texts.len()), 0u64);
    for batch in texts.chunks(TEXTS_MAX) {
        let body = bytes::Bytes::from(embeddings_body(&model, batch).to_string());
        let mut attempts = Attempts::of(inner, remote);
        let (some, tokens) = loop {
            let probe = attempts.begin()?;
            place.send();
            match one_batch(inner, remote, &body, batch.len(), &place).await {
                Ok(done) => break probe.succeed(done),
                Err(failure) => attempts.fail(probe, failure).await?,
            }
        };
        vectors.extend(some);
        counted = counted.saturating_add(tokens);
    }
    let dimensions = vectors.first().map_or(0, Vec::len);
    if vectors.iter().any(|vector| vector.len() != dimensions) {
        let reason = "the vectors of its batches differ in length".to_owned();
        return Err(ModelError::BrokenStream { model: inner.name.clone(), reason });
    }
    let estimated = counted == 0;
    let guessed = || texts.iter().map(|text| estimate::text_tokens(text)).sum();
    let input = if estimated { guessed() } else { counted };
    let mut usage = TokenUsage { input, estimated, ..TokenUsage::default() };
    usage.cost_microdollars = inner.facts.price(&usage);
    place.settle(&usage);
    Ok(Embeddings { space: format!("{}/{model}@{dimensions}", inner.provider), vectors, usage })
}

async fn one_batch(
    inner: &Inner,
    remote: &Remote,
    body: &bytes::Bytes,
    texts: usize,
    place: &Place,
) -> Result<(Vec<Vec<f32>>, u64), Failure> {
    let request = remote.client.post(format!("{}/embeddings", remote.base_url));
    let (request, most) = (request.body(body.clone()), inner.options.response_bytes_max);
    let reply = fetch(inner, remote, request, most, Some(place)).await?;
    read_embeddings(&reply, texts).map_err(|fault| of_stream(&inner.asked(remote), fault, true))
}
