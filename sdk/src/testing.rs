//! Tools and agents run natively, with fakes in place of a host: [`Host`] for a plugin's tools,
//! [`Kernel`] for an agent. Exists in native builds only, so nothing of it can end up in a
//! component.
//!
//! ```
//! use aos_sdk::testing::Host;
//! # use aos_sdk::{plugin, tool};
//! # /// Says hello.
//! # #[tool(read_only)]
//! # fn hello() -> String { "hello".to_owned() }
//! # plugin!(hello);
//! let output = Host::new().call(&plugin(), "hello", serde_json::json!({})).expect("an output");
//! assert_eq!(output.to_text(), "hello");
//! ```
//!
//! It is a fake, not a sandbox: code that goes around `aos_sdk::fs` and `aos_sdk::http` meets the
//! real machine, and a symbolic link can leave a root.

pub(crate) mod fakes;
mod kernel;
pub(crate) mod link;
mod manifest;
mod script;

use std::path::Path;
use std::rc::Rc;

use crate::http::{Error, Request, Response};
use crate::{Output, Plugin, ToolError};

pub use kernel::{Call, Kernel, Model, Outcome, Process, Prompt};
pub use manifest::{Example, Grant, Manifest};
pub use script::{Script, Turn};

use fakes::Fakes;

/// What a call told whoever watches it.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// How much is done, in the tool's own unit.
    pub done: f64,
    /// Of how much, where the tool knows.
    pub total: Option<f64>,
    /// What it is at.
    pub message: String,
}

/// A host's stand-in: it grants what the test says, and keeps what the calls tell.
#[derive(Default)]
pub struct Host {
    fakes: Fakes,
}

impl Host {
    /// A host that grants nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As `--allow-read HOST:GUEST`.
    #[must_use]
    pub fn allow_read(mut self, host: &Path, guest: &str) -> Self {
        self.fakes.add_root(host, guest, false);
        self
    }

    /// As `--allow-write HOST:GUEST`, which lets the tool read there too.
    #[must_use]
    pub fn allow_write(mut self, host: &Path, guest: &str) -> Self {
        self.fakes.add_root(host, guest, true);
        self
    }

    /// Answers every request; without it every request is denied.
    #[must_use]
    pub fn serve(mut self, answer: impl Fn(&Request) -> Result<Response, Error> + 'static) -> Self {
        self.fakes.server = Some(Rc::new(answer));
        self
    }

    /// What `call::id` gives; `test-call` without it.
    #[must_use]
    pub fn call_id(mut self, id: &str) -> Self {
        self.fakes.call_id = Some(id.to_owned());
        self
    }

    /// What `call::remaining` gives; none without it.
    #[must_use]
    pub fn remaining_ms(mut self, remaining_ms: u64) -> Self {
        self.fakes.remaining_ms = Some(remaining_ms);
        self
    }

    /// Calls one tool, with the path a call takes in a component: JSON text in, output out.
    ///
    /// # Errors
    /// Whatever the tool returns.
    #[expect(clippy::needless_pass_by_value, reason = "so that json!(…) can stand in the call")]
    pub fn call(
        &self,
        plugin: &Plugin,
        tool: &str,
        arguments: serde_json::Value,
    ) -> Result<Output, ToolError> {
        self.fakes.during(|| plugin.call(tool, &arguments.to_string()))
    }

    /// Runs `act`, which may use `aos_sdk::fs`, `http` and `call` directly, under this host.
    pub fn run<T>(&self, act: impl FnOnce() -> T) -> T {
        self.fakes.during(act)
    }

    /// What the calls reported, in order.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.fakes.told.borrow().progress.clone()
    }

    /// The lines the calls logged, in order.
    #[must_use]
    pub fn logged(&self) -> Vec<String> {
        self.fakes.told.borrow().logged.clone()
    }
}
