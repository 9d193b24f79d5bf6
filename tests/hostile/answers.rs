//! Guests whose answers are bombs, or lies, or addressed to a terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aos_host::kernel::SessionOptions;
use aos_host::sandbox::host::call::{Progress, ProgressReport};
use aos_host::types::Reply;

use super::house::{Ending, call, house, limits, options};
use super::liar::{Liar, Lie, honest};

fn answer(liar: &Liar) -> Ending {
    house().beside_a_neighbour(&liar.plugin(), &options(limits(), &[]), &call("tool"))
}

#[test]
fn a_deep_answer_is_refused_before_it_nests() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    answer(&Liar::answering(&deep)).bad_answer("not JSON: recursion limit exceeded");
}

#[test]
fn an_answer_that_is_no_json_is_the_guests_fault() {
    answer(&Liar::answering("{\"a\":")).bad_answer("its structured output is not JSON");
    answer(&Liar::answering("")).bad_answer("its structured output is not JSON");
}

#[test]
fn an_answer_of_many_keys_is_whole_or_over_the_limit() {
    let keys = |count: usize| {
        let keys: Vec<_> = (0..count).map(|number| format!("\"{number}\":0")).collect();
        format!("{{{}}}", keys.join(","))
    };
    let ending = answer(&Liar::answering(&keys(100_000)));
    let Ok(Reply::Output(output, _)) = &ending.reply else { panic!("{:?}", ending.sentence()) };
    let structured = output.structured.as_ref().and_then(|value| value.as_object());
    assert_eq!(structured.map(serde_json::Map::len), Some(100_000));
    let liar = Liar::answering(&keys(200_000));
    let mut options = options(limits(), &[]);
    options.limits.output_bytes = 1_000_000;
    house().beside_a_neighbour(&liar.plugin(), &options, &call("tool")).by_limit("output");
}

#[test]
fn an_answer_that_breaks_its_own_schema_is_the_guests_fault() {
    let schema = r#"{"type":"object","required":["total"]}"#;
    let tools = [Lie { output: Some(schema.into()), ..honest("tool") }];
    let liar = Liar { tools: tools.into(), ..Liar::answering("{}") };
    answer(&liar).bad_answer("its output breaks its own schema");
}

#[test]
fn a_flood_of_progress_is_cut_and_its_messages_are_short() {
    // "progress" of a MiB of escape codes, over and over, then an answer.
    let liar = Liar {
        text: format!("\u{1b}[2J{}", "x".repeat(4_000)),
        ..Liar::doing(
            "(local $n i32) (loop $again \
               (call $progress (f64.const nan) (i32.const 1) (f64.const -1) \
                 (i32.const 65544) (i32.const 4)) \
               (local.set $n (i32.add (local.get $n) (i32.const 1))) \
               (br_if $again (i32.lt_u (local.get $n) (i32.const 50000)))) \
             unreachable",
        )
    };
    let heard = Arc::new(AtomicU64::new(0));
    let hears = Arc::clone(&heard);
    let progress = move |report: ProgressReport| {
        assert_eq!((report.done, report.total), (0.0, Some(0.0)));
        assert!(report.message.chars().all(|c| !c.is_control()), "{report:?}");
        hears.fetch_add(1, Ordering::Relaxed);
    };
    let progress = Some(Progress(Arc::new(progress)));
    let options = SessionOptions { progress, ..options(limits(), &[]) };
    house().once(&liar.plugin(), &options, &call("tool")).crashed("unreachable");
    assert_eq!(heard.load(Ordering::Relaxed), 10_000);
}
