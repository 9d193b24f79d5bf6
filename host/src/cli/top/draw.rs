//! One picture of a running host: figures on top, agents below.

use ratatui::Frame as Area;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table};

use crate::api::words::{Frame, Slots};
use crate::cli::ps::{HEADS, cells, count, money, time};
use crate::cli::terminal::one_line;
use crate::types::{ProcessView, Standing};

/// What the person at the screen has chosen.
#[derive(Debug, Default)]
pub struct View {
    /// Agents that are scrolled past.
    first: usize,
    /// Those that have ended are shown too.
    pub with_ended: bool,
}

impl View {
    /// Scrolls down.
    pub fn down(&mut self, lines: usize) {
        self.first = self.first.saturating_add(lines);
    }

    /// Scrolls up.
    pub fn up(&mut self, lines: usize) {
        self.first = self.first.saturating_sub(lines);
    }
}

/// Draws it.
pub fn draw(area: &mut Area<'_>, frame: &Frame, view: &mut View) {
    let head = head(frame);
    let agents = ranked(frame, view.with_ended);
    let height = u16::try_from(head.len()).unwrap_or(u16::MAX);
    let parts = [Constraint::Length(height + 1), Constraint::Min(2), Constraint::Length(1)];
    let [above, middle, below] = Layout::vertical(parts).areas(area.area());
    area.render_widget(Paragraph::new(head), above);
    // The last page stays full.
    let rows = usize::from(middle.height.saturating_sub(1));
    view.first = view.first.min(agents.len().saturating_sub(rows));
    table(area, middle, &agents[view.first..]);
    let keys = "q quit   ↑↓ scroll   a agents that have ended";
    area.render_widget(Line::from(keys).dim(), below);
}

/// The same as text, as many lines as it needs.
pub fn picture(frame: &Frame, columns: u16) -> String {
    let mut view = View { with_ended: true, ..View::default() };
    let lines = head(frame).len() + frame.agents.len() + 3;
    let lines = u16::try_from(lines).unwrap_or(u16::MAX);
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, lines));
    let Ok(_drawn) = terminal.draw(|area| draw(area, frame, &mut view));
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(columns));
    let text = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    // The last line is about keys.
    let mut text: Vec<String> = text.map(|line| line.trim_end().to_owned()).collect();
    text.pop();
    text.join("\n").trim_end().to_owned()
}

/// Those that run come first, then those that wait, then those that have ended; each in order.
fn ranked(frame: &Frame, with_ended: bool) -> Vec<&ProcessView> {
    let rank = |agent: &&ProcessView| match agent.standing {
        Standing::Running => 0,
        Standing::Ready => 1,
        Standing::Waiting(_) => 2,
        Standing::Paused => 3,
        Standing::Exited => 4,
    };
    let mut agents: Vec<_> = frame.agents.iter().collect();
    agents.retain(|agent| with_ended || agent.standing != Standing::Exited);
    agents.sort_by_key(rank);
    agents
}

fn head(frame: &Frame) -> Vec<Line<'static>> {
    let host = &frame.host;
    let (pid, store, up) = (host.pid, one_line(&host.store), time(host.up_ms));
    let first = format!("aos-host {} · process {pid} · {store} · up {up}", host.version);
    vec![
        Line::from(first).bold(),
        Line::from(standings(&frame.agents)),
        Line::from(used(frame)),
        Line::from(slots(&frame.slots)),
    ]
}

/// How many agents stand where.
fn standings(agents: &[ProcessView]) -> String {
    let of =
        |wanted: fn(Standing) -> bool| agents.iter().filter(|agent| wanted(agent.standing)).count();
    let living = of(|standing| standing != Standing::Exited);
    format!(
        "agents {living}: {} running, {} ready, {} waiting, {} paused; {} ended lately",
        of(|standing| standing == Standing::Running),
        of(|standing| standing == Standing::Ready),
        of(|standing| matches!(standing, Standing::Waiting(_))),
        of(|standing| standing == Standing::Paused),
        agents.len() - living
    )
}

/// Tokens and money, of the ledger; how much of the prompts a cache served, of the agents shown.
fn used(frame: &Frame) -> String {
    let (total, window) = (&frame.used.total, &frame.used.window);
    let input: u64 = frame.agents.iter().map(|agent| agent.usage.input_tokens).sum();
    let cached: u64 = frame.agents.iter().map(|agent| agent.usage.cache_read_tokens).sum();
    let hits = match (cached * 100).checked_div(input) {
        Some(percent) => format!("{percent} %"),
        None => "–".to_owned(),
    };
    format!(
        "tokens {} ({} in {}) · calls {} · money {} · cache hits {hits}",
        count(total.tokens),
        count(window.tokens),
        time(frame.used.window_ms),
        count(total.calls),
        money(total.microdollars)
    )
}

fn slots(slots: &[Slots]) -> String {
    let each: Vec<_> = slots
        .iter()
        .map(|slots| {
            let Slots { name, slots, running, waiting } = slots;
            format!("{} {running}/{slots}, {waiting} wait", one_line(name))
        })
        .collect();
    format!("slots {}", each.join(" · "))
}

fn table(area: &mut Area<'_>, place: Rect, agents: &[&ProcessView]) {
    let visible = agents.iter().take(usize::from(place.height));
    let rows = visible.map(|agent| {
        let style = match agent.standing {
            Standing::Running => Style::new().add_modifier(Modifier::BOLD),
            Standing::Exited => Style::new().add_modifier(Modifier::DIM),
            Standing::Ready | Standing::Waiting(_) | Standing::Paused => Style::new(),
        };
        Row::new(cells(agent).map(Span::from)).style(style)
    });
    let widths = [6, 6, 18, 3, 17, 7, 9, 7, 8].map(Constraint::Length);
    let widths = widths.into_iter().chain([Constraint::Min(10)]);
    let heads = Row::new(HEADS).style(Style::new().add_modifier(Modifier::UNDERLINED));
    area.render_widget(Table::new(rows, widths).header(heads), place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::words::{Hello, Quota};
    use crate::scheduler::{Amounts, ScopeUsage};
    use crate::types::{AgentUsage, Pid, Waiting};
    use std::time::Duration;

    fn agent(pid: u64, standing: Standing) -> ProcessView {
        ProcessView {
            pid: Pid(pid),
            parent: None,
            name: format!("agent-{pid}"),
            program: "p".into(),
            model: "m".into(),
            priority: 20,
            standing,
            reason: None,
            ending: None,
            usage: AgentUsage {
                input_tokens: 1_000,
                cache_read_tokens: 250,
                ..AgentUsage::default()
            },
            wall_ms: 65_000,
            chain: String::new(),
            task: "a task\u{1b}[2J".into(),
        }
    }

    fn frame(agents: Vec<ProcessView>) -> Frame {
        let total = Amounts { tokens: 12_345, calls: 7, microdollars: 1_500_000 };
        let usage = ScopeUsage { total, window: total, ..ScopeUsage::default() };
        Frame {
            host: Hello {
                protocol: 1,
                version: "9.9.9".into(),
                pid: 77,
                store: "memory:".into(),
                up_ms: 61_000,
            },
            used: Quota::new("host".into(), usage, Duration::from_secs(3600)),
            slots: vec![Slots { name: "script".into(), slots: 64, running: 3, waiting: 2 }],
            agents,
        }
    }

    #[test]
    fn a_picture_has_every_figure_and_every_agent() {
        let standings = [Standing::Exited, Standing::Waiting(Waiting::Model), Standing::Running];
        let agents = (1..).zip(standings).map(|(pid, standing)| agent(pid, standing));
        let text = picture(&frame(agents.collect()), 120);
        for word in [
            "process 77",
            "up 1m 1s",
            "agents 2: 1 running, 0 ready, 1 waiting, 0 paused; 1 ended lately",
            "tokens 12.3k (12.3k in 1h) · calls 7 · money $1.5000 · cache hits 25 %",
            "slots script 3/64, 2 wait",
            "waiting: model",
            "1m 5s",
        ] {
            assert!(text.contains(word), "no {word:?} in\n{text}");
        }
        let at = |name: &str| text.find(name).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        assert!(at("agent-3") < at("agent-2") && at("agent-2") < at("agent-1"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn without_agents_nothing_is_divided() {
        let text = picture(&frame(Vec::new()), 80);
        assert!(text.contains("agents 0") && text.contains("cache hits –"), "{text}");
    }

    #[test]
    fn a_screen_scrolls_to_its_last_page_and_no_further() {
        let agents: Vec<_> = (1..=50).map(|pid| agent(pid, Standing::Ready)).collect();
        let frame = frame(agents);
        let mut view = View::default();
        view.down(10_000);
        let mut terminal = Terminal::new(TestBackend::new(100, 20)).expect("a screen");
        terminal.draw(|area| draw(area, &frame, &mut view)).expect("draws");
        let shown = terminal.backend().to_string();
        assert!(shown.contains("agent-50") && !shown.contains("agent-30 "), "{shown}");
        let first = view.first;
        view.up(1);
        assert_eq!(view.first + 1, first);
    }
}
