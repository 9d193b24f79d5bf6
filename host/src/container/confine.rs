//! How a container is shut in: the whole body of its creation, built here and nowhere else.
//!
//! No network, a root that cannot be written, no capabilities, no new privileges, an unprivileged
//! user, the daemon's own seccomp profile, bounds on processes, memory, processor time and open
//! files, an environment of four variables, and the mounts that the gate gave.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount as DockerMount, MountBindOptions, MountBindOptionsPropagationEnum, MountTmpfsOptions,
    MountType, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use crate::capability::files::{Closed, Mode, Mount};
use crate::container::ContainerError;
use crate::container::daemon::Address;
use crate::container::sweep::{LABEL_HOST, LABEL_OWNER, owner};

/// The user of a container whose host runs as root: nobody.
pub const NOBODY: u32 = 65534;
/// Files that the processes of a container hold open, each.
const OPEN_FILES_MAX: i64 = 1024;
/// The largest file that it writes: a quarter of a small disk's room would be too much.
const FILE_BYTES_MAX: i64 = 1 << 30;
/// What a container may not be given a mount over: the image's own programs, and the kernel's.
const RESERVED: [&str; 10] =
    ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/etc", "/proc", "/sys", "/dev"];

/// The bounds of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Memory with swap, in bytes; `/tmp` counts.
    pub memory_bytes: u64,
    /// Processor time of each process, in seconds.
    pub cpu_s: u64,
    /// Thousandths of a processor at once.
    pub cpu_permille: u32,
    /// Processes and threads.
    pub pids: u16,
    /// Size of `/tmp`, in bytes.
    pub tmp_bytes: u64,
}

/// One call: what runs, in what, with what.
#[derive(Clone, Debug)]
pub struct Cell<'a> {
    /// The image's hash.
    pub image: &'a str,
    /// The program's path in it.
    pub program: &'a str,
    /// Its arguments.
    pub words: Vec<String>,
    /// Whether something is written to its stdin.
    pub stdin: bool,
    /// What it sees of this machine.
    pub mounts: Vec<Mount>,
    /// Its bounds.
    pub bounds: Bounds,
}

/// The body that creates the container of a call, for a daemon at `address`.
///
/// # Errors
/// [`ContainerError::Mount`] when a folder cannot be given.
pub fn body(
    cell: &Cell<'_>,
    address: &Address,
    host: &str,
) -> Result<ContainerCreateBody, ContainerError> {
    if !cell.mounts.is_empty() && !address.is_local() {
        return Err(ContainerError::Mount(format!(
            "the daemon at {address} is taken for another machine, whose folders are not these: a \
             tool that reads files needs a local daemon (DOCKER_HOST=unix:///PATH)"
        )));
    }
    let mut mounts = Vec::new();
    for mount in &cell.mounts {
        mounts.extend(binds(mount, cell.program)?);
    }
    let user = rustix::process::getuid().as_raw();
    let (user, group) = match user {
        0 => (NOBODY, NOBODY),
        user => (user, rustix::process::getgid().as_raw()),
    };
    let labels = [(LABEL_HOST.to_owned(), host.to_owned()), (LABEL_OWNER.to_owned(), owner())];
    Ok(ContainerCreateBody {
        image: Some(cell.image.to_owned()),
        entrypoint: Some(vec![cell.program.to_owned()]),
        cmd: Some(cell.words.clone()),
        hostname: Some("tool".into()),
        user: Some(format!("{user}:{group}")),
        working_dir: Some("/".into()),
        env: Some(environment()),
        labels: Some(labels.into()),
        attach_stdin: Some(cell.stdin),
        open_stdin: Some(cell.stdin),
        stdin_once: Some(cell.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        network_disabled: Some(true),
        stop_signal: Some("SIGKILL".into()),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".into()]),
            ..HealthConfig::default()
        }),
        host_config: Some(shut(&cell.bounds, mounts)),
        ..ContainerCreateBody::default()
    })
}

/// All of a container's environment, so that what the image sets is not taken over.
fn environment() -> Vec<String> {
    [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/tmp",
        "LANG=C.UTF-8",
        "TMPDIR=/tmp",
    ]
    .map(str::to_owned)
    .into()
}

fn shut(bounds: &Bounds, mounts: Vec<DockerMount>) -> HostConfig {
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let same = |name: &str, limit: i64| ResourcesUlimits {
        name: Some(name.into()),
        soft: Some(limit),
        hard: Some(limit),
    };
    let tmp = format!("rw,noexec,nosuid,nodev,size={},mode=1777", bounds.tmp_bytes);
    HostConfig {
        network_mode: Some("none".into()),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".into()]),
        // A profile is not named: the daemon's default one is in force, unless somebody names none.
        security_opt: Some(vec!["no-new-privileges:true".into()]),
        privileged: Some(false),
        ipc_mode: Some("none".into()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        pids_limit: Some(i64::from(bounds.pids)),
        memory: Some(whole(bounds.memory_bytes)),
        // The same number: no swap on top.
        memory_swap: Some(whole(bounds.memory_bytes)),
        nano_cpus: Some(i64::from(bounds.cpu_permille) * 1_000_000),
        ulimits: Some(vec![
            same("core", 0),
            same("nofile", OPEN_FILES_MAX),
            same("fsize", FILE_BYTES_MAX),
            // Ends what computes on after its host has died.
            same("cpu", whole(bounds.cpu_s.max(1))),
        ]),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmp)])),
        mounts: Some(mounts),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        // What it prints goes to this host and to no file of the daemon's.
        log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
        auto_remove: Some(false),
        publish_all_ports: Some(false),
        ..HostConfig::default()
    }
}

/// A granted folder, and over it what hides the closed paths in it.
fn binds(mount: &Mount, program: &str) -> Result<Vec<DockerMount>, ContainerError> {
    let guest = mount.guest();
    let wrong = |why: &str| {
        ContainerError::Mount(format!(
            "`{guest}` cannot be given to a container: {why}; grant it as in `HOST_FOLDER:/work`"
        ))
    };
    let inside = |outer: &str, path: &str| {
        path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if guest == "/" || inside(guest, program) || RESERVED.iter().any(|own| inside(own, guest)) {
        return Err(wrong("it would lie over the image's own files"));
    }
    let real = mount.real().to_str().ok_or_else(|| wrong("its real path is no text"))?;
    let read_only = mount.mode() == Mode::Read;
    let mut all = vec![bind(real, guest, read_only)];
    for Closed { guest, folder } in mount.closed() {
        all.push(match folder {
            true => empty(guest),
            false => bind("/dev/null", guest, true),
        });
    }
    Ok(all)
}

fn bind(source: &str, target: &str, read_only: bool) -> DockerMount {
    DockerMount {
        typ: Some(MountType::BIND),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            // What is mounted inside the folder is another grant, and read-only would not hold it.
            non_recursive: Some(true),
            ..MountBindOptions::default()
        }),
        ..DockerMount::default()
    }
}

/// An empty folder over a closed one.
fn empty(target: &str) -> DockerMount {
    DockerMount {
        typ: Some(MountType::TMPFS),
        target: Some(target.to_owned()),
        read_only: Some(true),
        tmpfs_options: Some(MountTmpfsOptions {
            size_bytes: Some(4096),
            mode: Some(0o555),
            ..MountTmpfsOptions::default()
        }),
        ..DockerMount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(mounts: Vec<Mount>) -> Cell<'static> {
        Cell {
            image: "sha256:x",
            program: "/opt/x",
            words: vec!["--".into(), "$(id)".into()],
            stdin: false,
            mounts,
            bounds: Bounds {
                memory_bytes: 1 << 20,
                cpu_s: 0,
                cpu_permille: 500,
                pids: 8,
                tmp_bytes: 4096,
            },
        }
    }

    #[test]
    fn everything_is_shut_and_nothing_is_taken_over() {
        let local = Address::Socket("/x".into());
        let body = body(&cell(Vec::new()), &local, "h").expect("built");
        let json = serde_json::to_value(&body).expect("JSON");
        assert_eq!(json["Entrypoint"], serde_json::json!(["/opt/x"]));
        assert_eq!(json["Cmd"], serde_json::json!(["--", "$(id)"]));
        assert_eq!(json["NetworkDisabled"], true);
        let host = &json["HostConfig"];
        for (key, value) in [
            ("NetworkMode", serde_json::json!("none")),
            ("ReadonlyRootfs", true.into()),
            ("CapDrop", serde_json::json!(["ALL"])),
            ("SecurityOpt", serde_json::json!(["no-new-privileges:true"])),
            ("Privileged", false.into()),
            ("PidsLimit", 8.into()),
            ("Memory", (1 << 20).into()),
            ("MemorySwap", (1 << 20).into()),
            ("NanoCpus", 500_000_000.into()),
            ("IpcMode", "none".into()),
            ("Mounts", serde_json::json!([])),
        ] {
            assert_eq!(host[key], value, "{key}");
        }
        for absent in ["CapAdd", "Binds", "Devices", "PidMode", "VolumesFrom", "UsernsMode"] {
            assert!(host.get(absent).is_none(), "{absent}");
        }
        let user = json["User"].as_str().expect("a user");

        assert_ne!(user.split(':').next(), Some("0"));
    }
}
