//! The tampering suite: whoever can write the tables, on each store. Each change is made with SQL
//! beside the program; all of it is found, the last ones with a head that was kept elsewhere.

use super::*;
use sqlx::AssertSqlSafe;

/// One change, as SQL for both stores. `B(hex)` stands for bytes, `T(text)` for a text.
struct Change {
    name: String,
    sql: String,
    /// Whether the chains alone show it, or a head from outside is needed.
    outside: bool,
}

/// Every field of a row and of a registration, one at a time.
fn flips() -> Vec<Change> {
    let row = [
        ("time_us", "time_us + 1"),
        ("kind", "T(outcome)"),
        ("who", "T(someone else)"),
        ("call", "B(000102030405060708090a0b0c0d0e0f)"),
        ("component", "B()"),
        ("capability", "T(write)"),
        ("target", "T(/etc)"),
        ("verdict", "T(denied)"),
        ("body", "T({\"mode\":\"write\"})"),
        ("hash", "B(00000000000000000000000000000000000000000000000000000000000000ff)"),
        ("seq", "99"),
        ("chain", "3"),
    ];
    let chain = [
        ("id", "B(000102030405060708090a0b0c0d0e0f)"),
        ("opened_us", "opened_us + 1"),
        ("plugin", "T(other)"),
        ("first", "B(00)"),
        ("link", "B(00000000000000000000000000000000000000000000000000000000000000ff)"),
        ("number", "77"),
    ];
    let of_row = row.iter().filter(|(field, _)| *field != "chain").flat_map(|(field, value)| {
        [1, 6].map(|seq| {
            (
                format!("{field} of row {seq}"),
                format!("UPDATE journal SET {field} = {value} WHERE chain = 2 AND seq = {seq}"),
            )
        })
    });
    let moved = (
        "chain of row 6".to_owned(),
        "UPDATE journal SET chain = 3, seq = 8 WHERE chain = 2 AND seq = 6".to_owned(),
    );
    let of_chain = chain.iter().map(|(field, value)| {
        (
            format!("{field} of a chain"),
            format!("UPDATE chains SET {field} = {value} WHERE number = 2"),
        )
    });
    let all = of_row.chain([moved]).chain(of_chain);
    all.map(|(name, sql)| Change { name, sql, outside: false }).collect()
}

/// Rows and chains deleted, swapped, doubled, inserted.
fn moves() -> Vec<Change> {
    const FIELDS: &str =
        "time_us, kind, who, call, component, capability, target, verdict, body, hash";
    let inside = [
        ("a row deleted", "DELETE FROM journal WHERE chain = 2 AND seq = 4".to_owned()),
        ("a first row deleted", "DELETE FROM journal WHERE chain = 2 AND seq = 0".to_owned()),
        (
            "a row deleted and the gap closed",
            "DELETE FROM journal WHERE chain = 2 AND seq = 4; \
             UPDATE journal SET seq = 4 WHERE chain = 2 AND seq = 5; \
             UPDATE journal SET seq = 5 WHERE chain = 2 AND seq = 6; \
             UPDATE journal SET seq = 6 WHERE chain = 2 AND seq = 7"
                .to_owned(),
        ),
        ("all rows of a chain deleted", "DELETE FROM journal WHERE chain = 2".to_owned()),
        (
            "a chain deleted",
            "DELETE FROM journal WHERE chain = 2; DELETE FROM chains WHERE number = 2".to_owned(),
        ),
        (
            "two rows swapped",
            "UPDATE journal SET seq = -1 WHERE chain = 2 AND seq = 2; \
             UPDATE journal SET seq = 2 WHERE chain = 2 AND seq = 5; \
             UPDATE journal SET seq = 5 WHERE chain = 2 AND seq = -1"
                .to_owned(),
        ),
        (
            "two chains swapped",
            "UPDATE journal SET chain = -1 WHERE chain = 1; \
             UPDATE journal SET chain = 1 WHERE chain = 2; \
             UPDATE journal SET chain = 2 WHERE chain = -1; \
             UPDATE chains SET number = -1 WHERE number = 1; \
             UPDATE chains SET number = 1 WHERE number = 2; \
             UPDATE chains SET number = 2 WHERE number = -1"
                .to_owned(),
        ),
        (
            "a row doubled after the end",
            format!(
                "INSERT INTO journal (chain, seq, {FIELDS}) SELECT chain, 8, {FIELDS} \
                     FROM journal WHERE chain = 2 AND seq = 4"
            ),
        ),
        (
            "a row inserted from another chain",
            format!(
                "UPDATE journal SET seq = 8 WHERE chain = 2 AND seq = 7; \
                     UPDATE journal SET seq = 7 WHERE chain = 2 AND seq = 6; \
                     INSERT INTO journal (chain, seq, {FIELDS}) SELECT 2, 6, {FIELDS} \
                     FROM journal WHERE chain = 3 AND seq = 6"
            ),
        ),
        (
            "a chain doubled",
            "INSERT INTO chains (number, id, opened_us, plugin, first, link) SELECT 4, \
             B(0f0e0d0c0b0a09080706050403020100), opened_us, plugin, first, link FROM chains \
             WHERE number = 3"
                .to_owned(),
        ),
        ("the store's id", "UPDATE store SET id = B(000102030405060708090a0b0c0d0e0f)".to_owned()),
    ];
    changes(inside.to_vec(), false)
}

/// What the chains alone do not show.
fn cuts() -> Vec<Change> {
    let outside = [
        ("the tail of a chain cut", "DELETE FROM journal WHERE chain = 3 AND seq > 4".to_owned()),
        ("the closing row cut", "DELETE FROM journal WHERE chain = 1 AND seq = 7".to_owned()),
        (
            "the newest chains cut",
            "DELETE FROM journal WHERE chain > 1; DELETE FROM chains WHERE number > 1".to_owned(),
        ),
    ];
    changes(outside.to_vec(), true)
}

fn changes(of: Vec<(&str, String)>, outside: bool) -> Vec<Change> {
    let change = |(name, sql): (&str, String)| Change { name: name.to_owned(), sql, outside };
    of.into_iter().map(change).collect()
}

/// Writes `B(…)` and `T(…)` as this store has bytes and texts.
fn dialect(sql: &str, bytes: impl Fn(&str) -> String, text: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(at) = rest.find("B(").into_iter().chain(rest.find("T(")).min() {
        let (before, from) = rest.split_at(at);
        let end = from.find(')').expect("a closing bracket");
        out.push_str(before);
        let inside = &from[2..end];
        out.push_str(&if from.starts_with('B') { bytes(inside) } else { text(inside) });
        rest = &from[end + 1..];
    }
    out + rest
}

/// Checks that a change is found as it should be.
async fn is_found(store: &dyn Storage, change: &Change, heads: &[u8], signed: &SignedHead) {
    let name = &change.name;
    let alone = verify(store).await.unwrap();
    assert_eq!(alone.is_clean(), change.outside, "{name}: {:?}", alone.problems);
    let against = verify_against(store, std::io::Cursor::new(heads)).await;
    assert!(against.is_err() || against.is_ok_and(|report| !report.is_clean()), "{name}: heads");
    let against = verify_signed(store, vec![signed.clone()]).await.unwrap();
    assert!(!against.is_clean(), "{name}: signed head");
    let mut exported = Vec::new();
    export(store, Exported::All, &mut exported).await.unwrap();
    let exported = verify_export_signed(&exported[..], vec![signed.clone()]);
    assert!(exported.is_err() || exported.is_ok_and(|report| !report.is_clean()), "{name}: export");
}

async fn heads_of(store: &dyn Storage) -> (Vec<u8>, SignedHead) {
    let mut heads = Vec::new();
    write_heads(store, &mut heads).await.unwrap();
    let key = SigningKey::of(&[1; 32]).unwrap();
    (heads, sign_head(store, &key, 1).await.unwrap())
}

#[tokio::test]
async fn every_change_of_a_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.db");
    let store = StoreUrl::Sqlite(whole.clone()).open().await.unwrap();
    three_chains(&store).await;
    let (heads, signed) = heads_of(&*store).await;
    store.close().await.unwrap();
    let changes = flips().into_iter().chain(moves()).chain(cuts());
    for (number, change) in changes.enumerate() {
        let path = folder.path().join(format!("{number}.db"));
        std::fs::copy(&whole, &path).unwrap();
        let sql = dialect(&change.sql, |hex| format!("x'{hex}'"), |text| format!("'{text}'"));
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).foreign_keys(false);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
        let store = StoreUrl::Sqlite(path).open().await.unwrap();
        is_found(&*store, &change, &heads, &signed).await;
        store.close().await.unwrap();
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn every_change_of_the_tables_of_a_server_is_found() {
    for change in flips().into_iter().chain(moves()).chain(cuts()) {
        let address = super::postgres::address();
        let store = super::postgres::open(&address).await;
        three_chains(&store).await;
        let (heads, signed) = heads_of(&*store).await;
        let bytes = |hex: &str| format!("'\\x{hex}'::bytea");
        let text = |text: &str| format!("convert_to('{text}', 'UTF8')");
        super::postgres::edit(&address, &dialect(&change.sql, bytes, text)).await;
        is_found(&*store, &change, &heads, &signed).await;
        super::postgres::edit(&address, super::postgres::DROP).await;
    }
}

#[tokio::test]
async fn a_history_written_anew_with_right_hashes_is_found_with_either_head() {
    let (store, forged) = (memory().await, memory().await);
    three_chains(&store).await;
    let (heads, signed) = heads_of(&*store).await;
    forged.adopt(store.head().await.unwrap().id).await.unwrap();
    three_chains(&forged).await;
    let change = Change { name: "all rewritten".to_owned(), sql: String::new(), outside: true };
    is_found(&*forged, &change, &heads, &signed).await;
}
