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
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

pub use request::{
    EscapeRequest, FileOperation, FileRequest, MoveRequest, OpenFileRequest, OutsideRequest,
};

use self::locate::Located;
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
///
/// A denied path is closed under each name that leads to it by links. A denied *file* is closed
/// under its other hard links too, when they were there as the run began. The files in a denied
/// *folder* are not followed to other hard links: to find them, all of the disk would be read.
#[derive(Clone, Debug, Default)]
pub struct FileRules {
    roots: Vec<Root>,
    denied: Vec<Denied>,
}

/// A path that stays closed.
#[derive(Clone, Debug)]
struct Denied {
    real: PathBuf,
    /// Its folded form, where the file system takes `KEY` for `key`.
    folded: Option<PathBuf>,
    /// Device and inode of a file that has other names.
    file: Option<(u64, u64)>,
}

impl Denied {
    fn new(real: PathBuf) -> Self {
        let folded = ignores_case(&real).then(|| folded(&real));
        let file = real.symlink_metadata().ok().filter(|file| file.is_file() && file.nlink() > 1);
        Self { folded, file: file.map(|file| (file.dev(), file.ino())), real }
    }

    fn holds(&self, path: &Path) -> bool {
        below(path, &self.real)
            || self.folded.as_ref().is_some_and(|closed| below(&folded(path), closed))
    }
}

/// Whether the file system has the nearest existing part of a path under another case too.
fn ignores_case(path: &Path) -> bool {
    let identity = |path: &Path| path.symlink_metadata().ok().map(|file| (file.dev(), file.ino()));
    for path in path.ancestors() {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let swapped: String = name.chars().map(swap_case).collect();
        if let (true, Some(found)) = (swapped != name, identity(path)) {
            return identity(&path.with_file_name(swapped)) == Some(found);
        }
    }
    false
}

fn swap_case(letter: char) -> char {
    match letter.is_ascii_lowercase() {
        true => letter.to_ascii_uppercase(),
        false => letter.to_ascii_lowercase(),
    }
}

/// One form for all cases of a name. Wider than what any one file system takes for equal, which
/// closes more and never less; other ways to write one letter (`e` and an accent) are not seen.
fn folded(path: &Path) -> PathBuf {
    path.to_string_lossy().to_lowercase().into()
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
        if let Err(error) = std::fs::File::open(&real) {
            return Err(GrantError(format!("cannot grant `{host}`: {error}")));
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
        self.denied.push(Denied::new(real));
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
        self.denied.iter().any(|denied| denied.holds(real))
    }

    /// True when what was located is another hard link of a denied file.
    pub fn denies_file(&self, located: &Located) -> bool {
        let mut closed = self.denied.iter().filter_map(|denied| denied.file).peekable();
        // Most often no denied file has a second name, and nothing is asked of the system.
        if closed.peek().is_none() {
            return false;
        }
        let Ok(found) = located.parent.symlink_metadata(&located.name) else { return false };
        let found = (cap_std::fs::MetadataExt::dev(&found), cap_std::fs::MetadataExt::ino(&found));
        closed.any(|file| file == found)
    }

    /// True when a link at `real` that holds `to` leads to below the root that lets it be made.
    ///
    /// What the text says is all that is known: after a name, which may be a link itself, `..`
    /// could lead anywhere, so it is refused there.
    pub fn keeps_link(&self, real: &Path, to: &str) -> bool {
        let (Some(root), Some(parent)) = (self.allowing(real, Mode::Write), real.parent()) else {
            return false;
        };
        let mut here = parent.to_owned();
        let mut named = false;
        for part in Path::new(to).components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => {
                    named = true;
                    here.push(name);
                }
                Component::ParentDir if !named && here.pop() && below(&here, &root.real) => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
            }
        }
        below(&here, &root.real)
    }

    /// True when moving or removing `real` would carry a denied path to another name, or put
    /// something else where a root was granted.
    pub fn holds_fixed(&self, real: &Path) -> bool {
        let roots = self.roots.iter().map(|root| &root.real);
        let denied = self.denied.iter().map(|denied| &denied.real);
        denied.chain(roots).any(|fixed| below(fixed, real))
            || self.denied.iter().any(|denied| match &denied.folded {
                Some(closed) => below(closed, &folded(real)),
                None => false,
            })
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
        // What cannot be entered is closed to every guest too, by the name that it is given.
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied
            ) =>
        {
            absent(parent)?
        }
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
    fn where_case_does_not_count_a_denied_path_is_closed_in_every_case() {
        let folder = tempfile::tempdir().expect("folder");
        let real = folder.path().canonicalize().expect("real");
        let mut rules = rules(folder.path());
        // This machine's file systems may all tell cases apart, so it is said here.
        for denied in &mut rules.denied {
            denied.folded = Some(folded(&denied.real));
        }
        for path in ["a/SECRET", "a/Secret/key", "a/LATER"] {
            assert!(rules.allowing(&real.join(path), Mode::Read).is_none(), "{path}");
        }
        assert!(rules.holds_fixed(&real.join("A")));
        assert!(rules.allowing(&real.join("a/open"), Mode::Read).is_some());
    }

    #[test]
    fn whether_case_counts_is_seen_by_asking_for_the_other_case() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("name");
        std::fs::write(&path, "").expect("written");
        let other_is_there = folder.path().join("NAME").exists();
        assert_eq!(ignores_case(&path), other_is_there);
        if !other_is_there {
            // A file of its own under the other case is not the same file.
            std::fs::write(folder.path().join("NAME"), "").expect("written");
            assert!(!ignores_case(&path));
        }
    }

    #[test]
    fn a_link_is_kept_that_cannot_lead_out_of_its_root() {
        let folder = tempfile::tempdir().expect("folder");
        let real = folder.path().canonicalize().expect("real");
        let rules = rules(folder.path());
        let link = real.join("w/sub/link");
        for to in ["x", "./x", "../x", "..", ".", "a/b", ".././x"] {
            assert!(rules.keeps_link(&link, to), "{to}");
        }
        for to in ["../..", "../../a", "../../w/x", "/etc", "a/../b", "../a/..", "../../../w"] {
            assert!(!rules.keeps_link(&link, to), "{to}");
        }
        assert!(!rules.keeps_link(&real.join("a/link"), "x"), "a root for reading");
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
