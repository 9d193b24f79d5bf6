//! Starting children and waiting for what they report.

use aos_sdk::agent::Error;
use aos_sdk::context::{Draft, PageKind};
use aos_sdk::log;
use aos_sdk::process::{self, Event, Pid, Spawn, Wait};
use serde_json::json;

use crate::role::Role;

/// The program of every child.
const PROGRAM: &str = "assistant";
/// How often a child's model is asked at most.
const CHILD_TURNS_MAX: u32 = 30;

/// What came of one part.
pub(crate) struct Report {
    pub(crate) role: Role,
    /// Or why there is none, in words.
    pub(crate) result: Result<String, String>,
}

impl Report {
    pub(crate) fn to_text(&self) -> String {
        match &self.result {
            Ok(text) => format!("Result of the {}:\n{text}", self.role.name()),
            Err(reason) => format!("The {} did not finish: {reason}", self.role.name()),
        }
    }
}

/// Starts the child that does this part.
pub(crate) fn start(role: Role, part: &str, design: Option<&str>) -> Result<Pid, process::Error> {
    let task = match design {
        Some(design) => format!("{part}\n\nThe Architect's design:\n{design}"),
        None => part.to_owned(),
    };
    let order = json!({ "task": task, "system": role.system(), "turns_max": CHILD_TURNS_MAX });
    let child = || Spawn::new(role.name(), order.to_string()).program(PROGRAM);
    match child().priority(role.priority()).start() {
        // Whoever started the team less urgent than that cannot give this priority; the child
        // then gets the team's own. Every other denial comes again.
        Err(process::Error::Denied(_)) => child().start(),
        started => started,
    }
}

/// Waits until all have ended. What somebody says to the team meanwhile goes into its context.
pub(crate) fn gather(mut left: Vec<(Role, Pid)>) -> Result<Vec<Report>, Error> {
    let mut reports = Vec::new();
    while !left.is_empty() {
        let children = left.iter().map(|(_, pid)| *pid);
        match Wait::new().children(children).messages().next()? {
            Some(Event::Exited(exit)) => {
                let Some(index) = left.iter().position(|(_, pid)| *pid == exit.pid) else {
                    continue;
                };
                let (role, _) = left.remove(index);
                log!("{} ended", role.name());
                reports.push(record(role, exit.ending.result())?);
            }
            Some(Event::Message(message)) => {
                let text = format!("Message from process {}:\n{}", message.sender, message.body);
                Draft::new(PageKind::User).text(text).label("message").append()?;
            }
            // There was no time-out that could have passed.
            None => return Err(Error::failed("the wait for the children ended without any")),
        }
    }
    Ok(reports)
}

/// Tells the leader's model what came of a part.
pub(crate) fn record(role: Role, result: Result<String, String>) -> Result<Report, Error> {
    let report = Report { role, result };
    Draft::new(PageKind::User).text(report.to_text()).label(role.name()).append()?;
    Ok(report)
}
