//! `aos-host inspect`: what a plugin is, before anybody runs it.

use bytesize::ByteSize;
use clap::Args;
use serde_json::{Value, json};

use super::exit::{Code, Failure, code_of};
use super::render;
use super::run::{Format, kernel};
use super::terminal::{self, one_line};
use crate::capability::grant::Capability;
use crate::config::{Config, plugins};
use crate::kernel::{Fault, Plugin, SessionOptions};
use crate::sandbox::inspect::{Import, Inspection, inspect as read};
use crate::sandbox::program::binary;
use crate::storage::StoreUrl;
use crate::types::{ComponentHash, Definition, Reply, Syscall};

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A .wasm or .wat file, or the name of a plugin
    plugin: String,
    /// How it is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
    /// A folder in which plugins are looked up by name, before the configured ones
    #[arg(long, value_name = "FOLDER")]
    plugin_path: Vec<std::path::PathBuf>,
}

/// What could be learnt by loading it, or why it could not be loaded.
struct Loaded {
    plugin: std::sync::Arc<Plugin>,
    tools: Vec<Definition>,
}

pub async fn inspect(config: &Config, arguments: InspectArgs) -> Result<Code, Failure> {
    let folders: Vec<_> =
        arguments.plugin_path.iter().chain(&config.plugin_path).cloned().collect();
    let found = plugins::find(&arguments.plugin, &folders)?;
    let wrong =
        |sentence: String| Failure::new(Code::Plugin, format!("{}: {sentence}", found.origin));
    let bytes = binary(&found.bytes).map_err(|error| wrong(error.to_string()))?;
    let inspection =
        read(&bytes).map_err(|sentence| wrong(format!("it is not valid: {sentence}")))?;
    let loaded = load(config, &found).await;
    let hash = ComponentHash::of(&found.bytes);
    let text = match arguments.output {
        Format::Json => as_json(&inspection, &loaded, hash),
        Format::Text => as_text(&found.origin, &inspection, &loaded, hash),
    };
    terminal::print_line(&text)?;
    match loaded {
        Ok(_) => Ok(Code::Ok),
        // The problem stands in the JSON.
        Err(fault) if arguments.output == Format::Json => Err(Failure::silent(code_of(&fault))),
        Err(fault) => Err(Failure::new(code_of(&fault), format!("{}: {fault}", found.origin))),
    }
}

/// Looking leaves no trace in the journal: a store in memory serves.
async fn load(config: &Config, found: &plugins::Found) -> Result<Loaded, Fault> {
    let config = Config { store: StoreUrl::Memory, ..config.clone() };
    let kernel = kernel(&config).await.map_err(|failure| Fault::Host(failure.sentence))?;
    let plugin = kernel.load(&found.name, found.bytes.clone()).await?;
    let session = kernel.session(std::sync::Arc::clone(&plugin), SessionOptions::default())?;
    let tools = match kernel.submit(&session, Syscall::Definitions).await? {
        Reply::Definitions(tools) => tools,
        Reply::Output(..) | Reply::Exit(..) => Vec::new(),
    };
    Ok(Loaded { plugin, tools })
}

fn as_json(inspection: &Inspection, loaded: &Result<Loaded, Fault>, hash: ComponentHash) -> String {
    let mut all = json!(inspection);
    all["blake3"] = json!(hash.to_string());
    match loaded {
        Ok(Loaded { plugin, tools }) => {
            all["kind"] = json!(plugin.program().kind.name());
            all["name"] = json!(plugin.program().name);
            all["tools"] = json!(tools);
            let unasked = inspection.imports.iter().flat_map(|import| {
                let needs = not_asked(import, loaded).into_iter();
                needs.map(|need| json!({ "import": import.name, "capability": need.name() }))
            });
            all["not_asked"] = unasked.collect();
            if let Some(manifest) = &plugin.program().manifest {
                all["version"] = json!(manifest.version);
                all["asks"] = manifest
                    .grants
                    .iter()
                    .map(|line| json!({ "ask": line.ask, "reason": line.reason }))
                    .collect();
            }
        }
        Err(fault) => all["problem"] = json!(fault.to_string()),
    }
    serde_json::to_string_pretty(&all).unwrap_or_else(|_| Value::Null.to_string())
}

fn as_text(
    origin: &str,
    inspection: &Inspection,
    loaded: &Result<Loaded, Fault>,
    hash: ComponentHash,
) -> String {
    let kind = match loaded {
        Ok(loaded) => loaded.plugin.program().kind.name(),
        Err(_) => "not runnable here",
    };
    let mut text = format!("{}: {kind} ({}, ", one_line(origin), inspection.format);
    text.push_str(&format!("{}, blake3 {hash})\n", ByteSize(inspection.bytes as u64)));
    let modules: u64 = inspection.modules.iter().map(|bytes| *bytes as u64).sum();
    if inspection.modules.len() > 1 {
        let count = inspection.modules.len();
        text.push_str(&format!("made of {count} core modules, {}\n", ByteSize(modules)));
    }
    for (title, list) in [("written in", &inspection.languages), ("made by", &inspection.made_by)] {
        if !list.is_empty() {
            text.push_str(&format!("{title} {}\n", one_line(&list.join(", "))));
        }
    }
    if let Ok(loaded) = loaded
        && !loaded.tools.is_empty()
    {
        text.push('\n');
        text.push_str(&render::definitions_text(&loaded.plugin, &loaded.tools));
    }
    text.push_str("\nIt imports:\n");
    if inspection.imports.is_empty() {
        text.push_str("    nothing\n");
    }
    if inspection.is_agent() {
        // Said before the list, since the grants in it are others'.
        text.push_str(
            "    (files, hosts and names are granted to an agent's tools, not to itself)\n",
        );
    }
    for import in &inspection.imports {
        let needs = match (import.offered, import.grant) {
            (false, _) => "NOT OFFERED HERE".to_owned(),
            (true, Some(grant)) => match not_asked(import, loaded).is_empty() {
                true => grant.to_owned(),
                false => format!("{grant} {}", UNASKED),
            },
            (true, None) => "no grant".to_owned(),
        };
        text.push_str(&format!("    {:<44} {needs}\n", one_line(&import.name)));
    }
    text.push_str("\nIt exports:\n");
    for export in &inspection.exports {
        text.push_str(&format!("    {}\n", one_line(export)));
    }
    text
}

/// What stands beside an import whose calls will be denied whatever is granted.
const UNASKED: &str = "(of no use: its manifest does not ask for it)";

/// The capabilities that an import needs when its manifest asks for none of them. Without a
/// manifest everything counts as asked for.
fn not_asked(import: &Import, loaded: &Result<Loaded, Fault>) -> Vec<Capability> {
    let (Some(grant), Ok(loaded)) = (import.grant, loaded) else { return Vec::new() };
    let Some(manifest) = &loaded.plugin.program().manifest else { return Vec::new() };
    // A manifest whose asks cannot be read is refused before.
    let asks = manifest.asks().unwrap_or_default();
    let needs: Vec<_> =
        Capability::ALL.into_iter().filter(|need| grant.contains(need.flag())).collect();
    match needs.iter().any(|need| asks.iter().any(|ask| ask.capability == *need)) {
        true => Vec::new(),
        false => needs,
    }
}
