//! What stands in for the host's imports during a native call. One thread, one call at a time; on
//! the thread of an agent, its kernel answers instead.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Progress;
use super::link;
use crate::fs::{Access, normalize};
use crate::http::{Error, Request, Response, Url};

type Server = dyn Fn(&Request) -> Result<Response, Error>;

/// Shared between the test's `Host` and the call that runs under it.
#[derive(Clone, Default)]
pub(crate) struct Fakes {
    roots: Vec<Root>,
    pub(super) server: Option<Rc<Server>>,
    pub(super) call_id: Option<String>,
    pub(super) remaining_ms: Option<u64>,
    pub(super) told: Rc<RefCell<Told>>,
}

#[derive(Clone)]
struct Root {
    guest: String,
    host: PathBuf,
    writable: bool,
}

/// What the calls said.
#[derive(Default)]
pub(super) struct Told {
    pub(super) progress: Vec<Progress>,
    pub(super) logged: Vec<String>,
}

thread_local! {
    static CURRENT: RefCell<Fakes> = RefCell::default();
}

impl Fakes {
    pub(super) fn add_root(&mut self, host: &Path, guest: &str, writable: bool) {
        self.roots.push(Root { guest: normalize(guest), host: host.to_owned(), writable });
    }

    pub(super) fn during<T>(&self, act: impl FnOnce() -> T) -> T {
        let _restore = Restore(Some(CURRENT.replace(self.clone())));
        act()
    }
}

/// Puts the fakes of before back, also where a test panics.
struct Restore(Option<Fakes>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take().unwrap_or_default());
    }
}

pub(crate) fn id() -> String {
    if let Some(pid) = link::pid() {
        return format!("agent-{pid}");
    }
    CURRENT.with_borrow(|fakes| fakes.call_id.clone().unwrap_or_else(|| "test-call".to_owned()))
}

pub(crate) fn remaining_ms() -> Option<u64> {
    CURRENT.with_borrow(|fakes| fakes.remaining_ms)
}

pub(crate) fn progress(done: f64, total: Option<f64>, message: &str) {
    let progress = Progress { done, total, message: message.to_owned() };
    if link::pid().is_some() {
        return link::tell(link::Request::Progress(progress));
    }
    CURRENT.with_borrow(|fakes| {
        fakes.told.borrow_mut().progress.push(progress);
    });
}

pub(crate) fn log(line: String) {
    if link::pid().is_some() {
        return link::tell(link::Request::Log(line));
    }
    CURRENT.with_borrow(|fakes| fakes.told.borrow_mut().logged.push(line));
}

pub(crate) fn roots() -> Vec<String> {
    CURRENT.with_borrow(|fakes| fakes.roots.iter().map(|root| root.guest.clone()).collect())
}

/// The real path of a guest path, where a root covers it; refused as the host would.
pub(crate) fn resolve(guest: &str, access: Access) -> io::Result<PathBuf> {
    CURRENT.with_borrow(|fakes| {
        let mut roots = fakes.roots.iter().filter_map(|root| Some((root, below(root, guest)?)));
        let (root, below) = roots
            .by_ref()
            .max_by_key(|(root, _)| root.guest.len())
            .ok_or(io::ErrorKind::NotFound)?;
        if access == Access::Write && !root.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(root.host.join(below))
    })
}

fn below<'a>(root: &Root, guest: &'a str) -> Option<&'a str> {
    let rest = guest.strip_prefix(root.guest.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
}

pub(crate) fn send(request: &Request, _url: &Url) -> Result<Response, Error> {
    let server = CURRENT.with_borrow(|fakes| fakes.server.clone());
    let Some(server) = server else { return Err(Error::Denied(request.denial())) };
    let mut response = server(request)?;
    let bytes_max = usize::try_from(request.body_bytes_max).unwrap_or(usize::MAX);
    if response.body.len() > bytes_max {
        response.body.truncate(bytes_max);
        response.truncated = true;
    }
    Ok(response)
}
