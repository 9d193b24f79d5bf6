//! A policy in words, a level spelled out, and the difference of two policies.

use std::fmt::Write as _;

use super::{Level, Policy};
use crate::capability::grant::{Capability, Grant, Scope};
use crate::config::{Bytes, LimitsTable, Time};

/// What a policy allows, for people.
pub fn describe(policy: &Policy) -> String {
    let mut text = format!("permission level {}\n", policy.level);
    let grants = policy.grants().unwrap_or_default();
    match policy.settle(grants) {
        Ok(grants) if grants.is_empty() => text.push_str("may reach nothing\n"),
        Ok(grants) => grants.iter().for_each(|(grant, _)| {
            let _written = writeln!(text, "may {}", sentence(grant));
        }),
        // It was checked when it was read.
        Err(error) => text.push_str(&error),
    }
    for path in &policy.deny_path {
        let _written = writeln!(text, "may not touch {}", path.display());
    }
    if policy.read_only {
        text.push_str("may write no file\n");
    }
    if !policy.allow_tools.is_empty() {
        let _written = writeln!(text, "may call the tools {}", policy.allow_tools.join(", "));
    }
    if !policy.deny_tools.is_empty() {
        let _written = writeln!(text, "may not call the tools {}", policy.deny_tools.join(", "));
    }
    for (name, value) in numbers(policy) {
        let _written = writeln!(text, "at most {value} of {name}");
    }
    text.trim_end().to_owned()
}

/// What a grant lets a plugin do.
fn sentence(grant: &Grant) -> String {
    let what = match &grant.scope {
        Scope::Read(root) => format!("read {} (seen as {})", root.host.display(), root.guest),
        Scope::Write(root) => {
            format!("read and write {} (seen as {})", root.host.display(), root.guest)
        }
        Scope::Net(pattern) => format!("send HTTP requests to {pattern}"),
        Scope::Tcp(pattern) => format!("connect by TCP to {pattern}"),
        Scope::Udp(pattern) => format!("send datagrams to {pattern}"),
        Scope::Env(name) => format!("read the variable {name}"),
        Scope::Config(name) => format!("read the configuration value {name}"),
        Scope::KeyValue(name) => format!("use the bucket {name} of its own store"),
        Scope::Secret(secret) => {
            format!("use the secret {} at {}, without seeing it", secret.name, secret.place)
        }
        Scope::Tool(name) => format!("call the tools {name}"),
        Scope::Model(name) => format!("ask the models {name}"),
        Scope::Spawn(name) => format!("start children that run {name}"),
    };
    match &grant.plugin {
        Some(plugin) => format!("{what}, the plugin {plugin} alone"),
        None => what,
    }
}

/// Limits and quotas that are set, by name.
fn numbers(policy: &Policy) -> Vec<(String, String)> {
    let limits = limits_of(&policy.limits);
    let quotas = &policy.quotas;
    let count = |number: Option<u64>| number.map(|number| number.to_string());
    let quotas = [
        ("max_tokens", count(quotas.max_tokens)),
        ("max_calls", count(quotas.max_calls)),
        ("max_microdollars", count(quotas.max_microdollars)),
        ("max_time", quotas.max_time.map(|t| humantime::format_duration(t.0).to_string())),
        ("cpu_percent", count(quotas.cpu_percent.map(u64::from))),
    ];
    let set = quotas.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    limits.into_iter().chain(set).collect()
}

fn limits_of(limits: &LimitsTable) -> Vec<(String, String)> {
    let bytes = |set: Option<Bytes>| set.map(|bytes| size(bytes.0));
    let time = |set: Option<Time>| set.map(|t| humantime::format_duration(t.0).to_string());
    let count = |set: Option<u64>| set.map(|count| count.to_string());
    let each = [
        ("memory", bytes(limits.memory)),
        ("timeout", time(limits.timeout)),
        ("cpu", time(limits.cpu)),
        ("output", bytes(limits.output)),
        ("stdio", bytes(limits.stdio)),
        ("host_call", bytes(limits.host_call)),
        ("handles", count(limits.handles)),
        ("tasks", count(limits.tasks)),
        ("open_files", count(limits.open_files)),
        ("random", bytes(limits.random)),
        ("http_fields", bytes(limits.http_fields)),
        ("http_body", bytes(limits.http_body)),
        ("rows", count(limits.rows)),
        ("load", time(limits.load)),
    ];
    each.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A number of bytes in the largest unit that has no remainder: nothing is rounded.
fn size(bytes: u64) -> String {
    let unit = [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// A level spelled out: a policy file that says the same.
pub fn preset(level: Level) -> String {
    let may: Vec<&str> = Capability::ALL
        .iter()
        .filter(|capability| Level::of_capability(**capability) <= level)
        .map(|capability| capability.name())
        .collect();
    let mut text = format!("permission_level = \"{level}\"\n");
    let _written = writeln!(text, "# grants may be of: {}", may.join(", "));
    if level < Level::Elevated {
        text.push_str("# hosts and variables are named, not `*`\n");
    }
    text.push_str("[grants]\n");
    let granted: Vec<String> =
        level.grants().iter().map(|grant| format!("    \"{grant}\",\n")).collect();
    match granted.is_empty() {
        true => text.push_str("allow = []\n"),
        false => {
            let _written = writeln!(text, "allow = [\n{}]", granted.concat());
        }
    }
    let limits = limits_of(&level.limits());
    text.push_str("[limits]");
    if limits.is_empty() {
        text.push_str(" # the host's own");
    }
    for (name, value) in limits {
        let _written = write!(text, "\n{name} = \"{value}\"");
    }
    text
}

/// What `new` says otherwise than `old`, a line each, and whether any of it is more.
pub fn differences(old: &Policy, new: &Policy) -> Result<(Vec<String>, bool), String> {
    let (before, after) = (old.settle(old.grants()?)?, new.settle(new.grants()?)?);
    let mut lines = Vec::new();
    let mut more = false;
    if old.level != new.level {
        more |= new.level > old.level;
        lines.push(format!("permission level {} → {}", old.level, new.level));
    }
    for (grant, _) in &after {
        if !before.iter().any(|(held, _)| held.covers(grant)) {
            more = true;
            lines.push(format!("+ may {}", sentence(grant)));
        }
    }
    for (grant, _) in &before {
        if !after.iter().any(|(held, _)| held.covers(grant)) {
            lines.push(format!("- may {}", sentence(grant)));
        }
    }
    for (what, before, after) in [
        ("may not touch", texts(&old.deny_path), texts(&new.deny_path)),
        ("may not call the tools", old.deny_tools.clone(), new.deny_tools.clone()),
    ] {
        more |= listed(what, &before, &after, &mut lines).1;
    }
    // Without a list every tool may be called.
    let (added, _) = listed("may call the tools", &old.allow_tools, &new.allow_tools, &mut lines);
    more |= (added && !old.allow_tools.is_empty())
        || (new.allow_tools.is_empty() && !old.allow_tools.is_empty());
    let (before, after) = (numbers(old), numbers(new));
    for (name, value) in &after {
        let known = before.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        if known != Some(value) {
            // Whether a limit is higher its text does not say; whoever reads it decides.
            more = true;
            let known = known.map_or("the default", String::as_str);
            lines.push(format!("  {name}: {known} → {value}"));
        }
    }
    for (name, value) in &before {
        if !after.iter().any(|(known, _)| known == name) {
            more = true;
            lines.push(format!("  {name}: {value} → the default"));
        }
    }
    if old.read_only != new.read_only {
        more |= old.read_only;
        lines.push(format!("  read_only: {} → {}", old.read_only, new.read_only));
    }
    Ok((lines, more))
}

fn texts(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// Lines for what a list has more and less; whether it has more, and less.
fn listed(what: &str, old: &[String], new: &[String], lines: &mut Vec<String>) -> (bool, bool) {
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|text| !b.contains(text)).cloned().collect()
    };
    let (added, removed) = (only(new, old), only(old, new));
    lines.extend(added.iter().map(|text| format!("+ {what} {text}")));
    lines.extend(removed.iter().map(|text| format!("- {what} {text}")));
    (!added.is_empty(), !removed.is_empty())
}
