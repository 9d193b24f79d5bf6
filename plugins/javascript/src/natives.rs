//! The functions that the prelude is given: two streams, and files under the granted roots.

use std::rc::Rc;

use aos_sdk::fs;
use rquickjs::{Ctx, Exception, Function, Object, Result};

use crate::streams::Streams;

/// A file larger than this is an error: the code would hold it twice over.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Names of a folder that are listed.
const NAMES_MAX: usize = 10_000;

/// An object with all of them.
pub fn all<'js>(ctx: &Ctx<'js>, streams: &Rc<Streams>) -> Result<Object<'js>> {
    let natives = Object::new(ctx.clone())?;
    let (out, err) = (Rc::clone(streams), Rc::clone(streams));
    let out = move |text: String| out.stdout.borrow_mut().push(&text);
    let err = move |text: String| err.stderr.borrow_mut().push(&text);
    natives.set("out", Function::new(ctx.clone(), out)?)?;
    natives.set("err", Function::new(ctx.clone(), err)?)?;
    natives.set("readFile", Function::new(ctx.clone(), read_file)?)?;
    natives.set("writeFile", Function::new(ctx.clone(), write_file)?)?;
    natives.set("listFiles", Function::new(ctx.clone(), list_files)?)?;
    natives.set("removeFile", Function::new(ctx.clone(), remove_file)?)?;
    Ok(natives)
}

fn thrown<T>(ctx: &Ctx<'_>, done: std::result::Result<T, fs::Error>) -> Result<T> {
    done.map_err(|error| Exception::throw_message(ctx, &error.to_string()))
}

fn read_file(ctx: Ctx<'_>, path: String) -> Result<String> {
    let bytes = thrown(&ctx, fs::read_up_to(&path, FILE_BYTES_MAX + 1))?;
    let wrong = |what: &str| Exception::throw_message(&ctx, &format!("{path}: {what}"));
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong("it is larger than 16 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text"))
}

fn write_file(ctx: Ctx<'_>, path: String, text: String) -> Result<()> {
    thrown(&ctx, fs::write(&path, text.as_bytes()))
}

fn list_files(ctx: Ctx<'_>, path: String) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in thrown(&ctx, fs::read_dir(&path))?.take(NAMES_MAX) {
        let entry = thrown(&ctx, entry)?;
        let mark = if entry.file_type.is_dir() { "/" } else { "" };
        names.push(format!("{}{mark}", entry.name));
    }
    names.sort();
    Ok(names)
}

fn remove_file(ctx: Ctx<'_>, path: String) -> Result<()> {
    thrown(&ctx, fs::remove_file(&path))
}
