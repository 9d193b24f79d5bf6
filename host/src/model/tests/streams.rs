//! Streams of both formats, as services send them and as they should not.

use crate::model::completion::{Delta, Stop};
use crate::model::reply::{Counted, Draft, Progress, StreamFault};
use crate::model::request::Part;
use crate::model::sse::Events;
use crate::model::{anthropic, chat};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::LazyLock;

/// What a sink saw.
#[derive(Debug, Default)]
struct Heard {
    started: usize,
    text: String,
    reasoning: String,
    calls: Vec<String>,
    arguments: String,
}

impl Heard {
    fn hear(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Started => self.started += 1,
            Delta::Text(text) => self.text.push_str(text),
            Delta::Reasoning(text) => self.reasoning.push_str(text),
            Delta::ToolCall { name, .. } => self.calls.push(name.to_owned()),
            Delta::Arguments { fragment, .. } => self.arguments.push_str(fragment),
            Delta::Usage(_) => {}
        }
    }
}

type Read = (Result<Draft, StreamFault>, Heard);

fn read_anthropic<'a>(events: impl IntoIterator<Item = &'a str>) -> Read {
    let (mut stream, mut heard) = (anthropic::Stream::default(), Heard::default());
    for event in events {
        match stream.event(event, &mut |delta| heard.hear(delta)) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break,
            Err(fault) => return (Err(fault), heard),
        }
    }
    (stream.finish(), heard)
}

fn read_chat<'a>(events: impl IntoIterator<Item = &'a str>) -> Read {
    let (mut stream, mut heard) = (chat::Stream::default(), Heard::default());
    for event in events {
        match stream.event(event, &mut |delta| heard.hear(delta)) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break,
            Err(fault) => return (Err(fault), heard),
        }
    }
    (stream.finish(), heard)
}

fn calls(draft: &Draft) -> Vec<(&str, &str)> {
    let calls = draft.parts.iter().filter_map(|part| match part {
        Part::ToolCall { name, arguments, .. } => Some((name.as_str(), arguments.as_str())),
        _ => None,
    });
    calls.collect()
}

fn text(draft: &Draft) -> String {
    let texts = draft.parts.iter().filter_map(|part| match part {
        Part::Content(crate::types::Content::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// The folder of recorded streams, beside the checkout or where the variable says.
fn recorded() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/eval");
    let folder = std::env::var_os("AOS_EVAL").map_or(beside, PathBuf::from).join("wire");
    folder.is_dir().then_some(folder)
}

#[test]
fn recorded_streams_of_real_services_are_read_whole() {
    let Some(folder) = recorded() else {
        println!(
            "left out: no recorded streams beside the checkout (AOS_EVAL names another place)"
        );
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|end| end != "jsonl") {
            continue;
        }
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let lines = std::fs::read_to_string(&path).expect("reads");
        let is_anthropic = lines.contains("\"message_start\"");
        let read = |text: &str| {
            let events = text.lines().filter(|line| !line.trim().is_empty());
            if is_anthropic { read_anthropic(events) } else { read_chat(events) }
        };
        let (draft, heard) = read(&lines);
        let draft = draft.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let counted = draft.counted.unwrap_or_else(|| panic!("{name}: no usage"));
        assert!(counted.output > 0 && counted.input + counted.cache_read > 0, "{name}");
        assert!(!draft.model.is_empty(), "{name}");
        assert!(heard.started >= 1, "{name}");
        if heard.started == 1 {
            assert_eq!(text(&draft), heard.text, "{name}");
        }
        for (tool, arguments) in calls(&draft) {
            let parsed: serde_json::Value = serde_json::from_str(arguments)
                .unwrap_or_else(|error| panic!("{name}: {tool}: {error}"));
            assert!(parsed.is_object(), "{name}");
        }
        // What is cut off is noticed: without its end no stream is a reply.
        let half: String =
            lines.lines().take(lines.lines().count() / 3).collect::<Vec<_>>().join("\n");
        assert!(read(&half).0.is_err(), "{name}: a third of it passed for the whole");
        seen += 1;
    }
    assert!(seen > 0, "the folder is there and empty");
    println!("{seen} recorded streams were read");
}

static MESSAGE: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("message.jsonl").lines().collect());

#[test]
fn a_message_with_thinking_text_and_parallel_calls() {
    let (draft, heard) = read_anthropic(MESSAGE.iter().copied());
    let draft = draft.expect("whole");
    assert_eq!(draft.stop, Stop::ToolUse);
    assert_eq!(calls(&draft), [("add", r#"{"a":1}"#), ("now", "{}")]);
    assert_eq!((heard.text.as_str(), heard.reasoning.as_str()), ("Two calls", "Hm. "));
    let counted =
        Counted { input: 9, output: 44, cache_read: 70, cache_write: 5, ..Counted::default() };
    assert_eq!(draft.counted, Some(counted));
    let own: Vec<serde_json::Value> = draft
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Reasoning { opaque, .. } => serde_json::from_slice(opaque).ok(),
            _ => None,
        })
        .collect();
    assert_eq!(
        own,
        [
            serde_json::json!({"type": "thinking", "thinking": "Hm. ", "signature": "c2ln"}),
            serde_json::json!({"type": "redacted_thinking", "data": "b3BhcXVl"}),
        ]
    );
}

#[test]
fn a_message_without_its_last_event_is_whole_and_one_without_a_stop_is_not() {
    assert!(read_anthropic(MESSAGE[..15].iter().copied()).0.is_ok());
    for end in 1..14 {
        let (draft, _) = read_anthropic(MESSAGE[..end].iter().copied());
        assert!(matches!(draft, Err(StreamFault::Broken(_))), "{end}");
    }
}

#[test]
fn a_second_start_makes_the_first_void_and_a_repeated_one_does_not() {
    let other = MESSAGE[0].replace("\"m1\"", "\"m2\"").replace("claude-x", "claude-y");
    let again: Vec<&str> = MESSAGE[..13].iter().copied().chain([other.as_str()]).collect();
    let (draft, heard) = read_anthropic(again.into_iter().chain(MESSAGE[6..].iter().copied()));
    let draft = draft.expect("whole");
    assert_eq!((draft.model.as_str(), heard.started), ("claude-y", 2));
    assert_eq!(text(&draft), "Two calls");
    assert_eq!(calls(&draft)[0].1, r#"{"a":1}"#);
    assert!(!draft.parts.iter().any(|part| matches!(part, Part::Reasoning { .. })));

    let repeated = MESSAGE[..9].iter().chain([&MESSAGE[0]]).chain(MESSAGE[9..].iter()).copied();
    let (draft, heard) = read_anthropic(repeated);
    assert_eq!((text(&draft.expect("whole")).as_str(), heard.started), ("Two calls", 1));
}

#[test]
fn an_error_in_a_stream_has_its_kind() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let events = MESSAGE[..8].iter().copied().chain([error]);
    let kind = "overloaded_error".to_owned();
    let fault = StreamFault::Provider { kind, message: "Overloaded".to_owned() };
    assert_eq!(read_anthropic(events).0, Err(fault));
    for (error, kind, message) in [
        (r#"{"error":{"message":"no","code":429}}"#, "429", "no"),
        (r#"{"error":{"message":"no","type":"server_error","code":null}}"#, "server_error", "no"),
        (r#"{"error":"boom"}"#, "", "boom"),
        (r#"{"object":"error","message":"vllm","code":400}"#, "400", "vllm"),
    ] {
        let fault = StreamFault::Provider { kind: kind.to_owned(), message: message.to_owned() };
        assert_eq!(read_chat([CHUNKS[0], error]).0, Err(fault));
    }
}

#[test]
fn stop_reasons_of_messages() {
    for (reason, stop) in [
        (r#"{"stop_reason":"end_turn"}"#, Stop::EndTurn),
        (r#"{"stop_reason":"max_tokens"}"#, Stop::MaxOutput),
        (
            r#"{"stop_reason":"stop_sequence","stop_sequence":"END"}"#,
            Stop::StopSequence("END".to_owned()),
        ),
        (
            r#"{"stop_reason":"refusal","stop_details":{"category":"cyber","explanation":"no"}}"#,
            Stop::Refusal("no".to_owned()),
        ),
        (r#"{"stop_reason":"refusal"}"#, Stop::Refusal(String::new())),
        (r#"{"stop_reason":"pause_turn"}"#, Stop::Other("pause_turn".to_owned())),
    ] {
        let end = format!(r#"{{"type":"message_delta","delta":{reason}}}"#);
        let (draft, _) = read_anthropic([MESSAGE[0], &end]);
        assert_eq!(draft.expect("whole").stop, stop);
    }
}

#[test]
fn a_call_of_the_providers_own_tool_goes_back_as_it_came() {
    let events = [
        MESSAGE[0],
        r#"{"type":"content_block_start","index":0,
            "content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,
            "delta":{"type":"input_json_delta","partial_json":"{\"query\":\"x\"}"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
    ];
    let draft = read_anthropic(events).0.expect("whole");
    let [Part::Reasoning { opaque, .. }] = draft.parts.as_slice() else {
        panic!("{:?}", draft.parts)
    };
    let block: serde_json::Value = serde_json::from_slice(opaque).expect("JSON");
    assert_eq!(block["input"]["query"], "x");
}

static CHUNKS: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("chunks.jsonl").lines().collect());

#[test]
fn chunks_with_reasoning_and_interleaved_calls() {
    let (draft, heard) = read_chat(CHUNKS.iter().copied().chain(["[DONE]", "never read"]));
    let draft = draft.expect("whole");
    assert_eq!(draft.stop, Stop::ToolUse);
    assert_eq!(calls(&draft), [("add", r#"{"a":1}"#), ("sub", r#"{"b":2}"#)]);
    assert_eq!((heard.text.as_str(), heard.reasoning.as_str()), ("Hi", "Hmm"));
    assert_eq!(heard.calls, ["add", "sub"]);
    let counted =
        Counted { input: 40, output: 20, reasoning: 5, cache_read: 60, ..Counted::default() };
    assert_eq!(draft.counted, Some(counted));
    let Part::Reasoning { text, opaque } = &draft.parts[0] else { panic!("{:?}", draft.parts) };
    assert_eq!(text, "Hmm");
    assert_eq!(opaque, br#"{"reasoning_content":"Hmm"}"#);
}

#[test]
fn chunks_without_done_are_whole_and_without_a_finish_are_not() {
    assert!(read_chat(CHUNKS.iter().copied()).0.is_ok());
    assert!(read_chat(CHUNKS[..7].iter().copied()).0.expect("whole").counted.is_none());
    for end in 0..7 {
        assert!(read_chat(CHUNKS[..end].iter().copied()).0.is_err(), "{end}");
    }
    assert!(read_chat(CHUNKS[..5].iter().copied().chain(["[DONE]"])).0.is_err());
}

#[test]
fn calls_are_told_apart_however_they_are_numbered() {
    let call =
        |fields: &str| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{{fields}}}]}}}}]}}"#);
    let end = r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#.to_owned();
    let read = |mut events: Vec<String>| {
        events.push(end.clone());
        read_chat(events.iter().map(String::as_str)).0.expect("whole")
    };
    // All under index 0, told apart by their ids.
    let draft = read(vec![
        call(r#""index":0,"id":"a","function":{"name":"x","arguments":"{}"}"#),
        call(r#""index":0,"id":"b","function":{"name":"y","arguments":"{\"k\":"}"#),
        call(r#""index":0,"function":{"arguments":"1}"}"#),
    ]);
    assert_eq!(calls(&draft), [("x", "{}"), ("y", r#"{"k":1}"#)]);
    // No index, no id; arguments as an object.
    let draft = read(vec![call(r#""function":{"name":"z","arguments":{"k":2}}"#)]);
    assert_eq!(calls(&draft), [("z", r#"{"k":2}"#)]);
    let Part::ToolCall { id, .. } = &draft.parts[0] else { panic!("{:?}", draft.parts) };
    assert!(id.starts_with("call_"), "{id}");
    // A call that never says its tool is none.
    let draft = read(vec![call(r#""index":0,"id":"a","function":{"arguments":"{}"}"#)]);
    assert!(calls(&draft).is_empty());
}

#[test]
fn usage_in_every_dialect() {
    let read = |usage: &str| {
        let last = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        let chunks = CHUNKS[..7].iter().copied().chain([last.as_str()]);
        read_chat(chunks).0.expect("whole").counted.expect("counted")
    };
    let deepseek = read(r#"{"prompt_tokens":9,"completion_tokens":2,"prompt_cache_hit_tokens":4}"#);
    assert_eq!((deepseek.input, deepseek.cache_read), (5, 4));
    let xai = read(
        r#"{"prompt_tokens":307,"completion_tokens":26,"total_tokens":560,
            "completion_tokens_details":{"reasoning_tokens":227},"cost_in_usd_ticks":1497500}"#,
    );
    assert_eq!((xai.output, xai.reasoning, xai.cost_microdollars), (253, 227, Some(149)));
    let openrouter = read(
        r#"{"prompt_tokens":10,"completion_tokens":3,"cost":0.000123,
            "prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":5}}"#,
    );
    assert_eq!((openrouter.input, openrouter.cache_write), (1, 5));
    assert_eq!(openrouter.cost_microdollars, Some(123));
    let absurd = read(
        r#"{"prompt_tokens":1,"completion_tokens":18446744073709551615,"cost":-1,
            "total_tokens":18446744073709551615,
            "completion_tokens_details":{"reasoning_tokens":18446744073709551615},
            "prompt_tokens_details":{"cached_tokens":99}}"#,
    );
    assert_eq!((absurd.input, absurd.cache_read, absurd.cost_microdollars), (0, 1, None));
}

#[test]
fn refusals_and_other_ends_of_chunks() {
    let refused = [
        r#"{"choices":[{"delta":{"refusal":"I will"}}]}"#,
        r#"{"choices":[{"delta":{"refusal":" not"},"finish_reason":"stop"}]}"#,
    ];
    let draft = read_chat(refused).0.expect("whole");
    assert_eq!(draft.stop, Stop::Refusal("I will not".to_owned()));
    assert_eq!(text(&draft), "I will not");
    for (reason, stop) in [
        ("stop", Stop::EndTurn),
        ("length", Stop::MaxOutput),
        ("content_filter", Stop::Refusal("the provider's content filter".to_owned())),
        ("insufficient_system_resource", Stop::Other("insufficient_system_resource".to_owned())),
    ] {
        let end = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
        assert_eq!(read_chat([end.as_str()]).0.expect("whole").stop, stop);
    }
}

#[test]
fn reasoning_details_are_joined_and_go_back() {
    let chunk = |detail: &str| {
        format!(r#"{{"choices":[{{"delta":{{"reasoning":"x","reasoning_details":[{detail}]}}}}]}}"#)
    };
    let events = [
        chunk(r#"{"type":"reasoning.text","index":0,"text":"Let ","signature":null}"#),
        chunk(r#"{"type":"reasoning.text","index":0,"text":"me","signature":"s"}"#),
        chunk(r#"{"type":"reasoning.encrypted","index":1,"data":"zz"}"#),
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
    ];
    let draft = read_chat(events.iter().map(String::as_str)).0.expect("whole");
    let Part::Reasoning { opaque, .. } = &draft.parts[0] else { panic!("{:?}", draft.parts) };
    let back: serde_json::Value = serde_json::from_slice(opaque).expect("JSON");
    let details = back["reasoning_details"].as_array().expect("a list");
    assert_eq!(details.len(), 2);
    assert_eq!((&details[0]["text"], &details[0]["signature"]), (&"Let me".into(), &"s".into()));
}

#[test]
fn garbage_is_a_broken_stream() {
    for garbage in ["{", "[]", "7", "null", "\u{fffd}", "<html>", r#"{"type":7}"#] {
        let broken = |read: Read| matches!(read.0, Err(StreamFault::Broken(_)));
        assert!(broken(read_anthropic([garbage])), "{garbage}");
        assert!(broken(read_chat([garbage])), "{garbage}");
    }
    let far =
        r#"{"type":"content_block_start","index":99999999999,"content_block":{"type":"text"}}"#;
    assert!(read_anthropic([far]).0.is_err());
    let unborn = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta"}}"#;
    assert!(read_anthropic([unborn]).0.is_err());
}

proptest! {
    /// Bytes in, a reply or a fault out: whatever is changed in a good stream.
    #[test]
    fn no_change_to_a_stream_makes_a_parser_panic(
        which in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        size in 1usize..300,
    ) {
        let events: &[&str] = if which { &MESSAGE } else { &CHUNKS };
        let mut bytes: Vec<u8> =
            events.iter().flat_map(|event| format!("data: {event}\r\n\r\n").into_bytes()).collect();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let (mut cutter, mut out) = (Events::default(), Vec::new());
        for piece in bytes.chunks(size) {
            cutter.push(piece, &mut out).expect("small");
        }
        out.extend(cutter.finish().expect("small"));
        let events = out.iter().map(String::as_str);
        let (_reply, _heard) = if which { read_anthropic(events) } else { read_chat(events) };
    }
}
