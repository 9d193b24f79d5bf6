//! Files of one JSON object a line, in and out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::de::DeserializeOwned;

use super::super::exit::{Code, Failure};

/// A longer line is no page and no message.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Reads a file line by line and hands on what each says; empty lines are passed over.
///
/// # Errors
/// One sentence with the file, the line and what is wrong in it; or what `each` says, so placed.
pub fn read<T: DeserializeOwned>(
    path: &Path,
    mut each: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let named =
        |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
    let mut file = BufReader::new(File::open(path).map_err(|error| named(&error))?);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = file.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| named(&error))? == 0 {
            break;
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err(named(&format!("line {number} is over {LINE_BYTES_MAX} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let value = serde_json::from_slice(&line)
            .map_err(|error| named(&format!("line {number}: {error}")))?;
        each(value).map_err(|failure| Failure {
            sentence: format!("{}: line {number}: {}", path.display(), failure.sentence),
            ..failure
        })?;
    }
    Ok(())
}

/// Where lines go: a file, or stdout. A reader of stdout that went away is no error.
pub struct Writer {
    out: BufWriter<Box<dyn Write>>,
    name: String,
    gone: bool,
}

impl Writer {
    /// A file that is made anew, or stdout where none is named.
    pub fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let (out, name): (Box<dyn Write>, String) = match path {
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create(path);
                (Box::new(file.map_err(|e| Failure::usage(format!("{name}: {e}")))?), name)
            }
            None => (Box::new(io::stdout().lock()), "stdout".to_owned()),
        };
        Ok(Self { out: BufWriter::new(out), name, gone: false })
    }

    /// Writes a value and a line's end.
    pub fn write(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value).map_err(Failure::host)?;
        line.push(b'\n');
        let written = self.out.write_all(&line);
        self.check(written)
    }

    /// All is out.
    pub fn finish(mut self) -> Result<Code, Failure> {
        let flushed = self.out.flush();
        self.check(flushed).map(|()| Code::Ok)
    }

    fn check(&mut self, done: io::Result<()>) -> Result<(), Failure> {
        match done {
            Ok(()) => Ok(()),
            Err(error) if self.gone || error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            Err(error) => Err(Failure::host(format!("{}: {error}", self.name))),
        }
    }
}
