//! Guests that want more memory, stack or room than they may have.

use std::fmt::Write;
use std::sync::Arc;

use aos_host::kernel::{Fault, Plugin};
use aos_host::sandbox::limits::Limits;
use aos_host::types::{Reply, Syscall};

use super::house::{Ending, call, command, guest, house, limits, options};

fn ending(guest: &Arc<Plugin>, what: &Syscall) -> Ending {
    house().beside_a_neighbour(guest, &options(limits(), &[]), what)
}

#[test]
fn one_growing_memory_ends_at_the_limit() {
    let ending = ending(&guest("memory-one.wat"), &command(&[]));
    ending.by_limit("memory");
    let sentence = ending.sentence();
    assert!(sentence.contains("33554432 bytes") && sentence.contains("--max-memory"), "{sentence}");
}

#[test]
fn many_memories_are_summed() {
    ending(&guest("memory-many.wat"), &call("f")).by_limit("memory");
}

#[test]
fn tables_are_memory_too() {
    ending(&guest("tables.wat"), &command(&[])).by_limit("memory");
}

#[test]
fn asking_again_after_a_refusal_only_spends_time() {
    let limits = Limits { wall: std::time::Duration::from_millis(300), ..limits() };
    let stubborn = guest("memory-stubborn.wat");
    let ending = house().beside_a_neighbour(&stubborn, &options(limits, &[]), &command(&[]));
    ending.by_limit("time");
}

#[test]
fn a_thousand_empty_memories_are_too_many() {
    let mut text = String::from("(component (core module $memory (memory 0))");
    for _ in 0..1_001 {
        text.push_str("(core instance (instantiate $memory))");
    }
    text.push_str(
        r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))
           (func (export "f") (canon lift (core func $i "f"))))"#,
    );
    match house().load("memories", text.as_bytes()) {
        Ok(plugin) => {
            let ending = ending(&plugin, &call("f"));
            assert!(ending.reply.is_err(), "{ending:?}");
            assert!(ending.sentence().contains("limit"), "{ending:?}");
        }
        Err(refused) => assert!(matches!(refused, Fault::Plugin(_)), "{refused}"),
    }
}

#[test]
fn recursion_ends_at_the_stack() {
    let ending = ending(&guest("recursion.wat"), &command(&[]));
    ending.by_limit("stack");
    assert!(ending.sentence().contains("524288 bytes"), "{}", ending.sentence());
}

#[test]
fn a_result_of_four_gigabytes_that_are_not_there_is_the_guests_crash() {
    ending(&guest("result.wat"), &call("lie")).crashed("");
}

#[test]
fn a_text_over_the_limit_names_the_output() {
    let ending = ending(&guest("result.wat"), &call("text"));
    ending.by_limit("output");
    assert!(ending.sentence().contains("--max-output"), "{}", ending.sentence());
}

#[test]
fn a_result_that_grows_in_the_host_is_ended_before_it_has_grown() {
    for name in ["bytes", "shared", "list-of-options"] {
        ending(&guest("result.wat"), &call(name)).by_limit("host-call");
    }
}

/// A function whose body is nothing but blocks in blocks.
fn deep_module(depth: usize) -> String {
    let mut text = String::from(r#"(module (memory (export "memory") 1) (func (export "_start")"#);
    text.push_str(&"block ".repeat(depth));
    text.push_str(&"end ".repeat(depth));
    text.push_str("))");
    text
}

/// Many functions that are not called.
fn wide_module(functions: usize) -> String {
    let mut text = String::from(r#"(module (memory (export "memory") 1) (func (export "_start"))"#);
    for number in 0..functions {
        write!(
            text,
            "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const {number})))"
        )
        .expect("writes");
    }
    text.push(')');
    text
}

#[test]
fn a_module_of_many_functions_compiles_and_runs() {
    let loaded = house().load("wide", wide_module(20_000).as_bytes()).expect("loads");
    let ending = ending(&loaded, &command(&[]));
    assert!(matches!(ending.reply, Ok(Reply::Exit(0, _))), "{ending:?}");
}

#[test]
fn a_module_of_deep_blocks_compiles_and_runs_or_is_refused() {
    match house().load("deep", deep_module(50_000).as_bytes()) {
        Ok(loaded) => {
            let ending = ending(&loaded, &command(&[]));
            assert!(matches!(ending.reply, Ok(Reply::Exit(0, _))), "{ending:?}");
        }
        Err(refused) => assert!(matches!(refused, Fault::Plugin(_)), "{refused}"),
    }
}

#[test]
fn more_functions_or_a_larger_one_than_the_standard_allows_are_refused() {
    let module = wide_module(1_000_001);
    let refused = house().load("too-wide", module.as_bytes()).expect_err("too many functions");
    assert!(matches!(refused, Fault::Plugin(_)), "{refused}");
    let module = deep_module(4_000_000);
    let refused = house().load("too-deep", module.as_bytes()).expect_err("too large a body");
    assert!(matches!(refused, Fault::Plugin(_)), "{refused}");
}
