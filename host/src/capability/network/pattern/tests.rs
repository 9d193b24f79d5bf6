//! Patterns as they are written, and what they reach.

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
    for text in ["db.example.org", "::1:53", "x:0", "x:", ":5", "x:1/", "tcp://x:1", "private:*:1"]
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
