//! What the pager would have sent for a recorded log: the real context over a log of messages, so
//! that layout, eviction and cache can be scored offline. Knows nothing of files.

use std::collections::HashMap;
use std::sync::Arc;

use super::context::{Budget, Context};
use super::error::PagerError;
use super::layout::{Block, BreakpointRules, TailBlock};
use super::page::{Kind, NewPage, PageId, Part, Relation};
use super::recall::{self, Document, Index};
use super::tokens::Count;

/// So many hits are ranked for a tail: most of the best are in the window already.
const HITS: usize = 64;

/// One line of a log. Fields that are not named here are passed over.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Message {
    /// Whose context it is of.
    pub agent: String,
    /// Who speaks.
    pub role: Speaker,
    /// A model call was made just before it.
    #[serde(default)]
    pub call: bool,
    /// The words.
    #[serde(default)]
    pub text: Option<String>,
    /// The tool calls of a reply.
    #[serde(default)]
    pub tool_calls: Vec<LoggedCall>,
    /// The call that a tool answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
}

/// The roles of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The head.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool.
    Tool,
}

/// A tool call in a log.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct LoggedCall {
    /// Its id.
    pub id: String,
    /// The tool.
    #[serde(default)]
    pub name: String,
    /// A JSON object, as text.
    #[serde(default)]
    pub arguments: String,
}

/// A prompt as the scorer reads it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Prompt {
    /// Whose it is.
    pub agent: String,
    /// The text of each content block.
    pub blocks: Vec<String>,
    /// Indexes of blocks after which a cache entry is written.
    pub breakpoints: Vec<usize>,
}

/// How a log is run.
#[derive(Clone)]
pub struct Options {
    /// Tokens for what follows the head.
    pub log_tokens: u64,
    /// Where an eviction stops; see [`Budget::low_mark`].
    pub low_mark: f32,
    /// The measure.
    pub counter: Arc<dyn Count>,
    /// Tokens of recalled pages in the tail of each user turn; 0 recalls nothing.
    pub recall_tokens: u64,
}

/// What a run did, beside its prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Model calls.
    pub calls: u64,
    /// Tokens of all prompts.
    pub prompt_tokens: u64,
    /// Tokens of whole blocks that begin a prompt as they began the same agent's one before.
    pub prefix_tokens: u64,
    /// Batches that left.
    pub evictions: u64,
    /// Calls after an agent's first eviction whose last message was the user's.
    pub user_turns: u64,
    /// Those of them that had recalled pages in their tail.
    pub recalled_turns: u64,
}

struct Agent {
    context: Context,
    reply: u64,
    /// The tool calls that wait, in order.
    open: Vec<String>,
    asked: Option<String>,
    /// What the model said last: the subject of a terse answer.
    said: String,
    /// The prompt before.
    sent: Vec<Block>,
    index: Index,
    /// The words of each page, as storage would give them.
    texts: Vec<Arc<str>>,
}

/// A run over a log, message by message.
pub struct Simulation {
    options: Options,
    agents: HashMap<String, Agent>,
    totals: Totals,
}

impl Simulation {
    /// A run that has seen nothing.
    pub fn new(options: Options) -> Self {
        Self { options, agents: HashMap::new(), totals: Totals::default() }
    }

    /// What the run did so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Takes the next message; gives the prompt of the model call before it, if there was one.
    ///
    /// # Errors
    /// A system message after an agent's first turn, or a window that nothing can clear.
    pub fn push(&mut self, message: Message) -> Result<Option<Prompt>, PagerError> {
        let name = message.agent.clone();
        if !self.agents.contains_key(&name) {
            self.agents.insert(name.clone(), Agent::new(&self.options, &message));
        }
        let agent = self.agents.get_mut(&name).expect("invariant: it was put there");
        let prompt = match message.call {
            true => Some(agent.prompt(&name, &self.options, &mut self.totals)?),
            false => None,
        };
        agent.say(message, &*self.options.counter)?;
        Ok(prompt)
    }
}

impl Agent {
    /// The budget is for what follows the head, so the first message says how much is added.
    fn new(options: &Options, first: &Message) -> Self {
        let head = match first.role {
            Speaker::System => options.counter.tokens(first.text.as_deref().unwrap_or("")),
            Speaker::User | Speaker::Assistant | Speaker::Tool => 0,
        };
        let budget =
            Budget { low_mark: options.low_mark, ..Budget::tokens(head + options.log_tokens) };
        let context = Context::new(budget, Arc::clone(&options.counter));
        Self {
            context,
            reply: 0,
            open: Vec::new(),
            asked: None,
            said: String::new(),
            sent: Vec::new(),
            index: Index::new(),
            texts: Vec::new(),
        }
    }

    fn prompt(
        &mut self,
        name: &str,
        options: &Options,
        totals: &mut Totals,
    ) -> Result<Prompt, PagerError> {
        let asked = self.asked.take();
        // The window is cleared for the largest tail, so that a recall never needs a second batch.
        let tail_tokens = if asked.is_some() { options.recall_tokens } else { 0 };
        if let Some(eviction) = self.context.plan(tail_tokens)? {
            self.context.apply(&eviction)?;
            totals.evictions += 1;
        }
        let tail = match asked {
            Some(query) if self.context.usage().evictions > 0 => {
                totals.user_turns += 1;
                self.recall(&query, options)?
            }
            _ => Vec::new(),
        };
        totals.recalled_turns += u64::from(!tail.is_empty());
        totals.calls += 1;
        let rendered = self.context.render(&tail, &BreakpointRules::default())?;
        self.context.sent();
        let same = rendered.blocks.iter().zip(&self.sent).take_while(|(now, then)| now == then);
        totals.prefix_tokens += same.map(|(block, _)| block.tokens).sum::<u64>();
        totals.prompt_tokens += rendered.tokens;
        let blocks = rendered.blocks.iter().map(|block| block.text().to_owned()).collect();
        let prompt = Prompt { agent: name.to_owned(), blocks, breakpoints: rendered.breakpoints };
        self.sent = rendered.blocks;
        Ok(prompt)
    }

    /// The pages out of the window that say most about what the user said; where there is none,
    /// about what that answers.
    fn recall(&mut self, query: &str, options: &Options) -> Result<Vec<TailBlock>, PagerError> {
        if options.recall_tokens == 0 {
            return Ok(Vec::new());
        }
        let outside = |id: PageId| {
            let page = self.context.page(id).ok()?;
            (!page.resident).then_some(page.tokens)
        };
        let mut picks = Vec::new();
        for query in [query, &self.said] {
            if picks.is_empty() {
                let hits = self.index.rank(query, HITS);
                picks = recall::fit(&hits, options.recall_tokens, outside);
            }
        }
        let mut tail = Vec::new();
        for pick in picks {
            self.context.touch(pick.id)?;
            let at = usize::try_from(pick.id.0).expect("invariant: an index");
            let text = &self.texts[at];
            let shown = match pick.excerpt {
                true => recall::excerpt(text, pick.tokens, &*options.counter),
                false => text,
            };
            tail.push(TailBlock::recalled(pick.id, shown));
        }
        Ok(tail)
    }

    fn say(&mut self, message: Message, counter: &dyn Count) -> Result<(), PagerError> {
        let text = message.text.unwrap_or_default();
        match message.role {
            Speaker::System => self.add(Kind::System, &text, None, counter),
            Speaker::User => {
                self.close_calls(counter)?;
                self.asked = Some(text.clone());
                self.add(Kind::User, &text, None, counter)
            }
            Speaker::Assistant => {
                self.close_calls(counter)?;
                self.reply += 1;
                self.said.clone_from(&text);
                self.say_reply(text, message.tool_calls, counter)
            }
            Speaker::Tool => {
                let call = message.tool_call_id.unwrap_or_default();
                match self.open.iter().position(|open| *open == call) {
                    Some(at) => {
                        self.open.remove(at);
                        self.add(Kind::ToolResult, &text, Some(&call), counter)
                    }
                    // An answer to nothing: a log may start in the middle of a turn.
                    None => self.add(Kind::Note, &text, None, counter),
                }
            }
        }
    }

    /// A reply's words and arguments are one block, as the scorer wants it; more calls of the same
    /// reply are blocks without words.
    fn say_reply(
        &mut self,
        mut text: String,
        calls: Vec<LoggedCall>,
        counter: &dyn Count,
    ) -> Result<(), PagerError> {
        for call in &calls {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&call.arguments);
        }
        if calls.is_empty() {
            return self.add(Kind::Assistant, &text, None, counter);
        }
        for call in calls {
            self.add(Kind::ToolCall, &text, Some(&call.id), counter)?;
            text.clear();
            self.open.push(call.id);
        }
        Ok(())
    }

    /// Providers refuse a call without a result, so one that the log lacks is made up.
    fn close_calls(&mut self, counter: &dyn Count) -> Result<(), PagerError> {
        for call in std::mem::take(&mut self.open) {
            self.add(Kind::ToolResult, "[no result]", Some(&call), counter)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        kind: Kind,
        text: &str,
        call: Option<&str>,
        counter: &dyn Count,
    ) -> Result<(), PagerError> {
        let of_reply = matches!(kind, Kind::Assistant | Kind::ToolCall);
        let relation =
            Relation { reply: of_reply.then_some(self.reply), call: call.map(Arc::from) };
        let page = NewPage { parts: vec![Part::text(text)], relation, ..NewPage::text(kind, "") };
        let appended = self.context.append(page.measure(counter))?;
        for (id, _, parts) in appended.bodies {
            let text = parts.first().map_or_else(|| Arc::from(""), |part| Arc::clone(&part.text));
            let (speaker, session, said_at) = (None, None, None);
            self.index.add(Document { id, text: &text, speaker, session, said_at });
            self.texts.push(text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
