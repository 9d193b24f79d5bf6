//! What a component is, read from its bytes without running or compiling it.

use std::collections::BTreeSet;

use serde::Serialize;
use wasm_metadata::Payload as Metadata;
use wasmparser::{ComponentExternalKind, Parser, Payload};

use crate::sandbox::host::link::{grant_of, is_offered, to_agents};
use crate::sandbox::program::parse_error;

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// The flags that give it something to do; none when it needs no grant.
    pub grant: Option<&'static str>,
    /// Whether this host offers it.
    pub offered: bool,
}

/// What the bytes say.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// `component`, or `core module` (of WASI 0.1).
    pub format: &'static str,
    /// The size of the whole, in bytes.
    pub bytes: usize,
    /// The sizes of the core modules inside, in bytes.
    pub modules: Vec<usize>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// What it exports.
    pub exports: Vec<String>,
    /// The languages it was written in, as its toolchain says.
    pub languages: Vec<String>,
    /// The tools it was made by.
    pub made_by: Vec<String>,
}

/// Components inside components: what reads them afterwards calls itself for each.
const DEPTH_MAX: u32 = 100;

/// Reads a component or core module.
///
/// # Errors
/// One sentence, when the bytes do not hold together.
pub fn inspect(binary: &[u8]) -> Result<Inspection, String> {
    let component = Parser::is_component(binary);
    let mut found = Inspection {
        format: if component { "component" } else { "core module" },
        bytes: binary.len(),
        modules: Vec::new(),
        imports: Vec::new(),
        exports: Vec::new(),
        languages: Vec::new(),
        made_by: Vec::new(),
    };
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(binary) {
        let payload = payload.map_err(|error| parse_error(error.message()))?;
        if depth > DEPTH_MAX {
            return Err(format!("it nests components deeper than {DEPTH_MAX}"));
        }
        match &payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                found.modules.push(unchecked_range.len());
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth == 0 => found.read(&payload).map_err(|error| error.message().to_owned())?,
            _ => {}
        }
    }
    if found.is_agent() {
        for import in &mut found.imports {
            (import.offered, import.grant) = to_agents(&import.name);
        }
    }
    found.producers(binary);
    Ok(found)
}

impl Inspection {
    /// Whether it exports what an agent does.
    pub fn is_agent(&self) -> bool {
        self.exports.iter().any(|name| name.split('@').next() == Some("aos:agent/program"))
    }

    fn read(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    let name = import?.name;
                    self.import(name.name);
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    if matches!(
                        export.kind,
                        ComponentExternalKind::Func | ComponentExternalKind::Instance
                    ) {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            Payload::ImportSection(imports) => {
                let mut modules = BTreeSet::new();
                for import in imports.clone().into_imports() {
                    modules.insert(import?.module.to_owned());
                }
                modules.iter().for_each(|module| self.import(module));
            }
            Payload::ExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    if export.kind == wasmparser::ExternalKind::Func {
                        self.exports.push(export.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, name: &str) {
        // The adapter turns WASI 0.1 into 0.2, so it is offered where a core module imports it.
        let offered = is_offered(name) || name == "wasi_snapshot_preview1";
        self.imports.push(Import { name: name.to_owned(), grant: grant_of(name), offered });
    }

    /// Languages and tools, of the component and of all that it is made of. It is what the
    /// toolchain wrote, so a section that cannot be read is passed over.
    fn producers(&mut self, binary: &[u8]) {
        let Ok(metadata) = Metadata::from_binary(binary) else { return };
        let (mut languages, mut tools) = (BTreeSet::new(), BTreeSet::new());
        collect(&metadata, &mut languages, &mut tools);
        self.languages = languages.into_iter().collect();
        self.made_by = tools.into_iter().collect();
    }
}

fn collect(of: &Metadata, languages: &mut BTreeSet<String>, tools: &mut BTreeSet<String>) {
    if let Some(producers) = &of.metadata().producers {
        for (field, set) in [("language", &mut *languages), ("processed-by", &mut *tools)] {
            for (name, version) in producers.get(field).iter().flat_map(|field| field.iter()) {
                set.insert(format!("{name} {version}").trim().to_owned());
            }
        }
    }
    if let Metadata::Component { children, .. } = of {
        children.iter().for_each(|child| collect(child, languages, tools));
    }
}
