//! The run itself: who goes on next, what each request gets, and what time it is.
//!
//! One process runs at a time, until it asks for something that takes time or ends. Then the most
//! urgent of those that can go on does; where none can, the clock jumps to the next thing that was
//! to happen; where nothing is to happen, nobody can ever go on, and the run ends.

mod answers;
mod spawning;

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use super::super::link::{self, Answer, Asked, Killed, Request};
use super::memory::Memory;
use super::table::{Birth, Table};
use super::{Call, Kernel, Outcome, Program, Prompt};
use crate::process::{Ending, Exit, Message, Pid};
use crate::testing::Progress;

/// Requests of one run: far more than a test makes, so that a test of an endless agent ends.
const REQUESTS_MAX: u64 = 1_000_000;

/// The process that a test starts, and the one that stands for the outside.
const FIRST: Pid = Pid(1);
const OUTSIDE: Pid = Pid(0);

/// How a process goes on.
enum Wake {
    Start,
    Answer(Box<dyn FnOnce()>),
}

/// A process that can go on.
struct Ready {
    priority: u8,
    number: u64,
    pid: Pid,
    wake: Wake,
}

/// What is to happen at a time.
enum Due {
    Wake(Wake),
    TimeOut(u64),
    End(Ending),
    Mail(String),
}

struct Timer {
    at: Duration,
    number: u64,
    pid: Pid,
    due: Due,
}

/// Whether a process runs on after its request.
enum Next {
    Runs,
    Sleeps,
}

pub(super) struct Machine {
    kernel: Kernel,
    table: Table,
    now: Duration,
    /// Counts what happens, so that equals go in order.
    number: u64,
    requests: u64,
    sender: Sender<Asked>,
    receiver: Receiver<Asked>,
    ready: Vec<Ready>,
    timers: Vec<Timer>,
    prompts: Vec<Prompt>,
    calls: Vec<Call>,
    logged: Vec<String>,
    progress: Vec<Progress>,
    program: Program,
}

impl Machine {
    pub(super) fn new(kernel: Kernel, program: Program) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            kernel,
            table: Table::default(),
            now: Duration::ZERO,
            number: 0,
            requests: 0,
            sender,
            receiver,
            ready: Vec::new(),
            timers: Vec::new(),
            prompts: Vec::new(),
            calls: Vec::new(),
            logged: Vec::new(),
            progress: Vec::new(),
            program,
        }
    }

    pub(super) fn run(mut self, task: &str) -> Outcome {
        self.begin(task);
        while self.table.live(FIRST).is_some() {
            if let Some(ready) = self.take_ready() {
                self.wake(ready.pid, ready.wake);
                self.serve();
            } else if let Some(timer) = self.take_timer() {
                self.now = self.now.max(timer.at);
                self.fire(timer);
            } else {
                let reason = "it waits for what cannot come, and so does everyone else";
                self.end(FIRST, Ending::Killed(reason.to_owned()));
            }
        }
        for thread in self.table.threads() {
            thread.join().expect("invariant: a process's thread catches its panics");
        }
        let processes = self.table.into_processes();
        Outcome {
            ending: processes[0].ending.clone(),
            elapsed: self.now,
            processes,
            prompts: self.prompts,
            calls: self.calls,
            logged: self.logged,
            progress: self.progress,
        }
    }

    fn begin(&mut self, task: &str) {
        let birth = Birth {
            name: "agent".to_owned(),
            program: None,
            task: task.to_owned(),
            parent: None,
            priority: self.kernel.priority,
            tools: self.kernel.tools.names(),
            grants: self.kernel.grants.clone(),
        };
        let memory = Memory::new(self.kernel.window_tokens);
        let first = self.table.insert(birth, Some(self.program.clone()), memory);
        self.make_ready(first, Wake::Start);
        for (after, body) in std::mem::take(&mut self.kernel.mail) {
            self.at(after, FIRST, Due::Mail(body));
        }
    }

    fn count(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn make_ready(&mut self, pid: Pid, wake: Wake) {
        let (number, priority) = (self.count(), self.table.entry(pid).birth.priority);
        self.ready.push(Ready { priority, number, pid, wake });
    }

    fn take_ready(&mut self) -> Option<Ready> {
        let order = |(_, ready): &(usize, &Ready)| (ready.priority, ready.number);
        let (index, _) = self.ready.iter().enumerate().min_by_key(order)?;
        Some(self.ready.remove(index))
    }

    fn at(&mut self, at: Duration, pid: Pid, due: Due) {
        let number = self.count();
        self.timers.push(Timer { at, number, pid, due });
    }

    fn take_timer(&mut self) -> Option<Timer> {
        let order = |(_, timer): &(usize, &Timer)| (timer.at, timer.number);
        let (index, _) = self.timers.iter().enumerate().min_by_key(order)?;
        Some(self.timers.remove(index))
    }

    fn fire(&mut self, timer: Timer) {
        match timer.due {
            Due::Wake(wake) => self.make_ready(timer.pid, wake),
            Due::End(ending) => self.end(timer.pid, ending),
            Due::Mail(body) => {
                let message = Message { sender: OUTSIDE, body };
                let number = self.count();
                self.table.entry(timer.pid).mailbox.push_back((number, message));
                self.deliver(timer.pid);
            }
            Due::TimeOut(number) => {
                let waiting = &mut self.table.entry(timer.pid).waiting;
                if let Some(waiting) = waiting.take_if(|waiting| waiting.number == number) {
                    let answer = move || drop(waiting.answer.send(Ok(None)));
                    self.make_ready(timer.pid, Wake::Answer(Box::new(answer)));
                }
            }
        }
    }

    fn wake(&mut self, pid: Pid, wake: Wake) {
        match wake {
            Wake::Answer(answer) => answer(),
            Wake::Start => {
                let entry = self.table.entry(pid);
                let run = entry.run.clone().expect("invariant: only what has a program starts");
                let task = entry.birth.task.clone();
                let sender = self.sender.clone();
                let thread = thread::Builder::new().name(entry.birth.name.clone());
                let body = move || live(pid, sender, &run, task);
                entry.thread = Some(thread.spawn(body).expect("a thread for the process"));
            }
        }
    }

    /// Answers the one process that runs, until it sleeps or ends.
    fn serve(&mut self) {
        loop {
            let asked = self.receiver.recv();
            let (pid, request) = asked.expect("invariant: the machine holds a sender itself");
            if self.table.live(pid).is_none() {
                // What an ended process says while it unwinds.
                continue;
            }
            self.requests += 1;
            if self.requests > REQUESTS_MAX {
                let reason = format!("{REQUESTS_MAX} requests in one run");
                self.end(FIRST, Ending::LimitExceeded(reason));
                return;
            }
            match self.handle(pid, request) {
                Next::Runs => {}
                Next::Sleeps => return,
            }
        }
    }

    /// Answers now, or after some time.
    fn answer<T: 'static>(
        &mut self,
        pid: Pid,
        after: Duration,
        answer: Answer<T>,
        value: T,
    ) -> Next {
        if after.is_zero() {
            answer.send(value).ok();
            return Next::Runs;
        }
        let wake = Wake::Answer(Box::new(move || drop(answer.send(value))));
        self.at(self.now + after, pid, Due::Wake(wake));
        Next::Sleeps
    }

    /// Ends a process and all below it, leaves first, and tells its parent.
    fn end(&mut self, pid: Pid, ending: Ending) {
        for child in self.table.live_children(pid) {
            self.end(child, Ending::Killed("its parent ended".to_owned()));
        }
        let now = self.now;
        let Some(entry) = self.table.live(pid) else { return };
        entry.ended = Some((ending.clone(), now));
        // Dropping what would wake it lets its thread unwind.
        entry.waiting = None;
        self.ready.retain(|ready| ready.pid != pid);
        self.timers.retain(|timer| timer.pid != pid);
        if let Some(parent) = self.table.entry(pid).birth.parent {
            let number = self.count();
            self.table.entry(parent).exits.push_back((number, Exit { pid, ending }));
            self.deliver(parent);
        }
    }

    /// Wakes a process whose wait has come to its end.
    fn deliver(&mut self, pid: Pid) {
        let Some(entry) = self.table.live(pid) else { return };
        let Some(waiting) = entry.waiting.take() else { return };
        let Some(event) = entry.take_event(&waiting.wait) else {
            entry.waiting = Some(waiting);
            return;
        };
        self.timers.retain(|timer| !matches!(timer.due, Due::TimeOut(n) if n == waiting.number));
        let answer = move || drop(waiting.answer.send(Ok(Some(event))));
        self.make_ready(pid, Wake::Answer(Box::new(answer)));
    }
}

/// The life of a process, on its own thread.
fn live(pid: Pid, kernel: Sender<Asked>, run: &Program, task: String) {
    link::connect(pid, kernel);
    let ended = panic::catch_unwind(AssertUnwindSafe(|| run(task)));
    let ending = match ended {
        Ok(Ok(text)) => Ending::Returned(text),
        Ok(Err(reason)) => Ending::Failed(reason),
        Err(thrown) if thrown.is::<Killed>() => return,
        Err(thrown) => Ending::Trapped(message(thrown.as_ref())),
    };
    link::tell(Request::Ended(ending));
}

/// What a panic said.
fn message(thrown: &(dyn Any + Send)) -> String {
    let text = thrown.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| thrown.downcast_ref::<String>().cloned()).unwrap_or_default()
}
