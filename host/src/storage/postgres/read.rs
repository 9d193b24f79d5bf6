//! Reads: each is one statement, so it sees one state of the store. What was tampered with must
//! still be read, so that it can be reported.

use super::{PostgresStorage, StorageError, TRY_TIME, Tries, ask, within};
use crate::storage::{
    ChainHead, ChainRange, ChainRecord, PAGE_BYTES_MAX, PAGE_ROWS_MAX, RowRange, StoreHead,
    StoreId, StoredRow, Tally,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

type Result<T> = std::result::Result<T, StorageError>;

pub(super) async fn head(store: &PostgresStorage) -> Result<StoreHead> {
    const READING: &str = "reading its head";
    let row = ask!(store, READING, connection => sqlx::query(
        "SELECT s.id, coalesce(c.number, 0), coalesce(c.link, s.id) FROM store s \
         LEFT JOIN (SELECT number, link FROM chains ORDER BY number DESC LIMIT 1) c ON true",
    )
    .fetch_one(connection))?;
    let failed = |error: sqlx::Error| store.failed(READING, error);
    let id: Vec<u8> = row.try_get(0).map_err(failed)?;
    let id = <[u8; 16]>::try_from(id).map_err(|_| StorageError::Corrupt {
        place: store.target.place(),
        reason: "its id is not 16 bytes".to_owned(),
    })?;
    Ok(StoreHead {
        id: StoreId(id),
        chains: row.try_get(1).map_err(failed)?,
        link: row.try_get(2).map_err(failed)?,
    })
}

pub(super) async fn chains(
    store: &PostgresStorage,
    range: ChainRange,
    limit: usize,
) -> Result<Vec<ChainRecord>> {
    const READING: &str = "reading its chains";
    let query = || match &range {
        ChainRange::From(number) => sqlx::query(
            "SELECT number, id, opened_us, plugin, first, link FROM chains \
             WHERE number >= $1 ORDER BY number LIMIT $2",
        )
        .bind(*number),
        ChainRange::Before(number) => sqlx::query(
            "SELECT number, id, opened_us, plugin, first, link FROM chains \
             WHERE number < $1 ORDER BY number DESC LIMIT $2",
        )
        .bind(*number),
        ChainRange::Ids(first, _) => sqlx::query(
            "SELECT number, id, opened_us, plugin, first, link FROM chains \
             WHERE id BETWEEN $1 AND $3 ORDER BY id LIMIT $2",
        )
        .bind(&first[..]),
    };
    let rows = ask!(store, READING, connection => {
        let query = query().bind(page(limit));
        match &range {
            ChainRange::From(_) | ChainRange::Before(_) => query,
            ChainRange::Ids(_, last) => query.bind(&last[..]),
        }
        .fetch_all(connection)
    })?;
    let records = rows.iter().map(chain_record).collect::<sqlx::Result<_>>();
    records.map_err(|error| store.failed(READING, error))
}

pub(super) async fn chain_heads(store: &PostgresStorage, from: i64) -> Result<Vec<ChainHead>> {
    const READING: &str = "reading its heads";
    let rows = ask!(store, READING, connection => sqlx::query(
        "SELECT c.number, c.id, coalesce(j.seq + 1, 0), coalesce(j.hash, ''::bytea), \
           coalesce(j.kind, ''::bytea) \
         FROM (SELECT number, id FROM chains WHERE number >= $1 ORDER BY number LIMIT $2) c \
         LEFT JOIN LATERAL (SELECT seq, hash, kind FROM journal WHERE chain = c.number \
           ORDER BY seq DESC LIMIT 1) j ON true \
         ORDER BY c.number",
    )
    .bind(from)
    .bind(page(PAGE_ROWS_MAX))
    .fetch_all(connection))?;
    let heads = rows.iter().map(chain_head).collect::<sqlx::Result<_>>();
    heads.map_err(|error| store.failed(READING, error))
}

/// The sum of the rows before each one ends the page. It is the server's to end it: all that a
/// statement answers is sent. The lengths are read without the texts.
const ROWS: &str = "SELECT chain, seq, time_us, kind, who, call, component, capability, target, \
    verdict, body, hash FROM (SELECT *, sum($5 + octet_length(who) + octet_length(capability) \
      + octet_length(target) + octet_length(body)) OVER before AS bytes FROM journal \
      WHERE (chain, seq) >= ($1, $2) AND chain <= $3 \
      WINDOW before AS (ORDER BY chain, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) \
      ORDER BY chain, seq LIMIT $4) page \
    WHERE coalesce(bytes, 0) < $6 ORDER BY chain, seq";

pub(super) async fn rows(
    store: &PostgresStorage,
    range: RowRange,
    limit: usize,
) -> Result<Vec<StoredRow>> {
    const READING: &str = "reading its rows";
    let bytes = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    let rows = ask!(store, READING, connection => sqlx::query(ROWS)
        .bind(range.from.0)
        .bind(range.from.1)
        .bind(range.until_chain)
        .bind(page(limit))
        .bind(bytes(size_of::<StoredRow>()))
        .bind(bytes(PAGE_BYTES_MAX))
        .fetch_all(connection))?;
    let rows = rows.iter().map(stored_row).collect::<sqlx::Result<_>>();
    rows.map_err(|error| store.failed(READING, error))
}

pub(super) async fn tally(store: &PostgresStorage, chain: i64) -> Result<Vec<Tally>> {
    const READING: &str = "counting its rows";
    let rows = ask!(store, READING, connection => sqlx::query(
        "SELECT kind, verdict, count(*) FROM journal WHERE chain = $1 GROUP BY kind, verdict",
    )
    .bind(chain)
    .fetch_all(connection))?;
    let tally = |row: &PgRow| {
        Ok(Tally { kind: text(row, 0)?, verdict: text(row, 1)?, rows: row.try_get(2)? })
    };
    let tallies = rows.iter().map(tally).collect::<sqlx::Result<_>>();
    tallies.map_err(|error| store.failed(READING, error))
}

/// A page size for SQL.
fn page(limit: usize) -> i64 {
    i64::try_from(limit.min(PAGE_ROWS_MAX)).unwrap_or(i64::MAX)
}

/// A text, also when its bytes are no longer UTF-8.
pub(super) fn text(row: &PgRow, column: usize) -> sqlx::Result<String> {
    let bytes: &[u8] = row.try_get(column)?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn chain_record(row: &PgRow) -> sqlx::Result<ChainRecord> {
    Ok(ChainRecord {
        number: row.try_get(0)?,
        id: row.try_get(1)?,
        opened_us: row.try_get(2)?,
        plugin: text(row, 3)?,
        first: row.try_get(4)?,
        link: row.try_get(5)?,
    })
}

fn chain_head(row: &PgRow) -> sqlx::Result<ChainHead> {
    Ok(ChainHead {
        number: row.try_get(0)?,
        id: row.try_get(1)?,
        rows: row.try_get(2)?,
        hash: row.try_get(3)?,
        kind: text(row, 4)?,
    })
}

fn stored_row(row: &PgRow) -> sqlx::Result<StoredRow> {
    Ok(StoredRow {
        chain: row.try_get(0)?,
        seq: row.try_get(1)?,
        time_us: row.try_get(2)?,
        kind: text(row, 3)?,
        who: text(row, 4)?,
        call: row.try_get(5)?,
        component: row.try_get(6)?,
        capability: text(row, 7)?,
        target: text(row, 8)?,
        verdict: text(row, 9)?,
        body: text(row, 10)?,
        hash: row.try_get(11)?,
    })
}
