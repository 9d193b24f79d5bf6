//! `aos-host simulate`: the scheduler's policy over a trace of arrivals, with a virtual clock.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use csv_core::ReadRecordResult;

use super::exit::{Code, Failure};
use super::terminal;
use crate::scheduler::simulate::{Arrival, Machine, Waits, simulate, utilisation};
use crate::scheduler::{Moment, Options, Priority};

/// A trace's rows: about 1 GB of memory.
const ROWS_MAX: usize = 5_000_000;
const BYTES_MAX: u64 = 512 << 20;
const ROW_BYTES_MAX: usize = 4_096;
const CELLS_MAX: usize = 64;
/// The last moment of a trace: 31 years.
const ARRIVAL_S_MAX: f64 = 1e9;
const TOKENS_MAX: u64 = 1_000_000_000;
const COLUMNS: [&str; 4] = ["arrival_s", "class", "input_tokens", "output_tokens"];

/// How `simulate` is called.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The trace: CSV with the columns arrival_s, class, input_tokens, output_tokens
    arrivals: PathBuf,
    /// Calls that the provider serves at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    slots: u32,
    /// Priority of each class, 0 to 100, lower first: conv=20,code=60
    #[arg(long, value_name = "CLASS=N", value_delimiter = ',', required = true)]
    priority: Vec<ClassPriority>,
    /// Prompt tokens that one call takes in per second
    #[arg(long, value_name = "N", default_value = "8000", value_parser = rate)]
    input_rate: f64,
    /// Tokens that one call gives per second
    #[arg(long, value_name = "N", default_value = "40", value_parser = rate)]
    output_rate: f64,
    /// Where the start times go, one a line below `start_s`; stdout without it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A class of calls and how urgent it is.
#[derive(Clone, Debug)]
struct ClassPriority(String, Priority);

impl std::str::FromStr for ClassPriority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').and_then(|(class, number)| {
            let priority = Priority::new(number.trim().parse().ok()?)?;
            Some(Self(class.trim().to_owned(), priority))
        });
        pair.filter(|pair| !pair.0.is_empty())
            .ok_or_else(|| "a class and its priority of 0 to 100, as conv=20".to_owned())
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 1e-3);
    value.ok_or_else(|| "tokens per second, 0.001 or more".to_owned())
}

pub fn run(arguments: &SimulateArgs) -> Result<Code, Failure> {
    let SimulateArgs { slots, input_rate, output_rate, .. } = *arguments;
    let priorities = priorities(&arguments.priority)?;
    let trace = read(&arguments.arrivals, &priorities)?;
    let machine = Machine { slots, input_rate, output_rate };
    let starts = simulate(&trace.arrivals, &machine, &Options::default()).map_err(Failure::host)?;
    let written = write(arguments.output.as_deref(), &starts)?;
    tell(&trace, &starts, &machine)?;
    Ok(written)
}

fn priorities(given: &[ClassPriority]) -> Result<BTreeMap<String, Priority>, Failure> {
    let mut priorities = BTreeMap::new();
    for ClassPriority(class, priority) in given {
        if priorities.insert(class.clone(), *priority).is_some() {
            let sentence = format!("--priority names the class {class} twice; name it once");
            return Err(Failure::usage(sentence));
        }
    }
    Ok(priorities)
}

/// A trace and the class of each row.
#[derive(Debug)]
struct Trace {
    arrivals: Vec<Arrival>,
    classes: Vec<String>,
    /// Of each row, its place in `classes`.
    class_of: Vec<usize>,
}

fn read(path: &Path, priorities: &BTreeMap<String, Priority>) -> Result<Trace, Failure> {
    let named = |what: &dyn std::fmt::Display| Failure::usage(format!("{}{what}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| named(&format_args!(": {error}")))?;
    let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| named(&format_args!(": {error}")))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(named(&format_args!(": larger than {BYTES_MAX} bytes; cut the trace")));
    }
    parse(&bytes, priorities).map_err(|(line, what)| named(&format_args!(" line {line}: {what}")))
}

/// The trace, or the line that is wrong and what is wrong with it.
fn parse(bytes: &[u8], priorities: &BTreeMap<String, Priority>) -> Result<Trace, (u64, String)> {
    let mut rows = Rows::new(bytes);
    let header = rows.next()?.ok_or_else(|| (1, "the file is empty".to_owned()))?;
    let width = header.cells.len();
    let mut at = [0; COLUMNS.len()];
    for (place, name) in at.iter_mut().zip(COLUMNS) {
        *place = header.cells.iter().position(|column| column == name).ok_or_else(|| {
            (header.line, format!("no column {name}; the header names {}", COLUMNS.join(",")))
        })?;
    }
    let classes: Vec<String> = priorities.keys().cloned().collect();
    let mut trace = Trace { arrivals: Vec::new(), classes, class_of: Vec::new() };
    while let Some(Row { line, cells }) = rows.next()? {
        if cells.len() != width {
            return Err((line, format!("{} columns; the header has {width}", cells.len())));
        }
        if trace.arrivals.len() == ROWS_MAX {
            return Err((line, format!("more than {ROWS_MAX} rows; cut the trace")));
        }
        let cell = |column: usize| cells[at[column]].as_str();
        let (class, arrival) =
            arrival(&cell, priorities, &trace.classes).map_err(|what| (line, what))?;
        trace.class_of.push(class);
        trace.arrivals.push(arrival);
    }
    Ok(trace)
}

struct Row {
    line: u64,
    cells: Vec<String>,
}

/// The rows of a CSV text, each at most `ROW_BYTES_MAX` long.
struct Rows<'a> {
    left: &'a [u8],
    line: u64,
    reader: csv_core::Reader,
}

impl<'a> Rows<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let left = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Self { left, line: 1, reader: csv_core::Reader::new() }
    }

    fn advance(&mut self, by: usize) {
        let (gone, left) = self.left.split_at(by);
        self.line += gone.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.left = left;
    }

    /// None at the end.
    fn next(&mut self) -> Result<Option<Row>, (u64, String)> {
        let blank = self.left.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        self.advance(blank);
        let (line, mut text, mut ends) = (self.line, [0; ROW_BYTES_MAX], [0; CELLS_MAX]);
        let (mut written, mut columns) = (0, 0);
        loop {
            let (result, read, bytes, cells) =
                self.reader.read_record(self.left, &mut text[written..], &mut ends[columns..]);
            self.advance(read);
            (written, columns) = (written + bytes, columns + cells);
            match result {
                // Asked again with nothing left, the reader takes the text as ended.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    return Err((line, format!("longer than {ROW_BYTES_MAX} bytes")));
                }
                ReadRecordResult::OutputEndsFull => {
                    return Err((line, format!("more than {CELLS_MAX} columns")));
                }
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        let text = std::str::from_utf8(&text[..written]);
        let text = text.map_err(|_| (line, "no UTF-8 text".to_owned()))?;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let cells = starts.zip(&ends[..columns]).map(|(start, end)| text[start..*end].trim());
        Ok(Some(Row { line, cells: cells.map(str::to_owned).collect() }))
    }
}

/// One row, or what is wrong with it.
fn arrival<'a>(
    cell: &impl Fn(usize) -> &'a str,
    priorities: &BTreeMap<String, Priority>,
    classes: &[String],
) -> Result<(usize, Arrival), String> {
    let name = cell(1);
    let class = classes.iter().position(|class| class == name);
    let (Some(class), Some(priority)) = (class, priorities.get(name)) else {
        return Err(format!("the class {name} has no priority; --priority {name}=50 gives it one"));
    };
    let seconds: Option<f64> = cell(0).parse().ok();
    let seconds = seconds.filter(|at| (0.0..=ARRIVAL_S_MAX).contains(at)).ok_or_else(|| {
        format!("arrival_s is {:?}; it must be seconds from 0 to {ARRIVAL_S_MAX}", cell(0))
    })?;
    let tokens = |column: usize| {
        let value: Option<u64> = cell(column).parse().ok();
        value.filter(|tokens| *tokens <= TOKENS_MAX).ok_or_else(|| {
            let (name, text) = (COLUMNS[column], cell(column));
            format!("{name} is {text:?}; it must be a whole number from 0 to {TOKENS_MAX}")
        })
    };
    let (input_tokens, output_tokens) = (tokens(2)?, tokens(3)?);
    #[expect(clippy::cast_possible_truncation, reason = "checked to be at most 1e18")]
    let at = Moment((seconds * 1e9).round() as u64);
    Ok((class, Arrival { at, priority: *priority, input_tokens, output_tokens }))
}

fn write(path: Option<&Path>, starts: &[Moment]) -> Result<Code, Failure> {
    let mut text = String::from("start_s\n");
    for start in starts {
        // Rounded up, so that nothing starts before it arrived.
        let us = start.0.div_ceil(1_000);
        text.push_str(&format!("{}.{:06}\n", us / 1_000_000, us % 1_000_000));
    }
    let Some(path) = path else { return terminal::print_bytes(text.as_bytes()) };
    let written = std::fs::write(path, text);
    written.map_err(|error| Failure::usage(format!("--output {}: {error}", path.display())))?;
    Ok(Code::Ok)
}

/// A small table of the waits, for people.
fn tell(trace: &Trace, starts: &[Moment], machine: &Machine) -> Result<(), Failure> {
    let mut waits: Vec<Vec<u64>> = vec![Vec::new(); trace.classes.len()];
    for ((class, arrival), start) in trace.class_of.iter().zip(&trace.arrivals).zip(starts) {
        waits[*class].push(start.since_ns(arrival.at));
    }
    let mut text =
        format!("{:<12} {:>9} {:>10} {:>10} {:>10}\n", "class", "calls", "p50 s", "p99 s", "max s");
    for (class, waits) in trace.classes.iter().zip(waits) {
        let Waits { calls, p50_s, p99_s, max_s } = Waits::of(waits);
        let class = terminal::visible(class);
        text.push_str(&format!(
            "{class:<12} {calls:>9} {p50_s:>10.2} {p99_s:>10.2} {max_s:>10.2}\n"
        ));
    }
    if trace.arrivals.is_empty() {
        text.push_str(&format!("{} slots, and no call came\n", machine.slots));
    } else {
        let used = 100.0 * utilisation(&trace.arrivals, starts, machine);
        text.push_str(&format!("{} slots, used {used:.1} % of the time\n", machine.slots));
    }
    match io::stderr().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::host(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Trace, (u64, String)> {
        let given = ["conv=20".parse().expect("a class"), "code=60".parse().expect("a class")];
        parse(text.as_bytes(), &priorities(&given).expect("two classes"))
    }

    fn wrong(text: &str) -> (u64, String) {
        parsed(text).expect_err("it is wrong")
    }

    #[test]
    fn columns_may_stand_in_any_order_and_more_of_them() {
        let text = "class,extra,output_tokens,input_tokens,arrival_s\r\n\
                    \"code\",x, 7 ,12,0.5\r\n\r\nconv,y,1,2,1e1";
        let trace = parsed(text).expect("parses");
        assert_eq!(trace.classes, ["code", "conv"]);
        assert_eq!(trace.class_of, [0, 1]);
        let at = |row: usize| trace.arrivals[row].at;
        assert_eq!((at(0), at(1)), (Moment(500_000_000), Moment(10_000_000_000)));
        assert_eq!(trace.arrivals[0].input_tokens, 12);
        assert_eq!(trace.arrivals[0].output_tokens, 7);
        assert_eq!(trace.arrivals[0].priority, Priority::new(60).expect("60"));
    }

    #[test]
    fn bad_rows_are_told_with_their_line() {
        let header = "arrival_s,class,input_tokens,output_tokens\n";
        for (row, line, word) in [
            ("0,conv,1,1\n\n1,chat,1,1\n", 4, "--priority chat=50"),
            ("-1,conv,1,1\n", 2, "arrival_s is \"-1\""),
            ("NaN,conv,1,1\n", 2, "arrival_s"),
            ("inf,conv,1,1\n", 2, "arrival_s"),
            ("1,conv,1.5,1\n", 2, "input_tokens is \"1.5\""),
            ("1,conv,1,1000000001\n", 2, "output_tokens"),
            ("0,conv,1,1\n1,conv,1\n", 3, "3 columns; the header has 4"),
        ] {
            let (at, what) = wrong(&format!("{header}{row}"));
            assert_eq!(at, line, "{row}");
            assert!(what.contains(word), "{row}: {what}");
        }
    }

    #[test]
    fn a_bad_header_and_an_endless_line_are_told() {
        assert_eq!(wrong(""), (1, "the file is empty".to_owned()));
        assert!(wrong("arrival_s,class\n").1.contains("no column input_tokens"));
        assert!(wrong(&"x".repeat(10_000)).1.contains("longer than 4096 bytes"));
        assert!(wrong(&",".repeat(200)).1.contains("more than 64 columns"));
    }

    #[test]
    fn a_class_has_one_priority_of_0_to_100() {
        for text in ["conv", "conv=101", "=5", "conv=-1", "conv=x"] {
            assert!(text.parse::<ClassPriority>().is_err(), "{text}");
        }
        let twice = ["conv=1".parse().expect("a class"), "conv=2".parse().expect("a class")];
        assert!(priorities(&twice).is_err());
    }
}
