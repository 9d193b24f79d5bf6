//! One run of code in an engine of its own.

use std::rc::Rc;

use rquickjs::context::EvalOptions;
use rquickjs::promise::PromiseState;
use rquickjs::{Context, Ctx, Exception, Function, Object, Promise, Runtime, Value};
use serde_json::value::RawValue;

use crate::natives;
use crate::streams::{BYTES_MAX, Streams, cut};

/// How the code ended.
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub ending: Ending,
}

pub enum Ending {
    /// Its last statement had no value.
    Nothing,
    Value(Box<RawValue>),
    /// A value that JSON has not.
    Shown(String),
    Raised {
        kind: String,
        message: String,
        traceback: String,
    },
}

/// Runs code to its end, with all promises that it made.
///
/// # Errors
/// When the engine itself does not start.
pub fn run(code: &str, stdin: &str) -> Result<Ran, String> {
    let streams = Rc::new(Streams::default());
    let told = || -> rquickjs::Result<Ending> {
        let runtime = Runtime::new()?;
        // For WASI the engine has no bound for its stack: the sandbox's ends the call.
        let context = Context::full(&runtime)?;
        context.with(|ctx| {
            let teller = prelude(&ctx, &streams, stdin)?;
            match evaluate(&ctx, code) {
                Ok(value) => Ok(told(&ctx, &teller, value)),
                Err(error) => Ok(raised(&ctx, &teller, &error)),
            }
        })
    };
    let ending = told().map_err(|error| format!("the engine does not start: {error}"))?;
    Ok(Ran {
        stdout: streams.stdout.take().into_text(),
        stderr: streams.stderr.take().into_text(),
        ending,
    })
}

/// Runs the prelude; returns the object that tells values.
fn prelude<'js>(
    ctx: &Ctx<'js>,
    streams: &Rc<Streams>,
    stdin: &str,
) -> rquickjs::Result<Object<'js>> {
    let start: Function =
        ctx.eval_with_options(include_str!("prelude.js"), options("prelude.js"))?;
    start.call((natives::all(ctx, streams)?, stdin))
}

fn options(name: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    // A script as any other: not strict by itself, its `const` and `let` its own.
    options.strict = false;
    options.filename = Some(name.to_owned());
    options
}

fn evaluate<'js>(ctx: &Ctx<'js>, code: &str) -> rquickjs::Result<Value<'js>> {
    let value: Value = ctx.eval_with_options(code, options("code.js"))?;
    while ctx.execute_pending_job() {}
    let Some(promise) = value.as_promise() else { return Ok(value) };
    settled(ctx, promise)
}

fn settled<'js>(ctx: &Ctx<'js>, promise: &Promise<'js>) -> rquickjs::Result<Value<'js>> {
    match (promise.state(), promise.result::<Value>()) {
        (PromiseState::Resolved | PromiseState::Rejected, Some(result)) => result,
        (PromiseState::Pending, _) | (_, None) => {
            let sentence = "the code waits for a promise that nothing resolves";
            Err(Exception::throw_message(ctx, sentence))
        }
    }
}

fn told<'js>(ctx: &Ctx<'js>, teller: &Object<'js>, value: Value<'js>) -> Ending {
    if value.is_undefined() {
        return Ending::Nothing;
    }
    let json = text(ctx, teller, "json", value.clone()).filter(|json| json.len() <= BYTES_MAX);
    match json.and_then(|json| RawValue::from_string(json).ok()) {
        Some(value) => Ending::Value(value),
        None => Ending::Shown(shown(ctx, teller, value)),
    }
}

fn shown<'js>(ctx: &Ctx<'js>, teller: &Object<'js>, value: Value<'js>) -> String {
    let text = text(ctx, teller, "show", value);
    text.map_or_else(|| "[what cannot be shown]".into(), |text| cut(&text))
}

fn raised<'js>(ctx: &Ctx<'js>, teller: &Object<'js>, error: &rquickjs::Error) -> Ending {
    // What the engine itself says has no value of the language behind it.
    let thrown = if error.is_exception() { ctx.catch() } else { Value::new_undefined(ctx.clone()) };
    let part = |name: &str| text(ctx, teller, name, thrown.clone()).map(|text| cut(&text));
    let kind = part("kind").unwrap_or_else(|| "Error".into());
    let message = part("message").unwrap_or_else(|| error.to_string());
    let traceback = part("traceback").unwrap_or_else(|| format!("{kind}: {message}"));
    Ending::Raised { kind, message, traceback }
}

/// What one of the teller's functions says; none when the code has broken what it needs.
fn text<'js>(
    ctx: &Ctx<'js>,
    teller: &Object<'js>,
    name: &str,
    value: Value<'js>,
) -> Option<String> {
    let said = teller.get(name).and_then(|function: Function| function.call((value,)));
    if said.is_err() {
        // It is not what the code has thrown, so nobody is told.
        let _own = ctx.catch();
    }
    said.ok()
}
