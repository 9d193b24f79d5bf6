//! A granted folder as a container sees it: the wish for one, and what must stay closed in it.

use std::borrow::Cow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{FileRules, Mode, Root, below};
use crate::capability::authority::Authority;
use crate::capability::gate::Request;
use crate::capability::grant::{AskPattern, Capability};
use crate::journal::Class;
use crate::types::{Denial, MissingIn};

/// A folder that a container may see. Only the gate gives one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    real: PathBuf,
    guest: String,
    mode: Mode,
    closed: Vec<Closed>,
}

/// A path below a mount that stays closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Where the container would see it.
    pub guest: String,
    /// It is a folder.
    pub folder: bool,
}

impl Mount {
    /// The real path on this machine.
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// Where the container sees it.
    pub fn guest(&self) -> &str {
        &self.guest
    }

    /// Whether it may be written.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What is hidden in it.
    pub fn closed(&self) -> &[Closed] {
        &self.closed
    }
}

/// A wish of a container to see the granted folder that holds a path.
#[derive(Clone, Copy, Debug)]
pub struct MountRequest<'a> {
    path: &'a str,
    mode: Mode,
}

impl<'a> MountRequest<'a> {
    /// To see `path`, absolute and plain, as the container names it.
    pub fn new(path: &'a str, mode: Mode) -> Self {
        Self { path, mode }
    }
}

impl Request for MountRequest<'_> {
    type Checked = Mount;

    fn capability(&self) -> Capability {
        match self.mode {
            Mode::Read => Capability::Read,
            Mode::Write => Capability::Write,
        }
    }

    fn target(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.path)
    }

    fn class(&self) -> Class {
        match self.mode {
            Mode::Read => Class::Queued,
            Mode::Write => Class::Written,
        }
    }

    /// What is done with it is the container's, and ends with the call.
    fn has_outcome(&self) -> bool {
        false
    }

    fn check(self, authority: &Authority) -> Result<Mount, Denial> {
        let root = authority.files().seen_at(self.path, self.mode);
        let asked = |pattern: &AskPattern| match pattern {
            AskPattern::Anything => true,
            AskPattern::Path(prefix) => holds(prefix, self.path),
            AskPattern::Http(_) | AskPattern::Socket(_) | AskPattern::Name(_) => false,
        };
        let capability = self.capability();
        authority.decide(capability, root.is_some(), asked, || self.path.to_owned())?;
        let refused = |remedy: String| Denial {
            capability: capability.to_string(),
            target: self.path.to_owned(),
            missing_in: MissingIn::Operator,
            remedy,
        };
        let root = root.ok_or_else(|| refused(String::new()))?;
        let closed = authority.files().closed_in(root).map_err(refused)?;
        let (real, guest) = (root.real.clone(), root.guest.clone());
        Ok(Mount { real, guest, mode: self.mode, closed })
    }
}

/// Whether an absolute path is `outer` or lies below it.
fn holds(outer: &str, path: &str) -> bool {
    below(Path::new(path), Path::new(outer))
}

impl FileRules {
    /// The innermost root at which a guest sees `path`, when it has that mode.
    fn seen_at(&self, path: &str, mode: Mode) -> Option<&Root> {
        let holding = self.roots.iter().filter(|root| holds(&root.guest, path));
        holding.max_by_key(|root| root.guest.len()).filter(|root| root.mode >= mode)
    }

    /// What must be hidden in a root that is handed over whole.
    ///
    /// # Errors
    /// The sentence that says why it cannot be hidden, and what would do instead.
    fn closed_in(&self, root: &Root) -> Result<Vec<Closed>, String> {
        let mut closed: Vec<Closed> = Vec::new();
        let device = root.real.symlink_metadata().ok().map(|folder| folder.dev());
        // A folder first, since what lies below it is hidden with it.
        let mut denied: Vec<_> = self.denied.iter().collect();
        denied.sort_by_key(|denied| denied.real.as_os_str().len());
        for denied in denied {
            if denied.file.is_some_and(|(dev, _)| Some(dev) == device) {
                return Err(instead("a closed file has a second name, which may lie in it"));
            }
            if below(&root.real, &denied.real) {
                return Err(instead("it is closed"));
            }
            if !below(&denied.real, &root.real) {
                continue;
            }
            let name = self.guest_name(root, &denied.real);
            if closed.iter().any(|outer| outer.folder && holds(&outer.guest, &name)) {
                continue;
            }
            match denied.real.symlink_metadata() {
                Ok(there) => closed.push(Closed { guest: name, folder: there.is_dir() }),
                Err(_) => {
                    return Err(instead(&format!(
                        "`{name}` in it is closed and not there, so it cannot be hidden"
                    )));
                }
            }
        }
        Ok(closed)
    }

    fn guest_name(&self, root: &Root, real: &Path) -> String {
        let rest = real.strip_prefix(&root.real).unwrap_or(real).to_string_lossy();
        format!("{}/{rest}", root.guest.trim_end_matches('/'))
    }
}

fn instead(why: &str) -> String {
    format!("{why}; a container sees a folder whole, so a smaller folder")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::grant::Grant;

    fn authority(folder: &Path, denied: &[&str]) -> Authority {
        std::fs::create_dir_all(folder.join("src/secret/deep")).expect("mkdir");
        std::fs::create_dir_all(folder.join("out")).expect("mkdir");
        std::fs::write(folder.join("src/key"), "k").expect("writes");
        let grant = |text: String| text.parse::<Grant>().expect("a grant");
        let grants = [
            grant(format!("read:{}:/src", folder.join("src").display())),
            grant(format!("write:{}:/out", folder.join("out").display())),
        ];
        let denied: Vec<_> = denied.iter().map(|path| folder.join(path)).collect();
        let asks = vec!["read:*".parse().expect("an ask"), "write:/out".parse().expect("an ask")];
        Authority::for_plugin(&|_| true, Some(asks), &grants, &denied).expect("given")
    }

    #[test]
    fn a_mount_needs_a_root_that_holds_the_path() {
        let folder = tempfile::tempdir().expect("folder");
        let authority = authority(folder.path(), &[]);
        let mount = |path, mode| MountRequest::new(path, mode).check(&authority);
        let src = mount("/src/a/b", Mode::Read).expect("granted");
        assert_eq!((src.guest(), src.mode()), ("/src", Mode::Read));
        assert_eq!(mount("/out", Mode::Write).expect("granted").mode(), Mode::Write);
        // What is granted for writing and wanted for reading is mounted for reading.
        assert_eq!(mount("/out/x", Mode::Read).expect("granted").mode(), Mode::Read);
        for path in ["/", "/srcs", "/etc/passwd"] {
            let denial = mount(path, Mode::Read).expect_err(path);
            assert!(denial.to_string().contains("--allow-read HOST_FOLDER:"), "{denial}");
        }
        assert!(mount("/src", Mode::Write).is_err(), "neither asked nor granted");
    }

    #[test]
    fn what_is_closed_is_hidden_or_the_folder_is_not_given() {
        let folder = tempfile::tempdir().expect("folder");
        let hidden = authority(folder.path(), &["src/secret/deep", "src/secret", "src/key"]);
        let src = MountRequest::new("/src", Mode::Read).check(&hidden).expect("granted");
        let closed = |guest: &str, folder| Closed { guest: guest.into(), folder };
        assert_eq!(src.closed(), [closed("/src/key", false), closed("/src/secret", true)]);
        for denied in ["src/later", "src", "."] {
            let authority = authority(folder.path(), &[denied]);
            assert!(MountRequest::new("/src", Mode::Read).check(&authority).is_err(), "{denied}");
        }
        std::fs::hard_link(folder.path().join("src/key"), folder.path().join("src/other"))
            .expect("linked");
        let linked = authority(folder.path(), &["src/key"]);
        assert!(MountRequest::new("/src", Mode::Read).check(&linked).is_err(), "a second name");
    }
}
