//! Key-value pairs, per plugin identity and bucket, bounded. What a plugin may reach is decided
//! above.

use super::{Answer, StorageError};

/// The largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// The longest key, and the longest bucket name, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// What the pairs of one identity may be charged together, in bytes.
pub const QUOTA_BYTES: i64 = 64 << 20;
/// Charged for a pair on top of its texts, so that a million empty values are not free, in bytes.
pub const PAIR_BYTES: i64 = 64;
/// How many keys one page of [`KeyValue::kv_keys`] holds at most.
pub const KEYS_PAGE: usize = 256;

/// How many pairs one page of [`KeyValue::kv_pairs`] holds at most: 16 MiB of the largest.
pub const PAIRS_PAGE: usize = 16;

/// A named set of pairs that belongs to one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket<'a> {
    /// The plugin's identity; the quota hangs on it.
    pub identity: &'a str,
    /// The bucket's name; plugins start with the empty one.
    pub name: &'a str,
}

/// Some keys, in byte order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// At most [`KEYS_PAGE`] keys.
    pub keys: Vec<String>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// A key of any identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairKey {
    /// The plugin's identity.
    pub identity: String,
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: String,
}

/// A key of any identity and its value.
pub type Pair = (PairKey, Vec<u8>);

/// The key-value half of a store. Changes are atomic, and once answered they survive `kill -9`.
pub trait KeyValue {
    /// The value of a key, or `None`.
    fn kv_get<'a>(&'a self, bucket: Bucket<'a>, key: &'a str) -> Answer<'a, Option<Vec<u8>>>;

    /// Sets a key. Fails with `TooLarge` or `Quota`, and then changes nothing.
    fn kv_set<'a>(&'a self, bucket: Bucket<'a>, key: &'a str, value: &'a [u8]) -> Answer<'a, ()>;

    /// Removes a key; one that is not there is no error.
    fn kv_delete<'a>(&'a self, bucket: Bucket<'a>, key: &'a str) -> Answer<'a, ()>;

    /// Whether a key is there.
    fn kv_exists<'a>(&'a self, bucket: Bucket<'a>, key: &'a str) -> Answer<'a, bool>;

    /// The keys after the cursor (the `next` of the page before).
    fn kv_keys<'a>(&'a self, bucket: Bucket<'a>, after: Option<&'a str>) -> Answer<'a, KeyPage>;

    /// Adds to a decimal number (a missing key counts as 0) and returns the sum. Fails with
    /// `NotANumber` on other text or overflow.
    fn kv_increment<'a>(&'a self, bucket: Bucket<'a>, key: &'a str, delta: i64) -> Answer<'a, i64>;

    /// The pairs of all identities after this key, in byte order of identity, bucket and key: at
    /// most [`PAIRS_PAGE`]. Empty only at the end.
    fn kv_pairs<'a>(&'a self, after: Option<&'a PairKey>) -> Answer<'a, Vec<Pair>>;
}

/// Refuses a bucket name, key or value over its limit.
pub(super) fn check(bucket: Bucket<'_>, key: &str, value: &[u8]) -> Result<(), StorageError> {
    let sizes = [
        ("bucket", bucket.name.len(), KEY_BYTES_MAX),
        ("key", key.len(), KEY_BYTES_MAX),
        ("value", value.len(), VALUE_BYTES_MAX),
    ];
    match sizes.into_iter().find(|(_, bytes, limit)| bytes > limit) {
        Some((what, bytes, limit)) => Err(StorageError::TooLarge { what, bytes, limit }),
        None => Ok(()),
    }
}

/// What a pair is charged, in bytes.
pub(super) fn charge(bucket: Bucket<'_>, key: &str, value_bytes: usize) -> i64 {
    let texts = bucket.name.len() + key.len() + value_bytes;
    i64::try_from(texts).unwrap_or(i64::MAX - PAIR_BYTES) + PAIR_BYTES
}

/// The sum of a stored decimal number and `delta`.
pub(super) fn sum(key: &str, stored: Option<&[u8]>, delta: i64) -> Result<i64, StorageError> {
    let fail = |reason| StorageError::NotANumber { key: key.to_owned(), reason };
    let Some(bytes) = stored else { return Ok(delta) };
    let number: i64 = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| fail("it is not a decimal 64-bit number"))?;
    number.checked_add(delta).ok_or_else(|| fail("the sum leaves the range of 64 bits"))
}
