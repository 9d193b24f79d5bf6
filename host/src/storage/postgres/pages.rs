//! Contexts and pages in PostgreSQL. Everything here may be done twice, so a batch whose commit was
//! not answered is written again.

use super::read::text;
use super::{PostgresStorage, StorageError, TRY_TIME, Tries, ask, within};
use crate::storage::pages::{
    CONTEXTS_MAX, ContextRecord, Contexts, PAGES_MAX, PageBatch, PageRecord, Pages, ROWS_AT_ONCE,
    StoredPage, digest, id, signed,
};
use crate::storage::{Answer, ChainId, Digest, PAGE_BYTES_MAX};
use futures::FutureExt;
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{QueryBuilder, Row};

type Result<T> = std::result::Result<T, StorageError>;

const READING: &str = "reading pages";
const WRITING: &str = "writing pages";

impl Pages for PostgresStorage {
    fn put<'a>(&'a self, batch: &'a PageBatch) -> Answer<'a, ()> {
        put(self, batch).boxed()
    }

    fn contexts<'a>(&'a self, which: Contexts<'a>) -> Answer<'a, Vec<ContextRecord>> {
        contexts(self, which).boxed()
    }

    fn read(&self, context: ChainId, from: u64) -> Answer<'_, Vec<StoredPage>> {
        pages(self, context, from).boxed()
    }

    fn content(&self, hash: Digest) -> Answer<'_, Option<Vec<u8>>> {
        content(self, hash).boxed()
    }
}

async fn put(store: &PostgresStorage, batch: &PageBatch) -> Result<()> {
    ask!(store, WRITING, connection => transact(connection, batch))
}

async fn transact(connection: &mut PgConnection, batch: &PageBatch) -> sqlx::Result<()> {
    // What is written here is made again from the journal: the server need not sync it at once.
    sqlx::raw_sql("BEGIN; SET LOCAL synchronous_commit = 'off'").execute(&mut *connection).await?;
    let ContextRecord { id, pid, name, updated_us, state, layout } = &batch.context;
    sqlx::query(
        "INSERT INTO contexts AS old (id, pid, name, updated_us, state, layout) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET \
         updated_us = excluded.updated_us, state = excluded.state, \
         layout = CASE excluded.layout WHEN '' THEN old.layout ELSE excluded.layout END",
    )
    .bind(&id.0[..])
    .bind(signed(*pid))
    .bind(name.as_bytes())
    .bind(updated_us)
    .bind(state.as_bytes())
    .bind(layout.as_bytes())
    .execute(&mut *connection)
    .await?;
    // In one order everywhere, so that two writers of the same contents never wait in a ring.
    let mut contents: Vec<_> = batch.contents.iter().collect();
    contents.sort_unstable_by_key(|(hash, _)| hash.0);
    for some in contents.chunks(ROWS_AT_ONCE) {
        let mut query = QueryBuilder::<Postgres>::new("INSERT INTO page_contents (hash, body) ");
        query.push_values(some, |mut row, (hash, body)| {
            row.push_bind(&hash.0[..]).push_bind(&body[..]);
        });
        query.push(" ON CONFLICT (hash) DO NOTHING");
        query.build().persistent(false).execute(&mut *connection).await?;
    }
    if let Some(end) = batch.pages_end {
        sqlx::query("DELETE FROM pages WHERE context = $1 AND number >= $2")
            .bind(&id.0[..])
            .bind(signed(end))
            .execute(&mut *connection)
            .await?;
    }
    for some in batch.pages.chunks(ROWS_AT_ONCE) {
        let mut query =
            QueryBuilder::<Postgres>::new("INSERT INTO pages (context, number, hash, record) ");
        query.push_values(some, |mut row, page| {
            row.push_bind(&id.0[..]).push_bind(signed(page.number));
            row.push_bind(&page.hash.0[..]).push_bind(page.record.as_bytes());
        });
        query.push(
            " ON CONFLICT (context, number) DO UPDATE SET hash = excluded.hash, \
             record = excluded.record",
        );
        query.build().persistent(false).execute(&mut *connection).await?;
    }
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok(())
}

async fn contexts(store: &PostgresStorage, which: Contexts<'_>) -> Result<Vec<ContextRecord>> {
    let most = i64::try_from(CONTEXTS_MAX).unwrap_or(i64::MAX);
    let rows: Vec<PgRow> = match which {
        Contexts::Named(name) => ask!(store, READING, connection => sqlx::query(
            "SELECT id, pid, name, updated_us, state, layout FROM contexts WHERE name = $1 \
             ORDER BY updated_us DESC LIMIT $2",
        )
        .bind(name.as_bytes())
        .bind(most)
        .fetch_all(connection)),
        Contexts::Of(pid) => ask!(store, READING, connection => sqlx::query(
            "SELECT id, pid, name, updated_us, state, layout FROM contexts WHERE pid = $1 \
             ORDER BY updated_us DESC LIMIT $2",
        )
        .bind(signed(pid))
        .bind(most)
        .fetch_all(connection)),
        Contexts::After(after) => ask!(store, READING, connection => sqlx::query(
            "SELECT id, pid, name, updated_us, state, layout FROM contexts WHERE id > $1 \
             ORDER BY id LIMIT $2",
        )
        .bind(after.as_ref().map_or(&[][..], |id| &id.0[..]))
        .bind(most)
        .fetch_all(connection)),
    }?;
    let record = |row: &PgRow| {
        Ok(ContextRecord {
            id: id(row.try_get(0)?),
            pid: u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0),
            name: text(row, 2)?,
            updated_us: row.try_get(3)?,
            state: text(row, 4)?,
            layout: text(row, 5)?,
        })
    };
    let records = rows.iter().map(record).collect::<sqlx::Result<_>>();
    records.map_err(|error| store.failed(READING, error))
}

async fn pages(store: &PostgresStorage, context: ChainId, from: u64) -> Result<Vec<StoredPage>> {
    // The sum of the bytes before a page ends the answer inside the server.
    let rows = ask!(store, READING, connection => sqlx::query(
        "SELECT number, hash, record, body FROM ( \
           SELECT p.number, p.hash, p.record, c.body, \
             sum(coalesce(octet_length(c.body), 0) + octet_length(p.record)) \
               OVER (ORDER BY p.number) - coalesce(octet_length(c.body), 0) AS before_bytes \
           FROM (SELECT number, hash, record FROM pages WHERE context = $1 AND number >= $2 \
             ORDER BY number LIMIT $3) p \
           LEFT JOIN page_contents c ON c.hash = p.hash) found \
         WHERE before_bytes < $4 ORDER BY number",
    )
    .bind(&context.0[..])
    .bind(signed(from))
    .bind(i64::try_from(PAGES_MAX).unwrap_or(i64::MAX))
    .bind(i64::try_from(PAGE_BYTES_MAX).unwrap_or(i64::MAX))
    .fetch_all(connection))?;
    let page = |row: &PgRow| {
        let record = PageRecord {
            number: u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0),
            hash: digest(row.try_get(1)?),
            record: text(row, 2)?,
        };
        Ok((record, row.try_get(3)?))
    };
    let pages = rows.iter().map(page).collect::<sqlx::Result<_>>();
    pages.map_err(|error| store.failed(READING, error))
}

async fn content(store: &PostgresStorage, hash: Digest) -> Result<Option<Vec<u8>>> {
    ask!(store, READING, connection => sqlx::query_scalar(
        "SELECT body FROM page_contents WHERE hash = $1",
    )
    .bind(&hash.0[..])
    .fetch_optional(connection))
}
