//! Which pages leave the window, in one rare batch, and what stays in place. Pure and
//! deterministic. Knows the window and the worth of its pages; not how stubs are worded (`stub`).
//!
//! # The choice
//! The log after the head is cut at one place. What is before the cut stays byte for byte, so a
//! provider's cache of it still hits. After the cut, whole groups (a reply with its calls and
//! their results) stay in the order of their worth until the low mark is reached; each run of
//! pages that leave becomes a stub. Of all cuts the one is taken that has the greatest
//!
//! `sum over kept tokens of worth  -  rewrite * (tokens kept after the cut)`
//!
//! A token's worth is in [`worth`]. `rewrite` is what sending a kept token anew costs, in units of
//! what holding it until the next eviction costs: `(write - read) / (read * calls)`, where `write`
//! and `read` are the provider's price ratios and `calls` the number of calls until then, from the
//! log's own growth.

use std::ops::Range;

use super::context::{Context, Entry};
use super::error::PagerError;
use super::page::{Page, PageId};
use super::stub::Run;

/// A batch that leaves: the entries that stay in place, and what follows them from now on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Eviction {
    /// How many entries from the beginning stay byte for byte.
    pub keep_entries: usize,
    /// The log after them: pages of the window, and stubs with their words.
    pub entries: Vec<Entry>,
    /// Those of these pages that are shown without their fleeting parts from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thin: Vec<PageId>,
}

/// Weights of [`worth`], which sum to 1. They are a judgement and not tuned: no offline figure says
/// what a page that stayed was good for.
const RECENCY: f64 = 0.5;
const IMPORTANCE: f64 = 0.25;
const FREQUENCY: f64 = 0.15;
const RELEVANCE: f64 = 0.1;
/// Recency halves over this share of the log's room.
const HALF_LIFE: f64 = 0.5;
/// The newest groups up to this share of the low mark always stay. With the low mark, the one
/// number that was tuned: shares of .3 to .6 and marks of .45 to .6 on a recorded log of ten agents
/// gave cache hits of .972 to .965 and mean prompts of 6,330 to 6,620 tokens of 8,000 + head. A
/// half for what is at work now costs .005 of hits against a third.
const RECENT: f32 = 0.5;
/// And up to this share of turns before what is new, so that a long result is read in its turn.
const BEFORE_NEW: f32 = 0.15;
/// At most so many cuts are weighed: more change the choice by a page.
const CUTS_MAX: usize = 48;
/// What a stub is taken to need before it is worded, in tokens.
const STUB_TOKENS: u64 = 40;
/// Survivors between two stubs that are smaller than this would save less than their stub costs.
const ISLAND_TOKENS_MIN: u64 = 2 * STUB_TOKENS;
/// More stubs than this are merged by cutting at the first of them.
const STUBS_MAX: usize = 12;

/// What a token of a page is worth, 0 to 1: exponentially decaying recency, importance and
/// relevance as a weighted sum (Park et al., Generative Agents, 2023, section 4.1), and frequency
/// as in LFU, bent so that the first uses count most. Age is in tokens of log since the last use.
pub fn worth(page: &Page, age_tokens: u64, room_tokens: u64, relevance: f64) -> f64 {
    blend(page.uses, f64::from(page.importance), age_tokens, room_tokens, relevance)
}

/// [`worth`] of a page that is only numbers.
pub(super) fn blend(uses: u32, importance: f64, age: u64, room: u64, relevance: f64) -> f64 {
    let half_life = (room as f64 * HALF_LIFE).max(1.0);
    let recency = (-(age as f64) / half_life).exp2();
    let frequency = 1.0 - 1.0 / f64::from(uses.max(1));
    RECENCY * recency + IMPORTANCE * importance + FREQUENCY * frequency + RELEVANCE * relevance
}

/// Entries that leave or stay together.
struct Unit {
    entries: Range<usize>,
    tokens: u64,
    worth: f64,
    stays: bool,
    stub: bool,
}

/// Which of the new pages may leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fresh {
    Stay,
    Leave,
}

/// A cut, what survives after it, and its score.
struct Choice {
    cut: usize,
    stays: Vec<bool>,
    score: f64,
}

/// The batch that clears the window to its low mark.
pub fn plan(context: &Context, tail_tokens: u64) -> Result<Eviction, PagerError> {
    let budget = context.budget();
    let room = budget.window_tokens.saturating_sub(context.usage().head_tokens);
    let low = scaled(room, budget.low_mark.clamp(0.1, 0.9));
    // What is new leaves only where nothing else clears the window.
    for (fresh, newest) in [(Fresh::Stay, RECENT), (Fresh::Stay, 0.0), (Fresh::Leave, 0.0)] {
        let mut units = units(context, room, fresh);
        let stays: u64 = units.iter().filter(|unit| unit.stays).map(|unit| unit.tokens).sum();
        keep_newest(&mut units, low, newest);
        let low = low.max(stays + 4 * STUB_TOKENS).min(room.saturating_sub(tail_tokens));
        let Some(choice) = choose(&units, low, rewrite(context, room - low.min(room))) else {
            continue;
        };
        let eviction = build(context, &units, &choice);
        if after(context, &eviction) + tail_tokens <= budget.window_tokens {
            return Ok(eviction);
        }
    }
    let needed = units(context, room, Fresh::Leave);
    let stays: u64 = needed.iter().filter(|unit| unit.stays).map(|unit| unit.tokens).sum();
    Err(PagerError::Wedged {
        needed_tokens: context.usage().head_tokens + stays + tail_tokens + STUB_TOKENS,
        budget_tokens: budget.window_tokens,
    })
}

/// The window without the page and what cannot be sent without it.
pub fn without(context: &Context, id: PageId) -> Eviction {
    let group = context.pages()[at(id)].group;
    let head = context.head_entries();
    let of_group = |entry: &Entry| match entry {
        Entry::Page(other) => context.pages()[at(*other)].group == group,
        Entry::Stub(_) => false,
    };
    let entries = &context.entries()[head..];
    let start = entries.iter().position(of_group).unwrap_or(entries.len());
    let end = start + entries[start..].iter().take_while(|entry| of_group(entry)).count();
    let (mut keep, mut run) = (head + start, Run::default());
    // A neighbouring stub grows instead of standing beside a second one.
    if start > 0 && matches!(entries[start - 1], Entry::Stub(_)) && end - start > 1 {
        keep -= 1;
    }
    let mut after = Vec::new();
    for entry in &context.entries()[keep..head + end] {
        run.add(context, entry);
    }
    let mut rest = &context.entries()[head + end..];
    if let (false, [Entry::Stub(_), more @ ..]) = (run.is_empty(), rest) {
        run.add(context, &rest[0]);
        rest = more;
    }
    after.extend(run.into_stub(context).map(Entry::Stub));
    after.extend_from_slice(rest);
    Eviction { keep_entries: keep, entries: after, thin: Vec::new() }
}

/// The log after the head as units.
fn units(context: &Context, room: u64, fresh: Fresh) -> Vec<Unit> {
    let (pages, entries) = (context.pages(), context.entries());
    let clock = context.log_tokens();
    let topic = context.topic();
    let mut units: Vec<Unit> = Vec::new();
    let mut group = None;
    for (place, entry) in entries.iter().enumerate().skip(context.head_entries()) {
        let Entry::Page(id) = entry else {
            let tokens = context.entry_tokens(place);
            let entries = place..place + 1;
            units.push(Unit { entries, tokens, worth: 0.0, stays: false, stub: true });
            group = None;
            continue;
        };
        let page = &pages[at(*id)];
        let age = clock.saturating_sub(page.used_at_tokens);
        let relevance = f64::from(context.signature(*id).overlap(&topic));
        let worth = worth(page, age, room, relevance);
        let is_fresh = fresh == Fresh::Stay && place >= context.sent_entries();
        let stays = page.pinned || is_fresh || context.is_open(page.group);
        let tokens = context.entry_tokens(place);
        match units.last_mut().filter(|_| group == Some(page.group)) {
            Some(unit) => {
                unit.entries.end = place + 1;
                unit.tokens += tokens;
                unit.worth = unit.worth.max(worth);
                unit.stays |= stays;
            }
            None => {
                units.push(Unit { entries: place..place + 1, tokens, worth, stays, stub: false })
            }
        }
        group = Some(page.group);
    }
    units
}

/// What the model is at work on stays, whatever it is worth by the formula: `share` of the low
/// mark with what is new, and some turns before that, however large it is.
fn keep_newest(units: &mut [Unit], low: u64, share: f32) {
    let new: u64 = units.iter().rev().take_while(|unit| unit.stays).map(|unit| unit.tokens).sum();
    let before_new = scaled(low, BEFORE_NEW.min(share));
    let wanted = scaled(low, share).saturating_sub(new).max(before_new);
    let mut kept = 0;
    let older = units.iter_mut().rev().skip_while(|unit| unit.stays);
    for unit in older.take_while(|unit| !unit.stub) {
        // The last may be a bit too large, so that one long page does not empty the share.
        if kept >= wanted || kept + unit.tokens > wanted + before_new {
            break;
        }
        unit.stays = true;
        kept += unit.tokens;
    }
}

/// What sending a kept token anew costs, in units of holding it for `cleared` tokens of growth.
fn rewrite(context: &Context, cleared: u64) -> f64 {
    let budget = context.budget();
    let (read, write) = (f64::from(budget.cache_read), f64::from(budget.cache_write));
    let growth = context.log_tokens() as f64 / context.calls().max(1) as f64;
    let calls = (cleared as f64 / growth.max(1.0)).max(1.0);
    ((write - read) / (read.max(0.01) * calls)).clamp(0.0, 1.0)
}

/// The best of the cuts, or none where what stays is more than `low`.
fn choose(units: &[Unit], low: u64, rewrite: f64) -> Option<Choice> {
    let mut by_worth: Vec<usize> = (0..units.len()).filter(|unit| !units[*unit].stub).collect();
    by_worth.sort_by(|a, b| units[*b].worth.total_cmp(&units[*a].worth).then(b.cmp(a)));
    let stubs = units.iter().filter(|unit| unit.stub).count();
    let first_stub = units.iter().position(|unit| unit.stub).unwrap_or(0);
    let cut_max = if stubs > STUBS_MAX { first_stub } else { units.len() };
    let (mut before, mut kept_worth, mut cuts) = (0, 0.0, Vec::new());
    for (cut, unit) in units.iter().enumerate().take(cut_max + 1) {
        if before + STUB_TOKENS > low {
            break;
        }
        cuts.push((cut, before, kept_worth));
        before += unit.tokens;
        kept_worth += unit.worth * unit.tokens as f64;
    }
    let step = cuts.len().div_ceil(CUTS_MAX).max(1);
    let weighed = cuts.iter().step_by(step).filter_map(|&(cut, before, kept_worth)| {
        let mut choice = survivors(units, &by_worth, cut, low.saturating_sub(before), rewrite)?;
        choice.score += kept_worth;
        Some(choice)
    });
    weighed.max_by(|a, b| a.score.total_cmp(&b.score))
}

/// What stays after a cut within `left` tokens: first what must, then by worth.
fn survivors(
    units: &[Unit],
    by_worth: &[usize],
    cut: usize,
    left: u64,
    rewrite: f64,
) -> Option<Choice> {
    let mut stays: Vec<bool> = units.iter().enumerate().map(|(n, u)| n < cut || u.stays).collect();
    let must: u64 = units[cut..].iter().filter(|unit| unit.stays).map(|unit| unit.tokens).sum();
    let mut left = left.checked_sub(must + STUB_TOKENS)?;
    let gain = |unit: &Unit| (unit.worth - rewrite) * unit.tokens as f64;
    let mut score: f64 = units[cut..].iter().filter(|unit| unit.stays).map(gain).sum();
    for &n in by_worth.iter().filter(|n| **n >= cut) {
        if !stays[n] && units[n].tokens <= left {
            stays[n] = true;
            left -= units[n].tokens;
            score += gain(&units[n]);
        }
        if left == 0 {
            break;
        }
    }
    Some(Choice { cut, stays, score })
}

/// Islands between stubs that are too small leave as well.
fn without_islands(units: &[Unit], choice: &Choice) -> Vec<bool> {
    let mut stays = choice.stays.clone();
    let mut n = choice.cut;
    while n < units.len() {
        let end = n + stays[n..].iter().take_while(|stay| **stay).count();
        let island = &units[n..end];
        let tokens: u64 = island.iter().map(|unit| unit.tokens).sum();
        let bound = end < units.len() && !island.iter().any(|unit| unit.stays);
        if bound && tokens < ISLAND_TOKENS_MIN {
            stays[n..end].fill(false);
        }
        n = end.max(n) + 1;
    }
    stays
}

/// The log after the cut: survivors in their order, a stub for each run that leaves.
fn build(context: &Context, units: &[Unit], choice: &Choice) -> Eviction {
    let stays = without_islands(units, choice);
    let mut cut = choice.cut;
    // What survives right after the cut is in place too.
    while cut < units.len() && stays[cut] {
        cut += 1;
    }
    let keep_entries = units.get(cut).map_or(context.entries().len(), |unit| unit.entries.start);
    let (mut entries, mut run) = (Vec::new(), Run::default());
    for (unit, stays) in units.iter().zip(&stays).skip(cut) {
        let shown = &context.entries()[unit.entries.clone()];
        if *stays {
            entries.extend(std::mem::take(&mut run).into_stub(context).map(Entry::Stub));
            entries.extend_from_slice(shown);
        } else {
            shown.iter().for_each(|entry| run.add(context, entry));
        }
    }
    entries.extend(run.into_stub(context).map(Entry::Stub));
    let thin = thin(context, keep_entries, &entries);
    Eviction { keep_entries, entries, thin }
}

/// Pages behind the cut whose reasoning is of no use any more: providers want that of the last
/// reply back, as long as its tools run, and pass over older ones
/// (<https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking>). Before the cut
/// nothing changes, and what is new has not been read yet.
fn thin(context: &Context, keep_entries: usize, entries: &[Entry]) -> Vec<PageId> {
    let now = context.entries();
    let last_sent = now[..context.sent_entries()].iter().rev().find_map(|entry| match entry {
        Entry::Page(id) => Some(*id),
        Entry::Stub(_) => None,
    });
    let old = |id: PageId| {
        let page = &context.pages()[at(id)];
        let last_reply = page.relation.reply.is_some() && page.relation.reply == context.last_reply;
        let is_old = last_sent.is_some_and(|last| id <= last);
        let fleeting = context.resident(id).iter().any(|part| part.fleeting);
        is_old && !last_reply && fleeting && !page.thin && !context.is_open(page.group)
    };
    debug_assert!(keep_entries <= now.len());
    let pages = entries.iter().filter_map(|entry| match entry {
        Entry::Page(id) => Some(*id),
        Entry::Stub(_) => None,
    });
    pages.filter(|id| old(*id)).collect()
}

/// Tokens of the prompt without its tail after an eviction.
fn after(context: &Context, eviction: &Eviction) -> u64 {
    let tokens = |entry: &Entry| match entry {
        Entry::Page(id) => context.pages()[at(*id)].tokens,
        Entry::Stub(stub) => stub.tokens,
    };
    let kept = context.tokens_of_first(eviction.keep_entries);
    kept + eviction.entries.iter().map(tokens).sum::<u64>()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of tokens")]
fn scaled(tokens: u64, share: f32) -> u64 {
    (tokens as f64 * f64::from(share)) as u64
}

fn at(id: PageId) -> usize {
    usize::try_from(id.0).expect("invariant: page numbers are indexes of the table")
}
