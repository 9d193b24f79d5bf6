//! Taking a page into the log: the order that providers allow, and pages too large for the window.

use std::sync::Arc;

use super::super::error::PagerError;
use super::super::page::{Kind, Measured, NewPage, Page, PageId, Part};
use super::super::split;
use super::{Appended, Context, Entry};

/// What a stub, a cut notice and a little answer need: a window with less beside its head is none.
pub const LOG_TOKENS_MIN: u64 = 256;
/// Room that stays free for stubs when a page is fitted into the window.
const RESERVE_TOKENS: u64 = 128;
/// What the notice at a cut takes.
const NOTICE_TOKENS: u64 = 32;
/// Pieces that are only in storage are of this size, in tokens: small enough to be recalled.
const PIECE_TOKENS: u64 = 1_000;

impl Context {
    /// Takes a page into the log. Nothing leaves the window here: see [`Context::plan`].
    ///
    /// A page that cannot fit beside what must stay is split: its beginning is in the window and
    /// ends with a notice, the rest are pages of their own that are only in storage.
    ///
    /// # Errors
    /// [`PagerError::OutOfOrder`] for a page that may not follow what is there,
    /// [`PagerError::HeadTooLarge`] for a head that leaves no room, [`PagerError::TooLarge`] for
    /// content without words that does not fit.
    pub fn append(&mut self, new: Measured) -> Result<Appended, PagerError> {
        self.check_order(&new)?;
        if self.in_head(new.page.kind) {
            self.check_head(new.tokens)?;
        } else {
            let room = self.room_tokens(&new);
            if new.tokens > room {
                return self.append_split(new, room);
            }
        }
        Ok(self.append_whole(new))
    }

    fn append_whole(&mut self, new: Measured) -> Appended {
        let Measured { page, tokens, hash, signature } = new;
        // An empty page counts as one token, so that the number of pages has a bound too.
        let tokens = tokens.max(1);
        let id = PageId(self.pages.len() as u64);
        let head = self.in_head(page.kind);
        let group = self.join_group(id, &page, tokens);
        let body: Arc<[Part]> = page.parts.into();
        self.log_tokens += tokens;
        self.pages.push(Page {
            id,
            kind: page.kind,
            tokens,
            importance: bounded(page.importance),
            resident: true,
            pinned: false,
            freed: false,
            thin: false,
            label: page.label,
            hash,
            relation: page.relation,
            group,
            piece_of: None,
            used_at_tokens: self.log_tokens,
            uses: 1,
        });
        self.bodies.push(Some(Arc::clone(&body)));
        self.signatures.push(signature);
        self.push_entry(Entry::Page(id));
        if head {
            self.head_entries = self.entries.len();
            self.kept_entries = self.entries.len();
            self.usage.head_tokens += tokens;
        }
        self.usage.pages += 1;
        Appended { id, bodies: vec![(id, hash, body)] }
    }

    /// Whether a page of this kind would stay at the beginning for good. A task that comes after
    /// the first turn is a page like others.
    fn in_head(&self, kind: Kind) -> bool {
        matches!(kind, Kind::System | Kind::Task) && self.entries.len() == self.head_entries
    }
}

impl Context {
    /// What providers refuse is refused here, before it is journaled.
    fn check_order(&self, new: &Measured) -> Result<(), PagerError> {
        let NewPage { kind, relation, .. } = &new.page;
        let wrong = |what: String| Err(PagerError::OutOfOrder(what));
        let answers = relation.call.as_ref().filter(|_| *kind == Kind::ToolResult);
        let joins = relation.reply.is_some() && relation.reply == self.last_reply;
        match kind {
            Kind::ToolResult => match answers {
                Some(call) if self.open_calls.contains_key(call) => Ok(()),
                Some(call) => wrong(format!("no tool call `{call}` waits for a result")),
                None => wrong("a tool result must name the tool call that it answers".into()),
            },
            Kind::System if self.entries.len() > self.head_entries => {
                wrong("a system page comes before the first turn, not after it".into())
            }
            Kind::ToolCall => match &relation.call {
                Some(call) if self.open_calls.contains_key(call) => {
                    wrong(format!("the tool call `{call}` is there and waits for its result"))
                }
                Some(_) if self.open_calls.is_empty() || joins => Ok(()),
                Some(_) => wrong(self.waiting("a tool call of another reply")),
                None => wrong("a tool call must have an id".into()),
            },
            Kind::Assistant if joins => Ok(()),
            _ if self.open_calls.is_empty() => Ok(()),
            _ => wrong(self.waiting("this page")),
        }
    }

    fn waiting(&self, what: &str) -> String {
        let call = self.open_calls.keys().min().map_or("", |call| call);
        format!("{what} cannot come while the tool call `{call}` has no result: append that first")
    }

    fn check_head(&self, tokens: u64) -> Result<(), PagerError> {
        let head_tokens = self.usage.head_tokens + tokens;
        let needed_tokens = head_tokens + LOG_TOKENS_MIN;
        let budget_tokens = self.budget.window_tokens;
        if needed_tokens > budget_tokens {
            return Err(PagerError::HeadTooLarge { head_tokens, budget_tokens, needed_tokens });
        }
        Ok(())
    }

    /// The group that a page leaves with, and what is known of open groups after it.
    fn join_group(&mut self, id: PageId, page: &NewPage, tokens: u64) -> PageId {
        let call = page.relation.call.as_ref();
        let of_reply = page.relation.reply.is_some() && page.relation.reply == self.last_reply;
        let answered = match (page.kind, call) {
            (Kind::ToolResult, Some(call)) => self.open_calls.remove(call),
            _ => None,
        };
        let joined = answered.or(of_reply.then_some(self.last_group));
        if let (Kind::ToolCall, Some(call)) = (page.kind, call) {
            self.open_calls.insert(Arc::clone(call), joined.unwrap_or(id));
        }
        if page.kind != Kind::ToolResult {
            self.last_reply = page.relation.reply;
        }
        let before = if joined.is_some() { self.last_group_tokens } else { 0 };
        self.last_group_tokens = before + tokens;
        self.last_group = joined.unwrap_or(id);
        self.last_group
    }

    /// The most that a page may take: what is left beside what must stay.
    fn room_tokens(&self, new: &Measured) -> u64 {
        let with_group = !self.open_calls.is_empty()
            || (new.page.relation.reply.is_some() && new.page.relation.reply == self.last_reply);
        let group = if with_group { self.last_group_tokens } else { 0 };
        let stays = self.usage.head_tokens + self.pinned_tokens + group + RESERVE_TOKENS;
        self.budget.window_tokens.saturating_sub(stays)
    }

    /// A page larger than its room: its beginning into the window, the rest into storage.
    fn append_split(&mut self, new: Measured, room: u64) -> Result<Appended, PagerError> {
        let Measured { page, tokens, .. } = new;
        // Half of the room, so that whatever comes next in the same reply finds some too.
        let shown_max = (room / 2).saturating_sub(NOTICE_TOKENS);
        let Some((mut shown, rest)) = self.cut(page.parts, shown_max) else {
            let (kind, window) = (page.kind, self.budget.window_tokens);
            return Err(PagerError::TooLarge(format!(
                "a {kind:?} page of {tokens} tokens does not fit: {room} of {window} are left \
                 beside what must stay, and it has content that cannot be cut"
            )));
        };
        let pieces = self.pieces(rest);
        let id = PageId(self.pages.len() as u64);
        let rest_tokens: u64 = pieces.iter().map(|piece| piece.tokens).sum();
        let (first, last) = (id.0 + 1, id.0 + pieces.len() as u64);
        if let Some(part) = shown.last_mut() {
            let notice = format!(
                "{}\n[cut here: {rest_tokens} tokens more in pages {first} to {last}, \
                 by `read_page` or `recall`]",
                part.text
            );
            part.text = notice.into();
        }
        let label = page.label.clone();
        let (importance, kind, relation) = (page.importance, page.kind, page.relation.clone());
        let measured = NewPage { parts: shown, ..page }.measure(&*self.counter);
        let mut appended = self.append_whole(measured);
        for piece in pieces {
            let (hash, body) = (piece.hash, Arc::<[Part]>::from(piece.page.parts));
            let piece_id = PageId(self.pages.len() as u64);
            self.pages.push(Page {
                id: piece_id,
                kind,
                tokens: piece.tokens,
                importance: bounded(importance),
                resident: false,
                pinned: false,
                freed: false,
                thin: false,
                label: label.clone(),
                hash,
                relation: relation.clone(),
                group: id,
                piece_of: Some(id),
                used_at_tokens: self.log_tokens,
                uses: 1,
            });
            self.bodies.push(None);
            self.signatures.push(piece.signature);
            self.usage.pages += 1;
            self.usage.swapped_tokens += piece.tokens;
            appended.bodies.push((piece_id, hash, body));
        }
        Ok(appended)
    }

    /// Parts within `tokens_max`, and the rest. `None` where the first has no words to cut.
    fn cut(&self, parts: Vec<Part>, tokens_max: u64) -> Option<(Vec<Part>, Vec<Part>)> {
        let (mut shown, mut left, mut parts) = (Vec::new(), tokens_max, parts.into_iter());
        for part in parts.by_ref() {
            let wrap = u64::from(part.wrap_tokens);
            let tokens = self.counter.tokens(&part.text) + wrap;
            if tokens <= left {
                left -= tokens;
                shown.push(part);
                continue;
            }
            if (wrap > left || part.text.is_empty()) && shown.is_empty() {
                return None;
            }
            let mut rest = vec![part];
            if wrap < left {
                let whole = rest.remove(0);
                let at = split::beginning(&whole.text, left - wrap, &*self.counter);
                let (first, second) = whole.text.split_at(at);
                rest.push(Part::text(second));
                shown.push(Part { text: first.into(), ..whole });
            }
            rest.extend(parts);
            return Some((shown, rest));
        }
        Some((shown, Vec::new()))
    }

    /// The rest of a page as pieces that can be recalled one by one.
    fn pieces(&self, rest: Vec<Part>) -> Vec<Measured> {
        let mut pieces = Vec::new();
        for mut part in rest {
            loop {
                let at = split::beginning(&part.text, PIECE_TOKENS, &*self.counter);
                let (first, second) = part.text.split_at(at);
                let (first, second) = (Arc::<str>::from(first), Arc::<str>::from(second));
                let piece = Part { text: first, ..part };
                let kind = Kind::Note;
                let page = NewPage { parts: vec![piece], ..NewPage::text(kind, "") };
                pieces.push(page.measure(&*self.counter));
                if second.is_empty() {
                    break;
                }
                part = Part::text(second);
            }
        }
        pieces
    }
}

/// An importance that is a number between 0 and 1.
fn bounded(importance: f32) -> f32 {
    if importance.is_nan() { 0.5 } else { importance.clamp(0.0, 1.0) }
}
