//! The read path. Bytes are taken as they are: a row that was tampered with must still be read, so
//! that it can be reported.

use super::append::NEWEST;
use super::{SqliteStorage, StorageError};
use crate::storage::{
    ChainHead, ChainRange, ChainRecord, PAGE_BYTES_MAX, PAGE_ROWS_MAX, RowRange, Storage,
    StoreHead, StoreId, StoredRow, Tally,
};
use futures::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

type Result<T> = std::result::Result<T, StorageError>;

pub(super) async fn head(store: &SqliteStorage) -> Result<StoreHead> {
    let failed = store.failed("reading its head");
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let row = sqlx::query(NEWEST).fetch_optional(connection).await.map_err(&failed)?;
    let row = row.ok_or_else(|| failed(sqlx::Error::RowNotFound))?;
    let id: Vec<u8> = row.try_get_unchecked(2).map_err(&failed)?;
    let id = <[u8; 16]>::try_from(id).map_err(|_| StorageError::Corrupt {
        place: store.name(),
        reason: "its id is not 16 bytes".to_owned(),
    })?;
    Ok(StoreHead {
        id: StoreId(id),
        chains: row.try_get_unchecked(0).map_err(&failed)?,
        link: row.try_get_unchecked(1).map_err(&failed)?,
    })
}

pub(super) async fn chains(
    store: &SqliteStorage,
    range: ChainRange,
    limit: usize,
) -> Result<Vec<ChainRecord>> {
    let failed = store.failed("reading its chains");
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let query = match &range {
        ChainRange::From(number) => sqlx::query(
            "SELECT number, id, opened_us, plugin, first, link FROM chains \
             WHERE number >= ? ORDER BY number LIMIT ?",
        )
        .bind(*number),
        ChainRange::Before(number) => sqlx::query(
            "SELECT number, id, opened_us, plugin, first, link FROM chains \
             WHERE number < ? ORDER BY number DESC LIMIT ?",
        )
        .bind(*number),
        ChainRange::Ids(first, last) => sqlx::query(
            "SELECT number, id, opened_us, plugin, first, link FROM chains \
             WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        )
        .bind(&first[..])
        .bind(&last[..]),
    };
    let rows = query.bind(page(limit)).fetch_all(connection).await.map_err(&failed)?;
    rows.iter().map(chain_record).collect::<sqlx::Result<_>>().map_err(failed)
}

pub(super) async fn chain_heads(store: &SqliteStorage, from: i64) -> Result<Vec<ChainHead>> {
    let failed = store.failed("reading its heads");
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let rows = sqlx::query(
        "SELECT c.number, c.id, coalesce(j.seq + 1, 0), coalesce(j.hash, x''), \
           coalesce(j.kind, '') \
         FROM (SELECT number, id FROM chains WHERE number >= ? ORDER BY number LIMIT ?) c \
         LEFT JOIN journal j ON j.chain = c.number \
           AND j.seq = (SELECT max(seq) FROM journal WHERE chain = c.number) \
         ORDER BY c.number",
    )
    .bind(from)
    .bind(page(PAGE_ROWS_MAX))
    .fetch_all(connection)
    .await
    .map_err(&failed)?;
    rows.iter().map(chain_head).collect::<sqlx::Result<_>>().map_err(failed)
}

pub(super) async fn rows(
    store: &SqliteStorage,
    range: RowRange,
    limit: usize,
) -> Result<Vec<StoredRow>> {
    let failed = store.failed("reading its rows");
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let mut stream = sqlx::query(
        "SELECT chain, seq, time_us, kind, who, call, component, capability, target, verdict, \
         body, hash FROM journal WHERE (chain, seq) >= (?, ?) AND chain <= ? \
         ORDER BY chain, seq LIMIT ?",
    )
    .bind(range.from.0)
    .bind(range.from.1)
    .bind(range.until_chain)
    .bind(page(limit))
    .fetch(connection);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await.map_err(&failed)? {
        let row = stored_row(&row).map_err(&failed)?;
        bytes += row.bytes();
        rows.push(row);
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    Ok(rows)
}

pub(super) async fn tally(store: &SqliteStorage, chain: i64) -> Result<Vec<Tally>> {
    let failed = store.failed("counting its rows");
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let rows = sqlx::query(
        "SELECT kind, verdict, count(*) FROM journal WHERE chain = ? GROUP BY kind, verdict",
    )
    .bind(chain)
    .fetch_all(connection)
    .await
    .map_err(&failed)?;
    let tally = |row: &SqliteRow| {
        Ok(Tally { kind: text(row, 0)?, verdict: text(row, 1)?, rows: row.try_get_unchecked(2)? })
    };
    rows.iter().map(tally).collect::<sqlx::Result<_>>().map_err(failed)
}

/// A page size for SQL.
fn page(limit: usize) -> i64 {
    i64::try_from(limit.min(PAGE_ROWS_MAX)).unwrap_or(i64::MAX)
}

/// A text column, also when its bytes are no longer UTF-8.
fn text(row: &SqliteRow, column: usize) -> sqlx::Result<String> {
    let bytes: &[u8] = row.try_get_unchecked(column)?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn chain_record(row: &SqliteRow) -> sqlx::Result<ChainRecord> {
    Ok(ChainRecord {
        number: row.try_get_unchecked(0)?,
        id: row.try_get_unchecked(1)?,
        opened_us: row.try_get_unchecked(2)?,
        plugin: text(row, 3)?,
        first: row.try_get_unchecked(4)?,
        link: row.try_get_unchecked(5)?,
    })
}

fn chain_head(row: &SqliteRow) -> sqlx::Result<ChainHead> {
    Ok(ChainHead {
        number: row.try_get_unchecked(0)?,
        id: row.try_get_unchecked(1)?,
        rows: row.try_get_unchecked(2)?,
        hash: row.try_get_unchecked(3)?,
        kind: text(row, 4)?,
    })
}

fn stored_row(row: &SqliteRow) -> sqlx::Result<StoredRow> {
    Ok(StoredRow {
        chain: row.try_get_unchecked(0)?,
        seq: row.try_get_unchecked(1)?,
        time_us: row.try_get_unchecked(2)?,
        kind: text(row, 3)?,
        who: text(row, 4)?,
        call: row.try_get_unchecked(5)?,
        component: row.try_get_unchecked(6)?,
        capability: text(row, 7)?,
        target: text(row, 8)?,
        verdict: text(row, 9)?,
        body: text(row, 10)?,
        hash: row.try_get_unchecked(11)?,
    })
}
