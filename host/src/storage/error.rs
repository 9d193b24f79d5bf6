//! What can go wrong below the journal: one variant for each different reaction.

/// What to do about a file that cannot be written.
pub(super) const ANOTHER_PLACE: &str =
    "choose another place with `--store sqlite:PATH`, or `--store memory:` to keep nothing";

/// A failure of the store. Its `Display` is one sentence that names the place.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The text after `--store` is not a store.
    #[error(
        "`{text}` is not a store: use `sqlite:PATH`, `postgres://HOST/DATABASE` or `memory:`{hint}"
    )]
    Url {
        /// What was given, without what may be a secret.
        text: String,
        /// What is wrong with it, or empty.
        hint: String,
    },
    /// The file or its directory cannot be created or written, or the server not be reached.
    #[error("the store {place} cannot be {done} ({reason}): {instead}")]
    Unreachable {
        /// The file, directory or server at fault.
        place: String,
        /// `written` or `reached`.
        done: &'static str,
        /// The operating system's or the database's reason.
        reason: String,
        /// The way out.
        instead: &'static str,
    },
    /// The store is damaged, or is none of this program.
    #[error("the store {place} is not usable: {reason}")]
    Corrupt {
        /// The file or server at fault.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer program has written this store.
    #[error(
        "the store {place} has schema version {found}, this program knows up to {known}: use a \
         newer aos-host or another store"
    )]
    Newer {
        /// The file or server at fault.
        place: String,
        /// The version in the store.
        found: i64,
        /// The newest version this program can read.
        known: i64,
    },
    /// No space is left for the store.
    #[error("the store {place} could not be written: the disk is full")]
    Full {
        /// The file or server at fault.
        place: String,
    },
    /// Other processes held the store for longer than the waiting time.
    #[error("the store {place} stayed locked by other processes for {waited_ms} ms")]
    Busy {
        /// The file or server at fault.
        place: String,
        /// How long was waited, in milliseconds.
        waited_ms: u128,
    },
    /// Anything else the database or the disk refused.
    #[error("the store {place} failed while {doing}: {reason}")]
    Failed {
        /// The file or server at fault.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// The database's reason.
        reason: String,
    },
    /// A key or value is over its limit.
    #[error("a {what} of {bytes} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// `key`, `bucket` or `value`.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The plugin's key-value store is full.
    #[error("`{identity}` has used up its key-value quota of {limit} bytes")]
    Quota {
        /// Whose quota.
        identity: String,
        /// The quota in bytes.
        limit: i64,
    },
    /// `increment` met a value that is not a decimal 64-bit number, or would leave its range.
    #[error("the value of key `{key}` cannot be incremented: {reason}")]
    NotANumber {
        /// The key.
        key: String,
        /// Why not.
        reason: &'static str,
    },
}
