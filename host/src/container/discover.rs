//! What an image holds: its hash, its programs, and which of them the catalogue knows.
//!
//! The list of programs is read from a container that is never started. A program is started only
//! to ask it for `--help`, shut in like any tool, where an entry of the catalogue depends on that.

use std::io::Read;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use bytes::{Buf, Bytes};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::container::ContainerError;
use crate::container::catalogue::{self, Entry};
use crate::container::confine::{Bounds, Cell, body};
use crate::container::daemon::Daemon;
use crate::container::run::Stopped;

/// Where programs lie, in the order in which they are found.
const FOLDERS: [&str; 6] =
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];
/// Programs of one folder; more is no image for people.
const PROGRAMS_MAX: usize = 20_000;
/// What is read of one folder: names stand between contents.
const FOLDER_BYTES_MAX: u64 = 4 << 30;
/// Pieces of an archive that wait for its reader.
const PIECES_AHEAD: usize = 16;
/// How long a program may take to say what it can do.
const HELP_TIME: Duration = Duration::from_secs(10);
/// What is read of it.
const HELP_BYTES_MAX: usize = 256 * 1024;

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `sha256:` and its hash.
    pub id: String,
    /// What it was called.
    pub reference: String,
}

/// A program in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
}

impl Daemon {
    /// The image that a name means now; with `pull` the daemon fetches it where it is not there.
    ///
    /// # Errors
    /// [`ContainerError::Image`] when it is not there.
    pub async fn image(&self, reference: &str, pull: bool) -> Result<Image, ContainerError> {
        match self.docker.inspect_image(reference).await {
            Ok(found) => {
                let id = found.id.unwrap_or_default();
                Ok(Image { id, reference: reference.to_owned() })
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) if pull => {
                self.pull(reference).await?;
                Box::pin(self.image(reference, false)).await
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                Err(ContainerError::Image(format!(
                    "there is no image `{reference}` at {}; --pull has the daemon fetch it",
                    self.address
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn pull(&self, reference: &str) -> Result<(), ContainerError> {
        let options = CreateImageOptionsBuilder::new().from_image(reference);
        // Without a tag the daemon would fetch all of them.
        let last = reference.rsplit('/').next().unwrap_or(reference);
        let named = last.contains(':') || last.contains('@');
        let options = if named { options } else { options.tag("latest") };
        let mut steps = std::pin::pin!(self.docker.create_image(Some(options.build()), None, None));
        while let Some(step) = steps.next().await {
            step.map_err(|error| {
                ContainerError::Image(format!("`{reference}` was not pulled: {error}"))
            })?;
        }
        Ok(())
    }

    /// The programs of an image, by name, each once: that which is found first.
    ///
    /// # Errors
    /// When the daemon says no.
    pub async fn programs(&self, image: &Image) -> Result<Vec<Program>, ContainerError> {
        let name = format!("aos-{}", uuid::Uuid::now_v7().simple());
        let cell = Cell {
            image: &image.id,
            program: "/never/started",
            words: Vec::new(),
            stdin: false,
            mounts: Vec::new(),
            bounds: HELP_BOUNDS,
        };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let body = body(&cell, &self.address, &self.host)?;
        self.docker.create_container(Some(options), body).await?;
        let listed = self.list(&name).await;
        self.remove_later(&name);
        listed
    }

    async fn list(&self, container: &str) -> Result<Vec<Program>, ContainerError> {
        let mut programs: Vec<Program> = Vec::new();
        for folder in FOLDERS {
            for name in self.names(container, folder).await? {
                if !programs.iter().any(|program| program.name == name) {
                    let path = format!("{folder}/{name}");
                    programs.push(Program { name, path });
                }
            }
        }
        programs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(programs)
    }

    /// The names in a folder; none when there is no such folder.
    async fn names(&self, container: &str, folder: &str) -> Result<Vec<String>, ContainerError> {
        let options = DownloadFromContainerOptionsBuilder::new().path(folder).build();
        let mut pieces =
            std::pin::pin!(self.docker.download_from_container(container, Some(options)));
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let reader = tokio::task::spawn_blocking(move || read_names(Pieces::of(receiver)));
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => {
                    if sender.send(piece).await.is_err() {
                        // Its reader has heard enough.
                        break;
                    }
                }
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                    return Ok(Vec::new());
                }
                Err(error) => return Err(error.into()),
            }
        }
        drop(sender);
        let names = reader.await.map_err(|error| ContainerError::Io(error.to_string()))?;
        names.map_err(|error| ContainerError::Daemon(format!("its list of {folder}: {error}")))
    }

    /// The entry of the catalogue that fits a program; none when it knows no such program.
    ///
    /// # Errors
    /// When the daemon says no. A program that does not answer fits no entry with `needs`.
    pub async fn known(
        &self,
        image: &Image,
        program: &Program,
    ) -> Result<Option<Entry>, ContainerError> {
        let mut help: Option<String> = None;
        for entry in catalogue::entries() {
            if entry.program != program.name {
                continue;
            }
            let Some(needs) = &entry.needs else { return Ok(Some(entry)) };
            if help.is_none() {
                help = Some(self.help(image, program).await?);
            }
            if help.as_deref().is_some_and(|help| help.contains(needs)) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    async fn help(&self, image: &Image, program: &Program) -> Result<String, ContainerError> {
        let cell = Cell {
            image: &image.id,
            program: &program.path,
            words: vec!["--help".into()],
            stdin: false,
            mounts: Vec::new(),
            bounds: HELP_BOUNDS,
        };
        match self.run(&cell, b"", HELP_TIME, HELP_BYTES_MAX).await {
            Ok(ran) => {
                let (out, complaint) = (&ran.stdout, &ran.stderr);
                Ok([out, complaint].map(|text| String::from_utf8_lossy(text)).concat())
            }
            Err(Stopped::Time | Stopped::Output | Stopped::Failed(ContainerError::Start(_))) => {
                Ok(String::new())
            }
            Err(Stopped::Failed(error)) => Err(error),
        }
    }
}

/// Enough for any program to print its options.
const HELP_BOUNDS: Bounds =
    Bounds { memory_bytes: 64 << 20, cpu_s: 5, cpu_permille: 1000, pids: 32, tmp_bytes: 1 << 20 };

/// Executables and links in an archive of one folder.
fn read_names(pieces: Pieces) -> std::io::Result<Vec<String>> {
    let mut archive = tar::Archive::new(pieces.take(FOLDER_BYTES_MAX));
    let mut names = Vec::new();
    for entry in archive.entries()? {
        let entry = entry?;
        let kind = entry.header().entry_type();
        let runs = entry.header().mode()? & 0o111 != 0;
        let path = entry.path()?;
        // `bin/name`, and nothing below a folder of it.
        let plain = path.components().count() == 2;
        let name = path.file_name().and_then(|name| name.to_str()).filter(|_| plain);
        let program = kind.is_symlink() || kind.is_hard_link() || (kind.is_file() && runs);
        if let (Some(name), true) = (name, program) {
            names.push(name.to_owned());
        }
        if names.len() >= PROGRAMS_MAX {
            break;
        }
    }
    Ok(names)
}

/// An archive that comes in pieces, as a reader on a thread of its own.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Pieces {
    fn of(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { receiver, piece: Bytes::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
