//! Exit codes of WASI 0.1: the adapter knows success and failure alone, so a module that ends with
//! a code is led past it, to `wasi:cli/exit`'s `exit-with-code`, which has the same core type.

use wasmparser::{Imports, Parser, Payload};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The function of WASI 0.1, and what it becomes.
const FROM: (&str, &str) = ("wasi_snapshot_preview1", "proc_exit");
const TO: (&str, &str) = ("wasi:cli/exit@0.2.12", "exit-with-code");

/// The whole interface, as the adapter has it too: two halves would not be the same interface.
const WIT: &str = "package wasi:cli@0.2.12;
interface exit {
  exit: func(status: result);
  exit-with-code: func(status-code: u8);
}
world exits { import exit; }
";

/// The section of imports, by the binary format.
const IMPORT_SECTION: u8 = 2;

/// The module with its exit renamed, or none when it has none.
///
/// # Errors
/// When the module cannot be read, or the interface not be written into it.
pub(super) fn with_code(module: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let Some(mut module) = renamed(module).map_err(|error| error.message().to_owned())? else {
        return Ok(None);
    };
    let mut resolve = Resolve::default();
    let embedded = resolve.push_source("exit.wit", WIT).and_then(|package| {
        let world = resolve.select_world(&[package], Some("exits"))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
    });
    embedded.map(|()| Some(module)).map_err(|error| error.to_string())
}

/// Writes the import section anew; all else stays as it is, so every index does too.
fn renamed(module: &[u8]) -> wasmparser::Result<Option<Vec<u8>>> {
    let mut start = 0;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        let Payload::ImportSection(imports) = &payload else {
            start = payload.as_section().map_or(start, |(_, range)| range.end);
            continue;
        };
        let range = imports.range();
        let Some(body) = body(module, imports.clone())? else { return Ok(None) };
        let mut renamed = module[..start.max(8)].to_vec();
        renamed.push(IMPORT_SECTION);
        number(&mut renamed, body.len());
        renamed.extend(body);
        renamed.extend(&module[range.end..]);
        return Ok(Some(renamed));
    }
    Ok(None)
}

/// The section's bytes with the exit renamed; none when it is not imported, or written in a form
/// that no toolchain writes yet.
fn body(
    module: &[u8],
    imports: wasmparser::ImportSectionReader<'_>,
) -> wasmparser::Result<Option<Vec<u8>>> {
    let range = imports.range();
    let mut singles = Vec::new();
    for import in imports {
        let Imports::Single(at, import) = import? else { return Ok(None) };
        singles.push((at, import));
    }
    let mut found = false;
    let mut body = Vec::with_capacity(range.len() + 64);
    number(&mut body, singles.len());
    for (index, (at, import)) in singles.iter().enumerate() {
        let end = singles.get(index + 1).map_or(range.end, |(at, _)| *at);
        if (import.module, import.name) != FROM {
            body.extend(&module[*at..end]);
            continue;
        }
        found = true;
        string(&mut body, TO.0);
        string(&mut body, TO.1);
        // The type follows the name.
        let name = import.name.as_bytes();
        let at = name.as_ptr().addr() - module.as_ptr().addr() + name.len();
        body.extend(&module[at..end]);
    }
    Ok(found.then_some(body))
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    number(bytes, text.len());
    bytes.extend(text.as_bytes());
}

/// An unsigned number in LEB128.
fn number(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f).to_le_bytes()[0];
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_renamed_and_all_else_is_as_it_was() {
        let text = |from: &str| {
            format!(
                "(module (type (func)) (import \"a\" \"b\" (func $b)) \
                 (import {from} (func $exit (param i32))) (import \"c\" \"d\" (func)) \
                 (memory (export \"memory\") 1) \
                 (func (export \"_start\") (call $exit (i32.const 7))))"
            )
        };
        let module = wat::parse_str(text("\"wasi_snapshot_preview1\" \"proc_exit\"")).expect("WAT");
        let wanted =
            wat::parse_str(text("\"wasi:cli/exit@0.2.12\" \"exit-with-code\"")).expect("WAT");
        assert_eq!(renamed(&module).expect("reads"), Some(wanted));
        let other = wat::parse_str(text("\"other\" \"proc_exit\"")).expect("WAT");
        assert_eq!(renamed(&other).expect("reads"), None);
    }
}
