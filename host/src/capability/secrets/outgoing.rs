//! Requests on their way out: placeholders become values, or nothing.
//!
//! | where | what a granted placeholder becomes |
//! |---|---|
//! | a field's value | the value as it is; one that no field can hold is an error |
//! | `Authorization: Basic …` | the same inside what the field encodes |
//! | the query | the value percent-encoded |
//! | a body of JSON | the value as the inside of a JSON string |
//! | a body of a form | the value percent-encoded |
//! | any other body | the value as it is |
//! | the path, and whatever is not granted | nothing: the placeholder is taken out |

use std::ops::Range;

use aho_corasick::{AhoCorasick, BuildError};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, IF_RANGE, RANGE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};
use secrecy::ExposeSecret;

use super::Secrets;
use super::forms::{json_escaped, percent};

/// What every placeholder begins with: looking for one text is many times as fast as for several.
pub const PREFIX: &str = "aos-secret-";

/// Finds placeholders.
#[derive(Clone, Debug)]
pub struct Placeholders {
    prefix: AhoCorasick,
    texts: Vec<String>,
}

impl Placeholders {
    /// Those of a session, in the order of its secrets; each begins with [`PREFIX`].
    ///
    /// # Errors
    /// Never, for one text that is not empty, which the automaton cannot know.
    pub fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, BuildError> {
        let prefix = AhoCorasick::new([PREFIX])?;
        Ok(Self { prefix, texts: texts.map(str::to_owned).collect() })
    }

    /// Each placeholder in a text: which one, and where.
    fn find<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (usize, Range<usize>)> + 'a {
        self.prefix.find_iter(text).filter_map(|found| {
            let rest = &text[found.start()..];
            let which = self.texts.iter().position(|known| rest.starts_with(known.as_bytes()))?;
            Some((which, found.start()..found.start() + self.texts[which].len()))
        })
    }
}

/// Why a request cannot carry a secret: one sentence without the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

/// How a value is written where it is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Plain,
    Percent,
    Json,
}

/// The head and the whole body of a request, as one thing to be looked through.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Where it goes.
    pub uri: &'a mut Uri,
    /// Its fields.
    pub fields: &'a mut HeaderMap,
    /// Its body.
    pub body: &'a mut Vec<u8>,
    /// The fields after the body.
    pub trailers: Option<&'a mut HeaderMap>,
}

impl Secrets {
    /// Which secrets a request has the placeholders of, by their places in [`Secrets::held`].
    pub fn named_in(&self, request: &Outgoing<'_>) -> Vec<usize> {
        let Some(finder) = &self.placeholders else { return Vec::new() };
        let mut named = vec![false; self.held.len()];
        let mut look = |text: &[u8]| {
            for (which, _) in finder.find(text) {
                named[which] = true;
            }
        };
        if let Some(path) = request.uri.path_and_query() {
            look(path.as_str().as_bytes());
        }
        let trailers = request.trailers.as_deref();
        for fields in std::iter::once(&*request.fields).chain(trailers) {
            for (name, value) in fields {
                look(value.as_bytes());
                if name == AUTHORIZATION
                    && let Some(pair) = basic(value)
                {
                    look(&pair);
                }
            }
        }
        look(request.body);
        (0..named.len()).filter(|at| named[*at]).collect()
    }

    /// Puts the values of the secrets in `allowed` in the place of their placeholders, and takes
    /// all other placeholders out.
    ///
    /// # Errors
    /// When a value cannot stand where it is asked for.
    pub fn put_in(&self, request: &mut Outgoing<'_>, allowed: &[usize]) -> Result<(), Unfit> {
        let Outgoing { uri, fields, body, trailers } = request;
        self.put_in_uri(uri, allowed)?;
        let writing = writing_of(fields);
        self.put_in_fields(fields, allowed)?;
        if let Some(trailers) = trailers {
            self.put_in_fields(trailers, allowed)?;
        }
        if let Some(changed) = self.replaced(body, allowed, writing) {
            **body = changed;
        }
        // What was compressed could not be looked through.
        fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(())
    }

    fn put_in_uri(&self, uri: &mut Uri, allowed: &[usize]) -> Result<(), Unfit> {
        let Some(whole) = uri.path_and_query() else { return Ok(()) };
        let path = self.replaced(whole.path().as_bytes(), &[], Writing::Percent);
        let query = whole.query();
        let changed =
            query.and_then(|query| self.replaced(query.as_bytes(), allowed, Writing::Percent));
        if path.is_none() && changed.is_none() {
            return Ok(());
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let mut written = path.map_or_else(|| whole.path().to_owned(), text);
        if let Some(query) = query {
            written.push('?');
            written.push_str(&changed.map_or_else(|| query.to_owned(), text));
        }
        let unfit = || Unfit("a secret does not fit into the address".into());
        let written = PathAndQuery::try_from(written).map_err(|_| unfit())?;
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(written);
        *uri = Uri::from_parts(parts).map_err(|_| unfit())?;
        Ok(())
    }

    fn put_in_fields(&self, fields: &mut HeaderMap, allowed: &[usize]) -> Result<(), Unfit> {
        for (name, value) in fields.iter_mut() {
            let pair = if name == AUTHORIZATION { basic(value) } else { None };
            let changed = match pair {
                Some(pair) => self
                    .replaced(&pair, allowed, Writing::Plain)
                    .map(|pair| format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes()),
                None => self.replaced(value.as_bytes(), allowed, Writing::Plain),
            };
            let Some(changed) = changed else { continue };
            let mut changed = HeaderValue::from_bytes(&changed).map_err(|_| {
                Unfit(format!("a secret holds what the field `{name}` cannot, as a line's end"))
            })?;
            changed.set_sensitive(true);
            *value = changed;
        }
        Ok(())
    }

    /// The text with its placeholders replaced; none where there are none.
    fn replaced(&self, text: &[u8], allowed: &[usize], writing: Writing) -> Option<Vec<u8>> {
        let mut found = self.placeholders.as_ref()?.find(text).peekable();
        found.peek()?;
        let mut out = Vec::with_capacity(text.len() + super::VALUE_BYTES_MIN * 4);
        let mut from = 0;
        for (at, range) in found {
            out.extend_from_slice(&text[from..range.start]);
            from = range.end;
            if allowed.contains(&at) {
                let value = self.held[at].value.expose_secret();
                match writing {
                    Writing::Plain => out.extend_from_slice(value.as_bytes()),
                    Writing::Percent => {
                        out.extend(percent(value.as_bytes(), b"-._~", true, false));
                    }
                    Writing::Json => out.extend_from_slice(json_escaped(value).as_bytes()),
                }
            }
        }
        out.extend_from_slice(&text[from..]);
        Some(out)
    }
}

/// Takes out what would have a server send parts of what it holds: a value cut in two is found by
/// nobody.
pub fn ask_for_the_whole(fields: &mut HeaderMap) {
    fields.remove(RANGE);
    fields.remove(IF_RANGE);
}

/// How values are written in a body of this type.
fn writing_of(fields: &HeaderMap) -> Writing {
    let kind = fields.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match &*kind {
        "application/x-www-form-urlencoded" => Writing::Percent,
        kind if kind.ends_with("/json") || kind.ends_with("+json") => Writing::Json,
        _ => Writing::Plain,
    }
}

/// What `Basic` credentials encode.
fn basic(value: &HeaderValue) -> Option<Vec<u8>> {
    let text = value.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then_some(())?;
    BASE64_STANDARD.decode(encoded.trim()).ok()
}
