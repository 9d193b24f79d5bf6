//! `agent!`, the loop and the typed wrappers from outside, as an agent's author uses them.

use std::time::Duration;

use aos_sdk::agent::{Error, Loop, Part};
use aos_sdk::context::{self, Draft, PageKind};
use aos_sdk::model::{self, Message, Options, Role, StopReason, ToolChoice};
use aos_sdk::process::{self, Ending, Event, Pid, Spawn, Wait};
use aos_sdk::testing::{Kernel, Prompt, Script, Turn};
use aos_sdk::{Denial, Output, ToolError, agent, call, fs, log, plugin, tool, toolbox};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

#[path = "agent/imports.rs"]
mod imports;

#[derive(Deserialize, JsonSchema)]
struct Double {
    /// The number.
    number: i64,
}

/// Doubles a number.
#[tool(read_only, idempotent)]
fn double(arguments: Double) -> i64 {
    arguments.number * 2
}

fn run(task: String) -> Result<String, Error> {
    Loop::new().system("You test.").turns_max(4).own_tool::<double>().run(&task)
}

fn resume(task: String, state: Vec<u8>) -> Result<String, Error> {
    let state = String::from_utf8_lossy(&state).into_owned();
    Ok(format!("{task} from {state}"))
}

agent!(run, resume);

mod tools {
    use super::*;
    plugin!(double);
}

fn kernel(script: Script) -> Kernel {
    Kernel::new().model(script).tool("weather__today", |_| Ok(Output::text("rain")))
}

#[test]
fn the_loop_returns_the_text_of_the_turn_that_ends() {
    let script = Script::new()
        .turn(Turn::call("weather__today", json!({ "city": "Oslo" })))
        .turn_after("rain", Turn::say("There: {{last_result}}."));
    let outcome = kernel(script).run(program, "The weather?");
    assert_eq!(outcome.text(), "There: rain.");
    assert_eq!(outcome.calls.len(), 1);
    let kinds: Vec<PageKind> =
        outcome.processes[0].pages.iter().map(|(page, _)| page.kind).collect();
    let expected = [
        PageKind::System,
        PageKind::Task,
        PageKind::ToolCall,
        PageKind::ToolResult,
        PageKind::Assistant,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn the_calls_of_one_turn_run_at_once_and_are_answered_in_order() {
    let slow = Duration::from_secs(3);
    let turn = Turn::call("a__slow", json!({})).and_call("a__fast", "{}").and_call("a__slow", "");
    let outcome = Kernel::new()
        .model(Script::new().turn(turn).turn(Turn::say("done")))
        .tool_that_takes(slow, "a__slow", |_| Ok(Output::text("slow")))
        .tool_that_takes(Duration::from_secs(1), "a__fast", |_| Ok(Output::text("fast")))
        .run(program, "Go");
    assert_eq!(outcome.text(), "done");
    assert_eq!(outcome.elapsed, slow);
    let results: Vec<String> =
        outcome.prompts[1].pages[5..].iter().map(|(_, parts)| format!("{parts:?}")).collect();
    assert!(results[0].contains("call-") && results[0].contains("slow"), "{results:?}");
    assert!(results[1].contains("fast") && results[2].contains("slow"), "{results:?}");
}

#[test]
fn a_tool_that_was_not_offered_goes_back_to_the_model() {
    let script = Script::new()
        .turn(Turn::call("files__remove", json!({})).and_call("weather__today", "{}"))
        .turn(Turn::say("sorry"));
    let outcome = kernel(script).run(program, "Go");
    assert_eq!(outcome.text(), "sorry");
    assert!(outcome.prompts[1].text().contains("there is no tool named files__remove"));
    assert!(outcome.prompts[1].text().contains("rain"), "the other call was made");
    assert_eq!(outcome.calls.len(), 1, "the tool that is not offered was not reached");
}

#[test]
fn a_tool_that_the_agent_holds_and_did_not_offer_is_not_called() {
    fn narrow(task: String) -> Result<String, String> {
        Loop::new().tools(["b__b"]).run(&task).map_err(|error| error.to_string())
    }
    let outcome = Kernel::new()
        .model(Script::new().turn(Turn::call("a__a", json!({}))).turn(Turn::say("ok")))
        .tool("a__a", |_| Ok(Output::text("reached")))
        .tool("b__b", |_| Ok(Output::text("reached")))
        .run(narrow, "Go");
    assert_eq!(outcome.text(), "ok");
    assert_eq!(outcome.prompts[0].tools, ["b__b"]);
    assert!(outcome.calls.is_empty());
}

#[test]
fn arguments_that_are_no_object_go_back_to_the_model() {
    for (arguments, reason) in [("{\"city\": ", "no JSON"), ("[1]", "must be a JSON object")] {
        let script = Script::new()
            .turn(Turn::default().and_call("weather__today", arguments))
            .turn_after(reason, Turn::say("sorry"));
        let outcome = kernel(script).run(program, "Go");
        assert_eq!(outcome.text(), "sorry");
        assert!(outcome.calls.is_empty());
    }
}

#[test]
fn no_arguments_are_an_empty_object() {
    let script =
        Script::new().turn(Turn::default().and_call("weather__today", "")).turn(Turn::say("ok"));
    let outcome = kernel(script).run(program, "Go");
    assert_eq!(outcome.calls[0].arguments, json!({}));
}

#[test]
fn own_tools_are_answered_by_the_agent_itself() {
    let script = Script::new()
        .turn(Turn::call("double", json!({ "number": 21 })))
        .turn_after("42", Turn::call("double", json!({ "number": "x" })))
        .turn_after("invalid arguments: number", Turn::say("done"));
    let outcome = kernel(script).run(program, "Go");
    assert_eq!(outcome.text(), "done");
    assert!(outcome.prompts[0].tools.contains(&"double".to_owned()));
    assert!(outcome.calls.is_empty(), "no toolbox was asked");
}

#[test]
fn the_turn_limit_is_a_clear_error() {
    let turn = || Turn::call("weather__today", json!({}));
    let script = (0..5).fold(Script::new(), |script, _| script.turn(turn()));
    let outcome = kernel(script).run(program, "Go");
    let expected = "the model gave no answer within 4 turns; give it more with `turns_max`, \
                    beside `task` in the JSON of its task, or make the task smaller";
    assert_eq!(outcome.error(), expected);
    assert_eq!(outcome.prompts.len(), 4);
}

#[test]
fn a_refusal_ends_the_agent_with_the_models_words() {
    let refusal = StopReason::Refusal("not this".to_owned());
    let script = Script::new().turn(Turn::say("no").stopped_by(refusal));
    assert_eq!(kernel(script).run(program, "x").error(), "the model refused to go on: not this");
}

#[test]
fn a_reply_that_was_cut_goes_on() {
    let script = Script::new()
        .turn(Turn::say("one, two, ").stopped_by(StopReason::MaxOutput))
        .turn_after("cut off", Turn::say("three"));
    assert_eq!(kernel(script).run(program, "Count").text(), "one, two, three");
}

#[test]
fn a_reply_that_was_cut_before_a_word_is_an_error() {
    let cut = Turn::default().thinking("hm").stopped_by(StopReason::MaxOutput);
    let outcome = kernel(Script::new().turn(cut)).run(program, "Count");
    assert!(outcome.error().contains("raise max_output_tokens"), "{}", outcome.error());
}

#[test]
fn an_end_without_a_word_is_asked_about_once() {
    let script = Script::new().turn(Turn::default()).turn_after("final answer", Turn::say("42"));
    assert_eq!(kernel(script).run(program, "x").text(), "42");
    let script = Script::new().turn(Turn::default()).turn(Turn::say(" \n"));
    let expected = "the model stopped without an answer: it said nothing, and nothing again when \
                    asked for its answer";
    assert_eq!(kernel(script).run(program, "x").error(), expected);
}

#[test]
fn an_unknown_stop_reason_is_told() {
    let stop = StopReason::Other("content_filter".to_owned());
    let script = Script::new().turn(Turn::say("…").stopped_by(stop));
    let expected = "the model stopped without an answer: content_filter";
    assert_eq!(kernel(script).run(program, "x").error(), expected);
}

#[test]
fn a_result_that_does_not_fit_the_context_is_told_to_the_model() {
    let outcome = Kernel::new()
        .model(
            Script::new()
                .turn(Turn::call("a__big", json!({})))
                .turn_after("ask for less", Turn::say("I will")),
        )
        .tool("a__big", |_| Ok(Output::text("x".repeat(5000))))
        .window_tokens(1000)
        .run(program, "Go");
    assert_eq!(outcome.text(), "I will");
}

#[test]
fn errors_of_tools_and_models_arrive() {
    let denied = || ToolError::Denied(Denial::new("read", "/x", "--allow-read HOST:/x"));
    let outcome = Kernel::new()
        .model(
            Script::new()
                .turn(Turn::call("files__read_file", json!({ "path": "/x" })))
                .turn_after("--allow-read HOST:/x", Turn::say("I may not.")),
        )
        .tool("files__read_file", move |_| Err(denied()))
        .run(program, "Read");
    assert_eq!(outcome.text(), "I may not.");
    let script = Script::new().error(model::Error::Unavailable("no route".to_owned()));
    assert_eq!(kernel(script).run(program, "x").error(), "the model is unavailable: no route");
}

#[test]
fn a_resumable_agent_goes_on_from_its_state() {
    let outcome = Kernel::new().run(|task| resumed(task, b"page 7".to_vec()), "Read");
    assert_eq!(outcome.text(), "Read from page 7");
}
