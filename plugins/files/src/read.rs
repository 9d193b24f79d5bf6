//! `read_file`: a part of a file, by lines or by bytes.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use aos_sdk::{Blob, Content, Output, ToolError, fs, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one call returns at most: more than a model reads at once.
const BYTES_MAX: u64 = 1 << 20;
/// Without a `limit`.
const LINES_DEFAULT: u64 = 2000;
/// Without a `limit`.
const BYTES_DEFAULT: u64 = 64 * 1024;

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Unit {
    #[default]
    Lines,
    Bytes,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ReadFile {
    /// The file, for example `/src/main.rs`.
    path: String,
    /// What `offset` and `limit` count. Files that are not UTF-8 text need `bytes`.
    #[serde(default)]
    unit: Unit,
    /// How many lines or bytes to skip: 0 starts at the beginning, 10 lines at line 11.
    #[serde(default)]
    offset: u64,
    /// How many lines or bytes to return at most: 2000 lines or 65536 bytes where it is not given.
    /// Never more than 1048576 bytes come back.
    #[schemars(range(min = 1))]
    limit: Option<u64>,
}

/// What of the file is in the output.
#[derive(Serialize)]
struct Part {
    path: String,
    unit: Unit,
    offset: u64,
    /// How many units were returned.
    count: u64,
    /// Where to go on; none at the end of the file.
    next_offset: Option<u64>,
    size_bytes: u64,
    /// None where the bytes are not text.
    text: Option<String>,
}

/// Reads a file, or a part of it by `offset` and `limit`, in lines or in bytes.
///
/// Text comes back as it is. Where more follows, a note at the end says the offset to go on with.
/// An image that is read whole in bytes comes back as an image.
#[tool(read_only, idempotent, title = "Read file")]
pub(crate) fn read_file(arguments: ReadFile) -> Result<Output, ToolError> {
    let metadata = fs::metadata(&arguments.path)?;
    if metadata.is_dir() {
        let message = format!("{} is a directory: list_files lists it", arguments.path);
        return Err(ToolError::failed(message));
    }
    let size_bytes = metadata.len();
    let (bytes, count, next_offset) = match arguments.unit {
        Unit::Lines => lines(&arguments)?,
        Unit::Bytes => bytes(&arguments, size_bytes)?,
    };
    let whole = arguments.offset == 0 && next_offset.is_none();
    let (content, text) = match String::from_utf8(bytes) {
        Ok(text) => (Content::Text(text.clone()), Some(text)),
        Err(_) if arguments.unit == Unit::Lines => {
            let message = format!("{} is not UTF-8 text: read it with unit bytes", arguments.path);
            return Err(ToolError::failed(message));
        }
        Err(error) => (binary(&arguments.path, error.into_bytes(), whole), None),
    };
    let ReadFile { path, unit, offset, .. } = arguments;
    let part = Part { path, unit, offset, count, next_offset, size_bytes, text };
    let mut output = Output::default().with(content).with_structured(&part)?;
    if let Some(next) = next_offset {
        let unit = if unit == Unit::Lines { "lines" } else { "bytes" };
        let note = format!("[{count} {unit} from offset {offset}; go on with offset {next}]");
        output = output.with(Content::Text(note));
    }
    Ok(output)
}

/// The bytes, how many lines they are, and where to go on.
fn lines(arguments: &ReadFile) -> Result<(Vec<u8>, u64, Option<u64>), ToolError> {
    let mut file = BufReader::new(fs::open(&arguments.path)?);
    let mut skipped = 0;
    while skipped < arguments.offset && file.skip_until(b'\n')? > 0 {
        skipped += 1;
    }
    if skipped < arguments.offset {
        return Err(past_the_end(arguments, skipped, "lines"));
    }
    let limit = arguments.limit.unwrap_or(LINES_DEFAULT);
    let mut bytes = Vec::new();
    let mut count = 0;
    while count < limit {
        let before = bytes.len();
        let room = (BYTES_MAX + 1).saturating_sub(before as u64);
        let read = file.by_ref().take(room).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok((bytes, count, None));
        }
        if bytes.len() as u64 > BYTES_MAX {
            bytes.truncate(before);
            if count == 0 {
                return Err(long_line(arguments));
            }
            break;
        }
        count += 1;
    }
    let more = !file.fill_buf()?.is_empty() || count < limit;
    Ok((bytes, count, more.then_some(arguments.offset + count)))
}

fn bytes(arguments: &ReadFile, size_bytes: u64) -> Result<(Vec<u8>, u64, Option<u64>), ToolError> {
    let limit = arguments.limit.unwrap_or(BYTES_DEFAULT).min(BYTES_MAX);
    if arguments.offset > size_bytes {
        return Err(past_the_end(arguments, size_bytes, "bytes"));
    }
    let mut file = fs::open(&arguments.path)?;
    file.seek(SeekFrom::Start(arguments.offset))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    let next = arguments.offset + bytes.len() as u64;
    // The last character may be cut in two; it then belongs to the next part.
    if let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
        && error.valid_up_to() > 0
        && next < size_bytes
    {
        bytes.truncate(error.valid_up_to());
    }
    let count = bytes.len() as u64;
    let next = arguments.offset + count;
    Ok((bytes, count, (next < size_bytes).then_some(next)))
}

fn past_the_end(arguments: &ReadFile, has: u64, unit: &str) -> ToolError {
    let offset = arguments.offset;
    ToolError::invalid("offset", format!("{} has {has} {unit}, not {offset}", arguments.path))
}

fn long_line(arguments: &ReadFile) -> ToolError {
    let line = arguments.offset + 1;
    ToolError::failed(format!(
        "line {line} of {} is longer than {BYTES_MAX} bytes: read it with unit bytes",
        arguments.path
    ))
}

fn binary(path: &str, data: Vec<u8>, whole: bool) -> Content {
    let image = match data.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    };
    match image {
        Some(media_type) if whole => {
            Content::Image(Blob { media_type: media_type.to_owned(), data })
        }
        _ => Content::Document {
            name: path.to_owned(),
            body: Blob { media_type: "application/octet-stream".to_owned(), data },
        },
    }
}
