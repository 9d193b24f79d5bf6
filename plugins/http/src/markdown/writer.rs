//! Writes Markdown piece by piece. White space of the source is folded, and breaks between blocks
//! are remembered until text follows, so that none is doubled and none is left at the end.

/// Longer pages are cut: links made absolute can be longer than what they came from.
const BYTES_MAX: usize = 8 << 20;
/// Indentation past this depth tells a reader nothing, and a hostile page can nest for ever.
const DEPTH_MAX: usize = 12;

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Break {
    #[default]
    None,
    Space,
    Line,
    Paragraph,
}

#[derive(Default)]
pub(super) struct Writer {
    to: String,
    pending: Break,
    /// One for each open list: the next number of an ordered one.
    lists: Vec<Option<u64>>,
    /// The mark of a list item whose text is still to come.
    marker: Option<String>,
    quotes: usize,
    /// How deep the last line was quoted: a blank line is quoted as deep as both its neighbours.
    quotes_written: usize,
    /// Marks that are open, so that an end without a beginning writes none.
    marks: Vec<&'static str>,
    code_blocks: usize,
    links: Vec<(usize, Option<String>)>,
    row: Option<Row>,
    /// Whether the table's first row is written.
    headed: bool,
}

#[derive(Default)]
struct Row {
    cells: usize,
}

impl Writer {
    pub(super) fn is_full(&self) -> bool {
        self.to.len() > BYTES_MAX
    }

    pub(super) fn finish(self) -> String {
        self.to.trim_end().to_owned()
    }

    pub(super) fn text(&mut self, text: &str) {
        if self.code_blocks > 0 {
            self.to.push_str(text);
            return;
        }
        if text.starts_with(|c: char| c.is_ascii_whitespace()) {
            self.pend(Break::Space);
        }
        for word in text.split_ascii_whitespace() {
            self.flush();
            self.to.push_str(word);
            self.pending = Break::Space;
        }
        let ends_in_word = !text.ends_with(|c: char| c.is_ascii_whitespace());
        if ends_in_word && self.pending == Break::Space && !text.is_empty() {
            self.pending = Break::None;
        }
    }

    pub(super) fn paragraph(&mut self) {
        // The mark of an item stands before its first text, whatever block that is in.
        if self.marker.is_none() {
            self.pend(Break::Paragraph);
        }
    }

    pub(super) fn line(&mut self) {
        self.pend(Break::Line);
    }

    pub(super) fn heading(&mut self, level: usize) {
        self.pend(Break::Paragraph);
        self.flush();
        self.to.push_str(&"#".repeat(level));
        self.pending = Break::Space;
    }

    pub(super) fn rule(&mut self) {
        self.pend(Break::Paragraph);
        self.flush();
        self.to.push_str("---");
        self.pend(Break::Paragraph);
    }

    pub(super) fn open_list(&mut self, first: Option<u64>) {
        self.pend(if self.lists.is_empty() { Break::Paragraph } else { Break::Line });
        self.lists.push(first);
    }

    pub(super) fn item(&mut self) {
        self.pend(Break::Line);
        self.marker = Some(match self.lists.last_mut() {
            Some(Some(next)) => {
                let marker = format!("{next}. ");
                *next = next.saturating_add(1);
                marker
            }
            Some(None) | None => "- ".to_owned(),
        });
    }

    /// Whatever blocks the item held, the next one follows on the next line.
    pub(super) fn close_item(&mut self) {
        if self.lists.is_empty() {
            self.line();
        } else {
            self.pending = Break::Line;
        }
    }

    pub(super) fn close_list(&mut self) {
        self.lists.pop();
        self.marker = None;
        self.pend(if self.lists.is_empty() { Break::Paragraph } else { Break::Line });
    }

    pub(super) fn open_quote(&mut self) {
        self.pend(Break::Paragraph);
        self.quotes += 1;
    }

    pub(super) fn close_quote(&mut self) {
        self.quotes = self.quotes.saturating_sub(1);
        self.pend(Break::Paragraph);
    }

    pub(super) fn open_code_block(&mut self) {
        self.pend(Break::Paragraph);
        self.flush();
        self.code_blocks += 1;
        self.to.push_str("```\n");
    }

    pub(super) fn close_code_block(&mut self) {
        if self.code_blocks == 0 {
            return;
        }
        self.code_blocks -= 1;
        if !self.to.ends_with('\n') {
            self.to.push('\n');
        }
        self.to.push_str("```");
        self.pend(Break::Paragraph);
    }

    pub(super) fn open_mark(&mut self, mark: &'static str) {
        if self.code_blocks == 0 && self.marks.len() < DEPTH_MAX {
            self.flush();
            self.to.push_str(mark);
            self.marks.push(mark);
        }
    }

    pub(super) fn close_mark(&mut self, mark: &str) {
        if self.code_blocks > 0 {
            return;
        }
        let Some(open) = self.marks.iter().rposition(|open| *open == mark) else { return };
        self.marks.remove(open);
        // Nothing came between the two marks: neither is needed.
        match self.to.strip_suffix(mark) {
            Some(before) => self.to.truncate(before.len()),
            None => self.to.push_str(mark),
        }
    }

    pub(super) fn open_link(&mut self, target: Option<String>) {
        if self.code_blocks == 0 {
            self.flush();
        }
        // Each end reads its label again: links inside links must not make that quadratic.
        if self.links.len() < DEPTH_MAX {
            self.links.push((self.to.len(), target));
        }
    }

    pub(super) fn close_link(&mut self) {
        let Some((start, target)) = self.links.pop() else { return };
        let Some(target) = target.filter(|_| self.code_blocks == 0) else { return };
        let label = self.to.get(start..).unwrap_or_default();
        let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
        if label.is_empty() {
            return;
        }
        self.to.truncate(start);
        self.to.push_str(&format!("[{label}]({target})"));
    }

    pub(super) fn open_row(&mut self) {
        self.pend(if self.headed { Break::Line } else { Break::Paragraph });
        self.row = Some(Row::default());
    }

    pub(super) fn open_cell(&mut self) {
        let Some(row) = &mut self.row else { return };
        row.cells += 1;
        if row.cells == 1 {
            self.flush_block();
            self.to.push('|');
        }
        self.pending = Break::Space;
    }

    pub(super) fn close_cell(&mut self) {
        if self.row.is_some() {
            self.to.push_str(" |");
            self.pending = Break::None;
        }
    }

    pub(super) fn close_row(&mut self) {
        let Some(row) = self.row.take() else { return };
        if row.cells > 0 && !self.headed {
            self.headed = true;
            self.pending = Break::Line;
            self.flush();
            self.to.push('|');
            self.to.push_str(&" --- |".repeat(row.cells));
        }
        self.pending = Break::Line;
    }

    pub(super) fn close_table(&mut self) {
        self.row = None;
        self.headed = false;
        self.pend(Break::Paragraph);
    }

    /// The strongest break that is asked for before the next text wins.
    fn pend(&mut self, asked: Break) {
        let in_cell = self.row.as_ref().is_some_and(|row| row.cells > 0);
        // A table's cell is one line.
        let asked = if in_cell { asked.min(Break::Space) } else { asked };
        self.pending = self.pending.max(asked);
    }

    fn flush_block(&mut self) {
        let cells = self.row.take();
        self.flush();
        self.row = cells;
    }

    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if self.to.is_empty() {
            self.start_line();
            return;
        }
        match pending {
            Break::None => {}
            Break::Space if self.to.ends_with([' ', '[', '\n']) => {}
            Break::Space => self.to.push(' '),
            Break::Line => {
                self.to.push('\n');
                self.start_line();
            }
            Break::Paragraph => {
                self.to.push('\n');
                let quotes = self.quotes.min(self.quotes_written).min(DEPTH_MAX);
                self.to.push_str("> ".repeat(quotes).trim_end());
                self.to.push('\n');
                self.start_line();
            }
        }
    }

    fn start_line(&mut self) {
        self.quotes_written = self.quotes;
        self.to.push_str(&"> ".repeat(self.quotes.min(DEPTH_MAX)));
        let depth = self.lists.len().min(DEPTH_MAX);
        match self.marker.take() {
            Some(marker) => {
                self.to.push_str(&"  ".repeat(depth.saturating_sub(1)));
                self.to.push_str(&marker);
            }
            None => self.to.push_str(&"  ".repeat(depth)),
        }
    }
}
