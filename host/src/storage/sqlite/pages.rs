//! Contexts and pages in SQLite. A batch runs in sqlx's own transaction, which rolls back when the
//! future is dropped.

use super::{Patience, SqliteStorage, StorageError};
use crate::storage::pages::{
    CONTEXTS_MAX, ContextRecord, Contexts, PAGES_MAX, PageBatch, PageRecord, Pages, ROWS_AT_ONCE,
    StoredPage, digest, id, signed,
};
use crate::storage::{Answer, ChainId, Digest, Durability, PAGE_BYTES_MAX};
use futures::{FutureExt, TryStreamExt};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, QueryBuilder, Row, Sqlite, SqliteConnection};

type Result<T> = std::result::Result<T, StorageError>;

const READING: &str = "reading pages";
const WRITING: &str = "writing pages";

impl Pages for SqliteStorage {
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

async fn put(store: &SqliteStorage, batch: &PageBatch) -> Result<()> {
    let failed = store.failed(WRITING);
    let mut writer = store.writer.lock().await;
    let mut patience = Patience::new();
    loop {
        writer.finish().await.map_err(&failed)?;
        writer.set_durability(Durability::Written).await.map_err(&failed)?;
        match transact(writer.connection().map_err(&failed)?, batch).await {
            Ok(()) => return Ok(()),
            Err(error) => patience.after(&store.path, WRITING, error).await?,
        }
    }
}

async fn transact(connection: &mut SqliteConnection, batch: &PageBatch) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let ContextRecord { id, pid, name, updated_us, state, layout } = &batch.context;
    sqlx::query(
        "INSERT INTO contexts (id, pid, name, updated_us, state, layout) VALUES (?,?,?,?,?,?) \
         ON CONFLICT (id) DO UPDATE SET updated_us = excluded.updated_us, state = excluded.state, \
         layout = iif(excluded.layout = '', layout, excluded.layout)",
    )
    .bind(&id.0[..])
    .bind(signed(*pid))
    .bind(name)
    .bind(updated_us)
    .bind(state)
    .bind(layout)
    .execute(&mut *transaction)
    .await?;
    for some in batch.contents.chunks(ROWS_AT_ONCE) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO page_contents (hash, body) ");
        query.push_values(some, |mut row, (hash, body)| {
            row.push_bind(&hash.0[..]).push_bind(&body[..]);
        });
        query.push(" ON CONFLICT (hash) DO NOTHING");
        query.build().persistent(false).execute(&mut *transaction).await?;
    }
    if let Some(end) = batch.pages_end {
        sqlx::query("DELETE FROM pages WHERE context = ? AND number >= ?")
            .bind(&id.0[..])
            .bind(signed(end))
            .execute(&mut *transaction)
            .await?;
    }
    for some in batch.pages.chunks(ROWS_AT_ONCE) {
        let mut query =
            QueryBuilder::<Sqlite>::new("INSERT INTO pages (context, number, hash, record) ");
        query.push_values(some, |mut row, page| {
            row.push_bind(&id.0[..]).push_bind(signed(page.number));
            row.push_bind(&page.hash.0[..]).push_bind(&*page.record);
        });
        query.push(
            " ON CONFLICT (context, number) DO UPDATE SET hash = excluded.hash, \
             record = excluded.record",
        );
        query.build().persistent(false).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

async fn contexts(store: &SqliteStorage, which: Contexts<'_>) -> Result<Vec<ContextRecord>> {
    let failed = store.failed(READING);
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let after: &[u8] = match &which {
        Contexts::After(Some(id)) => &id.0,
        Contexts::After(None) | Contexts::Named(_) | Contexts::Of(_) => &[],
    };
    let query = match which {
        Contexts::Named(name) => sqlx::query(
            "SELECT id, pid, name, updated_us, state, layout FROM contexts WHERE name = ? \
             ORDER BY updated_us DESC LIMIT ?",
        )
        .bind(name),
        Contexts::Of(pid) => sqlx::query(
            "SELECT id, pid, name, updated_us, state, layout FROM contexts WHERE pid = ? \
             ORDER BY updated_us DESC LIMIT ?",
        )
        .bind(signed(pid)),
        Contexts::After(_) => sqlx::query(
            "SELECT id, pid, name, updated_us, state, layout FROM contexts WHERE id > ? \
             ORDER BY id LIMIT ?",
        )
        .bind(after),
    };
    let most = i64::try_from(CONTEXTS_MAX).unwrap_or(i64::MAX);
    let rows = query.bind(most).fetch_all(connection).await.map_err(&failed)?;
    let record = |row: &SqliteRow| {
        Ok(ContextRecord {
            id: id(row.try_get_unchecked(0)?),
            pid: u64::try_from(row.try_get_unchecked::<i64, _>(1)?).unwrap_or(0),
            name: text(row, 2)?,
            updated_us: row.try_get_unchecked(3)?,
            state: text(row, 4)?,
            layout: text(row, 5)?,
        })
    };
    rows.iter().map(record).collect::<sqlx::Result<_>>().map_err(failed)
}

async fn pages(store: &SqliteStorage, context: ChainId, from: u64) -> Result<Vec<StoredPage>> {
    let failed = store.failed(READING);
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let mut stream = sqlx::query(
        "SELECT p.number, p.hash, p.record, c.body FROM pages p \
         LEFT JOIN page_contents c ON c.hash = p.hash \
         WHERE p.context = ? AND p.number >= ? ORDER BY p.number LIMIT ?",
    )
    .bind(&context.0[..])
    .bind(signed(from))
    .bind(i64::try_from(PAGES_MAX).unwrap_or(i64::MAX))
    .fetch(connection);
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await.map_err(&failed)? {
        let page = stored_page(&row).map_err(&failed)?;
        bytes += page.0.record.len() + page.1.as_ref().map_or(0, Vec::len);
        found.push(page);
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    Ok(found)
}

fn stored_page(row: &SqliteRow) -> sqlx::Result<StoredPage> {
    let record = PageRecord {
        number: u64::try_from(row.try_get_unchecked::<i64, _>(0)?).unwrap_or(0),
        hash: digest(row.try_get_unchecked(1)?),
        record: text(row, 2)?,
    };
    Ok((record, row.try_get_unchecked(3)?))
}

async fn content(store: &SqliteStorage, hash: Digest) -> Result<Option<Vec<u8>>> {
    let failed = store.failed(READING);
    let mut reader = store.reader().await?;
    sqlx::query_scalar("SELECT body FROM page_contents WHERE hash = ?")
        .bind(&hash.0[..])
        .fetch_optional(reader.connection().map_err(&failed)?)
        .await
        .map_err(failed)
}

/// A text column, also when its bytes are no longer UTF-8.
fn text(row: &SqliteRow, column: usize) -> sqlx::Result<String> {
    let bytes: &[u8] = row.try_get_unchecked(column)?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}
