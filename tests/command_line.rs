//! What a user types, and what comes out: the answer on stdout, one sentence on stderr, the code.

use std::fs;

use serde_json::Value;

use crate::support::{User, plugin, top};

const SUM: &str = r#"{"expression":"(2+3)*4^2"}"#;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn the_first_command_of_the_readme_prints_80() {
    let ran = User::new().run(&["run", &plugin("calculator"), "--input", SUM]).expect(0);
    assert_eq!(ran.stdout, "80\n");
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_plugin_that_comes_with_the_program_is_found_by_name() {
    let ran = User::new().run(&["run", "calculator", "--arg", "expression=1/4"]).expect(0);
    assert_eq!(ran.stdout, "0.25\n");
}

#[test]
fn a_plugin_is_found_by_name_in_a_folder_before_the_programs_own() {
    let user = User::new();
    fs::copy(plugin("json"), user.folder().join("calculator.wasm")).expect("copies");
    let ran = user.run(&["run", "calculator", "--plugin-path", "."]);
    // `./calculator.wasm` in the working folder is not what a bare name means; the path is.
    let ran = ran.expect(0);
    assert!(ran.stdout.starts_with("json "), "{}", ran.stdout);
}

#[test]
fn a_grant_for_one_plugin_is_not_earned_by_calling_itself_so() {
    let user = User::new();
    fs::write(user.folder().join("a"), "text").expect("writes");
    let allow = "files@read:.:/w";
    let read = |plugin: &str| {
        let input = r#"{"path":"/w/a"}"#;
        user.run(&["run", plugin, "-t", "read_file", "-i", input, "--allow", allow])
    };
    assert_eq!(read("files").expect(0).stdout, "text\n");
    // The same component, but by a path: its name is its own word.
    read(&plugin("files")).complains(3, &["denied: read /w"]);
}

#[test]
fn what_the_host_trusts_is_in_no_grant() {
    let user = User::new();
    user.run(&["run", "calculator", "-i", SUM]).expect(0);
    let config = r#"{"path":"/h/aos.toml","content":"[grants]"}"#;
    user.run(&["run", "files", "-t", "write_file", "-i", config, "--allow-write", ".:/h"])
        .complains(3, &["denied: write"]);
    let journal = r#"{"path":"/h/.local/state/aos-host/journal.db","unit":"bytes"}"#;
    user.run(&["run", "files", "-t", "read_file", "-i", journal, "--allow-read", ".:/h"])
        .complains(3, &["denied: read"]);
    // Whatever store this run has of its own.
    for store in ["memory:", "sqlite:other.db"] {
        let flags = ["--allow-read", ".:/h", "--store", store];
        let read = [&["run", "files", "-t", "read_file", "-i", journal][..], &flags].concat();
        user.run(&read).complains(3, &["denied: read"]);
    }
}

#[test]
fn a_file_in_the_working_folder_is_no_plugin_by_its_bare_name() {
    let user = User::new();
    fs::copy(plugin("text-case"), user.folder().join("calculator")).expect("copies");
    assert_eq!(user.run(&["run", "calculator", "-i", SUM]).expect(0).stdout, "80\n");
}

#[test]
fn without_a_tool_the_tools_are_listed_with_their_arguments() {
    let ran = User::new().run(&["run", &plugin("files")]).expect(0);
    for word in ["read_file", "path: string", "limit?: integer", "It asks for:", "read:*"] {
        assert!(ran.stdout.contains(word), "no {word:?} in {}", ran.stdout);
    }
}

#[test]
fn arguments_come_from_a_file_from_stdin_and_from_pairs() {
    let user = User::new();
    fs::write(user.folder().join("sum.json"), SUM).expect("writes");
    let calculator = plugin("calculator");
    let from_file = user.run(&["run", &calculator, "--input", "@sum.json"]).expect(0);
    assert_eq!(from_file.stdout, "80\n");
    let from_stdin = user.run_with_input(&["run", &calculator, "-i", "-"], SUM.as_bytes());
    assert_eq!(from_stdin.expect(0).stdout, "80\n");
    let from_pair = user.run(&["run", &calculator, "-a", "expression=(2+3)*4^2"]).expect(0);
    assert_eq!(from_pair.stdout, "80\n");
}

#[test]
fn json_output_holds_the_answer_its_cost_and_where_it_is_written_down() {
    let user = User::new();
    let ran = user.run(&["run", &plugin("calculator"), "-i", SUM, "-o", "json"]).expect(0);
    let answer = json(&ran.stdout);
    assert_eq!(answer["ok"], true);
    assert_eq!(answer["structured"]["result"], 80);
    assert_eq!(answer["content"][0]["text"], "80");
    assert!(answer["usage"]["memory_bytes"].as_u64().expect("a number") > 65_535);
    let chain = answer["chain"].as_str().expect("an id");
    assert!(user.run(&["audit", "show", &chain[..12]]).expect(0).stdout.contains("accepted"));
}

#[test]
fn a_granted_folder_is_read_and_all_else_is_denied_with_the_flag_that_would_allow_it() {
    let user = User::new();
    fs::create_dir(user.folder().join("src")).expect("mkdir");
    fs::write(user.folder().join("src/a.rs"), "fn main() {}\n").expect("writes");
    let files = plugin("files");
    let search = r#"{"path":"/src","pattern":"fn main"}"#;
    let call = ["run", &files, "--tool", "search_files", "--input", search];
    let granted = user.run(&[&call[..], &["--allow-read", "./src:/src"]].concat()).expect(0);
    assert!(granted.stdout.contains("/src/a.rs:1: fn main() {}"), "{}", granted.stdout);
    user.run(&call).complains(3, &["denied: read /src", "`--allow-read HOST_FOLDER:/src`"]);
    let denied = user.run(&["audit", "show", "last", "--denied", "-o", "json"]).expect(0);
    let row = json(denied.stdout.lines().next().expect("a row"));
    assert_eq!((&row["capability"], &row["verdict"]), (&"read".into(), &"denied".into()));
}

#[test]
fn a_read_grant_is_no_write_grant() {
    let user = User::new();
    let write = r#"{"path":"/w/new.txt","content":"x"}"#;
    let files = plugin("files");
    let call = ["run", &files, "-t", "write_file", "-i", write];
    user.run(&[&call[..], &["--allow-read", ".:/w"]].concat()).complains(3, &["denied: write"]);
    assert!(!user.folder().join("new.txt").exists());
    user.run(&[&call[..], &["--allow-write", ".:/w"]].concat()).expect(0);
    assert_eq!(fs::read_to_string(user.folder().join("new.txt")).expect("is there"), "x");
    let rows = user.run(&["audit", "show", "last"]).expect(0).stdout;
    assert!(rows.contains("allowed write write"), "each write has its row: {rows}");
}

#[test]
fn a_denied_path_is_closed_inside_a_granted_folder() {
    let user = User::new();
    fs::create_dir(user.folder().join("secret")).expect("mkdir");
    fs::write(user.folder().join("secret/key"), "k").expect("writes");
    fs::write(user.folder().join("open"), "o").expect("writes");
    let files = plugin("files");
    let read = |path: &str| {
        let input = format!("{{\"path\":\"{path}\"}}");
        user.run(&[
            "run",
            &files,
            "-t",
            "read_file",
            "-i",
            &input,
            "--allow-read",
            ".:/w",
            "--deny-path",
            "secret",
        ])
    };
    assert_eq!(read("/w/open").expect(0).stdout, "o\n");
    read("/w/secret/key").complains(3, &["--deny-path"]);
}

#[test]
fn any_component_is_a_catalogue_of_tools() {
    let user = User::new();
    let text_case = plugin("text-case");
    let upper = ["run", &text_case, "--tool", "demo:text/case.upper", "--arg", "text=hello"];
    assert_eq!(user.run(&upper).expect(0).stdout, "HELLO\n");
    let listed = user.run(&["run", &text_case]).expect(0).stdout;
    assert!(listed.contains("demo:text/case.upper") && listed.contains("text: string"), "{listed}");
}

#[test]
fn a_command_has_its_arguments_streams_and_exit_code() {
    let user = User::new();
    let wordcount = plugin("wordcount");
    let counted = user.run_with_input(&["run", &wordcount], b"one two\nthree\n").expect(0);
    assert!(counted.stdout.contains('2') && counted.stdout.contains('3'), "{}", counted.stdout);
    fs::write(user.folder().join("text"), "a b c\n").expect("writes");
    let granted = user.run(&["run", &wordcount, "--allow-read", ".:/", "--", "/text"]).expect(0);
    assert!(granted.stdout.contains("/text"), "{}", granted.stdout);
    user.run(&["run", &wordcount, "--", "/text"]).complains(1, &["denied: read /text"]);
    user.run(&["run", "no-such-command", "--", "x"]).complains(127, &["no plugin"]);
}

#[test]
fn inspect_says_what_a_plugin_is_and_what_it_would_need() {
    let user = User::new();
    let text = user.run(&["inspect", &plugin("http")]).expect(0).stdout;
    for word in ["tool plugin", "wasi:http/outgoing-handler", "--allow-net", "Rust", "fetch"] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    let all = json(&user.run(&["inspect", &plugin("calculator"), "-o", "json"]).expect(0).stdout);
    assert_eq!(all["kind"], "tool plugin");
    assert_eq!(all["tools"][0]["input_schema"]["type"], "object");
}

#[test]
fn what_is_no_plugin_is_one_sentence() {
    let user = User::new();
    let calculator = fs::read(plugin("calculator")).expect("reads");
    let write = |name: &str, bytes: &[u8]| fs::write(user.folder().join(name), bytes).expect("ok");
    write("empty.wasm", b"");
    write("text.wasm", b"hello");
    write("cut.wasm", &calculator[..calculator.len() / 2]);
    write("header.wasm", &calculator[..6]);
    write("version.wasm", b"\0asm\x63\0\0\0");
    write("nothing.wat", b"(component)");
    write("nosy.wat", b"(component (import \"acme:db/store\" (instance (export \"f\" (func)))))");
    write(
        "agent.wat",
        b"(component (import \"aos:agent/model@0.1.0\" \
        (instance (export \"f\" (func)))))",
    );
    write("core.wat", b"(module)");
    write("broken.wat", b"(component (nonsense))");
    fs::create_dir(user.folder().join("folder.wasm")).expect("mkdir");
    for (name, words) in [
        ("empty.wasm", &["0 bytes"][..]),
        ("text.wasm", &["not WebAssembly"]),
        ("cut.wasm", &["cut.wasm: "]),
        ("header.wasm", &["cut off"]),
        ("version.wasm", &["version"]),
        ("nothing.wat", &["exports no function"]),
        ("nosy.wat", &["`acme:db/store`", "compose"]),
        ("agent.wat", &["`aos:agent/model@0.1.0`", "an agent's host"]),
        ("core.wat", &["without `_start`"]),
        ("broken.wat", &["broken.wat: "]),
        ("folder.wasm", &["it is a folder"]),
        ("missing.wasm", &["no such file"]),
        ("calculatr", &["did you mean `calculator`?"]),
    ] {
        let ran = user.run(&["run", name]).complains(5, words);
        assert_eq!(ran.stderr.lines().count(), 1, "{name}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{name}");
    }
}

#[test]
fn bad_arguments_are_one_sentence_and_code_2() {
    let user = User::new();
    let calculator = plugin("calculator");
    let files = plugin("files");
    for (arguments, words) in [
        (&["run", &calculator, "-i", "{"][..], &["--input is not JSON"][..]),
        (&["run", &calculator, "-i", "[]"], &["must be a JSON object"]),
        (&["run", &calculator, "-i", "@none"], &["--input @none"]),
        (&["run", &calculator, "-i", "{}"], &["expression", "missing"]),
        (&["run", &calculator, "-i", r#"{"expression":5}"#], &["$.expression", "string"]),
        (&["run", &calculator, "-i", r#"{"expresion":"1"}"#], &["expres"]),
        (&["run", &calculator, "-a", "expression"], &["key=value"]),
        (&["run", &files, "-t", "raed_file"], &["did you mean `read_file`?"]),
        (&["run", &calculator, "--allow-read", "../up"], &["../up:/data"]),
        (&["run", &calculator, "--allow-read", "/no/such/folder"], &["/no/such/folder"]),
        (&["run", &calculator, "--allow-net", "example.org"], &["https://"]),
        (&["run", &calculator, "--allow", "root:/"], &["`root`", "keyvalue"]),
        (&["run", &calculator, "--set-config", "x"], &["KEY=VALUE"]),
        (&["run", &calculator, "--max-memory", "lots"], &["no size"]),
        (&["run", &calculator, "--timeout", "30"], &["no time"]),
        (&["run", &calculator, "--alow-read", "."], &["--allow-read"]),
        (&["run", &calculator, "--store", "mysql:x"], &["sqlite:"]),
        (&["audit", "show", "abc", "--store", "sqlite:none.db"], &["no journal at none.db"]),
        (&["inspct"], &["inspect"]),
    ] {
        user.run(arguments).complains(2, words);
    }
    // After `--` a command was meant, and the codes are those of commands.
    user.run(&["run", &calculator, "--", "x"]).complains(126, &["no command"]);
}

#[test]
fn an_unwritable_state_folder_is_told_and_memory_works() {
    let user = User::new();
    fs::write(user.folder().join("file"), "").expect("writes");
    let calculator = plugin("calculator");
    let call = ["run", &calculator, "-i", SUM, "--store", "sqlite:file/journal.db"];
    let ran = user.run(&call).complains(6, &["--store memory:"]);
    assert_eq!(ran.stdout, "");
    let call = ["run", &calculator, "-i", SUM, "--store", "memory:"];
    assert_eq!(user.run(&call).expect(0).stdout, "80\n");
}

#[test]
fn a_limit_is_named_with_its_value_and_its_flag() {
    let user = User::new();
    let ran = user.run(&["run", &plugin("calculator"), "-i", SUM, "--max-memory", "64KiB"]);
    ran.complains(4, &["limit memory of 65536 bytes", "--max-memory"]);
}

#[test]
fn an_answer_into_a_closed_pipe_ends_quietly() {
    let user = User::new();
    let mut command = user.command();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let files = plugin("files");
    let output = command.args(["run", &files]).stdout(writer).output().expect("runs");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_journal_is_listed_verified_and_exported() {
    let user = User::new();
    for _ in 0..3 {
        user.run(&["run", "calculator", "-i", SUM]).expect(0);
    }
    let runs = json(&user.run(&["audit", "list", "-o", "json"]).expect(0).stdout);
    assert_eq!(runs.as_array().map(Vec::len), Some(3));
    assert_eq!(runs[0]["state"], "ok");
    let head = user.run(&["audit", "head"]).expect(0).stdout;
    fs::write(user.folder().join("head"), head).expect("writes");
    let verified = user.run(&["audit", "verify", "--head", "head"]).expect(0);
    assert!(verified.stdout.starts_with("ok: 12 rows in 3 chains"), "{}", verified.stdout);
    let exported = user.run(&["audit", "export"]).expect(0).stdout;
    fs::write(user.folder().join("export"), &exported).expect("writes");
    user.run(&["audit", "verify", "--export", "export"]).expect(0);
    let forged = exported.replacen("calculator", "calculat0r", 1);
    fs::write(user.folder().join("export"), forged).expect("writes");
    user.run(&["audit", "verify", "--export", "export"]).complains(6, &["was changed"]);
}

#[test]
fn twenty_runs_at_once_share_one_journal() {
    let user = User::new();
    let children: Vec<_> = (0..20)
        .map(|_| {
            let mut command = user.command();
            command.args(["run", "calculator", "-i", SUM]).stdout(std::process::Stdio::piped());
            command.spawn().expect("starts")
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "80\n");
    }
    let verified = user.run(&["audit", "verify"]).expect(0);
    assert!(verified.stdout.starts_with("ok: 80 rows in 20 chains"), "{}", verified.stdout);
}

#[test]
fn help_lists_the_exit_codes_and_shells_get_completions() {
    let user = User::new();
    let help = user.run(&["--help"]).expect(0).stdout;
    assert!(help.contains("Exit codes:") && help.contains("limit reached"), "{help}");
    assert!(user.run(&["completions", "bash"]).expect(0).stdout.contains("aos-host"));
    assert!(user.run(&["man"]).expect(0).stdout.contains(".TH"));
}

#[test]
fn a_new_tool_is_a_project_with_all_it_needs() {
    let user = User::new();
    let made = user.run(&["new", "my-tool", "--kind", "tool"]).expect(0);
    assert!(made.stdout.contains("cargo test"), "{}", made.stdout);
    let folder = user.folder().join("my-tool");
    for file in ["Cargo.toml", "plugin.toml", "src/lib.rs", "vendor/aos-sdk/Cargo.toml"] {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(!text.contains("{{"), "{file} has a placeholder left");
    }
    user.run(&["new", "my-tool"]).complains(2, &["there already"]);
    user.run(&["new", "My Tool"]).complains(2, &["no plugin name"]);
}

#[test]
fn the_configuration_is_read_and_a_mistake_in_it_is_told() {
    let user = User::new();
    let path = user.folder().join("own.toml");
    fs::write(&path, "[limits]\nmemory = \"64KiB\"\n").expect("writes");
    let call = ["run", "calculator", "-i", SUM, "--store", "memory:", "--config", "own.toml"];
    user.run(&call).complains(4, &["limit memory"]);
    fs::write(&path, "[limit]\n").expect("writes");
    user.run(&call).complains(2, &["own.toml", "line 1", "limit"]);
}

#[test]
fn the_readme_names_what_is_there() {
    let readme = fs::read_to_string(top().join("README.md")).expect("a README");
    let first = "run plugins/dist/calculator.wasm --input '{\"expression\":\"(2+3)*4^2\"}'";
    assert!(readme.contains(first));
    assert!(readme.contains("bash tests/run.sh"));
}
