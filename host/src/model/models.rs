//! From a model's name to an endpoint: the table, the environment, what all endpoints share.

use super::breaker::Breaker;
use super::catalogue::{Catalogue, ProviderRow, Wire};
use super::endpoint::{Endpoint, Remote, Shared};
use super::error::ModelError;
use super::exchange::{self, Timeouts};
use super::script::Script;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use url::{Host, Url};

/// Looks an environment variable up. The values of keys never leave [`SecretString`]s.
pub type Environment = Arc<dyn Fn(&str) -> Option<SecretString> + Send + Sync>;

/// Scripts and models remembered at most: names can come from guests.
const REMEMBERED_MAX: usize = 4096;

/// What the operator may set of this layer.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// `models.providers` of the configuration, over the built-in table: see `providers.toml`.
    pub providers: toml::Table,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// Attempts of one call at most, the first among them.
    pub attempts_max: u32,
    /// The longest wait between attempts: a longer one is the caller's to keep, in its queue.
    pub retry_wait_max: Duration,
    /// Bytes of one answer at most, unpacked.
    pub response_bytes_max: u64,
    /// Authorities to trust besides the system's.
    pub roots: Vec<CertificateDer<'static>>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            providers: toml::Table::new(),
            timeouts: Timeouts::default(),
            attempts_max: 4,
            retry_wait_max: Duration::from_secs(20),
            response_bytes_max: 64 << 20,
            roots: Vec::new(),
        }
    }
}

/// All models that the host can reach. Cheap to clone; clones share limits and what was learnt.
#[derive(Clone)]
pub struct Models {
    shelf: Arc<Shelf>,
}

struct Shelf {
    catalogue: Catalogue,
    options: Arc<ModelOptions>,
    environment: Environment,
    client: OnceLock<Result<reqwest::Client, String>>,
    start: Instant,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    breakers: HashMap<String, Arc<Mutex<Breaker>>>,
    models: HashMap<String, Shared>,
    scripts: HashMap<PathBuf, Arc<Script>>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.shelf.catalogue.names();
        f.debug_struct("Models").field("providers", &names).finish_non_exhaustive()
    }
}

impl Models {
    /// Reads the table. Fails with `BadRequest` where the operator's part of it is wrong.
    pub fn new(options: ModelOptions, environment: Environment) -> Result<Self, ModelError> {
        let catalogue = Catalogue::with(&options.providers).map_err(|error| {
            ModelError::BadRequest { model: "the configuration".to_owned(), reason: error.0 }
        })?;
        let shelf = Shelf {
            catalogue,
            options: Arc::new(options),
            environment,
            client: OnceLock::new(),
            start: Instant::now(),
            known: Mutex::default(),
        };
        Ok(Self { shelf: Arc::new(shelf) })
    }

    /// Variables of this process as the environment.
    pub fn process_environment() -> Environment {
        Arc::new(|name| std::env::var(name).ok().map(SecretString::from))
    }

    /// Finds a model: `provider/model`, a provider alone (its usual model), `script:PATH`, or none
    /// for the first provider whose variable is set. A script is read once and remembered.
    /// Fails with `UnknownModel` (with the nearest names), `Unauthorised` (with the variable to
    /// set), or `BadRequest` for a script that is wrong.
    pub fn resolve(&self, name: Option<&str>) -> Result<Endpoint, ModelError> {
        match name {
            None => {
                let first = self.first_configured()?;
                let provider = first.provider().to_owned();
                Ok(first.asked_for(&provider))
            }
            Some(name) => {
                let found = match name.strip_prefix("script:") {
                    Some(path) => self.script(Path::new(path)),
                    None => self.named(name),
                };
                Ok(found?.asked_for(name))
            }
        }
    }

    /// The providers that could be used now, by the table and the environment.
    pub fn configured(&self) -> Vec<String> {
        let names = self.shelf.catalogue.names().iter();
        names.filter(|name| self.is_configured(name)).cloned().collect()
    }

    fn named(&self, name: &str) -> Result<Endpoint, ModelError> {
        let (provider, model) = match name.split_once('/') {
            Some((provider, model)) => (provider, Some(model)),
            None => (name, None),
        };
        let catalogue = &self.shelf.catalogue;
        match catalogue.provider(provider) {
            Some(row) if model.is_none_or(|model| !model.is_empty()) => {
                self.remote(provider, row, model)
            }
            Some(_) => Err(unknown(name, format!("name one after the slash, as {provider}/NAME"))),
            None => Err(unknown(name, self.near(name))),
        }
    }

    fn near(&self, name: &str) -> String {
        let catalogue = &self.shelf.catalogue;
        let near = catalogue.nearest(name);
        if near.is_empty() {
            format!(
                "name it as PROVIDER/MODEL with one of {}, or as script:PATH",
                catalogue.names().join(", ")
            )
        } else {
            format!("near it are {}", near.join(", "))
        }
    }

    fn first_configured(&self) -> Result<Endpoint, ModelError> {
        let catalogue = &self.shelf.catalogue;
        let first = catalogue.names().iter().find(|name| self.is_configured(name));
        if let Some((name, row)) = first.and_then(|name| Some((name, catalogue.provider(name)?))) {
            return self.remote(name, row, None);
        }
        let rows = catalogue.names().iter().filter_map(|name| catalogue.provider(name));
        let variables = rows.filter_map(|row| match (&row.key_variable, row.key_optional) {
            (Some(key), false) => Some(key.as_str()),
            _ => row.base_url_variable.as_deref(),
        });
        let variables: Vec<&str> = variables.collect();
        Err(ModelError::Unauthorised {
            model: "a model".to_owned(),
            reason: format!(
                "no provider is configured: set one of {}, or name a model, as `script:PATH`, \
                 which needs none",
                variables.join(", ")
            ),
        })
    }

    /// Whether a variable says that the operator wants this provider: its key, or for one that
    /// needs none, its address, or a row that only the configuration has.
    fn is_configured(&self, name: &str) -> bool {
        let Some(row) = self.shelf.catalogue.provider(name) else { return false };
        let set = |variable: &Option<String>| {
            variable.as_deref().is_some_and(|name| self.variable(name).is_some())
        };
        match &row.key_variable {
            Some(_) if !row.key_optional => set(&row.key_variable),
            _ => {
                set(&row.base_url_variable)
                    || set(&row.key_variable)
                    || (row.base_url_variable.is_none()
                        && self.shelf.options.providers.contains_key(name))
            }
        }
    }

    fn remote(
        &self,
        provider: &str,
        row: &ProviderRow,
        model: Option<&str>,
    ) -> Result<Endpoint, ModelError> {
        let model = model.or(row.default_model.as_deref());
        let asked = format!("{provider}/{}", model.unwrap_or("(first listed)"));
        // The name stands in for one that the server will tell.
        let facts = row.facts(model.unwrap_or("(first listed)")).ok_or_else(|| {
            let near = self.near(&asked);
            let hint = format!("{near}; one that is newer goes under models.providers.{provider}");
            unknown(&asked, hint)
        })?;
        let key = row.key_variable.as_deref().and_then(|name| self.variable(name));
        let unauthorised = |reason| ModelError::Unauthorised { model: asked.clone(), reason };
        if let (None, Some(variable), false) = (&key, &row.key_variable, row.key_optional) {
            return Err(unauthorised(format!("its key is missing: set {variable}")));
        }
        let base_url = self.base_url(row, key.is_some()).map_err(unauthorised)?;
        let remote = Remote {
            client: self
                .client()
                .map_err(|reason| ModelError::Unavailable { model: asked.clone(), reason })?,
            wire: row.wire,
            base_url,
            key,
            key_variable: row.key_variable.clone(),
            model: model.map(str::to_owned),
            shared: self.shared(provider, &asked),
        };
        Ok(Endpoint::remote(provider, facts, remote, Arc::clone(&self.shelf.options)))
    }

    fn script(&self, path: &Path) -> Result<Endpoint, ModelError> {
        let mut known = self.shelf.known.lock().unwrap_or_else(PoisonError::into_inner);
        let script = match known.scripts.get(path) {
            Some(script) => Arc::clone(script),
            None => {
                let script = Arc::new(Script::load(path)?);
                if known.scripts.len() < REMEMBERED_MAX {
                    known.scripts.insert(path.to_owned(), Arc::clone(&script));
                }
                script
            }
        };
        let facts = script.facts();
        Ok(Endpoint::scripted(script, facts, Arc::clone(&self.shelf.options)))
    }

    /// A variable's value, without spaces around it; empty counts as unset.
    fn variable(&self, name: &str) -> Option<SecretString> {
        let value = (self.shelf.environment)(name)?;
        let text = value.expose_secret().trim();
        (!text.is_empty()).then(|| SecretString::from(text.to_owned()))
    }

    /// Where the provider is: the variable's address or the table's, checked.
    fn base_url(&self, row: &ProviderRow, has_key: bool) -> Result<String, String> {
        let set = row.base_url_variable.as_deref().and_then(|name| {
            Some((name.to_owned(), self.variable(name)?.expose_secret().to_owned()))
        });
        let (origin, text) = match set {
            Some((name, text)) => (name, full_address(&text, row.wire)),
            None => ("base_url".to_owned(), self.filled(&row.base_url)?),
        };
        let wrong = |what: &str| {
            Err(format!("{origin} is {what}: write it as https://models.example.com/v1"))
        };
        let Ok(url) = Url::parse(&text) else { return wrong("no URL") };
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return wrong("no http or https URL");
        }
        // They would stand in logs of proxies and servers.
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return wrong("an address with a password or a query in it, and keys go into headers");
        }
        if url.scheme() == "http" && has_key && !row.plain_http && !is_loopback(&url) {
            return Err(format!(
                "{origin} would send the key without TLS to another machine: use https, or set \
                 plain_http = true for the provider"
            ));
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }

    /// Puts variables into `{NAME}`s of a base URL.
    fn filled(&self, text: &str) -> Result<String, String> {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err("base_url has a `{` without `}`".to_owned());
            };
            let value = self.variable(name).ok_or_else(|| format!("set {name} too"))?;
            let value = value.expose_secret();
            if !value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                return Err(format!("{name} has characters that no part of a URL has"));
            }
            out.push_str(before);
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn client(&self) -> Result<reqwest::Client, String> {
        let made = self.shelf.client.get_or_init(|| {
            let read = |one: &str, other: &str| self.variable(one).or_else(|| self.variable(other));
            let proxy = read("HTTPS_PROXY", "https_proxy");
            let except = read("NO_PROXY", "no_proxy");
            let proxy = proxy.as_ref().map(|proxy| {
                (proxy.expose_secret(), except.as_ref().map(ExposeSecret::expose_secret))
            });
            let options = &self.shelf.options;
            exchange::client(&options.timeouts, proxy, &options.roots)
        });
        made.clone()
    }

    fn shared(&self, provider: &str, model: &str) -> Shared {
        let mut known = self.shelf.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = known.models.get(model) {
            return shared.clone();
        }
        let mut shared = Shared::new(self.shelf.start);
        if known.models.len() < REMEMBERED_MAX {
            let breaker = known.breakers.entry(provider.to_owned()).or_default();
            shared.breaker = Arc::clone(breaker);
            // The vocabulary is the provider's, so its models learn together.
            let prefix = format!("{provider}/");
            let sister = known.models.iter().find(|(name, _)| name.starts_with(&prefix));
            if let Some((_, sister)) = sister {
                shared.factor = Arc::clone(&sister.factor);
            }
            known.models.insert(model.to_owned(), shared.clone());
        }
        shared
    }
}

fn unknown(model: &str, hint: String) -> ModelError {
    // What a guest wrote may be long, or more than one line.
    let model = model.chars().filter(|c| !c.is_control()).take(100).collect();
    ModelError::UnknownModel { model, hint }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `OLLAMA_HOST` may be a host or a host and a port alone, and names no path.
fn full_address(text: &str, wire: Wire) -> String {
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let Ok(mut url) = Url::parse(&with_scheme) else { return with_scheme };
    if !text.contains("://") && url.port().is_none() {
        // A name without a scheme is Ollama's way, and so is its port.
        let _set = url.set_port(Some(11_434));
    }
    // 0.0.0.0 is where a server listens, not where it is.
    if url.host() == Some(Host::Ipv4(std::net::Ipv4Addr::UNSPECIFIED)) {
        let _set = url.set_host(Some("127.0.0.1"));
    }
    if url.path() == "/" && wire == Wire::Chat {
        url.set_path("/v1");
    }
    url.as_str().to_owned()
}
