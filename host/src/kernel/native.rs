//! One call of a container tool: its mounts through the gate, its run, its answer.
//!
//! The call is accepted and written down before anything here happens, as every call is.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::capability::files::{Mode, Mount, MountRequest};
use crate::capability::gate::{Gate, Permit, Refusal};
use crate::capability::grant::{AskPattern, Capability};
use crate::container::ContainerError;
use crate::container::confine::{Bounds, Cell};
use crate::container::manifest::{Native, OutputForm, Tool};
use crate::container::run::{Ran, Stopped};
use crate::container::template::Filled;
use crate::kernel::Kernel;
use crate::sandbox::limits::{LimitName, Limits};
use crate::sandbox::state::Setup;
use crate::sandbox::{Ended, Finished};
use crate::types::{Content, Output, ToolError, Usage};

/// Processes and threads of a container whose file does not say.
const PIDS_DEFAULT: u16 = 64;
/// Thousandths of a processor of one whose file does not say.
const CPU_PERMILLE_DEFAULT: u32 = 1000;
/// MiB of `/tmp` of one whose file does not say.
const TMP_MIB_DEFAULT: u16 = 16;
/// Less memory than this starts no container.
const MEMORY_BYTES_MIN: u64 = 8 << 20;

/// An end, or the tool's own error.
enum Failed {
    Tool(ToolError),
    Ended(Ended),
}

impl Kernel {
    /// Calls a container tool whose arguments fit its schema.
    pub(super) async fn call_native(
        &self,
        tools: &Native,
        setup: &Setup,
        name: &str,
        arguments: &Value,
    ) -> Finished<Result<Output, ToolError>> {
        let began = Instant::now();
        let done = self.run_native(tools, setup, name, arguments).await;
        let wall_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        // What its processes took is the daemon's to count: only the time is known here.
        let usage = Usage { wall_us, ..Usage::default() };
        let result = match done {
            Ok(output) => Ok(Ok(output)),
            Err(Failed::Tool(error)) => Ok(Err(error)),
            Err(Failed::Ended(ended)) => Err(ended),
        };
        Finished { result, usage, refused: None }
    }

    async fn run_native(
        &self,
        tools: &Native,
        setup: &Setup,
        name: &str,
        arguments: &Value,
    ) -> Result<Output, Failed> {
        let invalid = |error: String| Failed::Tool(ToolError::InvalidArguments(error));
        let tool = tools.tool(name).ok_or_else(|| {
            Failed::Tool(ToolError::UnknownTool(format!("there is no tool `{name}`")))
        })?;
        let filled = tool.fill(arguments.as_object().unwrap_or(&Map::new())).map_err(invalid)?;
        let mounts = mounts(&setup.gate, &filled).await?;
        let limits = own_limits(tools, &setup.limits);
        let cell = Cell {
            image: &tools.file.image,
            program: &tool.program,
            words: filled.words,
            stdin: tool.stdin.is_some(),
            mounts,
            bounds: bounds(tools, &limits),
        };
        let daemon = self.parts.containers.daemon().await.map_err(|error| failed(&error))?;
        let output_max = usize::try_from(limits.output_bytes).unwrap_or(usize::MAX);
        let ran = daemon.run(&cell, filled.stdin.as_bytes(), limits.wall, output_max).await;
        match ran {
            Ok(ran) if ran.out_of_memory => Err(limit(&limits, LimitName::Memory)),
            Ok(ran) => answer(tool, &ran),
            Err(Stopped::Time) => Err(limit(&limits, LimitName::Wall)),
            Err(Stopped::Output) => Err(limit(&limits, LimitName::Output)),
            Err(Stopped::Failed(error)) => Err(failed(&error)),
        }
    }
}

fn limit(limits: &Limits, name: LimitName) -> Failed {
    Failed::Ended(Ended::Limit(limits.hit(name)))
}

fn failed(error: &ContainerError) -> Failed {
    let text = error.to_string();
    match error {
        ContainerError::NoDaemon(..)
        | ContainerError::Address(_)
        | ContainerError::Image(_)
        | ContainerError::Mount(_) => Failed::Tool(ToolError::Unavailable(text)),
        ContainerError::Start(_) => Failed::Tool(ToolError::Failed(text)),
        ContainerError::Daemon(_) | ContainerError::Io(_) => Failed::Ended(Ended::Host(text)),
    }
}

/// The granted folders that the call names by its paths, and those that its file asks for by
/// name. Each is a verdict of the gate.
async fn mounts(gate: &Gate, filled: &Filled) -> Result<Vec<Mount>, Failed> {
    let mode = |write: bool| if write { Mode::Write } else { Mode::Read };
    let mut wanted: Vec<(String, Mode)> =
        filled.paths.iter().map(|(path, write)| (path.clone(), mode(*write))).collect();
    for ask in gate.authority().asks().unwrap_or_default() {
        if let AskPattern::Path(path) = &ask.pattern {
            wanted.push((path.clone(), mode(ask.capability == Capability::Write)));
        }
    }
    let mut mounts: Vec<Mount> = Vec::new();
    for (path, mode) in wanted {
        let request = MountRequest::new(&path, mode);
        let give = async |permit: Permit<Mount>| Ok::<_, std::convert::Infallible>(permit.spend());
        let mount = gate.perform(request, give).await.map_err(refused)?;
        match mounts.iter_mut().find(|known| known.guest() == mount.guest()) {
            Some(known) if known.mode() < mount.mode() => *known = mount,
            Some(_) => {}
            None => mounts.push(mount),
        }
    }
    Ok(mounts)
}

fn refused(refusal: Refusal<std::convert::Infallible>) -> Failed {
    match refusal {
        Refusal::Denied(denial) => Failed::Tool(ToolError::Denied(denial)),
        Refusal::Limit(hit) => Failed::Ended(Ended::Limit(hit)),
        Refusal::Journal(error) => Failed::Ended(Ended::Journal(error.to_string())),
        Refusal::Effect(never) => match never {},
    }
}

/// The limits of the call, cut with those of the file.
fn own_limits(tools: &Native, limits: &Limits) -> Limits {
    let own = &tools.file.limits;
    let mut limits = limits.clone();
    if let Some(mib) = own.memory_mib {
        limits.memory_bytes = limits.memory_bytes.min(u64::from(mib) << 20);
    }
    limits.memory_bytes = limits.memory_bytes.max(MEMORY_BYTES_MIN);
    if let Some(seconds) = own.time_s {
        limits.wall = limits.wall.min(Duration::from_secs(seconds.into()));
    }
    if let Some(kib) = own.output_kib {
        limits.output_bytes = limits.output_bytes.min(u64::from(kib) << 10);
    }
    limits
}

fn bounds(tools: &Native, limits: &Limits) -> Bounds {
    let own = &tools.file.limits;
    Bounds {
        memory_bytes: limits.memory_bytes,
        cpu_s: limits.cpu.min(limits.wall).as_secs().max(1),
        // The least that the kernel's scheduler takes is a hundredth.
        cpu_permille: own.cpu_permille.unwrap_or(CPU_PERMILLE_DEFAULT).max(10),
        pids: own.pids.unwrap_or(PIDS_DEFAULT).max(1),
        tmp_bytes: u64::from(own.tmp_mib.unwrap_or(TMP_MIB_DEFAULT)) << 20,
    }
}

/// What a container printed as the answer that its tool promises, or why it failed.
fn answer(tool: &Tool, ran: &Ran) -> Result<Output, Failed> {
    let code = u8::try_from(ran.code).ok();
    if code.is_some_and(|code| tool.exit.empty.contains(&code)) {
        return output(tool, b"");
    }
    if code.is_some_and(|code| tool.exit.ok.contains(&code)) {
        return output(tool, &ran.stdout);
    }
    let meaning = tool.exit.words.get(&ran.code.to_string());
    let meaning = meaning.map(|words| format!(": {words}")).unwrap_or_default();
    let complaint = String::from_utf8_lossy(&ran.stderr);
    let complaint = complaint.trim();
    let complaint = if complaint.is_empty() { String::new() } else { format!("; {complaint}") };
    Err(Failed::Tool(ToolError::Failed(format!(
        "`{}` ended with code {}{meaning}{complaint}",
        tool.program, ran.code
    ))))
}

fn output(tool: &Tool, stdout: &[u8]) -> Result<Output, Failed> {
    let text = String::from_utf8_lossy(stdout).into_owned();
    Ok(match tool.output {
        OutputForm::Text => Output { content: vec![Content::Text(text)], structured: None },
        OutputForm::Lines => {
            let lines: Vec<&str> = text.lines().collect();
            Output { structured: Some(json!({ "lines": lines })), content: Vec::new() }
        }
        OutputForm::Json => {
            let value = match text.trim().is_empty() {
                true => Value::Null,
                false => serde_json::from_str(&text).map_err(|error| {
                    Failed::Ended(Ended::BadAnswer(format!("it printed no JSON: {error}")))
                })?,
            };
            Output { structured: Some(value), content: Vec::new() }
        }
    })
}
