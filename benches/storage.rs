//! What the store does in a second: rows appended, verified and read, vectors searched. Each figure
//! stands beside the bare thing of the same run; rounds of both take turns, and medians are told.
//!
//! `cargo bench --bench storage`; with `AOS_TEST_POSTGRES` and `AOS_TEST_POSTGRES_VECTORS`
//! (`tests/postgres.sh start FOLDER` prints both) PostgreSQL is measured too. Files lie below
//! `TMPDIR`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use aos_host::journal::{
    Body, Chain, Class, Journal, JournalOptions, Opening, Row, RowKind, chain_rows, verify,
};
use aos_host::storage::documents::nearest::Matrix;
use aos_host::storage::{
    Batch, ChainId, ChainKey, Digest, Document, Durability, NewChain, Scope, SealedRow, Space,
    Storage, StoreUrl, Texts,
};
use aos_host::types::{CallId, ComponentHash};
use futures::TryStreamExt;
use rand::{RngExt, SeedableRng};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _, SqliteConnection};

const ROUNDS: usize = 7;
/// Rows of a round.
const ROWS: usize = 20_000;
const BODY: &str = concat!(
    r#"{"ok":true,"usage":{"wall_us":1597,"cpu_us":1333,"memory_bytes":1383168},"#,
    r#""arguments_blake3":"988bd2f5d501a678a735ad1c5e8e08b944d1dd130db9d68cd89c655b0201a5f6"}"#,
);
const DIMENSIONS: usize = 1536;
const VECTORS: usize = 10_000;
const QUERIES: usize = 100;
/// Directions that vary in the vectors, as embeddings have a few dozen that matter.
const LATENT: usize = 64;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| StoreUrl::Sqlite(folder.path().join(name));
        append_and_verify(&file).await;
        many_writers("SQLite", &file("writers.db")).await;
        one_of_many(&file("million.db")).await;
        vectors(&file("vectors.db")).await;
        if let Ok(server) = std::env::var("AOS_TEST_POSTGRES") {
            let (address, schema) = with_schema(&server);
            many_writers("PostgreSQL", &address).await;
            drop_schema(&server, &schema).await;
        }
        if let Ok(server) = std::env::var("AOS_TEST_POSTGRES_VECTORS") {
            let (address, schema) = with_schema(&server);
            pgvector(&address).await;
            drop_schema(&server, &schema).await;
        }
    });
}

fn with_schema(server: &str) -> (StoreUrl, String) {
    let schema = format!("bench_{}", CallId::fresh().0.simple());
    let mark = if server.contains('?') { '&' } else { '?' };
    (format!("{server}{mark}schema={schema}").parse().expect("an address"), schema)
}

async fn drop_schema(server: &str, schema: &str) {
    let mut connection =
        <sqlx::PgConnection as sqlx::Connection>::connect(server).await.expect("on");
    let text = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.expect("dropped");
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// Prints a rate against a bare one.
fn rates(name: &str, rows: usize, own: Vec<Duration>, bare: Vec<Duration>, at_least: f64) {
    let rate = |all| rows as f64 / median(all).as_secs_f64();
    let (own, bare) = (rate(own), rate(bare));
    let ratio = own / bare;
    let verdict = verdict(ratio >= at_least);
    println!(
        "{name}: {own:.0} against {bare:.0} rows a second = {ratio:.2} x (at least {at_least} x): \
         {verdict}"
    );
}

/// Prints a time against its budget.
fn time(name: &str, took: Duration, at_most_ms: f64) {
    let ms = took.as_secs_f64() * 1e3;
    println!("{name}: {ms:.2} ms (at most {at_most_ms} ms): {}", verdict(ms <= at_most_ms));
}

fn row(target: &str) -> Row<'_> {
    Row {
        who: "files",
        call: Some(CallId(uuid::Uuid::from_u128(7))),
        component: Some(ComponentHash([5; 32])),
        capability: "tool",
        target,
        body: Body::Text(BODY),
        ..Row::new(RowKind::Outcome)
    }
}

async fn journal(store: &Arc<dyn Storage>) -> (Journal, Chain) {
    let journal = Journal::open(Arc::clone(store), JournalOptions::default()).await.expect("opens");
    let opening = Opening { plugin: "bench", component: None, host_version: "0", grants: &[] };
    let chain = journal.chain(opening);
    (journal, chain)
}

async fn append_and_verify(file: &impl Fn(&str) -> StoreUrl) {
    let (mut own, mut bare) = (Vec::new(), Vec::new());
    let (mut verified, mut scanned) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let url = file(&format!("append-{round}.db"));
        let store = url.open().await.expect("opens");
        let (journal, chain) = journal(&store).await;
        let began = Instant::now();
        for _ in 0..ROWS {
            chain.append(row("read_file"), Class::Queued).await.expect("queued");
        }
        journal.flush(Class::Written).await.expect("written");
        own.push(began.elapsed());
        journal.close().await.expect("closes");
        let StoreUrl::Sqlite(path) = &url else { panic!("a file") };
        bare.push(bare_insert(&path.with_extension("bare")).await);

        let began = Instant::now();
        let report = verify(&*store).await.expect("verified");
        verified.push(began.elapsed());
        assert_eq!((report.rows, report.problems_total), (ROWS as u64 + 1, ROWS as u64));
        scanned.push(bare_scan(path).await);
    }
    rates("append in group commit against bare multi-row inserts", ROWS, own, bare, 0.7);
    rates("verify against a bare scan and hash", ROWS, verified, scanned, 0.7);
}

async fn connect(path: &std::path::Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Normal)
        .disable_statement_logging();
    options.connect().await.expect("connects")
}

/// The same bytes into the same table, 64 rows a statement, a thousand rows a transaction.
async fn bare_insert(path: &std::path::Path) -> Duration {
    let mut connection = connect(path).await;
    let table = "CREATE TABLE journal (chain INTEGER NOT NULL, seq INTEGER NOT NULL, \
        time_us INTEGER NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL, call BLOB NOT NULL, \
        component BLOB NOT NULL, capability TEXT NOT NULL, target TEXT NOT NULL, \
        verdict TEXT NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL, \
        PRIMARY KEY (chain, seq)) STRICT, WITHOUT ROWID";
    sqlx::raw_sql(table).execute(&mut connection).await.expect("a table");
    let values = vec!["(?,?,?,?,?,?,?,?,?,?,?,?)"; 64].join(",");
    let insert: Arc<str> = format!("INSERT INTO journal VALUES {values}").into();
    let began = Instant::now();
    for start in (0..ROWS).step_by(64) {
        if start % 1024 == 0 {
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.expect("begins");
        }
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&insert)));
        for seq in start..start + 64 {
            query = query
                .bind(1i64)
                .bind(seq as i64)
                .bind(1_700_000_000_000_000i64)
                .bind("outcome")
                .bind("files")
                .bind(vec![7u8; 16])
                .bind(vec![5u8; 32])
                .bind("tool")
                .bind("read_file")
                .bind("")
                .bind(BODY)
                .bind(vec![9u8; 32]);
        }
        query.execute(&mut connection).await.expect("inserts");
        if start % 1024 == 960 || start + 64 >= ROWS {
            sqlx::raw_sql("COMMIT").execute(&mut connection).await.expect("commits");
        }
    }
    began.elapsed()
}

/// Reads every row and hashes its bytes.
async fn bare_scan(path: &std::path::Path) -> Duration {
    let mut connection = connect(path).await;
    let began = Instant::now();
    let mut rows = sqlx::query(
        "SELECT chain, seq, time_us, kind, who, call, component, capability, target, verdict, \
         body, hash FROM journal ORDER BY chain, seq",
    )
    .fetch(&mut connection);
    let (mut bytes, mut seen) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await.expect("reads") {
        bytes.clear();
        for column in 3..12 {
            let field: &[u8] = row.try_get_unchecked(column).expect("bytes");
            bytes.extend_from_slice(field);
        }
        for column in 0..3 {
            let number: i64 = row.try_get_unchecked(column).expect("a number");
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        std::hint::black_box(blake3::hash(&bytes));
        seen += 1;
    }
    assert_eq!(seen, ROWS + 1);
    began.elapsed()
}

/// Rows that each wait for a sync: one writer after the other, and 64 at once.
async fn many_writers(name: &str, url: &StoreUrl) {
    const SERIAL: usize = 300;
    let store = url.open().await.expect("opens");
    let (journal, chain) = journal(&store).await;
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let began = Instant::now();
        for _ in 0..SERIAL {
            chain.append(row("x"), Class::Synced).await.expect("synced");
        }
        one.push(began.elapsed());
        let began = Instant::now();
        let writers = (0..64).map(|_| {
            let chain = chain.clone();
            tokio::spawn(async move {
                for _ in 0..SERIAL {
                    chain.append(row("x"), Class::Synced).await.expect("synced");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("ends");
        }
        all.push(began.elapsed());
    }
    journal.close().await.expect("closes");
    let serial = SERIAL as f64 / median(one).as_secs_f64();
    let together = (64 * SERIAL) as f64 / median(all).as_secs_f64();
    let ratio = together / serial;
    println!(
        "{name}, synced rows of 64 writers at once: {together:.0} against {serial:.0} a second = \
         {ratio:.1} x (at least 10 x): {}",
        verdict(ratio >= 10.0)
    );
}

/// One chain's 1,000 rows among a million.
async fn one_of_many(url: &StoreUrl) {
    const CHAINS: u16 = 1000;
    let store = url.open().await.expect("opens");
    for number in 0..CHAINS {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_le_bytes());
        let key = Arc::new(ChainKey::new(ChainId(id)));
        let first = Digest([1; 32]);
        let new = NewChain { key: Arc::clone(&key), opened_us: 1, plugin: "bench".into(), first };
        let row = |seq: i64| {
            let mut texts = Texts::new("files", "tool", "read_file", BODY.len());
            texts.push_body(BODY);
            SealedRow {
                chain: Arc::clone(&key),
                seq,
                time_us: seq,
                kind: "outcome",
                verdict: "",
                call: None,
                component: None,
                texts,
                hash: first,
            }
        };
        let rows = (0..1000).map(row).collect();
        let batch = Batch { opened: vec![new], rows, ..Batch::default() };
        store.append(&batch, Durability::Written).await.expect("written");
    }
    let mut took = Vec::new();
    for number in (1..=i64::from(CHAINS)).step_by(13) {
        let began = Instant::now();
        let rows = chain_rows(&*store, number, 0).await.expect("reads");
        took.push(began.elapsed());
        assert_eq!(rows.len(), 1000);
    }
    time("one agent's 1,000 rows out of 1,000,000, p50", median(took), 5.0);
}

/// Vectors that vary in some directions, with noise in all.
fn embeddings(count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut basis = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut of = |count: usize| -> Vec<f32> {
        (0..count).map(|_| basis.random_range(-1.0f32..1.0)).collect()
    };
    let directions: Vec<Vec<f32>> = (0..LATENT).map(|_| of(DIMENSIONS)).collect();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let one = |_| {
        let mut vector: Vec<f32> =
            (0..DIMENSIONS).map(|_| random.random_range(-0.3f32..0.3)).collect();
        for direction in &directions {
            let weight: f32 = random.random_range(-1.0..1.0);
            vector.iter_mut().zip(direction).for_each(|(x, d)| *x += weight * d);
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    };
    (0..count).map(one).collect()
}

fn space() -> Space {
    Space { model: "bench/model".into(), version: "1".into(), dimensions: DIMENSIONS }
}

async fn put(store: &dyn Storage, vectors: &[Vec<f32>]) -> Duration {
    let began = Instant::now();
    for (part, vectors) in vectors.chunks(1000).enumerate() {
        let one = |(at, vector): (usize, &Vec<f32>)| Document {
            id: (part * 1000 + at).to_string(),
            text: "a page".into(),
            vector: Some(vector.clone()),
        };
        let documents: Vec<_> = vectors.iter().enumerate().map(one).collect();
        let space = space();
        let put = store.documents().put_documents("agent", &documents, Some(&space));
        put.await.expect("put");
    }
    began.elapsed()
}

/// The median of searches through the store, and how many of the right ten they find.
async fn search(store: &dyn Storage, queries: &[Vec<f32>], right: &[Vec<i64>]) -> (Duration, f64) {
    let (mut took, mut same) = (Vec::new(), 0);
    for (query, right) in queries.iter().zip(right) {
        let began = Instant::now();
        let space = space();
        let found = store.documents().find_nearest(Scope::Agent("agent"), &space, query, 10);
        let found = found.await.expect("found");
        took.push(began.elapsed());
        same += found.iter().filter(|hit| right.iter().any(|id| id.to_string() == hit.id)).count();
    }
    (median(took), same as f64 / (10 * right.len()) as f64)
}

async fn vectors(url: &StoreUrl) {
    let (all, queries) = (embeddings(VECTORS, 2), embeddings(QUERIES, 3));
    let mut matrix = Matrix::new(DIMENSIONS);
    for (number, vector) in all.iter().enumerate() {
        matrix.push(number as i64, vector.iter().copied());
    }
    let (mut exact, mut index, mut right, mut same) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for query in &queries {
        let began = Instant::now();
        let found = matrix.exact(query, 10);
        exact.push(began.elapsed());
        right.push(found.into_iter().map(|near| near.0).collect::<Vec<_>>());
    }
    time("vectors, 10,000 x 1,536, top 10, exact scan, p50", median(exact), 5.0);
    let began = Instant::now();
    matrix.build();
    let built = began.elapsed();
    let matrix = Arc::new(matrix);
    for (query, right) in queries.iter().zip(&right) {
        let began = Instant::now();
        let found = matrix.nearest(query, 10);
        index.push(began.elapsed());
        same += found.iter().filter(|near| right.contains(&near.0)).count();
    }
    time("the same by the index (usearch), p50", median(index), 1.0);
    let recall = same as f64 / (10 * QUERIES) as f64;
    println!("its recall at 10: {recall:.3} (at least 0.97): {}", verdict(recall >= 0.97));
    println!("it is built in {:.1} s", built.as_secs_f64());
    let store = url.open().await.expect("opens");
    println!("10,000 put into SQLite in {:.1} s", put(&*store, &all).await.as_secs_f64());
    let began = Instant::now();
    search(&*store, &queries[..1], &right[..1]).await;
    println!("the first search reads all of them: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    // The index is being built meanwhile; then its searches are told.
    tokio::time::sleep(built * 2 + Duration::from_secs(1)).await;
    let (took, recall) = search(&*store, &queries, &right).await;
    println!("through SQLite, p50: {:.2} ms, recall {recall:.3}", took.as_secs_f64() * 1e3);
}

async fn pgvector(url: &StoreUrl) {
    let (all, queries) = (embeddings(VECTORS, 2), embeddings(QUERIES, 3));
    let mut matrix = Matrix::new(DIMENSIONS);
    for (number, vector) in all.iter().enumerate() {
        matrix.push(number as i64, vector.iter().copied());
    }
    let ids = |query: &Vec<f32>| matrix.exact(query, 10).into_iter().map(|near| near.0).collect();
    let right: Vec<Vec<i64>> = queries.iter().map(ids).collect();
    let store = url.open().await.expect("opens");
    println!("10,000 put into pgvector in {:.1} s", put(&*store, &all).await.as_secs_f64());
    store.compact().await.expect("analysed");
    search(&*store, &queries[..10], &right[..10]).await;
    let (took, recall) = search(&*store, &queries, &right).await;
    time("pgvector (HNSW, halfvec), p50", took, 5.0);
    println!("its recall at 10: {recall:.3}");
}
