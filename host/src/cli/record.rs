//! `run --record`: the policy that a run needed, as a file.

use std::io::Write as _;
use std::path::Path;

use super::exit::Failure;
use crate::capability::grant::Grant;
use crate::config::policy::recorded;
use crate::journal::{chain_rows, find_chain};
use crate::kernel::Kernel;
use crate::storage::{Storage, StoredRow};

/// Rows that are looked through: as many as a call may have, and its own few.
const ROWS_MAX: usize = 200_000;

/// Writes the policy of a run that has ended, in the place of an older one.
///
/// # Errors
/// When the journal cannot be read or the file not written.
pub async fn write(
    kernel: &Kernel,
    file: &Path,
    (plugin, run): (&str, &str),
    ceiling: &[(Grant, String)],
) -> Result<(), Failure> {
    kernel.sync().await?;
    let store = &**kernel.storage();
    let chain = find_chain(store, run).await?;
    let rows = rows_of(store, chain.number).await?;
    let ceiling: Vec<(Grant, String)> = ceiling.iter().map(absolute).collect();
    let text = recorded(plugin, &run[..run.len().min(12)], &rows, &ceiling);
    let named = |error: std::io::Error| Failure::usage(format!("{}: {error}", file.display()));
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let mut new = tempfile_in(folder, file).map_err(named)?;
    new.1.write_all(text.as_bytes()).map_err(named)?;
    std::fs::rename(&new.0, file).map_err(named)
}

/// A file beside the one that is wanted, which takes its place when it is whole.
fn tempfile_in(
    folder: &Path,
    file: &Path,
) -> Result<(std::path::PathBuf, std::fs::File), std::io::Error> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let path = folder.join(format!(".{name}.{}", std::process::id()));
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    Ok((path, opened))
}

/// All rows of a chain, within bounds.
///
/// # Errors
/// When they cannot be read.
pub async fn rows_of(store: &dyn Storage, chain: i64) -> Result<Vec<StoredRow>, Failure> {
    let mut rows: Vec<StoredRow> = Vec::new();
    while rows.len() < ROWS_MAX {
        let from = rows.last().map_or(0, |row| row.seq + 1);
        let page = chain_rows(store, chain, from).await?;
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    Ok(rows)
}

/// The same grant with the folder's real path: a policy lies elsewhere than its run was.
fn absolute((grant, text): &(Grant, String)) -> (Grant, String) {
    use crate::capability::grant::Scope;
    let mut grant = grant.clone();
    if let Scope::Read(root) | Scope::Write(root) = &mut grant.scope
        && let Ok(real) = std::path::absolute(&root.host)
    {
        root.host = real.components().collect();
    }
    (grant, text.clone())
}
