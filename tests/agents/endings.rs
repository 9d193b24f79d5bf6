//! Agents are ended whatever they wait for, and all below them first.

use std::time::Duration;

use aos_host::types::{Ending, Standing, Waiting};

use super::house::House;

/// Ends an agent that waits so.
async fn ends_while(house: &House, pid: aos_host::types::Pid, standing: Standing) {
    house.stands(pid, standing).await;
    let agents = house.kernel.agents().expect("agents");
    agents.end(pid, "the test").expect("lives");
    assert_eq!(house.ended(pid).await, Ending::Killed("the test".into()), "{standing}");
    house.neighbour().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_while_it_waits_for_its_model() {
    let house = House::new().await;
    let slow = house.script("slow", "[[turn]]\nsay = \"late\"\ndelay_ms = 3600000\n");
    let mut spec = house.rogue("count 1");
    spec.model = Some(slow);
    let pid = house.spawn(spec).await;
    ends_while(&house, pid, Standing::Waiting(Waiting::Model)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_while_it_waits_for_room_in_a_budget() {
    let house = House::new().await;
    let mut spec = house.rogue("count 10");
    spec.max_calls = Some(1);
    let pid = house.spawn(spec).await;
    ends_while(&house, pid, Standing::Waiting(Waiting::Quota)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_while_it_is_paused() {
    let house = House::new().await;
    let pid = house.spawn(house.rogue("sleep")).await;
    house.stands(pid, Standing::Waiting(Waiting::Message)).await;
    house.kernel.agents().expect("agents").pause(pid).await.expect("lives");
    ends_while(&house, pid, Standing::Paused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_while_it_waits_for_a_child_which_ends_with_it() {
    let house = House::new().await;
    let slow = house.script("slow", "[[turn]]\nsay = \"late\"\ndelay_ms = 3600000\n");
    let mut spec = house.rogue("spawn-tokens 5000");
    spec.model = Some(slow);
    let pid = house.spawn(spec).await;
    ends_while(&house, pid, Standing::Waiting(Waiting::Child)).await;
    let agents = house.kernel.agents().expect("agents");
    let children: Vec<_> =
        agents.list().into_iter().filter(|view| view.parent == Some(pid)).collect();
    assert_eq!(children.len(), 1, "{children:?}");
    for child in children {
        let ending = house.ended(child.pid).await;
        assert!(matches!(ending, Ending::Killed(_)), "{ending:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_while_it_waits_for_a_tool_slot() {
    // One slot, which nobody gives back: the pool has none to start with.
    let house = House::with(|options| options.schedule.tool_slots = 0).await;
    let mut spec = house.rogue("call calculator__calculate {\"expression\":\"1+1\"}");
    spec.plugins = vec!["calculator".into()];
    let pid = house.spawn(spec).await;
    ends_while(&house, pid, Standing::Waiting(Waiting::Tool)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_agents_than_a_host_takes_are_refused_with_the_limit_and_room_comes_back() {
    let house = House::with(|options| options.schedule.agents_max = 2).await;
    let first = house.spawn(house.rogue("sleep")).await;
    let _second = house.spawn(house.rogue("sleep")).await;
    let error = house.refused(house.rogue("echo x")).await.to_string();
    assert!(error.contains("agents of 2") && error.contains("--agents-max"), "{error}");
    let agents = house.kernel.agents().expect("agents");
    agents.end(first, "the test").expect("lives");
    house.ended(first).await;
    // Its place is free when it has left, a moment after its end is told.
    let came = async {
        let third = house.spawn(house.rogue("echo x")).await;
        house.ended(third).await
    };
    let ending = tokio::time::timeout(Duration::from_secs(60), came).await.expect("ends");
    assert_eq!(ending, Ending::Returned("x".into()));
}
