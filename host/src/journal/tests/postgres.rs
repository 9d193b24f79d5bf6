//! The journal's claims over PostgreSQL. They need a server: `tests/run.sh` starts one.

use super::*;
use futures::future::join_all;
use std::io::Cursor;

/// A schema that no other test has, in the server of `AOS_TEST_POSTGRES`.
pub(super) fn address() -> String {
    let server = std::env::var("AOS_TEST_POSTGRES")
        .expect("AOS_TEST_POSTGRES names no server: run tests/run.sh, which starts one");
    let mark = if server.contains('?') { '&' } else { '?' };
    format!("{server}{mark}schema=t_{}", CallId::fresh().0.simple())
}

pub(super) async fn open(address: &str) -> Arc<dyn Storage> {
    address.parse::<StoreUrl>().unwrap().open().await.unwrap()
}

/// Runs SQL in the schema of the address, which comes last in it.
pub(super) async fn edit(address: &str, sql: &str) {
    let schema = address.rsplit("schema=").next().unwrap();
    let server = std::env::var("AOS_TEST_POSTGRES").unwrap();
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&server).await.unwrap();
    let text = format!("SET search_path = {schema}; {}", sql.replace("SCHEMA_NAME", schema));
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
}

pub(super) const DROP: &str = "DROP SCHEMA SCHEMA_NAME CASCADE";

async fn one_process(address: &str) {
    let store = open(address).await;
    let journal = journal(&store).await;
    for number in 0..5 {
        let chain = journal.chain(opening("a"));
        for row in 0..10 {
            let class = [Class::Queued, Class::Written, Class::Synced][(number + row) % 3];
            chain.append(verdict("/x"), class).await.unwrap();
        }
        chain.close(CLOSING, Class::Written).await.unwrap();
    }
    journal.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn ten_journals_share_one_schema_and_are_verified_beside() {
    let address = address();
    let verifying = async {
        for _ in 0..5 {
            let report = verify(&*open(&address).await).await.unwrap();
            assert!(report.is_clean(), "{:?}", report.problems);
        }
    };
    let writing = join_all((0..10).map(|_| one_process(&address)));
    futures::join!(writing, verifying);
    let report = verify(&*open(&address).await).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.chains, report.rows, report.open), (50, 50 * 12, 0));
    edit(&address, DROP).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn what_is_changed_in_the_tables_is_found() {
    for (sql, chain, seq) in [
        ("UPDATE journal SET verdict = 'denied' WHERE chain = 1 AND seq = 3", Some(1), Some(3)),
        (r"UPDATE journal SET who = '\xff' WHERE chain = 3 AND seq = 0", Some(3), Some(0)),
        ("DELETE FROM journal WHERE chain = 2 AND seq = 4", Some(2), Some(5)),
        ("UPDATE chains SET plugin = 'z' WHERE number = 2", Some(2), None),
        ("UPDATE store SET id = substr(id, 2) || '\\x00'::bytea", Some(1), None),
    ] {
        let address = address();
        let store = open(&address).await;
        three_chains(&store).await;
        assert!(verify(&*store).await.unwrap().is_clean());
        edit(&address, sql).await;
        let problems = verify(&*store).await.unwrap().problems;
        let first = problems.first().unwrap_or_else(|| panic!("{sql} was not found"));
        assert_eq!((first.chain, first.seq), (chain, seq), "{sql}: {problems:?}");
        edit(&address, DROP).await;
    }
    let address = address();
    let store = open(&address).await;
    three_chains(&store).await;
    let mut heads = Vec::new();
    write_heads(&*store, &mut heads).await.unwrap();
    edit(&address, "DELETE FROM journal WHERE chain = 3; DELETE FROM chains WHERE number = 3")
        .await;
    assert!(verify(&*store).await.unwrap().is_clean(), "a cut end shows only against a head");
    assert!(!verify_against(&*store, Cursor::new(&heads)).await.unwrap().is_clean());
    edit(&address, DROP).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn a_copy_there_and_back_is_the_same() {
    let address = address();
    let (from, back) = (memory().await, memory().await);
    three_chains(&from).await;
    let bucket = crate::storage::Bucket { identity: "files", name: "notes" };
    for key in 0..40u8 {
        from.kv_set(bucket, &format!("k{key}"), &vec![key; 1000]).await.unwrap();
    }
    let server = open(&address).await;
    let there = copy(&*from, &*server, false).await.unwrap();
    assert_eq!(
        there,
        Copied { chains: 3, rows: 24, bodies: 0, pairs: 40, pages: 0, links_kept: true }
    );
    copy(&*server, &*back, false).await.unwrap();
    assert_eq!(back.head().await.unwrap(), from.head().await.unwrap());
    assert_eq!(Copy::of(&*back).await.rows, Copy::of(&*from).await.rows);
    assert_eq!(back.kv_get(bucket, "k39").await.unwrap(), Some(vec![39; 1000]));
    assert_eq!(server.check().await.unwrap(), Vec::<String>::new());
    edit(&address, DROP).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
async fn what_the_server_refuses_does_not_happen() {
    let address = address();
    let store = open(&address).await;
    let journal = journal(&store).await;
    let chain = journal.chain(opening("a"));
    chain.append(verdict("/1"), Class::Synced).await.unwrap();
    edit(
        &address,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE 'the disk is gone' USING ERRCODE = '58030'; END $$; \
         CREATE TRIGGER no BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION no()",
    )
    .await;
    let error = chain.append(verdict("/2"), Class::Written).await.unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    chain.append(verdict("/3"), Class::Queued).await.unwrap_err();
    edit(&address, "DROP TRIGGER no ON journal").await;
    // The store is whole, and a later journal goes on beside.
    one_process(&address).await;
    let report = verify(&*store).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.chains, report.rows, report.open), (6, 2 + 60, 1));
    edit(&address, DROP).await;
}
