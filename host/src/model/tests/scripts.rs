//! Models that are files.

use super::calls::call;
use super::server::options;
use crate::model::{
    Caller, Delta, Endpoint, Message, ModelError, Models, Part, Request, Role, Spent, Stop,
};
use crate::types::Content;
use std::sync::Arc;
use std::time::Duration;

struct Scripted {
    endpoint: Endpoint,
    _folder: tempfile::TempDir,
}

fn scripted(text: &str) -> Result<Scripted, ModelError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("demo.toml");
    std::fs::write(&path, text).expect("writes");
    let mut options = options();
    options.timeouts.idle = Duration::from_millis(100);
    let models = Models::new(options, Arc::new(|_| None)).expect("fine");
    let endpoint = models.resolve(Some(&format!("script:{}", path.display())))?;
    Ok(Scripted { endpoint, _folder: folder })
}

fn said(text: &str) -> Request {
    Request { messages: vec![Message::text(Role::User, text)], ..Request::default() }
}

fn by(agent: &str, answered: Option<u64>) -> Request {
    let caller = Caller { agent: agent.to_owned(), instance: 1, answered };
    Request { caller, ..said("go on") }
}

#[tokio::test]
async fn turns_come_in_order_and_show_real_results() {
    let demo = scripted(
        r#"
        [[turn]]
        expect = "bills"
        reasoning = "I add."
        call = [
            { tool = "add", arguments = { a = [1, "{{last_user}}"] } },
            { tool = "raw", arguments = "not JSON", id = "mine" },
        ]
        [[turn]]
        say = "It is {{last_result}}, {{agent}}; turn {{turn}}, {{unknown}} {{"
        usage = { input = 900, output = 40, cache_read = 800, reasoning = 2 }
        "#,
    )
    .expect("good");
    let mut request = said("sum the bills");
    request.caller.agent = "Ann".to_owned();
    let first = call(&demo.endpoint, &request).await.expect("turn 1");
    assert_eq!((first.model.as_str(), &first.stop), ("script/demo", &Stop::ToolUse));
    let call_of = |id: &str, name: &str, arguments: &str| Part::ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    assert_eq!(
        first.parts[1..],
        [
            call_of("call_1_1", "add", r#"{"a":[1,"sum the bills"]}"#),
            call_of("mine", "raw", "not JSON"),
        ]
    );
    assert!(first.usage.estimated && first.usage.input > 0 && first.usage.output > 0);
    request.messages.push(Message { role: Role::Assistant, parts: first.parts });
    request.messages.push(Message {
        role: Role::User,
        parts: vec![Part::ToolResult {
            call_id: "call_1_1".to_owned(),
            content: vec![Content::Text("42 {{agent}}".to_owned())],
            is_error: false,
        }],
    });
    let second = call(&demo.endpoint, &request).await.expect("turn 2");
    assert_eq!(second.text(), "It is 42 {{agent}}, Ann; turn 2, {{unknown}} {{");
    assert_eq!((second.usage.input, second.usage.cache_read), (900, 800));
    assert!(!second.usage.estimated);
    assert_eq!(second.usage.cost_microdollars, Some(0));
    let error = call(&demo.endpoint, &request).await.expect_err("no turn 3");
    assert!(error.to_string().contains("ends after 2 calls"), "{error}");
}

#[tokio::test]
async fn each_agent_has_its_own_place_and_its_own_turns() {
    let demo = scripted(
        r#"
        [[turn]]
        agent = "Tester"
        say = "tested"
        [[turn]]
        say = "one"
        repeat = 2
        [[turn]]
        say = "two"
        "#,
    )
    .expect("good");
    for (agent, answers) in [("Ann", ["one", "one", "two"]), ("Bob", ["one", "one", "two"])] {
        for answer in answers {
            let completion = call(&demo.endpoint, &by(agent, None)).await.expect("a turn");
            assert_eq!(completion.text(), answer);
        }
    }
    let tested = call(&demo.endpoint, &by("Tester", None)).await.expect("a turn");
    assert_eq!(tested.text(), "tested");
    assert!(call(&demo.endpoint, &by("Tester", None)).await.is_err());
    // A caller that counts for itself is answered by its count, again and again.
    for (answered, answer) in [(2, "two"), (0, "one"), (2, "two"), (2, "two")] {
        let completion = call(&demo.endpoint, &by("Eve", Some(answered))).await.expect("a turn");
        assert_eq!(completion.text(), answer);
    }
}

#[tokio::test]
async fn faults_come_before_what_a_turn_says() {
    let demo = scripted(
        r#"
        [[turn]]
        fault = "429"
        retry_after_ms = 1500
        say = "at last"
        [[turn]]
        fault = [500, "garbage"]
        [[turn]]
        fault = "reset"
        times = 2
        say = "one two"
        [[turn]]
        fault = "hang"
        "#,
    )
    .expect("good");
    let one = async || call(&demo.endpoint, &by("Ann", None)).await;
    let after = Duration::from_millis(1500);
    assert!(matches!(one().await, Err(ModelError::RateLimited { after: a, .. }) if a == after));
    assert_eq!(one().await.expect("answered").text(), "at last");
    assert!(matches!(one().await, Err(ModelError::Unavailable { .. })));
    assert!(matches!(one().await, Err(ModelError::BrokenStream { .. })));
    assert!(matches!(one().await, Err(ModelError::BrokenStream { .. })));
    assert!(matches!(one().await, Err(ModelError::BrokenStream { .. })));
    assert_eq!(one().await.expect("answered").text(), "one two");
    assert!(matches!(one().await, Err(ModelError::TimedOut { .. })));
    let error = one().await.expect_err("nothing is left");
    assert!(error.to_string().contains("ends after"), "{error}");
    // By the caller's count the faults of a turn come again only with another turn between.
    let mut eve = by("Eve", Some(0));
    assert!(call(&demo.endpoint, &eve).await.is_err());
    assert!(call(&demo.endpoint, &eve).await.is_ok());
    eve.caller.answered = Some(1);
    assert!(matches!(call(&demo.endpoint, &eve).await, Err(ModelError::Unavailable { .. })));
}

#[tokio::test]
async fn a_reset_spends_what_had_streamed() {
    let demo =
        scripted("[[turn]]\nfault = 'reset'\nsay = 'eight characters and more'").expect("good");
    let request = said("go");
    let demand = demo.endpoint.demand(&request);
    let mut spent = Spent::of(demand);
    let crate::model::Admission::Now(place) = demo.endpoint.admit(demand) else {
        panic!("a script has no limits")
    };
    let mut heard = String::new();
    let mut sink = |delta: Delta<'_>| {
        spent.note(&delta);
        if let Delta::Text(text) = delta {
            heard.push_str(text);
        }
    };
    demo.endpoint.infer(&request, place, &mut sink).await.expect_err("reset");
    assert_eq!(heard, "eight charac");
    assert!(spent.usage().output > 0 && spent.usage().input == demand.input);
}

#[tokio::test]
async fn a_delay_is_waited_for() {
    let demo = scripted("[[turn]]\ndelay_ms = 60\nsay = 'x'").expect("good");
    let begun = tokio::time::Instant::now();
    call(&demo.endpoint, &said("go")).await.expect("a turn");
    assert!(begun.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn what_is_not_expected_is_an_error_that_shows_both() {
    let demo = scripted("[[turn]]\nexpect = 'bills'\nsay = 'x'").expect("good");
    let error = call(&demo.endpoint, &said("the weather")).await.expect_err("unexpected");
    let words = error.to_string();
    assert!(words.contains("`bills`") && words.contains("`the weather`"), "{words}");
}

#[test]
fn a_wrong_script_is_one_sentence_with_the_line() {
    for (text, words) in [
        ("[[turn]]\nsay = 'x'\n[[turn]]\nsays = 'y'", "line 4: unknown field `says`"),
        ("[[turn]]\nsay = 'x'\n\n[[turn]]\ndelay_ms = 5", "line 4: the turn does nothing"),
        ("[[turn]]\nsay = 'x", "line 2:"),
        ("[[turn]]\nfault = 'flood'", "`flood` is no fault: use hang"),
        ("[[turn]]\nfault = 200", "`200` is no fault"),
        ("[[turn]]\nsay = 'x'\nrepeat = 0", "line 1: `repeat` is 1 to"),
        ("[[turn]]\nsay = 'x'\ndelay_ms = 99999999", "delay_ms 99999999 is over"),
        ("[[turn]]\nsay = 'x'\nagent = ''", "`agent` is empty"),
        ("[[turn]]\ncall = [{ tool = '' }]", "a call names no `tool`"),
        ("name = 'x'", "it has no turn"),
        ("", "it has no turn"),
    ] {
        let error = scripted(text).err().unwrap_or_else(|| panic!("taken: {text}"));
        let said = error.to_string();
        assert!(said.contains(words), "{said}");
        assert!(said.contains("demo.toml") && !said.contains('\n'), "{said}");
    }
    let models = Models::new(options(), Arc::new(|_| None)).expect("fine");
    let error = models.resolve(Some("script:/no/such/file.toml")).expect_err("none");
    assert!(error.to_string().contains("cannot be read"), "{error}");
}
