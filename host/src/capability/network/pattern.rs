//! What a network grant says, and whether a request or a connection is what it says.
//!
//! ```text
//! net:  [private:][METHOD[,METHOD] ]scheme://host[:port]      GET,HEAD https://*.example.org
//! tcp:  [private:]host:port                                   db.example.org:5432
//! udp:  [private:]host:port                                   [2001:db8::1]:53
//! ```
//!
//! A lone `*` in the place of `scheme://host[:port]` or `host:port` is all of them: every public
//! host at every port, by either scheme.
//!
//! *host* is an exact name, `*.suffix` (every name below the suffix, not the suffix itself), `*`,
//! an IPv4 address, or an IPv6 address in brackets. *port* is a number or `*`; without one, HTTP
//! takes its scheme's own. Without methods, every method is meant. What a pattern opens beyond
//! public addresses stands in the [module above](super). Everything is in normal form after
//! parsing, so a match compares bytes and allocates nothing.

use super::address::Reach;
use super::host::{Host, HostError, Scheme, Target, excerpt, parse_port, split_authority};
use http::Method;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The word before a pattern whose name may resolve to a private-use network.
const PRIVATE_PREFIX: &str = "private:";

/// The word for everything.
const ALL: &str = "*";

/// Why a network grant cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is no `scheme://`.
    #[error("`{0}` has no scheme; write it like https://api.example.org")]
    NoScheme(String),
    /// A method is not a token in capitals.
    #[error("`{0}` is not a method in capitals, like GET or GET,POST")]
    Method(String),
    /// Something follows the host and port.
    #[error("grants are by scheme, host and port, so leave out `{0}`")]
    Path(String),
    /// A star stands where it has no meaning.
    #[error("in `{0}` a star may only be the whole host or its first part, like *.example.org")]
    Wildcard(String),
    /// A raw socket's grant names no port.
    #[error("`{0}` has no port; write it like db.example.org:5432, or :* for every port")]
    NoPort(String),
    /// `private:` stands before something that is not an exact name.
    #[error("`private:` needs an exact host name, and `{0}` is not one")]
    Private(String),
    /// The host, port or scheme is not one.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Which hosts a grant means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum HostPattern {
    Any,
    /// Names that end in this suffix, which begins with its dot, and have something before it.
    Below(Box<str>),
    Exactly(Host),
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (suffix, below) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        if suffix.contains('*') {
            return Err(PatternError::Wildcard(excerpt(text)));
        }
        let host = Host::parse(suffix)?;
        match (below, host.name()) {
            (false, _) => Ok(Self::Exactly(host)),
            (true, Some(name)) => Ok(Self::Below(format!(".{name}").into())),
            (true, None) => Err(PatternError::Wildcard(excerpt(text))),
        }
    }

    fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(exact) => exact == host,
            Self::Below(suffix) => host
                .name()
                .is_some_and(|name| name.len() > suffix.len() && name.ends_with(&**suffix)),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Exactly(host) => host.fmt(f),
        }
    }
}

/// Which ports a grant means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PortPattern {
    Any,
    Exactly(u16),
}

impl PortPattern {
    fn parse(text: &str) -> Result<Self, HostError> {
        if text == "*" { Ok(Self::Any) } else { parse_port(text).map(Self::Exactly) }
    }

    fn matches(self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(exact) => exact == port,
        }
    }
}

impl fmt::Display for PortPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exactly(port) => port.fmt(f),
        }
    }
}

/// What a pattern opens beyond public addresses: the one place where this is decided.
fn reach_of(host: &HostPattern, private: Option<&str>) -> Result<Reach, PatternError> {
    let exact = match host {
        HostPattern::Any | HostPattern::Below(_) => None,
        HostPattern::Exactly(host) => Some(host),
    };
    match (exact, private) {
        (None, None) => Ok(Reach::PUBLIC),
        (None, Some(_)) => Err(PatternError::Private(host.to_string())),
        (Some(host), Some(_)) if host.address().is_some() || host.is_localhost() => {
            Err(PatternError::Private(host.to_string()))
        }
        (Some(_), Some(_)) => Ok(Reach::PRIVATE),
        (Some(host), None) if host.address().is_some() => Ok(Reach::NAMED_ADDRESS),
        (Some(host), None) if host.is_localhost() => Ok(Reach::LOOPBACK),
        (Some(_), None) => Ok(Reach::PUBLIC),
    }
}

/// Takes `private:` off the front; the marker itself stands for "it was there".
fn split_private(text: &str) -> (Option<&str>, &str) {
    match text.strip_prefix(PRIVATE_PREFIX) {
        Some(rest) => (Some(PRIVATE_PREFIX), rest),
        None => (None, text),
    }
}

fn private_prefix(reach: Reach) -> &'static str {
    if reach == Reach::PRIVATE { PRIVATE_PREFIX } else { "" }
}

/// A grant of outgoing HTTP: `[private:][METHOD[,METHOD] ]scheme://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpPattern {
    /// Empty means every method.
    methods: Box<[Method]>,
    /// None means either.
    scheme: Option<Scheme>,
    host: HostPattern,
    port: PortPattern,
    reach: Reach,
}

impl HttpPattern {
    /// The narrowest pattern that matches this request: what a denial proposes.
    pub fn exactly(method: &Method, target: &Target) -> Self {
        let host = HostPattern::Exactly(target.host.clone());
        Self {
            methods: [method.clone()].into(),
            scheme: Some(target.scheme),
            reach: reach_of(&host, None).unwrap_or(Reach::PUBLIC),
            host,
            port: PortPattern::Exactly(target.port),
        }
    }

    /// Whether this pattern means that request. It does not say which addresses are open to it.
    pub fn matches(&self, method: &Method, target: &Target) -> bool {
        self.port.matches(target.port)
            && self.scheme.is_none_or(|scheme| scheme == target.scheme)
            && self.host.matches(&target.host)
            && (self.methods.is_empty() || self.methods.contains(method))
    }

    /// Whether it says which hosts it means: a name, an address, or all names below a suffix.
    pub fn names_a_host(&self) -> bool {
        self.scheme.is_some() && self.host != HostPattern::Any
    }

    /// Whether what is sent can be read by its two ends alone: it is encrypted, or stays on this
    /// machine.
    pub fn is_private_channel(&self) -> bool {
        let local = match &self.host {
            HostPattern::Exactly(host) => {
                host.is_localhost() || host.address().is_some_and(|address| address.is_loopback())
            }
            HostPattern::Any | HostPattern::Below(_) => false,
        };
        self.scheme == Some(Scheme::Https) || local
    }

    /// What the pattern opens beyond public addresses, for requests that it matches.
    pub fn reach(&self) -> Reach {
        self.reach
    }
}

/// What all matching patterns of one holder open together; `None` when none of them matches.
pub fn reach<'a>(
    patterns: impl IntoIterator<Item = &'a HttpPattern>,
    method: &Method,
    target: &Target,
) -> Option<Reach> {
    let matching = patterns.into_iter().filter(|pattern| pattern.matches(method, target));
    matching.map(HttpPattern::reach).reduce(Reach::union)
}

impl FromStr for HttpPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (private, rest) = split_private(text);
        let (methods, url) = match rest.split_once(' ') {
            Some((methods, url)) => (parse_methods(methods)?, url),
            None => (Box::default(), rest),
        };
        if url == ALL {
            let (host, port) = (HostPattern::Any, PortPattern::Any);
            let reach = reach_of(&host, private)?;
            return Ok(Self { methods, scheme: None, host, port, reach });
        }
        let no_scheme = || PatternError::NoScheme(excerpt(url));
        let (scheme, authority) = url.split_once("://").ok_or_else(no_scheme)?;
        let scheme = Scheme::parse(scheme)?;
        if let Some(at) = authority.find(['/', '?', '#', '\\']) {
            return Err(PatternError::Path(excerpt(&authority[at..])));
        }
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => PortPattern::parse(port)?,
            None => PortPattern::Exactly(scheme.default_port()),
        };
        let host = HostPattern::parse(host)?;
        let reach = reach_of(&host, private)?;
        Ok(Self { methods, scheme: Some(scheme), host, port, reach })
    }
}

fn parse_methods(text: &str) -> Result<Box<[Method]>, PatternError> {
    let parse = |word: &str| {
        // Methods are case-sensitive (RFC 9110, 9.1): `get` would be granted and never match.
        match Method::from_bytes(word.as_bytes()) {
            Ok(method) if !word.bytes().any(|b| b.is_ascii_lowercase()) => Ok(method),
            Ok(_) | Err(_) => Err(PatternError::Method(excerpt(word))),
        }
    };
    text.split(',').map(parse).collect()
}

impl fmt::Display for HttpPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(private_prefix(self.reach))?;
        for (index, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if index == 0 { "" } else { "," })?;
        }
        let space = if self.methods.is_empty() { "" } else { " " };
        let Some(scheme) = self.scheme else { return write!(f, "{space}{ALL}") };
        write!(f, "{space}{scheme}://{}", self.host)?;
        if self.port == PortPattern::Exactly(scheme.default_port()) {
            return Ok(());
        }
        write!(f, ":{}", self.port)
    }
}

/// A grant of raw sockets: `[private:]host:port`. TCP or UDP is the capability's name, not here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SocketPattern {
    host: HostPattern,
    port: PortPattern,
    reach: Reach,
}

impl SocketPattern {
    /// Whether a name may be looked up for this pattern.
    pub fn matches_name(&self, name: &Host) -> bool {
        self.host.matches(name)
    }

    /// Whether the port is one of the pattern's.
    pub fn matches_port(&self, port: u16) -> bool {
        self.port.matches(port)
    }

    /// Whether the pattern means this address without any lookup: it names it, or is a plain `*`.
    pub fn matches_address(&self, address: IpAddr) -> bool {
        self.host.matches(&Host::from(address))
    }

    /// What the pattern opens beyond public addresses.
    pub fn reach(&self) -> Reach {
        self.reach
    }
}

impl FromStr for SocketPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (private, rest) = split_private(text);
        if rest == ALL {
            let (host, port) = (HostPattern::Any, PortPattern::Any);
            let reach = reach_of(&host, private)?;
            return Ok(Self { host, port, reach });
        }
        if let Some(at) = rest.find(['/', '?', '#', '\\']) {
            return Err(PatternError::Path(excerpt(&rest[at..])));
        }
        let (host, port) = split_authority(rest)?;
        let port = PortPattern::parse(port.ok_or_else(|| PatternError::NoPort(excerpt(rest)))?)?;
        let host = HostPattern::parse(host)?;
        let reach = reach_of(&host, private)?;
        Ok(Self { host, port, reach })
    }
}

impl fmt::Display for SocketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}:{}", private_prefix(self.reach), self.host, self.port)
    }
}

#[cfg(test)]
mod tests;
