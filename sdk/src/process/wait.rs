//! Waiting for children, messages and time.

use std::time::Duration;

use super::{Error, Event, Exit, Pid, host};

/// What to wait for: the first of it ends the wait.
///
/// ```no_run
/// use std::time::Duration;
/// use aos_sdk::process::{Event, Wait};
///
/// # fn main() -> Result<(), aos_sdk::process::Error> {
/// match Wait::new().messages().timeout(Duration::from_secs(60)).next()? {
///     Some(Event::Message(message)) => println!("{}: {}", message.sender, message.body),
///     Some(Event::Exited(exit)) => println!("{} ended", exit.pid),
///     None => println!("nothing within a minute"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "nothing is waited for before `next`"]
pub struct Wait {
    /// Whose end is waited for.
    pub children: Vec<Pid>,
    /// Whether a message ends the wait.
    pub messages: bool,
    /// In milliseconds; none for as long as it takes.
    pub timeout_ms: Option<u64>,
}

impl Wait {
    /// Waits for nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the end of this child.
    pub fn child(mut self, child: Pid) -> Self {
        self.children.push(child);
        self
    }

    /// Waits for the end of any of these children.
    pub fn children(mut self, children: impl IntoIterator<Item = Pid>) -> Self {
        self.children.extend(children);
        self
    }

    /// Waits for a message.
    pub fn messages(mut self) -> Self {
        self.messages = true;
        self
    }

    /// Waits so long at most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_ms = Some(crate::call::milliseconds(timeout));
        self
    }

    /// Waits. None when the time has passed.
    ///
    /// # Errors
    /// Where a child is none of the agent's.
    pub fn next(self) -> Result<Option<Event>, Error> {
        host::wait(self)
    }
}

/// Waits for the end of one child.
///
/// # Errors
/// Where it is no child of the agent.
pub fn join(child: Pid) -> Result<Exit, Error> {
    let mut exits = join_all(&[child])?;
    exits.pop().ok_or_else(|| Error::NoSuchProcess(child.to_string()))
}

/// Waits for the ends of all these children; they come in the order of `children`. Messages stay in
/// the mailbox meanwhile.
///
/// # Errors
/// Where one is no child of the agent.
pub fn join_all(children: &[Pid]) -> Result<Vec<Exit>, Error> {
    let mut left = children.to_vec();
    let mut exits = Vec::with_capacity(left.len());
    while !left.is_empty() {
        // Without a time-out there is no wait without an event; a host that breaks this would
        // otherwise be asked for ever.
        let Some(Event::Exited(exit)) = Wait::new().children(left.iter().copied()).next()? else {
            return Err(Error::NoSuchProcess(format!("{} children never ended", left.len())));
        };
        left.retain(|child| *child != exit.pid);
        exits.push(exit);
    }
    exits.sort_by_key(|exit| children.iter().position(|child| *child == exit.pid));
    Ok(exits)
}
