//! `plugins.lock`, beside the plugins that it names: what was added, from where, and its hash.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{SupplyError, sha256};

/// The file's name.
pub const FILE: &str = "plugins.lock";
/// A lock file longer than this is damaged.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// One plugin that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The name by which it is run.
    pub name: String,
    /// Where it came from.
    pub source: String,
    /// The hash of its bytes.
    pub sha256: String,
    /// The public key that signed it; none for a plugin that nobody signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The version of this format: 1.
    version: u32,
    /// The plugins, by name.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<Locked>,
}

impl Lock {
    /// The lock of a folder; an empty one where there is none.
    ///
    /// # Errors
    /// When it cannot be read: then nothing in the folder is trusted.
    pub fn of(folder: &Path) -> Result<Self, SupplyError> {
        let path = folder.join(FILE);
        let wrong = |what: String| SupplyError::Files(format!("{}: {what}", path.display()));
        let length = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { version: 1, plugins: Vec::new() });
            }
            metadata => metadata.map_err(|error| wrong(error.to_string()))?.len(),
        };
        if length > FILE_BYTES_MAX {
            return Err(wrong(format!("it is over {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let lock: Self =
            toml::from_str(&text).map_err(|error| wrong(error.message().replace('\n', " ")))?;
        match lock.version {
            1 => Ok(lock),
            other => Err(wrong(format!("version {other}, and this host reads 1"))),
        }
    }

    /// What is known of a plugin.
    pub fn find(&self, name: &str) -> Option<&Locked> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    /// The lock with one more, or another one of that name.
    pub fn put(&mut self, plugin: Locked) {
        self.plugins.retain(|known| known.name != plugin.name);
        self.plugins.push(plugin);
        self.plugins.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), SupplyError> {
        let text = toml::to_string(self).map_err(|error| SupplyError::Files(error.to_string()))?;
        write_whole(&folder.join(FILE), text.as_bytes())
    }
}

/// Whether bytes are those that were added under this name. What no lock names is the operator's
/// own affair, as it always was.
///
/// # Errors
/// [`SupplyError::Untrusted`] when they are others; when the lock cannot be read.
pub fn check(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), SupplyError> {
    let lock = Lock::of(folder)?;
    let Some(locked) = lock.find(name) else { return Ok(()) };
    let hash = sha256(bytes);
    match hash == locked.sha256 {
        true => Ok(()),
        false => Err(SupplyError::Untrusted(format!(
            "`{name}` is not what was added: its SHA-256 is {hash}, and {FILE} has {}; \
             `aos-host plugin upgrade` takes new bytes",
            locked.sha256
        ))),
    }
}

/// Where a plugin of this name lies.
pub fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wasm"))
}

/// Writes a file for its user alone, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), SupplyError> {
    let wrong = |error: std::io::Error| SupplyError::Files(format!("{}: {error}", path.display()));
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(wrong)?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
    let mut file = opened.map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(wrong)?;
    std::fs::rename(&new, path).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_those_that_were_added_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let mut lock = Lock::of(folder.path()).expect("none yet");
        let locked = Locked {
            name: "x".into(),
            source: "/x".into(),
            sha256: sha256(b"right"),
            signer: None,
        };
        lock.put(locked.clone());
        lock.write(folder.path()).expect("writes");
        assert_eq!(Lock::of(folder.path()).expect("reads").find("x"), Some(&locked));
        check(folder.path(), "x", b"right").expect("the same");
        check(folder.path(), "other", b"anything").expect("nobody added it");
        let error = check(folder.path(), "x", b"wrong").expect_err("others").to_string();
        assert!(error.contains("not what was added"), "{error}");
        std::fs::write(folder.path().join(FILE), "version = 2").expect("writes");
        assert!(check(folder.path(), "other", b"").is_err(), "an unreadable lock trusts nothing");
    }
}
