//! Requests as each format's JSON.

use crate::model::catalogue::{Catalogue, ModelFacts};
use crate::model::request::{Breakpoint, Message, Part, Request, Role, ToolChoice, ToolOffer};
use crate::model::{anthropic, chat};
use crate::types::{Blob, Content};
use serde_json::{Value, json};

fn facts(provider: &str, model: &str) -> ModelFacts {
    let catalogue = Catalogue::with(&toml::Table::new()).expect("the built-in table");
    catalogue.provider(provider).expect("there").facts(model).expect("known")
}

fn anthropic_body(model: &str, request: &Request) -> Result<Value, String> {
    anthropic::body(model, &facts("anthropic", model), request).map_err(|refused| refused.0)
}

fn chat_body(provider: &str, model: &str, request: &Request) -> Result<Value, String> {
    chat::body(model, &facts(provider, model), request).map_err(|refused| refused.0)
}

fn conversation() -> Request {
    let call = |id: &str| Part::ToolCall {
        id: id.to_owned(),
        name: "add".to_owned(),
        arguments: r#"{"a":1}"#.to_owned(),
    };
    let result = |id: &str, is_error| Part::ToolResult {
        call_id: id.to_owned(),
        content: vec![Content::Text("2".to_owned())],
        is_error,
    };
    let thinking = json!({"type": "thinking", "thinking": "Hm", "signature": "s"}).to_string();
    let reasoning = json!({"reasoning_content": "Hm"}).to_string();
    let thought =
        |opaque: String| Part::Reasoning { text: "Hm".to_owned(), opaque: opaque.into_bytes() };
    Request {
        system: "Be brief.".to_owned(),
        messages: vec![
            Message::text(Role::User, "Add."),
            Message {
                role: Role::Assistant,
                parts: vec![
                    thought(thinking),
                    thought(reasoning),
                    Part::text("I add."),
                    call("c1"),
                    call("c2"),
                ],
            },
            Message { role: Role::User, parts: vec![Part::text("Now?"), result("c1", false)] },
            Message { role: Role::User, parts: vec![result("c2", true)] },
        ],
        tools: vec![ToolOffer {
            name: "add".to_owned(),
            description: "Adds.".to_owned(),
            input_schema: json!({"type": "object"}),
        }],
        ..Request::default()
    }
}

#[test]
fn a_conversation_as_messages() {
    let body = anthropic_body("claude-haiku-4-5", &conversation()).expect("fine");
    assert_eq!(body["max_tokens"], 4096);
    assert_eq!(body["stream"], true);
    let messages = body["messages"].as_array().expect("a list");
    let roles: Vec<&str> = messages.iter().filter_map(|m| m["role"].as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    let kinds = |message: &Value| -> Vec<String> {
        let blocks = message["content"].as_array().expect("blocks");
        blocks.iter().map(|block| block["type"].as_str().unwrap_or("").to_owned()).collect()
    };
    // Another provider's reasoning stays out, results come first.
    assert_eq!(kinds(&messages[1]), ["thinking", "text", "tool_use", "tool_use"]);
    assert_eq!(kinds(&messages[2]), ["tool_result", "tool_result", "text"]);
    assert_eq!(messages[1]["content"][0]["signature"], "s");
    assert_eq!(messages[2]["content"][1]["is_error"], true);
    assert_eq!(body["tools"][0]["name"], "add");
    assert_eq!(body["tool_choice"], json!({"type": "auto"}));
    assert!(body.get("temperature").is_none() && body.get("thinking").is_none());
}

#[test]
fn a_conversation_as_chat() {
    let body = chat_body("deepseek", "deepseek-v4-flash", &conversation()).expect("fine");
    let roles: Vec<&str> = body["messages"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|message| message["role"].as_str())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "user", "tool"]);
    let assistant = &body["messages"][2];
    assert_eq!(assistant["reasoning_content"], "Hm");
    assert_eq!(assistant["tool_calls"][1]["function"]["arguments"], r#"{"a":1}"#);
    assert!(assistant.get("signature").is_none());
    assert_eq!(body["messages"][5]["content"], "error: 2");
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    assert_eq!(body["max_tokens"], 4096);
    let openai = chat_body("openai", "gpt-5-mini", &conversation()).expect("fine");
    assert_eq!(openai["messages"][0]["role"], "developer");
    assert_eq!(openai["max_completion_tokens"], 4096);
    assert!(openai["messages"][2].get("reasoning_content").is_none());
    let ai21 = chat_body("ai21", "jamba-large", &conversation()).expect("fine");
    assert!(ai21.get("stream_options").is_none());
}

#[test]
fn breakpoints_become_marks_and_at_most_four() {
    let mut request = conversation();
    request.cache_breakpoints = vec![
        Breakpoint::Message(0),
        Breakpoint::Tools,
        Breakpoint::System,
        Breakpoint::Message(1),
        Breakpoint::Message(3),
    ];
    let body = anthropic_body("claude-haiku-4-5", &request).expect("fine");
    let mark = json!({"type": "ephemeral"});
    assert_eq!(body["tools"][0]["cache_control"], mark);
    assert_eq!(body["system"][0]["cache_control"], mark);
    assert_eq!(body["messages"][1]["content"][3]["cache_control"], mark);
    assert_eq!(body["messages"][2]["content"][1]["cache_control"], mark);
    assert_eq!(body.to_string().matches("cache_control").count(), 4);
    // A mark cannot stand on reasoning.
    request.messages[1].parts.truncate(1);
    request.messages.truncate(2);
    request.cache_breakpoints = vec![Breakpoint::Message(1)];
    let body = anthropic_body("claude-haiku-4-5", &request).expect("fine");
    assert_eq!(body.to_string().matches("cache_control").count(), 0);
    let mut request = conversation();
    request.cache_breakpoints = vec![Breakpoint::System, Breakpoint::Message(0)];
    let body = chat_body("openrouter", "anthropic/claude", &request).expect("fine");
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], mark);
    assert_eq!(body["messages"][1]["content"][0]["cache_control"], mark);
    let plain = chat_body("groq", "openai/gpt-oss-20b", &request).expect("fine");
    assert!(!plain.to_string().contains("cache_control"));
}

#[test]
fn reasoning_budgets_in_every_dialect() {
    let with = |budget: u32| Request {
        reasoning_tokens_max: Some(budget),
        max_output_tokens: Some(16_000),
        temperature: Some(0.5),
        ..conversation()
    };
    let haiku = anthropic_body("claude-haiku-4-5", &with(2000)).expect("fine");
    assert_eq!(haiku["thinking"], json!({"type": "enabled", "budget_tokens": 2000}));
    assert!(haiku.get("temperature").is_none(), "it must not be set while it thinks");
    let off = anthropic_body("claude-haiku-4-5", &with(0)).expect("fine");
    assert_eq!((&off["thinking"]["type"], &off["temperature"]), (&json!("disabled"), &json!(0.5)));
    let opus = anthropic_body("claude-opus-5-5", &with(9000)).expect("fine");
    assert_eq!(opus["thinking"], json!({"type": "adaptive"}));
    assert_eq!(opus["output_config"]["effort"], "high");
    assert!(opus.get("temperature").is_none());
    let always = anthropic_body("claude-opus-5-5", &with(0)).expect("fine");
    assert!(always.get("thinking").is_none());
    assert_eq!(always["output_config"]["effort"], "low");
    let refused = Request { max_output_tokens: Some(1000), ..with(2000) };
    assert!(anthropic_body("claude-haiku-4-5", &refused).expect_err("too small").contains("2000"));

    let chat = |provider, model, budget| chat_body(provider, model, &with(budget)).expect("fine");
    assert_eq!(chat("openai", "gpt-5.6-sol", 3000)["reasoning_effort"], "medium");
    assert_eq!(chat("openai", "gpt-5.6-sol", 0)["reasoning_effort"], "none");
    assert_eq!(chat("openai", "gpt-6-astra", 0)["reasoning_effort"], "low");
    assert_eq!(chat("openrouter", "x/y", 700)["reasoning"], json!({"max_tokens": 700}));
    assert_eq!(chat("openrouter", "x/y", 0)["reasoning"], json!({"enabled": false}));
    assert_eq!(chat("qwen", "qwen-plus", 700)["thinking_budget"], 700);
    assert_eq!(chat("kimi", "kimi-k3", 0)["thinking"], json!({"type": "disabled"}));
    assert!(chat("minimax", "MiniMax-M3", 700).get("thinking").is_none());
}

#[test]
fn schemas_in_every_dialect() {
    let schema = json!({
        "type": "object",
        "properties": {"sum": {"type": "integer"}},
        "required": ["sum"],
        "additionalProperties": false,
    });
    let request = Request { response_schema: Some(schema.clone()), ..conversation() };
    let messages = anthropic_body("claude-opus-5-5", &request).expect("fine");
    assert_eq!(messages["output_config"]["format"]["schema"], schema);
    let openai = chat_body("openai", "gpt-5-mini", &request).expect("fine");
    assert_eq!(openai["response_format"]["json_schema"]["strict"], true);
    let loose = Request {
        response_schema: Some(json!({"type": "object", "properties": {"sum": {}}})),
        ..conversation()
    };
    let openai = chat_body("openai", "gpt-5-mini", &loose).expect("fine");
    assert_eq!(openai["response_format"]["json_schema"]["strict"], false);
    let deepseek = chat_body("deepseek", "deepseek-chat", &request).expect("fine");
    assert_eq!(deepseek["response_format"], json!({"type": "json_object"}));
    assert!(deepseek["messages"][0]["content"].as_str().expect("text").contains("\"sum\""));
}

#[test]
fn tool_choices_and_what_cannot_be_forced() {
    let with = |choice: ToolChoice| Request {
        tool_choice: choice,
        parallel_tool_calls: Some(false),
        ..conversation()
    };
    let named = ToolChoice::Named("add".to_owned());
    let haiku = anthropic_body("claude-haiku-4-5", &with(named.clone())).expect("fine");
    assert_eq!(
        haiku["tool_choice"],
        json!({"type": "tool", "name": "add", "disable_parallel_tool_use": true})
    );
    let none = anthropic_body("claude-haiku-4-5", &with(ToolChoice::None)).expect("fine");
    assert_eq!(none["tool_choice"], json!({"type": "none"}));
    let openai = chat_body("openai", "gpt-5-mini", &with(ToolChoice::Any)).expect("fine");
    assert_eq!(
        (&openai["tool_choice"], &openai["parallel_tool_calls"]),
        (&json!("required"), &json!(false))
    );
    let refused = anthropic_body("claude-opus-5-5", &with(named)).expect_err("cannot");
    assert!(refused.contains("auto"), "{refused}");
    let unknown = with(ToolChoice::Named("sub".to_owned()));
    assert!(chat_body("openai", "gpt-5-mini", &unknown).expect_err("cannot").contains("`sub`"));
    let many = Request { tools: vec![conversation().tools[0].clone(); 129], ..conversation() };
    assert!(chat_body("openai", "gpt-5-mini", &many).expect_err("cannot").contains("129"));
}

#[test]
fn media_go_as_each_format_has_them_or_are_refused() {
    let blob = |kind: &str, data: &[u8]| Blob { media_type: kind.to_owned(), data: data.to_vec() };
    let with = |content: Content| Request {
        messages: vec![Message { role: Role::User, parts: vec![Part::Content(content)] }],
        ..Request::default()
    };
    let image = with(Content::Image(blob("image/png", b"png")));
    let messages = anthropic_body("claude-haiku-4-5", &image).expect("fine");
    assert_eq!(messages["messages"][0]["content"][0]["source"]["data"], "cG5n");
    let chat = chat_body("openai", "gpt-5-mini", &image).expect("fine");
    assert_eq!(chat["messages"][0]["content"][0]["image_url"]["url"], "data:image/png;base64,cG5n");
    let sound = with(Content::Audio(blob("audio/wav", b"w")));
    assert!(anthropic_body("claude-haiku-4-5", &sound).is_err());
    assert!(chat_body("openai", "gpt-5-mini", &sound).is_ok());
    let binary = with(Content::Document("x".to_owned(), blob("application/zip", b"\xff\xfe")));
    assert!(anthropic_body("claude-haiku-4-5", &binary).is_err());
    let text = with(Content::Document("notes".to_owned(), blob("text/plain", b"hello")));
    let chat = chat_body("openai", "gpt-5-mini", &text).expect("fine");
    assert_eq!(chat["messages"][0]["content"], "[document notes]\nhello");
}

#[test]
fn what_is_empty_or_out_of_range_is_refused_and_extra_cannot_take_over() {
    let empty = Request { system: "s".to_owned(), ..Request::default() };
    assert!(anthropic_body("claude-haiku-4-5", &empty).is_err());
    assert!(chat_body("openai", "gpt-5-mini", &empty).is_err());
    let hot = Request { temperature: Some(f32::NAN), ..conversation() };
    assert!(anthropic_body("claude-haiku-4-5", &hot).is_err());
    let extra = |key: &str| Request { extra: vec![(key.to_owned(), json!("x"))], ..conversation() };
    let body = chat_body("groq", "openai/gpt-oss-20b", &extra("service_tier")).expect("fine");
    assert_eq!(body["service_tier"], "x");
    assert!(chat_body("groq", "openai/gpt-oss-20b", &extra("stream")).is_err());
    assert!(anthropic_body("claude-haiku-4-5", &extra("model")).is_err());
}

#[test]
fn a_reply_is_never_asked_for_longer_than_the_model_can() {
    let long = Request { max_output_tokens: Some(u32::MAX), ..conversation() };
    let body = anthropic_body("claude-haiku-4-5", &long).expect("fine");
    assert_eq!(body["max_tokens"], 64_000);
    let none = Request { max_output_tokens: Some(0), ..conversation() };
    assert_eq!(anthropic_body("claude-haiku-4-5", &none).expect("fine")["max_tokens"], 1);
}
