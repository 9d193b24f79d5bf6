//! A WASI command, as any compiler makes one: it counts lines, words and bytes, as `wc` does.
//!
//! ```text
//! aos-host run wordcount --allow-read .:/in -- -l /in/README.md
//! ```
//! It shows arguments, files, standard input and exit codes: 0 for all counted, 1 for a file that
//! could not be read or arguments that make no sense. WASI 0.2 has no other codes than these two.

mod count;

use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;

use count::{Columns, Counts, count};

const USAGE: &str = "usage: wordcount [-l] [-w] [-c] [-m] [--] [FILE...]
  -l lines, -w words, -c bytes, -m characters; without any: -l -w -c
  without FILE, or where FILE is -, it counts standard input";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        return said(writeln!(io::stdout(), "{USAGE}"));
    }
    let (columns, files) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(message) => {
            eprintln!("wordcount: {message}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    run(columns, &files)
}

/// Flags first, then files; `--` ends the flags.
fn parse(arguments: &[String]) -> Result<(Columns, Vec<&str>), String> {
    let mut columns = Columns::default();
    let mut files = Vec::new();
    let mut flags_ended = false;
    for argument in arguments {
        match argument.strip_prefix('-') {
            Some("-") if !flags_ended => flags_ended = true,
            Some(flags) if !flags_ended && !flags.is_empty() => {
                for flag in flags.chars() {
                    columns.add(flag).ok_or_else(|| format!("there is no flag -{flag}"))?;
                }
            }
            _ => files.push(argument.as_str()),
        }
    }
    if files.is_empty() {
        files.push("-");
    }
    Ok((columns.or_default(), files))
}

fn run(columns: Columns, files: &[&str]) -> ExitCode {
    let mut total = Counts::default();
    let mut failed = false;
    let mut lines = Vec::new();
    for file in files {
        match read(file) {
            Ok(counts) => {
                total.add(counts);
                lines.push(columns.line(counts, if *file == "-" { "" } else { file }));
            }
            Err(error) => {
                eprintln!("wordcount: {file}: {error}");
                failed = true;
            }
        }
    }
    if files.len() > 1 {
        lines.push(columns.line(total, "total"));
    }
    let code = said(lines.iter().try_for_each(|line| writeln!(io::stdout(), "{line}")));
    if failed { ExitCode::FAILURE } else { code }
}

fn read(file: &str) -> io::Result<Counts> {
    if file == "-" { count(io::stdin().lock()) } else { count(File::open(file)?) }
}

fn said(written: io::Result<()>) -> ExitCode {
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_before_files_and_may_stand_together() {
        let arguments = ["-lw", "a.txt", "--", "-c"].map(str::to_owned);
        let (columns, files) = parse(&arguments).expect("arguments");
        assert_eq!(files, ["a.txt", "-c"]);
        let counts = Counts { lines: 1, words: 2, bytes: 3, characters: 3 };
        assert_eq!(columns.line(counts, "x"), "      1       2 x");
    }

    #[test]
    fn an_unknown_flag_is_named() {
        assert_eq!(parse(&["-x".to_owned()]).expect_err("no flag"), "there is no flag -x");
    }

    #[test]
    fn without_files_it_counts_its_input() {
        assert_eq!(parse(&[]).expect("arguments").1, ["-"]);
    }
}
