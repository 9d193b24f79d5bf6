//! What goes by a name: environment variables, configuration values, keys of a bucket.

use self::bindings::wasi::config::store as configuration;
use self::bindings::wasi::keyvalue::store::{self, Bucket, Error};
use self::bindings::wasi::keyvalue::{atomics, batch};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "names", generate_all });
}

/// The variables of these names, and how many there are in all.
pub fn environment(wanted: &[&str]) {
    let all = wasip2::cli::environment::get_environment();
    for name in wanted {
        let value = all.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        println!("{name}: {}", value.map_or("none", String::as_str));
    }
    println!("{} in all", all.len());
}

/// The values of these keys, and how many there are in all.
pub fn config(wanted: &[&str]) {
    for key in wanted {
        let value = configuration::get(key).expect("no error");
        println!("{key}: {}", value.as_deref().unwrap_or("none"));
    }
    println!("{} in all", configuration::get_all().expect("no error").len());
}

/// One operation a step on the keys of a bucket. Ends with 1 when one was refused.
pub fn keys(bucket: &str, steps: &[&str]) {
    let opened = match store::open(bucket) {
        Ok(opened) => opened,
        Err(error) => {
            println!("open {bucket}: {}", word(&error));
            std::process::exit(1);
        }
    };
    let mut refused = 0;
    for step in steps {
        let words: Vec<&str> = step.split(' ').collect();
        match one(&opened, &words) {
            Ok(said) => println!("{step}: ok {said}"),
            Err(error) => {
                println!("{step}: {}", word(&error));
                refused = 1;
            }
        }
    }
    std::process::exit(refused);
}

fn one(bucket: &Bucket, words: &[&str]) -> Result<String, Error> {
    let done = |()| String::new();
    let text = |value: Option<Vec<u8>>| match value {
        Some(value) => String::from_utf8_lossy(&value).into_owned(),
        None => "none".to_owned(),
    };
    match *words {
        ["get", key] => bucket.get(key).map(text),
        ["set", key, value] => bucket.set(key, value.as_bytes()).map(done),
        ["delete", key] => bucket.delete(key).map(done),
        ["exists", key] => bucket.exists(key).map(|there| there.to_string()),
        ["list"] => bucket.list_keys(None).map(|page| page.keys.join(",")),
        ["increment", key, delta] => {
            let delta = delta.parse().expect("a number");
            atomics::increment(bucket, key, delta).map(|sum| sum.to_string())
        }
        ["set-many", ref keys @ ..] => {
            let pair = |key: &&str| (key.to_string(), b"many".to_vec());
            batch::set_many(bucket, &keys.iter().map(pair).collect::<Vec<_>>()).map(done)
        }
        ["get-many", ref keys @ ..] => {
            let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
            batch::get_many(bucket, &keys).map(|found| found.iter().flatten().count().to_string())
        }
        ["delete-many", ref keys @ ..] => {
            let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
            batch::delete_many(bucket, &keys).map(done)
        }
        _ => panic!("no such step: {words:?}"),
    }
}

fn word(error: &Error) -> &str {
    match error {
        Error::NoSuchStore => "no-such-store",
        Error::AccessDenied => "access-denied",
        Error::Other(text) => text,
    }
}
