//! Secrets: values that a guest may use at some hosts and never sees.
//!
//! A guest holds a placeholder. On its way out a request has the placeholder replaced by the value
//! when it goes to a host that the grant names, and removed otherwise ([`outgoing`]); on its way in
//! a response has the value masked, in every form that it is commonly written in ([`scrub`]).
//! Nothing here knows where values are kept, nor anything of WASI.
//!
//! What a server does with a value it was sent is not in the host's hands: one that answers with it
//! reversed, or letter by letter, is not understood.

mod forms;
pub mod outgoing;
pub mod scrub;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::Method;
use secrecy::{ExposeSecret, SecretString};

use self::outgoing::{PREFIX, Placeholders};
use self::scrub::Scrubber;
use crate::capability::authority::Authority;
use crate::capability::gate::Request;
use crate::capability::grant::{AskPattern, Capability, GrantError};
use crate::capability::network::host::Target;
use crate::capability::network::pattern::HttpPattern;
use crate::journal::Class;
use crate::types::Denial;

/// Shorter values are no secrets: they would be found, and masked, in ordinary text.
pub const VALUE_BYTES_MIN: usize = 16;
/// Longer values are no keys or tokens, and would make every look through a body slow.
pub const VALUE_BYTES_MAX: usize = 16 << 10;
/// The longest name of a secret.
const NAME_BYTES_MAX: usize = 128;
/// How many secrets one session may hold: more patterns would make masking slow.
pub const SECRETS_MAX: usize = 16;

/// A grant of a secret: its name, and the requests in which it may go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPattern {
    /// Its name.
    pub name: String,
    /// Where it may go.
    pub place: HttpPattern,
}

/// A name as variables have it: letters, digits and `_`, not a digit first.
///
/// # Errors
/// One sentence that says so.
pub fn check_name(name: &str) -> Result<(), GrantError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first && name.chars().all(plain) && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(GrantError(format!(
        "`{shown}` is no name of a secret: write letters, digits and _, at most {NAME_BYTES_MAX}, \
         as in GITHUB_TOKEN"
    )))
}

/// Whether a value can be kept and found again.
///
/// # Errors
/// One sentence that says what is wrong with it, without any of it.
pub fn check_value(value: &str) -> Result<(), GrantError> {
    let bytes = value.len();
    if bytes < VALUE_BYTES_MIN {
        return Err(GrantError(format!(
            "the value has {bytes} bytes; a secret has at least {VALUE_BYTES_MIN}, since a shorter \
             one would be found in ordinary text"
        )));
    }
    if bytes > VALUE_BYTES_MAX {
        return Err(GrantError(format!(
            "the value has {bytes} bytes; a secret has at most {VALUE_BYTES_MAX}"
        )));
    }
    if value.contains('\0') {
        return Err(GrantError("the value holds a byte of zero".into()));
    }
    Ok(())
}

impl FromStr for SecretPattern {
    type Err = GrantError;

    /// `NAME@https://host[:port]`.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let shown: String = text.chars().take(80).collect();
        let (name, place) = text.split_once('@').ok_or_else(|| {
            GrantError(format!(
                "`{shown}` names no host for the secret; write NAME@https://api.example.org"
            ))
        })?;
        check_name(name)?;
        let place: HttpPattern =
            place.parse().map_err(|error| GrantError(format!("`{shown}`: {error}")))?;
        if !place.names_a_host() {
            return Err(GrantError(format!(
                "`{shown}`: a secret goes to hosts that are named, not to `*`"
            )));
        }
        if !place.is_private_channel() {
            return Err(GrantError(format!(
                "`{shown}`: a secret goes over https; over http to this machine alone"
            )));
        }
        Ok(Self { name: name.to_owned(), place })
    }
}

impl fmt::Display for SecretPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.place)
    }
}

/// A wish to put a secret into a request.
#[derive(Clone, Debug)]
pub struct SecretRequest<'a> {
    /// The secret's name.
    pub name: &'a str,
    /// The request's method.
    pub method: &'a Method,
    /// Where the request goes.
    pub target: &'a Target,
}

impl Request for SecretRequest<'_> {
    type Checked = ();

    fn capability(&self) -> Capability {
        Capability::Secret
    }

    fn target(&self) -> Cow<'_, str> {
        format!("{}@{}", self.name, self.target).into()
    }

    fn class(&self) -> Class {
        Class::Written
    }

    fn has_outcome(&self) -> bool {
        // The request that carries it has one.
        false
    }

    fn check(self, authority: &Authority) -> Result<(), Denial> {
        let holds = |held: &SecretPattern| {
            held.name == self.name && held.place.matches(self.method, self.target)
        };
        let granted = authority.secrets().iter().any(holds);
        let asked = |pattern: &AskPattern| match pattern {
            AskPattern::Anything => true,
            AskPattern::Name(name) => name.matches(self.name),
            AskPattern::Path(_) | AskPattern::Http(_) | AskPattern::Socket(_) => false,
        };
        authority.decide(Capability::Secret, granted, asked, || self.target().into_owned())
    }
}

/// One secret of a session.
pub struct Held {
    /// Its name.
    pub name: String,
    /// What the guest has instead of it.
    pub placeholder: String,
    value: SecretString,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The secrets of one session, ready to be put in and masked.
#[derive(Debug, Default)]
pub struct Secrets {
    held: Vec<Held>,
    placeholders: Option<Placeholders>,
    scrubber: Option<Scrubber>,
}

/// What a placeholder is derived under, so that nothing else derived from the seed is one.
const PLACEHOLDER_CONTEXT: &str = "aos-host 2026-11 placeholder of a secret";

/// What stands for a secret in a guest: the same for the same seed and name, and not to be
/// guessed without the seed. It has letters, digits and `-`, so no encoding changes it.
pub fn placeholder(seed: &[u8; 32], name: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(PLACEHOLDER_CONTEXT);
    hasher.update(seed).update(name.as_bytes());
    let hash = hasher.finalize().to_hex();
    format!("{PREFIX}{}", &hash[..32])
}

impl Secrets {
    /// The secrets that `patterns` grant, by their values in `values`.
    ///
    /// # Errors
    /// When a granted secret has no value, a value is none, or there are too many.
    pub fn new(
        patterns: &[SecretPattern],
        values: &[(String, SecretString)],
        seed: &[u8; 32],
    ) -> Result<Self, GrantError> {
        let mut held: Vec<Held> = Vec::new();
        for SecretPattern { name, .. } in patterns {
            if held.iter().any(|known| known.name == *name) {
                continue;
            }
            let found = values.iter().find(|(known, _)| known == name);
            let (_, value) = found.ok_or_else(|| missing(name))?;
            check_value(value.expose_secret())
                .map_err(|error| GrantError(format!("secret {name}: {error}")))?;
            let placeholder = placeholder(seed, name);
            held.push(Held { name: name.clone(), placeholder, value: value.clone() });
        }
        if held.is_empty() {
            return Ok(Self::default());
        }
        if held.len() > SECRETS_MAX {
            let count = held.len();
            return Err(GrantError(format!("{count} secrets are more than {SECRETS_MAX}")));
        }
        let fail = |error: aho_corasick::BuildError| GrantError(format!("secrets: {error}"));
        let scrubber = Scrubber::new(held.iter().map(|held| held.value.expose_secret()));
        let placeholders = Placeholders::new(held.iter().map(|held| &*held.placeholder));
        let (scrubber, placeholders) =
            (Some(scrubber.map_err(fail)?), Some(placeholders.map_err(fail)?));
        Ok(Self { held, placeholders, scrubber })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Each of them, for whoever gives the guest its placeholders.
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// What finds their placeholders; none where there are no secrets.
    pub fn placeholders(&self) -> Option<&Placeholders> {
        self.placeholders.as_ref()
    }

    /// What masks their values; none where there are no secrets.
    pub fn scrubber(&self) -> Option<&Scrubber> {
        self.scrubber.as_ref()
    }
}

/// The sentence about a secret that nobody has.
pub fn missing(name: &str) -> GrantError {
    GrantError(format!(
        "there is no secret {name}; `aos-host secret set {name}` keeps one, and AOS_SECRET_{name} \
         gives one for this run"
    ))
}

#[cfg(test)]
mod tests;
