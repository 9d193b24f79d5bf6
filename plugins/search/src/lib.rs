//! Web search: it shows secrets. The key is a placeholder here, and the host puts the value into
//! requests to the engine alone.

mod engine;
mod search;

use aos_sdk::plugin;

plugin!(search::search);

#[cfg(test)]
mod tests;
