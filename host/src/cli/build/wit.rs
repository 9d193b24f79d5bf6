//! The contract's WIT, laid out for the generators of other languages.

use std::path::{Path, PathBuf};

use super::super::exit::Failure;
use super::project::Kind;
use crate::sandbox::pack::{AGENT_WIT, TOOL_WIT};

/// The world of each kind. Interpreters import no standard error of themselves, so it is asked for.
const WORLDS: &str = "package aos:build;
world tool { include aos:tool/tool@0.1.0; }
world agent { include aos:agent/agent@0.1.0; }
world command { export wasi:cli/run@0.2.12; }
world tool-with-console { include tool; import wasi:cli/stderr@0.2.12; }
world agent-with-console { include agent; import wasi:cli/stderr@0.2.12; }
world command-with-console {
  include command;
  import wasi:cli/stderr@0.2.12;
  import wasi:cli/stdout@0.2.12;
  import wasi:cli/environment@0.2.12;
}
";

/// Of WASI's own, as much as an interpreter's glue calls.
const CLI: &str = "package wasi:cli@0.2.12;
interface run { run: func() -> result; }
interface environment { get-arguments: func() -> list<string>; }
interface stdout {
  use wasi:io/streams@0.2.12.{output-stream};
  get-stdout: func() -> output-stream;
}
interface stderr {
  use wasi:io/streams@0.2.12.{output-stream};
  get-stderr: func() -> output-stream;
}
";
const IO: &str = "package wasi:io@0.2.12;
interface error { resource error { to-debug-string: func() -> string; } }
interface streams {
  use error.{error};
  variant stream-error { last-operation-failed(error), closed }
  resource output-stream {
    blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
  }
}
";

/// Writes it below `scratch` and returns its folder.
///
/// # Errors
/// When it cannot be written.
pub fn write(scratch: &Path) -> Result<PathBuf, Failure> {
    let folder = scratch.join("wit");
    for (name, text) in [
        ("build.wit", WORLDS),
        ("deps/aos-tool/tool.wit", TOOL_WIT),
        ("deps/aos-agent/agent.wit", AGENT_WIT),
        ("deps/wasi-cli/cli.wit", CLI),
        ("deps/wasi-io/io.wit", IO),
    ] {
        let path = folder.join(name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&path, text))
            .map_err(|error| Failure::host(format!("{}: {error}", path.display())))?;
    }
    Ok(folder)
}

/// The world of a kind, by its name.
pub fn world(kind: Kind) -> &'static str {
    match kind {
        Kind::Tool => "tool",
        Kind::Agent => "agent",
        Kind::Command => "command",
    }
}
