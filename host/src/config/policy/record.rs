//! The smallest policy that a run needed, from its rows in the journal and the grants it ran under.
//!
//! Each grant is cut down to what was used of it: folders to the deepest one that holds all that
//! was touched, hosts and names to the exact ones. What was denied stands there as a comment.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Level;
use crate::capability::grant::{Capability, Grant, PathRoot, Scope};
use crate::capability::network::host::{Host, Target};
use crate::capability::secrets::SecretPattern;
use crate::journal::{RowKind, Verdict};
use crate::storage::StoredRow;

/// Uses that a line names as its evidence.
const EVIDENCE_MAX: usize = 3;
/// Denials that are written as comments.
const DENIED_MAX: usize = 64;

/// One grant and what it was used for.
#[derive(Debug, Default)]
struct Uses(BTreeMap<String, Vec<(i64, String)>>);

impl Uses {
    fn add(&mut self, line: String, row: i64, target: &str) {
        self.0.entry(line).or_default().push((row, target.to_owned()));
    }
}

/// What was used of one capability of files.
#[derive(Debug, Default)]
struct Folder {
    /// Host and guest folder that holds all of it.
    root: Option<(PathBuf, PathBuf)>,
    uses: Vec<(i64, String)>,
}

/// A policy file for a run of `plugin`: its rows, and the grants that were its ceiling.
pub fn recorded(
    plugin: &str,
    run: &str,
    rows: &[StoredRow],
    ceiling: &[(Grant, String)],
) -> String {
    let mut uses = Uses::default();
    let mut folders: BTreeMap<(usize, bool), Folder> = BTreeMap::new();
    for row in rows {
        for target in used(row) {
            let seq = row.seq;
            match row.capability.as_str() {
                "read" => touch(&mut folders, ceiling, false, seq, &target),
                "write" => touch(&mut folders, ceiling, true, seq, &target),
                capability => {
                    for line in narrowed(capability, &target, ceiling) {
                        uses.add(line, seq, &target);
                    }
                }
            }
        }
    }
    of_folders(folders, &mut uses);
    drop_covered(&mut uses);
    write(plugin, run, &uses, &denied(rows))
}

/// What a row says was used: what was allowed, and what was counted under it.
fn used(row: &StoredRow) -> Vec<String> {
    if row.verdict == Verdict::Allowed.word() {
        return vec![row.target.clone()];
    }
    if row.kind != RowKind::Outcome.word() || !matches!(&*row.capability, "read" | "udp") {
        return Vec::new();
    }
    let body: serde_json::Value = serde_json::from_str(&row.body).unwrap_or_default();
    let listed = body["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut targets: Vec<String> =
        listed.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect();
    if body["cut"] == true {
        // Not all are known: whatever is below the root may be among them.
        targets.push("/".to_owned());
    }
    targets
}

/// The paths in the target of a row about files: after its verb, before its numbers.
fn paths(target: &str) -> Vec<&str> {
    if target.starts_with('/') {
        return vec![target];
    }
    let Some((verb, rest)) = target.split_once(' ') else { return Vec::new() };
    let until = |word: &str| rest.rsplit_once(word).map_or(rest, |(path, _)| path);
    match verb {
        "write" => vec![until(" at ")],
        "append" => vec![until(" for ")],
        "resize" | "symlink" => vec![until(" to ")],
        "rename" | "link" => rest.split(" to ").collect(),
        _ => vec![rest],
    }
}

/// Takes paths into the folder of the root that they are below; the root itself where they are
/// below none.
fn touch(
    folders: &mut BTreeMap<(usize, bool), Folder>,
    ceiling: &[(Grant, String)],
    write: bool,
    row: i64,
    target: &str,
) {
    for path in paths(target) {
        let Some((at, root)) = root_of(ceiling, write, path) else { continue };
        let below = Path::new(path).strip_prefix(&root.guest).unwrap_or(Path::new(""));
        let mut below = below.to_owned();
        // What is written is made, removed or renamed in its folder.
        let is_folder = !write && root.host.join(&below).is_dir();
        if !is_folder {
            below.pop();
        }
        let (host, guest) = (root.host.join(&below), Path::new(&root.guest).join(&below));
        let folder = folders.entry((at, write)).or_default();
        folder.root = Some(match folder.root.take() {
            None => (host, guest),
            Some((known_host, known_guest)) => common(&known_host, &known_guest, &guest),
        });
        folder.uses.push((row, target.to_owned()));
    }
}

/// The ceiling's root for a path: the deepest that opens it.
fn root_of<'a>(
    ceiling: &'a [(Grant, String)],
    write: bool,
    path: &str,
) -> Option<(usize, &'a PathRoot)> {
    let roots = ceiling.iter().enumerate().filter_map(|(at, (grant, _))| {
        if let Scope::Write(root) = &grant.scope {
            return Some((at, root));
        }
        match &grant.scope {
            Scope::Read(root) if !write => Some((at, root)),
            Scope::Read(_) | Scope::Write(_) => None,
            Scope::Net(_) | Scope::Tcp(_) | Scope::Udp(_) => None,
            Scope::Env(_) | Scope::Config(_) | Scope::KeyValue(_) | Scope::Secret(_) => None,
            Scope::Tool(_) | Scope::Model(_) | Scope::Spawn(_) => None,
        }
    });
    let holding = roots.filter(|(_, root)| {
        // A list that was cut means everything below.
        path == "/" || Path::new(path).starts_with(&root.guest)
    });
    holding.max_by_key(|(_, root)| root.guest.len())
}

/// The deepest folder above both, on the host and as the guest sees it.
fn common(host: &Path, guest: &Path, other: &Path) -> (PathBuf, PathBuf) {
    let (mut host, mut guest) = (host.to_owned(), guest.to_owned());
    while !other.starts_with(&guest) {
        if !guest.pop() || !host.pop() {
            break;
        }
    }
    (host, guest)
}

fn of_folders(folders: BTreeMap<(usize, bool), Folder>, uses: &mut Uses) {
    for ((_, write), folder) in folders {
        let Some((host, guest)) = folder.root else { continue };
        let word = if write { Capability::Write } else { Capability::Read };
        let line = format!("{word}:{}:{}", host.display(), guest.display());
        for (row, target) in folder.uses {
            uses.add(line.clone(), row, &target);
        }
    }
}

/// What of the ceiling a use needed, as lines.
fn narrowed(capability: &str, target: &str, ceiling: &[(Grant, String)]) -> Vec<String> {
    let exact = |name: &str| vec![format!("{capability}:{name}")];
    let named = |name: &str| -> Vec<String> {
        let holds = |(grant, _): &(Grant, String)| {
            let (Scope::Env(pattern) | Scope::Config(pattern) | Scope::KeyValue(pattern)) =
                &grant.scope
            else {
                return false;
            };
            grant.scope.capability().name() == capability && pattern.matches(name)
        };
        if ceiling.iter().any(holds) { exact(name) } else { Vec::new() }
    };
    match capability {
        "env" | "config" => named(target),
        "keyvalue" => {
            let verbs = ["set ", "delete ", "increment "];
            let stripped = verbs.iter().find_map(|verb| target.strip_prefix(verb));
            let rest = stripped.unwrap_or(target);
            named(rest.split_once('/').map_or(rest, |(bucket, _)| bucket))
        }
        "net" => {
            let private = ceiling.iter().any(|(grant, text)| {
                matches!(grant.scope, Scope::Net(_))
                    && text.contains("private:")
                    && request(target).is_some_and(|(method, to)| holds(grant, &method, &to))
            });
            let private = if private { "private:" } else { "" };
            vec![format!("net:{private}{target}")]
        }
        // Without a host it is the placeholder alone, of which nobody has any use.
        "secret" if target.contains('@') => exact(target),
        "tcp" | "udp" => sockets(capability, target, ceiling),
        _ => Vec::new(),
    }
}

/// The method and target of a row about a request.
fn request(target: &str) -> Option<(http::Method, Target)> {
    let (method, url) = target.split_once(' ')?;
    let target = Target::from_uri(&url.parse().ok()?).ok()?;
    Some((method.parse().ok()?, target))
}

fn holds(grant: &Grant, method: &http::Method, target: &Target) -> bool {
    matches!(&grant.scope, Scope::Net(pattern) if pattern.matches(method, target))
}

/// The lines of the ceiling that open a peer or a look-up: a name and its address are two rows.
fn sockets(capability: &str, target: &str, ceiling: &[(Grant, String)]) -> Vec<String> {
    let (host, port) = target.rsplit_once(':').unwrap_or((target, ""));
    let port: Option<u16> = port.parse().ok();
    let Ok(host) = Host::parse_bare(host.trim_matches(['[', ']'])) else { return Vec::new() };
    let opens = |grant: &Grant| {
        let (Scope::Tcp(pattern) | Scope::Udp(pattern)) = &grant.scope else { return false };
        let port = port.is_none_or(|port| pattern.matches_port(port));
        let named = host.address().is_none_or(|address| pattern.matches_address(address));
        let name = host.name().is_none() || pattern.matches_name(&host);
        grant.scope.capability().name() == capability && port && named && name
    };
    let lines = ceiling.iter().filter(|(grant, _)| opens(grant)).map(|(_, text)| text.clone());
    lines.collect()
}

/// Lines that another one makes needless: a folder to read in one to write, a host of a secret.
fn drop_covered(uses: &mut Uses) {
    let grants: Vec<(String, Grant)> = uses
        .0
        .keys()
        .filter_map(|line| Some((line.clone(), line.parse::<Grant>().ok()?)))
        .collect();
    let of_secret = |line: &str| {
        let place = line.strip_prefix("net:").and_then(request);
        place.is_some_and(|(method, target)| {
            grants.iter().any(|(_, grant)| {
                matches!(&grant.scope, Scope::Secret(SecretPattern { place, .. })
                    if place.matches(&method, &target))
            })
        })
    };
    uses.0.retain(|line, _| {
        let Ok(own) = line.parse::<Grant>() else { return true };
        let covered = grants.iter().any(|(other, grant)| other != line && grant.covers(&own));
        !covered && !of_secret(line)
    });
}

/// What was denied: a line that would allow it, and why it was wanted.
fn denied(rows: &[StoredRow]) -> Vec<(String, i64)> {
    let mut lines: Vec<(String, i64)> = Vec::new();
    for row in rows.iter().filter(|row| row.verdict == Verdict::Denied.word()) {
        let line = wanted_line(&row.capability, &row.target);
        if !lines.iter().any(|(known, _)| *known == line) && lines.len() < DENIED_MAX {
            lines.push((line, row.seq));
        }
    }
    lines
}

/// The line of a policy that would allow what a row denied.
pub fn wanted_line(capability: &str, target: &str) -> String {
    match capability {
        "read" | "write" => {
            let path = paths(target).first().map_or(target, |path| *path);
            let guest = Path::new(path).parent().filter(|above| *above != Path::new("/"));
            let guest = guest.unwrap_or(Path::new(path)).display().to_string();
            format!("{capability}:HOST_FOLDER:{guest}")
        }
        _ => format!("{capability}:{target}"),
    }
}

fn write(plugin: &str, run: &str, uses: &Uses, denied: &[(String, i64)]) -> String {
    let grants = uses.0.keys().filter_map(|line| line.parse::<Grant>().ok());
    // Limits are not recorded: below this level they would be less than the run had.
    let level = grants.map(|grant| Level::of(&grant)).fold(Level::Standard, Level::max);
    let mut text = format!(
        "# What run {run} of {} needed; each line with the rows that used it.\n\
         permission_level = \"{level}\"\n\n[grants]\nallow = [\n",
        one_line(plugin)
    );
    for (line, used) in &uses.0 {
        let _written = writeln!(text, "    {}, # {}", quoted(line), evidence(used));
    }
    for (line, row) in denied {
        let _written = writeln!(text, "    # {}, # denied: row {row}", quoted(line));
    }
    text.push_str("]\n");
    text
}

fn evidence(uses: &[(i64, String)]) -> String {
    let mut known: Vec<&str> = Vec::new();
    for (_, target) in uses {
        if !known.contains(&target.as_str()) {
            known.push(target);
        }
    }
    let first: Vec<String> =
        known.iter().take(EVIDENCE_MAX).map(|target| one_line(target)).collect();
    let more = known.len().saturating_sub(EVIDENCE_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let row = uses.first().map_or(0, |(row, _)| *row);
    format!("row {row}: {}{more}", first.join(", "))
}

/// A text of a guest's in a comment: it must not end it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(200).collect()
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
