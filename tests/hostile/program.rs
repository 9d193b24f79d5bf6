//! What could end or wedge the whole process, tried on the real program: it must end by itself,
//! soon, with a code of its own and a sentence.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::house::guest_path;
use super::liar::{Liar, Lie, honest, taking};
use crate::support::{Ran, User};

/// Longer than any of these takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn guest(name: &str) -> String {
    guest_path(name).display().to_string()
}

/// Waits, and kills what does not end.
#[track_caller]
fn wait(child: &mut Child) -> i32 {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("waits") {
            return status.code().unwrap_or(-1);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    panic!("it did not end by itself within {PATIENCE:?}");
}

/// Runs a liar's tool with `{}`, for at most [`PATIENCE`].
#[track_caller]
fn run_liar(liar: &Liar, more: &[&str]) -> Ran {
    let user = User::new();
    let path = user.folder().join("liar.wasm");
    std::fs::write(&path, liar.component()).expect("writes");
    let mut command = user.command();
    command.args(["run", "liar.wasm", "--tool", "tool", "--input", "{}"]).args(more);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let code = wait(&mut child);
    let mut ran = Ran { code, stdout: String::new(), stderr: String::new() };
    child.stdout.take().expect("piped").read_to_string(&mut ran.stdout).expect("reads");
    child.stderr.take().expect("piped").read_to_string(&mut ran.stderr).expect("reads");
    ran
}

/// `$defs` in which each schema means the next one twice: 2³⁰ steps for one value.
fn doubling() -> String {
    let mut schema = String::from(r##"{"type":"object","$ref":"#/$defs/d0","$defs":{"d30":true"##);
    for number in 0..30 {
        let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, number + 1);
        schema.push_str(&format!(r#","d{number}":{{"allOf":[{next},{next}]}}"#));
    }
    schema.push_str("}}");
    schema
}

/// `$defs` in which each schema means the next one, for a long time.
fn chain(length: usize) -> String {
    let mut schema =
        format!(r##"{{"type":"object","$ref":"#/$defs/d0","$defs":{{"d{length}":true"##);
    for number in 0..length {
        schema.push_str(&format!(r##","d{number}":{{"$ref":"#/$defs/d{}"}}"##, number + 1));
    }
    schema.push_str("}}");
    schema
}

#[test]
fn a_schema_that_doubles_at_each_step_does_not_wedge_the_host() {
    run_liar(&Liar::telling(&[taking(&doubling())]), &[]).complains(5, &["schema"]);
}

#[test]
fn an_output_schema_that_doubles_at_each_step_does_not_wedge_the_host() {
    let tool = Lie { output: Some(doubling()), ..honest("tool") };
    let liar = Liar { tools: vec![tool], ..Liar::answering("{}") };
    run_liar(&liar, &[]).complains(5, &["schema"]);
}

#[test]
fn a_long_chain_of_references_does_not_overflow_the_hosts_stack() {
    run_liar(&Liar::telling(&[taking(&chain(25_000))]), &[]).complains(5, &["schema"]);
}

#[test]
fn a_schema_that_means_itself_does_not_overflow_the_hosts_stack() {
    let schema = r##"{"type":"object","allOf":[{"$ref":"#"}]}"##;
    let ran = run_liar(&Liar::telling(&[taking(schema)]), &[]);
    assert!([0, 5].contains(&ran.code), "{ran:?}");
    let schema = r##"{"type":"object","$ref":"#/$defs/a",
        "$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"allOf":[{"$ref":"#/$defs/a"}]}}}"##;
    let ran = run_liar(&Liar::telling(&[taking(schema)]), &[]);
    assert!([0, 5].contains(&ran.code), "{ran:?}");
}

#[test]
fn thousands_of_patterns_do_not_fill_the_hosts_memory() {
    let pattern = |number: usize| format!(r#""p{number}":{{"pattern":"[0-9]{{{}}}"}}"#, number);
    let patterns: Vec<_> = (0..20_000).map(|n| pattern(n % 900 + 100)).collect();
    let schema = format!(
        r#"{{"type":"object","properties":{{"a":{{"anyOf":[{}]}}}}}}"#,
        patterns
            .iter()
            .map(|p| format!("{{\"properties\":{{{p}}}}}"))
            .collect::<Vec<_>>()
            .join(",")
    );
    run_liar(&Liar::telling(&[taking(&schema)]), &[]).complains(5, &["schema"]);
}

#[test]
fn deep_arguments_are_refused() {
    let user = User::new();
    std::fs::write(user.folder().join("bomb.json"), "[".repeat(1_000_000)).expect("writes");
    user.run(&["run", "calculator", "--input", "@bomb.json"])
        .complains(2, &["bomb.json is not JSON", "recursion limit"]);
}

#[test]
fn wide_arguments_are_refused_in_one_line() {
    let user = User::new();
    let keys: Vec<_> = (0..200_000).map(|number| format!("\"k{number}\":0")).collect();
    let bomb = format!("{{{}}}", keys.join(","));
    std::fs::write(user.folder().join("bomb.json"), bomb).expect("writes");
    let ran = user
        .run(&["run", "calculator", "--input", "@bomb.json"])
        .complains(2, &["invalid arguments"]);
    assert!(ran.stderr.len() < 1_000, "{} bytes", ran.stderr.len());
}

#[test]
fn a_guest_that_waits_for_stdin_ends_by_its_time() {
    let user = User::new();
    let guest = guest("dist/misbehave.wasm");
    let mut command = user.command();
    command.args(["run", &guest, "--timeout", "500ms", "--", "stdin"]).stdin(Stdio::piped());
    // Held open, and nothing is ever written.
    let mut child = command.stderr(Stdio::null()).spawn().expect("starts");
    let stdin = child.stdin.take();
    assert_eq!(wait(&mut child), 124);
    drop(stdin);
}

#[test]
fn a_guest_whose_output_nobody_reads_ends_by_its_time() {
    // Of WASI 0.1, and of 0.3.
    for arguments in [["stdout.wat", ""], ["dist/overlap.wasm", "print-for-ever"]] {
        let user = User::new();
        let mut command = user.command();
        let [program, what] = arguments;
        command.args(["run", &guest(program), "--timeout", "500ms", "--", what]);
        // A pipe that is full and stays full.
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("starts");
        let stdout = child.stdout.take();
        assert_eq!(wait(&mut child), 124, "{program}");
        drop(stdout);
    }
}

/// No byte in it that a terminal would obey.
#[track_caller]
fn harmless(text: &str) {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!text.contains(obeyed), "{text:?}");
}

#[test]
fn escape_codes_in_a_catalogue_do_not_reach_the_terminal() {
    let schema = "{\"type\":\"object\",\"properties\":{\"\\u001b[2J\u{9b}a\":\
        {\"description\":\"\\u001b]0;owned\\u0007\",\"enum\":[\"\u{9b}31m\"]}}}";
    let user = User::new();
    let path = user.folder().join("liar.wasm");
    std::fs::write(&path, Liar::telling(&[taking(schema)]).component()).expect("writes");
    let listed = user.run(&["run", "liar.wasm"]).expect(0);
    assert!(listed.stdout.contains("owned"), "{}", listed.stdout);
    harmless(&listed.stdout);
}

#[test]
fn escape_codes_in_what_is_wrong_with_a_plugin_do_not_reach_the_terminal() {
    let user = User::new();
    let says = |name: &str, bytes: &[u8]| {
        std::fs::write(user.folder().join(name), bytes).expect("writes");
        let ran = user.run(&["run", name]).expect(5);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        harmless(&ran.stderr);
    };
    let module = r#"(module (import "\1b]0;owned\07" "\1b[2J" (func))
        (memory (export "memory") 1) (func (export "_start")))"#;
    says("module.wat", module.as_bytes());
    let text = "(component (\u{1b}[2J\u{9b}31m))";
    says("text.wat", text.as_bytes());
    let schema = "{\"type\":\"object\",\"properties\":\"\u{9b}31m\"}";
    says("liar.wasm", &Liar::telling(&[taking(schema)]).component());
}

#[test]
fn each_ending_has_its_exit_code_and_names_its_flag() {
    let user = User::new();
    let ends = |file: &str, flags: &[&str], code: i32, words: &[&str]| {
        let path = guest(file);
        let mut arguments = vec!["run", path.as_str()];
        arguments.extend(flags);
        arguments.push("--");
        user.run(&arguments).complains(code, words);
    };
    ends("loop.wat", &["--timeout", "300ms"], 124, &["limit time of 300 ms", "--timeout"]);
    ends("loop.wat", &["--max-cpu", "300ms"], 124, &["limit cpu of 300 ms", "--max-cpu"]);
    ends("memory-one.wat", &["--max-memory", "8MiB"], 124, &["limit memory of 8388608 bytes"]);
    ends("recursion.wat", &[], 124, &["limit stack of 524288 bytes"]);
    ends("stdout.wat", &["--max-stdio", "64KiB"], 124, &["limit stdio of 65536 bytes"]);
}

/// Instructions that answer `denied`, `rejected` or `limit-exceeded` (its number in the contract's
/// variant), with made-up words.
fn forged(case: i32) -> String {
    // `read` and `/etc`, which every string in the answer is.
    let texts = "(i32.store (i32.const 1024) (i32.const 0x64616572)) \
                 (i32.store (i32.const 1032) (i32.const 0x6374652f))";
    let word = |at: i32, value: i32| format!("(i32.store (i32.const {at}) (i32.const {value}))");
    let string = |at: i32, text: i32| format!("{} {}", word(at, text), word(at + 4, 4));
    let fields = match case {
        // A denial: capability, target, who lacks it, remedy.
        2 => [string(32_784, 1024), string(32_792, 1032), word(32_800, 1), string(32_804, 1032)],
        // A limit: name, value, unit and no waiting time, remedy.
        4 => [string(32_784, 1024), word(32_792, 5), string(32_800, 1032), string(32_824, 1032)],
        _ => [string(32_784, 1032), String::new(), String::new(), String::new()],
    };
    let begin = format!("{} {}", word(32_768, 1), word(32_776, case));
    format!("{texts} {begin} {} (i32.const 32768)", fields.join(" "))
}

#[test]
fn a_denial_or_limit_that_only_the_plugin_speaks_of_is_its_own_word() {
    for (case, words) in [
        (2, "error: the plugin says: denied: read /etc"),
        (3, "error: the plugin says: rejected: /etc"),
        (4, "error: the plugin says: limit read of 5 /etc reached"),
    ] {
        let liar = Liar::doing(&forged(case));
        let ran = run_liar(&liar, &[]).complains(1, &[words]);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        let ran = run_liar(&liar, &["--output", "json"]).expect(1);
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(answer["error"]["kind"], "tool", "{answer}");
        assert_eq!(answer["denials"], serde_json::json!([]));
        assert!(answer["error"]["denial"].is_null() && answer["error"]["limit"].is_null());
    }
}

#[test]
fn a_limit_that_was_really_met_is_told_in_the_hosts_words() {
    let call = format!("(drop (memory.grow (i32.const 30000))) {}", forged(4));
    let ran = run_liar(&Liar::doing(&call), &["--max-memory", "16MiB"]);
    let ran = ran.complains(4, &["limit memory of 16777216 bytes reached", "--max-memory"]);
    assert!(!ran.stderr.contains("/etc"), "{}", ran.stderr);
}
