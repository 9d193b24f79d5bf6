//! `aos-host cache`: the compiled components.

use bytesize::ByteSize;
use clap::Subcommand;

use super::exit::{Code, Failure};
use super::terminal;
use crate::config::Config;
use crate::sandbox::cache::{CACHE_BYTES_DEFAULT, CompileCache};

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List what is kept, most recently used first
    List,
    /// Remove all of it; components are compiled again when they are run
    Clear,
}

pub fn cache(config: &Config, command: &CacheCommand) -> Result<Code, Failure> {
    let bytes_max = config.cache_bytes_max.unwrap_or(CACHE_BYTES_DEFAULT);
    let cache = CompileCache::open(&config.cache_folder, bytes_max).map_err(Failure::host)?;
    match command {
        CacheCommand::List => {
            let entries = cache.entries().map_err(Failure::host)?;
            let mut text = String::new();
            for entry in &entries {
                let used = humantime::format_rfc3339_seconds(entry.used);
                text.push_str(&format!("{used}  {:>10}  {}\n", ByteSize(entry.bytes), entry.name));
            }
            let bytes = ByteSize(entries.iter().map(|entry| entry.bytes).sum());
            let (count, path) = (entries.len(), cache.path().display());
            let most = ByteSize(bytes_max);
            text.push_str(&format!("{count} components, {bytes} of {most}, in {path}\n"));
            terminal::print_line(&text)
        }
        CacheCommand::Clear => {
            let (count, bytes) = cache.clear().map_err(Failure::host)?;
            terminal::print_line(&format!("removed {count} components, {}", ByteSize(bytes)))
        }
    }
}
