//! Claims about a context: order, room, what stays, what comes back.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::page::{Kind, NewPage, Part, Relation};
use super::super::stub::TEXT_CHARS_MAX as STUB_CHARS_MAX;
use super::super::tokens::Chars4;
use super::*;

const RULES: BreakpointRules =
    BreakpointRules { most: 4, prefix_tokens_min: 16, look_back_blocks: 20 };

fn context(tokens: u64) -> Context {
    Context::new(Budget::tokens(tokens), Arc::new(Chars4))
}

fn page(kind: Kind, tokens: usize) -> NewPage {
    NewPage::text(kind, "word ".repeat(tokens * 4 / 5 + 1)[..tokens * 4].to_owned())
}

fn add(context: &mut Context, page: NewPage) -> PageId {
    context.append(page.measure(&Chars4)).expect("appends").id
}

fn call(id: &str, reply: u64) -> NewPage {
    let relation = Relation { reply: Some(reply), call: Some(id.into()) };
    NewPage { relation, ..NewPage::text(Kind::ToolCall, "{\"a\":1}") }
}

fn result(id: &str, tokens: usize) -> NewPage {
    let relation = Relation { reply: None, call: Some(id.into()) };
    NewPage { relation, ..page(Kind::ToolResult, tokens) }
}

/// Clears the window where needed, renders, and sends.
fn turn(context: &mut Context) -> Rendered {
    if let Some(eviction) = context.plan(0).expect("plans") {
        context.apply(&eviction).expect("applies");
    }
    let rendered = context.render(&[], &RULES).expect("renders");
    context.sent();
    rendered
}

/// A context of `turns` turns of 60 tokens, with the prompts that were sent.
fn talk(context: &mut Context, turns: usize) -> Vec<Rendered> {
    (0..turns)
        .map(|n| {
            let mut user = page(Kind::User, 30);
            user.parts = vec![Part::text(format!("{n} {}", user.parts[0].text))];
            add(context, user);
            let rendered = turn(context);
            add(context, page(Kind::Assistant, 30));
            rendered
        })
        .collect()
}

fn texts(rendered: &Rendered) -> Vec<&str> {
    rendered.blocks.iter().map(Block::text).collect()
}

#[test]
fn a_head_that_leaves_no_room_is_refused_with_the_number_that_would_do() {
    let mut small = context(1_000);
    let refused = small.append(page(Kind::System, 900).measure(&Chars4)).expect_err("too large");
    let PagerError::HeadTooLarge { needed_tokens, .. } = refused else { panic!("{refused}") };
    assert!(small.pages().is_empty());
    add(&mut context(needed_tokens), page(Kind::System, 900));
}

#[test]
fn pages_that_providers_refuse_are_refused() {
    let mut context = context(4_000);
    add(&mut context, page(Kind::System, 10));
    add(&mut context, page(Kind::User, 10));
    let mut refuse = |page: NewPage, says: &str| {
        let before = context.snapshot();
        let error = context.append(page.measure(&Chars4)).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(context.snapshot(), before);
    };
    refuse(page(Kind::System, 1), "before the first turn");
    refuse(result("x", 1), "no tool call `x` waits");
    refuse(page(Kind::ToolResult, 1), "must name the tool call");
    refuse(page(Kind::ToolCall, 1), "must have an id");
    add(&mut context, call("a", 1));
    add(&mut context, call("b", 1));
    let mut refuse = |page: NewPage| {
        context.append(page.measure(&Chars4)).expect_err("waits for results").to_string()
    };
    assert!(refuse(page(Kind::User, 1)).contains("`a` has no result"));
    assert!(refuse(call("a", 1)).contains("waits for its result"));
    assert!(refuse(call("c", 2)).contains("another reply"));
    add(&mut context, result("b", 1));
    add(&mut context, result("a", 1));
    add(&mut context, page(Kind::User, 1));
}

#[test]
fn the_beginning_stays_byte_for_byte_and_has_a_breakpoint() {
    let mut context = context(2_000);
    add(&mut context, page(Kind::System, 100));
    let prompts = talk(&mut context, 200);
    assert!(context.usage().evictions > 3, "{:?}", context.usage());
    for (before, now) in prompts.iter().zip(&prompts[1..]) {
        let same = before.blocks.iter().zip(&now.blocks).take_while(|(a, b)| a == b).count();
        assert!(now.breakpoints.iter().any(|mark| *mark < same), "no entry survives");
        assert_eq!(now.breakpoints.last(), Some(&(now.blocks.len() - 1)));
        assert!(now.breakpoints.len() <= 4 && now.tokens <= 2_000);
        assert_eq!(before.blocks[0], now.blocks[0]);
    }
}

#[test]
fn what_is_new_since_the_last_call_is_sent_whole() {
    let mut context = context(1_500);
    add(&mut context, page(Kind::System, 50));
    talk(&mut context, 21);
    let fresh: Vec<PageId> = (0..10).map(|_| add(&mut context, page(Kind::User, 60))).collect();
    turn(&mut context);
    assert!(context.usage().evictions > 0);
    assert!(fresh.iter().all(|id| context.page(*id).expect("there").resident));
}

#[test]
fn stubs_name_every_page_that_left() {
    let mut context = context(1_500);
    add(&mut context, page(Kind::System, 50));
    talk(&mut context, 150);
    let stubs: Vec<&Stub> = context
        .entries()
        .iter()
        .filter_map(|entry| match entry {
            Entry::Stub(stub) => Some(stub),
            Entry::Page(_) => None,
        })
        .collect();
    assert!(!stubs.is_empty());
    for page in context.pages().iter().filter(|page| !page.resident) {
        let of = stubs.iter().filter(|stub| stub.first <= page.id && page.id <= stub.last);
        assert_eq!(of.count(), 1, "page {}", page.id);
    }
    let left = context.pages().iter().filter(|page| !page.resident);
    assert_eq!(stubs.iter().map(|stub| stub.pages).sum::<u64>(), left.clone().count() as u64);
    assert_eq!(context.usage().swapped_tokens, left.map(|page| page.tokens).sum::<u64>());
    for stub in stubs {
        assert!(stub.text.chars().count() <= STUB_CHARS_MAX, "{}", stub.text);
        assert!(stub.text.contains("recall") && stub.text.contains("word"), "{}", stub.text);
    }
}

#[test]
fn a_tool_call_leaves_with_its_results_or_not_at_all() {
    let mut context = context(2_000);
    add(&mut context, page(Kind::System, 50));
    for n in 0..80 {
        add(&mut context, page(Kind::User, 20));
        add(&mut context, call("a", n));
        add(&mut context, call("b", n));
        add(&mut context, result("b", 30));
        add(&mut context, result("a", 30));
        turn(&mut context);
        let mut groups = std::collections::HashMap::<PageId, Vec<bool>>::new();
        for page in context.pages() {
            groups.entry(page.group).or_default().push(page.resident);
        }
        assert!(groups.values().all(|group| group.iter().all(|r| *r == group[0])));
    }
    assert!(context.usage().evictions > 2);
}

#[test]
fn a_pinned_page_stays_and_pins_cannot_fill_the_window() {
    let mut context = context(1_500);
    add(&mut context, page(Kind::System, 50));
    // Far enough from the beginning, which stays in place anyway.
    talk(&mut context, 18);
    let kept = add(&mut context, page(Kind::Note, 100));
    context.pin(kept, true).expect("pins");
    talk(&mut context, 100);
    assert!(context.page(kept).expect("there").resident);
    let large = add(&mut context, page(Kind::Note, 1_100));
    let refused = context.pin(large, true).expect_err("too much");
    assert!(matches!(refused, PagerError::Wedged { .. }), "{refused}");
    context.pin(kept, false).expect("lets go");
    talk(&mut context, 100);
    assert!(!context.page(kept).expect("there").resident);
}

#[test]
fn a_freed_page_is_gone_and_takes_no_half_of_a_call_with_it() {
    let mut context = context(2_000);
    let head = add(&mut context, page(Kind::System, 50));
    let user = add(&mut context, page(Kind::User, 10));
    let asked = add(&mut context, call("a", 1));
    assert!(matches!(context.free(asked), Err(PagerError::OutOfOrder(_))));
    let answer = add(&mut context, result("a", 20));
    let after = add(&mut context, page(Kind::User, 10));
    assert!(matches!(context.free(head), Err(PagerError::OutOfOrder(_))));
    context.free(answer).expect("frees");
    assert_eq!(context.read(answer), Err(PagerError::NoSuchPage(answer)));
    // The call cannot be sent alone, so it is out of the window and still to be read.
    assert!(matches!(context.read(asked), Ok(Content::Swapped(_))));
    let prompt = turn(&mut context);
    assert_eq!(prompt.blocks.len(), 4, "{:?}", texts(&prompt));
    assert!(prompt.blocks[2].text().contains(&format!("page {asked} left")));
    context.free(user).expect("frees");
    context.free(after).expect("frees");
    assert_eq!(context.usage().pages, 2);
    assert_eq!(context.free(after), Err(PagerError::NoSuchPage(after)));
}

#[test]
fn a_page_larger_than_the_window_is_split_and_nothing_is_lost() {
    for text in ["word 😀 ".repeat(4_000), "שלום ".repeat(6_000), "𝒳".repeat(30_000)] {
        let mut context = context(1_000);
        add(&mut context, page(Kind::System, 50));
        add(&mut context, page(Kind::User, 10));
        let new = NewPage::text(Kind::User, text.clone()).measure(&Chars4);
        let appended = context.append(new).expect("splits");
        assert!(appended.bodies.len() > 5);
        let all: String = appended.bodies.iter().map(|(_, _, parts)| &*parts[0].text).collect();
        let notice = all.find("\n[cut here: ").expect("a notice");
        let end = notice + all[notice..].find("recall`]").expect("its end") + "recall`]".len();
        assert_eq!(format!("{}{}", &all[..notice], &all[end..]), text);
        let prompt = turn(&mut context);
        assert!(prompt.tokens <= 1_000);
        assert!(prompt.blocks.last().expect("a block").text().contains("[cut here"));
        for (id, hash, parts) in &appended.bodies[1..] {
            assert_eq!(context.read(*id), Ok(Content::Swapped(*hash)));
            assert_eq!(ContentHash::of(parts), *hash);
            assert_eq!(context.page(*id).expect("there").piece_of, Some(appended.id));
        }
    }
}

#[test]
fn many_large_results_of_one_reply_do_not_wedge_the_agent() {
    let mut context = context(2_000);
    add(&mut context, page(Kind::System, 50));
    add(&mut context, page(Kind::User, 10));
    for n in 0..8 {
        add(&mut context, call(&format!("c{n}"), 1));
    }
    for n in 0..8 {
        add(&mut context, result(&format!("c{n}"), 5_000));
    }
    let prompt = turn(&mut context);
    let results = prompt.blocks.iter().filter(|block| block.role == Role::Tool).count();
    assert_eq!(results, 8);
    talk(&mut context, 100);
}

#[test]
fn bytes_without_words_that_do_not_fit_are_refused() {
    let mut context = context(1_000);
    let image = |tokens| {
        let parts = vec![Part::wrapped("", vec![0xff, 0x00, 0xd8], tokens)];
        NewPage { parts, ..NewPage::text(Kind::User, "") }
    };
    add(&mut context, image(300));
    let refused = context.append(image(3_000).measure(&Chars4)).expect_err("too large");
    assert!(matches!(refused, PagerError::TooLarge(_)), "{refused}");
    assert_eq!(turn(&mut context).blocks.len(), 1);
}

#[test]
fn a_million_tiny_pages_stay_within_the_window() {
    let mut context = context(4_000);
    add(&mut context, page(Kind::System, 50));
    for n in 0..1_000_000_u32 {
        let text = if n % 3 == 0 { "" } else { "a" };
        add(&mut context, NewPage::text(Kind::User, text));
        if n % 8 == 0
            && let Some(eviction) = context.plan(0).expect("plans")
        {
            context.apply(&eviction).expect("applies");
            context.sent();
        }
    }
    assert!(context.entries().len() <= 4_000);
    assert_eq!(context.usage().pages, 1_000_001);
    assert!(turn(&mut context).blocks.len() <= 4_000);
}

#[test]
fn an_eviction_is_applied_twice_without_harm_and_never_to_another_window() {
    let mut context = context(1_000);
    add(&mut context, page(Kind::System, 50));
    for _ in 0..20 {
        add(&mut context, page(Kind::User, 48));
        context.sent();
    }
    let eviction = context.plan(0).expect("plans").expect("something leaves");
    assert_eq!(context.plan(0).expect("plans").as_ref(), Some(&eviction), "not deterministic");
    context.apply(&eviction).expect("applies");
    let once = context.snapshot();
    context.apply(&eviction).expect("again");
    assert_eq!(context.snapshot(), once);
    let mut other = self::context(1_000);
    assert!(matches!(other.apply(&eviction), Err(PagerError::Damaged(_))));
    let entries = vec![Entry::Page(PageId(u64::MAX))];
    let alien = Eviction { keep_entries: 1, entries, thin: Vec::new() };
    assert!(matches!(context.apply(&alien), Err(PagerError::Damaged(_))));
    assert_eq!(context.snapshot(), once);
}

#[test]
fn restore_sends_the_same_bytes_and_goes_on_alike() {
    let mut first = context(1_500);
    add(&mut first, page(Kind::System, 50));
    talk(&mut first, 60);
    let bodies = first.bodies.clone();
    let stored = serde_json::to_string(&first.snapshot()).expect("JSON");
    let snapshot: Snapshot = serde_json::from_str(&stored).expect("a snapshot");
    let body = |id: PageId, _: &ContentHash| bodies[index(id)].clone();
    let mut second = Context::restore(snapshot.clone(), Arc::new(Chars4), body).expect("restores");
    assert_eq!(second.snapshot(), first.snapshot());
    assert_eq!(talk(&mut second, 60), talk(&mut first, 60));
    let missing = Context::restore(snapshot.clone(), Arc::new(Chars4), |_, _| None);
    assert!(matches!(missing, Err(PagerError::Damaged(says)) if says.contains("page 0")));
    let mut damaged = snapshot;
    damaged.entries.push(Entry::Page(PageId(0)));
    let damaged = Context::restore(damaged, Arc::new(Chars4), body);
    assert!(matches!(damaged, Err(PagerError::Damaged(says)) if says.contains("twice")));
}

#[test]
fn the_tail_is_after_the_last_breakpoint_and_counts() {
    let mut context = context(1_000);
    add(&mut context, page(Kind::System, 50));
    let user = add(&mut context, page(Kind::User, 100));
    let tail = [TailBlock::recalled(user, "it was in Lisbon")];
    let prompt = context.render(&tail, &RULES).expect("renders");
    assert_eq!(prompt.breakpoints.last(), Some(&1));
    assert_eq!((prompt.blocks.len(), prompt.tail_blocks), (3, 1));
    let long = [TailBlock { page: None, text: "x".repeat(4_000).into() }];
    assert!(matches!(context.render(&long, &RULES), Err(PagerError::Wedged { .. })));
}

#[derive(Clone, Debug)]
enum Step {
    Say(usize),
    Call(usize, usize),
    Pin(u64),
    Free(u64),
    Read(u64),
    Turn,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..400).prop_map(Step::Say),
        3 => (1_usize..5, 0_usize..900).prop_map(|(calls, tokens)| Step::Call(calls, tokens)),
        1 => (0_u64..200).prop_map(Step::Pin),
        1 => (0_u64..200).prop_map(Step::Free),
        1 => (0_u64..200).prop_map(Step::Read),
        6 => Just(Step::Turn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_window_holds_and_the_order_is_kept(
        steps in prop::collection::vec(step(), 1..150)
    ) {
        let mut context = context(1_600);
        add(&mut context, page(Kind::System, 60));
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Say(tokens) => drop(add(&mut context, page(Kind::User, tokens))),
                Step::Call(calls, tokens) => {
                    let ids: Vec<String> = (0..calls).map(|call| format!("c{call}")).collect();
                    for id in &ids {
                        add(&mut context, call(id, n as u64));
                    }
                    for id in &ids {
                        add(&mut context, result(id, tokens));
                    }
                }
                Step::Pin(id) => drop(context.pin(PageId(id), true)),
                Step::Free(id) => drop(context.free(PageId(id))),
                Step::Read(id) => drop(context.read(PageId(id))),
                Step::Turn => match context.plan(0) {
                    Ok(None) => context.sent(),
                    Ok(Some(eviction)) => {
                        context.apply(&eviction).expect("applies");
                        prop_assert!(context.render(&[], &RULES).is_ok());
                        context.sent();
                    }
                    // Only what may not leave can be too much.
                    Err(error) => {
                        let wedged = matches!(error, PagerError::Wedged { .. });
                        prop_assert!(wedged, "{}", error);
                    }
                },
            }
            let shown: Vec<PageId> = context.entries().iter().filter_map(|entry| match entry {
                Entry::Page(id) => Some(*id),
                Entry::Stub(_) => None,
            }).collect();
            prop_assert!(shown.is_sorted());
            let resident = context.pages().iter().filter(|page| page.resident && !page.freed);
            prop_assert_eq!(resident.count(), shown.len());
            let counted: u64 = context.blocks.iter().map(|block| block.tokens).sum();
            prop_assert_eq!(counted, context.usage().resident_tokens);
            let swapped = context.pages().iter().filter(|page| !page.resident && !page.freed);
            let swapped: u64 = swapped.map(|page| page.tokens).sum();
            prop_assert_eq!(swapped, context.usage().swapped_tokens);
        }
    }
}

/// A turn whose answer has reasoning before its words.
fn thoughtful(context: &mut Context, n: u64) -> Rendered {
    add(context, page(Kind::User, 30));
    let rendered = turn(context);
    let thought = Part::wrapped(format!("thought {n} {}", "hm ".repeat(20)), "signed", 5).passing();
    let said = Part::text(format!("answer {n} {}", "so ".repeat(20)));
    let relation = Relation { reply: Some(n), call: None };
    let parts = vec![thought, said];
    add(context, NewPage { parts, relation, ..NewPage::text(Kind::Assistant, "") });
    rendered
}

#[test]
fn reasoning_leaves_the_prompt_where_an_eviction_has_broken_it_anyway() {
    let mut context = context(1_000);
    add(&mut context, page(Kind::System, 50));
    let mut before = thoughtful(&mut context, 0);
    let mut thinned = 0;
    for n in 1..60 {
        let evictions = context.usage().evictions;
        let now = thoughtful(&mut context, n);
        let thoughts = texts(&now).iter().filter(|text| text.starts_with("thought")).count();
        let answers = texts(&now).iter().filter(|text| text.starts_with("answer")).count();
        if context.usage().evictions == evictions {
            // Nothing that was sent changes between two evictions.
            assert_eq!(now.blocks[..before.blocks.len()], before.blocks[..]);
        } else {
            let (kept, _) = context.kept_and_sent_entries();
            let behind = &context.entries()[kept..];
            let thin = behind.iter().filter(|entry| match entry {
                Entry::Page(id) => context.pages()[index(*id)].thin,
                Entry::Stub(_) => false,
            });
            thinned += thin.count();
        }
        assert!(thoughts <= answers && now.tokens <= 1_000);
        before = now;
    }
    assert!(context.usage().evictions > 3 && thinned > 0, "{:?}, {thinned}", context.usage());
    // What is shown thin is whole when it is read, and after a restore it is shown alike.
    let thin = context.pages().iter().find(|page| page.thin && page.resident).map(|page| page.id);
    let thin = thin.expect("one is in the window");
    assert!(matches!(context.read(thin), Ok(Content::Resident(parts)) if parts.len() == 2));
    let bodies = context.bodies.clone();
    let body = |id: PageId, _: &ContentHash| bodies[index(id)].clone();
    let mut again = Context::restore(context.snapshot(), Arc::new(Chars4), body).expect("restores");
    let (now, then) = (turn(&mut context), turn(&mut again));
    assert_eq!(now, then);
}

#[test]
fn the_reasoning_of_a_reply_whose_tools_run_stays() {
    let mut context = context(1_000);
    add(&mut context, page(Kind::System, 50));
    talk(&mut context, 9);
    let relation = Relation { reply: Some(77), call: None };
    let parts = vec![Part::wrapped("thought", "signed", 5).passing()];
    add(&mut context, NewPage { parts, relation, ..NewPage::text(Kind::Assistant, "") });
    add(&mut context, call("a", 77));
    turn(&mut context);
    add(&mut context, result("a", 450));
    let evictions = context.usage().evictions;
    let prompt = turn(&mut context);
    assert!(context.usage().evictions > evictions);
    assert!(texts(&prompt).contains(&"thought"), "{:?}", texts(&prompt));
}

#[test]
fn a_window_that_shrinks_is_cleared_and_never_below_its_head() {
    let mut context = context(4_000);
    add(&mut context, page(Kind::System, 50));
    talk(&mut context, 40);
    context.resize(1_000);
    let prompt = turn(&mut context);
    assert!(prompt.tokens <= 1_000 && context.usage().evictions > 0);
    context.resize(0);
    assert_eq!(context.budget().window_tokens, 50 + LOG_TOKENS_MIN);
    assert!(turn(&mut context).tokens <= 50 + LOG_TOKENS_MIN);
    context.resize(4_000);
    talk(&mut context, 10);
}
