//! Starting children: what a child gets, and why it does not start.

use super::super::Program;
use super::super::memory::Memory;
use super::super::table::Birth;
use super::{Due, Machine, Wake};
use crate::process::{Error, Pid, Spawn};
use crate::{Denial, Limit, MissingIn};

impl Machine {
    pub(super) fn spawn(&mut self, parent: Pid, spawn: Spawn) -> Result<Pid, Error> {
        self.check_room(parent)?;
        let inherited = &self.table.entry(parent).birth;
        let priority = spawn.priority.unwrap_or(inherited.priority);
        if priority < inherited.priority || priority > 100 {
            return Err(denied("priority", priority.to_string()));
        }
        let tools = subset("tool", spawn.tools, &inherited.tools)?;
        let grants = subset("grant", spawn.grants, &inherited.grants)?;
        let scripted = self.kernel.endings.get(&spawn.name).cloned();
        let run = match scripted {
            Some(_) => None,
            None => Some(self.find_program(parent, spawn.program.as_deref())?),
        };
        let birth = Birth {
            name: spawn.name,
            program: spawn.program,
            task: spawn.task,
            parent: Some(parent),
            priority,
            tools,
            grants,
        };
        let memory = Memory::new(self.kernel.window_tokens);
        let child = self.table.insert(birth, run, memory);
        match scripted {
            Some((after, ending)) => self.at(self.now + after, child, Due::End(ending)),
            None => self.make_ready(child, Wake::Start),
        }
        Ok(child)
    }

    fn check_room(&self, parent: Pid) -> Result<(), Error> {
        let children_max = self.kernel.children_max;
        if self.table.live_children(parent).len() < children_max {
            return Ok(());
        }
        Err(Error::LimitExceeded(Limit {
            name: "max-children".to_owned(),
            value: children_max as u64,
            unit: "processes".to_owned(),
            opens_in_ms: None,
            remedy: "Kernel::children_max raises it".to_owned(),
        }))
    }

    fn find_program(&mut self, parent: Pid, name: Option<&str>) -> Result<Program, Error> {
        match name {
            None => {
                let own = self.table.entry(parent).run.clone();
                Ok(own.expect("invariant: who spawns runs a program"))
            }
            Some(name) => {
                let found = self.kernel.programs.get(name).cloned();
                found.ok_or_else(|| Error::NoSuchProgram(name.to_owned()))
            }
        }
    }
}

/// What was named, or all; a child never holds what its parent lacks.
fn subset(what: &str, named: Option<Vec<String>>, held: &[String]) -> Result<Vec<String>, Error> {
    let Some(named) = named else { return Ok(held.to_vec()) };
    match named.iter().find(|name| !held.contains(name)) {
        Some(lacking) => Err(denied(what, lacking.clone())),
        None => Ok(named),
    }
}

fn denied(what: &str, target: String) -> Error {
    Error::Denied(Denial {
        capability: what.to_owned(),
        target,
        missing_in: MissingIn::Caller,
        remedy: "a child never holds what its parent lacks".to_owned(),
    })
}
