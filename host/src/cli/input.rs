//! A tool's arguments: `--input` as JSON, `@file` or `-`, or `--arg key=value`.

use std::io::Read;

use serde_json::Value;

use super::exit::Failure;

/// Arguments larger than this are no arguments.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// The object that `--input` means.
///
/// # Errors
/// One sentence: what is not JSON, and where.
pub fn object(text: &str) -> Result<Value, Failure> {
    let (origin, json) = match text {
        "-" => ("stdin".to_owned(), read("stdin", std::io::stdin().lock())?),
        text => match text.strip_prefix('@') {
            Some(path) => {
                let file = std::fs::File::open(path)
                    .map_err(|error| Failure::usage(format!("--input {text}: {error}")))?;
                (path.to_owned(), read(path, file)?)
            }
            None => ("--input".to_owned(), text.to_owned()),
        },
    };
    let value: Value = serde_json::from_str(&json).map_err(|error| {
        Failure::usage(format!(
            "{origin} is not JSON: {error}; write an object like {{\"key\": \"value\"}}, @FILE or -"
        ))
    })?;
    match value {
        Value::Object(_) => Ok(value),
        other => {
            let kind = match other {
                Value::Array(_) => "an array",
                Value::String(_) => "a string",
                Value::Number(_) => "a number",
                Value::Bool(_) => "a boolean",
                Value::Null | Value::Object(_) => "null",
            };
            Err(Failure::usage(format!("{origin} must be a JSON object, and is {kind}")))
        }
    }
}

/// The text that `--task` means: itself, @FILE, or - for stdin.
///
/// # Errors
/// One sentence: what cannot be read.
pub fn text(text: &str) -> Result<String, Failure> {
    match (text, text.strip_prefix('@')) {
        ("-", _) => read("stdin", std::io::stdin().lock()),
        (_, Some(path)) => {
            let file = std::fs::File::open(path)
                .map_err(|error| Failure::usage(format!("--task {text}: {error}")))?;
            read(path, file)
        }
        (text, None) => Ok(text.to_owned()),
    }
}

fn read(origin: &str, source: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    source
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("{origin}: {error}")))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::usage(format!("{origin} is larger than {INPUT_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{origin} is not UTF-8")))
}

/// `key=value` pairs, cut at the first `=`.
///
/// # Errors
/// When there is no `=`.
pub fn pairs(arguments: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    let mut pairs = Vec::with_capacity(arguments.len());
    for argument in arguments {
        pairs.push(
            argument
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--arg {argument}: write key=value")))?,
        );
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_an_object_or_one_sentence() {
        assert_eq!(object("{\"a\":1}").expect("an object")["a"], 1);
        for (text, says) in [
            ("{", "--input is not JSON"),
            ("[1]", "and is an array"),
            ("null", "and is null"),
            ("@/no/such/file", "--input @/no/such/file"),
        ] {
            let sentence = object(text).expect_err(text).sentence;
            assert!(sentence.contains(says), "{text}: {sentence}");
        }
        let bomb = "[".repeat(100_000);
        assert!(object(&bomb).expect_err("a bomb").sentence.contains("recursion limit"));
    }

    #[test]
    fn pairs_are_cut_at_the_first_equals() {
        let arguments = ["a=b=c".to_owned()];
        assert_eq!(pairs(&arguments).expect("a pair"), [("a", "b=c")]);
        assert!(pairs(&["a".to_owned()]).is_err());
    }
}
