//! What a host left behind that died: containers with its label whose process is gone.
//!
//! A host's id is a file in its state folder, so a host finds its own containers after a crash and
//! touches nobody else's. Many processes may share an id: each writes into its labels which process
//! it is, by number, start time and boot, so that one never removes what another still uses.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};

use crate::container::ContainerError;
use crate::container::daemon::Daemon;

/// The label with the host's id.
pub(super) const LABEL_HOST: &str = "aos-host.host";
/// The label with the process that runs it.
pub(super) const LABEL_OWNER: &str = "aos-host.owner";
/// The file with the id.
const FILE: &str = "host.id";

/// An id that nobody else has.
pub(super) fn fresh_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// The id of the host with this state folder; made when there is none.
pub(super) fn host_id(folder: &Path) -> Result<String, ContainerError> {
    let path = folder.join(FILE);
    let wrong = |error: std::io::Error| ContainerError::Io(format!("{}: {error}", path.display()));
    match read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read.map_err(wrong),
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
    // Written whole under another name first: who comes at the same time sees all or nothing.
    let new = folder.join(format!("{FILE}-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new();
    let mut file =
        file.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(wrong)?;
    writeln!(file, "{}", fresh_id()).map_err(wrong)?;
    let linked = std::fs::hard_link(&new, &path);
    std::fs::remove_file(&new).map_err(wrong)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(wrong(error)),
        Ok(()) | Err(_) => read(&path).map_err(wrong),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(64).read_to_string(&mut text)?;
    match text.trim() {
        id if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(id.into()),
        _ => Err(std::io::Error::other("it is no host's id; remove it, and a new one is made")),
    }
}

/// This process, as its labels name it: number, start time, boot.
pub(super) fn owner() -> String {
    let pid = std::process::id();
    format!("{pid}.{}.{}", started(pid).unwrap_or_default(), boot())
}

/// Whether the process that a label names still runs. What cannot be told counts as running.
fn is_alive(owner: &str) -> bool {
    let mut parts = owner.splitn(3, '.');
    let (Some(pid), Some(start), Some(its_boot)) = (parts.next(), parts.next(), parts.next())
    else {
        return true;
    };
    let Ok(pid) = pid.parse::<u32>() else { return true };
    if boot().is_empty() || its_boot.is_empty() {
        return true;
    }
    its_boot == boot() && started(pid).is_some_and(|now| now == start)
}

/// When a process started, in ticks since the boot; none when there is no such process.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, spaces and parentheses too.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

fn boot() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

impl Daemon {
    /// Removes the containers of this host's id whose process is gone; how many.
    ///
    /// # Errors
    /// When the daemon cannot be asked. A container that cannot be removed is told to the log.
    pub async fn sweep(&self) -> Result<usize, ContainerError> {
        let label = format!("{LABEL_HOST}={}", self.host);
        let filters = HashMap::from([("label", vec![label.as_str()])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let mut removed = 0;
        for container in self.docker.list_containers(Some(options)).await? {
            let labels = container.labels.unwrap_or_default();
            // A daemon that does not filter must not make this host remove what is not its own.
            let own = labels.get(LABEL_HOST).is_some_and(|host| **host == *self.host);
            let left = labels.get(LABEL_OWNER).is_some_and(|owner| !is_alive(owner));
            let (true, true, Some(id)) = (own, left, container.id) else { continue };
            match self.remove(&id).await {
                Ok(()) => removed += 1,
                Err(error) => tracing::warn!("the container {id} was not removed: {error}"),
            }
        }
        Ok(removed)
    }

    /// Removes a container, running or not, with its volumes. One that is gone is no error.
    pub(super) async fn remove(&self, name: &str) -> Result<(), ContainerError> {
        use bollard::errors::Error;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.docker.remove_container(name, Some(options)).await {
            Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            removed => Ok(removed?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_number_start_and_boot() {
        let own = owner();
        assert!(is_alive(&own));
        let (pid, rest) = own.split_once('.').expect("parts");
        let (start, boot) = rest.split_once('.').expect("parts");
        assert!(!is_alive(&format!("{pid}.1{start}.{boot}")), "another with this number");
        assert!(!is_alive(&format!("{pid}.{start}.other-boot")), "before the boot");
        assert!(!is_alive(&format!("4194305.{start}.{boot}")), "no such number");
        assert!(is_alive("nonsense"), "what cannot be told counts as running");
    }

    #[test]
    fn a_hosts_id_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let state = folder.path().join("state");
        let id = host_id(&state).expect("made");
        assert_eq!(host_id(&state).expect("read"), id);
        std::fs::write(state.join(FILE), "zz").expect("writes");
        assert!(host_id(&state).expect_err("damaged").to_string().contains("host.id"));
    }
}
