//! Memories of agents that live: what leaves the window is in the store, what is asked for comes
//! back, and nothing of it needs the agent afterwards.

use aos_host::config::agent::AgentSpec;
use aos_host::kernel::contexts::{Remembered, find};
use aos_host::pager::{Entry, Kind, Tokenizer};
use aos_host::types::{Ending, Pid};

use super::house::House;

/// A model that says a lot, and never the same.
fn chatter(turns: usize) -> String {
    let words = ["harbour", "violin", "glacier", "saffron", "lantern", "orchard", "compass"];
    let say = |n: usize| {
        let word = |at: usize| words[(n * 5 + at * (1 + n % 3)) % words.len()];
        let own = |at: usize| format!("{} {}{n}", word(at), word(at + 1));
        (0..30).map(own).collect::<Vec<_>>().join(" ")
    };
    (0..turns).map(|n| format!("[[turn]]\nsay = \"turn {n}: {}\"\n", say(n))).collect()
}

/// A rogue that talks with a model of this script, in a small window.
async fn talker(
    house: &House,
    script: &str,
    task: &str,
    change: impl FnOnce(&mut AgentSpec),
) -> Pid {
    let mut spec = house.rogue(task);
    spec.model = Some(house.script("talk", script));
    spec.context_tokens = Some(1_200);
    change(&mut spec);
    house.spawn(spec).await
}

async fn remembered(house: &House, pid: Pid) -> Remembered {
    let store = house.kernel.storage();
    let record = find(&**store, &pid.to_string()).await.expect("has pages");
    Remembered::read(&**store, record, true).await.expect("reads")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_a_small_window_is_in_the_store_and_comes_back_by_itself() {
    let house = House::new().await;
    let pid = talker(&house, &chatter(40), "count 40", |_| {}).await;
    assert!(matches!(house.ended(pid).await, Ending::Returned(_)));
    let all = remembered(&house, pid).await;
    let (usage, figures) = (all.state.usage, all.state.figures);
    assert_eq!((all.pages.len(), figures.prompts, all.damaged_count), (80, 40, 0));
    assert!(usage.evictions >= 2 && usage.resident_tokens <= 1_200, "{usage:?}");
    assert!(all.entries.iter().any(|entry| matches!(entry, Entry::Stub(_))));
    assert!(all.pages.iter().filter(|kept| !kept.page.resident).count() > 20);
    for (turn, kept) in all.pages.iter().enumerate().filter(|(_, k)| k.page.kind == Kind::Assistant)
    {
        assert!(all.texts[turn].starts_with(&format!("turn {}: ", kept.page.id.0 / 2)));
    }
    assert!(figures.user_turns > 0 && figures.recalled_turns > 0, "{figures:?}");
    assert!(figures.recalled_tokens <= 250 * figures.recalled_turns, "{figures:?}");
    assert!(figures.prefix_tokens * 2 > figures.prompt_tokens, "{figures:?}");
    assert!(figures.prompt_tokens / figures.prompts <= 1_200, "{figures:?}");
    let items = all.known_items(&all.index());
    assert!(items.asked > 10 && items.found * 10 >= items.asked * 7, "{items:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recalled_by_itself_where_that_is_switched_off() {
    let house = House::new().await;
    let quiet = |spec: &mut AgentSpec| spec.no_auto_recall = true;
    let pid = talker(&house, &chatter(40), "count 40", quiet).await;
    assert!(matches!(house.ended(pid).await, Ending::Returned(_)));
    let figures = remembered(&house, pid).await.state.figures;
    assert_eq!((figures.prompts, figures.user_turns, figures.recalled_tokens), (40, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_agent_makes_the_same_memory_again() {
    let house = House::new().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let pid = talker(&house, &chatter(40), "count 40", |_| {}).await;
        assert!(matches!(house.ended(pid).await, Ending::Returned(_)));
        let all = remembered(&house, pid).await;
        seen.push((all.entries, all.pages, all.state.usage, all.state.figures));
    }
    assert!(seen[0] == seen[1], "{:?}\n{:?}", seen[0].3, seen[1].3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_counts_more_gets_smaller_prompts() {
    let house = House::new().await;
    let script: String =
        chatter(30).replace("[[turn]]\n", "[[turn]]\nusage = { input = 2400, output = 60 }\n");
    let pid = talker(&house, &script, "count 30", |_| {}).await;
    assert!(matches!(house.ended(pid).await, Ending::Returned(_)));
    let state = remembered(&house, pid).await.state;
    assert!(state.factor.ratio() > 1.5, "{:?}", state.factor);
    assert!(state.usage.budget_tokens < 800, "{:?}", state.usage);
    assert_eq!(state.figures.provider_tokens, 30 * 2_400);
    // The next agent of that model begins with what was learnt.
    let pid = talker(&house, &chatter(1), "count 1", |_| {}).await;
    assert!(matches!(house.ended(pid).await, Ending::Returned(_)));
    assert!(remembered(&house, pid).await.state.factor.ratio() > 1.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_finds_and_reads_its_own_pages_with_tools() {
    let house = House::new().await;
    let script = r#"
[[turn]]
call = [{ tool = "recall", arguments = { query = "what is the code word?" } }]
[[turn]]
expect = "pelican"
call = [{ tool = "read_page", arguments = { page = 1, from = 4 } }]
[[turn]]
expect = "code word is pelican"
call = [
    { tool = "read_page", arguments = { page = 99 } },
    { tool = "recall", arguments = { words = 1 } },
]
[[turn]]
expect = "unknown field"
say = "found"
"#;
    let spec = AgentSpec {
        program: "assistant".into(),
        task: "The code word is pelican.".into(),
        model: Some(house.script("memory", script)),
        tokenizer: Tokenizer::Chars4,
        ..AgentSpec::default()
    };
    let pid = house.spawn(spec).await;
    assert_eq!(house.ended(pid).await, Ending::Returned("found".into()));
    let all = remembered(&house, pid).await;
    // Answers to recalls are copies, and are not recalled themselves.
    let echoes = all.pages.iter().filter(|kept| kept.echo);
    assert!(echoes.clone().count() == 4 && echoes.clone().all(|k| k.page.kind == Kind::ToolResult));
    assert_eq!((all.state.figures.recalls, all.state.figures.recalls_answered), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_below_the_task_is_refused_at_spawn_with_the_number() {
    let house = House::new().await;
    let mut spec = house.rogue(&format!("echo {}", "word ".repeat(2_000)));
    spec.context_tokens = Some(1_000);
    let refused = house.try_spawn(spec).await.expect_err("too small").to_string();
    // 2,000 words and 256 tokens of room.
    assert!(refused.contains("at least 22") && refused.contains("--context-budget"), "{refused}");
    house.neighbour().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_a_page_and_its_failure_changes_nothing() {
    let house = House::new().await;
    let say = "[[turn]]\nexpect = \"[page \"\nsay = \"they spoke of harbours\"\nrepeat = 1000\n";
    let fail = "[[turn]]\nfault = \"400\"\ntimes = 1000\nsay = \"never\"\nrepeat = 1000\n";
    for (name, script, summaries) in [("sums", say, true), ("fails", fail, false)] {
        let model = house.script(name, script);
        let summarise = |spec: &mut AgentSpec| spec.summarise = Some(model);
        let pid = talker(&house, &chatter(40), "count 40", summarise).await;
        assert!(matches!(house.ended(pid).await, Ending::Returned(_)));
        let all = remembered(&house, pid).await;
        let found = all.pages.iter().zip(&all.texts).filter(|(kept, _)| {
            kept.page.kind == Kind::Note && kept.page.label.as_deref() == Some("summary")
        });
        let found: Vec<_> = found.collect();
        assert_eq!(!found.is_empty(), summaries, "{name}: {:?}", all.state.usage);
        assert!(found.iter().all(|(kept, text)| kept.echo && text.contains("spoke of harbours")));
        assert!(all.state.usage.evictions >= 2 && all.state.usage.resident_tokens <= 1_200);
        assert_eq!(all.state.figures.prompts, 40);
    }
}
