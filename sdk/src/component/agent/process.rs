//! `aos:agent/process`.

use super::bindings::aos::agent::process as host;
use super::parts;
use crate::process::{Budget, Ending, Error, Event, Exit, Message, Pid, Spawn, Wait};

pub(crate) fn self_pid() -> Pid {
    Pid(host::self_pid())
}

pub(crate) fn spawn(spawn: Spawn) -> Result<Pid, Error> {
    let Spawn { name, program, task, priority, model, tools, grants, budget } = spawn;
    let budget = budget_out(budget);
    let options =
        host::SpawnOptions { name, program, task, priority, model, tools, grants, budget };
    host::spawn(&options).map(Pid).map_err(error)
}

pub(crate) fn wait(wait: Wait) -> Result<Option<Event>, Error> {
    let children: Vec<u64> = wait.children.into_iter().map(|pid| pid.0).collect();
    let came = host::wait(&children, wait.messages, wait.timeout_ms).map_err(error)?;
    Ok(came.map(event))
}

pub(crate) fn kill(child: Pid) -> Result<(), Error> {
    host::kill(child.0).map_err(error)
}

pub(crate) fn send(to: Pid, body: String) -> Result<(), Error> {
    host::send(to.0, &body).map_err(error)
}

pub(crate) fn checkpoint(label: &str, state: Option<Vec<u8>>) -> Result<String, Error> {
    host::checkpoint(label, state.as_deref()).map_err(error)
}

fn budget_out(budget: Budget) -> host::Budget {
    let Budget { tokens, calls, microdollars, wall_ms, memory_bytes } = budget;
    host::Budget { tokens, calls, microdollars, wall_ms, memory_bytes }
}

fn event(event: host::Event) -> Event {
    match event {
        host::Event::Message(host::Message { sender, body }) => {
            Event::Message(Message { sender: Pid(sender), body })
        }
        host::Event::Exited(host::Exit { pid, ending: how }) => {
            Event::Exited(Exit { pid: Pid(pid), ending: ending(how) })
        }
    }
}

fn ending(ending: host::Ending) -> Ending {
    match ending {
        host::Ending::Returned(text) => Ending::Returned(text),
        host::Ending::Failed(reason) => Ending::Failed(reason),
        host::Ending::Trapped(reason) => Ending::Trapped(reason),
        host::Ending::Killed(reason) => Ending::Killed(reason),
        host::Ending::LimitExceeded(reason) => Ending::LimitExceeded(reason),
    }
}

fn error(error: host::Error) -> Error {
    match error {
        host::Error::Denied(denial) => Error::Denied(parts::denial(denial)),
        host::Error::NoSuchProcess(message) => Error::NoSuchProcess(message),
        host::Error::NoSuchProgram(name) => Error::NoSuchProgram(name),
        host::Error::LimitExceeded(limit) => Error::LimitExceeded(parts::limit(limit)),
        host::Error::MailboxFull(messages) => Error::MailboxFull(messages),
    }
}
