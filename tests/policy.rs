//! Policies as a user has them: `--policy`, `policy …`, `--record`, `explain`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use crate::support::{Ran, User, plugin};

const CALL: [&str; 2] = ["-i", r#"{"expression":"(2+3)*4^2"}"#];

fn user() -> User {
    let user = User::new();
    for folder in ["w/a/b", "w/c"] {
        std::fs::create_dir_all(user.folder().join(folder)).expect("a folder");
    }
    for file in ["w/top.txt", "w/a/one.txt", "w/a/b/two.txt", "w/c/three.txt"] {
        std::fs::write(user.folder().join(file), "some words\nin lines\n").expect("writes");
    }
    user
}

fn policy(user: &User, text: &str) -> String {
    let path = user.folder().join("policy.toml");
    std::fs::write(&path, text).expect("writes");
    path.display().to_string()
}

#[test]
fn a_policy_gives_what_flags_would() {
    let user = user();
    let file = policy(&user, "[grants]\nallow = [\"read:./w:/w\"]\ndeny_path = [\"w/c\"]\n");
    let read = ["run", "files", "-t", "read_file", "--policy", &file, "--arg"];
    user.run(&[&read[..], &["path=/w/a/one.txt"]].concat()).expect(0);
    user.run(&[&read[..], &["path=/w/c/three.txt"]].concat()).expect(3);
    user.run(&["run", "files", "-t", "read_file", "--arg", "path=/w/a/one.txt"]).expect(3);
    // Relative to the file, wherever the run is.
    let elsewhere = user.folder().join("w/a");
    let mut run = user.command();
    run.current_dir(&elsewhere).args(read).arg("path=/w/a/one.txt");
    assert!(run.output().expect("starts").status.success());
}

#[test]
fn denied_when_a_policy_closes_a_tool() {
    let user = user();
    let read = ["-t", "read_file", "--arg", "path=/w/top.txt"];
    for (rule, code, says) in [
        ("deny_tools = [\"files__read*\"]", 3, "`deny_tools`"),
        ("allow_tools = [\"files__list*\"]", 3, "`allow_tools`"),
        ("allow_tools = [\"files__*\"]", 0, ""),
        ("deny_tools = [\"files__write*\"]", 0, ""),
        ("allow_tools = [\"files__*\"]\ndeny_tools = [\"*\"]", 3, "`deny_tools`"),
    ] {
        let file = policy(&user, &format!("{rule}\n[grants]\nallow = [\"read:./w:/w\"]\n"));
        let run = ["run", "files", "--policy", &file];
        user.run(&[&run[..], &read].concat()).complains(code, &[says]);
    }
    user.run(&["explain"]).expect(0);
    user.run(&["audit", "verify"]).expect(0);
}

#[test]
fn denied_when_a_policy_is_for_reading_alone() {
    let user = user();
    let write = ["-t", "write_file", "-i", r#"{"path":"/w/new.txt","content":"x"}"#];
    let text = |read_only: bool| {
        format!("read_only = {read_only}\n[grants]\nallow = [\"write:./w:/w\"]\n")
    };
    let file = policy(&user, &text(true));
    user.run(&[&["run", "files", "--policy", &file][..], &write].concat()).expect(3);
    // Not by a flag either.
    let flags = ["run", "files", "--policy", &file, "--allow-write", "w:/w"];
    user.run(&[&flags[..], &write].concat()).expect(3);
    assert!(!user.folder().join("w/new.txt").exists());
}

#[test]
fn refused_when_a_flag_is_more_than_the_level_allows() {
    let user = user();
    let calculator = plugin("calculator");
    let file = policy(&user, "permission_level = \"restricted\"\n");
    let run = |flags: &[&str]| {
        let start = ["run", &calculator, "--policy", &file];
        user.run(&[&start[..], &CALL, flags].concat())
    };
    run(&[]).expect(0);
    run(&["--allow-read", "w:/w"]).expect(0);
    run(&["--allow-net", "https://example.org"])
        .complains(2, &["permission_level `restricted`", "`standard` would"]);
    run(&["--allow", "spawn:x"]).complains(2, &["`elevated` would"]);
}

#[test]
fn a_level_and_a_file_limit_what_is_used() {
    let user = user();
    let calculator = plugin("calculator");
    let file = policy(&user, "[limits]\nmemory = \"64KiB\"\n");
    let run = ["run", &calculator, "--policy", &file];
    user.run(&[&run[..], &CALL].concat()).complains(4, &["limit memory of 65536 bytes"]);
    // A flag comes on top.
    user.run(&[&run[..], &CALL, &["--max-memory", "64MiB"]].concat()).expect(0);
}

#[test]
fn bad_policies_are_told_in_one_sentence() {
    let user = user();
    for (text, says) in [
        ("permission_level = \"root\"", "unknown value `root`"),
        ("[limits]\nmemroy = 1", "did you mean `memory`?"),
        ("nonsense", "line 1"),
        ("[grants]\nallow = [\"read:/not/there:/x\"]", "cannot grant"),
    ] {
        let file = policy(&user, text);
        let calculator = plugin("calculator");
        let run = ["run", &calculator, "--policy", &file];
        let ran = user.run(&[&run[..], &CALL].concat()).complains(2, &[says]);
        assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{}", ran.stderr);
    }
    user.run(&["policy", "check", "not-there.toml"]).complains(2, &["not-there.toml"]);
    user.run(&["policy", "show", "root"]).complains(2, &["restricted, standard"]);
}

#[test]
fn policies_are_said_in_words_and_compared() {
    let user = user();
    for level in ["restricted", "standard", "elevated", "admin"] {
        let shown = user.run(&["policy", "show", level]).expect(0).stdout;
        let file = policy(&user, &shown);
        let said = user.run(&["policy", "check", &file]).expect(0).stdout;
        assert!(said.starts_with(&format!("permission level {level}\n")), "{said}");
    }
    let old = user.folder().join("old.toml");
    std::fs::write(&old, "[grants]\nallow = [\"read:w\"]\n").expect("writes");
    let new = policy(&user, "[grants]\nallow = [\"write:w\"]\n");
    let old = old.display().to_string();
    let ran = user.run(&["policy", "diff", &old, &new]).expect(3);
    assert!(ran.stdout.contains("+ may read and write"), "{}", ran.stdout);
    user.run(&["policy", "diff", &new, &new]).expect(0);
    // Plugins: what a new version asks for.
    let (calculator, http) = (plugin("calculator"), plugin("http"));
    let ran = user.run(&["policy", "diff", &calculator, &http]).expect(3);
    assert!(ran.stdout.contains("+ asks for net:*"), "{}", ran.stdout);
    user.run(&["policy", "diff", &http, &calculator]).expect(0);
}

#[test]
fn a_denial_is_explained_with_the_line_that_would_allow_it() {
    let user = user();
    user.run(&["run", "files", "-t", "read_file", "--arg", "path=/w/a/one.txt"]).expect(3);
    let said = user.run(&["explain", "last"]).expect(0).stdout;
    for word in ["wanted read /w/a/one.txt", "`read_file`", "--allow-read", "read:HOST_FOLDER:/w/a"]
    {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    // The line, with the folder put in, allows it.
    let line = "allow = [\"read:w/a:/w/a\"]";
    let file = policy(&user, &format!("[grants]\n{line}\n"));
    let run = ["run", "files", "--policy", &file, "-t", "read_file", "--arg", "path=/w/a/one.txt"];
    user.run(&run).expect(0);
    let said = user.run(&["explain"]).expect(0).stdout;
    assert_eq!(said, "nothing was denied in this run\n");
    user.run(&["explain", "ffffffffffff"]).complains(2, &["no agent and no run"]);
    let json = User::new();
    json.run(&["run", "http", "-t", "fetch", "--arg", "url=https://example.org/"]).expect(3);
    let said = json.run(&["explain", "-o", "json"]).expect(0).stdout;
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["allow"], "net:GET https://example.org");
    assert_eq!(said["call"], "fetch");
}

/// A server that answers every request alike, on this machine.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let body = r#"{"results":[],"web":{"results":[]}}"#;
            let length = body.len();
            // A guest that hangs up is its own affair.
            let _sent = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
    format!("http://{address}")
}

/// The lines of a recorded policy that grant something.
fn granting(text: &str) -> Vec<usize> {
    let is = |line: &&str| line.trim_start().starts_with('"');
    text.lines().enumerate().filter(|(_, line)| is(line)).map(|(at, _)| at).collect()
}

/// Records a run, runs it again under what was recorded, and without each of its lines.
#[track_caller]
fn recorded(user: &User, what: &[&str], ceiling: &[&str], lines: usize) -> String {
    let file = user.folder().join("recorded.toml");
    let path = file.display().to_string();
    let words = |flags: &[&str]| -> Vec<String> {
        let end = what.iter().position(|word| *word == "--").unwrap_or(what.len());
        let all = [&["run"][..], &what[..end], flags, &what[end..]].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let run = |flags: &[&str]| -> Ran {
        let words = words(flags);
        user.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run(&[ceiling, &["--record", &path]].concat()).expect(0);
    let text = std::fs::read_to_string(&file).expect("was written");
    assert_eq!(granting(&text).len(), lines, "{text}");
    user.run(&["policy", "check", &path]).expect(0);
    run(&["--policy", &path]).expect(0);
    let said = user.run(&["explain"]).expect(0).stdout;
    assert_eq!(said, "nothing was denied in this run\n", "{text}");
    for left_out in granting(&text) {
        let kept = text.lines().enumerate().filter(|(at, _)| *at != left_out);
        let less: String = kept.map(|(_, line)| format!("{line}\n")).collect();
        std::fs::write(&file, less).expect("writes");
        run(&["--policy", &path]);
        let said = user.run(&["explain"]).expect(0).stdout;
        let line = text.lines().nth(left_out).unwrap_or_default();
        assert!(said.contains("was denied"), "without {line} nothing was denied: {said}");
    }
    text
}

#[test]
fn a_recorded_policy_is_what_each_plugin_needed() {
    let user = user();
    recorded(&user, &["calculator", "-i", r#"{"expression":"1+1"}"#], &["--allow-read", "w"], 0);
    let wide = ["--allow-read", "w:/w", "--allow-net", "*", "--allow-env", "HOME"];
    let one = ["files", "-t", "read_file", "--arg", "path=/w/a/one.txt"];
    let text = recorded(&user, &one, &wide, 1);
    assert!(text.contains(":/w/a\"") && text.contains("permission_level = \"standard\""), "{text}");
    let search = ["files", "-t", "search_files", "--arg", "path=/w/a", "--arg", "pattern=words"];
    recorded(&user, &search, &wide, 1);
    let write = ["files", "-t", "write_file", "-i", r#"{"path":"/w/c/new.txt","content":"x"}"#];
    let text = recorded(&user, &write, &["--allow-write", "w:/w"], 1);
    assert!(text.contains("w/c:/w/c\""), "{text}");
    let base = server();
    let url = format!("url={base}/x");
    let text = recorded(&user, &["http", "-t", "fetch", "--arg", &url], &["--allow-net", &base], 1);
    assert!(text.contains(&format!("\"net:GET {base}\"")), "{text}");
    let json = ["json", "-t", "query_json", "-i", r#"{"file":"/w/x.json","query":"$.a"}"#];
    std::fs::write(user.folder().join("w/x.json"), r#"{"a":1}"#).expect("writes");
    recorded(&user, &json, &["--allow-read", "w:/w"], 1);
    let (case, count) = (plugin("text-case"), plugin("wordcount"));
    let upper = [&*case, "--tool", "demo:text/case.upper", "--arg", "text=hello"];
    recorded(&user, &upper, &["--allow-read", "w:/w"], 0);
    recorded(&user, &[&*count, "--", "/w/top.txt"], &["--allow-read", "w:/w"], 1);
}

#[test]
fn a_recorded_secret_is_one_line_with_its_host() {
    let user = user();
    let key = b"a key of at least sixteen bytes";
    assert_eq!(user.run_with_input(&["secret", "set", "BRAVE_API_KEY"], key).code, 0);
    let base = server();
    let file = user.folder().join("recorded.toml").display().to_string();
    let secret = format!("BRAVE_API_KEY@{base}");
    let url = format!("SEARCH_URL={base}");
    let search = ["run", "search", "--arg", "query=x", "--allow-env", &url, "--record", &file];
    user.run(&[&search[..], &["--secret", &secret]].concat()).expect(0);
    let text = std::fs::read_to_string(&file).expect("was written");
    assert!(text.contains(&format!("\"secret:{secret}\"")), "{text}");
    assert!(!text.contains("net:"), "{text}");
    assert!(!text.contains("sixteen"), "{text}");
}

#[test]
fn what_was_denied_is_recorded_as_a_comment() {
    let user = user();
    let file = user.folder().join("recorded.toml").display().to_string();
    let run = ["run", "files", "-t", "read_file", "--arg", "path=/w/a/one.txt"];
    user.run(&[&run[..], &["--record", &file]].concat()).expect(3);
    let text = std::fs::read_to_string(&file).expect("was written");
    assert_eq!(granting(&text), Vec::<usize>::new(), "{text}");
    assert!(text.contains("# \"read:HOST_FOLDER:/w/a\", # denied: row"), "{text}");
    // As it is it allows nothing.
    user.run(&[&run[..], &["--policy", &file]].concat()).expect(3);
    let filled = text.replace("# \"read:HOST_FOLDER:/w/a\"", "\"read:w/a:/w/a\"");
    std::fs::write(Path::new(&file), filled).expect("writes");
    user.run(&[&run[..], &["--policy", &file]].concat()).expect(0);
    let evil =
        ["run", "files", "-t", "read_file", "--record", &file, "--arg", "path=/w/\"]\nx = 1"];
    user.run(&evil);
    user.run(&["policy", "check", &file]).expect(0);
}

/// The demo of the assistant, under a policy.
fn assistant(user: &User, file: &str, flags: &[&str]) -> Ran {
    let demo = crate::support::top().join("plugins/assistant");
    let script = format!("script:{}", demo.join("demo.toml").display());
    let folder = format!("{}:/w", demo.join("demo").display());
    let start = ["run", "assistant", "--task", "Sum the amounts in /w/bills.json"];
    let rest = ["--plugin", "files,calculator", "--allow-read", &folder, "--model", &script];
    user.run(&[&start[..], &rest, &["--policy", file], flags].concat())
}

#[test]
fn denied_when_an_agent_calls_a_tool_that_its_policy_closes() {
    let user = user();
    let file = policy(&user, "deny_tools = [\"calculator__*\"]\n[quotas]\nmax_calls = 10\n");
    assistant(&user, &file, &[]);
    let denied = user.run(&["audit", "show", "last", "--denied"]).expect(0).stdout;
    assert!(denied.contains("calculator__calculate"), "{denied}");
    let said = user.run(&["explain"]).expect(0).stdout;
    assert!(said.contains("`deny_tools` in the policy"), "{said}");
    // It is what the policy closes that is denied, and nothing else.
    let file = policy(&user, "allow_tools = [\"files__*\", \"calculator__calculate\"]\n");
    let ran = assistant(&user, &file, &[]).expect(0);
    assert!(ran.stdout.contains("256.6"), "{}", ran.stdout);
    let file = policy(&user, "[quotas]\nmax_calls = 1\n");
    assistant(&user, &file, &["--patience", "1s"]).expect(7);
    let file = policy(&user, "permission_level = \"standard\"\n");
    assistant(&user, &file, &["--allow-spawn", "team"]).complains(2, &["`elevated` would"]);
}
