//! Documents in SQLite: words by FTS5, vectors scanned in memory.

use super::{Patience, SqliteStorage, StorageError};
use crate::storage::documents::nearest::{MATRICES_BYTES_MAX, Matrix, Near, best};
use crate::storage::documents::{
    DOCUMENTS_MAX, Document, Documents, HITS_MAX, Hit, Scope, Space, check, check_space, unit,
    words,
};
use crate::storage::{Answer, Durability};
use futures::{FutureExt, TryStreamExt};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqliteConnection};
use std::sync::Arc;

type Result<T> = std::result::Result<T, StorageError>;

const READING: &str = "finding documents";
const WRITING: &str = "writing documents";
/// Vectors that are scanned at once where all of them would take too much memory.
const PART_ROWS: usize = 4096;

impl Documents for SqliteStorage {
    fn put_documents<'a>(
        &'a self,
        agent: &'a str,
        documents: &'a [Document],
        space: Option<&'a Space>,
    ) -> Answer<'a, ()> {
        put(self, agent, documents, space).boxed()
    }

    fn remove_documents<'a>(&'a self, agent: &'a str, ids: &'a [String]) -> Answer<'a, u64> {
        remove(self, agent, ids).boxed()
    }

    fn find_words<'a>(
        &'a self,
        scope: Scope<'a>,
        text: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<Hit>> {
        find_words(self, scope, text, limit).boxed()
    }

    fn find_nearest<'a>(
        &'a self,
        scope: Scope<'a>,
        space: &'a Space,
        vector: &'a [f32],
        limit: usize,
    ) -> Answer<'a, Vec<Hit>> {
        find_nearest(self, scope, space, vector, limit).boxed()
    }
}

/// The agent of a scope; `None` is all.
fn agent_of(scope: Scope<'_>) -> Option<&str> {
    match scope {
        Scope::Agent(agent) => Some(agent),
        Scope::All => None,
    }
}

async fn put(
    store: &SqliteStorage,
    agent: &str,
    documents: &[Document],
    space: Option<&Space>,
) -> Result<()> {
    let place = store.path.display().to_string();
    check(&place, agent, documents, space)?;
    let failed = store.failed(WRITING);
    let mut writer = store.writer.lock().await;
    let mut patience = Patience::new();
    loop {
        writer.finish().await.map_err(&failed)?;
        writer.set_durability(Durability::Written).await.map_err(&failed)?;
        let connection = writer.connection().map_err(&failed)?;
        match try_put(connection, &place, agent, documents, space).await {
            Ok(done) => return done,
            Err(error) => patience.after(&store.path, WRITING, error).await?,
        }
    }
}

async fn try_put(
    connection: &mut SqliteConnection,
    place: &str,
    agent: &str,
    documents: &[Document],
    space: Option<&Space>,
) -> sqlx::Result<Result<()>> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let space = match space {
        Some(space) => Some((space, space_number(&mut transaction, space).await?)),
        None => None,
    };
    let mut added = 0;
    for document in documents {
        let known: Option<i64> =
            sqlx::query_scalar("SELECT number FROM documents WHERE agent = ? AND id = ?")
                .bind(agent)
                .bind(&document.id)
                .fetch_optional(&mut *transaction)
                .await?;
        added += i64::from(known.is_none());
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO documents (agent, id, text) VALUES (?, ?, ?) \
             ON CONFLICT (agent, id) DO UPDATE SET text = excluded.text RETURNING number",
        )
        .bind(agent)
        .bind(&document.id)
        .bind(&document.text)
        .fetch_one(&mut *transaction)
        .await?;
        if known.is_some() {
            sqlx::query("DELETE FROM vectors WHERE document = ?")
                .bind(number)
                .execute(&mut *transaction)
                .await?;
        }
        let Some((vector, (space, space_number))) = document.vector.as_ref().zip(space) else {
            continue;
        };
        let vector = match unit(place, vector, space) {
            Ok(vector) => vector,
            Err(refused) => return Ok(Err(refused)),
        };
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        sqlx::query("INSERT INTO vectors (space, document, vector) VALUES (?, ?, ?)")
            .bind(space_number)
            .bind(number)
            .bind(bytes)
            .execute(&mut *transaction)
            .await?;
    }
    if changed(&mut transaction, agent, added).await? > DOCUMENTS_MAX {
        return Ok(Err(StorageError::Quota { identity: agent.to_owned(), limit: DOCUMENTS_MAX }));
    }
    transaction.commit().await.map(Ok)
}

/// Notes a change of an agent's documents; answers how many it has.
async fn changed(connection: &mut SqliteConnection, agent: &str, added: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO documents_of (agent, changes, documents) VALUES (?1, 1, max(?2, 0)) \
         ON CONFLICT (agent) DO UPDATE SET changes = changes + 1, documents = documents + ?2 \
         RETURNING documents",
    )
    .bind(agent)
    .bind(added)
    .fetch_one(connection)
    .await
}

async fn space_number(connection: &mut SqliteConnection, space: &Space) -> sqlx::Result<i64> {
    let dimensions = i64::try_from(space.dimensions).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO spaces (model, version, dimensions) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&space.model)
    .bind(&space.version)
    .bind(dimensions)
    .execute(&mut *connection)
    .await?;
    known_space(connection, space).await?.ok_or(sqlx::Error::RowNotFound)
}

async fn known_space(
    connection: &mut SqliteConnection,
    space: &Space,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT number FROM spaces WHERE model = ? AND version = ? AND dimensions = ?",
    )
    .bind(&space.model)
    .bind(&space.version)
    .bind(i64::try_from(space.dimensions).unwrap_or(i64::MAX))
    .fetch_optional(connection)
    .await
}

async fn remove(store: &SqliteStorage, agent: &str, ids: &[String]) -> Result<u64> {
    let failed = store.failed(WRITING);
    let mut writer = store.writer.lock().await;
    let mut patience = Patience::new();
    loop {
        writer.finish().await.map_err(&failed)?;
        writer.set_durability(Durability::Written).await.map_err(&failed)?;
        let connection = writer.connection().map_err(&failed)?;
        match try_remove(connection, agent, ids).await {
            Ok(removed) => return Ok(removed),
            Err(error) => patience.after(&store.path, WRITING, error).await?,
        }
    }
}

async fn try_remove(
    connection: &mut SqliteConnection,
    agent: &str,
    ids: &[String],
) -> sqlx::Result<u64> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut removed = 0;
    for id in ids {
        let done = sqlx::query("DELETE FROM documents WHERE agent = ? AND id = ?")
            .bind(agent)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        removed += done.rows_affected();
    }
    if removed > 0 {
        let added = -i64::try_from(removed).unwrap_or(i64::MAX);
        changed(&mut transaction, agent, added).await?;
    }
    transaction.commit().await?;
    Ok(removed)
}

async fn find_words(
    store: &SqliteStorage,
    scope: Scope<'_>,
    text: &str,
    limit: usize,
) -> Result<Vec<Hit>> {
    let words: Vec<_> = words(text).iter().map(|word| format!("\"{word}\"")).collect();
    if words.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let failed = store.failed(READING);
    let mut reader = store.reader().await?;
    // The lower its `bm25`, the better a row fits.
    let rows = sqlx::query(
        "SELECT d.agent, d.id, d.text, -bm25(documents_words) AS score FROM documents_words w \
         JOIN documents d ON d.number = w.rowid \
         WHERE documents_words MATCH ?1 AND (?2 IS NULL OR d.agent = ?2) \
         ORDER BY score DESC, d.number LIMIT ?3",
    )
    .bind(words.join(" OR "))
    .bind(agent_of(scope))
    .bind(i64::try_from(limit.min(HITS_MAX)).unwrap_or(i64::MAX))
    .fetch_all(reader.connection().map_err(&failed)?)
    .await
    .map_err(&failed)?;
    #[expect(clippy::cast_possible_truncation, reason = "a score needs no more digits")]
    let score = |row: &SqliteRow| row.try_get::<f64, _>(3).map(|score| score as f32);
    let hit = |row: &SqliteRow| hit_of(row, score(row)?);
    rows.iter().map(hit).collect::<sqlx::Result<_>>().map_err(failed)
}

fn hit_of(row: &SqliteRow, score: f32) -> sqlx::Result<Hit> {
    Ok(Hit { agent: row.try_get(0)?, id: row.try_get(1)?, text: row.try_get(2)?, score })
}

async fn find_nearest(
    store: &SqliteStorage,
    scope: Scope<'_>,
    space: &Space,
    vector: &[f32],
    limit: usize,
) -> Result<Vec<Hit>> {
    check_space(space)?;
    let query = unit(&store.path.display().to_string(), vector, space)?;
    let limit = limit.min(HITS_MAX);
    let failed = store.failed(READING);
    let mut reader = store.reader().await?;
    let connection = reader.connection().map_err(&failed)?;
    let Some(number) = known_space(connection, space).await.map_err(&failed)? else {
        return Ok(Vec::new());
    };
    let agent = agent_of(scope);
    let changes = changes(connection, agent).await.map_err(&failed)?;
    let key = (agent.map(str::to_owned), number);
    let near = match store.matrices.get(&key, changes) {
        Some(matrix) => scanned(matrix, query, limit).await,
        None => {
            match load(connection, agent, number, space, &query, limit).await.map_err(&failed)? {
                Loaded::All(matrix) => {
                    store.matrices.keep(key, changes, &matrix);
                    scanned(matrix, query, limit).await
                }
                Loaded::TooMany(near) => near,
            }
        }
    };
    texts(connection, agent, &near).await.map_err(failed)
}

/// Searches on a thread that may be busy for some milliseconds.
async fn scanned(matrix: Arc<Matrix>, query: Vec<f32>, limit: usize) -> Vec<Near> {
    let search = tokio::task::spawn_blocking(move || matrix.nearest(&query, limit));
    // It ends otherwise only with its runtime.
    search.await.unwrap_or_default()
}

/// The state of the documents of an agent, or of all.
async fn changes(connection: &mut SqliteConnection, agent: Option<&str>) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT coalesce(sum(changes), 0) FROM documents_of WHERE ?1 IS NULL OR agent = ?1",
    )
    .bind(agent)
    .fetch_one(connection)
    .await
}

enum Loaded {
    All(Arc<Matrix>),
    /// More than memory is for: they were scanned as they came.
    TooMany(Vec<Near>),
}

async fn load(
    connection: &mut SqliteConnection,
    agent: Option<&str>,
    number: i64,
    space: &Space,
    query: &[f32],
    limit: usize,
) -> sqlx::Result<Loaded> {
    let text = match agent {
        Some(_) => {
            "SELECT v.document, v.vector FROM documents d \
             CROSS JOIN vectors v ON v.space = ?1 AND v.document = d.number WHERE d.agent = ?2"
        }
        None => "SELECT document, vector FROM vectors WHERE space = ?1 AND ?2 IS NULL",
    };
    let mut rows = sqlx::query(text).bind(number).bind(agent).fetch(connection);
    let mut matrix = Matrix::new(space.dimensions);
    let mut near: Option<Vec<Near>> = None;
    while let Some(row) = rows.try_next().await? {
        let bytes: &[u8] = row.try_get(1)?;
        let floats = bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        matrix.push(row.try_get(0)?, floats);
        if near.is_none() && matrix.bytes() > MATRICES_BYTES_MAX {
            near = Some(matrix.exact(query, limit));
            matrix = Matrix::new(space.dimensions);
        } else if let Some(so_far) = near.as_mut().filter(|_| matrix.len() == PART_ROWS) {
            so_far.extend(matrix.exact(query, limit));
            *so_far = best(so_far.drain(..), limit);
            matrix = Matrix::new(space.dimensions);
        }
    }
    match near {
        None => Ok(Loaded::All(Arc::new(matrix))),
        Some(mut near) => {
            near.extend(matrix.exact(query, limit));
            Ok(Loaded::TooMany(best(near.into_iter(), limit)))
        }
    }
}

/// The documents of what was found. One that was removed meanwhile is left out.
async fn texts(
    connection: &mut SqliteConnection,
    agent: Option<&str>,
    near: &[Near],
) -> sqlx::Result<Vec<Hit>> {
    let numbers: Vec<i64> = near.iter().map(|(number, _)| *number).collect();
    let rows = sqlx::query(
        "SELECT agent, id, text, number FROM documents \
         WHERE number IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR agent = ?2)",
    )
    .bind(serde_json::json!(numbers).to_string())
    .bind(agent)
    .fetch_all(connection)
    .await?;
    let mut hits = Vec::with_capacity(near.len());
    for (number, score) in near {
        let row = rows.iter().find(|row| row.try_get::<i64, _>(3).is_ok_and(|n| n == *number));
        if let Some(row) = row {
            hits.push(hit_of(row, *score)?);
        }
    }
    Ok(hits)
}
