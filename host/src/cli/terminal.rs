//! What is particular about a terminal: colours, spinners, bytes that must not reach it.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::exit::{Code, Failure};
use crate::sandbox::host::call::ProgressReport;
use crate::sandbox::program::CompileEvent;
pub use crate::sandbox::stdio::visible;

/// True when stderr takes colours and the user did not refuse them.
pub fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}

/// Writes an answer. A reader that went away is no error: `aos-host … | head` ends quietly.
pub fn print_bytes(bytes: &[u8]) -> Result<Code, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Code::Ok),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Code::Ok),
        Err(error) => Err(Failure::host(format!("stdout: {error}"))),
    }
}

/// Writes an answer and a line's end.
pub fn print_line(text: &str) -> Result<Code, Failure> {
    let mut line = String::with_capacity(text.len() + 1);
    line.push_str(text);
    if !text.ends_with('\n') {
        line.push('\n');
    }
    print_bytes(line.as_bytes())
}

/// Text from a guest, fit for where stdout goes: a terminal obeys control characters, so they
/// are shown instead; a file or a pipe gets the bytes as they are.
pub fn shown(text: &str) -> String {
    if !io::stdout().is_terminal() {
        return text.to_owned();
    }
    visible(text)
}

/// [`visible`] for what has one line: a name with a line's end in it would forge another.
pub fn one_line(text: &str) -> String {
    visible(text).replace('\n', "\u{240a}").replace('\t', "\u{2409}")
}

/// A word beside the answer, on stderr.
pub fn note(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _told = writeln!(io::stderr(), "note: {}", one_line(text));
}

/// A compile shorter than this is not worth a word.
const PATIENCE: Duration = Duration::from_millis(500);

/// A spinner for a compile that takes long, on a terminal.
pub fn compile_spinner() -> impl Fn(CompileEvent) + Send + Sync {
    let spinner: Mutex<Option<ProgressBar>> = Mutex::new(None);
    move |event| {
        let mut spinner = spinner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            CompileEvent::Begins(bytes) if io::stderr().is_terminal() => {
                let size = bytesize::ByteSize(bytes as u64);
                let bar = ProgressBar::hidden();
                bar.set_style(ProgressStyle::default_spinner());
                bar.set_message(format!("compiling {size}, once; it is kept for the next time"));
                let ticking = bar.clone();
                // The compile holds this thread, so another one turns the spinner.
                std::thread::spawn(move || {
                    std::thread::sleep(PATIENCE);
                    if !ticking.is_finished() {
                        ticking.set_draw_target(ProgressDrawTarget::stderr());
                        ticking.enable_steady_tick(Duration::from_millis(100));
                    }
                });
                *spinner = Some(bar);
            }
            CompileEvent::Begins(_) => {}
            CompileEvent::Ended(_) => {
                if let Some(bar) = spinner.take() {
                    bar.finish_and_clear();
                }
            }
        }
    }
}

/// A line that says where things stand, on a terminal.
pub fn status_line() -> impl Fn(&str) + Send + Sync {
    let bar = ProgressBar::hidden();
    if io::stderr().is_terminal() {
        bar.set_style(ProgressStyle::default_spinner());
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    move |text| {
        bar.set_message(one_line(text));
        bar.tick();
    }
}

/// A bar for a guest's progress, on a terminal.
pub fn progress_bar() -> impl Fn(ProgressReport) + Send + Sync {
    let bar = ProgressBar::hidden();
    if io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    move |report: ProgressReport| {
        // A float from a guest: whatever it is, it becomes a whole number from 0 on.
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is meant")]
        #[expect(clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
        let whole = |number: f64| number as u64;
        bar.set_length(report.total.map_or(0, whole));
        bar.set_position(whole(report.done));
        bar.set_message(report.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(one_line("a\n\tb\x1b"), "a␊␉b␛");
        assert_eq!(visible("a\x1b[2Jb\r\x7f\u{9b}\n\tc"), "a␛[2Jb␍␡\u{fffd}\n\tc");
    }
}
