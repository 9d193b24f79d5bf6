//! Claims about a run over a log: what is sent was said, and cuts change nothing.

use std::sync::Arc;

use super::super::page::ContentHash;
use super::super::tokens::Chars4;
use super::*;

fn options(recall_tokens: u64) -> Options {
    Options { log_tokens: 1_500, low_mark: 0.6, counter: Arc::new(Chars4), recall_tokens }
}

/// A log of two agents that talk and call tools, every line of its own words.
fn log() -> Vec<Message> {
    let mut lines = Vec::new();
    let mut line =
        |agent: &str, role, call, text: String, calls: Vec<LoggedCall>, of: Option<&str>| {
            let tool_call_id = of.map(str::to_owned);
            let (agent, text) = (agent.to_owned(), Some(text));
            lines.push(Message { agent, role, call, text, tool_calls: calls, tool_call_id });
        };
    for agent in ["a", "b"] {
        line(agent, Speaker::System, false, format!("You are {agent}."), vec![], None);
    }
    for n in 0..150 {
        let agent = if n % 3 == 0 { "b" } else { "a" };
        let asked = format!("Please book seat {n}, {}", "by the window ".repeat(n % 7));
        line(agent, Speaker::User, false, asked, vec![], None);
        let arguments = format!("{{\"seat\":{n}}}");
        let call = LoggedCall { id: "c".into(), name: "book".into(), arguments };
        line(agent, Speaker::Assistant, true, format!("Booking {n}."), vec![call], None);
        // One call in five has no result in the log.
        if n % 5 != 0 {
            let told = format!("seat {n} {}", "ok ".repeat(n % 50));
            line(agent, Speaker::Tool, false, told, vec![], Some("c"));
            line(agent, Speaker::Assistant, true, format!("Seat {n} is yours."), vec![], None);
        }
    }
    lines
}

impl Simulation {
    /// Every agent is stored as JSON and read back, as by a kill and a restart.
    fn cut(&mut self) {
        for agent in self.agents.values_mut() {
            let stored = serde_json::to_vec(&agent.context.snapshot()).expect("JSON");
            let snapshot = serde_json::from_slice(&stored).expect("a snapshot");
            let texts = agent.texts.clone();
            let body = |id: PageId, _: &ContentHash| {
                let text = texts.get(usize::try_from(id.0).ok()?)?;
                Some(Arc::from(vec![Part::text(Arc::clone(text))]))
            };
            let counter = Arc::clone(&self.options.counter);
            agent.context = Context::restore(snapshot, counter, body).expect("restores");
            agent.index = Index::new();
            for (id, text) in (0..).map(PageId).zip(&agent.texts) {
                let (speaker, session, said_at) = (None, None, None);
                agent.index.add(Document { id, text, speaker, session, said_at });
            }
        }
    }
}

fn run(options: Options, cut_every: usize) -> (Vec<Prompt>, Totals) {
    let mut simulation = Simulation::new(options);
    let mut prompts = Vec::new();
    for (n, message) in log().into_iter().enumerate() {
        prompts.extend(simulation.push(message).expect("a prompt"));
        if n % cut_every == cut_every - 1 {
            simulation.cut();
        }
    }
    (prompts, simulation.totals())
}

#[test]
fn a_run_that_is_cut_and_restored_sends_the_same_bytes() {
    for recall_tokens in [0, 100] {
        let whole = run(options(recall_tokens), usize::MAX);
        assert!(whole.1.evictions > 4, "{:?}", whole.1);
        for every in [1, 7, 50] {
            let cut = run(options(recall_tokens), every);
            assert!(cut == whole, "cut every {every} messages");
        }
    }
}

#[test]
fn every_block_is_the_log_a_stub_or_recalled() {
    let said: Vec<String> = log()
        .into_iter()
        .map(|message| {
            let calls = message.tool_calls.iter().map(|call| call.arguments.as_str());
            let words = message.text.iter().map(String::as_str).chain(calls);
            words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("\n")
        })
        .collect();
    let (prompts, totals) = run(options(100), usize::MAX);
    assert_eq!(prompts.len() as u64, totals.calls);
    assert_eq!(totals.recalled_turns, totals.user_turns);
    assert!(totals.user_turns > 30, "{totals:?}");
    for prompt in prompts {
        let last = prompt.breakpoints.last().copied().unwrap_or(0);
        for (at, block) in prompt.blocks.iter().enumerate() {
            let recalled = at > last && block.starts_with("[page ");
            let stub = block.starts_with("[page") && block.ends_with(']');
            assert!(said.contains(block) || stub || recalled || block == "[no result]", "{block}");
        }
    }
}

#[test]
fn a_system_message_after_the_first_turn_is_an_error() {
    let mut simulation = Simulation::new(options(0));
    let text = Some("hello".to_owned());
    let message = |role| Message {
        agent: "a".into(),
        role,
        call: false,
        text: text.clone(),
        tool_calls: Vec::new(),
        tool_call_id: None,
    };
    simulation.push(message(Speaker::User)).expect("a message");
    let error = simulation.push(message(Speaker::System)).expect_err("too late");
    assert!(error.to_string().contains("before the first turn"), "{error}");
}
