//! The memory that an agent had, made again from its questions, the answers that it got and what
//! their rows say beside them: no recall ranks anew and no model is asked.

use super::{Memory, RECALL};
use crate::kernel::agents::record::{Looked, Paged, Prompted};
use crate::pager::PageId;
use crate::sandbox::agent::{Answer, Ask};

impl Memory {
    /// Does to the pages what this question did. `model` and `price` are as in a call that lives:
    /// the model's name, and what tokens cost, in millionths of a dollar.
    ///
    /// # Errors
    /// One sentence, where the pages come out otherwise than they did then.
    pub(in crate::kernel::agents) fn replay(
        &mut self,
        ask: Ask,
        answer: &Answer,
        paged: &Paged,
        (model, price): (&str, impl Fn(crate::model::TokenUsage) -> u64),
    ) -> Result<(), String> {
        let differs = |what: String| Err(format!("its pages differ from its journal's: {what}"));
        match (ask, answer) {
            (Ask::Append(kind, parts, importance, label), Answer::Page(Ok(page))) => {
                match self.append(kind, parts, importance, label) {
                    Ok(now) if now == *page => {}
                    other => return differs(format!("page {page} is now {other:?}")),
                }
            }
            (Ask::Pin(id, pinned), Answer::Changed(Ok(()))) => drop(self.pin(id, pinned)),
            (Ask::Free(id), Answer::Changed(Ok(()))) => drop(self.free(id)),
            (Ask::Step(_), Answer::Completion(completion)) => {
                if let Some(prompt) = &paged.prompt {
                    self.replay_prompt(prompt, &paged.looked, model);
                    if let Some(used) = &prompt.used {
                        self.settle(used, price);
                    }
                }
                if let Ok(completion) = completion {
                    let pages = self.append_reply(&completion.parts);
                    if pages.as_ref().ok() != Some(&completion.pages) {
                        return differs(format!("a reply's {:?} are {pages:?}", completion.pages));
                    }
                }
                return Ok(());
            }
            (ask, _) => {
                let recalls = match &ask {
                    Ask::Recall(..) => 1,
                    Ask::Call(call) => u64::from(call.name == RECALL),
                    Ask::CallAll(calls) => {
                        calls.iter().filter(|call| call.name == RECALL).count() as u64
                    }
                    _ => 0,
                };
                self.figures.recalls += recalls;
                let found = paged.looked.iter().any(|look| matches!(look, Looked::Found(_)));
                self.figures.recalls_answered += recalls.min(u64::from(found));
            }
        }
        self.look_again(&paged.looked);
        Ok(())
    }

    fn replay_prompt(&mut self, prompt: &Prompted, looked: &[Looked], model: &str) {
        // What it could not do then it cannot do now, and its answer says so.
        let Ok(room) = self.make_room(&prompt.call) else { return };
        if room.is_some() {
            self.look_again(looked);
            self.trace.recalled = !looked.is_empty();
        }
        if self.setting.summarise {
            let _left = self.take_left();
            if let Some(summary) = &prompt.summary {
                let _no_room_as_then = self.append_summary(summary);
            }
        }
        if prompt.sent {
            // What was recalled for its tail changes nothing that stays but what it took.
            let _rendered = self.render(model, &prompt.call, Vec::new());
            let figures = &mut self.figures;
            figures.prompt_tokens += prompt.tail_tokens;
            figures.recalled_tokens += prompt.tail_tokens;
            figures.recalled_turns += u64::from(prompt.tail_tokens > 0);
        }
    }

    /// Uses the pages as they were used then.
    fn look_again(&mut self, looked: &[Looked]) {
        for look in looked {
            // A page that was freed since could be used then.
            let id = match *look {
                Looked::Read(id) => {
                    let _content = self.context.read(PageId(id));
                    id
                }
                Looked::Found(id) => {
                    let _known = self.context.touch(PageId(id));
                    id
                }
            };
            self.changed.insert(PageId(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Call, Setting};
    use super::*;
    use crate::model::{Caching, TokenUsage};
    use crate::pager::{Factor, Tokenizer};
    use crate::sandbox::agent::{context as wit, model, tool, types};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn memory() -> Memory {
        Memory::new(Setting {
            budget_tokens: 900,
            tokenizer: Tokenizer::Chars4,
            factor: Factor::default(),
            auto_recall: true,
            summarise: true,
            stored_bytes_max: 1 << 20,
            cache_prices: (0.1, 1.25),
        })
    }

    fn text(words: &str) -> types::Part {
        types::Part::Content(tool::Content::Text(words.into()))
    }

    fn options() -> model::Options {
        model::Options {
            model: None,
            max_output_tokens: None,
            reasoning_tokens_max: None,
            temperature: None,
            tools: None,
            own_tools: Vec::new(),
            tool_choice: model::ToolChoice::Auto,
            parallel_tool_calls: None,
            response_schema: None,
            stop_sequences: Vec::new(),
            timeout_ms: None,
            extra: Vec::new(),
        }
    }

    fn completion(parts: Vec<types::Part>, pages: Vec<u64>) -> model::Completion {
        let usage = model::Usage {
            input_tokens: 0,
            output_tokens: 0,
            reasoning_tokens: 0,
            cache_read_tokens: 0,
            cache_write_tokens: 0,
            cost_microdollars: None,
            estimated: false,
        };
        let stop = model::StopReason::EndTurn;
        model::Completion { model: "m".into(), parts, stop, usage, pages }
    }

    fn said(rng: &mut StdRng) -> String {
        const WORDS: [&str; 8] =
            ["lisbon", "booking", "harbour", "ticket", "rain", "budget", "guide", "tram"];
        let count = rng.random_range(5..60);
        (0..count).map(|_| WORDS[rng.random_range(0..8)]).collect::<Vec<_>>().join(" ")
    }

    /// A question as it is answered by a memory that lives, with what its row says.
    fn live(memory: &mut Memory, rng: &mut StdRng) -> (Ask, Answer, Paged) {
        memory.begin();
        let pages = memory.context.pages().len() as u64;
        let (ask, answer) = match rng.random_range(0..10) {
            0..4 => step(memory, rng),
            4..7 => {
                let kind = [wit::PageKind::User, wit::PageKind::Note][rng.random_range(0..2)];
                let parts = vec![text(&said(rng))];
                let answer = Answer::Page(memory.append(kind, parts.clone(), 0.5, None));
                (Ask::Append(kind, parts, 0.5, None), answer)
            }
            7 => {
                let query = said(rng);
                let found = memory.recall(&query, 200);
                let found = found.into_iter().map(|found| (found.page, String::new())).collect();
                (Ask::Recall(query, 200), Answer::Recalled(Ok(found)))
            }
            8 => {
                let id = rng.random_range(0..pages + 2);
                let read = memory.read(id).map(|_| Vec::new());
                (Ask::Read(id), Answer::Parts(read))
            }
            _ => {
                let id = rng.random_range(0..pages + 2);
                match rng.random_range(0..3) {
                    0 => (Ask::Free(id), Answer::Changed(memory.free(id))),
                    _ => {
                        let pinned = rng.random_range(0..4) == 0;
                        let answer = Answer::Changed(memory.pin(id, pinned));
                        (Ask::Pin(id, pinned), answer)
                    }
                }
            }
        };
        (ask, answer, memory.take_paged())
    }

    fn step(memory: &mut Memory, rng: &mut StdRng) -> (Ask, Answer) {
        let caching = Caching { breakpoints_max: 4, prefix_tokens_min: 16 };
        let call = Call { window_tokens: rng.random_range(500..1_200), tools_tokens: 40, caching };
        let failed = |what: &str| {
            let error = model::Error::Other(("context".into(), what.into()));
            (Ask::Step(options()), Answer::Completion(Err(error)))
        };
        let Ok(picks) = memory.prepare(&call) else { return failed("no room") };
        if rng.random_range(0..2) == 0 && !memory.take_left().is_empty() {
            let _no_room = memory.append_summary("[summary of what left]\nlisbon and rain");
        }
        let tail = picks.iter().map(|recall| (recall.pick.id, "as it was".to_owned())).collect();
        if memory.render("m", &call, tail).is_err() {
            return failed("wedged");
        }
        if rng.random_range(0..5) == 0 {
            return failed("the provider is away");
        }
        let usage = TokenUsage { input: rng.random_range(300..1_500), ..TokenUsage::default() };
        memory.replied_in(7);
        memory.settle(&usage, |_| 0);
        let parts = vec![text(&said(rng))];
        let pages = memory.append_reply(&parts).expect("fits");
        (Ask::Step(options()), Answer::Completion(Ok(completion(parts, pages))))
    }

    #[test]
    fn a_replay_makes_the_memory_that_the_questions_made() {
        for seed in 0..60 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut lived, mut replayed) = (memory(), memory());
            for question in 0..120 {
                let (ask, answer, paged) = live(&mut lived, &mut rng);
                let paged: Paged =
                    serde_json::from_str(&serde_json::to_string(&paged).expect("JSON"))
                        .expect("what its row says");
                let outcome = replayed.replay(ask, &answer, &paged, ("m", |_| 0));
                assert_eq!(outcome, Ok(()), "seed {seed}, question {question}");
                let at = format!("seed {seed}, question {question}, {answer:?}");
                assert_eq!(replayed.context.entries(), lived.context.entries(), "{at}");
                assert_eq!(replayed.context.usage(), lived.context.usage(), "{at}");
                assert_eq!(replayed.context.pages(), lived.context.pages(), "{at}");
                assert_eq!(replayed.factor, lived.factor, "{at}");
                assert_eq!(replayed.figures, lived.figures, "{at}");
            }
            assert!(lived.context.usage().evictions > 0, "seed {seed}: nothing left the window");
            let found = |memory: &mut Memory| {
                let found = memory.recall("lisbon harbour", 500);
                found.iter().map(|found| found.pick.id).collect::<Vec<_>>()
            };
            assert_eq!(found(&mut replayed), found(&mut lived), "seed {seed}");
        }
    }
}
