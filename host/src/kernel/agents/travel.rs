//! An agent as one file: out of a store with all that it needs, and into another one.
//!
//! The file is a store of its own, with the agent's chain, those that it was forked from, what
//! their rows name, and the programs that it runs. All of it is checked before any is taken in.
//! What comes out in the other store is a new agent that goes on where this one stood, as a fork
//! does: without children and mail, with calls that were open told as interrupted. It carries what
//! it asks, and never a grant.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::charter::Charter;
use super::checkpoint::left;
use super::operate::OperateError;
use super::past::Past;
use super::{Agents, SpawnError};
use crate::journal::carry::{bodies_of, carry_bodies, carry_chain, check_bodies};
use crate::journal::{ChainId, CopyError, Digest};
use crate::storage::{
    Batch, ChainRange, Durability, NewProcess, ProcessChange, ProcessRange, Storage, StorageError,
    StoreUrl,
};
use crate::types::Pid;

/// An agent on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traveller {
    /// Its number where it comes from.
    pub pid: Pid,
    /// What it is called.
    pub name: String,
    /// Its program's name.
    pub program: String,
    /// What it was granted there.
    pub grants: Vec<String>,
    /// Its chain's id, as 32 hexadecimal digits.
    pub chain: String,
    /// How many rows its own chain has.
    pub rows: u64,
}

fn refused(error: &dyn std::fmt::Display) -> OperateError {
    OperateError::Refused(error.to_string())
}

/// What of a store an agent needs.
struct Needs {
    traveller: Traveller,
    /// Its chain last: what it was forked from comes before it.
    chains: Vec<ChainId>,
    bodies: Vec<Digest>,
}

impl Needs {
    /// Reads and checks all of it.
    async fn of(store: &Arc<dyn Storage>, pid: Pid) -> Result<Self, OperateError> {
        let found = store.processes(ProcessRange::Only(pid.0)).await;
        let record = found.map_err(|error| refused(&error))?.into_iter().next();
        let record = record.ok_or(OperateError::NoAgent(pid))?;
        let own = <[u8; 16]>::try_from(&record.chain[..]).unwrap_or_default();
        let past = Past::read(store, own).await.map_err(|error| refused(&error))?;
        let mut chains = Vec::new();
        for segment in &past.segments {
            let id = id_of(&**store, segment.chain).await.map_err(|error| refused(&error))?;
            if !chains.contains(&id) && id.0 != own {
                chains.push(id);
            }
        }
        chains.push(ChainId(own));
        let mut bodies = BTreeSet::new();
        for chain in &chains {
            bodies_of(store, *chain, &mut bodies).await.map_err(|error| refused(&error))?;
        }
        let programs = past.charter.programs();
        bodies.extend(programs.filter_map(|program| program.hash.parse::<Digest>().ok()));
        let bodies: Vec<Digest> = bodies.into_iter().collect();
        check_bodies(&**store, &bodies).await.map_err(|error| refused(&error))?;
        Ok(Self { traveller: traveller(&past), chains, bodies })
    }

    async fn carry(&self, from: &Arc<dyn Storage>, to: &dyn Storage) -> Result<(), CopyError> {
        // Bodies first: a chain is never without what it names.
        carry_bodies(&**from, to, &self.bodies).await?;
        for chain in &self.chains {
            carry_chain(from, to, *chain).await?;
        }
        Ok(())
    }
}

fn traveller(past: &Past) -> Traveller {
    let Charter { name, program, .. } = &past.charter;
    let chain = <[u8; 16]>::try_from(&past.history.chain().id[..]).unwrap_or_default();
    Traveller {
        pid: past.pid,
        name: name.clone(),
        program: program.name.clone(),
        grants: past.charter.grants().to_vec(),
        chain: ChainId(chain).to_string(),
        rows: u64::try_from(past.history.rows()).unwrap_or(0),
    }
}

async fn id_of(store: &dyn Storage, number: i64) -> Result<ChainId, StorageError> {
    let found = store.chains(ChainRange::From(number), 1).await?.into_iter().next();
    let chain = found.filter(|chain| chain.number == number).map(|chain| chain.id);
    Ok(ChainId(chain.and_then(|id| id.try_into().ok()).unwrap_or_default()))
}

/// Writes an agent of a store, living or ended, into a file that is not there yet. It stays in its
/// store as it is.
///
/// # Errors
/// There is no such agent, something of it is missing or was changed, or the file is there or
/// cannot be written.
pub async fn export(
    store: &Arc<dyn Storage>,
    pid: Pid,
    file: &Path,
) -> Result<Traveller, OperateError> {
    let needs = Needs::of(store, pid).await?;
    let place = file.display();
    if file.try_exists().map_err(|error| refused(&format!("{place}: {error}")))? {
        return Err(refused(&format!("{place} is there already")));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = tempfile::tempdir_in(folder.unwrap_or(Path::new(".")))
        .map_err(|error| refused(&format!("{place}: {error}")))?;
    let unfinished = folder.path().join("agent.aos");
    let to = StoreUrl::Sqlite(unfinished.clone()).open().await.map_err(|error| refused(&error))?;
    let written = write(&needs, store, &*to).await;
    // No more pages than it takes.
    let compacted = to.compact().await;
    let closed = to.close().await;
    written.map_err(|error| refused(&error))?;
    compacted.map_err(|error| refused(&error))?;
    closed.map_err(|error| refused(&error))?;
    // What is there by now is not overwritten.
    std::fs::hard_link(&unfinished, file).map_err(|error| refused(&format!("{place}: {error}")))?;
    Ok(needs.traveller)
}

async fn write(needs: &Needs, from: &Arc<dyn Storage>, to: &dyn Storage) -> Result<(), CopyError> {
    needs.carry(from, to).await?;
    let Some(chain) = needs.chains.last() else { return Ok(()) };
    let pid = needs.traveller.pid.0;
    // No host takes up what lies in a file.
    let born = NewProcess { pid, chain: *chain, parent: 0, resumes: false };
    let batch = Batch { processes: vec![ProcessChange::Born(born)], ..Batch::default() };
    Ok(to.append(&batch, Durability::Synced).await?)
}

/// Checks a file whole, and takes what it has into a store. Until a host is asked to go on with it
/// ([`Agents::adopt`]) it is history alone. With `look` nothing is taken in.
///
/// # Errors
/// The file is none of an agent, something in it is missing or was changed, or the store has
/// another chain under one of its ids.
pub async fn import(
    store: &Arc<dyn Storage>,
    file: &Path,
    look: bool,
) -> Result<Traveller, OperateError> {
    let place = file.display();
    let wrong = |what: String| refused(&format!("{place}: {what}"));
    let metadata = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if !metadata.is_file() {
        return Err(wrong("it is no regular file".into()));
    }
    // Opened as a store it could be written to, so that is done to a copy.
    let folder = tempfile::tempdir().map_err(|error| wrong(error.to_string()))?;
    let copy = folder.path().join("agent.aos");
    std::fs::copy(file, &copy).map_err(|error| wrong(error.to_string()))?;
    let from = StoreUrl::Sqlite(copy).open().await.map_err(|error| wrong(error.to_string()))?;
    let taken = take_in(store, &from, look).await;
    from.close().await.map_err(|error| wrong(error.to_string()))?;
    taken.map_err(|error| wrong(error.to_string()))
}

async fn take_in(
    store: &Arc<dyn Storage>,
    from: &Arc<dyn Storage>,
    look: bool,
) -> Result<Traveller, OperateError> {
    let found = from.processes(ProcessRange::After(0)).await.map_err(|error| refused(&error))?;
    let [record] = &found[..] else {
        return Err(refused(&format!(
            "it has {} agents, and one is what it should have",
            found.len()
        )));
    };
    let needs = Needs::of(from, Pid(record.pid)).await?;
    if !look {
        needs.carry(from, &**store).await.map_err(|error| refused(&error))?;
    }
    Ok(needs.traveller)
}

impl Agents {
    /// A new agent that goes on where the agent of an imported chain stood, with these grants.
    ///
    /// # Errors
    /// There is no such chain, a grant is none, or its programs are missing.
    pub async fn adopt(
        &self,
        chain: &str,
        name: Option<String>,
        grants: Vec<String>,
    ) -> Result<Pid, SpawnError> {
        let refused = |error: &dyn std::fmt::Display| SpawnError::Refused(error.to_string());
        let id = crate::storage::from_hex(chain).map_err(|error| refused(&error))?;
        let kernel = self.kernel();
        let past = Past::read(kernel.storage(), id).await.map_err(|error| refused(&error))?;
        let charter = past.charter.clone().elsewhere(grants);
        let mut spawn = self.spawn_of(&charter).await.map_err(SpawnError::Refused)?;
        if let Some(name) = name {
            spawn.name = name;
        }
        spawn.holdings.budget = left(spawn.holdings.budget, &past);
        self.go_on(spawn, None, &past, past.history.rows() - 1).await
    }
}
