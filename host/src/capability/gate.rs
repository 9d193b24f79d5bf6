//! The one gate: check, journal the verdict, do the effect, journal the outcome.
//!
//! [`Gate::perform`] is the only function with a verdict. An effect takes a [`Permit`] by value
//! and only this module can make one, so an effect that was not checked and journaled does not
//! compile. A verdict row that cannot be written is an effect that does not happen.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::capability::authority::Authority;
use crate::capability::grant::Capability;
use crate::journal::{Body, Chain, Class, JournalError, Row, RowKind, Verdict};
use crate::types::{CallId, ComponentHash, Denial};

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
    record: Mutex<Record>,
}

/// What is remembered of one call besides its rows.
#[derive(Debug, Default)]
struct Record {
    denials: Vec<Denial>,
    denials_more: u64,
    tallies: BTreeMap<String, Tally>,
}

#[derive(Debug)]
struct Tally {
    capability: Capability,
    count: u64,
    targets: Vec<String>,
    targets_bytes: usize,
}

/// A call that is refused more often than this is probing: the rest is counted, not listed.
const DENIALS_MAX: usize = 64;
/// Targets that a tally lists; the rest is counted.
const TALLY_TARGETS_MAX: usize = 256;
/// The longest target of a row, in bytes: more than two paths of Linux. A longer one is cut, since
/// a row that is too large for the journal would end the call as the host's fault.
const TARGET_BYTES_MAX: usize = 16 * 1024;
/// Bytes of all targets that a tally lists: written as JSON they may be six times as long.
const TALLY_BYTES_MAX: usize = 64 * 1024;
/// Tallies a call may hold: one a (root, mode), so more means an attack on memory.
const TALLIES_MAX: usize = 256;

impl Gate {
    /// A gate for one call of `component`, whose rows go to `chain`.
    pub fn new(
        authority: Arc<Authority>,
        chain: Chain,
        call: CallId,
        component: ComponentHash,
    ) -> Self {
        Self { authority, chain, call, component, record: Mutex::default() }
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
        let checked = match request.check(&self.authority) {
            Ok(checked) => checked,
            Err(denial) => return Err(self.deny(denial).await),
        };
        let counted = tally.as_ref().is_some_and(|key| self.count(key, capability, &target));
        if !counted {
            let row = self.row(RowKind::Verdict, capability.name(), &target);
            let row = Row { verdict: Some(Verdict::Allowed), ..row };
            self.chain.append(row, class).await.map_err(Refusal::Journal)?;
        }
        let outcome = effect(Permit { checked }).await;
        if tally.is_none() && has_outcome {
            let body = match &outcome {
                Ok(_) => r#"{"ok":true}"#.to_owned(),
                Err(error) => serde_json::json!({ "error": error.to_string() }).to_string(),
            };
            let row = self.row(RowKind::Outcome, capability.name(), &target);
            let row = Row { body: Body::Text(&body), ..row };
            self.chain.append(row, Class::Queued).await.map_err(Refusal::Journal)?;
        }
        outcome.map_err(Refusal::Effect)
    }

    /// Writes the outcome rows of what was tallied; called once, when the call has ended.
    ///
    /// # Errors
    /// When the journal cannot take them.
    pub async fn finish(&self) -> Result<(), JournalError> {
        let (tallies, unlisted) = {
            let mut record = self.record();
            (std::mem::take(&mut record.tallies), record.denials_more)
        };
        for (root, tally) in tallies {
            let body = serde_json::json!({ "count": tally.count, "targets": tally.targets });
            let body = body.to_string();
            let row = self.row(RowKind::Outcome, tally.capability.name(), &root);
            self.chain.append(Row { body: Body::Text(&body), ..row }, Class::Queued).await?;
        }
        if unlisted > 0 {
            let body = serde_json::json!({ "denials_not_listed": unlisted }).to_string();
            let row = self.row(RowKind::Outcome, "denied", "");
            self.chain.append(Row { body: Body::Text(&body), ..row }, Class::Queued).await?;
        }
        Ok(())
    }

    /// The denials of this call so far, at most 64.
    pub fn denials(&self) -> Vec<Denial> {
        self.record().denials.clone()
    }

    async fn deny<E>(&self, denial: Denial) -> Refusal<E> {
        let denial = Denial { target: cut(denial.target), remedy: cut(denial.remedy), ..denial };
        let fresh = {
            let mut record = self.record();
            if record.denials.contains(&denial) {
                false
            } else if record.denials.len() >= DENIALS_MAX {
                record.denials_more += 1;
                false
            } else {
                record.denials.push(denial.clone());
                true
            }
        };
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

    /// Adds to a tally; true when its verdict row is already in the journal.
    fn count(&self, key: &str, capability: Capability, target: &str) -> bool {
        let mut record = self.record();
        if let Some(tally) = record.tallies.get_mut(key) {
            tally.count += 1;
            if tally.targets.len() < TALLY_TARGETS_MAX
                && tally.targets_bytes + target.len() <= TALLY_BYTES_MAX
                && !tally.targets.iter().any(|known| known == target)
            {
                tally.targets.push(target.to_owned());
                tally.targets_bytes += target.len();
            }
            return true;
        }
        if record.tallies.len() < TALLIES_MAX {
            let targets = vec![target.to_owned()];
            let tally = Tally { capability, count: 1, targets, targets_bytes: target.len() };
            record.tallies.insert(key.to_owned(), tally);
        }
        false
    }

    fn row<'a>(&self, kind: RowKind, capability: &'a str, target: &'a str) -> Row<'a> {
        Row {
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

/// A target that fits into a row.
fn cut(mut target: String) -> String {
    if target.len() > TARGET_BYTES_MAX {
        target.truncate(target.floor_char_boundary(TARGET_BYTES_MAX));
        target.push('…');
    }
    target
}
