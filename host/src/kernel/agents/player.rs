//! Plays an agent's journal back to it: each question is compared with the one that was asked then,
//! and gets the answer that was given then. Nothing is done twice, and nothing is guessed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::past::{Segment, value_of};
use super::record::{ASK, AcceptedRow, AnsweredRow, AskedRow, MEMBER, MemberRow, Paged, Told};
use super::tools;
use crate::journal::{Digest, JournalError, PackedBody, RowKind};
use crate::sandbox::Ended;
use crate::sandbox::agent::{Answer, Ask, tool};
use crate::sandbox::host::clock::AgentClock;
use crate::sandbox::host::random::AgentRandom;
use crate::storage::{PAGE_ROWS_MAX, RowRange, Storage, StoredRow, apart};
use crate::types::CallId;

/// Bodies that are read at once.
const BODIES_AT_ONCE: usize = 64;
/// Characters of each side that a report of a difference shows.
const SHOWN_CHARS: usize = 400;

/// One tool call of a question that was open when its host ended.
#[derive(Clone, Debug, Default)]
pub(in crate::kernel) struct Member {
    /// Its number, and whether it may be sent again. None: it was not sent.
    pub(in crate::kernel) sent: Option<(CallId, bool)>,
    /// What it was answered.
    pub(in crate::kernel) answer: Option<Told>,
}

/// A question without an answer: the agent stood here.
#[derive(Clone, Debug, Default)]
pub(in crate::kernel) struct Open {
    /// When it was asked, in nanoseconds since the Unix epoch.
    pub(in crate::kernel) at: u64,
    pub(in crate::kernel) members: BTreeMap<u32, Member>,
    /// A restore led back to here: what was sent then is not sent again.
    pub(in crate::kernel) restored: bool,
}

/// What became of a question.
#[derive(Debug)]
pub(in crate::kernel) enum Played {
    /// It was asked then too, and answered with this.
    Answer { answer: Answer, paged: Paged, seq: i64 },
    /// It was asked then too, and not answered.
    Open(Open),
    /// The journal has ended: from here on the agent lives.
    End,
}

/// A question and what the rows have of its answer.
#[derive(Debug)]
struct Entry {
    seq: i64,
    name: String,
    ask: Told,
    clock: Vec<u64>,
    open: Open,
    given: Option<AnsweredRow>,
}

/// A row that a replay is made of.
enum Line {
    Asked(AskedRow),
    Answered(AnsweredRow),
    Member(MemberRow),
    Accepted(u32, CallId, bool),
}

/// The journal of one agent, from its first question on.
pub(in crate::kernel) struct Player {
    store: Arc<dyn Storage>,
    segments: VecDeque<Segment>,
    page: VecDeque<(StoredRow, Line)>,
    /// Read ahead, and taken once.
    bodies: HashMap<Digest, PackedBody>,
    /// The next question, so that the clock shows what it showed before it was asked.
    ahead: Option<Entry>,
    clock: AgentClock,
    random: AgentRandom,
    /// Rows of an earlier segment have been read.
    led_back: bool,
    /// Held while it plays, where replays are bounded.
    pub(in crate::kernel) permit: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Player {
    /// Of the rows that count. Sets the clock for what comes before the first question.
    pub(in crate::kernel) async fn of(
        store: Arc<dyn Storage>,
        segments: Vec<Segment>,
        clock: AgentClock,
        random: AgentRandom,
    ) -> Result<Self, JournalError> {
        let mut player = Self {
            store,
            segments: segments.into(),
            page: VecDeque::new(),
            bodies: HashMap::new(),
            ahead: None,
            clock,
            random,
            led_back: false,
            permit: None,
        };
        player.step().await?;
        Ok(player)
    }

    /// The answer that was given to this question, if it is the one that was asked then.
    ///
    /// # Errors
    /// [`Ended::Diverged`] with both sides where it is another one.
    pub(in crate::kernel) async fn play(&mut self, ask: &Ask) -> Result<Played, Ended> {
        let journal = |error: JournalError| Ended::Diverged(error.to_string());
        let (told, _) = Told::of(ask).map_err(journal)?;
        let Some(entry) = self.ahead.take() else { return Ok(Played::End) };
        if entry.name != ask.name() || !entry.ask.is(&told) {
            return Err(Ended::Diverged(self.both_sides(&entry, ask).await));
        }
        let Some(given) = entry.given else {
            self.clock.set_replays(false);
            return Ok(Played::Open(entry.open));
        };
        let answer = match (&given.answer, given.members) {
            (Some(told), _) => self.value(told).await.map_err(journal)?,
            (None, members) => {
                let members = members.unwrap_or(0);
                self.together(members, &entry.open.members).await.map_err(journal)?
            }
        };
        self.clock.enter(given.at);
        self.step().await.map_err(journal)?;
        Ok(Played::Answer { answer, paged: given.paged, seq: entry.seq })
    }

    /// Whether nothing is left.
    pub(in crate::kernel) fn has_ended(&self) -> bool {
        self.ahead.is_none()
    }

    /// The answer of a `call-all`, from its members' answers.
    async fn together(
        &mut self,
        count: u64,
        members: &BTreeMap<u32, Member>,
    ) -> Result<Answer, JournalError> {
        let mut answers: Vec<Result<tool::Output, tool::Error>> = Vec::new();
        for at in 0..count {
            let member = u32::try_from(at).ok().and_then(|at| members.get(&at));
            answers.push(match member.and_then(|member| member.answer.clone()) {
                Some(told) => self.value(&told).await?,
                None => Err(tools::too_many().into()),
            });
        }
        Ok(Answer::CalledAll(answers))
    }

    /// A value that a row tells of; the bodies of the rows after it are read with it.
    async fn value<T: DeserializeOwned>(&mut self, told: &Told) -> Result<T, JournalError> {
        let Some(hash) = told.digest().filter(|_| told.value.is_none()) else {
            return value_of(&*self.store, told).await;
        };
        if !self.bodies.contains_key(&hash) {
            let ahead = self.page.iter().filter_map(|(_, line)| line.answer()?.digest());
            let hashes: Vec<_> = std::iter::once(hash).chain(ahead).take(BODIES_AT_ONCE).collect();
            let store = Arc::clone(&self.store);
            let found = apart(async move { store.bodies(&hashes).await }).await?;
            self.bodies = found.into_iter().map(|body| (body.hash, body)).collect();
        }
        match self.bodies.get(&hash) {
            Some(body) => Ok(serde_json::from_slice(&body.unpack()?)?),
            // It did not fit the page, or is missing.
            None => value_of(&*self.store, told).await,
        }
    }

    /// Reads up to the next question and all that the rows have of its answer.
    async fn step(&mut self) -> Result<(), JournalError> {
        let mut entry: Option<Entry> = None;
        while let Some((row, line)) = self.line().await? {
            let led_back = std::mem::take(&mut self.led_back);
            if let Some(entry) = &mut entry {
                entry.open.restored |= led_back;
            }
            match line {
                Line::Asked(AskedRow { ask, at, clock }) => {
                    let open = Open { at, ..Open::default() };
                    let (seq, name) = (row.seq, row.target);
                    entry = Some(Entry { seq, name, ask, clock, open, given: None });
                }
                Line::Answered(mut given) => {
                    let (seq, name) = (row.seq, row.target);
                    let clock = std::mem::take(&mut given.clock);
                    let found = match (entry.take(), given.ask.take()) {
                        (Some(entry), _) => Entry { given: Some(given), ..entry },
                        (None, Some(ask)) => {
                            let open = Open::default();
                            Entry { seq, name, ask, clock, open, given: Some(given) }
                        }
                        (None, None) => continue,
                    };
                    entry = Some(found);
                    break;
                }
                Line::Member(MemberRow { member, answer }) => {
                    if let Some(entry) = &mut entry {
                        entry.open.members.entry(member).or_default().answer = Some(answer);
                    }
                }
                Line::Accepted(member, call, again) => {
                    if let Some(entry) = &mut entry {
                        entry.open.members.entry(member).or_default().sent = Some((call, again));
                    }
                }
            }
        }
        if let Some(entry) = &mut entry {
            // Where the rows end with a restore, nothing of it follows.
            entry.open.restored |= self.led_back && entry.given.is_none();
            self.clock.script(std::mem::take(&mut entry.clock));
        }
        // At the end of the journal an agent waits again.
        self.clock.set_replays(entry.is_some());
        self.ahead = entry;
        Ok(())
    }

    /// The next row that says something; none at the end.
    async fn line(&mut self) -> Result<Option<(StoredRow, Line)>, JournalError> {
        loop {
            if let Some(line) = self.page.pop_front() {
                return Ok(Some(line));
            }
            let Some(segment) = self.segments.front_mut() else { return Ok(None) };
            let range =
                RowRange { from: (segment.chain, segment.from), until_chain: segment.chain };
            let until = segment.until;
            let rows = match segment.from <= until {
                true => {
                    let store = Arc::clone(&self.store);
                    apart(async move { store.rows(range, PAGE_ROWS_MAX).await }).await?
                }
                false => Vec::new(),
            };
            match rows.last() {
                Some(last) => segment.from = last.seq.saturating_add(1),
                None => {
                    self.segments.pop_front();
                    self.led_back = !self.segments.is_empty();
                    // What the agent draws from here on is no longer what its source drew.
                    if let Some(seed) = self.segments.front().and_then(|next| next.reseed) {
                        self.random.reseed(seed);
                    }
                    continue;
                }
            }
            for row in rows.into_iter().filter(|row| row.seq <= until) {
                if let Some(line) = Line::of(&row)? {
                    self.page.push_back((row, line));
                }
            }
        }
    }

    async fn both_sides(&self, entry: &Entry, ask: &Ask) -> String {
        let journaled = match value_of::<serde_json::Value>(&*self.store, &entry.ask).await {
            Ok(value) => value.to_string(),
            Err(error) => format!("(its body cannot be read: {error})"),
        };
        format!(
            "at row {} its journal has {} {}, and now it asks {} {}",
            entry.seq,
            entry.name,
            shown(&journaled),
            ask.name(),
            shown(&text(ask)),
        )
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl Line {
    fn of(row: &StoredRow) -> Result<Option<Self>, JournalError> {
        Ok(match (RowKind::from_word(&row.kind), &*row.capability) {
            (Some(RowKind::Asked), ASK) => Some(Self::Asked(serde_json::from_str(&row.body)?)),
            (Some(RowKind::Answered), ASK) => {
                Some(Self::Answered(serde_json::from_str(&row.body)?))
            }
            (Some(RowKind::Answered), MEMBER) => {
                Some(Self::Member(serde_json::from_str(&row.body)?))
            }
            (Some(RowKind::Accepted), "tool") => {
                let accepted: AcceptedRow = serde_json::from_str(&row.body)?;
                let call = uuid::Uuid::from_slice(&row.call).ok().map(CallId);
                let known = accepted.member.zip(call);
                known.map(|(member, call)| Self::Accepted(member, call, accepted.again))
            }
            _ => None,
        })
    }

    fn answer(&self) -> Option<&Told> {
        match self {
            Self::Answered(given) => given.answer.as_ref(),
            Self::Member(member) => Some(&member.answer),
            Self::Asked(_) | Self::Accepted(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Body, Class, Journal, JournalOptions, Opening, Row};
    use crate::storage::StoreUrl;

    /// A store with one chain of these rows after its first.
    async fn chain(lines: &[(RowKind, &str, String)]) -> Arc<dyn Storage> {
        let store = StoreUrl::Memory.open().await.expect("opens");
        let journal = Journal::open(Arc::clone(&store), JournalOptions::default()).await;
        let journal = journal.expect("opens");
        let opening = Opening { plugin: "x", component: None, host_version: "1", grants: &[] };
        let chain = journal.chain(opening);
        for (kind, target, body) in lines {
            let row = Row { capability: ASK, target, body: Body::Text(body), ..Row::new(*kind) };
            chain.append(row, Class::Queued).await.expect("appends");
        }
        journal.close().await.expect("closes");
        store
    }

    fn answered(ask: &Ask, answer: &Answer, at: u64) -> (RowKind, &'static str, String) {
        let row = AnsweredRow {
            ask: Some(Told::of(ask).expect("JSON").0),
            answer: Some(Told::of(answer).expect("JSON").0),
            at,
            ..AnsweredRow::default()
        };
        (RowKind::Answered, ask.name(), serde_json::to_string(&row).expect("JSON"))
    }

    async fn player(store: Arc<dyn Storage>, segments: &[(i64, i64)]) -> (Player, AgentClock) {
        let clock = AgentClock::at(1);
        let segment = |(from, until): &(i64, i64)| Segment {
            chain: 1,
            from: *from,
            until: *until,
            reseed: None,
        };
        let segments = segments.iter().map(segment).collect();
        let random = AgentRandom::of([0; 32]);
        (Player::of(store, segments, clock.clone(), random).await.expect("opens"), clock)
    }

    #[tokio::test]
    async fn what_was_asked_is_answered_as_then_and_anything_else_is_told_with_both_sides() {
        let lines = [
            answered(&Ask::Pid, &Answer::Pid(7), 50),
            answered(&Ask::Read(3), &Answer::Parts(Ok(Vec::new())), 60),
        ];
        let store = chain(&lines).await;
        let (mut all, clock) = player(Arc::clone(&store), &[(0, 2)]).await;
        let first = all.play(&Ask::Pid).await.expect("as then");
        assert!(matches!(first, Played::Answer { answer: Answer::Pid(7), .. }));
        assert_eq!(clock.shows(), 50);
        let error = all.play(&Ask::Read(4)).await.expect_err("another page").to_string();
        assert!(error.contains("{\"Read\":3}") && error.contains("{\"Read\":4}"), "{error}");
        let (mut other, _) = player(store, &[(0, 2)]).await;
        let error = other.play(&Ask::Pages).await.expect_err("another import").to_string();
        assert!(error.contains("process.self-pid") && error.contains("context.pages"), "{error}");
    }

    #[tokio::test]
    async fn what_a_restore_left_is_not_played() {
        let lines = [
            answered(&Ask::Pid, &Answer::Pid(7), 50),
            answered(&Ask::Free(1), &Answer::Changed(Ok(())), 60),
            (RowKind::Noted, "restored", "{}".to_owned()),
            answered(&Ask::Free(2), &Answer::Changed(Ok(())), 70),
        ];
        let (mut player, _) = player(chain(&lines).await, &[(0, 1), (4, 4)]).await;
        for ask in [Ask::Pid, Ask::Free(2)] {
            let played = player.play(&ask).await.expect("as then");
            assert!(matches!(played, Played::Answer { .. }), "{played:?}");
        }
        assert!(matches!(player.play(&Ask::Pid).await, Ok(Played::End)));
    }

    #[tokio::test]
    async fn a_question_without_an_answer_is_open_with_what_is_known_of_its_calls() {
        let ask = Ask::Wait(Vec::new(), true, None);
        let row = AskedRow { ask: Told::of(&ask).expect("JSON").0, at: 9, clock: vec![5] };
        let line = (RowKind::Asked, ask.name(), serde_json::to_string(&row).expect("JSON"));
        let (mut player, _) = player(chain(&[line]).await, &[(0, 1)]).await;
        match player.play(&ask).await {
            Ok(Played::Open(open)) => assert_eq!((open.at, open.restored), (9, false)),
            other => panic!("{other:?}"),
        }
    }
}
