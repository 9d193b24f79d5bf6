//! Everything a guest may import, linked once an engine; and the words for what it may not.

use wasmtime::Engine;
use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, Resource};
use wasmtime_wasi::{p2, p3};

use crate::sandbox::concurrency::is_wasi_0_3;
use crate::sandbox::engine::Concurrency;
use crate::sandbox::host::bindings::aos::tool::call;
use crate::sandbox::host::config::ConfigValues;
use crate::sandbox::host::filesystem::{FilesystemView, GatedFilesystem};
use crate::sandbox::host::{agent, doze, keyvalue, sockets, stdio};
use crate::sandbox::program::one_line;
use crate::sandbox::state::State;

/// Links all interfaces: those of WASI 0.3 where the engine has concurrency, those of agents where
/// it has none. What needs a grant is linked too and denied at its call, by its own error: a
/// component built by anybody's toolchain starts.
///
/// # Errors
/// When two interfaces claim one name: a mistake in this file.
pub(crate) fn linker(engine: &Engine, concurrency: Concurrency) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wasmtime_wasi::p2::add_to_linker_async(l)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    wasmtime_wasi_config::add_to_linker(l, ConfigValues::view)?;
    keyvalue::add_to_linker(l)?;
    call::add_to_linker::<_, HasSelf<State>>(l, |state| state)?;
    // Files and the look-up of names are this host's own, in the place of wasmtime-wasi's.
    l.allow_shadowing(true);
    let files: fn(&mut State) -> FilesystemView<'_> = |state| FilesystemView::of(state);
    p2::bindings::filesystem::types::add_to_linker::<_, GatedFilesystem>(l, files)?;
    p2::bindings::filesystem::preopens::add_to_linker::<_, GatedFilesystem>(l, files)?;
    sockets::replace_lookup(l)?;
    sockets::bound_creation(l)?;
    replace_debug_string(l)?;
    match concurrency {
        Concurrency::On => add_0_3(l)?,
        // An agent has one question open at a time.
        Concurrency::Off => {
            agent::add_to_linker(l)?;
            doze::replace(l)?;
        }
    }
    l.allow_shadowing(false);
    Ok(linker)
}

/// WASI 0.3. The linker must allow shadowing.
fn add_0_3(l: &mut Linker<State>) -> wasmtime::Result<()> {
    p3::add_to_linker(l)?;
    wasmtime_wasi_http::p3::add_to_linker(l)?;
    let files: fn(&mut State) -> FilesystemView<'_> = |state| FilesystemView::of(state);
    p3::bindings::filesystem::types::add_to_linker::<_, GatedFilesystem>(l, files)?;
    p3::bindings::filesystem::preopens::add_to_linker::<_, GatedFilesystem>(l, files)?;
    stdio::add_to_linker(l)?;
    sockets::p3::replace(l)
}

/// The text of an error, without the host's backtrace, which wasmtime-wasi's own has in it where
/// backtraces are switched on: how the host is built is no guest's to know.
fn replace_debug_string(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance("wasi:io/error@0.2.12")?.func_wrap(
        "[method]error.to-debug-string",
        |store: StoreContextMut<'_, State>, (error,): (Resource<wasmtime::Error>,)| {
            Ok((one_line(store.data().table.get(&error)?),))
        },
    )
}

/// One import that nothing here offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unoffered {
    /// The import's name.
    pub name: String,
    /// What would offer it.
    pub offered_by: &'static str,
}

/// Whether a component is an agent, by what it exports.
pub(crate) fn is_agent(component: &Component, engine: &Engine) -> bool {
    component.component_type().exports(engine).any(|(name, _)| bare(name) == AGENT)
}

/// The imports of a component that nobody gives it. Agents' own are for those who export a program,
/// and WASI 0.3 is for all others.
pub(crate) fn unoffered(component: &Component, engine: &Engine) -> Vec<Unoffered> {
    let is_agent = is_agent(component, engine);
    let offers = |name: &str, item: &ComponentItem| match is_agent {
        true if is_wasi_0_3(name) => false,
        true => offers(engine, name, item) || OFFERED_TO_AGENTS.contains(&bare(name)),
        false => offers(engine, name, item),
    };
    let offered_by = |name: &str| match is_agent && is_wasi_0_3(name) {
        true => "to be no agent: an agent has WASI 0.2; rebuild it for that",
        false => offered_by(name),
    };
    let of_type = component.component_type();
    let missing = of_type.imports(engine).filter(|(name, item)| !offers(name, &item.ty));
    missing
        .map(|(name, _)| Unoffered { name: name.to_owned(), offered_by: offered_by(name) })
        .collect()
}

/// The interface that an agent exports.
const AGENT: &str = "aos:agent/program";

fn offers(engine: &Engine, name: &str, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            // An interface of types alone needs nobody to offer it.
            let called = |item: &ComponentItem| matches!(item, ComponentItem::ComponentFunc(_));
            !instance.exports(engine).any(|(_, item)| called(&item.ty)) || is_offered(name)
        }
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentFunc(_)
        | ComponentItem::CoreFunc(_)
        | ComponentItem::Module(_)
        | ComponentItem::Component(_)
        | ComponentItem::Resource(_) => false,
    }
}

/// Whether an interface is offered, in the version that its name has.
pub fn is_offered(name: &str) -> bool {
    let (bare, version) = name.split_once('@').unwrap_or((name, ""));
    match version.contains('-') && is_wasi_0_3(name) {
        // What came before 0.3.0 had other types under the same names.
        true => false,
        false if is_wasi_0_3(name) => OFFERED_0_3.contains(&bare),
        false => OFFERED.contains(&bare) && is_linked_version(bare, version),
    }
}

/// Whether the linker takes this version of an interface that it has.
fn is_linked_version(bare: &str, version: &str) -> bool {
    match bare.split('/').next().unwrap_or(bare) {
        // Proposals, of which one draft is linked and no other has its types.
        "wasi:keyvalue" => version == "0.2.0-draft",
        "wasi:config" => version == "0.2.0-rc.1",
        package if package.starts_with("aos:") => is_release(version, "0.1."),
        _ => is_release(version, "0.2."),
    }
}

/// The line of the contract, of tools and of agents, that this host links and calls.
pub(crate) const CONTRACT_LINE: &str = "0.1.";

/// Whether a version is a release of a line, like 0.2.6 of `0.2.`.
pub(crate) fn is_release(version: &str, line: &str) -> bool {
    version.strip_prefix(line).is_some_and(|patch| patch.parse::<u32>().is_ok())
}

/// An interface's name without its version.
fn bare(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// What [`linker`] links besides [`OFFERED`], for agents alone.
pub const OFFERED_TO_AGENTS: &[&str] =
    &["aos:agent/context", "aos:agent/model", "aos:agent/process", "aos:tool/toolbox"];

/// The interfaces of WASI 0.3 that [`linker`] links; a test holds it against the linker itself.
pub const OFFERED_0_3: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/types",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/client",
    "wasi:http/types",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/types",
];

/// The interfaces that [`linker`] links besides those of WASI 0.3, without their versions.
pub const OFFERED: &[&str] = &[
    "aos:tool/call",
    "aos:tool/types",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:config/store",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:keyvalue/atomics",
    "wasi:keyvalue/batch",
    "wasi:keyvalue/store",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Which grant an interface needs before its calls do anything; none when it needs none.
pub fn grant_of(interface: &str) -> Option<&'static str> {
    let bare = interface.split('@').next().unwrap_or(interface);
    match bare {
        "wasi:filesystem/types" | "wasi:filesystem/preopens" => {
            Some("--allow-read FOLDER, --allow-write FOLDER")
        }
        "wasi:http/outgoing-handler" | "wasi:http/client" => {
            Some("--allow-net '[METHOD ]https://HOST'")
        }
        "wasi:sockets/tcp" | "wasi:sockets/tcp-create-socket" | "wasi:sockets/ip-name-lookup" => {
            Some("--allow-tcp HOST:PORT")
        }
        "wasi:sockets/udp" | "wasi:sockets/udp-create-socket" => Some("--allow-udp HOST:PORT"),
        // In 0.3 all sockets are one interface.
        "wasi:sockets/types" => Some("--allow-tcp HOST:PORT, --allow-udp HOST:PORT"),
        "wasi:cli/environment" => Some("--allow-env NAME"),
        "wasi:config/store" => Some("--set-config KEY=VALUE"),
        "wasi:keyvalue/store" | "wasi:keyvalue/atomics" | "wasi:keyvalue/batch" => {
            Some("--allow-keyvalue BUCKET")
        }
        _ => None,
    }
}

/// Whether an interface is offered to agents, and the flags that give them something to do with it.
/// What else may be granted is for their tools: an agent itself touches nothing.
pub fn to_agents(interface: &str) -> (bool, Option<&'static str>) {
    match bare(interface) {
        "aos:agent/model" => (true, Some("--model PROVIDER/MODEL")),
        "aos:agent/process" => (true, Some("--allow-spawn PROGRAM, to start children")),
        "aos:tool/toolbox" => (true, Some("--plugin NAME,...")),
        // Types alone, which nothing has to be linked for.
        "aos:agent/types" => (true, None),
        name => (OFFERED_TO_AGENTS.contains(&name) || is_offered(interface), None),
    }
}

/// What would offer an import, for the sentence that refuses it.
fn offered_by(name: &str) -> &'static str {
    let bare = name.split('@').next().unwrap_or(name);
    let package = bare.split('/').next().unwrap_or(bare);
    let known = OFFERED.contains(&bare) || OFFERED_0_3.contains(&bare);
    match package {
        "aos:agent" | "aos:tool"
            if !is_release(name.split('@').nth(1).unwrap_or(""), CONTRACT_LINE) =>
        {
            "a host with that version of the contract: this one has 0.1"
        }
        "aos:agent" => "an agent's host: it exports no `aos:agent/program`, so it is no agent",
        "aos:tool" => "a host that lets tools call tools, which this version does not",
        "wasi:nn" | "wasi:webgpu" | "wasi:blobstore" | "wasi:messaging" => {
            "a host with that WASI proposal, which this one does not implement"
        }
        "wasi:keyvalue" | "wasi:config" if known => {
            "another draft of that proposal: this host has wasi:keyvalue@0.2.0-draft and \
             wasi:config@0.2.0-rc.1; rebuild it for those"
        }
        package if package.starts_with("wasi:") && !known => {
            "a host that implements this interface, which this one does not in any version"
        }
        package if package.starts_with("wasi:") => {
            "another version of WASI: this host has 0.2 and 0.3.0; rebuild it for one of them"
        }
        package if package.starts_with("env") || !bare.contains(':') => {
            "its own embedder: it was built for a host that defines it"
        }
        _ => "another component: compose the two with a tool such as `wac`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::engine::{Profile, engine};

    /// A function of each interface of 0.3 that has one; the others are types alone.
    const FUNCTIONS: &[(&str, &str)] = &[
        ("wasi:cli/environment", "get-environment"),
        ("wasi:cli/exit", "exit"),
        ("wasi:cli/stderr", "write-via-stream"),
        ("wasi:cli/stdin", "read-via-stream"),
        ("wasi:cli/stdout", "write-via-stream"),
        ("wasi:cli/terminal-stderr", "get-terminal-stderr"),
        ("wasi:cli/terminal-stdin", "get-terminal-stdin"),
        ("wasi:cli/terminal-stdout", "get-terminal-stdout"),
        ("wasi:clocks/monotonic-clock", "wait-for"),
        ("wasi:clocks/system-clock", "now"),
        ("wasi:filesystem/preopens", "get-directories"),
        ("wasi:filesystem/types", "[method]descriptor.open-at"),
        ("wasi:http/client", "send"),
        ("wasi:http/types", "[static]request.new"),
        ("wasi:random/insecure", "get-insecure-random-u64"),
        ("wasi:random/insecure-seed", "get-insecure-seed"),
        ("wasi:random/random", "get-random-u64"),
        ("wasi:sockets/ip-name-lookup", "resolve-addresses"),
        ("wasi:sockets/types", "[method]tcp-socket.connect"),
    ];

    /// Whether a function is linked: then it cannot be linked a second time.
    fn has(linker: &mut Linker<State>, interface: &str, function: &str) -> bool {
        let mut instance = linker.instance(interface).expect("an instance");
        instance.func_wrap(function, |_, (): ()| Ok(())).is_err()
    }

    #[test]
    fn what_is_said_to_be_offered_of_0_3_is_linked_where_it_can_run() {
        for concurrency in [Concurrency::On, Concurrency::Off] {
            let (engine, _ticker) = engine(Profile::OneShot, concurrency).expect("an engine");
            let mut linker = linker(&engine, concurrency).expect("links");
            assert!(!has(&mut linker, "wasi:cli/stdout@0.3.0", "nothing"));
            for (bare, function) in FUNCTIONS {
                let name = format!("{bare}@0.3.0");
                assert!(is_offered(&name), "{name}");
                let linked = has(&mut linker, &name, function);
                assert_eq!(linked, concurrency == Concurrency::On, "{name}");
            }
        }
        let types = OFFERED_0_3.len() - FUNCTIONS.len();
        assert_eq!(types, 4, "an interface with functions is not in the list");
    }

    #[test]
    fn an_interface_is_offered_in_the_versions_that_are_linked() {
        for (name, offered) in [
            ("wasi:clocks/monotonic-clock@0.2.0", true),
            ("wasi:clocks/monotonic-clock@0.2.12", true),
            ("wasi:clocks/monotonic-clock@0.1.0", false),
            ("wasi:cli/environment@0.9.0", false),
            ("wasi:keyvalue/store@0.2.0-draft", true),
            ("wasi:keyvalue/store@0.2.0-draft2", false),
            ("aos:tool/call@0.1.0", true),
            ("aos:tool/call@0.2.0", false),
        ] {
            assert_eq!(is_offered(name), offered, "{name}");
        }
    }

    #[test]
    fn a_draft_of_0_3_is_not_offered() {
        assert!(!is_offered("wasi:cli/stdout@0.3.0-rc-2025-09-16"));
        assert!(!is_offered("wasi:http/handler@0.3.0"));
        assert!(is_offered("wasi:http/client@0.3.2"));
        assert!(!is_offered("wasi:http/client@0.2.0"));
    }
}
