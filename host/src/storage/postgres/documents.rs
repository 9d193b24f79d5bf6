//! Documents in PostgreSQL: words by `tsvector`, vectors by pgvector (`halfvec`, HNSW).
//!
//! The extension may lie in any schema, so its types and operators are named with it. The table of
//! vectors and the extension are made when the first vector comes, by whoever may; a space gets its
//! index when it has [`INDEX_FROM`] vectors, and is scanned before.

use super::read::text;
use super::{PostgresStorage, StorageError, TRY_TIME, Tries, ask, within};
use crate::storage::documents::{
    DOCUMENTS_MAX, Document, Documents, HITS_MAX, Hit, Scope, Space, check, check_space, unit,
    words,
};
use crate::storage::{Answer, Storage};
use futures::FutureExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use std::collections::HashMap;

type Result<T> = std::result::Result<T, StorageError>;

const READING: &str = "finding documents";
const WRITING: &str = "writing documents";
/// From how many vectors on a space has an index; below, a scan is as fast.
const INDEX_FROM: i64 = 1000;
/// The second half of the advisory lock under which the extension and its table are made.
const LOCK: (i32, i32) = (0x616f_736a, 2);

impl Documents for PostgresStorage {
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
fn agent_of<'a>(scope: Scope<'a>) -> Option<&'a [u8]> {
    match scope {
        Scope::Agent(agent) => Some(agent.as_bytes()),
        Scope::All => None,
    }
}

/// One put, made ready to be sent and sent again.
struct Put<'a> {
    place: String,
    agent: &'a [u8],
    /// Of a name that comes twice the last counts: one statement cannot write a row twice.
    ids: Vec<&'a [u8]>,
    texts: Vec<&'a [u8]>,
    /// What the words are read from: `text` takes no zero byte.
    plain: Vec<String>,
    space: Option<&'a Space>,
    /// By id, as pgvector reads them.
    vectors: HashMap<&'a [u8], String>,
}

async fn put(
    store: &PostgresStorage,
    agent: &str,
    documents: &[Document],
    space: Option<&Space>,
) -> Result<()> {
    let place = store.name();
    check(&place, agent, documents, space)?;
    let mut last: HashMap<&[u8], &Document> = HashMap::new();
    for document in documents {
        last.insert(document.id.as_bytes(), document);
    }
    let mut vectors = HashMap::new();
    for (id, document) in &last {
        if let Some((vector, space)) = document.vector.as_ref().zip(space) {
            let unit = unit(&place, vector, space)?;
            vectors.insert(*id, serde_json::json!(unit).to_string());
        }
    }
    let put = Put {
        place,
        agent: agent.as_bytes(),
        ids: last.keys().copied().collect(),
        texts: last.values().map(|document| document.text.as_bytes()).collect(),
        plain: last.values().map(|document| document.text.replace('\0', " ")).collect(),
        space,
        vectors,
    };
    // To put the same again changes nothing, so it may be sent again after a lost connection.
    ask!(store, WRITING, connection => put.send(connection))?
}

impl Put<'_> {
    async fn send(&self, connection: &mut PgConnection) -> sqlx::Result<Result<()>> {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
        let done = self.write(&mut *connection).await?;
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        sqlx::raw_sql(end).execute(connection).await?;
        Ok(done)
    }

    async fn write(&self, connection: &mut PgConnection) -> sqlx::Result<Result<()>> {
        // Before its row is locked: making the table waits for others.
        let pgvector = match self.vectors.is_empty() {
            true => None,
            false => match Pgvector::made(connection, &self.place).await? {
                Ok(found) => Some(found),
                Err(refused) => return Ok(Err(refused)),
            },
        };
        count(connection, self.agent, 0).await?;
        let rows = sqlx::query(
            "INSERT INTO documents (agent, id, text, words) \
             SELECT $1, d.id, d.text, to_tsvector('simple', d.plain) \
             FROM unnest($2::bytea[], $3::bytea[], $4::text[]) AS d (id, text, plain) \
             ON CONFLICT (agent, id) DO UPDATE SET text = excluded.text, words = excluded.words \
             RETURNING id, number, xmax = 0",
        )
        .bind(self.agent)
        .bind(&self.ids)
        .bind(&self.texts)
        .bind(&self.plain)
        .fetch_all(&mut *connection)
        .await?;
        let (mut added, mut old, mut numbers) = (0, Vec::new(), HashMap::new());
        for row in &rows {
            let (id, number): (Vec<u8>, i64) = (row.try_get(0)?, row.try_get(1)?);
            match row.try_get(2)? {
                true => added += 1,
                false => old.push(number),
            }
            numbers.insert(id, number);
        }
        if count(connection, self.agent, added).await? > DOCUMENTS_MAX {
            let identity = String::from_utf8_lossy(self.agent).into_owned();
            return Ok(Err(StorageError::Quota { identity, limit: DOCUMENTS_MAX }));
        }
        if !old.is_empty() && has_vectors(connection).await? {
            sqlx::query("DELETE FROM vectors WHERE document = ANY ($1)")
                .bind(&old)
                .execute(&mut *connection)
                .await?;
        }
        if let Some((pgvector, space)) = pgvector.zip(self.space) {
            pgvector.write(connection, self, space, &numbers).await?;
        }
        Ok(Ok(()))
    }
}

/// Locks the row of the agent, and answers how many documents it has.
async fn count(connection: &mut PgConnection, agent: &[u8], added: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO documents_of AS d (agent, documents) VALUES ($1, $2) \
         ON CONFLICT (agent) DO UPDATE SET documents = d.documents + $2 RETURNING documents",
    )
    .bind(agent)
    .bind(added)
    .fetch_one(connection)
    .await
}

async fn has_vectors(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT to_regclass('vectors') IS NOT NULL").fetch_one(connection).await
}

/// The extension, by the schema that it lies in, as SQL writes it.
struct Pgvector(String);

impl Pgvector {
    async fn find(connection: &mut PgConnection) -> sqlx::Result<Option<Self>> {
        let schema: Option<String> = sqlx::query_scalar(
            "SELECT quote_ident(n.nspname) FROM pg_extension e \
             JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'",
        )
        .fetch_optional(connection)
        .await?;
        Ok(schema.map(Self))
    }

    /// Finds the extension and the table, or makes them, one process at a time.
    async fn made(connection: &mut PgConnection, place: &str) -> sqlx::Result<Result<Self>> {
        if has_vectors(connection).await?
            && let Some(found) = Self::find(connection).await?
        {
            return Ok(Ok(found));
        }
        let (one, two) = LOCK;
        let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(one).bind(two);
        lock.execute(&mut *connection).await?;
        if Self::find(connection).await?.is_none() {
            let offered: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector')",
            )
            .fetch_one(&mut *connection)
            .await?;
            if !offered {
                return Ok(Err(StorageError::Failed {
                    place: place.to_owned(),
                    doing: WRITING,
                    reason: "the server has no pgvector, which vectors need: install it there \
                        (Debian: postgresql-NN-pgvector)"
                        .to_owned(),
                }));
            }
            // Not in the store's own schema: it is the database's, and stays when the store goes.
            sqlx::raw_sql("CREATE EXTENSION vector SCHEMA public")
                .execute(&mut *connection)
                .await?;
        }
        let found = Self::find(connection).await?.ok_or(sqlx::Error::RowNotFound)?;
        let table = format!(
            "CREATE TABLE IF NOT EXISTS vectors ( \
               space BIGINT NOT NULL REFERENCES spaces (number), \
               document BIGINT NOT NULL REFERENCES documents (number) ON DELETE CASCADE, \
               agent BYTEA NOT NULL, vector {}.halfvec NOT NULL, \
               PRIMARY KEY (document, space)); \
             CREATE INDEX IF NOT EXISTS vectors_of ON vectors (space, agent)",
            found.0
        );
        sqlx::raw_sql(AssertSqlSafe(table)).execute(connection).await?;
        Ok(Ok(found))
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        put: &Put<'_>,
        space: &Space,
        numbers: &HashMap<Vec<u8>, i64>,
    ) -> sqlx::Result<()> {
        let dimensions = i32::try_from(space.dimensions).unwrap_or(i32::MAX);
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO spaces (model, version, dimensions) VALUES ($1, $2, $3) \
             ON CONFLICT (model, version, dimensions) DO UPDATE SET model = excluded.model \
             RETURNING number",
        )
        .bind(space.model.as_bytes())
        .bind(space.version.as_bytes())
        .bind(dimensions)
        .fetch_one(&mut *connection)
        .await?;
        let with = |(id, vector): (&&[u8], &String)| {
            numbers.get(*id).map(|number| (*number, vector.clone()))
        };
        let (documents, vectors): (Vec<i64>, Vec<String>) =
            put.vectors.iter().filter_map(with).unzip();
        let insert = format!(
            "INSERT INTO vectors (space, document, agent, vector) \
             SELECT $1, v.document, $2, v.vector::{}.halfvec \
             FROM unnest($3::bigint[], $4::text[]) AS v (document, vector)",
            self.0
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(number)
            .bind(put.agent)
            .bind(documents)
            .bind(vectors)
            .execute(&mut *connection)
            .await?;
        self.index(connection, number, dimensions).await
    }

    /// Gives a space that has grown its index.
    async fn index(
        &self,
        connection: &mut PgConnection,
        space: i64,
        dimensions: i32,
    ) -> sqlx::Result<()> {
        let wanted: bool = sqlx::query_scalar(
            "SELECT to_regclass('vectors_nearest_' || $1::text) IS NULL AND $2 <= \
             (SELECT count(*) FROM (SELECT 1 FROM vectors WHERE space = $1 LIMIT $2) v)",
        )
        .bind(space)
        .bind(INDEX_FROM)
        .fetch_one(&mut *connection)
        .await?;
        if !wanted {
            return Ok(());
        }
        let schema = &self.0;
        let create = format!(
            "CREATE INDEX IF NOT EXISTS vectors_nearest_{space} ON vectors USING hnsw \
             ((vector::{schema}.halfvec({dimensions})) {schema}.halfvec_ip_ops) \
             WHERE space = {space}"
        );
        sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await?;
        Ok(())
    }

    /// The search, with its space's number in the text so that its index is seen to fit. A vector
    /// of length 1 has the negative cosine for its inner product's distance.
    fn nearest(&self, space: i64, dimensions: usize, scope: Scope<'_>) -> String {
        let of = match scope {
            Scope::Agent(_) => "agent = $3",
            Scope::All => "$3::bytea IS NULL",
        };
        let schema = &self.0;
        let near = format!(
            "vector::{schema}.halfvec({dimensions}) OPERATOR({schema}.<#>) \
             $1::real[]::{schema}.halfvec({dimensions})"
        );
        format!(
            "SELECT d.agent, d.id, d.text, (-v.distance)::real FROM ( \
               SELECT document, {near} AS distance FROM vectors WHERE space = {space} AND {of} \
               ORDER BY {near} LIMIT $2) v \
             JOIN documents d ON d.number = v.document ORDER BY v.distance, d.number"
        )
    }
}

async fn remove(store: &PostgresStorage, agent: &str, ids: &[String]) -> Result<u64> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes()).collect();
    let removed: i64 = ask!(store, WRITING, connection => sqlx::query_scalar(
        "WITH gone AS (DELETE FROM documents WHERE agent = $1 AND id = ANY ($2) RETURNING 1), \
         counted AS (UPDATE documents_of SET documents = documents - (SELECT count(*) FROM gone) \
           WHERE agent = $1) \
         SELECT count(*) FROM gone",
    )
    .bind(agent.as_bytes())
    .bind(&ids)
    .fetch_one(connection))?;
    Ok(u64::try_from(removed).unwrap_or(0))
}

async fn find_words(
    store: &PostgresStorage,
    scope: Scope<'_>,
    text: &str,
    limit: usize,
) -> Result<Vec<Hit>> {
    // Letters and digits alone, so that quotes hold them.
    let words: Vec<_> = words(text).iter().map(|word| format!("'{word}'")).collect();
    if words.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let question = words.join(" | ");
    let rows = ask!(store, READING, connection => sqlx::query(
        "SELECT d.agent, d.id, d.text, ts_rank(d.words, q.q, 1) AS score \
         FROM documents d, to_tsquery('simple', $1) AS q (q) \
         WHERE d.words @@ q.q AND ($2::bytea IS NULL OR d.agent = $2) \
         ORDER BY score DESC, d.number LIMIT $3",
    )
    .bind(&question)
    .bind(agent_of(scope))
    .bind(i64::try_from(limit.min(HITS_MAX)).unwrap_or(i64::MAX))
    .fetch_all(connection))?;
    hits(store, &rows)
}

async fn find_nearest(
    store: &PostgresStorage,
    scope: Scope<'_>,
    space: &Space,
    vector: &[f32],
    limit: usize,
) -> Result<Vec<Hit>> {
    check_space(space)?;
    let query = unit(&store.name(), vector, space)?;
    let known: Option<PgRow> = ask!(store, READING, connection => sqlx::query(
        "SELECT s.number, quote_ident(n.nspname) FROM spaces s, pg_extension e \
         JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector' \
         AND s.model = $1 AND s.version = $2 AND s.dimensions = $3",
    )
    .bind(space.model.as_bytes())
    .bind(space.version.as_bytes())
    .bind(i32::try_from(space.dimensions).unwrap_or(i32::MAX))
    .fetch_optional(connection))?;
    let Some(known) = known else { return Ok(Vec::new()) };
    let failed = |error: sqlx::Error| store.failed(READING, error);
    let number: i64 = known.try_get(0).map_err(failed)?;
    let pgvector = Pgvector(known.try_get(1).map_err(failed)?);
    let question = pgvector.nearest(number, space.dimensions, scope);
    let rows = ask!(store, READING, connection => sqlx::query(AssertSqlSafe(question.clone()))
        .bind(&query)
        .bind(i64::try_from(limit.min(HITS_MAX)).unwrap_or(i64::MAX))
        .bind(agent_of(scope))
        .fetch_all(connection))?;
    hits(store, &rows)
}

fn hits(store: &PostgresStorage, rows: &[PgRow]) -> Result<Vec<Hit>> {
    let hit = |row: &PgRow| {
        let (agent, id, body) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        Ok(Hit { agent, id, text: body, score: row.try_get(3)? })
    };
    let hits = rows.iter().map(hit).collect::<sqlx::Result<_>>();
    hits.map_err(|error| store.failed(READING, error))
}
