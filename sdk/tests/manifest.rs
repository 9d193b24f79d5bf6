//! `plugin.toml` as tests read it.

use aos_sdk::testing::{Host, Manifest};
use aos_sdk::{plugin, tool};

/// Says hello.
#[tool(read_only)]
fn hello() -> &'static str {
    "hello"
}

plugin!(hello);

const HEAD: &str = "name = 'p'\nversion = '0.1.0'\ndescription = 'd'\n";

#[test]
fn an_example_that_does_not_hold_is_named() {
    let text = format!("{HEAD}[[examples]]\ntool = 'hello'\ninput = {{}}\ntext = 'bye'\n");
    let manifest = Manifest::parse(&text).expect("a manifest");
    let error = manifest.check_examples(&Host::new(), &plugin()).expect_err("it does not hold");
    assert_eq!(error, "hello {}: the text is \"hello\", not \"bye\"");
}

#[test]
fn unknown_keys_and_capabilities_are_errors() {
    let error = Manifest::parse(&format!("{HEAD}grant = 1\n")).expect_err("an unknown key");
    assert!(error.contains("grant"), "{error}");
    let text = format!("{HEAD}[[grants]]\nask = 'disk:*'\nreason = 'r'\n");
    let error = Manifest::parse(&text).expect_err("no capability");
    assert_eq!(error, "disk:*: a grant is capability:pattern");
}
