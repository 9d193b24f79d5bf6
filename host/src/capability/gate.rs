//! The one gate: check, journal the verdict, do the effect, journal the outcome.
//!
//! [`Gate::perform`] is the only function with a verdict. An effect takes a [`Permit`] by value
//! and only this module can make one, so an effect that was not checked and journaled does not
//! compile. A verdict row that cannot be written is an effect that does not happen.
//!
//! Every allowed effect that can have an outcome has one in the journal: its own, or
//! `interrupted` when whoever wanted it let go of it, or when the call ended before it. Rows of one
//! call are bounded ([`record`]).

mod record;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::record::{Effect, Entry, Record};
use crate::capability::authority::Authority;
use crate::capability::grant::Capability;
use crate::journal::{Body, Chain, Class, JournalError, Row, RowKind, Verdict};
use crate::types::{CallId, ComponentHash, Denial, LimitHit};

/// A wish for one effect.
pub trait Request: Sized {
    /// What the effect may use: the checked form of what was asked.
    type Checked;

    /// Which capability it needs.
    fn capability(&self) -> Capability;

    /// What it wants, as the journal records it.
    fn target(&self) -> Cow<'_, str>;

    /// How durable the verdict must be before the effect.
    fn class(&self) -> Class;

    /// Requests that give the same answer here share one verdict row in a call: their number
    /// and targets are recorded with the outcome. None: a row of its own.
    fn tally(&self) -> Option<String> {
        None
    }

    /// Whether the effect is done when [`Gate::perform`] returns. Otherwise there is no outcome to
    /// write down: the verdict is all the journal knows.
    fn has_outcome(&self) -> bool {
        true
    }

    /// The verdict itself. Allocates nothing when it allows.
    ///
    /// # Errors
    /// The denial, with what would allow the effect.
    fn check(self, authority: &Authority) -> Result<Self::Checked, Denial>;
}

/// Nothing: there is no value of it. The checked form of a wish that is always denied.
#[derive(Debug)]
pub enum Never {}

/// Proof that an effect was allowed and journaled. Taken by value, so it is used once.
#[derive(Debug)]
pub struct Permit<C> {
    checked: C,
}

impl<C> Permit<C> {
    /// The checked value; the permit is spent.
    pub fn spend(self) -> C {
        self.checked
    }
}

/// Why an effect did not happen or failed.
#[derive(Debug)]
pub enum Refusal<E> {
    /// The verdict was no.
    Denied(Denial),
    /// The call has had all the rows that it may have, so this effect would not be recorded.
    Limit(LimitHit),
    /// The verdict or the outcome could not be journaled.
    Journal(JournalError),
    /// It was allowed and failed by itself.
    Effect(E),
}

/// The gate of one call: who asks, with what authority, recorded in which chain.
#[derive(Debug)]
pub struct Gate {
    authority: Arc<Authority>,
    chain: Chain,
    call: CallId,
    component: ComponentHash,
    /// The name of whoever asks, as its rows have it.
    who: Box<str>,
    record: Mutex<Record>,
}

/// The longest target of a row, in bytes: more than two paths of Linux. A longer one is cut, since
/// a row that is too large for the journal would end the call as the host's fault.
const TARGET_BYTES_MAX: usize = 16 * 1024;

/// The outcome of an effect of which nobody learnt how it ended.
const INTERRUPTED: &str = r#"{"interrupted":true}"#;

impl Gate {
    /// A gate for one call of `component`, whose rows go to `chain`: at most `rows`, the limit by
    /// its name and value.
    pub fn new(
        authority: Arc<Authority>,
        chain: Chain,
        call: CallId,
        component: ComponentHash,
        rows: LimitHit,
    ) -> Self {
        Self {
            authority,
            chain,
            call,
            component,
            who: "".into(),
            record: Mutex::new(Record::new(rows)),
        }
    }

    /// The same, with the name of whoever asks.
    pub fn of(self, who: &str) -> Self {
        Self { who: who.into(), ..self }
    }

    /// The authority that it checks against.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The call that it stands for.
    pub fn call(&self) -> CallId {
        self.call
    }

    /// Check, journal, do, journal. See the module's text.
    ///
    /// # Errors
    /// [`Refusal`] says which of the four steps ended it.
    pub async fn perform<R, T, E, F>(
        &self,
        request: R,
        effect: impl FnOnce(Permit<R::Checked>) -> F,
    ) -> Result<T, Refusal<E>>
    where
        R: Request,
        F: Future<Output = Result<T, E>>,
        E: fmt::Display,
    {
        let capability = request.capability();
        let target = cut(request.target().into_owned());
        let class = request.class();
        let tally = request.tally();
        let has_outcome = request.has_outcome();
        self.tell_interrupted().await.map_err(Refusal::Journal)?;
        let checked = match request.check(&self.authority) {
            Ok(checked) => checked,
            Err(denial) => return Err(self.deny(denial).await),
        };
        let entry = self.record().enter(tally.as_deref(), capability, &target, has_outcome);
        let opened = match entry {
            Entry::Shared => None,
            Entry::Own(id) => {
                // From here on the effect has an outcome, even if nobody waits for the verdict.
                let opened = id.map(|id| Opened { gate: self, id });
                let row = self.row(RowKind::Verdict, capability.name(), &target);
                let row = Row { verdict: Some(Verdict::Allowed), ..row };
                self.chain.append(row, class).await.map_err(Refusal::Journal)?;
                if let Some(key) = &tally {
                    self.record().verdict_written(key);
                }
                opened
            }
            Entry::Full(limit) => return Err(Refusal::Limit(limit)),
            Entry::Over => return Err(Refusal::Journal(JournalError::Closed)),
        };
        let outcome = effect(Permit { checked }).await;
        if let Some(opened) = opened {
            let error = outcome.as_ref().err().map(ToString::to_string);
            opened.close(error).await.map_err(Refusal::Journal)?;
        }
        outcome.map_err(Refusal::Effect)
    }

    /// Ends the gate, when its call has ended: what is still open is told as interrupted, what was
    /// tallied gets its outcome, and nothing is performed any more.
    ///
    /// # Errors
    /// When the journal cannot take the rows.
    pub async fn finish(&self) -> Result<(), JournalError> {
        let ended = self.record().end();
        for effect in ended.interrupted {
            self.tell(&effect, INTERRUPTED).await?;
        }
        for (effect, body) in ended.told {
            self.tell(&effect, &body.to_string()).await?;
        }
        Ok(())
    }

    /// Writes down what was let go of since the last time somebody looked.
    async fn tell_interrupted(&self) -> Result<(), JournalError> {
        loop {
            let Some(effect) = self.record().interrupted() else { return Ok(()) };
            self.tell(&effect, INTERRUPTED).await?;
        }
    }

    async fn tell(&self, effect: &Effect, body: &str) -> Result<(), JournalError> {
        let row = self.row(RowKind::Outcome, &effect.capability, &effect.target);
        self.chain.append(Row { body: Body::Text(body), ..row }, Class::Queued).await?;
        Ok(())
    }

    /// Notes that the host refused something because of a limit. A call that fails after that
    /// failed of it, whatever it says itself.
    pub fn note_limit(&self, limit: LimitHit) {
        self.record().limit = Some(limit);
    }

    /// The last limit because of which something was refused.
    pub fn limit(&self) -> Option<LimitHit> {
        self.record().limit.clone()
    }

    /// The denials of this call so far, at most 64.
    pub fn denials(&self) -> Vec<Denial> {
        self.record().denials()
    }

    async fn deny<E>(&self, denial: Denial) -> Refusal<E> {
        let denial = Denial { target: cut(denial.target), remedy: cut(denial.remedy), ..denial };
        let fresh = self.record().deny(&denial);
        if fresh {
            let body = serde_json::json!({
                "missing_in": denial.missing_in, "remedy": denial.remedy,
            });
            let body = body.to_string();
            let row = self.row(RowKind::Verdict, &denial.capability, &denial.target);
            let row = Row { verdict: Some(Verdict::Denied), body: Body::Text(&body), ..row };
            if let Err(error) = self.chain.append(row, Class::Queued).await {
                return Refusal::Journal(error);
            }
        }
        Refusal::Denied(denial)
    }

    fn row<'a>(&'a self, kind: RowKind, capability: &'a str, target: &'a str) -> Row<'a> {
        Row {
            who: &self.who,
            call: Some(self.call),
            component: Some(self.component),
            capability,
            target,
            ..Row::new(kind)
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // The record is a log: a panic elsewhere leaves it whole enough to read.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An effect whose outcome is not in the journal yet. Dropped without [`Opened::close`], as when
/// the future that held it is, its outcome is that it was interrupted.
struct Opened<'a> {
    gate: &'a Gate,
    id: u64,
}

impl Opened<'_> {
    async fn close(self, error: Option<String>) -> Result<(), JournalError> {
        // When the call was over first, its end has told this effect already.
        let Some(effect) = self.gate.record().effect(self.id) else { return Ok(()) };
        let body = match error {
            None => r#"{"ok":true}"#.to_owned(),
            Some(error) => serde_json::json!({ "error": error }).to_string(),
        };
        self.gate.tell(&effect, &body).await?;
        // Only now: whoever lets go while the row waits for room leaves the effect open.
        self.gate.record().close(self.id);
        Ok(())
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.gate.record().let_go(self.id);
    }
}

/// A target that fits into a row.
fn cut(mut target: String) -> String {
    if target.len() > TARGET_BYTES_MAX {
        target.truncate(target.floor_char_boundary(TARGET_BYTES_MAX));
        target.push('…');
    }
    target
}

#[cfg(test)]
mod tests;
