//! One model of one provider, ready to be called.

use super::breaker::Breaker;
use super::catalogue::{ModelFacts, Wire};
use super::completion::{Completion, Delta, Demand, TokenUsage};
use super::error::ModelError;
use super::estimate::{self, Factor};
use super::failure::Asked;
use super::place::{Admission, Pace, Place};
use super::request::Request;
use super::script::Script;
use super::{ModelOptions, encode};
use secrecy::SecretString;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use tokio::time::Instant;

mod call;
mod embed;

pub(super) use call::reply_tokens;
pub use embed::Embeddings;

/// One model of one provider. Cheap to clone; all clones share limits and what was learnt.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
    /// How it was asked for.
    address: Arc<str>,
}

struct Inner {
    name: String,
    provider: String,
    facts: ModelFacts,
    route: Route,
    options: Arc<ModelOptions>,
}

enum Route {
    Script(Arc<Script>),
    Remote(Box<Remote>),
}

/// Where and how a provider is reached.
pub(super) struct Remote {
    pub(super) client: reqwest::Client,
    pub(super) wire: Wire,
    /// Without a slash at its end.
    pub(super) base_url: String,
    pub(super) key: Option<SecretString>,
    pub(super) key_variable: Option<String>,
    /// None: the first model that the server lists.
    pub(super) model: Option<String>,
    pub(super) shared: Shared,
}

/// What all endpoints of a provider, or of a model, share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) pace: Pace,
    pub(super) breaker: Arc<Mutex<Breaker>>,
    pub(super) factor: Arc<Mutex<Factor>>,
    /// The model that the server lists first, once it was asked.
    pub(super) first_listed: Arc<OnceCell<String>>,
    pub(super) start: Instant,
}

impl Shared {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            pace: Pace::new(start),
            breaker: Arc::default(),
            factor: Arc::default(),
            first_listed: Arc::default(),
            start,
        }
    }
}

/// Cache breakpoints of one request, where they are said: Anthropic's bound, and that of those who
/// serve its models.
const BREAKPOINTS_MAX: usize = 4;

/// How a provider caches the beginnings of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Caching {
    /// Breakpoints of one request at most; 0 where it caches by itself.
    pub breakpoints_max: usize,
    /// A shorter prefix is not cached, in tokens.
    pub prefix_tokens_min: u64,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(super) fn remote(
        provider: &str,
        facts: ModelFacts,
        remote: Remote,
        options: Arc<ModelOptions>,
    ) -> Self {
        let model = remote.model.as_deref().unwrap_or("(first listed)");
        let (name, provider) = (format!("{provider}/{model}"), provider.to_owned());
        let route = Route::Remote(Box::new(remote));
        let address = name.as_str().into();
        Self { inner: Arc::new(Inner { name, provider, facts, route, options }), address }
    }

    pub(super) fn scripted(
        script: Arc<Script>,
        facts: ModelFacts,
        options: Arc<ModelOptions>,
    ) -> Self {
        let (name, provider) = (script.name().to_owned(), "script".to_owned());
        let route = Route::Script(script);
        let address = name.as_str().into();
        Self { inner: Arc::new(Inner { name, provider, facts, route, options }), address }
    }

    /// The same endpoint, asked for as this.
    pub(super) fn asked_for(mut self, address: &str) -> Self {
        self.address = address.into();
        self
    }

    /// What [`Models::resolve`](super::Models::resolve) gives this endpoint for, also another day.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `provider/model`; `script/NAME` for a script.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The provider, for slots and reports; `script` for a script.
    pub fn provider(&self) -> &str {
        &self.inner.provider
    }

    /// How many tokens prompt and reply can have together.
    pub fn window(&self) -> u64 {
        self.inner.facts.window_tokens
    }

    /// How many tokens a reply can have.
    pub fn output_max(&self) -> u32 {
        self.inner.facts.output_tokens_max
    }

    /// How its provider caches prompts.
    pub fn caching(&self) -> Caching {
        let quirks = &self.inner.facts.quirks;
        let said = match &self.inner.route {
            Route::Script(_) => true,
            Route::Remote(remote) => match remote.wire {
                Wire::Anthropic => true,
                Wire::Chat => quirks.cache_control,
            },
        };
        Caching {
            breakpoints_max: if said { BREAKPOINTS_MAX } else { 0 },
            prefix_tokens_min: quirks.cache_tokens_min,
        }
    }

    /// What tokens cost here, in millionths of a US dollar; none without a price.
    pub fn price(&self, usage: &TokenUsage) -> Option<u64> {
        self.inner.facts.price(usage)
    }

    /// How many tokens the prompt will be: an estimate, corrected by what this provider counted
    /// before.
    pub fn estimate_tokens(&self, request: &Request) -> u64 {
        let plain = estimate::request_tokens(request);
        match &self.inner.route {
            Route::Script(_) => plain,
            Route::Remote(remote) => {
                let factor = *remote.shared.factor.lock().unwrap_or_else(PoisonError::into_inner);
                factor.apply(plain)
            }
        }
    }

    /// What a call may take: the prompt as estimated, the reply's maximum as it will be sent.
    pub fn demand(&self, request: &Request) -> Demand {
        Demand {
            input: self.estimate_tokens(request),
            output: u64::from(encode::output_tokens_max(request, &self.inner.facts)),
        }
    }

    /// Whether a call of this demand may start now. Never waits: the caller keeps the queue.
    pub fn admit(&self, demand: Demand) -> Admission {
        match &self.inner.route {
            Route::Script(_) => Admission::Now(Place::free(demand)),
            Route::Remote(remote) => remote.shared.pace.admit(demand),
        }
    }

    /// Makes the call. `sink` sees the reply as it streams. To cancel, drop the future: the
    /// connection closes. See [`super`] for what is tried again.
    pub async fn infer(
        &self,
        request: &Request,
        place: Place,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<Completion, ModelError> {
        let most = self.inner.options.timeouts.total;
        let total = request.timeout.unwrap_or(most).min(most);
        let done = async {
            match &self.inner.route {
                Route::Script(script) => {
                    script.answer(request, &self.inner.options.timeouts, sink).await
                }
                Route::Remote(remote) => {
                    call::infer(&self.inner, remote, request, place, sink).await
                }
            }
        };
        tokio::time::timeout(total, done).await.unwrap_or_else(|_| {
            let model = self.inner.name.clone();
            Err(ModelError::TimedOut { model, what: "finish", after: total })
        })
    }

    /// What [`Endpoint::embed`] may take: the texts as estimated.
    pub fn embed_demand(&self, texts: &[String]) -> Demand {
        let plain = texts.iter().map(|text| estimate::text_tokens(text)).sum();
        Demand { input: plain, output: 0 }
    }

    /// Turns texts into vectors, all of one length and one a text. Retried as a call is.
    /// Fails with `BadRequest` where the provider has no embeddings.
    pub async fn embed(&self, texts: &[String], place: Place) -> Result<Embeddings, ModelError> {
        match &self.inner.route {
            Route::Remote(remote) if remote.wire == Wire::Chat => {
                embed::embed(&self.inner, remote, texts, place).await
            }
            Route::Remote(_) | Route::Script(_) => Err(ModelError::BadRequest {
                model: self.inner.name.clone(),
                reason: "it has no embeddings: use a model of an OpenAI-compatible provider, as \
                         openai/text-embedding-3-small"
                    .to_owned(),
            }),
        }
    }
}

impl Inner {
    fn asked<'a>(&'a self, remote: &'a Remote) -> Asked<'a> {
        Asked {
            model: &self.name,
            key_variable: remote.key_variable.as_deref(),
            key: remote.key.as_ref(),
        }
    }
}
