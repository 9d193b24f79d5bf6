//! Agents as a user runs them.

use crate::support::{User, plugin, top};

fn assistant(user: &User, more: &[&str]) -> crate::support::Ran {
    let program = plugin("assistant");
    let mut arguments = vec!["run", &program, "--store", "memory:"];
    arguments.extend(more);
    user.run(&arguments)
}

#[test]
fn the_demo_answers_with_the_sum_that_the_tools_found() {
    let user = User::new();
    let demo = top().join("plugins/assistant");
    let data = format!("{}:/w", demo.join("demo").display());
    let model = format!("script:{}", demo.join("demo.toml").display());
    let (files, calculator) = (plugin("files"), plugin("calculator"));
    let tools = format!("{files},{calculator}");
    let task = "Sum the amounts in /w/bills.json";
    let flags = ["--task", task, "--plugin", &tools, "--allow-read", &data, "--model", &model];
    let ran = assistant(&user, &flags).expect(0);
    assert!(ran.stdout.contains("256.6"), "{ran:?}");
    // Without the grant the tool is denied, and the model's script finds no amount.
    let ran = assistant(&user, &flags.map(|flag| if flag == data { "./nowhere:/x" } else { flag }));
    assert_ne!(ran.code, 0, "{ran:?}");
}

#[test]
fn an_agent_without_a_task_or_a_model_is_told_what_would_do() {
    let user = User::new();
    assistant(&user, &[]).complains(2, &["--task"]);
    assistant(&user, &["--task", "x"]).complains(2, &["ANTHROPIC_API_KEY", "OPENAI_API_KEY"]);
    assistant(&user, &["--task", "x", "--model", "nobody/nothing"]).complains(2, &["nobody"]);
    assistant(&user, &["--task", "x", "--model", "script:/none.toml"])
        .complains(2, &["/none.toml"]);
    assistant(&user, &["--tool", "x"]).complains(2, &["is an agent"]);
    let calculator = plugin("calculator");
    user.run(&["run", &calculator, "--task", "x"]).complains(2, &["is no agent"]);
}

#[test]
fn a_budget_that_is_spent_pauses_and_says_which() {
    let user = User::new();
    std::fs::write(user.folder().join("s.toml"), "[[turn]]\nsay = \"done\"\n").expect("writes");
    let flags =
        ["--task", "x", "--model", "script:s.toml", "--max-tokens", "10", "--patience", "1s"];
    let flags = [&flags[..], &["-o", "json"]].concat();
    let ran = assistant(&user, &flags).expect(7);
    assert!(ran.stdout.contains("tokens"), "{ran:?}");
}
