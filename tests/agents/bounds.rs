//! Sizes: of a request, of a tool's answer, of what is kept of those who have ended.

use std::time::Duration;

use aos_host::scheduler::{CutOptions, Limits, Scope};
use aos_host::types::{Ending, Standing, Waiting};

use super::house::House;
use crate::support::{User, plugin};

#[test]
fn a_large_answer_of_a_tool_ends_no_agent() {
    let user = User::new();
    std::fs::create_dir(user.folder().join("w")).expect("creates");
    let large: String = (0..6_000).map(|line| format!("line {line:04}\n")).collect();
    assert!(large.len() >= 60_000);
    std::fs::write(user.folder().join("w/large.txt"), large).expect("writes");
    let script = "[[turn]]\ncall = [{ tool = \"files__read_file\", \
                  arguments = { path = \"/w/large.txt\" } }]\n\n\
                  [[turn]]\nsay = \"read it\"\n";
    std::fs::write(user.folder().join("s.toml"), script).expect("writes");
    let (program, files) = (plugin("assistant"), plugin("files"));
    let run = ["run", &program, "--store", "memory:", "--task", "read", "--plugin", &files];
    let with = ["--allow-read", "./w:/w", "--model", "script:s.toml"];
    let ran = user.run(&[&run[..], &with].concat()).expect(0);
    assert!(ran.stdout.contains("read it"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_host_on_requests_replaces_the_usual_one_of_agents() {
    let house = House::new().await;
    // 100,000 bytes are about 25,000 tokens.
    let ending = house.run("complete 100000").await;
    assert!(ending.text().contains("--request-tokens"), "{ending:?}");
    let agents = house.kernel.agents().expect("agents");
    let limits = Limits { request_tokens: Some(60_000), ..Limits::FREE };
    agents.set_limits(Scope::Host, limits).await.expect("set");
    let ending = house.run("complete 100000").await;
    assert!(!ending.text().contains("request"), "{ending:?}");
    let mut spec = house.rogue("complete 100000");
    spec.request_tokens = Some(5_000);
    let pid = house.spawn(spec).await;
    let ending = house.ended(pid).await;
    assert!(ending.text().contains("5000"), "its own limit holds as well: {ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_is_cut_for_a_more_urgent_agent_and_made_again() {
    let house = House::with(|options| {
        options.model_slots = 1;
        options.schedule.cut = Some(CutOptions { points: 20 });
    })
    .await;
    let spawn = async |script: &str, text: &str, priority: u8| {
        let mut spec = house.rogue("count 1");
        spec.model = Some(house.script(script, text));
        spec.priority = Some(priority);
        house.spawn(spec).await
    };
    let slow = spawn("slow", "[[turn]]\nsay = \"late\"\ndelay_ms = 3000\n", 90).await;
    house.stands(slow, Standing::Waiting(Waiting::Model)).await;
    let agents = house.kernel.agents().expect("agents");
    let is_in_flight = || agents.provider_slots().iter().any(|(_, slots)| slots.running == 1);
    while !is_in_flight() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let quick = spawn("quick", "[[turn]]\nsay = \"now\"\n", 10).await;
    assert_eq!(house.ended(quick).await, Ending::Returned("now".into()));
    assert!(agents.show(slow).expect("is").ending.is_none(), "it was not cut");
    assert_eq!(house.ended(slow).await, Ending::Returned("late".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_cuts_long_answers_and_one_agent_has_its_own_whole() {
    let house = House::new().await;
    let pid = house.spawn(house.rogue("result 500000")).await;
    house.ended(pid).await;
    let agents = house.kernel.agents().expect("agents");
    let listed = agents.list().into_iter().find(|view| view.pid == pid).expect("listed");
    let listed = listed.ending.expect("ended");
    assert_eq!(listed.text().chars().count(), 1_000);
    let whole = agents.show(pid).expect("is").ending.expect("ended");
    assert_eq!(whole.text().len(), 500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_kept_up_to_a_size() {
    let house = House::with(|options| options.exited_bytes_max = 1_000_000).await;
    for _ in 0..4 {
        let pid = house.spawn(house.rogue("result 400000")).await;
        let ending = house.ended(pid).await;
        assert!(matches!(ending, Ending::Returned(_)));
    }
    let agents = house.kernel.agents().expect("agents");
    assert_eq!(agents.list().len(), 2, "{:?}", agents.list());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_bounded_in_bytes_too() {
    let house = House::with(|options| options.mailbox_bytes_max = 100_000).await;
    let pid = house.spawn(house.rogue("sleep")).await;
    let agents = house.kernel.agents().expect("agents");
    agents.pause(pid).await.expect("lives");
    agents.send(pid, "x".repeat(60_000)).await.expect("fits");
    let error = agents.send(pid, "x".repeat(60_000)).await.expect_err("is full").to_string();
    assert!(error.contains("mailbox") && error.contains("100000 bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tool_of_a_plugin_is_passed_on_by_its_name() {
    let house = House::new().await;
    let spawned = async |task: &str| {
        let mut spec = house.rogue(task);
        spec.plugins = vec!["calculator".into(), "files".into()];
        let pid = house.spawn(spec).await;
        house.ended(pid).await
    };
    let ending = spawned("spawn-tools files__read_file").await;
    assert!(!ending.text().contains("Denied"), "{ending:?}");
    let ending = spawned("spawn-tools files__no_such").await;
    assert!(ending.text().contains("Denied"), "{ending:?}");
}

#[test]
fn what_cannot_be_is_refused_before_anything_runs() {
    let user = User::new();
    let program = plugin("assistant");
    let run = ["run", &program, "--store", "memory:", "--task", "x", "--model", "script:none"];
    for (flags, says) in [
        (["--max-tokens", "0"], "--max-tokens is 0"),
        (["--context-budget", "0"], "--context-budget is 0"),
        (["--request-tokens", "0"], "--request-tokens is 0"),
        (["--max-cost", "0"], "--max-cost is 0"),
        (["--name", "7"], "`7` is a number"),
    ] {
        user.run(&[&run[..], &flags].concat()).complains(2, &[says]);
    }
}

#[test]
fn time_that_is_spent_ends_a_run_at_once() {
    let user = User::new();
    let slow = "[[turn]]\nsay = \"late\"\ndelay_ms = 3600000\n";
    std::fs::write(user.folder().join("s.toml"), slow).expect("writes");
    let program = plugin("assistant");
    let began = std::time::Instant::now();
    let run = ["run", &program, "--store", "memory:", "--task", "x", "--model", "script:s.toml"];
    let flags = ["--max-time", "500ms", "--patience", "600s"];
    user.run(&[&run[..], &flags].concat()).complains(7, &["wall time"]);
    assert!(began.elapsed() < std::time::Duration::from_secs(120), "{:?}", began.elapsed());
}

#[test]
fn the_team_runs_with_its_script_and_without_the_grant_says_what_is_missing() {
    let user = User::new();
    let program = plugin("team");
    let demo = crate::support::top().join("plugins/team/demo.toml");
    let model = format!("script:{}", demo.display());
    let folder = crate::support::dist().display().to_string();
    let run = ["run", &program, "--store", "memory:", "--plugin-path", &folder];
    let task = ["--task", "Write a function that reverses a string", "--model", &model];
    let run = [&run[..], &task].concat();
    let ran = user.run(&[&run[..], &["--allow-spawn", "assistant"]].concat()).expect(0);
    assert!(ran.stdout.contains("reverse"), "{ran:?}");
    let ran = user.run(&run);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stderr.matches("--allow-spawn assistant").count(), 1, "{ran:?}");
}
