//! `aos-host store`: looking after the store itself.

use clap::Subcommand;
use serde_json::json;

use super::audit::{count, opened, tell};
use super::exit::{Code, Failure};
use super::run::Format;
use super::terminal::{self, visible};
use crate::config::Config;
use crate::journal::{CopyError, copy, verify};
use crate::storage::StoreUrl;

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Create the store, or bring its schema up to date, as its next use would
    Migrate {
        /// How it is told
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Have the database look itself over, and verify the journal
    Check {
        /// How it is told
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Give back the room of what was removed, and bring the database's figures up to date
    Compact {
        /// How it is told
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Copy all chains and key-value pairs into another store, verifying them on the way
    Copy {
        /// The store to read, as after --store
        from: String,
        /// The store to write: empty, or with runs of its own, or a copy to bring up to date
        to: String,
        /// Where both have a key, take the value of FROM
        #[arg(long)]
        replace: bool,
        /// How it is told
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
}

pub async fn store(config: &Config, command: StoreCommand) -> Result<Code, Failure> {
    match command {
        StoreCommand::Migrate { output } => migrate(&config.store, output).await,
        StoreCommand::Check { output } => check(&config.store, output).await,
        StoreCommand::Compact { output } => compact(&config.store, output).await,
        StoreCommand::Copy { from, to, replace, output } => {
            let parse = |text: String| text.parse::<StoreUrl>().map_err(Failure::usage);
            copied(parse(from)?, parse(to)?, replace, output).await
        }
    }
}

/// There is nothing to look after in a store that begins and ends with the command.
fn lasting(store: &StoreUrl) -> Result<&StoreUrl, Failure> {
    match store {
        StoreUrl::Memory => Err(Failure::usage(
            "`memory:` is gone when the command ends: name a file or a server, `sqlite:PATH` or \
             `postgres://HOST/DATABASE`",
        )),
        StoreUrl::Sqlite(_) | StoreUrl::Postgres(_) => Ok(store),
    }
}

async fn migrate(url: &StoreUrl, output: Format) -> Result<Code, Failure> {
    let store = lasting(url)?.open().await.map_err(Failure::host)?;
    let versions = store.schema();
    let (before, now) = (versions.before, versions.now);
    store.close().await.map_err(Failure::host)?;
    terminal::print_line(&match output {
        Format::Json => json!({ "before": before, "now": now }).to_string(),
        Format::Text if before == now => format!("schema version {now}, as it was"),
        Format::Text if before == 0 => format!("created, with schema version {now}"),
        Format::Text => format!("schema version {now}, before {before}"),
    })
}

async fn check(url: &StoreUrl, output: Format) -> Result<Code, Failure> {
    let store = opened(lasting(url)?).await?;
    let findings = store.check().await.map_err(Failure::host)?;
    if findings.is_empty() {
        return tell(&verify(&*store).await?, output);
    }
    // What a damaged database says of its rows proves nothing more.
    match output {
        Format::Json => {
            terminal::print_line(&json!({ "ok": false, "findings": findings }).to_string())?;
            Err(Failure::silent(Code::Host))
        }
        Format::Text => {
            for finding in &findings {
                terminal::print_line(&visible(finding))?;
            }
            let findings = count(findings.len() as u64, "finding");
            Err(Failure::host(format!("the store is not sound: {findings}")))
        }
    }
}

async fn compact(url: &StoreUrl, output: Format) -> Result<Code, Failure> {
    let store = opened(lasting(url)?).await?;
    let sizes = store.compact().await.map_err(Failure::host)?;
    store.close().await.map_err(Failure::host)?;
    let size = |bytes| bytesize::ByteSize(bytes).to_string();
    terminal::print_line(&match output {
        Format::Json => {
            json!({ "before_bytes": sizes.before_bytes, "after_bytes": sizes.after_bytes })
                .to_string()
        }
        Format::Text => format!("{}, before {}", size(sizes.after_bytes), size(sizes.before_bytes)),
    })
}

async fn copied(
    from: StoreUrl,
    to: StoreUrl,
    replace: bool,
    output: Format,
) -> Result<Code, Failure> {
    if from == to {
        return Err(Failure::usage(format!("FROM and TO are the same store, {from}")));
    }
    let source = opened(lasting(&from)?).await?;
    let target = lasting(&to)?.open().await.map_err(Failure::host)?;
    let copied = copy(&*source, &*target, replace).await?;
    target.close().await.map_err(Failure::host)?;
    terminal::print_line(&match output {
        Format::Json => json!({
            "chains": copied.chains, "rows": copied.rows, "pairs": copied.pairs,
            "pages": copied.pages,
            "links_kept": copied.links_kept,
        })
        .to_string(),
        Format::Text => {
            let links = match copied.links_kept {
                true => "heads that were kept of it fit the copy too",
                false => {
                    "the chains were registered anew after those that were there: keep a new head \
                     (`audit head`)"
                }
            };
            format!(
                "copied and verified: {}, {}, {}, {}; {links}",
                count(copied.chains, "chain"),
                count(copied.rows, "row"),
                count(copied.pairs, "pair"),
                count(copied.pages, "page"),
            )
        }
    })
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Journal(error) => error.into(),
            CopyError::Pair { .. } => Self::usage(error),
            CopyError::Storage(_)
            | CopyError::Changed { .. }
            | CopyError::Unknown { .. }
            | CopyError::Differs { .. } => Self::host(error),
        }
    }
}
