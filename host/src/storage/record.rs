//! The records a store keeps. Their meaning (what a seal covers, what a kind says) is the
//! journal's; here they are bytes with names.

use crate::types::{CallId, ComponentHash};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

/// A blake3 hash, printed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digest(pub [u8; 32]);

/// The random 128-bit name of a chain, printed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(pub [u8; 16]);

/// The random 128-bit name of a store, printed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

/// Text that is not the expected number of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0} hexadecimal digits")]
pub struct NotHex(pub usize);

/// Writes bytes as lower-case hexadecimal digits.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads `2 * N` hexadecimal digits of either case. Fails on any other text.
pub fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], NotHex> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(NotHex(2 * N));
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
        let (high, low) = value(pair[0]).zip(value(pair[1])).ok_or(NotHex(2 * N))?;
        *byte = high << 4 | low;
    }
    Ok(bytes)
}

macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Hex(&self.0).fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), Hex(&self.0))
            }
        }
        impl FromStr for $name {
            type Err = NotHex;
            fn from_str(text: &str) -> Result<Self, NotHex> {
                from_hex(text).map(Self)
            }
        }
    )*};
}
hexadecimal!(Digest, ChainId, StoreId);

/// A chain as its writer knows it: its id from the start, its number once it is registered.
#[derive(Debug)]
pub struct ChainKey {
    /// The chain's random name.
    pub id: ChainId,
    number: OnceLock<i64>,
}

impl ChainKey {
    /// A chain that no store has registered yet.
    pub fn new(id: ChainId) -> Self {
        Self { id, number: OnceLock::new() }
    }

    /// The chain's place in the store, dense from 1; `None` until its registration is committed.
    pub fn number(&self) -> Option<i64> {
        self.number.get().copied()
    }

    /// Called by the store after the commit that registered the chain; later calls change nothing.
    pub fn registered(&self, number: i64) {
        let _ = self.number.set(number);
    }
}

/// A chain to be registered with its first row.
#[derive(Clone, Debug)]
pub struct NewChain {
    /// The chain.
    pub key: Arc<ChainKey>,
    /// When it was opened, in microseconds since the Unix epoch.
    pub opened_us: i64,
    /// The plugin that the chain runs.
    pub plugin: String,
    /// The hash of its row 0, so that a chain without rows is found.
    pub first: Digest,
}

/// A registered chain, as it stands in the store (perhaps tampered with).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRecord {
    /// Dense from 1 in order of registration.
    pub number: i64,
    /// The chain's name: 16 bytes, unless tampered with.
    pub id: Vec<u8>,
    /// When it was opened, in microseconds since the Unix epoch.
    pub opened_us: i64,
    /// The plugin that the chain runs.
    pub plugin: String,
    /// The hash of its row 0.
    pub first: Vec<u8>,
    /// [`link`] over this registration and the one before.
    pub link: Vec<u8>,
}

/// The link hash of a registration: blake3 over a tag and the length-prefixed fields. `previous` is
/// the link of the chain before; the first chain links to the store's id.
pub fn link(
    previous: &[u8],
    number: i64,
    id: &[u8],
    opened_us: i64,
    plugin: &str,
    first: &[u8],
) -> Digest {
    let mut hasher = blake3::Hasher::new();
    let (number, opened_us) = (number.to_le_bytes(), opened_us.to_le_bytes());
    let fields: [&[u8]; 7] =
        [b"aos-host chain 1", previous, &number, id, &opened_us, plugin.as_bytes(), first];
    for field in fields {
        hasher.update(&(field.len() as u64).to_le_bytes()).update(field);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// The texts of a row in one allocation: who, capability, target and body, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    buffer: String,
    ends: [usize; 3],
}

impl Texts {
    /// Copies the texts that come before the body; `body_bytes` is the room to keep for it.
    pub fn new(who: &str, capability: &str, target: &str, body_bytes: usize) -> Self {
        let head = who.len() + capability.len() + target.len();
        let mut buffer = String::with_capacity(head + body_bytes);
        buffer.push_str(who);
        buffer.push_str(capability);
        buffer.push_str(target);
        Self { buffer, ends: [who.len(), who.len() + capability.len(), head] }
    }

    /// Appends to the body.
    pub fn push_body(&mut self, text: &str) {
        self.buffer.push_str(text);
    }

    /// On whose behalf: a plugin or agent.
    pub fn who(&self) -> &str {
        &self.buffer[..self.ends[0]]
    }

    /// The capability that was asked for, or empty.
    pub fn capability(&self) -> &str {
        &self.buffer[self.ends[0]..self.ends[1]]
    }

    /// What it was asked for on: a path, an origin, a tool; or empty.
    pub fn target(&self) -> &str {
        &self.buffer[self.ends[1]..self.ends[2]]
    }

    /// JSON text, or empty.
    pub fn body(&self) -> &str {
        &self.buffer[self.ends[2]..]
    }

    /// The size of all texts in bytes.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// A row on its way into the store: sealed in its chain, never changed again.
#[derive(Clone, Debug)]
pub struct SealedRow {
    /// The chain it belongs to.
    pub chain: Arc<ChainKey>,
    /// Dense from 0 within the chain.
    pub seq: i64,
    /// When it was sealed, in microseconds since the Unix epoch.
    pub time_us: i64,
    /// The word for its kind.
    pub kind: &'static str,
    /// The word for the verdict, or empty.
    pub verdict: &'static str,
    /// The call it belongs to.
    pub call: Option<CallId>,
    /// The component that was running.
    pub component: Option<ComponentHash>,
    /// Who, capability, target and body.
    pub texts: Texts,
    /// The seal.
    pub hash: Digest,
}

/// A row as it stands in the store (perhaps tampered with); fields as in [`SealedRow`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The number of its chain.
    pub chain: i64,
    /// Dense from 0 within the chain.
    pub seq: i64,
    /// When it was sealed, in microseconds since the Unix epoch.
    pub time_us: i64,
    /// The word for its kind.
    pub kind: String,
    /// On whose behalf.
    pub who: String,
    /// 16 bytes, or none.
    pub call: Vec<u8>,
    /// 32 bytes, or none.
    pub component: Vec<u8>,
    /// The capability that was asked for, or empty.
    pub capability: String,
    /// What it was asked for on, or empty.
    pub target: String,
    /// The word for the verdict, or empty.
    pub verdict: String,
    /// JSON text, or empty.
    pub body: String,
    /// The seal: 32 bytes.
    pub hash: Vec<u8>,
}

impl StoredRow {
    /// About how much memory the row takes, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.who.len()
            + self.capability.len()
            + self.target.len()
            + self.body.len()
    }
}

/// How far a store has come: what a head file starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreHead {
    /// The store's name.
    pub id: StoreId,
    /// The number of the newest chain; 0 in an empty store.
    pub chains: i64,
    /// The link of the newest chain; the store's id in an empty store.
    pub link: Vec<u8>,
}

/// How far one chain has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// The number of the chain.
    pub number: i64,
    /// The chain's name.
    pub id: Vec<u8>,
    /// How many rows it has, going by the newest one's seq.
    pub rows: i64,
    /// The hash of the newest row; empty if there is none.
    pub hash: Vec<u8>,
    /// The word for the kind of the newest row; empty if there is none, or it is not known.
    pub kind: String,
}
