//! Hosts, schemes and targets in one normal form, so that a grant and a request compare by bytes.
//!
//! The host parser is the `url` crate's (WHATWG URL, with IDNA): `2130706433`, `0x7f.1`, `127.1`,
//! full-width digits and percent-encoded forms become the address they mean **before** anything is
//! compared. What is connected to and what is sent as `Host` comes from the normal form too.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The longest host as it is typed; percent-encoding can triple a name of 253 bytes.
const TYPED_BYTES_MAX: usize = 1024;
/// The longest name in DNS, without the root's dot (RFC 1035, section 3.1).
const NAME_BYTES_MAX: usize = 253;
/// The longest label in DNS (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Why a URI or a host cannot be a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The scheme is not `http` or `https`.
    #[error("the scheme `{0}` is not one of http, https")]
    Scheme(String),
    /// There is no scheme or no host at all.
    #[error("the address has no {0}")]
    Missing(&'static str),
    /// A user name or password stands before the host, which makes another host look like it.
    #[error("a user name or password before the host is not accepted")]
    Userinfo,
    /// The port is not a number from 1 to 65535.
    #[error("`{0}` is not a port from 1 to 65535")]
    Port(String),
    /// The host is neither a name nor an address.
    #[error("`{host}` is not a host: {reason}")]
    Host {
        /// What was written, cut to a length that fits a message.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The two schemes that outgoing HTTP has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear, port 80.
    Http,
    /// Over TLS, port 443.
    Https,
}

impl Scheme {
    /// Reads `http` or `https` in any case.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.eq_ignore_ascii_case("http") {
            Ok(Self::Http)
        } else if text.eq_ignore_ascii_case("https") {
            Ok(Self::Https)
        } else {
            Err(HostError::Scheme(excerpt(text)))
        }
    }

    /// The port that is meant when none is written.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The scheme as it stands in a URI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host in normal form: a lower-case ASCII name without a trailing dot, or an address.
///
/// An IPv4-mapped IPv6 address is the IPv4 address, because that is what gets connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Name(Box<str>),
    Address(IpAddr),
}

impl Host {
    /// Reads a host as it stands in a URI; an IPv6 address has brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let refuse = |reason: String| HostError::Host {
            host: excerpt(text),
            reason,
        };
        if text.len() > TYPED_BYTES_MAX {
            return Err(refuse(format!("it is longer than {TYPED_BYTES_MAX} bytes")));
        }
        match url::Host::parse(text) {
            Ok(url::Host::Ipv4(address)) => Ok(Self::from(IpAddr::V4(address))),
            Ok(url::Host::Ipv6(address)) => Ok(Self::from(IpAddr::V6(address))),
            Ok(url::Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                check_name(name).map_err(|reason| refuse(reason.to_owned()))?;
                Ok(Self(Kind::Name(name.into())))
            }
            Err(error) => Err(refuse(error.to_string())),
        }
    }

    /// Reads a host as `wasi:sockets` hands it over: an IPv6 address may stand without brackets.
    pub fn parse_bare(text: &str) -> Result<Self, HostError> {
        match text.parse::<Ipv6Addr>() {
            Ok(address) => Ok(Self::from(IpAddr::V6(address))),
            Err(_) => Self::parse(text),
        }
    }

    /// The name, unless the host is an address.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Kind::Name(name) => Some(name),
            Kind::Address(_) => None,
        }
    }

    /// The address, unless the host is a name.
    pub fn address(&self) -> Option<IpAddr> {
        match &self.0 {
            Kind::Name(_) => None,
            Kind::Address(address) => Some(*address),
        }
    }

    /// Whether this is the name `localhost`, which means loopback without asking DNS (RFC 6761).
    pub fn is_localhost(&self) -> bool {
        self.name() == Some("localhost")
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self(Kind::Address(address.to_canonical()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Name(name) => f.write_str(name),
            Kind::Address(IpAddr::V4(address)) => address.fmt(f),
            Kind::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Where a request is meant to go: what grants match against and what `Host` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// In the clear or over TLS.
    pub scheme: Scheme,
    /// The host in normal form.
    pub host: Host,
    /// The port, the scheme's own when the request named none.
    pub port: u16,
}

impl Target {
    /// Reads an absolute URI; refuses a user name, another scheme and a port that is no port.
    pub fn from_uri(uri: &http::Uri) -> Result<Self, HostError> {
        let scheme = Scheme::parse(uri.scheme_str().ok_or(HostError::Missing("scheme"))?)?;
        let authority = uri.authority().ok_or(HostError::Missing("host"))?;
        Self::from_authority(scheme, authority.as_str())
    }

    /// Reads `host[:port]` under a scheme.
    pub fn from_authority(scheme: Scheme, authority: &str) -> Result<Self, HostError> {
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None => scheme.default_port(),
        };
        Ok(Self {
            scheme,
            host: Host::parse(host)?,
            port,
        })
    }

    /// `host[:port]` as the `Host` field wants it: the scheme's own port is left out.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

/// Splits `host[:port]` or `[v6][:port]`. A port that is there but empty stays, to be refused.
pub(super) fn split_authority(text: &str) -> Result<(&str, Option<&str>), HostError> {
    if text.contains('@') {
        return Err(HostError::Userinfo);
    }
    if text.is_empty() {
        return Err(HostError::Missing("host"));
    }
    let host_end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']').map_or(text.len(), |at| at + 2),
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    if rest.is_empty() {
        return Ok((host, None));
    }
    match rest.strip_prefix(':') {
        Some(port) if port.contains(':') => Err(HostError::Host {
            host: excerpt(text),
            reason: "an IPv6 address stands in brackets, like [::1]".to_owned(),
        }),
        Some(port) => Ok((host, Some(port))),
        None => Err(HostError::Port(excerpt(rest))),
    }
}

/// Reads a port in decimal digits alone: no sign, no space, not 0.
pub(super) fn parse_port(text: &str) -> Result<u16, HostError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port != 0 => Ok(port),
        Ok(_) | Err(_) => Err(HostError::Port(excerpt(text))),
    }
}

/// Cuts hostile text to a length that fits into a message.
pub(super) fn excerpt(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// DNS's own bounds, and letters, digits, `-` and `_` alone: what is left is safe in a `Host`.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.len() > NAME_BYTES_MAX {
        return Err("a name has at most 253 bytes");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("a part between two dots is empty");
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err("a part between two dots has at most 63 bytes");
        }
        if !label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err("a name has letters, digits, `-` and `_` alone");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(text: &str) -> String {
        Host::parse(text).map_or_else(|error| format!("error: {error}"), |host| host.to_string())
    }

    #[test]
    fn every_notation_of_an_address_is_the_address() {
        for text in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0x7F.0x0.0x0.0x1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.0x1",
            "%31%32%37.0.0.1",
            "127%2e0%2e0%2e1",
            "１２７.０.０.１",
            "127。0。0。1",
            "①②⑦.⓪.⓪.①",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:FFFF:127.0.0.1]",
        ] {
            assert_eq!(host(text), "127.0.0.1", "{text}");
        }
    }

    #[test]
    fn names_lose_case_and_the_root_dot() {
        assert_eq!(host("API.Example.ORG."), "api.example.org");
        assert_eq!(host("Bücher.example"), "xn--bcher-kva.example");
        assert_eq!(host("exa%6Dple.org"), "example.org");
        assert_eq!(host("LOCALHOST."), "localhost");
        assert_eq!(host("[2001:DB8::1]"), "[2001:db8::1]");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "127.0.0.1..",
            "256.0.0.1",
            "1.2.3.4.5",
            "0x100000000",
            "a b",
            "a\tb",
            "a\r\nb",
            "a%0d%0ab",
            "a%00b",
            "a/b",
            "a#b",
            "a?b",
            "a@b",
            "%2531",
            "[::1",
            "::1",
            "[fe80::1%25eth0]",
            "[::1]x",
            "*.example.org",
            "ex!ample.org",
            "x,y",
        ] {
            assert!(Host::parse(text).is_err(), "{text:?} became {}", host(text));
        }
        assert!(Host::parse(&"a".repeat(64)).is_err());
        assert!(Host::parse(&"a.".repeat(200)).is_err());
        assert!(Host::parse(&"a".repeat(1 << 20)).is_err());
    }

    #[test]
    fn a_target_is_read_from_a_uri() {
        let target = |text: &str| {
            text.parse::<http::Uri>()
                .map_err(|error| error.to_string())
                .and_then(|uri| {
                    Target::from_uri(&uri)
                        .map(|t| t.to_string())
                        .map_err(|error| error.to_string())
                })
        };
        assert_eq!(
            target("HTTP://Example.org:80/x?y").as_deref(),
            Ok("http://example.org")
        );
        assert_eq!(
            target("https://example.org:80/").as_deref(),
            Ok("https://example.org:80")
        );
        assert_eq!(
            target("http://[::1]:8080/").as_deref(),
            Ok("http://[::1]:8080")
        );
        for bad in [
            "http://a@example.org/",
            "http://a:b@example.org/",
            "ftp://example.org/",
            "/x",
            "http://example.org:0/",
            "http://example.org:65536/",
            "http://example.org:/",
            "http://example.org:+80/",
            "http://127.0.0.1@example.org/",
        ] {
            assert!(target(bad).is_err(), "{bad} became {:?}", target(bad));
        }
    }

    #[test]
    fn unbracketed_ipv6_is_for_sockets_alone() {
        assert!(Host::parse("::1").is_err());
        assert_eq!(
            Host::parse_bare("::1").map(|h| h.to_string()).as_deref(),
            Ok("[::1]")
        );
        assert_eq!(
            Host::parse_bare("127.1").map(|h| h.to_string()).as_deref(),
            Ok("127.0.0.1")
        );
    }

    proptest! {
        #[test]
        fn normal_form_is_stable(text in "\\PC{0,40}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
        }
    }
}
