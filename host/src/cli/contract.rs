//! `aos-host test`: the contract test of any tool plugin. Calls are made from its own schemas and
//! examples, and go the way of every call.

mod cases;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use self::cases::{Case, Expected};
use self::report::{Check, Form, Verdict};
use super::arguments::{GrantArgs, LimitArgs, session_options};
use super::exit::{Code, Failure};
use super::run::kernel;
use super::terminal;
use crate::config::{Config, plugins};
use crate::kernel::{Fault, Kernel, Plugin, Session, SessionOptions, Streams};
use crate::sandbox::manifest::Example;
use crate::sandbox::program::{Kind, binary};
use crate::sandbox::sections;
use crate::sandbox::stdio::Sink;
use crate::storage::StoreUrl;
use crate::types::{Content, Definition, Output, Reply, Syscall, ToolError};

#[derive(Debug, Args)]
pub struct TestArgs {
    /// A .wasm or .wat file, or the name of a plugin
    plugin: String,
    /// How the result is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Form,
    /// A folder in which plugins are looked up by name, before the configured ones
    #[arg(long, value_name = "FOLDER")]
    plugin_path: Vec<PathBuf>,
    /// Grants are for the plugin's own examples: generated calls run with none.
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Tests one plugin and prints what was found.
pub async fn test(config: &Config, arguments: TestArgs) -> Result<Code, Failure> {
    let folders: Vec<_> =
        arguments.plugin_path.iter().chain(&config.plugin_path).cloned().collect();
    let found = plugins::find(&arguments.plugin, &folders)?;
    // A journal of these calls would be of no use to anybody.
    let config = Config { store: StoreUrl::Memory, plugin_path: folders, ..config.clone() };
    let mut options = session_options(&config, &arguments.grants, &arguments.limits)?;
    options.known_as = found.looked_up.then(|| found.name.clone());
    let quiet = Streams { stdout: Sink::Discard, stderr: Sink::Discard, ..Streams::default() };
    options.streams = quiet;
    let config = Config { limits: options.limits.clone(), ..config };
    let kernel = kernel(&config).await?;
    let origin = |fault: Fault| {
        let failure = Failure::from(fault);
        Failure { sentence: format!("{}: {}", found.origin, failure.sentence), ..failure }
    };
    let plugin = kernel.load(&found.name, found.bytes.clone()).await.map_err(origin)?;
    match plugin.program().kind {
        Kind::Tool(_) | Kind::Plain(_) => {}
        Kind::Agent(_) | Kind::Command(_) => {
            let kind = plugin.program().kind.name();
            let sentence = "has no tools, and the contract test is of tools; what it is:";
            return Err(Failure::usage(format!("{} {sentence} {kind}", found.origin)));
        }
    }
    // What the build wrote into it is held against what the program itself says.
    let bytes = binary(&found.bytes).map_err(|error| origin(error.into()))?;
    let asked = sections::without(&bytes, sections::DEFINITIONS);
    let trial = Trial { kernel, plugin, options, checks: Vec::new() };
    let checks = trial.all(&found.name, asked).await?;
    terminal::print_line(&report::written(arguments.output, &found.name, &checks))?;
    match report::code(&checks) {
        Code::Ok => Ok(Code::Ok),
        code => Err(Failure::silent(code)),
    }
}

/// A test under way.
struct Trial {
    kernel: Kernel,
    plugin: Arc<Plugin>,
    options: SessionOptions,
    checks: Vec<Check>,
}

impl Trial {
    async fn all(mut self, name: &str, bare: Vec<u8>) -> Result<Vec<Check>, Failure> {
        let nothing = SessionOptions {
            grants: Vec::new(),
            environment: Vec::new(),
            config: Vec::new(),
            ..self.options.clone()
        };
        let Some(tools) = self.definitions(name, bare, &nothing).await? else {
            return Ok(self.checks);
        };
        let session = self.session(nothing)?;
        for tool in &tools {
            self.schemas(tool);
            for case in cases::cases(&tool.input_schema) {
                self.generated(&session, tool, case).await;
            }
        }
        self.unknown(&session).await;
        self.close(session).await?;
        let session = self.session(self.options.clone())?;
        let manifest = self.plugin.program().manifest.clone();
        for example in manifest.map(|manifest| manifest.examples).unwrap_or_default() {
            self.example(&session, &example).await;
        }
        self.close(session).await?;
        Ok(self.checks)
    }

    fn session(&self, options: SessionOptions) -> Result<Session, Failure> {
        Ok(self.kernel.session(Arc::clone(&self.plugin), options)?)
    }

    async fn close(&self, session: Session) -> Result<(), Failure> {
        Ok(self.kernel.close_session(session, "ok").await?)
    }

    fn note(&mut self, tool: &str, name: impl Into<String>, began: Instant, verdict: Verdict) {
        let (tool, name, took) = (tool.to_owned(), name.into(), began.elapsed());
        self.checks.push(Check { tool, name, took, verdict });
    }

    /// Asks the program twice, in two instances, and looks at what its build wrote into it.
    async fn definitions(
        &mut self,
        name: &str,
        bare: Vec<u8>,
        nothing: &SessionOptions,
    ) -> Result<Option<Vec<Definition>>, Failure> {
        let began = Instant::now();
        let mut answers = Vec::new();
        for _ in 0..2 {
            let plugin = self.kernel.load(name, bare.clone()).await?;
            let session = self.kernel.session(plugin, nothing.clone())?;
            answers.push(definitions_of(&self.kernel, &session).await);
            self.close(session).await?;
        }
        let written = definitions_of(&self.kernel, &self.session(nothing.clone())?).await;
        let (Some(Ok(second)), Some(first)) = (answers.pop(), answers.pop()) else {
            let sentence = "the second time it has no catalogue".to_owned();
            self.note("", "definitions", began, Verdict::Failed(sentence));
            return Ok(None);
        };
        let verdict = match (&first, &written) {
            (Err(fault), _) | (_, Err(fault)) => Verdict::Failed(fault.to_string()),
            (Ok(first), _) if *first != second => {
                Verdict::Failed("the second answer differs from the first".into())
            }
            (Ok(first), Ok(written)) if first != written => Verdict::Failed(
                "the tools that its build wrote into it are others: build it".into(),
            ),
            (Ok(first), Ok(_)) if first.is_empty() => Verdict::Failed("it has no tools".into()),
            (Ok(_), Ok(_)) => Verdict::Passed,
        };
        self.note("", "definitions are valid and the same twice", began, verdict);
        Ok(first.ok())
    }

    /// What the kernel's own reading of a catalogue does not ask for.
    fn schemas(&mut self, tool: &Definition) {
        const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
        let began = Instant::now();
        let schemas = [Some(&tool.input_schema), tool.output_schema.as_ref()];
        let other = schemas.into_iter().flatten().find_map(|schema| {
            schema["$schema"].as_str().filter(|draft| draft.trim_end_matches('#') != DRAFT)
        });
        let verdict = match other {
            Some(draft) => Verdict::Failed(format!("a schema is of {draft}, not of {DRAFT}")),
            None if tool.description.trim().is_empty() => {
                Verdict::Failed("it has no description: a model knows nothing else of it".into())
            }
            None => Verdict::Passed,
        };
        self.note(&tool.name, "description and schemas", began, verdict);
    }

    async fn generated(&mut self, session: &Session, tool: &Definition, case: Case) {
        let began = Instant::now();
        let before = session.denials().len();
        let called = self.call(session, &tool.name, case.arguments).await;
        let wrote = session.denials().into_iter().skip(before).find(|d| d.capability == "write");
        let verdict = match (case.expected, called) {
            (_, Err(Fault::Ended(ended))) => Verdict::Failed(ended.to_string()),
            (_, Err(fault @ (Fault::Journal(_) | Fault::Storage(_) | Fault::Host(_)))) => {
                Verdict::Failed(fault.to_string())
            }
            (Expected::Refusal, Err(Fault::Tool(ToolError::InvalidArguments(_)))) => {
                Verdict::Passed
            }
            (Expected::Refusal, Ok(_)) => Verdict::Failed("its schema lets it through".into()),
            (Expected::Refusal, Err(fault)) => {
                Verdict::Failed(format!("it is no `invalid-arguments` but: {fault}"))
            }
            (Expected::Answer, _) => match wrote.filter(|_| tool.behaviour.read_only) {
                Some(denial) => Verdict::Failed(format!("it says it only reads, and: {denial}")),
                None => Verdict::Passed,
            },
        };
        self.note(&tool.name, case.name, began, verdict);
    }

    async fn unknown(&mut self, session: &Session) {
        let began = Instant::now();
        let verdict = match self.call(session, "no_such_tool", json!({})).await {
            Err(Fault::Tool(ToolError::UnknownTool(_))) => Verdict::Passed,
            Err(fault) => Verdict::Failed(format!("it is no `unknown-tool` but: {fault}")),
            Ok(_) => Verdict::Failed("it was answered".into()),
        };
        self.note("", "a tool that is not there", began, verdict);
    }

    async fn example(&mut self, session: &Session, example: &Example) {
        let began = Instant::now();
        let before = session.denials().len();
        let input = json!(example.input);
        let name = format!("example {input}");
        let verdict = match self.call(session, &example.tool, input).await {
            Ok(output) => differs(example, &output).map_or(Verdict::Passed, Verdict::Failed),
            Err(Fault::Tool(ToolError::Denied(denial))) => Verdict::Denied(denial.to_string()),
            Err(fault) => match session.denials().get(before) {
                Some(denial) => Verdict::Denied(denial.to_string()),
                None => Verdict::Failed(fault.to_string()),
            },
        };
        self.note(&example.tool, name, began, verdict);
    }

    async fn call(&self, session: &Session, tool: &str, input: Value) -> Result<Output, Fault> {
        let call = Syscall::Call { tool: Some(tool.to_owned()), arguments: input };
        match self.kernel.submit(session, call).await? {
            Reply::Output(output, _) => Ok(output),
            Reply::Definitions(_) | Reply::Exit(..) => {
                Err(Fault::Host("a call was answered with something else".into()))
            }
        }
    }
}

async fn definitions_of(kernel: &Kernel, session: &Session) -> Result<Vec<Definition>, Fault> {
    match kernel.submit(session, Syscall::Definitions).await? {
        Reply::Definitions(tools) => Ok(tools),
        Reply::Output(..) | Reply::Exit(..) => {
            Err(Fault::Host("a list was answered with something else".into()))
        }
    }
}

/// How an output is not what the example says; none when it is.
fn differs(example: &Example, output: &Output) -> Option<String> {
    let texts = output.content.iter().filter_map(|content| match content {
        Content::Text(text) => Some(text.as_str()),
        Content::Image(_) | Content::Audio(_) | Content::Document(..) => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    if let Some(expected) = example.text.as_ref().filter(|expected| **expected != text) {
        return Some(format!("the text is {text:?}, not {expected:?}"));
    }
    let structured = output.structured.clone().unwrap_or(Value::Null);
    let expected = example.structured.as_ref().map(|value| json!(value));
    // A function of a plain component may return what is no object: TOML names it `result`.
    let bare = |expected: &Value| match expected.as_object() {
        Some(object) if object.len() == 1 => {
            object.get("result").is_some_and(|result| same(result, &structured))
        }
        _ => false,
    };
    let wrong = expected.filter(|expected| !same(expected, &structured) && !bare(expected));
    wrong.map(|expected| format!("the structured output is {structured}, not {expected}"))
}

/// Equal as JSON has it: 1 and 1.0 are one number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64().is_some_and(|one| Some(one) == other.as_f64())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        (one, other) => one == other,
    }
}
