//! The store as its keeper sees it: `aos-host store`, on SQLite and on PostgreSQL.

use crate::support::{User, plugin};

const SUM: &str = r#"{"expression":"1+2"}"#;

/// Two runs, one of them denied something.
fn some_runs(user: &User, store: &str) {
    user.run(&["run", &plugin("calculator"), "-i", SUM, "--store", store]).expect(0);
    let read = ["--tool", "read_file", "-i", r#"{"path":"/etc/hostname"}"#];
    let call = ["run", &plugin("files"), "--store", store];
    user.run(&[&call[..], &read].concat()).expect(3);
}

#[test]
fn a_store_is_created_checked_compacted_and_copied() {
    let user = User::new();
    let migrated = user.run(&["store", "migrate", "--store", "sqlite:a.db"]).expect(0);
    assert!(migrated.stdout.starts_with("created, with schema version "), "{migrated:?}");
    let migrated = user.run(&["store", "migrate", "--store", "sqlite:a.db"]).expect(0);
    assert!(migrated.stdout.ends_with(", as it was\n"), "{migrated:?}");
    some_runs(&user, "sqlite:a.db");
    let checked = user.run(&["store", "check", "--store", "sqlite:a.db"]).expect(0);
    assert!(checked.stdout.starts_with("ok: "), "{}", checked.stdout);
    let compacted = user.run(&["store", "compact", "--store", "sqlite:a.db"]).expect(0);
    assert!(compacted.stdout.contains(", before "), "{}", compacted.stdout);
    let head = user.run(&["audit", "head", "--store", "sqlite:a.db"]).expect(0).stdout;
    std::fs::write(user.folder().join("head"), head).expect("writes");
    let copied = user.run(&["store", "copy", "sqlite:a.db", "sqlite:b.db"]).expect(0);
    assert!(copied.stdout.contains("2 chains, ") && copied.stdout.contains("fit the copy too"));
    let verify = ["audit", "verify", "--store", "sqlite:b.db", "--head", "head"];
    user.run(&verify).expect(0);
    let again = user.run(&["store", "copy", "sqlite:a.db", "sqlite:b.db", "-o", "json"]).expect(0);
    let expected = r#"{"chains":0,"rows":0,"pairs":0,"pages":0,"links_kept":true}"#;
    assert_eq!(again.stdout.trim(), expected);
}

#[test]
fn a_wrong_store_is_refused_in_one_sentence() {
    let user = User::new();
    for (arguments, says) in [
        (&["store", "check", "--store", "memory:"][..], "`memory:` is gone when the command ends"),
        (&["store", "check", "--store", "sqlite:no.db"], "no journal at no.db"),
        (&["store", "copy", "sqlite:no.db", "sqlite:b.db"], "no journal at no.db"),
        (&["store", "copy", "sqlite:a.db", "sqlite:a.db"], "the same store, sqlite:a.db"),
        (&["store", "copy", "sqlite:a.db", "b.db"], "`b.db` is not a store"),
        (&["store", "check", "--store", "postgres:me:hunter2@h/d"], "`//` is missing"),
        (
            &["store", "check", "--store", "postgres://me:hunter2@h/d?sslmode=x"],
            "sslmode is one of",
        ),
        (&["store", "check", "--store", "postgers://me:hunter2@h/d"], "is not a store: use"),
    ] {
        let ran = user.run(arguments).complains(2, &[says]);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
    assert!(!user.folder().join("b.db").exists());
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_build_without_postgres_says_so() {
    let user = User::new();
    let call = ["audit", "list", "--store", "postgres://me:hunter2@localhost/d"];
    let ran = user.run(&call).complains(6, &["without PostgreSQL", "--features postgres"]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[cfg(feature = "postgres")]
#[test]
#[ignore = "needs PostgreSQL: tests/run.sh"]
fn on_postgres_the_same_commands_do_the_same() {
    let server = std::env::var("AOS_TEST_POSTGRES")
        .expect("AOS_TEST_POSTGRES names no server: run tests/run.sh, which starts one");
    let schema = format!("t_{}", aos_host::types::CallId::fresh().0.simple());
    let mark = if server.contains('?') { '&' } else { '?' };
    let store = format!("{server}{mark}schema={schema}");
    let user = User::new();
    let of = |arguments: &[&str]| user.run(&[arguments, &["--store", &store][..]].concat());
    let migrated = of(&["store", "migrate"]).expect(0).stdout;
    assert!(migrated.starts_with("created, with schema version "), "{migrated}");
    some_runs(&user, &store);
    let list = of(&["audit", "list"]).expect(0).stdout;
    assert!(list.contains("calculator") && list.contains("denied"), "{list}");
    let denied = of(&["audit", "show", "last", "--denied"]).expect(0).stdout;
    assert!(denied.contains("/etc/hostname"), "{denied}");
    let verified = of(&["store", "check"]).expect(0).stdout;
    assert!(verified.contains(" in 2 chains"), "{verified}");
    let head = of(&["audit", "head"]).expect(0).stdout;
    std::fs::write(user.folder().join("head"), head).expect("writes");
    of(&["audit", "verify", "--head", "head"]).expect(0);
    let export = of(&["audit", "export"]).expect(0).stdout;
    std::fs::write(user.folder().join("export"), export).expect("writes");
    user.run(&["audit", "verify", "--export", "export", "--head", "head"]).expect(0);
    of(&["store", "compact"]).expect(0);
    user.run(&["store", "copy", &store, "sqlite:copy.db"]).expect(0);
    let verify = ["audit", "verify", "--store", "sqlite:copy.db", "--head", "head"];
    user.run(&verify).expect(0);
}
