use proptest::prelude::*;

use super::outgoing::Outgoing;
use super::*;

const TOKEN: &str = "s3cr3t/Töken+with \"signs\" & <more>";
const SEED: [u8; 32] = [7; 32];

fn secrets(values: &[(&str, &str)]) -> Secrets {
    let patterns: Vec<SecretPattern> = values
        .iter()
        .map(|(name, _)| format!("{name}@https://api.example.org").parse().expect("a pattern"))
        .collect();
    let values: Vec<(String, SecretString)> = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()))
        .collect();
    Secrets::new(&patterns, &values, &SEED).expect("secrets")
}

/// A request with everything in it, as it goes out.
struct Sent {
    uri: http::Uri,
    fields: http::HeaderMap,
    body: Vec<u8>,
}

fn sent(
    secrets: &Secrets,
    uri: &str,
    fields: &[(&'static str, String)],
    body: &str,
    allowed: &[usize],
) -> Result<Sent, String> {
    let mut sent = Sent {
        uri: uri.parse().expect("a URI"),
        fields: http::HeaderMap::new(),
        body: body.as_bytes().to_vec(),
    };
    for (name, value) in fields {
        sent.fields.append(*name, value.parse().expect("a value"));
    }
    let mut outgoing = Outgoing {
        uri: &mut sent.uri,
        fields: &mut sent.fields,
        body: &mut sent.body,
        trailers: None,
    };
    secrets.put_in(&mut outgoing, allowed).map_err(|error| error.to_string())?;
    Ok(sent)
}

#[test]
fn a_pattern_names_a_secret_and_a_host_that_is_private() {
    for good in [
        "GITHUB_TOKEN@https://api.github.com",
        "A@POST https://*.example.org",
        "_k2@http://127.0.0.1:8080",
        "K@http://localhost",
    ] {
        let pattern: SecretPattern = good.parse().expect(good);
        assert_eq!(pattern.to_string(), good);
    }
    for (bad, says) in [
        ("TOKEN", "names no host"),
        ("TOKEN@", "TOKEN@"),
        ("@https://example.org", "is no name"),
        ("TO KEN@https://example.org", "is no name"),
        ("TOKEN@http://example.org", "over https"),
        ("TOKEN@http://10.0.0.1", "over https"),
        ("TOKEN@*", "hosts that are named"),
        ("TOKEN@https://*", "hosts that are named"),
        ("TOKEN@https://example.org/path", "path"),
        ("TOKEN@ftp://example.org", "scheme"),
        ("TOKEN@https://user@example.org", "TOKEN@"),
    ] {
        let error = bad.parse::<SecretPattern>().expect_err(bad).to_string();
        assert!(error.contains(says), "{bad}: {error}");
    }
}

#[test]
fn placeholders_follow_from_their_seed_and_name_alone() {
    assert_eq!(placeholder(&SEED, "A"), placeholder(&SEED, "A"));
    assert_ne!(placeholder(&SEED, "A"), placeholder(&SEED, "B"));
    assert_ne!(placeholder(&SEED, "A"), placeholder(&[8; 32], "A"));
    assert!(placeholder(&SEED, "A").len() >= 32);
}

#[test]
fn values_are_put_where_their_placeholders_stand() {
    let secrets = secrets(&[("K", "0123456789+/\"ab cd")]);
    let held = &secrets.held()[0].placeholder;
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("me:{held}"));
    let fields = [
        ("authorization", format!("Basic {basic}")),
        ("x-key", format!("key={held};{held}")),
        ("content-type", "application/json; charset=utf-8".to_owned()),
    ];
    let uri = format!("https://api.example.org/p?a={held}&b=1");
    let body = format!(r#"{{"key":"{held}"}}"#);
    let sent = sent(&secrets, &uri, &fields, &body, &[0]).expect("fits");
    assert_eq!(sent.uri.query(), Some("a=0123456789%2B%2F%22ab%20cd&b=1"));
    assert_eq!(sent.fields["x-key"], "key=0123456789+/\"ab cd;0123456789+/\"ab cd");
    assert!(sent.fields["x-key"].is_sensitive());
    let basic = sent.fields["authorization"].to_str().expect("text");
    let decoded = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &basic[6..]);
    assert_eq!(decoded.expect("base64"), b"me:0123456789+/\"ab cd");
    assert_eq!(sent.body, br#"{"key":"0123456789+/\"ab cd"}"#);
    assert_eq!(sent.fields["accept-encoding"], "identity");
    let form = [("content-type", "application/x-www-form-urlencoded".to_owned())];
    let uri = "https://api.example.org/";
    let sent = super::tests::sent(&secrets, uri, &form, &format!("k={held}"), &[0]).expect("fits");
    assert_eq!(sent.body, b"k=0123456789%2B%2F%22ab%20cd");
}

#[test]
fn nothing_is_put_into_a_path_or_where_it_is_not_granted() {
    let secrets = secrets(&[("A", "aaaaaaaaaaaaaaaaaaaa"), ("B", "bbbbbbbbbbbbbbbbbbbb")]);
    let (a, b) = (&secrets.held()[0].placeholder, &secrets.held()[1].placeholder);
    let uri = format!("https://api.example.org/x{a}y?q={a}{b}");
    let fields = [("x-a", a.clone()), ("x-b", b.clone())];
    let sent = sent(&secrets, &uri, &fields, &format!("{b}{a}{b}"), &[0]).expect("fits");
    assert_eq!(sent.uri.path(), "/xy");
    assert_eq!(sent.uri.query(), Some("q=aaaaaaaaaaaaaaaaaaaa"));
    assert_eq!(sent.fields["x-a"], "aaaaaaaaaaaaaaaaaaaa");
    assert_eq!(sent.fields["x-b"], "");
    assert_eq!(sent.body, b"aaaaaaaaaaaaaaaaaaaa");
}

#[test]
fn a_value_that_a_field_cannot_hold_is_an_error_without_it() {
    let secrets = secrets(&[("K", "two\r\nX-Injected: lines")]);
    let fields = [("x-key", secrets.held()[0].placeholder.clone())];
    let error = sent(&secrets, "https://api.example.org/", &fields, "", &[0]).err();
    let error = error.expect("refused");
    assert!(error.contains("`x-key`") && !error.contains("Injected"), "{error}");
}

#[test]
fn every_common_form_of_a_value_is_masked() {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    let secrets = secrets(&[("K", TOKEN)]);
    let scrubber = secrets.scrubber().expect("one");
    let json = serde_json::Value::from(TOKEN).to_string();
    let form: String = url::form_urlencoded::byte_serialize(TOKEN.as_bytes()).collect();
    let mut query = url::Url::parse("https://x.org").expect("a URL");
    query.set_query(Some(TOKEN));
    let mut texts = vec![
        TOKEN.to_owned(),
        json[1..json.len() - 1].to_owned(),
        json[1..json.len() - 1].replace('/', "\\/"),
        form,
        TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect(),
        TOKEN.bytes().map(|byte| format!("{byte:02X}")).collect(),
        TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    ];
    for before in ["", "x", "xy", "user:"] {
        for after in ["", "z", "zz"] {
            let text = format!("{before}{TOKEN}{after}");
            texts.push(BASE64_STANDARD.encode(&text));
            texts.push(BASE64_URL_SAFE_NO_PAD.encode(&text));
        }
    }
    for text in texts {
        let mut bytes = format!("<{text}>").into_bytes();
        assert!(scrubber.mask(&mut bytes), "{text}");
        assert_eq!(bytes.len(), text.len() + 2);
        let masked = String::from_utf8_lossy(&bytes);
        let left: String = masked.chars().filter(|c| *c != '*').collect();
        // Of base64 the signs that the neighbours share may stay: less than three bytes' worth.
        assert!(left.len() <= 2 + 14, "{text} left {left}");
    }
}

#[test]
fn fields_are_masked_and_a_name_that_holds_a_value_goes() {
    let secrets = secrets(&[("K", "abcdefghijklmnopqrst")]);
    let mut fields = http::HeaderMap::new();
    fields.insert("location", "https://x.org/?k=abcdefghijklmnopqrst".parse().expect("a value"));
    fields.insert("abcdefghijklmnopqrst", "1".parse().expect("a value"));
    fields.insert("x-other", "kept".parse().expect("a value"));
    secrets.scrubber().expect("one").mask_fields(&mut fields);
    assert_eq!(fields["location"], "https://x.org/?k=********************");
    assert_eq!(fields["x-other"], "kept");
    assert_eq!(fields.len(), 2);
}

#[test]
fn refused_without_a_value_with_a_short_one_or_with_too_many() {
    let pattern = |name: &str| -> SecretPattern {
        format!("{name}@https://example.org").parse().expect("a pattern")
    };
    let error = Secrets::new(&[pattern("K")], &[], &SEED).expect_err("refused").to_string();
    assert!(error.contains("aos-host secret set K"), "{error}");
    let short = [("K".to_owned(), SecretString::from("fifteen bytes!!".to_owned()))];
    let error = Secrets::new(&[pattern("K")], &short, &SEED).expect_err("refused").to_string();
    assert!(error.contains("15 bytes") && !error.contains("fifteen"), "{error}");
    let names: Vec<String> = (0..=SECRETS_MAX).map(|at| format!("K{at}")).collect();
    let patterns: Vec<_> = names.iter().map(|name| pattern(name)).collect();
    let values: Vec<_> = names
        .iter()
        .map(|name| (name.clone(), SecretString::from(format!("value of secret {name}"))))
        .collect();
    assert!(Secrets::new(&patterns, &values, &SEED).is_err());
    assert!(Secrets::new(&patterns[1..], &values, &SEED).is_ok());
}

#[test]
fn nothing_prints_a_value() {
    let secrets = secrets(&[("K", "abcdefghijklmnopqrst")]);
    let printed = format!("{:?}", secrets.held());
    assert!(!printed.contains("abcdefghij"), "{printed}");
}

proptest! {
    /// However a body is cut, what comes out is what comes out of the whole.
    #[test]
    fn a_body_is_masked_the_same_in_any_pieces(
        value in "[a-z+/ \"]{16,40}",
        parts in prop::collection::vec(
            prop_oneof![Just(None), Just(Some(false)), Just(Some(true))], 0..6),
        noise in "[a-z+/ \"]{0,60}",
        cuts in prop::collection::vec(0usize..400, 0..20),
    ) {
        let secrets = secrets(&[("K", &value)]);
        let scrubber = secrets.scrubber().expect("one");
        let mut text = String::new();
        for part in parts {
            match part {
                None => text.push_str(&noise),
                Some(false) => text.push_str(&value),
                // A beginning that does not go on.
                Some(true) => text.push_str(&value[..value.len() - 1]),
            }
        }
        let mut whole = text.clone().into_bytes();
        scrubber.mask(&mut whole);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        let mut stream = scrubber.stream();
        let (mut out, mut from) = (Vec::new(), 0);
        for cut in cuts.into_iter().chain([text.len()]) {
            out.extend_from_slice(&stream.next(&text.as_bytes()[from..cut]));
            from = cut;
        }
        out.extend_from_slice(&stream.end());
        prop_assert_eq!(out, whole);
    }

    /// No text that holds a value still holds it.
    #[test]
    fn a_masked_text_holds_no_value(
        value in "[ -~]{16,60}",
        before in "[ -~]{0,20}",
        after in "[ -~]{0,20}",
    ) {
        let secrets = secrets(&[("K", &value)]);
        let mut text = format!("{before}{value}{after}").into_bytes();
        secrets.scrubber().expect("one").mask(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        prop_assert!(!text.contains(&value), "{text}");
    }

    /// Whatever a request is made of, a placeholder that is not granted leaves nothing behind.
    #[test]
    fn what_is_not_granted_is_taken_out(
        before in "[a-z0-9=&-]{0,30}", after in "[a-z0-9=&-]{0,30}", times in 1usize..5,
    ) {
        let secrets = secrets(&[("K", "abcdefghijklmnopqrst")]);
        let held = &secrets.held()[0].placeholder;
        let text = format!("{before}{}{after}", held.repeat(times));
        let uri = format!("https://api.example.org/?{text}");
        let fields = [("x-key", text.clone())];
        let sent = sent(&secrets, &uri, &fields, &text, &[]).expect("fits");
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        prop_assert_eq!(&body, &format!("{before}{after}"));
        prop_assert!(!sent.uri.to_string().contains(&**held));
        prop_assert!(!sent.fields["x-key"].to_str().expect("text").contains(&**held));
        prop_assert!(!body.contains("abcdefghijklmnopqrst"));
    }
}
