//! The forms in which a value may come back: itself, base64, percent-encoded, in JSON, in hex,
//! in HTML. Pure.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// Characters that encoders of queries, forms and paths leave as they are, each in its own way:
/// RFC 3986, `encodeURIComponent`, forms of HTML, and those that leave nothing.
const KEPT: [&[u8]; 4] = [b"-._~", b"-_.!~*'()", b"*-._", b""];
/// What is left of a base64 form must be long enough to be no chance.
const BASE64_BYTES_MIN: usize = 16;

/// All forms of a value, without doubles.
pub(super) fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![value.as_bytes().to_vec()];
    for kept in KEPT {
        for upper in [true, false] {
            for plus in [true, false] {
                forms.push(percent(value.as_bytes(), kept, upper, plus));
            }
        }
    }
    for upper in [true, false] {
        let each = value.bytes().flat_map(|byte| [b'%'].into_iter().chain(hex_of(byte, upper)));
        forms.push(each.collect());
    }
    forms.extend(json(value));
    for engine in [&BASE64_STANDARD_NO_PAD, &BASE64_URL_SAFE_NO_PAD] {
        for before in 0..3 {
            forms.extend(base64_after(engine, value.as_bytes(), before));
        }
    }
    // Base64 in a query or in JSON has its own signs escaped once more.
    for form in forms.clone() {
        if form.iter().any(|byte| matches!(byte, b'+' | b'/')) {
            let text = String::from_utf8_lossy(&form).into_owned();
            forms.push(percent(text.as_bytes(), b"-._~", true, false));
            forms.push(percent(text.as_bytes(), b"-._~", false, false));
            forms.push(text.replace('/', "\\/").into_bytes());
        }
    }
    let hex =
        |upper: bool| -> Vec<u8> { value.bytes().flat_map(|byte| hex_of(byte, upper)).collect() };
    forms.extend([hex(true), hex(false), html(value)]);
    forms.sort_unstable();
    forms.dedup();
    forms
}

fn hex_of(byte: u8, upper: bool) -> [u8; 2] {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// Percent-encoded but for letters, digits and `kept`; a space as `+` where forms have it so.
pub(super) fn percent(value: &[u8], kept: &[u8], upper: bool, plus: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 3);
    for byte in value {
        match byte {
            b' ' if plus => out.push(b'+'),
            byte if byte.is_ascii_alphanumeric() || kept.contains(byte) => out.push(*byte),
            byte => {
                out.push(b'%');
                out.extend(hex_of(*byte, upper));
            }
        }
    }
    out
}

/// As JSON strings have it: with and without `\/`, and with all but ASCII escaped.
fn json(value: &str) -> Vec<Vec<u8>> {
    let plain = json_escaped(value);
    let ascii = |upper: bool, all: bool| {
        let mut out = String::new();
        for c in plain.chars() {
            let escaped = !c.is_ascii() || (all && matches!(c, '<' | '>' | '&' | '\'' | '='));
            match escaped {
                false => out.push(c),
                true => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&match upper {
                            true => format!("\\u{unit:04X}"),
                            false => format!("\\u{unit:04x}"),
                        });
                    }
                }
            }
        }
        out
    };
    let mut texts = vec![plain.clone()];
    for upper in [true, false] {
        for all in [true, false] {
            texts.push(ascii(upper, all));
        }
    }
    let slashed: Vec<String> = texts.iter().map(|text| text.replace('/', "\\/")).collect();
    texts.into_iter().chain(slashed).map(String::into_bytes).collect()
}

/// The inside of a JSON string.
pub(super) fn json_escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What of the base64 of a text is the same whatever stands before and after `value` in it, when
/// `before` bytes (modulo three) stand before it.
fn base64_after(
    engine: &base64::engine::GeneralPurpose,
    value: &[u8],
    before: usize,
) -> Option<Vec<u8>> {
    let mut text = vec![0; before];
    text.extend_from_slice(value);
    let encoded = engine.encode(&text).into_bytes();
    // A sign has six bits: the first that has none of what stands before, and the last that has
    // none of what follows.
    let first = (before * 8).div_ceil(6);
    let last = text.len() * 8 / 6;
    let inner = encoded.get(first..last)?;
    (inner.len() >= BASE64_BYTES_MIN).then(|| inner.to_vec())
}

/// As text in HTML and XML.
fn html(value: &str) -> Vec<u8> {
    let escaped = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&quot;").replace('\'', "&#39;").into_bytes()
}
