//! JSON by its standards: RFC 9535 queries, JSON Schema, RFC 6902 and RFC 7386 patches.
//!
//! It computes, and reads one file at most, where the caller names one instead of sending it.

mod diff;
mod document;
mod format;
mod query;
mod schema;
mod validate;

use aos_sdk::plugin;

use diff::{diff_json, patch_json};
use format::format_json;
use query::query_json;
use validate::validate_json;

plugin!(query_json, validate_json, diff_json, patch_json, format_json);

#[cfg(test)]
mod tests;
