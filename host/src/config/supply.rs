//! Where plugins come from, and what is known of them: a lock file with hashes, signatures, and
//! the operator's policy of whom to trust.
//!
//! A plugin's bytes are checked before anything reads them as WebAssembly: their hash against the
//! lock, their signature against the policy. The name is the operator's or the source's, never the
//! component's own word.

pub mod fetch;
pub mod lock;
pub mod trust;

use ring::digest::{SHA256, digest};

use crate::storage::Hex;

/// Why a plugin is not taken: one variant for each reaction.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Asked(String),
    /// The source does not give it.
    #[error("{0}")]
    Source(String),
    /// A hash or a signature is not what it should be, or the policy does not trust who signed.
    #[error("{0}")]
    Untrusted(String),
    /// A file of the host's own cannot be read or written.
    #[error("{0}")]
    Files(String),
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Hex(digest(&SHA256, bytes).as_ref()).to_string()
}

/// Whether a plugin may be called so: it is a file's name, and stands in grants.
///
/// # Errors
/// One sentence that says what would be right.
pub fn plugin_name(name: &str) -> Result<&str, SupplyError> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    match begins && name.chars().all(letter) && name.len() <= 64 {
        true => Ok(name),
        false => Err(SupplyError::Asked(format!(
            "`{}` is no name of a plugin: a-z, 0-9, - and _, at most 64; give one with --name",
            name.chars().take(80).collect::<String>()
        ))),
    }
}
