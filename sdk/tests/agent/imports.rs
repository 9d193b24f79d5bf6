//! What an agent asks of its host, one import at a time.

use super::*;

/// Runs a closure as an agent; what it says is of no interest.
fn during(kernel: Kernel, act: impl Fn() + Send + Sync + 'static) -> aos_sdk::testing::Outcome {
    let outcome = kernel.run(
        move |_| {
            act();
            Ok(String::new())
        },
        "Go",
    );
    assert_eq!(outcome.ending, Ending::Returned(String::new()));
    outcome
}

#[test]
fn pages_are_appended_read_recalled_pinned_and_freed() {
    during(Kernel::new().window_tokens(100), || {
        let note = Draft::new(PageKind::Note).text("The user is Ada.").label("user");
        let note = note.importance(0.9).append().expect("a page");
        let other = context::append(PageKind::Note, "Paris is a city.").expect("a page");
        assert_eq!(context::read(note).expect("parts"), [Part::text("The user is Ada.")]);
        let found = context::recall("who is ada", 10).expect("pages");
        assert_eq!(found[0].page.id, note);
        assert_eq!(found[0].page.label.as_deref(), Some("user"));
        context::pin(note).expect("pins");
        assert!(context::pages()[0].pinned);
        context::unpin(note).expect("unpins");
        context::free(other).expect("frees");
        assert_eq!(context::read(other), Err(context::Error::NoSuchPage(other)));
        assert_eq!((context::usage().pages, context::usage().budget_tokens), (1, 100));
        let large = context::append(PageKind::Note, "x".repeat(500));
        assert!(matches!(large, Err(context::Error::TooLarge(_))), "{large:?}");
    });
}

#[test]
fn pages_out_of_order_are_refused() {
    during(kernel(Script::new().turn(Turn::say("hello"))), || {
        let result = aos_sdk::agent::ToolResult {
            call_id: "nobody's".to_owned(),
            outcome: Ok(Output::text("x")),
        };
        let page = Draft::new(PageKind::ToolResult).part(Part::ToolResult(result)).append();
        assert!(matches!(page, Err(context::Error::OutOfOrder(_))), "{page:?}");
        context::append(PageKind::User, "Hello").expect("a page");
        let reply = model::step(&Options::new()).expect("a reply");
        assert_eq!((reply.text().as_str(), reply.pages.len()), ("hello", 1));
        let page = context::append(PageKind::System, "late");
        assert!(matches!(page, Err(context::Error::OutOfOrder(_))), "{page:?}");
    });
}

#[test]
fn a_completion_leaves_the_context_alone() {
    let outcome = during(kernel(Script::new().turn(Turn::say("yes"))), || {
        let messages =
            [Message::text(Role::System, "Say yes."), Message::text(Role::User, "Well?")];
        let options = Options::new()
            .model("test/x")
            .max_output_tokens(9)
            .tools(Vec::<String>::new())
            .tool_choice(ToolChoice::None);
        let reply = model::complete(&messages, &options).expect("a reply");
        assert_eq!(reply.text(), "yes");
        assert!(reply.pages.is_empty() && context::pages().is_empty());
        let embedded = model::embed(&["ab", "ba", "c"]).expect("vectors");
        assert_eq!(embedded.vectors[0], embedded.vectors[1]);
        assert_ne!(embedded.vectors[0], embedded.vectors[2]);
    });
    assert_eq!(outcome.prompts[0].options.max_output_tokens, Some(9));
    assert_eq!(outcome.prompts[0].tools, Vec::<String>::new());
}

#[test]
fn tools_are_called_by_name_with_typed_arguments() {
    let kernel = Kernel::new().plugin("math", tools::plugin(), aos_sdk::testing::Host::new());
    let outcome = during(kernel, || {
        assert_eq!(toolbox::definitions()[0].name, "math__double");
        let output = toolbox::call("math__double", &json!({ "number": 4 })).expect("an output");
        assert_eq!(output.to_text(), "8");
        let error = toolbox::call("math__half", &json!({})).expect_err("no such tool");
        assert_eq!(error, ToolError::UnknownTool("math__half".to_owned()));
    });
    assert_eq!(outcome.calls[0].arguments, json!({ "number": 4 }));
}

#[test]
fn an_agent_has_no_files_and_its_logs_are_kept() {
    let outcome = during(Kernel::new(), || {
        assert!(fs::read("/etc/passwd").is_err());
        log!("pid {}", process::self_pid());
        call::progress(1.0, None, "one");
        assert_eq!(call::id(), "agent-1");
    });
    assert_eq!(outcome.logged, ["pid 1"]);
    assert_eq!(outcome.progress[0].message, "one");
}

#[test]
fn children_run_end_and_are_joined_in_the_order_asked() {
    let kernel = Kernel::new()
        .program("echo", |task| Ok(task.to_uppercase()))
        .program("fail", |_| Err("no".to_owned()))
        .program("trap", |_| panic!("broken"))
        .child_ends("Slow", Duration::from_secs(9), Ending::LimitExceeded("tokens".to_owned()));
    let outcome = during(kernel, || {
        let spawn = |name: &str, program: &str| {
            Spawn::new(name, name).program(program).priority(60).start().expect("a child")
        };
        let children =
            [spawn("Slow", "any"), spawn("a", "echo"), spawn("b", "fail"), spawn("c", "trap")];
        let exits = process::join_all(&children).expect("exits");
        let endings: Vec<_> = exits.into_iter().map(|exit| exit.ending.result()).collect();
        let expected = [
            Err("it reached a limit: tokens".to_owned()),
            Ok("A".to_owned()),
            Err("it failed: no".to_owned()),
            Err("it broke: broken".to_owned()),
        ];
        assert_eq!(endings, expected);
        let again = Wait::new().child(children[1]).next();
        assert!(matches!(again, Err(process::Error::NoSuchProcess(_))), "{again:?}");
    });
    assert_eq!(outcome.elapsed, Duration::from_secs(9));
    assert_eq!(outcome.process("a").priority, 60);
}

#[test]
fn messages_go_both_ways_and_in_order() {
    fn child(_: String) -> Result<String, String> {
        let wait = || Wait::new().messages().next().expect("waits");
        let Some(Event::Message(first)) = wait() else { return Err("no message".to_owned()) };
        process::send(first.sender, format!("got {}", first.body)).expect("sends");
        let Some(Event::Message(second)) = wait() else { return Err("no message".to_owned()) };
        Ok(second.body)
    }
    during(Kernel::new().program("child", child).mailbox_max(2), || {
        let child = Spawn::new("c", "").program("child").start().expect("a child");
        process::send(child, "one").expect("sends");
        process::send(child, "two").expect("sends");
        assert_eq!(process::send(child, "three"), Err(process::Error::MailboxFull(2)));
        let came = Wait::new().child(child).messages().next().expect("waits");
        let message = process::Message { sender: child, body: "got one".to_owned() };
        assert_eq!(came, Some(Event::Message(message)));
        assert_eq!(process::join(child).expect("an exit").ending.result(), Ok("two".to_owned()));
        let gone = process::send(child, "four");
        assert!(matches!(gone, Err(process::Error::NoSuchProcess(_))), "{gone:?}");
    });
}

#[test]
fn a_wait_ends_with_its_time_or_with_a_message_from_outside() {
    let kernel = Kernel::new().message_after(Duration::from_secs(90), "hurry");
    let outcome = during(kernel, || {
        let wait = || Wait::new().messages().timeout(Duration::from_secs(60)).next();
        assert_eq!(wait(), Ok(None));
        let hurry = process::Message { sender: Pid(0), body: "hurry".to_owned() };
        assert_eq!(wait(), Ok(Some(Event::Message(hurry))));
    });
    assert_eq!(outcome.elapsed, Duration::from_secs(90));
}

#[test]
fn killing_a_child_ends_all_below_it() {
    fn family(task: String) -> Result<String, String> {
        if task == "leaf" {
            Wait::new().messages().next().map_err(|error| error.to_string())?;
        }
        let child = Spawn::new("leaf", "leaf").program("family").start().expect("a child");
        process::join(child).expect("an exit").ending.result()
    }
    let outcome = during(Kernel::new().program("family", family), || {
        let child = Spawn::new("child", "child").program("family").start().expect("a child");
        assert_eq!(Wait::new().timeout(Duration::from_secs(1)).next(), Ok(None));
        assert!(process::kill(process::self_pid()).is_err(), "it is no child of its own");
        process::kill(child).expect("kills");
        let ending = process::join(child).expect("an exit").ending;
        assert!(matches!(ending, Ending::Killed(_)), "{ending:?}");
    });
    assert!(matches!(outcome.process("leaf").ending, Ending::Killed(_)));
}

#[test]
fn a_child_never_holds_what_its_parent_lacks() {
    let kernel = kernel(Script::new()).grants(["read:/w"]).program("p", |_| {
        let held = toolbox::definitions().into_iter().map(|definition| definition.name);
        Ok(held.collect::<Vec<_>>().join(" "))
    });
    during(kernel, || {
        let spawn = || Spawn::new("c", "").program("p");
        let denied = |spawn: Spawn| matches!(spawn.start(), Err(process::Error::Denied(_)));
        assert!(denied(spawn().tools(["files__write_file"])));
        assert!(denied(spawn().grants(["write:/w"])));
        assert!(denied(spawn().priority(10)), "more urgent than its parent");
        let unknown = Spawn::new("c", "").program("q").start();
        assert_eq!(unknown, Err(process::Error::NoSuchProgram("q".to_owned())));
        let held =
            |spawn: Spawn| process::join(spawn.start().expect("a child")).expect("an exit").ending;
        assert_eq!(held(spawn().grants(["read:/w"])), Ending::Returned("weather__today".into()));
        assert_eq!(held(spawn().tools(Vec::<String>::new())), Ending::Returned(String::new()));
    });
}

#[test]
fn spawning_without_end_meets_a_limit() {
    fn waits(_: String) -> Result<String, String> {
        Wait::new().messages().next().map_err(|error| error.to_string())?;
        Ok(String::new())
    }
    during(Kernel::new().program("waits", waits).children_max(3), || {
        let spawn = || Spawn::new("c", "").program("waits").start();
        for _ in 0..3 {
            spawn().expect("a child");
        }
        assert!(matches!(spawn(), Err(process::Error::LimitExceeded(limit)) if limit.value == 3));
    });
}

#[test]
fn who_waits_for_what_cannot_come_is_ended() {
    let outcome = Kernel::new().run(
        |_| {
            let own = Wait::new().child(process::self_pid()).next();
            assert!(matches!(own, Err(process::Error::NoSuchProcess(_))), "{own:?}");
            Wait::new().messages().next().map_err(|error| error.to_string())?;
            Ok(String::new())
        },
        "Go",
    );
    assert!(matches!(outcome.ending, Ending::Killed(_)), "{:?}", outcome.ending);
}

#[test]
fn the_more_urgent_of_two_children_goes_first() {
    let kernel = Kernel::new().program("say", |task| {
        log!("{task}");
        Ok(task)
    });
    let outcome = during(kernel, || {
        let spawn = |name: &str, priority| {
            Spawn::new(name, name).program("say").priority(priority).start().expect("a child")
        };
        let children = [spawn("later", 90), spawn("sooner", 60)];
        process::join_all(&children).expect("exits");
    });
    assert_eq!(outcome.logged, ["sooner", "later"]);
}

#[test]
fn checkpoints_are_kept_with_their_state() {
    let outcome = during(Kernel::new(), || {
        let first = process::checkpoint("start").expect("an id");
        let second = process::checkpoint_with("page 7", vec![7]).expect("an id");
        assert_ne!(first, second);
    });
    let expected = [("start".to_owned(), None), ("page 7".to_owned(), Some(vec![7]))];
    assert_eq!(outcome.processes[0].checkpoints, expected);
}

#[test]
fn a_model_that_takes_its_time_lets_others_run() {
    fn ask(task: String) -> Result<String, String> {
        Loop::new().run(&task).map_err(|error| error.to_string())
    }
    let slow = |prompt: &Prompt| -> Result<Turn, model::Error> {
        Ok(Turn::say(prompt.process.clone()).after(Duration::from_secs(5)))
    };
    let outcome = during(Kernel::new().model(slow).program("ask", ask), || {
        let spawn = |name: &str| Spawn::new(name, "?").program("ask").start().expect("a child");
        let children = [spawn("a"), spawn("b"), spawn("c")];
        let exits = process::join_all(&children).expect("exits");
        assert_eq!(exits[1].ending, Ending::Returned("b".to_owned()));
    });
    assert_eq!(outcome.elapsed, Duration::from_secs(5), "they thought at the same time");
}
