//! What a plugin imports, offers and asks for, and how two of them differ in that.

use std::collections::BTreeSet;

use super::super::exit::{Code, Failure};
use super::super::run::kernel;
use super::super::terminal::one_line;
use crate::config::Config;
use crate::kernel::{Fault, SessionOptions};
use crate::sandbox::inspect::inspect;
use crate::sandbox::program::binary;
use crate::storage::StoreUrl;
use crate::types::{Reply, Syscall};

/// What matters to whoever decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    imports: BTreeSet<String>,
    tools: BTreeSet<String>,
    asks: BTreeSet<String>,
}

/// What an upgrade changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// One line for each change.
    pub lines: Vec<String>,
    /// It wants what the old one did not.
    pub asks_for_more: bool,
}

impl Contents {
    /// Reads a plugin as `aos-host inspect` does: loaded, nothing granted, a store in memory.
    ///
    /// # Errors
    /// When it is none.
    pub async fn of(config: &Config, name: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let wrong = |error: String| Failure::new(Code::Plugin, format!("{name}: {error}"));
        let read = binary(bytes).map_err(|error| wrong(error.to_string()))?;
        let imports = inspect(&read).map_err(|error| wrong(format!("it is not valid: {error}")))?;
        let config = Config { store: StoreUrl::Memory, ..config.clone() };
        let kernel = kernel(&config).await?;
        let plugin = kernel.load(name, bytes.to_vec()).await?;
        let manifest = plugin.program().manifest.clone();
        let session = kernel.session(plugin, SessionOptions::default())?;
        let tools = match kernel.submit(&session, Syscall::Definitions).await {
            Ok(Reply::Definitions(tools)) => tools,
            Ok(Reply::Output(..) | Reply::Exit(..)) => Vec::new(),
            Err(fault @ (Fault::Journal(_) | Fault::Storage(_) | Fault::Host(_))) => {
                return Err(fault.into());
            }
            Err(fault) => return Err(wrong(fault.to_string())),
        };
        let asks = match manifest {
            // Without a manifest it asks for everything that it is given.
            None => BTreeSet::from(["everything (it has no manifest)".to_owned()]),
            Some(manifest) => manifest.grants.into_iter().map(|line| line.ask).collect(),
        };
        Ok(Self {
            imports: imports.imports.into_iter().map(|import| import.name).collect(),
            tools: tools.into_iter().map(|tool| tool.name).collect(),
            asks,
        })
    }

    /// All of it, for people.
    pub fn text(&self) -> String {
        let list = |names: &BTreeSet<String>| match names.is_empty() {
            true => "nothing".to_owned(),
            false => one_line(&names.iter().cloned().collect::<Vec<_>>().join(", ")),
        };
        format!(
            "  tools    {}\n  asks for {}\n  imports  {}",
            list(&self.tools),
            list(&self.asks),
            list(&self.imports)
        )
    }

    /// What is more and what is less in `new`.
    pub fn difference(&self, new: &Self) -> Difference {
        let mut lines = Vec::new();
        let mut more = false;
        let parts = [
            ("tool", &self.tools, &new.tools, false),
            ("asks for", &self.asks, &new.asks, true),
            ("imports", &self.imports, &new.imports, true),
        ];
        for (what, old, new, counts) in parts {
            for added in new.difference(old) {
                lines.push(format!("+ {what} {}", one_line(added)));
                more |= counts;
            }
            for gone in old.difference(new) {
                lines.push(format!("- {what} {}", one_line(gone)));
            }
        }
        Difference { lines, asks_for_more: more }
    }
}

impl Difference {
    /// For people.
    pub fn text(&self) -> String {
        match self.lines.is_empty() {
            true => "the same tools, grants and imports".into(),
            false => self.lines.join("\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_ask_or_import_is_more_and_a_new_tool_is_not() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let old = Contents { tools: set(&["a"]), asks: set(&["read:*"]), ..Contents::default() };
        let tool = Contents { tools: set(&["a", "b"]), ..old.clone() };
        assert!(!old.difference(&tool).asks_for_more);
        let less = Contents { asks: set(&[]), ..old.clone() };
        assert_eq!(old.difference(&less).lines, ["- asks for read:*"]);
        assert!(!old.difference(&less).asks_for_more);
        for more in [
            Contents { asks: set(&["read:*", "net:*"]), ..old.clone() },
            Contents { imports: set(&["wasi:http/outgoing-handler@0.2.0"]), ..old.clone() },
        ] {
            assert!(old.difference(&more).asks_for_more);
        }
        assert_eq!(old.difference(&old).text(), "the same tools, grants and imports");
    }
}
