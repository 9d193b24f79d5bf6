use std::os::unix::fs::PermissionsExt;

use super::*;

const VALUE: &str = "ghp_0123456789abcdefghij";

fn value(text: &str) -> SecretString {
    text.to_owned().into()
}

fn vault() -> (tempfile::TempDir, Vault) {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = Vault::at(&folder.path().join("state"));
    (folder, vault)
}

fn told(vault: &Vault, name: &str) -> String {
    vault.value(name).expect_err("refused").to_string()
}

#[test]
fn what_is_kept_comes_back_and_is_nowhere_in_the_files() {
    let (_folder, vault) = vault();
    vault.set("TOKEN", &value(VALUE)).expect("keeps");
    vault.set("OTHER", &value("another value of a secret")).expect("keeps");
    let back = vault.value("TOKEN").expect("reads").expect("is there");
    assert_eq!(back.expose_secret(), VALUE);
    let text = fs::read_to_string(&vault.file).expect("a file");
    assert!(!text.contains(VALUE) && !text.contains(&BASE64_STANDARD.encode(VALUE)), "{text}");
    for file in [&vault.file, &vault.key_file] {
        let mode = fs::metadata(file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let names: Vec<_> = vault.list().expect("lists").into_iter().map(|kept| kept.name).collect();
    assert_eq!(names, ["OTHER", "TOKEN"]);
    vault.remove("TOKEN").expect("forgets");
    assert!(vault.value("TOKEN").expect("reads").is_none());
    let error = vault.remove("OTHERS").expect_err("is not there").to_string();
    assert!(error.contains("did you mean `OTHER`?"), "{error}");
}

#[test]
fn refused_when_the_key_is_gone_other_or_readable_by_others() {
    let (_folder, vault) = vault();
    vault.set("TOKEN", &value(VALUE)).expect("keeps");
    fs::set_permissions(&vault.key_file, fs::Permissions::from_mode(0o644)).expect("chmod");
    assert!(told(&vault, "TOKEN").contains("others may read this key"));
    fs::remove_file(&vault.key_file).expect("removes");
    let error = told(&vault, "TOKEN");
    assert!(error.contains("secrets.key is not there"), "{error}");
    let error = vault.set("NEW", &value(VALUE)).expect_err("refused").to_string();
    assert!(error.contains("secrets.key is not there"), "{error}");
    assert!(!vault.key_file.exists(), "a second key was made");
    seed_at(&vault.key_file).expect("another key");
    let error = told(&vault, "TOKEN");
    assert!(error.contains("cannot be opened") && !error.contains(VALUE), "{error}");
    assert!(vault.set("NEW", &value(VALUE)).is_err(), "two keys in one file");
}

#[test]
fn refused_when_the_file_was_changed() {
    let (_folder, vault) = vault();
    vault.set("A_TOKEN", &value(VALUE)).expect("keeps");
    vault.set("B_TOKEN", &value("another value of a secret")).expect("keeps");
    let mut file = vault.read().expect("reads");
    let (a, b) = (file.secrets["A_TOKEN"].clone(), file.secrets["B_TOKEN"].clone());
    file.secrets.insert("A_TOKEN".into(), b.clone());
    file.secrets.insert("B_TOKEN".into(), a.clone());
    vault.write(&file).expect("writes");
    assert!(told(&vault, "A_TOKEN").contains("cannot be opened"), "values changed places");
    let mut bytes = BASE64_STANDARD.decode(&a.value).expect("base64");
    bytes[0] ^= 1;
    let changed = Sealed { value: BASE64_STANDARD.encode(bytes), ..a };
    file.secrets.insert("A_TOKEN".into(), changed);
    vault.write(&file).expect("writes");
    assert!(told(&vault, "A_TOKEN").contains("cannot be opened"), "a bit was changed");
    fs::write(&vault.file, "{\"format\":2,\"secrets\":{}}").expect("writes");
    assert!(told(&vault, "A_TOKEN").contains("newer aos-host"));
    fs::write(&vault.file, "nonsense").expect("writes");
    assert!(told(&vault, "A_TOKEN").contains("secrets.json: "));
}

#[test]
fn refused_when_a_name_or_a_value_is_none() {
    let (_folder, vault) = vault();
    for (name, text, says) in [
        ("TOKEN", "short", "the value has 5 bytes"),
        ("TOKEN", "", "at least 16"),
        ("TOKEN", "a zero \0 inside of a value", "a byte of zero"),
        ("token name", VALUE, "is no name of a secret"),
        ("9TOKEN", VALUE, "is no name of a secret"),
        ("../etc", VALUE, "is no name of a secret"),
        ("", VALUE, "is no name of a secret"),
    ] {
        let error = vault.set(name, &value(text)).expect_err("refused").to_string();
        assert!(error.contains(says) && !error.contains(VALUE), "{error}");
    }
    let long = "x".repeat(16 * 1024 + 1);
    assert!(vault.set("TOKEN", &value(&long)).is_err());
    assert!(!vault.file.exists());
}

#[test]
fn values_are_those_that_grants_name() {
    let (_folder, vault) = vault();
    vault.set("TOKEN", &value(VALUE)).expect("keeps");
    vault.set("OTHER", &value(VALUE)).expect("keeps");
    let grants: Vec<Grant> = [
        "secret:TOKEN@https://api.example.org",
        "gh@secret:TOKEN@https://uploads.example.org",
        "net:https://example.org",
    ]
    .iter()
    .map(|text| text.parse().expect("a grant"))
    .collect();
    let values = vault.values_of(grants.iter()).expect("reads");
    let names: Vec<_> = values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["TOKEN"]);
    let absent: Grant = "secret:ABSENT@https://example.org".parse().expect("a grant");
    let error = vault.values_of([&absent].into_iter()).expect_err("refused").to_string();
    assert!(error.contains("`aos-host secret set ABSENT`"), "{error}");
}
