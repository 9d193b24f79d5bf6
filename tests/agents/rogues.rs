//! Agents that misbehave: each ends as it should, and its neighbour does not notice.

use aos_host::types::Ending;

use super::house::House;

fn text(ending: &Ending) -> &str {
    ending.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_answer_and_its_own_error_are_told_apart() {
    let house = House::new().await;
    assert_eq!(house.run("echo hello there").await, Ending::Returned("hello there".into()));
    assert_eq!(house.run("fail of itself").await, Ending::Failed("of itself".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_the_end_of_its_agent_alone() {
    let house = House::new().await;
    for task in ["trap", "abort"] {
        let ending = house.run(task).await;
        assert!(matches!(ending, Ending::Trapped(_)), "{task}: {ending:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_ended_and_a_neighbour_lives_beside_it() {
    let house = House::new().await;
    let tasks =
        ["spin", "chatter", "clock-forever", "random-forever", "sleep", "mail-ring", "doze 600000"];
    for task in tasks {
        house.outlives(task).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_answers_have_a_limit_that_is_named() {
    let house = House::new().await;
    for (task, limit) in [("allocate-all", "memory"), ("result 100000000", "output")] {
        let ending = house.run(task).await;
        assert!(matches!(&ending, Ending::Limit(_)), "{task}: {ending:?}");
        assert!(text(&ending).contains(&format!("limit {limit} of")), "{task}: {ending:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_ambient_is_there() {
    let house = House::new().await;
    let ending = house.run("ambient").await;
    let Ending::Returned(found) = &ending else { panic!("{ending:?}") };
    assert!(!found.contains("HOME") && !found.contains("/etc"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_a_context_are_told_and_end_nothing() {
    let house = House::new().await;
    for (task, says) in [
        ("result-without-call", "OutOfOrder"),
        ("system-late", "OutOfOrder"),
        ("free-twice", "NoSuchPage"),
    ] {
        let ending = house.run(task).await;
        assert!(text(&ending).contains(says), "{task}: {ending:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_a_bound_that_is_named() {
    let house = House::with(|options| options.stored_bytes_max = 1 << 20).await;
    let ending = house.run("append 10000 100000").await;
    assert!(text(&ending).contains("StorageFull"), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_not_held_is_unknown_whatever_its_name() {
    let house = House::new().await;
    let ending = house.run("call files__read_file {}").await;
    assert!(text(&ending).contains("UnknownTool"), "{ending:?}");
    let mut spec = house.rogue("call files__raed_file {}");
    spec.plugins = vec!["files".into()];
    let pid = house.spawn(spec).await;
    let ending = house.ended(pid).await;
    assert!(text(&ending).contains("did you mean `files__read_file`?"), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_has_no_more_than_its_agents_grants() {
    let house = House::new().await;
    std::fs::create_dir(house.path("data")).expect("creates");
    std::fs::write(house.path("data/a.txt"), "inside").expect("writes");
    let task = "call files__read_file {\"path\":\"/data/a.txt\"}";
    let mut spec = house.rogue(task);
    spec.plugins = vec!["files".into()];
    let pid = house.spawn(spec.clone()).await;
    let ending = house.ended(pid).await;
    assert!(text(&ending).contains("Denied"), "{ending:?}");
    spec.allow = vec![format!("read:{}:/data", house.path("data").display())];
    let pid = house.spawn(spec).await;
    let ending = house.ended(pid).await;
    assert!(text(&ending).contains("inside"), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tool_calls_at_once_are_all_answered_in_order() {
    let house = House::new().await;
    let mut spec = house.rogue("call-all 100 calculator__calculate {\"expression\":\"6*7\"}");
    spec.plugins = vec!["calculator".into()];
    let pid = house.spawn(spec).await;
    let ending = house.ended(pid).await;
    assert!(matches!(&ending, Ending::Returned(_)), "{ending:?}");
    assert!(text(&ending).contains("42") || text(&ending).contains("100"), "{ending:?}");
    let shown = house.kernel.agents().expect("agents").show(pid).expect("is");
    assert_eq!(shown.usage.tool_calls, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_clock_moves_and_its_random_numbers_differ() {
    let house = House::new().await;
    for task in ["clock 20000", "random 1000"] {
        let ending = house.run(task).await;
        assert!(matches!(&ending, Ending::Returned(_)), "{task}: {ending:?}");
    }
}
