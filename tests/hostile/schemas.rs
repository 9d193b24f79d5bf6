//! Guests that lie about their tools.

use std::net::TcpListener;
use std::time::Duration;

use aos_host::sandbox::limits::Limits;
use aos_host::types::{Reply, Syscall};

use super::house::{Ending, call, house, limits, options};
use super::liar::{Liar, Lie, honest, taking};

fn told(liar: &Liar) -> Ending {
    house().once(&liar.plugin(), &options(limits(), &[]), &Syscall::Definitions)
}

/// What the host says of a tool with this input schema.
fn said_of(schema: &str) -> Ending {
    told(&Liar::telling(&[taking(schema)]))
}

#[test]
fn an_honest_catalogue_is_believed() {
    let ending = told(&Liar::telling(&[honest("one"), honest("two")]));
    let Ok(Reply::Definitions(tools)) = &ending.reply else { panic!("{ending:?}") };
    assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_schema_that_is_no_json_is_the_guests_fault() {
    said_of("{").bad_answer("the input schema of `tool` is not JSON");
    said_of(&"[".repeat(10_000)).bad_answer("is not JSON: recursion limit exceeded");
}

#[test]
fn a_schema_that_is_no_schema_of_an_object_is_the_guests_fault() {
    said_of("true").bad_answer("is no object schema");
    said_of(r#"{"type":"array"}"#).bad_answer("is no object schema");
    said_of(r#"{"type":"object","properties":5}"#).bad_answer("is no JSON Schema");
}

#[test]
fn two_tools_of_one_name_are_the_guests_fault() {
    told(&Liar::telling(&[honest("same"), honest("same")])).bad_answer("the tool `same` twice");
}

#[test]
fn names_outside_the_rule_are_the_guests_fault() {
    let long = "x".repeat(49);
    for name in ["", "Upper", "1st", "a-b", "a b", "naïve", "\u{1b}[2J", "../x", &long] {
        told(&Liar::telling(&[honest(name)])).bad_answer("its tool name");
    }
}

#[test]
fn ten_thousand_tools_are_too_many() {
    let many: Vec<Lie> = (0..10_000).map(|number| honest(&format!("t{number}"))).collect();
    told(&Liar::telling(&many)).bad_answer("it has 10000 tools; at most 1000");
}

#[test]
fn a_pattern_that_explodes_is_refused() {
    let schema = |pattern: &str| {
        format!(r#"{{"type":"object","properties":{{"a":{{"pattern":"{pattern}"}}}}}}"#)
    };
    said_of(&schema("((a{1,1000}){1,1000}){1,1000}")).bad_answer("is no JSON Schema");
    said_of(&schema("(?=a)b")).bad_answer("is no JSON Schema");
}

#[test]
fn a_pattern_that_would_backtrack_does_not() {
    let schema = r#"{"type":"object","properties":{"a":{"type":"string","pattern":"^(a|a|a)*$"}}}"#;
    let liar = Liar::telling(&[taking(schema)]);
    let arguments = serde_json::json!({ "a": format!("{}!", "a".repeat(5_000)) });
    let what = Syscall::Call { tool: None, arguments };
    let ending = house().once(&liar.plugin(), &options(limits(), &[]), &what);
    assert!(ending.sentence().contains("$.a"), "{ending:?}");
}

#[test]
fn a_reference_to_elsewhere_is_refused_and_not_fetched() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("set");
    let address = server.local_addr().expect("bound");
    let reference = format!("http://{address}/schema.json");
    said_of(&format!(r#"{{"type":"object","properties":{{"a":{{"$ref":"{reference}"}}}}}}"#))
        .bad_answer("is no JSON Schema");
    said_of(&format!(r#"{{"$schema":"{reference}","type":"object"}}"#));
    let file = "file:///etc/hostname";
    said_of(&format!(r#"{{"type":"object","properties":{{"a":{{"$ref":"{file}"}}}}}}"#))
        .bad_answer("is no JSON Schema");
    let nobody = server.accept().expect_err("nobody has called");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_crash_in_the_catalogue_is_the_guests() {
    let crash = |code: &str| Liar { definitions: Some(code.into()), ..Liar::default() };
    told(&crash("unreachable")).crashed("unreachable");
    let exit = "(call $exit (i32.const 0)) unreachable";
    told(&crash(exit)).crashed("exited with code 0 instead of answering");
    // The list lies outside of its memory.
    let outside = "(i32.store (i32.const 0) (i32.const 16)) \
                   (i32.store (i32.const 4) (i32.const 100000000)) (i32.const 0)";
    told(&crash(outside)).crashed("");
}

#[test]
fn a_catalogue_that_never_comes_ends_by_its_time() {
    let code = "(loop $again (br $again)) unreachable";
    let liar = Liar { definitions: Some(code.into()), ..Liar::default() };
    let short = Limits { wall: Duration::from_millis(300), ..limits() };
    house()
        .beside_a_neighbour(&liar.plugin(), &options(short, &[]), &Syscall::Definitions)
        .by_limit("time");
}

#[test]
fn an_exit_inside_a_call_is_no_answer() {
    let liar = Liar::doing("(call $exit (i32.const 0)) unreachable");
    let ending = house().beside_a_neighbour(&liar.plugin(), &options(limits(), &[]), &call("tool"));
    ending.crashed("exited with code 0 instead of answering");
}
