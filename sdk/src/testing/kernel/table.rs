//! The process table: who is there, what each one waits for, what came for it.

use std::collections::{BTreeMap, VecDeque};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::link::Answer;
use super::memory::Memory;
use super::{Process, Program};
use crate::process::{Ending, Error, Event, Exit, Message, Pid, Wait};

/// Where an event goes.
pub(super) type EventAnswer = Answer<Result<Option<Event>, Error>>;

/// A wait that has not ended.
pub(super) struct Waiting {
    pub(super) wait: Wait,
    pub(super) answer: EventAnswer,
    /// Tells the time-out of this wait from those before.
    pub(super) number: u64,
}

/// What every process is from its start.
pub(super) struct Birth {
    pub(super) name: String,
    pub(super) program: Option<String>,
    pub(super) task: String,
    pub(super) parent: Option<Pid>,
    pub(super) priority: u8,
    pub(super) tools: Vec<String>,
    pub(super) grants: Vec<String>,
}

pub(super) struct Entry {
    pub(super) birth: Birth,
    /// None for a child whose ending is scripted.
    pub(super) run: Option<Program>,
    pub(super) memory: Memory,
    pub(super) mailbox: VecDeque<(u64, Message)>,
    /// Ends of children that were not told yet.
    pub(super) exits: VecDeque<(u64, Exit)>,
    pub(super) waiting: Option<Waiting>,
    pub(super) checkpoints: Vec<(String, Option<Vec<u8>>)>,
    pub(super) ended: Option<(Ending, Duration)>,
    pub(super) thread: Option<JoinHandle<()>>,
}

/// All processes of a run, the ended ones too.
#[derive(Default)]
pub(super) struct Table {
    entries: BTreeMap<Pid, Entry>,
}

impl Table {
    pub(super) fn insert(&mut self, birth: Birth, run: Option<Program>, memory: Memory) -> Pid {
        let pid = Pid(self.entries.len() as u64 + 1);
        let entry = Entry {
            birth,
            run,
            memory,
            mailbox: VecDeque::new(),
            exits: VecDeque::new(),
            waiting: None,
            checkpoints: Vec::new(),
            ended: None,
            thread: None,
        };
        self.entries.insert(pid, entry);
        pid
    }

    pub(super) fn entry(&mut self, pid: Pid) -> &mut Entry {
        self.entries.get_mut(&pid).expect("invariant: a pid in use is in the table")
    }

    /// The process of this number, unless it ended or never was.
    pub(super) fn live(&mut self, pid: Pid) -> Option<&mut Entry> {
        self.entries.get_mut(&pid).filter(|entry| entry.ended.is_none())
    }

    pub(super) fn live_children(&self, parent: Pid) -> Vec<Pid> {
        let is_child = |entry: &Entry| entry.birth.parent == Some(parent) && entry.ended.is_none();
        self.entries.iter().filter(|(_, entry)| is_child(entry)).map(|(pid, _)| *pid).collect()
    }

    pub(super) fn is_child(&self, child: Pid, parent: Pid) -> bool {
        self.entries.get(&child).is_some_and(|entry| entry.birth.parent == Some(parent))
    }

    /// Whether `parent` may wait for this: a child of its own whose end it was not told yet.
    pub(super) fn can_wait(&self, child: Pid, parent: Pid) -> bool {
        let Some(entry) = self.entries.get(&child) else { return false };
        let untold = |parent: &Entry| parent.exits.iter().any(|(_, exit)| exit.pid == child);
        entry.birth.parent == Some(parent)
            && (entry.ended.is_none() || self.entries.get(&parent).is_some_and(untold))
    }

    pub(super) fn threads(&mut self) -> Vec<JoinHandle<()>> {
        self.entries.values_mut().filter_map(|entry| entry.thread.take()).collect()
    }

    pub(super) fn into_processes(self) -> Vec<Process> {
        self.entries.into_iter().map(|(pid, entry)| entry.into_process(pid)).collect()
    }
}

impl Entry {
    /// What came first of what this wait is for.
    pub(super) fn take_event(&mut self, wait: &Wait) -> Option<Event> {
        let is_wanted = |(_, exit): &(u64, Exit)| wait.children.contains(&exit.pid);
        let exit = self.exits.iter().position(is_wanted);
        let exit_at = exit.map(|index| self.exits[index].0);
        let message_at = self.mailbox.front().filter(|_| wait.messages).map(|(at, _)| *at);
        match (exit, message_at) {
            (None, None) => None,
            (Some(index), at) if at.is_none() || exit_at < at => {
                self.exits.remove(index).map(|(_, exit)| Event::Exited(exit))
            }
            (_, _) => self.mailbox.pop_front().map(|(_, message)| Event::Message(message)),
        }
    }

    fn into_process(self, pid: Pid) -> Process {
        let Birth { name, program, task, parent, priority, tools, grants: _ } = self.birth;
        let never = || (Ending::Killed("the run ended".to_owned()), Duration::ZERO);
        let (ending, ended_at) = self.ended.unwrap_or_else(never);
        Process {
            pid,
            name,
            program,
            task,
            parent,
            priority,
            tools,
            pages: self.memory.into_pages(),
            checkpoints: self.checkpoints,
            ending,
            ended_at,
        }
    }
}
