//! `aos-host cache`: the compiled components.

use bytesize::ByteSize;
use clap::Subcommand;
use serde_json::json;

use super::exit::{Code, Failure};
use super::run::Format;
use super::terminal::{self, visible};
use crate::config::Config;
use crate::sandbox::cache::{CACHE_BYTES_DEFAULT, CacheFolder, Entry};

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List what is kept, most recently used first
    List {
        /// How it is written
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Remove all of it; components are compiled again when they are run
    Clear,
}

pub fn cache(config: &Config, command: &CacheCommand) -> Result<Code, Failure> {
    let bytes_max = config.cache_bytes_max.unwrap_or(CACHE_BYTES_DEFAULT);
    // Neither needs the key, so both work where it is broken.
    let cache = CacheFolder::open(&config.cache_folder).map_err(Failure::host)?;
    match command {
        CacheCommand::List { output } => {
            let entries = cache.entries().map_err(Failure::host)?;
            terminal::print_line(&listed(&cache, &entries, bytes_max, *output))
        }
        CacheCommand::Clear => {
            let (count, bytes) = cache.clear().map_err(Failure::host)?;
            terminal::print_line(&format!("removed {}, {}", components(count), ByteSize(bytes)))
        }
    }
}

fn components(count: usize) -> String {
    format!("{count} component{}", if count == 1 { "" } else { "s" })
}

fn listed(cache: &CacheFolder, entries: &[Entry], bytes_max: u64, format: Format) -> String {
    let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let used = |entry: &Entry| humantime::format_rfc3339_seconds(entry.used).to_string();
    if format == Format::Json {
        let entries = entries
            .iter()
            .map(|entry| json!({ "name": entry.name, "bytes": entry.bytes, "used": used(entry) }));
        return json!({
            "folder": cache.path(), "bytes": bytes, "bytes_max": bytes_max,
            "components": entries.collect::<Vec<_>>(),
        })
        .to_string();
    }
    let mut text = String::new();
    for entry in entries {
        let size = ByteSize(entry.bytes);
        text.push_str(&format!("{}  {size:>10}  {}\n", used(entry), visible(&entry.name)));
    }
    let path = cache.path().display().to_string();
    text.push_str(&format!(
        "{}, {} of {}, in {}",
        components(entries.len()),
        ByteSize(bytes),
        ByteSize(bytes_max),
        visible(&path)
    ));
    text
}
