use std::time::Duration;

use aos_sdk::process::Ending;
use aos_sdk::testing::{Kernel, Manifest, Script, Turn};

use super::*;

const PLAN: &str = r#"{"architect": "Draw.", "developer": "Build.", "tester": "Test."}"#;

fn team() -> Kernel {
    Kernel::new().program("assistant", assistant::program)
}

fn ends(kernel: Kernel, name: &str, seconds: u64, ending: Ending) -> Kernel {
    kernel.child_ends(name, Duration::from_secs(seconds), ending)
}

fn returns(kernel: Kernel, name: &str, seconds: u64, text: &str) -> Kernel {
    ends(kernel, name, seconds, Ending::Returned(text.to_owned()))
}

#[test]
fn the_manifest_is_well_formed() {
    Manifest::parse(include_str!("../plugin.toml")).expect("a manifest");
}

#[test]
fn the_demo_ends_with_one_answer_of_four_assistants() {
    let script = Script::parse(include_str!("../demo.toml")).expect("a script");
    let outcome = team().model(script).run(program, "Write a function that reverses a string");
    assert!(outcome.text().contains("text.chars().rev().collect()"), "{}", outcome.text());
    let names: Vec<_> =
        outcome.processes[1..].iter().map(|child| (child.name.as_str(), child.priority)).collect();
    let expected = [("Architect", 60), ("Developer", 65), ("Tester", 70), ("Documenter", 80)];
    assert_eq!(names, expected);
    assert!(outcome.processes.iter().all(|child| matches!(child.ending, Ending::Returned(_))));
    // 300 ms to split, 500 for the design, 900 for the slowest of three at once, 300 to answer.
    assert_eq!(outcome.elapsed, Duration::from_millis(2000));
}

#[test]
fn the_design_is_in_the_tasks_of_those_that_build_on_it() {
    let kernel = returns(team(), "Architect", 2, "A circle.");
    let kernel = returns(returns(kernel, "Developer", 1, "built"), "Tester", 3, "tested");
    let script = Script::new().turn(Turn::say(PLAN)).turn(Turn::say("done"));
    let outcome = kernel.model(script).run(program, "Go");
    assert_eq!(outcome.text(), "done");
    assert!(outcome.process("Tester").task.contains("design:\\nA circle."));
    assert!(!outcome.process("Architect").task.contains("A circle."));
    assert_eq!(outcome.elapsed, Duration::from_secs(5));
    let told = outcome.prompts[1].text();
    let order = ["Architect:\nA circle.", "Developer:\nbuilt", "Tester:\ntested"];
    let places: Vec<_> = order.iter().map(|text| told.find(text).expect(text)).collect();
    assert!(places.is_sorted(), "as they ended: {told}");
    assert_eq!(outcome.prompts[1].tools, Vec::<String>::new());
}

#[test]
fn who_does_not_finish_is_told_and_the_others_count() {
    let kernel = ends(team(), "Architect", 1, Ending::LimitExceeded("tokens".to_owned()));
    let kernel = ends(kernel, "Developer", 1, Ending::Trapped("broken".to_owned()));
    let kernel = returns(kernel, "Tester", 1, "tested");
    let script = Script::new().turn(Turn::say(PLAN)).turn(Turn::say("partly"));
    let outcome = kernel.model(script).run(program, "Go");
    assert_eq!(outcome.text(), "partly");
    let told = outcome.prompts[1].text();
    assert!(told.contains("The Architect did not finish: it reached a limit: tokens"), "{told}");
    assert!(told.contains("The Developer did not finish: it broke: broken"), "{told}");
}

#[test]
fn a_team_of_which_nobody_finishes_fails_with_the_reasons() {
    let plan = r#"{"architect": "Draw."}"#;
    let kernel = ends(team(), "Architect", 1, Ending::Killed("by a person".to_owned()));
    let outcome = kernel.model(Script::new().turn(Turn::say(plan))).run(program, "Go");
    let expected = "nobody finished: The Architect did not finish: it was ended: by a person";
    assert_eq!(outcome.error(), expected);
}

#[test]
fn a_missing_assistant_is_named() {
    let script = Script::new().turn(Turn::say(r#"{"tester": "Test."}"#));
    let outcome = Kernel::new().model(script).run(program, "Go");
    assert!(outcome.error().contains("no program named assistant"), "{}", outcome.error());
}

#[test]
fn a_team_that_is_less_urgent_gives_its_children_its_own_priority() {
    let plan = r#"{"architect": "Draw.", "documenter": "Write."}"#;
    let kernel = returns(returns(team(), "Architect", 1, "a"), "Documenter", 1, "b");
    let script = Script::new().turn(Turn::say(plan)).turn(Turn::say("done"));
    let outcome = kernel.priority(75).model(script).run(program, "Go");
    assert_eq!(outcome.text(), "done");
    assert_eq!(outcome.process("Architect").priority, 75);
    assert_eq!(outcome.process("Documenter").priority, 80);
}

#[test]
fn what_is_said_meanwhile_reaches_the_final_answer() {
    let kernel = returns(team(), "Architect", 9, "a");
    let kernel = kernel.message_after(Duration::from_secs(3), "In French, please.");
    let script =
        Script::new().turn(Turn::say(r#"{"architect": "Draw."}"#)).turn(Turn::say("voilà"));
    let outcome = kernel.model(script).run(program, "Go");
    assert_eq!(outcome.text(), "voilà");
    assert!(outcome.prompts[1].text().contains("In French, please."));
}

#[test]
fn a_plan_that_is_none_is_asked_for_again_three_times_at_most() {
    let kernel = returns(team(), "Tester", 1, "t");
    let script = Script::new()
        .turn(Turn::say("I would rather not."))
        .turn_after("no JSON object", Turn::say(r#"{"tester": "Test."}"#))
        .turn(Turn::say("done"));
    assert_eq!(kernel.model(script).run(program, "Go").text(), "done");
    let script = (0..4).fold(Script::new(), |script, _| script.turn(Turn::say("no")));
    let outcome = team().model(script).run(program, "Go");
    assert!(outcome.error().contains("no plan in 3 tries"), "{}", outcome.error());
    assert_eq!(outcome.prompts.len(), 3);
}
