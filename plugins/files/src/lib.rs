//! Files under the roots that the operator granted. It shows grants: every path that no root
//! covers is denied, with the flag that would allow it.
//!
//! Paths are the guest's, as in `/src/main.rs` under `--allow-read ./host/src:/src`. Everything is
//! bounded: what one call reads, visits and returns. The bounds are constants beside the tools.

mod edit;
mod info;
mod list;
mod pattern;
mod read;
mod search;
mod walk;
mod write;

use aos_sdk::plugin;

use edit::edit_file;
use info::file_info;
use list::list_files;
use read::read_file;
use search::search_files;
use write::write_file;

plugin!(read_file, write_file, edit_file, list_files, search_files, file_info);

#[cfg(test)]
mod tests;
