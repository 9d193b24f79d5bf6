//! From a guest's path to an open parent folder, one plain name, and the real path of both.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use cap_std::fs::Dir;

/// Links that one path may lead through, as in Linux.
const LINKS_MAX: usize = 40;

/// A guest's path is at most this long, as in Linux.
pub const PATH_BYTES_MAX: usize = 4096;

/// Where a path led: its parent is open, its last part is a plain name.
#[derive(Debug)]
pub struct Located {
    /// The open parent folder; the folder itself when the path names a folder by `.` or `..`.
    pub parent: Dir,
    /// The name in it, or `.`.
    pub name: String,
    /// The real path on this machine.
    pub real: PathBuf,
    /// The path ended in a slash: it must be a folder.
    pub folder: bool,
}

/// Whether a link at the end of the path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The path means what the link leads to.
    Yes,
    /// The path means the link itself.
    No,
}

/// Finds `path` beneath `base`. Nothing outside `base` is opened on the way: absolute paths,
/// links that leave it, and `..` above it are refused by the operating system (cap-std).
///
/// # Errors
/// What the operating system said; too many links; a path that is no text or too long.
pub fn locate(base: &Dir, path: &str, follow: Follow) -> io::Result<Located> {
    if path.len() > PATH_BYTES_MAX {
        return Err(rustix::io::Errno::NAMETOOLONG.into());
    }
    if path.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut folder = path.ends_with('/');
    let mut path = PathBuf::from(path);
    for _ in 0..LINKS_MAX {
        let Some((parent, name)) = split(&path) else {
            let parent = base.open_dir(&path)?;
            let real = real_path(&parent)?;
            return Ok(Located { parent, name: ".".into(), real, folder });
        };
        let dir = match parent.as_os_str().is_empty() {
            true => base.try_clone()?,
            false => base.open_dir(parent)?,
        };
        if (follow == Follow::Yes || folder)
            && let Some(link) = link_at(&dir, name)?
        {
            folder |= link.as_os_str().as_bytes().ends_with(b"/");
            path = parent.join(link);
            continue;
        }
        let real = real_path(&dir)?.join(name);
        return Ok(Located { parent: dir, name: name.to_owned(), real, folder });
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Whether [`locate`] failed because the path leads out of its base: by `..`, by a link, or since
/// it is absolute. cap-std says that itself, the system's own refusals have a number.
pub fn leads_out(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

/// Parent and last name; none when the path ends in `.` or `..`, which have no name to use.
fn split(path: &Path) -> Option<(&Path, &str)> {
    match path.components().next_back()? {
        Component::Normal(name) => Some((path.parent()?, name.to_str()?)),
        // An absolute path is refused when it is opened beneath `base`.
        Component::CurDir | Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
            None
        }
    }
}

/// What a link holds; none when `name` is no link or not there.
fn link_at(dir: &Dir, name: &str) -> io::Result<Option<PathBuf>> {
    match dir.symlink_metadata(name) {
        Ok(metadata) if metadata.is_symlink() => Ok(Some(dir.read_link(name)?)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The path by which the system knows an open folder now. A removed folder has a name that no
/// root holds, so it is refused later.
///
/// # Errors
/// What the operating system said.
pub fn real_path(dir: &impl std::os::fd::AsFd) -> io::Result<PathBuf> {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    #[cfg(target_os = "linux")]
    let path = {
        use std::os::fd::AsRawFd;
        let link = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
        rustix::fs::readlink(link, Vec::new())?
    };
    #[cfg(target_vendor = "apple")]
    let path = rustix::fs::getpath(dir)?;
    Ok(OsString::from_vec(path.into_bytes()).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Fixture {
        folder: tempfile::TempDir,
        base: Dir,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("sub/deep")).expect("mkdir");
        std::fs::write(root.join("sub/file"), "x").expect("write");
        std::fs::write(folder.path().join("outside"), "x").expect("write");
        symlink("sub/file", root.join("link")).expect("link");
        symlink("../outside", root.join("up")).expect("link");
        symlink("/etc/passwd", root.join("absolute")).expect("link");
        symlink("loop-b", root.join("loop-a")).expect("link");
        symlink("loop-a", root.join("loop-b")).expect("link");
        symlink("..", root.join("sub/parent")).expect("link");
        symlink("missing", root.join("dangling")).expect("link");
        let base = Dir::open_ambient_dir(&root, cap_std::ambient_authority()).expect("opens");
        Fixture { folder, base }
    }

    fn real(fixture: &Fixture, path: &str, follow: Follow) -> io::Result<String> {
        let root = fixture.folder.path().join("root").canonicalize().expect("real");
        let located = locate(&fixture.base, path, follow)?;
        let rest = located.real.strip_prefix(root).expect("inside the root").to_owned();
        Ok(rest.to_string_lossy().into_owned())
    }

    #[test]
    fn links_inside_are_followed_to_their_real_path() {
        let fixture = fixture();
        for (path, want) in [
            ("sub/file", "sub/file"),
            ("link", "sub/file"),
            ("sub/parent/link", "sub/file"),
            ("sub/parent/sub/./deep/../file", "sub/file"),
            ("dangling", "missing"),
            (".", ""),
            ("sub/..", ""),
        ] {
            assert_eq!(real(&fixture, path, Follow::Yes).expect(path), want, "{path}");
        }
        assert_eq!(real(&fixture, "link", Follow::No).expect("the link"), "link");
    }

    #[test]
    fn nothing_outside_is_reached() {
        let fixture = fixture();
        for path in ["..", "../outside", "up", "absolute", "/etc/passwd", "sub/../../outside"] {
            let error = real(&fixture, path, Follow::Yes).expect_err(path);
            assert!(leads_out(&error), "{path}: {error}");
        }
        let missing = real(&fixture, "sub/none/file", Follow::Yes).expect_err("not there");
        assert!(!leads_out(&missing), "{missing}");
    }

    #[test]
    fn a_ring_of_links_ends() {
        let error = locate(&fixture().base, "loop-a", Follow::Yes).expect_err("a ring");
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
    }

    #[test]
    fn a_path_that_is_empty_or_endless_is_refused() {
        let fixture = fixture();
        assert!(locate(&fixture.base, "", Follow::Yes).is_err());
        assert!(locate(&fixture.base, &"a/".repeat(5000), Follow::Yes).is_err());
    }
}
