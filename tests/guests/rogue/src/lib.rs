//! An agent that misbehaves: its task is `WHAT ARGUMENTS…`. Each misbehaviour is a few lines that
//! call the imports directly, so that no library softens what reaches the host.
//!
//! It returns what it was given, one line a step; which lines are right is for the host's tests to
//! say. The misbehaviours that end only when the host ends them are marked `!`.
//!
//! | task | does |
//! |---|---|
//! | `echo TEXT`, `fail TEXT` | returns the text, as result or as error |
//! | `result BYTES` | returns so much |
//! | `trap`, `abort` | panics, or traps without a word |
//! | `spin` ! | computes for ever |
//! | `chatter` ! | asks cheap things of the host for ever, and never the model |
//! | `allocate BYTES`, `allocate-all` | takes memory, or all there is |
//! | `stderr BYTES`, `progress COUNT` | writes much, reports often |
//! | `clock COUNT`, `random COUNT` | reads them in a loop, says how often two reads were equal |
//! | `clock-forever` !, `random-forever` ! | the same without end |
//! | `doze MS` | sleeps through WASI |
//! | `ambient` | looks for files, variables, arguments, standard input |
//! | `count N` | N turns of the model, each a page more; returns what it said |
//! | `step-offering TOOL` | offers the model a tool |
//! | `complete BYTES` | sends the model so much, apart from the context |
//! | `embed COUNT BYTES` | so many texts of so many bytes into vectors, says how many there are |
//! | `append BYTES COUNT` | appends pages until one is refused |
//! | `result-without-call`, `system-late`, `free-twice` | breaks the context's rules |
//! | `call TOOL JSON`, `call-all COUNT TOOL JSON` | calls tools, many at once |
//! | `self` | says its number |
//! | `spawn-forever` | starts sleepers until one is refused |
//! | `spawn-deep` | each starts one below it, until one is refused |
//! | `spawn-program NAME`, `spawn-grants GRANT…`, `spawn-tools TOOL…` | starts one echo so, waits |
//! | `spawn-priority N`, `spawn-tokens N` | the same; the latter counts to 3 with the model |
//! | `orphan` | starts a sleeper and returns |
//! | `flood PID COUNT`, `flood-self COUNT` | sends until one is refused |
//! | `shout PID COUNT` | sends regardless |
//! | `mail COUNT` | returns so many messages that it got |
//! | `wait PID…`, `wait-self`, `wait-nothing` ! | waits for these |
//! | `sleep` !, `sleep MS` | waits for messages, or for time |
//! | `wait-ring` | waits for a child that waits for it |
//! | `mail-ring` ! | waits for the message of a child that waits for its message |
//! | `kill PID`, `kill-self`, `kill-parent` | ends what is not its own; the last by a child |
//! | `checkpoint LABEL BYTES` | a checkpoint with so much state |

mod memory;
mod mind;
mod processes;
mod resources;

#[allow(clippy::all, clippy::pedantic, reason = "generated from the WIT")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "aos:agent/agent",
        generate_all,
    });
}

use bindings::exports::aos::agent::program::Guest;

struct Rogue;

impl Guest for Rogue {
    fn run(task: String) -> Result<String, String> {
        let words: Vec<&str> = task.split_whitespace().collect();
        let [what, ref arguments @ ..] = words[..] else {
            return Err("there is no misbehaviour in the task".to_owned());
        };
        let rest = task.trim_start().strip_prefix(what).map(str::trim_start).unwrap_or_default();
        match what {
            "echo" => Ok(rest.to_owned()),
            "fail" => Err(rest.to_owned()),
            _ => resources::run(what, arguments)
                .or_else(|| mind::run(what, arguments, rest))
                .or_else(|| memory::run(what, arguments))
                .or_else(|| processes::run(what, arguments))
                .unwrap_or_else(|| Err(format!("no such misbehaviour: {task}"))),
        }
    }
}

/// What a misbehaviour returns; none where the module knows none of this name.
type Outcome = Option<Result<String, String>>;

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn size(text: &str) -> usize {
    text.parse().expect("a number")
}

bindings::export!(Rogue with_types_in bindings);
