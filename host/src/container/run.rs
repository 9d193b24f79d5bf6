//! One container from its creation to its removal, within its time and its output.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;

use crate::container::confine::{Cell, body};
use crate::container::daemon::Daemon;
use crate::container::{ContainerError, one_line};

/// What is kept of stderr: enough for what a program says of its failure.
pub const STDERR_BYTES_MAX: usize = 16 * 1024;

/// The exit code of a program that was killed: 128 and the number of SIGKILL.
const CODE_KILLED: i64 = 137;
/// How often, and how long apart, the daemon is asked why.
const OOM_LOOKS: u32 = 10;
/// As above.
const OOM_LOOK: Duration = Duration::from_millis(100);

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub code: i64,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained, cut at 16 KiB.
    pub stderr: Vec<u8>,
    /// The kernel ended it since its memory was used up.
    pub out_of_memory: bool,
}

/// An end that its bounds brought.
#[derive(Debug)]
pub enum Stopped {
    /// Its time was over.
    Time,
    /// It printed more than it may.
    Output,
    /// It could not run, or the daemon failed.
    Failed(ContainerError),
}

impl<E: Into<ContainerError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Removes a container whatever becomes of the call.
struct Leftover<'a> {
    daemon: &'a Daemon,
    name: String,
}

impl Drop for Leftover<'_> {
    fn drop(&mut self) {
        self.daemon.remove_later(&self.name);
    }
}

impl Daemon {
    /// Runs a container to its end. It is removed afterwards, also when this future is dropped.
    ///
    /// # Errors
    /// [`Stopped`] says what ended it.
    pub async fn run(
        &self,
        cell: &Cell<'_>,
        stdin: &[u8],
        time: Duration,
        output_bytes_max: usize,
    ) -> Result<Ran, Stopped> {
        let name = format!("aos-{}", uuid::Uuid::now_v7().simple());
        let body = body(cell, &self.address, &self.host)?;
        let _leftover = Leftover { daemon: self, name: name.clone() };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let created = self.docker.create_container(Some(options), body).await;
        created.map_err(|error| not_created(error, cell.image))?;
        let running = self.start_to_end(&name, cell, stdin, output_bytes_max);
        tokio::time::timeout(time, running).await.unwrap_or(Err(Stopped::Time))
    }

    async fn start_to_end(
        &self,
        name: &str,
        cell: &Cell<'_>,
        stdin: &[u8],
        output_bytes_max: usize,
    ) -> Result<Ran, Stopped> {
        let options = AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true);
        let options = options.stdin(cell.stdin).build();
        let attached = self.docker.attach_container(name, Some(options)).await?;
        self.docker
            .start_container(name, None)
            .await
            .map_err(|error| not_started(error, cell.program))?;
        let mut ran = Ran::default();
        let (mut input, mut output) = (attached.input, attached.output);
        let feed = async {
            // A program that does not read its input is no error: it says itself how it ended.
            let _fed = input.write_all(stdin).await;
            let _closed = input.shutdown().await;
            std::future::pending::<()>().await;
        };
        let read = async {
            while let Some(piece) = output.next().await {
                keep(&mut ran, piece?, output_bytes_max)?;
            }
            Ok::<_, Stopped>(())
        };
        tokio::select! {
            read = read => read?,
            () = feed => {}
        }
        ran.code = self.ended(name).await?;
        if ran.code != 0 {
            let looks = if ran.code == CODE_KILLED { OOM_LOOKS } else { 1 };
            ran.out_of_memory = self.was_out_of_memory(name, looks).await?;
        }
        Ok(ran)
    }

    /// Whether the kernel killed it for its memory. The daemon hears of that by another way than
    /// of the end, and sometimes later, so it is asked again for a while.
    async fn was_out_of_memory(&self, name: &str, looks: u32) -> Result<bool, ContainerError> {
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(OOM_LOOK).await;
            }
            let state = self.docker.inspect_container(name, None).await?.state;
            if state.and_then(|state| state.oom_killed).unwrap_or(false) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The exit code, once the container has ended.
    async fn ended(&self, name: &str) -> Result<i64, ContainerError> {
        let mut waited = std::pin::pin!(self.docker.wait_container(name, None));
        match waited.next().await {
            Some(Ok(ended)) => Ok(ended.status_code),
            Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(error.into()),
            None => Err(ContainerError::Daemon("it does not say how the container ended".into())),
        }
    }
}

fn keep(ran: &mut Ran, piece: LogOutput, output_bytes_max: usize) -> Result<(), Stopped> {
    match piece {
        LogOutput::StdOut { message } => {
            if ran.stdout.len() + message.len() > output_bytes_max {
                return Err(Stopped::Output);
            }
            ran.stdout.extend_from_slice(&message);
        }
        LogOutput::StdErr { message } => {
            let room = STDERR_BYTES_MAX.saturating_sub(ran.stderr.len());
            ran.stderr.extend_from_slice(&message[..message.len().min(room)]);
        }
        // Neither comes from a container without a terminal.
        LogOutput::StdIn { .. } | LogOutput::Console { .. } => {}
    }
    Ok(())
}

fn not_created(error: Error, image: &str) -> ContainerError {
    match error {
        Error::DockerResponseServerError { status_code: 404, .. } => {
            ContainerError::Image(format!(
                "the image {image} is not there: pull or load it, then wrap the tool again \
             (`aos-host tool wrap`), or `docker pull` it by this hash"
            ))
        }
        other => other.into(),
    }
}

/// The runtime's sentence for a program that is not there, or is none.
fn not_started(error: Error, program: &str) -> ContainerError {
    match error {
        Error::DockerResponseServerError { message, .. } => ContainerError::Start(format!(
            "`{program}` does not start in its image: {}",
            one_line(&message)
        )),
        other => other.into(),
    }
}
