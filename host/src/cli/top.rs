//! `aos-host top`: a screen that shows the running host, or one picture of it where there is no
//! terminal.

mod draw;

use std::io::{IsTerminal, stdin, stdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use clap::Args;
use ratatui::Terminal;
use ratatui::backend::TermionBackend;
use ratatui::termion::event::Key;
use ratatui::termion::input::TermRead;
use ratatui::termion::raw::IntoRawMode;
use ratatui::termion::screen::IntoAlternateScreen;

use self::draw::{View, draw, picture};
use super::exit::{Code, Failure};
use super::serve::client;
use super::terminal;
use crate::api::client::Client;
use crate::config::{Config, Time};

#[derive(Debug, Args)]
pub struct TopArgs {
    /// How often it is drawn anew
    #[arg(long, value_name = "TIME", default_value = "1s")]
    every: Time,
    /// One picture as text, also on a terminal
    #[arg(long)]
    once: bool,
}

/// Drawing oftener than this shows nobody more.
const EVERY_MIN: Duration = Duration::from_millis(100);
/// Columns of a picture for what is no terminal.
const PICTURE_COLUMNS: u16 = 120;

/// Shows the host until q is pressed.
pub async fn top(config: &Config, arguments: &TopArgs) -> Result<Code, Failure> {
    let client = client(config)?;
    let on_a_terminal = stdout().is_terminal() && stdin().is_terminal();
    if arguments.once || !on_a_terminal {
        let frame = client.frame().await?;
        return terminal::print_line(&picture(&frame, PICTURE_COLUMNS));
    }
    screen(&client, arguments.every.0.max(EVERY_MIN)).await
}

async fn screen(client: &Client, every: Duration) -> Result<Code, Failure> {
    let mut frame = client.frame().await?;
    let keys = keys();
    // Both are taken back when the terminal is dropped, however that comes about.
    let raw = stdout().into_raw_mode().map_err(Failure::host)?;
    let raw = raw.into_alternate_screen().map_err(Failure::host)?;
    let mut terminal = Terminal::new(TermionBackend::new(raw)).map_err(Failure::host)?;
    terminal.hide_cursor().map_err(Failure::host)?;
    let mut view = View::default();
    let ended = loop {
        let drawn = terminal.draw(|area| draw(area, &frame, &mut view));
        drawn.map_err(Failure::host)?;
        match wait_for_key(&keys, every) {
            Some(Key::Char('q') | Key::Esc | Key::Ctrl('c')) => break Ok(Code::Ok),
            Some(Key::Down | Key::Char('j')) => view.down(1),
            Some(Key::Up | Key::Char('k')) => view.up(1),
            Some(Key::PageDown | Key::Char(' ')) => view.down(20),
            Some(Key::PageUp) => view.up(20),
            Some(Key::Char('a')) => view.with_ended = !view.with_ended,
            Some(_) => {}
            None => match client.frame().await {
                Ok(next) => frame = next,
                Err(error) => break Err(error.into()),
            },
        }
    };
    // Nothing can be done where the terminal is gone.
    let _shown = terminal.show_cursor();
    ended
}

/// Keys as they are pressed. The thread that reads them ends with the process.
fn keys() -> Receiver<Key> {
    let (tell, keys) = sync_channel(64);
    std::thread::spawn(move || {
        for key in stdin().keys().map_while(Result::ok) {
            if tell.send(key).is_err() {
                return;
            }
        }
    });
    keys
}

fn wait_for_key(keys: &Receiver<Key>, most: Duration) -> Option<Key> {
    match keys.recv_timeout(most) {
        Ok(key) => Some(key),
        Err(RecvTimeoutError::Timeout) => None,
        // Nobody can press anything any more.
        Err(RecvTimeoutError::Disconnected) => Some(Key::Char('q')),
    }
}
