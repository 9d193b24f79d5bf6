use super::*;
use crate::capability::grant::Capability;

fn read(text: &str) -> Result<Policy, String> {
    Policy::parse(text, Path::new("/base"))
}

#[test]
fn a_file_says_what_it_names_and_paths_are_below_it() {
    let policy = read(
        "permission_level = \"standard\"\nread_only = true\nallow_tools = [\"files__*\"]\n\
         deny_tools = [\"files__write*\"]\n[grants]\nallow = [\"write:./src:/src\"]\n\
         hosts = [\"https://api.example.org\"]\ndeny_path = [\"src/private\"]\n\
         [limits]\nmemory = \"64MiB\"\n[quotas]\nmax_tokens = 500\ncpu_percent = 50\n",
    )
    .expect("reads");
    assert_eq!(policy.allow, ["write:/base/src:/src", "net:https://api.example.org"]);
    assert_eq!(policy.deny_path, [PathBuf::from("/base/src/private")]);
    assert_eq!(policy.quotas.max_tokens, Some(500));
    let grants = policy.settle(policy.grants().expect("grants")).expect("within its level");
    assert_eq!(grants[0].1, "read:/base/src:/src");
    assert!(matches!(grants[0].0.scope, Scope::Read(_)));
    let words = describe(&policy);
    for line in [
        "permission level standard",
        "may read /base/src (seen as /src)",
        "may send HTTP requests to https://api.example.org",
        "may not touch /base/src/private",
        "may write no file",
        "may call the tools files__*",
        "may not call the tools files__write*",
        "at most 64MiB of memory",
        "at most 500 of max_tokens",
        "at most 50 of cpu_percent",
    ] {
        assert!(words.lines().any(|found| found == line), "no {line:?} in:\n{words}");
    }
    assert!(describe(&read("").expect("empty")).contains("may reach nothing"));
}

#[test]
fn a_mistake_is_told_with_its_line_and_the_nearest_name() {
    for (text, says) in [
        (
            "permision_level = \"admin\"\n",
            "line 1: unknown key `permision_level`; did you mean `per",
        ),
        ("\n[limits]\nmemroy = 1\n", "line 3: unknown key `memroy`; did you mean `memory`?"),
        ("[grants]\nalow = []\n", "line 2: unknown key `alow`; did you mean `allow`?"),
        ("[quotas]\nmax_token = 1\n", "did you mean `max_tokens`?"),
        ("permission_level = \"root\"\n", "unknown value `root`; there are restricted"),
        ("permission_level = \"standart\"\n", "did you mean `standard`?"),
        ("[grants]\nallow = [\"read\"]\n", "grants: "),
        ("[grants]\nhosts = [\"example.org\"]\n", "grants: "),
        ("[limits]\nmemory = 0\n", "memory is 0"),
        ("deny_tools = [\"a*b\"]\n", "deny_tools: "),
        ("allow_tools = 3\n", "line 1: "),
        ("[grants]\nallow = [\"tcp:example.org:1\"]\n", "more than permission_level `standard`"),
        ("[grants]\nallow = [\"env:*\"]\n", "`elevated` would"),
        (
            "permission_level = \"restricted\"\n[grants]\nhosts = [\"https://x.org\"]\n",
            "`standard`",
        ),
        ("permission_level = \"restricted\"\n[grants]\nallow = [\"write:/x\"]\n", "`standard`"),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.contains(says) && !error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn what_a_level_shows_is_a_file_that_says_the_same() {
    for level in Level::ALL {
        let text = preset(level);
        let policy = read(&text).unwrap_or_else(|error| panic!("{level}: {error}\n{text}"));
        assert_eq!(policy.level, level);
        let bare = read(&format!("permission_level = \"{level}\"")).expect("reads");
        let (lines, more) = differences(&bare, &policy).expect("compares");
        assert!(lines.is_empty() && !more, "{level}: {lines:?}\n{text}");
    }
}

#[test]
fn a_higher_level_may_grant_no_less() {
    for capability in Capability::ALL {
        let needed = Level::of_capability(capability);
        let enough = Level::ALL.into_iter().filter(|level| *level >= needed).count();
        assert!(enough >= 2, "{capability}");
    }
    assert!(Level::ALL.is_sorted());
}

#[test]
fn a_difference_says_what_is_more() {
    let old = read("[grants]\nallow = [\"read:/a:/a\"]\n").expect("reads");
    let less = read("[grants]\nallow = [\"read:/a/b:/a/b\"]\n").expect("reads");
    let other = read("[grants]\nallow = [\"read:/a:/a\"]\nhosts = [\"https://x.org\"]\n");
    let other = other.expect("reads");
    assert_eq!(differences(&old, &old).expect("compares"), (Vec::new(), false));
    let (lines, more) = differences(&old, &less).expect("compares");
    assert!(!more && lines == ["- may read /a (seen as /a)"], "{lines:?}");
    let (lines, more) = differences(&old, &other).expect("compares");
    assert!(more && lines == ["+ may send HTTP requests to https://x.org"], "{lines:?}");
    for (before, after) in [
        ("deny_tools = [\"x\"]", ""),
        ("allow_tools = [\"x\"]", ""),
        ("allow_tools = [\"x\"]", "allow_tools = [\"x\", \"y\"]"),
        ("read_only = true", ""),
        ("[grants]\ndeny_path = [\"/p\"]", ""),
        ("", "permission_level = \"elevated\""),
        ("", "[limits]\nmemory = \"4GiB\""),
        ("[limits]\nmemory = \"4MiB\"", ""),
    ] {
        let (before, after) = (read(before).expect("reads"), read(after).expect("reads"));
        let (lines, more) = differences(&before, &after).expect("compares");
        assert!(more && !lines.is_empty(), "{before:?} {after:?}: {lines:?}");
    }
    for (before, after) in
        [("", "deny_tools = [\"x\"]"), ("", "allow_tools = [\"x\"]"), ("", "read_only = true")]
    {
        let (before, after) = (read(before).expect("reads"), read(after).expect("reads"));
        let (lines, more) = differences(&before, &after).expect("compares");
        assert!(!more && !lines.is_empty(), "{before:?} {after:?}: {lines:?}");
    }
}
