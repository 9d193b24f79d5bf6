//! Children, mail and budgets: authority only shrinks, and nobody is left waiting for ever.

use aos_host::types::Ending;

use super::house::House;

#[tokio::test(flavor = "multi_thread")]
async fn children_and_depth_have_bounds_and_all_children_end_with_their_parent() {
    let house = House::with(|options| options.children_max = 20).await;
    let ending = house.run("spawn-forever").await;
    assert!(ending.text().contains("20 children, then"), "{ending:?}");
    assert!(ending.text().contains("children") && ending.text().contains("LimitExceeded"));
    let ending = house.run("spawn-deep").await;
    assert!(ending.text().contains("depth"), "{ending:?}");
    let agents = house.kernel.agents().expect("agents");
    for view in agents.list() {
        house.ended(view.pid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_ended_with_its_parents_name() {
    let house = House::new().await;
    let ending = house.run("orphan").await;
    let child = aos_host::types::Pid(ending.text().parse().expect("a pid"));
    let ending = house.ended(child).await;
    assert!(matches!(&ending, Ending::Killed(why) if why.contains("its parent")), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_never_holds_what_its_parent_lacks() {
    let house = House::new().await;
    for (task, says) in [
        ("spawn-grants read:/etc:/etc", "Denied"),
        ("spawn-tools files", "Denied"),
        ("spawn-priority 3", "Denied"),
        ("spawn-program assistant", "Denied"),
    ] {
        let ending = house.run(task).await;
        assert!(ending.text().contains(says), "{task}: {ending:?}");
    }
    let mut spec = house.rogue("spawn-tokens 5000");
    spec.max_tokens = Some(1_000);
    let pid = house.spawn(spec).await;
    let ending = house.ended(pid).await;
    assert!(ending.text().contains("Denied"), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_the_grant_starts_no_child() {
    let house = House::new().await;
    let mut spec = house.rogue("spawn-priority 50");
    spec.spawn = Vec::new();
    let pid = house.spawn(spec).await;
    let ending = house.ended(pid).await;
    assert!(ending.text().contains("--allow-spawn rogue"), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_bounded_and_tells_so() {
    let house = House::with(|options| options.mailbox_max = 100).await;
    let ending = house.run("flood-self 1000").await;
    assert!(ending.text().contains("100 messages, then"), "{ending:?}");
    assert!(ending.text().contains("MailboxFull"), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_comes_in_order_and_from_the_operator_too() {
    let house = House::new().await;
    let pid = house.spawn(house.rogue("mail 3")).await;
    let agents = house.kernel.agents().expect("agents");
    for body in ["one", "two", "three"] {
        agents.send(pid, body.into()).await.expect("lives");
    }
    assert_eq!(house.ended(pid).await, Ending::Returned("one\ntwo\nthree".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_come_is_not_waited_for() {
    let house = House::new().await;
    for task in ["wait-self", "wait 999", "wait-nothing", "kill-self", "kill 999"] {
        let ending = house.run(task).await;
        assert!(ending.text().contains("NoSuchProcess"), "{task}: {ending:?}");
    }
    // A child cannot wait for its parent, nor end it.
    for task in ["wait-ring", "kill-parent"] {
        let ending = house.run(task).await;
        assert!(ending.text().contains("NoSuchProcess"), "{task}: {ending:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_agent_stands_still_and_goes_on() {
    let house = House::new().await;
    let slow = house.script("slow", "[[turn]]\nsay = \"word\"\ndelay_ms = 20\nrepeat = 1000\n");
    let mut spec = house.rogue("count 10");
    spec.model = Some(slow);
    let pid = house.spawn(spec).await;
    let agents = house.kernel.agents().expect("agents");
    agents.pause(pid).await.expect("lives");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let before = agents.show(pid).expect("is");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let after = agents.show(pid).expect("is");
    assert_eq!(after.usage.model_calls, before.usage.model_calls, "{after:?}");
    assert_eq!(after.standing, aos_host::types::Standing::Paused);
    agents.resume(pid).await.expect("lives");
    let ended = tokio::time::timeout(super::house::PATIENCE, house.ended(pid)).await;
    let ended = ended.unwrap_or_else(|_| panic!("it does not go on: {:?}", agents.show(pid)));
    assert!(matches!(ended, Ending::Returned(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_pauses_and_a_raised_one_goes_on() {
    use aos_host::scheduler::{Limits, Scope};
    use aos_host::types::{Standing, Waiting};
    let house = House::new().await;
    let mut spec = house.rogue("count 10");
    spec.max_calls = Some(4);
    let pid = house.spawn(spec).await;
    let agents = house.kernel.agents().expect("agents");
    let waits = async {
        while agents.show(pid).expect("is").standing != Standing::Waiting(Waiting::Quota) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::house::PATIENCE, waits).await.expect("it waits for its budget");
    let shown = agents.show(pid).expect("is");
    assert_eq!(shown.usage.model_calls, 4);
    assert!(shown.reason.is_some_and(|reason| reason.contains("4 model calls are spent")));
    agents.set_limits(Scope::Tree(pid), Limits::FREE).await.expect("set");
    assert!(matches!(house.ended(pid).await, Ending::Returned(_)));
}
