//! `aos-host logs`: what an agent did, from its chain in the journal.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::audit::{agents_chain, row_json, row_text};
use super::exit::{Code, Failure};
use super::run::Format;
use super::serve::client;
use super::terminal;
use crate::api::ApiError;
use crate::api::client::Client;
use crate::api::words::{Blame, RowView};
use crate::config::Config;
use crate::journal::{RowKind, chain_rows};
use crate::storage::{Storage, StoreUrl};

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Its pid, or a name that it alone has; of several the newest in the journal
    #[arg(value_name = "PID")]
    who: String,
    /// Go on until the agent ends
    #[arg(long, short)]
    follow: bool,
    /// How they are written: JSON is one value a line
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// How often a chain is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Shows the rows: through the running host while that knows the agent, else from the store.
pub async fn logs(config: &Config, arguments: &LogsArgs) -> Result<Code, Failure> {
    match live(&client(config)?, arguments).await {
        Err(ApiError::NoHost(_)) => stored(config, arguments, None).await,
        Err(ApiError::Refused(problem)) if problem.blame == Blame::NoAgent => {
            stored(config, arguments, Some(problem.sentence)).await
        }
        other => other?,
    }
}

async fn live(client: &Client, arguments: &LogsArgs) -> Result<Result<Code, Failure>, ApiError> {
    // Its name is looked up once: a later agent of that name is another.
    let who = client.show(&arguments.who).await?.pid.to_string();
    let mut from = 0;
    loop {
        let page = client.rows(&who, from).await?.rows;
        let closed = page.iter().any(|row| row.kind == RowKind::Closed.word());
        match print(&page, arguments.output) {
            Ok(()) => {}
            Err(failure) => return Ok(Err(failure)),
        }
        match page.last() {
            Some(last) => from = last.seq + 1,
            None if !arguments.follow => return Ok(Ok(Code::Ok)),
            None => tokio::time::sleep(LOOK).await,
        }
        if closed {
            return Ok(Ok(Code::Ok));
        }
    }
}

fn print(rows: &[RowView], format: Format) -> Result<(), Failure> {
    for row in rows {
        terminal::print_line(&match format {
            Format::Text => row_text(row),
            Format::Json => row_json(row),
        })?;
    }
    Ok(())
}

/// The store, where there is one: nothing is made for a look.
pub(super) async fn store_to_look_at(config: &Config) -> Result<Option<Arc<dyn Storage>>, Failure> {
    match &config.store {
        StoreUrl::Sqlite(path) if path.exists() => {}
        StoreUrl::Postgres(_) => {}
        StoreUrl::Sqlite(_) | StoreUrl::Memory => return Ok(None),
    }
    config.store.open().await.map(Some).map_err(Failure::host)
}

/// `unknown` is what a running host said of it.
async fn stored(
    config: &Config,
    arguments: &LogsArgs,
    unknown: Option<String>,
) -> Result<Code, Failure> {
    let none = || {
        let who = &arguments.who;
        Failure::usage(unknown.clone().unwrap_or_else(|| {
            format!(
                "there is no agent {who} in the journal, and no host is running for it; \
                 `aos-host serve` starts one"
            )
        }))
    };
    let store = store_to_look_at(config).await?.ok_or_else(none)?;
    let chain = agents_chain(&*store, &arguments.who).await?.ok_or_else(none)?.number;
    let mut from = 0;
    loop {
        let rows = chain_rows(&*store, chain, from).await?;
        // Whoever wrote it is gone, so there is nothing to follow.
        let Some(last) = rows.last() else { return Ok(Code::Ok) };
        from = last.seq + 1;
        print(&rows.iter().map(RowView::from).collect::<Vec<_>>(), arguments.output)?;
    }
}
