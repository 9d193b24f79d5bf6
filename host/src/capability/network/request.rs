//! What a guest's request becomes before it goes out. Pure: it reads no clock and opens nothing.
//!
//! | in the request | what is done |
//! |---|---|
//! | a target other than the checked one | refused |
//! | `CONNECT` | refused: it asks for a tunnel |
//! | `Host` | set from the checked target; refused if a guest's own means another |
//! | `Proxy-*`, and fields between two hops (`Connection`, `Upgrade`, …) | refused |
//! | `Transfer-Encoding` | refused |
//! | `TE` | refused unless it is `trailers` |
//! | `Content-Length` | refused unless it is one number that fits the body's known length |
//! | the URI | sent in origin form, `/path?query`: no proxy can be addressed |
//! | everything else | as the guest wrote it; the `http` crate holds no CR, LF or NUL |
//!
//! hyper frames the body: with `Content-Length` where the length is known or given (it fails a body
//! that is shorter, and never writes more than was said), else chunked.

use super::body::MeteredBody;
use super::egress::{Caps, EgressError, Message};
use super::host::{Scheme, Target};
use super::resolve::Destination;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body::Body;

/// Whether a guest may not set this field: what both `wasi:http` hooks answer.
///
/// `Host` is one of them: it always says where the request goes.
pub fn is_forbidden(name: &HeaderName) -> bool {
    name == HOST || is_hop_by_hop(name)
}

/// Fields between two neighbours in a chain of proxies (RFC 9110, 7.6.1), and all for a proxy.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name)
        || ["keep-alive", "http2-settings"].contains(&name.as_str())
        || name.as_str().starts_with("proxy-")
}

/// Checks a request against its destination and brings it to the form that goes out.
pub(super) fn prepare<B: Body<Data = Bytes>>(
    destination: &Destination,
    request: Request<B>,
    caps: &Caps,
) -> Result<Request<MeteredBody<B>>, EgressError> {
    let target = destination.target();
    let (mut parts, body) = request.into_parts();
    check_target(target, &parts.method, &parts.uri)?;
    check_headers(target, &parts.headers)?;
    check_length(&parts.headers, &body, caps.request_body_bytes)?;
    parts.uri = origin_form(&parts.uri)?;
    let host = HeaderValue::try_from(target.authority())
        .map_err(|_| refuse("the host does not fit into a header field"))?;
    parts.headers.insert(HOST, host);
    check_size(&parts.uri, &parts.headers, caps.request_head_bytes)?;
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    Ok(Request::from_parts(parts, MeteredBody::new(body, caps.request_body_bytes)))
}

fn refuse(reason: impl Into<String>) -> EgressError {
    EgressError::Request(reason.into())
}

/// The request must be the one that was checked; a URI without a host is.
fn check_target(target: &Target, method: &Method, uri: &Uri) -> Result<(), EgressError> {
    if *method == Method::CONNECT {
        return Err(refuse("CONNECT asks for a tunnel, which is not offered"));
    }
    if uri.authority().is_none() {
        return Ok(());
    }
    match Target::from_uri(uri) {
        Ok(asked) if asked == *target => Ok(()),
        Ok(asked) => Err(refuse(format!("it is for {asked}, but {target} was checked"))),
        Err(error) => Err(refuse(error.to_string())),
    }
}

fn check_headers(target: &Target, headers: &HeaderMap) -> Result<(), EgressError> {
    if let Some(name) = headers.keys().find(|name| is_hop_by_hop(name)) {
        return Err(refuse(format!("the field `{name}` is between two hops, not for a guest")));
    }
    if headers.get_all(TE).iter().any(|value| value != "trailers") {
        return Err(refuse("the field `te` may only say trailers"));
    }
    for value in headers.get_all(HOST) {
        if !means(target.scheme, value, target) {
            return Err(refuse(format!("the field `host` is not {}", target.authority())));
        }
    }
    Ok(())
}

fn means(scheme: Scheme, value: &HeaderValue, target: &Target) -> bool {
    let text = value.to_str().ok();
    let asked = text.and_then(|text| Target::from_authority(scheme, text).ok());
    asked.is_some_and(|asked| asked == *target)
}

/// A length that is not the body's, or two of them, could hide a second request (RFC 9112, 6).
fn check_length<B: Body>(headers: &HeaderMap, body: &B, cap: u64) -> Result<(), EgressError> {
    let known = body.size_hint().exact();
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let declared = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => Some(
            parse_length(value)
                .ok_or_else(|| refuse("the field `content-length` is not a number"))?,
        ),
        (Some(_), Some(_)) => return Err(refuse("there are two fields `content-length`")),
    };
    if let (Some(declared), Some(known)) = (declared, known)
        && declared != known
    {
        return Err(refuse(format!(
            "`content-length` says {declared}, the body has {known} bytes"
        )));
    }
    let least = declared.unwrap_or(body.size_hint().lower());
    if least > cap { Err(EgressError::RequestTooLarge { cap }) } else { Ok(()) }
}

/// Digits alone (RFC 9110, 8.6): `u64::from_str` would take a plus sign.
fn parse_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// `/path?query`; a query without a path gets its slash, which hyper would not add.
fn origin_form(uri: &Uri) -> Result<Uri, EgressError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Uri::builder().path_and_query(path).build().map_err(|error| refuse(error.to_string()))
}

fn check_size(uri: &Uri, headers: &HeaderMap, cap: usize) -> Result<(), EgressError> {
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    // Four bytes a field: the colon, the space and the end of the line.
    let fields: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if path.saturating_add(fields) <= cap {
        return Ok(());
    }
    Err(EgressError::Head { of: Message::Request, cap })
}

#[cfg(test)]
mod tests {
    use super::super::address::Reach;
    use super::super::resolve::check;
    use super::super::resolve::tests::{Rebinding, SOON};
    use super::*;
    use http_body_util::{Empty, Full};

    async fn prepared(
        uri: &str,
        change: impl FnOnce(&mut Request<Full<Bytes>>),
    ) -> Result<Request<MeteredBody<Full<Bytes>>>, EgressError> {
        let target =
            Target::from_uri(&"https://example.org".parse().expect("URI")).expect("target");
        let resolver = Rebinding::new(&[&["8.8.8.8"]]);
        let destination = check(target, Reach::PUBLIC, &resolver, SOON).await.expect("public");
        let mut request = Request::new(Full::new(Bytes::from_static(b"12345")));
        *request.uri_mut() = uri.parse().expect("URI");
        change(&mut request);
        prepare(&destination, request, &Caps::default())
    }

    fn field(name: &'static str, value: &'static str) -> impl FnOnce(&mut Request<Full<Bytes>>) {
        move |request| {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
    }

    #[tokio::test]
    async fn the_host_field_is_the_checked_target() {
        let uri = "https://example.org/a?b";
        let plain = prepared(uri, |_| ()).await.expect("sent");
        assert_eq!(plain.headers()[HOST], "example.org");
        assert_eq!(plain.uri(), "/a?b");
        let same = prepared(uri, field("host", "EXAMPLE.org.:443")).await.expect("sent");
        assert_eq!(same.headers().get_all(HOST).iter().count(), 1);
        assert_eq!(same.headers()[HOST], "example.org");
        for other in ["evil.net", "example.org:80", "user@example.org", "", "a b"] {
            assert!(prepared(uri, field("host", other)).await.is_err(), "{other}");
        }
    }

    #[tokio::test]
    async fn a_request_for_another_target_than_the_checked_one_is_refused() {
        for other in [
            "http://example.org/",
            "https://example.org:444/",
            "https://evil.net/",
            "https://u@example.org/",
        ] {
            assert!(prepared(other, |_| ()).await.is_err(), "{other}");
        }
        assert_eq!(prepared("/x", |_| ()).await.expect("sent").uri(), "/x");
        assert_eq!(prepared("https://example.org", |_| ()).await.expect("sent").uri(), "/");
        assert_eq!(prepared("https://example.org?q", |_| ()).await.expect("sent").uri(), "/?q");
    }

    #[tokio::test]
    async fn fields_between_hops_are_refused() {
        for name in [
            "connection",
            "keep-alive",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
            "proxy-authorization",
            "proxy-connection",
            "proxy-anything",
            "te",
        ] {
            assert!(prepared("/", field(name, "x")).await.is_err(), "{name}");
            assert!(name == "te" || is_forbidden(&HeaderName::from_static(name)), "{name}");
        }
        assert!(prepared("/", field("te", "trailers")).await.is_ok());
        assert!(prepared("/", field("authorization", "Bearer x")).await.is_ok());
        assert!(prepared("/", |r| *r.method_mut() = Method::CONNECT).await.is_err());
        assert!(is_forbidden(&HOST));
    }

    #[tokio::test]
    async fn a_length_must_be_the_bodys() {
        assert!(prepared("/", field("content-length", "5")).await.is_ok());
        for wrong in ["4", "6", "+5", "0x5", "5, 5", "", "18446744073709551616"] {
            assert!(prepared("/", field("content-length", wrong)).await.is_err(), "{wrong}");
        }
        let twice = prepared("/", |request| {
            field("content-length", "5")(request);
            field("content-length", "5")(request);
        });
        assert!(twice.await.is_err());
    }

    #[tokio::test]
    async fn heads_and_bodies_over_their_cap_are_refused_before_connecting() {
        let large = "x".repeat(Caps::default().request_head_bytes);
        let refused = prepared("/", |request| {
            let value = HeaderValue::try_from(large).expect("a value");
            request.headers_mut().insert("x-large", value);
        });
        assert!(matches!(refused.await, Err(EgressError::Head { of: Message::Request, .. })));
        let headers = HeaderMap::new();
        let full = Full::new(Bytes::from_static(b"12345"));
        let over = check_length(&headers, &full, 4);
        assert!(matches!(over, Err(EgressError::RequestTooLarge { cap: 4 })));
        assert!(check_length(&headers, &Empty::<Bytes>::new(), 0).is_ok());
    }

    #[test]
    fn a_value_cannot_split_a_message() {
        for bytes in [&b"a\r\nx: y"[..], b"a\nb", b"a\rb", b"a\0b"] {
            assert!(HeaderValue::from_bytes(bytes).is_err());
        }
        for path in ["/a\r\nb", "/a b", "/a\nHost: evil"] {
            assert!(path.parse::<Uri>().is_err(), "{path:?}");
        }
    }
}
