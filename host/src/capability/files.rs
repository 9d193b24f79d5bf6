//! Files: which real paths a program may read or write, and how a guest's path becomes one.
//!
//! A path is first *located* ([`locate`]): its parent folder is opened beneath the folder the
//! guest holds, links inside are followed, and what remains is an open parent, one plain name and
//! the real path of both. The verdict is about that real path; the effect happens in that open
//! parent, on that name, without following a link. So what was checked is what is used, also
//! when somebody renames things in between.

pub mod locate;
mod request;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use request::{FileOperation, FileRequest, MoveRequest, OpenFileRequest, OutsideRequest};

use crate::capability::grant::{GrantError, PathRoot};

/// What is done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Content or metadata is read.
    Read,
    /// Anything changes.
    Write,
}

/// A folder that was granted, resolved when the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The real path on this machine.
    pub real: PathBuf,
    /// The absolute path in the guest.
    pub guest: String,
    /// The strongest mode granted.
    pub mode: Mode,
}

/// The granted roots and the paths inside them that stay closed.
#[derive(Clone, Debug, Default)]
pub struct FileRules {
    roots: Vec<Root>,
    denied: Vec<PathBuf>,
}

impl FileRules {
    /// Grants reading below a folder.
    ///
    /// # Errors
    /// When the folder is not there, is no folder, or its guest path is taken.
    pub fn allow_read(&mut self, root: &PathRoot) -> Result<(), GrantError> {
        self.allow(root, Mode::Read)
    }

    /// Grants reading and writing below a folder.
    ///
    /// # Errors
    /// As [`FileRules::allow_read`].
    pub fn allow_write(&mut self, root: &PathRoot) -> Result<(), GrantError> {
        self.allow(root, Mode::Write)
    }

    fn allow(&mut self, root: &PathRoot, mode: Mode) -> Result<(), GrantError> {
        let host = root.host.display();
        let real = root
            .host
            .canonicalize()
            .map_err(|error| GrantError(format!("cannot grant `{host}`: {error}")))?;
        if !real.is_dir() {
            return Err(GrantError(format!(
                "cannot grant `{host}`: it is no folder; grant the folder that holds it"
            )));
        }
        if let Some(known) = self.roots.iter_mut().find(|known| known.guest == root.guest) {
            if known.real != real {
                return Err(GrantError(format!(
                    "`{host}` and `{}` both want the guest path `{}`; give one another, as in \
                     `{host}:/data`",
                    known.real.display(),
                    root.guest
                )));
            }
            known.mode = known.mode.max(mode);
            return Ok(());
        }
        self.roots.push(Root { real, guest: root.guest.clone(), mode });
        Ok(())
    }

    /// Closes a path and all below it, whatever the roots say. It may not be there yet.
    ///
    /// # Errors
    /// When not even its parent can be resolved.
    pub fn deny(&mut self, path: &Path) -> Result<(), GrantError> {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(_) => absent(path).map_err(|error| {
                GrantError(format!("cannot deny `{}`: {error}", path.display()))
            })?,
        };
        self.denied.push(real);
        Ok(())
    }

    /// The granted roots.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The root that lets `real` be used so; none when no root does or a denied path holds it.
    pub fn allowing(&self, real: &Path, mode: Mode) -> Option<&Root> {
        if self.denies(real) {
            return None;
        }
        self.roots.iter().find(|root| root.mode >= mode && below(real, &root.real))
    }

    /// True when a denied path is `real` or holds it.
    pub fn denies(&self, real: &Path) -> bool {
        self.denied.iter().any(|denied| below(real, denied))
    }

    /// True when moving or removing `real` would carry a denied path to another name, or put
    /// something else where a root was granted.
    pub fn holds_fixed(&self, real: &Path) -> bool {
        let roots = self.roots.iter().map(|root| &root.real);
        self.denied.iter().chain(roots).any(|fixed| below(fixed, real))
    }

    /// The path as the guest knows it, for people and journals: the root's guest path and what
    /// follows. Outside every root: the real path is the host's secret, so none.
    pub fn guest_path(&self, real: &Path) -> Option<String> {
        self.roots.iter().find_map(|root| {
            let rest = real.strip_prefix(&root.real).ok()?.to_string_lossy().into_owned();
            Some(match (root.guest.as_str(), rest.as_str()) {
                (guest, "") => guest.to_owned(),
                ("/", rest) => format!("/{rest}"),
                (guest, rest) => format!("{guest}/{rest}"),
            })
        })
    }
}

/// Whether `path` is `folder` or lies below it. Both are real paths, without `.`, `..` or doubled
/// slashes, so bytes can be compared, which is ten times as fast as parts.
fn below(path: &Path, folder: &Path) -> bool {
    let (path, folder) = (path.as_os_str().as_bytes(), folder.as_os_str().as_bytes());
    match path.strip_prefix(folder) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/") || folder == b"/",
        None => false,
    }
}

/// The real path of something that is not there: that of the nearest folder above it that is, and
/// the names that follow.
fn absent(path: &Path) -> std::io::Result<PathBuf> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    let parent = match parent.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => absent(parent)?,
        real => real?,
    };
    Ok(parent.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(folder: &Path) -> FileRules {
        std::fs::create_dir_all(folder.join("a/secret")).expect("mkdir");
        std::fs::create_dir_all(folder.join("w")).expect("mkdir");
        let mut rules = FileRules::default();
        let root =
            |host: &str, guest: &str| PathRoot { host: folder.join(host), guest: guest.to_owned() };
        rules.allow_read(&root("a", "/src")).expect("granted");
        rules.allow_write(&root("w", "/out")).expect("granted");
        rules.deny(&folder.join("a/secret")).expect("denied");
        rules.deny(&folder.join("a/later")).expect("denied");
        rules
    }

    #[test]
    fn a_path_needs_a_root_of_its_mode() {
        let folder = tempfile::tempdir().expect("folder");
        let real = folder.path().canonicalize().expect("real");
        let rules = rules(folder.path());
        assert!(rules.allowing(&real.join("a/x"), Mode::Read).is_some());
        assert!(rules.allowing(&real.join("a/x"), Mode::Write).is_none());
        assert!(rules.allowing(&real.join("w/x"), Mode::Read).is_some());
        assert!(rules.allowing(&real.join("w/x"), Mode::Write).is_some());
        assert!(rules.allowing(&real.join("ab"), Mode::Read).is_none());
        assert!(rules.allowing(&real, Mode::Read).is_none());
    }

    #[test]
    fn a_denied_path_is_closed_with_all_below_it() {
        let folder = tempfile::tempdir().expect("folder");
        let real = folder.path().canonicalize().expect("real");
        let rules = rules(folder.path());
        for path in ["a/secret", "a/secret/key", "a/later"] {
            assert!(rules.allowing(&real.join(path), Mode::Read).is_none(), "{path}");
        }
        assert!(rules.allowing(&real.join("a/secrets"), Mode::Read).is_some());
        assert!(rules.holds_fixed(&real.join("a")), "a root, and what holds a denied path");
        assert!(rules.holds_fixed(&real), "what holds a root");
        assert!(!rules.holds_fixed(&real.join("w/x")));
    }

    #[test]
    fn paths_are_shown_as_the_guest_knows_them() {
        let folder = tempfile::tempdir().expect("folder");
        let real = folder.path().canonicalize().expect("real");
        let rules = rules(folder.path());
        assert_eq!(rules.guest_path(&real.join("a/x/y")).as_deref(), Some("/src/x/y"));
        assert_eq!(rules.guest_path(&real.join("a")).as_deref(), Some("/src"));
        assert_eq!(rules.guest_path(&real), None);
    }

    #[test]
    fn two_roots_at_one_guest_path_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let mut rules = rules(folder.path());
        let root = PathRoot { host: folder.path().join("w"), guest: "/src".into() };
        assert!(rules.allow_read(&root).is_err());
    }
}
