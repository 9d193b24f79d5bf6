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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn http(text: &str) -> HttpPattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn target(text: &str) -> Target {
        let uri = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        Target::from_uri(&uri).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn matches(pattern: &str, method: Method, uri: &str) -> bool {
        http(pattern).matches(&method, &target(uri))
    }

    #[test]
    fn scheme_host_port_and_method_must_all_agree() {
        let pattern = "GET,POST https://api.example.org";
        assert!(matches(pattern, Method::GET, "https://api.example.org/x?y"));
        assert!(matches(pattern, Method::POST, "https://API.example.org.:443/"));
        assert!(!matches(pattern, Method::PUT, "https://api.example.org/"));
        assert!(!matches(pattern, Method::HEAD, "https://api.example.org/"));
        assert!(!matches(pattern, Method::GET, "http://api.example.org/"));
        assert!(!matches(pattern, Method::GET, "http://api.example.org:443/"));
        assert!(!matches(pattern, Method::GET, "https://api.example.org:8443/"));
        assert!(!matches(pattern, Method::GET, "https://api.example.org.evil.net/"));
        assert!(!matches(pattern, Method::GET, "https://xapi.example.org/"));
        assert!(matches("https://api.example.org", Method::DELETE, "https://api.example.org"));
        assert!(matches("http://127.0.0.1:*", Method::GET, "http://127.0.0.1:9"));
    }

    #[test]
    fn a_lone_star_means_every_public_host() {
        for uri in ["http://a.example.org", "https://b.example.org:8443/x"] {
            assert!(matches("*", Method::PUT, uri), "{uri}");
            assert!(matches("GET *", Method::GET, uri), "{uri}");
            assert!(!matches("GET *", Method::PUT, uri), "{uri}");
        }
        assert_eq!(http("*").reach(), Reach::PUBLIC);
        assert_eq!(http("GET *").to_string(), "GET *");
        let socket: SocketPattern = "*".parse().expect("parses");
        assert_eq!((socket.reach(), socket.to_string().as_str()), (Reach::PUBLIC, "*:*"));
        assert!("private:*".parse::<HttpPattern>().is_err());
        assert!("private:*".parse::<SocketPattern>().is_err());
    }

    #[test]
    fn a_suffix_means_names_below_it_alone() {
        let pattern = "https://*.example.org";
        assert!(matches(pattern, Method::GET, "https://a.example.org"));
        assert!(matches(pattern, Method::GET, "https://a.b.example.org"));
        assert!(!matches(pattern, Method::GET, "https://example.org"));
        assert!(!matches(pattern, Method::GET, "https://badexample.org"));
        assert!(!matches(pattern, Method::GET, "https://example.org.net"));
        assert!(!matches("http://*.0.0.x", Method::GET, "http://127.0.0.1"));
    }

    #[test]
    fn notations_of_an_address_match_its_literal() {
        for uri in [
            "http://127.0.0.1",
            "http://127.1",
            "http://2130706433",
            "http://0x7f.1",
            "http://0177.0.0.1",
            "http://[::ffff:127.0.0.1]",
            "http://127.0.0.1.:80",
        ] {
            assert!(matches("http://127.0.0.1", Method::GET, uri), "{uri}");
            assert!(!matches("http://127.0.0.2", Method::GET, uri), "{uri}");
        }
        assert!(matches("http://0x7f.1", Method::GET, "http://127.0.0.1"));
        assert!(matches("http://[::FFFF:7f00:1]", Method::GET, "http://127.0.0.1"));
        assert!(!matches("http://localhost", Method::GET, "http://127.0.0.1"));
    }

    #[test]
    fn only_what_is_named_opens_more_than_public() {
        for (pattern, want) in [
            ("http://*", Reach::PUBLIC),
            ("http://*.localhost", Reach::PUBLIC),
            ("http://example.org", Reach::PUBLIC),
            ("http://localhost", Reach::LOOPBACK),
            ("http://10.0.0.1", Reach::NAMED_ADDRESS),
            ("http://[fd00::1]", Reach::NAMED_ADDRESS),
            ("private:GET http://wiki.corp", Reach::PRIVATE),
        ] {
            assert_eq!(http(pattern).reach(), want, "{pattern}");
        }
        let grants = [http("http://*"), http("private:http://wiki.corp")];
        let get = |uri| reach(&grants, &Method::GET, &target(uri));
        assert_eq!(get("http://wiki.corp"), Some(Reach::PRIVATE));
        assert_eq!(get("http://127.0.0.1"), Some(Reach::PUBLIC));
        assert_eq!(get("https://wiki.corp"), None);
    }

    #[test]
    fn a_bad_pattern_says_what_is_wrong() {
        let error = |text: &str| match text.parse::<HttpPattern>() {
            Ok(pattern) => panic!("{text} became {pattern}"),
            Err(error) => error.to_string(),
        };
        for (text, part) in [
            ("", "no scheme"),
            ("example.org", "no scheme"),
            ("ftp://example.org", "`ftp`"),
            ("get https://example.org", "`get`"),
            ("GET, https://example.org", "capitals"),
            (" https://example.org", "capitals"),
            ("G{T https://example.org", "`G{T`"),
            ("https://example.org/v1", "leave out `/v1`"),
            ("https://example.org/", "leave out"),
            ("https://example.org?x", "leave out"),
            ("https://example.org#x", "leave out"),
            ("https://example.org\\x", "leave out"),
            ("https://", "no host"),
            ("https://a*.example.org", "star"),
            ("https://*.*", "star"),
            ("https://*.127.0.0.1", "star"),
            ("https://*.", "not a host"),
            ("https://u:p@example.org", "user name"),
            ("https://example.org:0", "`0`"),
            ("https://example.org:65536", "`65536`"),
            ("https://example.org:", "not a port"),
            ("https://[::1", "not a host"),
            ("https://::1", "brackets"),
            ("private:https://*.corp", "exact"),
            ("private:http://10.0.0.1", "exact"),
            ("private:http://localhost", "exact"),
            ("GET private:http://a", "not a host"),
        ] {
            let message = error(text);
            if text == "GET private:http://a" {
                assert!(message.contains("scheme"), "{text}: {message}");
            } else {
                assert!(message.contains(part), "{text}: {message}");
            }
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn socket_patterns_name_a_host_and_a_port() {
        for text in [
            "db.example.org:5432",
            "*.example.org:*",
            "*:443",
            "[2001:db8::1]:53",
            "10.0.0.1:22",
            "private:db.corp:5432",
            "localhost:6379",
            "*:*",
        ] {
            let pattern: Result<SocketPattern, _> = text.parse();
            assert_eq!(pattern.map(|p| p.to_string()).as_deref(), Ok(text));
        }
        for text in
            ["db.example.org", "::1:53", "x:0", "x:", ":5", "x:1/", "tcp://x:1", "private:*:1"]
        {
            assert!(text.parse::<SocketPattern>().is_err(), "{text}");
        }
    }

    fn any_host() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("*".to_owned()),
            "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{0,5}){0,3}",
            "\\*\\.[a-z]{1,6}\\.[a-z]{1,3}",
            any::<[u8; 4]>().prop_map(|octets| IpAddr::from(octets).to_string()),
            any::<[u8; 16]>().prop_map(|octets| format!("[{}]", IpAddr::from(octets))),
        ]
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(
            methods in "(|[A-Z]{1,7}(,[A-Z]{1,7}){0,2} )",
            scheme in "https?",
            host in any_host(),
            port in "(|:\\*|:[1-9][0-9]{0,3})",
        ) {
            let pattern = http(&format!("{methods}{scheme}://{host}{port}"));
            prop_assert_eq!(pattern.to_string().parse::<HttpPattern>(), Ok(pattern));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,60}") {
            let _ = text.parse::<HttpPattern>();
            let _ = text.parse::<SocketPattern>();
        }

        #[test]
        fn the_proposed_pattern_allows_the_request(host in any_host(), port in 1..=u16::MAX) {
            prop_assume!(!host.starts_with('*'));
            let target = target(&format!("http://{host}:{port}"));
            let proposed = HttpPattern::exactly(&Method::PUT, &target);
            prop_assert!(proposed.matches(&Method::PUT, &target));
            prop_assert_eq!(proposed.to_string().parse::<HttpPattern>(), Ok(proposed));
        }
    }
}
