//! `aos-host audit anchor`, `key`, `prove`, and what `serve --anchor` does at its interval: signed
//! heads, and where they go.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::find::chain_of;
use super::verify::open;
use crate::cli::exit::{Code, Failure};
use crate::cli::terminal;
use crate::config::Config;
use crate::journal::{JournalError, SignedHead, SigningKey, read_signed_heads, sign_head};
use crate::storage::{Batch, Durability, Storage};

/// How long a command may take to carry a head away.
const COMMAND_TIME: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// Where signed heads go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Appended to this file, a line each.
    File(PathBuf),
    /// Given to this command of the shell on its standard input.
    Command(String),
}

impl FromStr for Outside {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('|').map(str::trim) {
            Some("") => Err("a command follows `|`"),
            Some(command) => Ok(Self::Command(command.to_owned())),
            None if text.is_empty() => Err("a file, or `|` and a command"),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl Outside {
    /// Carries a head away. Fails with one sentence.
    pub async fn take(&self, head: &SignedHead) -> Result<(), String> {
        let line = format!("{}\n", head.line());
        match self {
            Self::File(path) => {
                let failed = |error| format!("{}: {error}", path.display());
                let mut file = OpenOptions::new();
                let file = file.append(true).create(true).mode(0o644).open(path);
                let mut file = file.map_err(failed)?;
                file.write_all(line.as_bytes()).map_err(failed)?;
                file.sync_all().map_err(failed)
            }
            Self::Command(command) => {
                let failed =
                    |what: String| format!("the command `{command}` took no signed head: {what}");
                let own = command.clone();
                let run = tokio::task::spawn_blocking(move || piped(&own, line.as_bytes())).await;
                match run {
                    Err(error) => Err(failed(error.to_string())),
                    Ok(Err(error)) => Err(failed(error.to_string())),
                    Ok(Ok(status)) if status.success() => Ok(()),
                    Ok(Ok(status)) => Err(failed(status.to_string())),
                }
            }
        }
    }
}

/// Runs a command with the line on its standard input; what it prints goes to stderr. One that
/// takes longer than [`COMMAND_TIME`] is killed.
fn piped(command: &str, line: &[u8]) -> std::io::Result<std::process::ExitStatus> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(std::io::stderr())
        .spawn()?;
    // A head may be larger than a pipe, and nobody may be reading it.
    let writer = child.stdin.take().map(|mut stdin| {
        let line = line.to_vec();
        // A command that ends without reading says by its code whether that was right.
        std::thread::spawn(move || drop(stdin.write_all(&line)))
    });
    let since = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if since.elapsed() > COMMAND_TIME {
            child.kill()?;
            child.wait()?;
            let what = format!("it took longer than {COMMAND_TIME:?}");
            return Err(std::io::Error::other(what));
        }
        std::thread::sleep(LOOK);
    };
    // The pipe is closed now unless something the command left behind holds it; that is not
    // waited for.
    drop(writer);
    Ok(status)
}

/// Signs how far the store has come, and makes that durable: rows that a power loss took after
/// their head was carried away would look like a cut-off end.
pub async fn signed(store: &dyn Storage, key: &SigningKey) -> Result<SignedHead, JournalError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_us = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let head = sign_head(store, key, time_us).await?;
    store.append(&Batch::default(), Durability::Synced).await?;
    Ok(head)
}

/// `audit anchor`.
pub(super) async fn on_demand(
    config: &Config,
    store: &dyn Storage,
    to: Option<&Outside>,
) -> Result<Code, Failure> {
    let key = SigningKey::at(&config.anchor_key).map_err(Failure::host)?;
    let head = signed(store, &key).await?;
    match to {
        None => terminal::print_line(&head.line()),
        Some(outside) => outside.take(&head).await.map(|()| Code::Ok).map_err(Failure::host),
    }
}

/// `audit prove`.
pub(super) async fn prove(
    config: &Config,
    store: &dyn Storage,
    run: &str,
    head: Option<&PathBuf>,
) -> Result<Code, Failure> {
    let chain = chain_of(store, run).await?;
    let key = SigningKey::at(&config.anchor_key).map_err(Failure::host)?;
    let head = match head {
        None => signed(store, &key).await?,
        Some(path) => {
            let newest = read_signed_heads(open(path)?, &key.public())?.pop();
            newest.ok_or_else(|| Failure::usage("there is no signed head"))?
        }
    };
    let proof = crate::journal::prove(store, &chain, head).await?;
    terminal::print_line(&proof.line())
}

/// Signs and carries away at every interval, and once more when `stop` comes. A head that would say
/// what the last one said is left out. A failure is told to `say`; the next interval tries again.
pub async fn keep_anchored(
    store: &dyn Storage,
    key: &SigningKey,
    outside: &Outside,
    every: Duration,
    mut last: SignedHead,
    stop: impl Future<Output = ()>,
    say: impl Fn(&str),
) {
    let mut stop = std::pin::pin!(stop);
    loop {
        let stopped = tokio::time::timeout(every, &mut stop).await.is_ok();
        match signed(store, key).await {
            Ok(head) if head.root == last.root && head.chains == last.chains => {}
            Ok(head) => match outside.take(&head).await {
                Ok(()) => last = head,
                Err(what) => say(&format!("no signed head was carried away: {what}")),
            },
            Err(what) => say(&format!("no head was signed: {what}")),
        }
        if stopped {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_begins_a_command_and_anything_else_is_a_file() {
        let command = Outside::Command("curl -T - https://x".into());
        assert_eq!("| curl -T - https://x".parse(), Ok(command));
        assert_eq!("heads".parse(), Ok(Outside::File("heads".into())));
        assert!("".parse::<Outside>().is_err() && "|".parse::<Outside>().is_err());
    }
}
