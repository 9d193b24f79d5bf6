//! Verification. [`Verifier`] is pure and streams: it keeps one row's hash, one chain's state and
//! a bounded list of problems, whatever the number of rows.

mod calls;
mod watch;

use super::JournalError;
use super::anchor::SignedHead;
use super::heads::Heads;
use super::row::RowKind;
use super::seal::expected;
use crate::storage::{
    ChainHead, ChainRange, ChainRecord, Hex, PAGE_ROWS_MAX, RowRange, Storage, StoreHead, StoreId,
    StoredRow, link,
};
use calls::Calls;
use std::collections::VecDeque;
use std::fmt;
use std::io::BufRead;
use watch::Watch;

/// How many problems a report lists; all are counted.
pub const PROBLEMS_MAX: usize = 1000;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The number of the chain, if it is about one.
    pub chain: Option<i64>,
    /// The id of the chain in hexadecimal, if it is known.
    pub id: Option<String>,
    /// The place of the row in its chain, if it is about one.
    pub seq: Option<i64>,
    /// What is wrong, as the end of a sentence.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.chain, &self.id) {
            (Some(number), Some(id)) => write!(f, "chain {number} ({id})")?,
            (Some(number), None) => write!(f, "chain {number}")?,
            (None, _) => write!(f, "store")?,
        }
        if let Some(seq) = self.seq {
            write!(f, ", row {seq}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many chains were checked.
    pub chains: u64,
    /// How many rows were checked.
    pub rows: u64,
    /// How many chains have no closing row: still open, ended by a crash, or cut. Not an error;
    /// only a head kept elsewhere can tell which.
    pub open: u64,
    /// The numbers of the first [`PROBLEMS_MAX`] of those.
    pub open_chains: Vec<i64>,
    /// How many calls of tools and commands were accepted.
    pub calls: u64,
    /// How many of them have no end: under way, or cut by a signal or a crash.
    pub unended: u64,
    /// The first [`PROBLEMS_MAX`] problems.
    pub problems: Vec<Problem>,
    /// How many problems there are.
    pub problems_total: u64,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.problems_total == 0
    }
}

/// Checks a stream of chains, each followed by its rows. Pure.
#[derive(Debug)]
pub struct Verifier {
    report: Report,
    scratch: Vec<u8>,
    /// Whether all chains of the store come; else only what is inside each chain is checked.
    whole: bool,
    /// The number that the next chain should have.
    next: i64,
    link: Previous,
    current: Option<Current>,
    head: Option<StoreHead>,
    signed: Vec<Watch>,
}

/// The hash that the next seal covers.
#[derive(Debug)]
enum Previous {
    /// It stands in the store and was right.
    Known(Vec<u8>),
    /// Its row or chain does not match its seal: the stored hash, and what it should have been.
    Doubtful(Vec<u8>, Vec<u8>),
    /// Its row or chain is missing.
    Missing,
}

/// The chain whose rows are coming.
#[derive(Debug)]
struct Current {
    record: ChainRecord,
    next: i64,
    previous: Previous,
    closed: bool,
    head: Option<ChainHead>,
    calls: Calls,
}

impl Previous {
    /// Checks a stored hash against what `seal` makes of the one before, and steps on. `None` when
    /// it cannot be checked, else whether it matches.
    fn step(&mut self, stored: &[u8], mut seal: impl FnMut(&[u8]) -> Vec<u8>) -> Option<bool> {
        let (next, matches) = match self {
            Self::Missing => (Self::Known(stored.to_owned()), None),
            Self::Known(previous) => Self::compare(stored, seal(previous)),
            // If it was the hash itself that was changed, this one still covers the right one.
            Self::Doubtful(previous, right) => match Self::compare(stored, seal(previous)) {
                (_, Some(false)) => Self::compare(stored, seal(right)),
                matches => matches,
            },
        };
        *self = next;
        matches
    }

    fn compare(stored: &[u8], expected: Vec<u8>) -> (Self, Option<bool>) {
        if stored == expected {
            (Self::Known(expected), Some(true))
        } else {
            (Self::Doubtful(stored.to_owned(), expected), Some(false))
        }
    }
}

impl Verifier {
    /// Expects all chains of the store with this id.
    pub fn new(store: StoreId) -> Self {
        Self {
            report: Report::default(),
            scratch: Vec::with_capacity(512),
            whole: true,
            next: 1,
            link: Previous::Known(store.0.to_vec()),
            current: None,
            head: None,
            signed: Vec::new(),
        }
    }

    /// Expects some chains only.
    pub fn partial(store: StoreId) -> Self {
        Self { whole: false, link: Previous::Missing, ..Self::new(store) }
    }

    /// Also expects at least what a head kept elsewhere says of the store.
    pub(super) fn against(mut self, store: StoreId, head: StoreHead) -> Self {
        if head.id != store {
            let what = format!("its id is {store}, but the head is of store {}", head.id);
            self.problem(None, None, what);
        }
        self.head = Some(head);
        self
    }

    /// Also expects what signed heads say, whose signatures were checked.
    pub(super) fn signed(mut self, store: StoreId, heads: Vec<SignedHead>) -> Self {
        for head in heads {
            if head.store != store {
                let what = format!("its id is {store}, but the head is of store {}", head.store);
                self.problem(None, None, what);
            }
            self.signed.push(Watch::new(head));
        }
        self
    }

    /// The next chain; `head` is what a head file says of it.
    pub fn chain(&mut self, record: ChainRecord, head: Option<ChainHead>) {
        self.end_chain();
        self.report.chains += 1;
        if self.whole {
            self.chain_order(&record);
        }
        match &head {
            Some(head) if head.id != record.id => {
                let what = format!("it stands where the head has chain {}", Hex(&head.id));
                self.problem(Some(&record), None, what);
            }
            _ => {}
        }
        self.watched(&record, None, |watch| watch.chain(&record));
        let previous = Previous::Known(Vec::new());
        let calls = Calls::default();
        self.current = Some(Current { record, next: 0, previous, closed: false, head, calls });
    }

    fn chain_order(&mut self, record: &ChainRecord) {
        if record.number > self.next {
            let gap = missing("chain", self.next, record.number - 1);
            self.problem(None, None, gap);
            self.link = Previous::Missing;
        } else if record.number < self.next {
            self.problem(Some(record), None, "it is doubled or out of place".to_owned());
        }
        self.next = record.number.saturating_add(1);
        let seal = |previous: &[u8]| {
            let (number, opened) = (record.number, record.opened_us);
            link(previous, number, &record.id, opened, &record.plugin, &record.first).0.to_vec()
        };
        if self.link.step(&record.link, seal) == Some(false) {
            let what = "its registration does not match its link: it was changed or replaced, or \
                the chain before it was";
            self.problem(Some(record), None, what.to_owned());
        }
        let newest = self.head.as_ref().filter(|head| head.chains == record.number);
        if newest.is_some_and(|head| head.link != record.link) {
            let what = "its link differs from the head: chains were replaced".to_owned();
            self.problem(Some(record), None, what);
        }
    }

    /// The next row, in order of chain and seq.
    pub fn row(&mut self, row: &StoredRow) {
        self.report.rows += 1;
        let Some(mut chain) = self.current.take_if(|chain| chain.record.number == row.chain) else {
            let what = format!("it belongs to chain {}, which is not registered", row.chain);
            self.problem(None, Some(row.seq), what);
            return;
        };
        for what in chain.check(row, &mut self.scratch) {
            self.problem(Some(&chain.record), Some(row.seq), what);
        }
        self.signed.iter_mut().for_each(|watch| watch.row(row));
        self.current = Some(chain);
    }

    /// The first problem so far.
    pub(super) fn problem_so_far(&self) -> Option<&Problem> {
        self.report.problems.first()
    }

    /// What is wrong with the end of the stream itself.
    pub(super) fn end(&mut self, what: &str) {
        self.end_chain();
        self.problem(None, None, what.to_owned());
    }

    fn end_chain(&mut self) {
        let Some(chain) = self.current.take() else { return };
        self.report.calls += chain.calls.started;
        self.report.unended += chain.calls.unended();
        let (record, rows, closed) = (&chain.record, chain.next, chain.closed);
        self.watched(record, Some(rows), |watch| watch.end_chain(record, rows, closed));
        if chain.next == 0 {
            self.problem(Some(&chain.record), Some(0), "all rows are missing".to_owned());
        }
        if !chain.closed {
            self.report.open += 1;
            if self.report.open_chains.len() < PROBLEMS_MAX {
                self.report.open_chains.push(chain.record.number);
            }
        }
        if let Some(head) = chain.head.filter(|head| head.rows > chain.next) {
            let rows = missing("row", chain.next, head.rows - 1);
            let what = format!("its end was cut off: {rows}, going by the head");
            self.problem(Some(&chain.record), Some(chain.next), what);
        }
    }

    /// The end of the stream.
    pub fn finish(mut self) -> Report {
        self.end_chain();
        let behind = |head: &StoreHead| self.whole && head.chains >= self.next;
        if let Some(head) = self.head.take_if(|head| behind(head)) {
            let chains = missing("chain", self.next, head.chains);
            self.problem(None, None, format!("its end was cut off: {chains}, going by the head"));
        }
        for watch in std::mem::take(&mut self.signed) {
            if let Some(what) = watch.finish() {
                self.problem(None, None, what);
            }
        }
        self.report
    }

    /// Asks each signed head.
    fn watched(
        &mut self,
        chain: &ChainRecord,
        seq: Option<i64>,
        mut ask: impl FnMut(&mut Watch) -> Option<String>,
    ) {
        let told: Vec<String> = self.signed.iter_mut().filter_map(&mut ask).collect();
        for what in told {
            self.problem(Some(chain), seq, what);
        }
    }

    fn problem(&mut self, chain: Option<&ChainRecord>, seq: Option<i64>, what: String) {
        self.report.problems_total += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            let (number, id) = (chain.map(|c| c.number), chain.map(|c| Hex(&c.id).to_string()));
            self.report.problems.push(Problem { chain: number, id, seq, what });
        }
    }
}

impl Current {
    /// What is wrong with the next row; steps on to it.
    fn check(&mut self, row: &StoredRow, scratch: &mut Vec<u8>) -> Vec<String> {
        let mut wrong = Vec::new();
        if row.seq < self.next {
            wrong.push("it is doubled or out of place".to_owned());
            return wrong;
        }
        if row.seq > self.next {
            wrong.push(format!("{} before it", missing("row", self.next, row.seq - 1)));
            self.previous = Previous::Missing;
        }
        let id = &self.record.id;
        let seal = |previous: &[u8]| expected(row, id, previous, scratch).0.to_vec();
        if self.previous.step(&row.hash, seal) == Some(false) {
            wrong.push("it does not match its seal: it was changed, moved or put there".to_owned());
        }
        if self.closed {
            wrong.push("it comes after the closing row".to_owned());
        }
        if row.seq == 0 && (row.hash != self.record.first || row.kind != RowKind::Opened.word()) {
            wrong.push("it is not the row that the chain was registered with".to_owned());
        }
        let head = self.head.as_ref().filter(|head| head.rows - 1 == row.seq);
        if head.is_some_and(|head| head.hash != row.hash) {
            wrong.push("it differs from the head: the chain was written anew".to_owned());
        }
        wrong.extend(self.calls.row(row));
        self.closed = row.kind == RowKind::Closed.word();
        self.next = row.seq.saturating_add(1);
        wrong
    }
}

fn missing(what: &str, first: i64, last: i64) -> String {
    if first == last {
        format!("{what} {first} is missing")
    } else {
        format!("{what}s {first} to {last} are missing")
    }
}

/// Checks every chain of a store. Chains and rows that are appended meanwhile do not disturb.
/// Fails if the store cannot be read.
pub async fn verify(store: &dyn Storage) -> Result<Report, JournalError> {
    let until = store.head().await?;
    verify_store(store, Verifier::new(until.id), None::<Heads<&[u8]>>).await
}

/// Checks every chain of a store, and that it still has what a head file says (one that
/// [`super::write_heads`] wrote). Fails if the store or the head file cannot be read.
pub async fn verify_against(
    store: &dyn Storage,
    heads: impl BufRead + Send,
) -> Result<Report, JournalError> {
    let heads = Heads::open(heads)?;
    let id = store.head().await?.id;
    let verifier = Verifier::new(id).against(id, heads.store.clone());
    verify_store(store, verifier, Some(heads)).await
}

/// Checks every chain of a store, and that it still has what signed heads say, whose signatures
/// [`super::read_signed_heads`] has checked. Fails if the store cannot be read.
pub async fn verify_signed(
    store: &dyn Storage,
    heads: Vec<SignedHead>,
) -> Result<Report, JournalError> {
    let id = store.head().await?.id;
    let verifier = Verifier::new(id).signed(id, heads);
    verify_store(store, verifier, None::<Heads<&[u8]>>).await
}

/// Checks the rows of one chain. Its registration's link, which covers the chain before, is not
/// looked at. Fails if the store cannot be read.
pub async fn verify_chain(store: &dyn Storage, chain: ChainRecord) -> Result<Report, JournalError> {
    let mut verifier = Verifier::partial(store.head().await?.id);
    let number = chain.number;
    verifier.chain(chain, None);
    let mut from = i64::MIN;
    loop {
        let range = RowRange { from: (number, from), until_chain: number };
        let page = store.rows(range, PAGE_ROWS_MAX).await?;
        let Some(last) = page.last() else { return Ok(verifier.finish()) };
        from = last.seq.saturating_add(1);
        page.iter().for_each(|row| verifier.row(row));
    }
}

async fn verify_store<R: BufRead + Send>(
    store: &dyn Storage,
    mut verifier: Verifier,
    mut heads: Option<Heads<R>>,
) -> Result<Report, JournalError> {
    let until_chain = store.head().await?.chains;
    let mut rows = Rows::new(store, until_chain);
    let mut from = i64::MIN;
    loop {
        let mut page = store.chains(ChainRange::From(from), PAGE_ROWS_MAX).await?;
        page.retain(|chain| chain.number <= until_chain);
        let Some(last) = page.last() else { break };
        from = last.number.saturating_add(1);
        for record in page {
            let number = record.number;
            let head = heads.as_mut().map_or(Ok(None), |heads| heads.of_chain(number))?;
            // Rows of chains that are not there come before; no chain claims them.
            rows.feed(number.saturating_sub(1), &mut verifier).await?;
            verifier.chain(record, head);
            rows.feed(number, &mut verifier).await?;
        }
    }
    rows.feed(i64::MAX, &mut verifier).await?;
    strays(store, until_chain, &mut verifier).await?;
    Ok(verifier.finish())
}

/// Reports rows whose chain number nobody registered, beyond the newest chain. One a page is
/// enough: it is found again until it is removed.
async fn strays(
    store: &dyn Storage,
    until_chain: i64,
    verifier: &mut Verifier,
) -> Result<(), JournalError> {
    let mut from = (until_chain.saturating_add(1), i64::MIN);
    loop {
        let page = store.rows(RowRange { from, until_chain: i64::MAX }, PAGE_ROWS_MAX).await?;
        // Read after the rows: a chain is registered in the transaction of its first row.
        let registered = store.head().await?.chains;
        let Some(last) = page.last() else { return Ok(()) };
        from = (last.chain, last.seq.saturating_add(1));
        if from.1 == i64::MAX {
            return Ok(());
        }
        page.iter().filter(|row| row.chain > registered).for_each(|row| verifier.row(row));
    }
}

/// The rows of the store in order, a page at a time.
struct Rows<'a> {
    store: &'a dyn Storage,
    page: VecDeque<StoredRow>,
    from: Option<(i64, i64)>,
    until_chain: i64,
}

impl<'a> Rows<'a> {
    fn new(store: &'a dyn Storage, until_chain: i64) -> Self {
        let from = Some((i64::MIN, i64::MIN));
        Self { store, page: VecDeque::new(), from, until_chain }
    }

    /// Feeds the rows up to this chain.
    async fn feed(&mut self, chain: i64, verifier: &mut Verifier) -> Result<(), JournalError> {
        loop {
            while let Some(row) = self.page.pop_front_if(|row| row.chain <= chain) {
                verifier.row(&row);
            }
            let Some(from) = self.from.filter(|_| self.page.is_empty()) else { return Ok(()) };
            let range = RowRange { from, until_chain: self.until_chain };
            self.page = self.store.rows(range, PAGE_ROWS_MAX).await?.into();
            self.from = self.page.back().map(|row| (row.chain, row.seq.saturating_add(1)));
        }
    }
}
