//! Signed heads: how far a store has come, in one line that its writer cannot take back once it
//! lies elsewhere.
//!
//! A signed head holds the root of a tree over the heads of all chains ([`tree`]), the link of the
//! newest chain, and how many rows each chain had that was not closed; a closed chain has all of
//! its rows. So it is small, and whoever has the rows, from the store or from an export, can build
//! the same root with nothing but the public key to trust.
//!
//! One line of JSON each:
//! ```json
//! {"type":"aos-host-signed-head","version":1,"store":"…","chains":3,"link":"…","time_us":1,
//!  "open":[[2,17]],"root":"…","key":"…","signature":"…"}
//! ```
//! The signature is ed25519 over a tag and the fields, each with its length in front. `key` is
//! there to tell keys apart; what counts is the key that the reader brings.

mod key;
mod proof;
pub(super) mod tree;

pub use key::{PublicKey, SigningKey, seed_at};
pub use proof::{Proof, prove};

use super::lines::Lines;
use super::{JournalError, RowKind};
use crate::storage::{ChainHead, Digest, Storage, StoreId, from_hex};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::BufRead;
use tree::Tree;

const KIND: &str = "aos-host-signed-head";
const VERSION: u32 = 1;
const TAG: &[u8] = b"aos-host signed head 1";

/// How many signed heads of a file are held against the rows: the newest. Of older ones the
/// signature alone is checked.
pub const SIGNED_HEADS_MAX: usize = 64;

/// How far a store has come, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// The store's name.
    pub store: StoreId,
    /// How many chains it had.
    pub chains: i64,
    /// The link of the newest chain.
    pub link: Vec<u8>,
    /// When it was signed, in microseconds since the Unix epoch.
    pub time_us: i64,
    /// The chains that had no closing row: number, and how many rows. In ascending order.
    pub open: Vec<(i64, i64)>,
    /// The root of the tree over the chains' heads.
    pub root: Digest,
    /// The key that signed.
    pub key: PublicKey,
    /// The signature: 64 bytes.
    pub signature: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    version: u32,
    store: String,
    chains: i64,
    link: String,
    time_us: i64,
    open: Vec<(i64, i64)>,
    root: String,
    key: String,
    signature: String,
}

impl SignedHead {
    /// What is signed.
    fn message(&self) -> Vec<u8> {
        let mut open = Vec::with_capacity(self.open.len() * 16);
        for (number, rows) in &self.open {
            open.extend_from_slice(&number.to_le_bytes());
            open.extend_from_slice(&rows.to_le_bytes());
        }
        let mut message = Vec::with_capacity(open.len() + 256);
        let (chains, time_us) = (self.chains.to_le_bytes(), self.time_us.to_le_bytes());
        let (store, root, key) = (&self.store.0, &self.root.0, &self.key.0);
        let fields: [&[u8]; 8] = [TAG, store, &chains, &self.link, &time_us, &open, root, key];
        for field in fields {
            message.extend_from_slice(&(field.len() as u64).to_le_bytes());
            message.extend_from_slice(field);
        }
        message
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.accepts(&self.message(), &self.signature)
    }

    /// Its one line, without the line's end.
    pub fn line(&self) -> String {
        let hex = |bytes: &[u8]| crate::storage::Hex(bytes).to_string();
        let line = Line {
            kind: KIND.to_owned(),
            version: VERSION,
            store: self.store.to_string(),
            chains: self.chains,
            link: hex(&self.link),
            time_us: self.time_us,
            open: self.open.clone(),
            root: self.root.to_string(),
            key: self.key.to_string(),
            signature: hex(&self.signature),
        };
        serde_json::json!(line).to_string()
    }

    /// How many rows this chain had: `None` for all of a chain that was closed.
    pub(super) fn rows_of(&self, number: i64) -> Option<i64> {
        let found = self.open.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.open.get(found).map(|(_, rows)| *rows)
    }
}

impl std::str::FromStr for SignedHead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("it is no signed head: {what}");
        let line: Line = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if line.kind != KIND || line.version != VERSION {
            return Err(wrong(format!("expected `{KIND}` of version {VERSION}")));
        }
        let hex = |name: &str, text: &str| {
            from_hex::<32>(text).map_err(|error| wrong(format!("{name}: {error}")))
        };
        let signature = from_hex::<64>(&line.signature);
        let signature = signature.map_err(|error| wrong(format!("signature: {error}")))?;
        if !line.open.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(wrong("open: the chains are not in order".to_owned()));
        }
        // An empty store's link is its id.
        let link = match line.chains {
            0 => line.store.parse::<StoreId>().map_or_else(|_| Vec::new(), |id| id.0.to_vec()),
            _ => hex("link", &line.link)?.to_vec(),
        };
        Ok(Self {
            store: line.store.parse().map_err(|error| wrong(format!("store: {error}")))?,
            chains: line.chains,
            link,
            time_us: line.time_us,
            open: line.open,
            root: Digest(hex("root", &line.root)?),
            key: PublicKey(hex("key", &line.key)?),
            signature: signature.to_vec(),
        })
    }
}

/// Signs how far the store has come. What it says of its rows is not verified here: who signs
/// nonsense has signed nonsense, so verify first where that matters. Fails if it cannot be read.
pub async fn sign_head(
    store: &dyn Storage,
    key: &SigningKey,
    time_us: i64,
) -> Result<SignedHead, JournalError> {
    let head = store.head().await?;
    let (mut tree, mut open) = (Tree::default(), Vec::new());
    for_each_head(store, head.chains, |chain| {
        if chain.kind != RowKind::Closed.word() {
            open.push((chain.number, chain.rows));
        }
        tree.push(tree::leaf(chain.number, &chain.id, chain.rows, &chain.hash));
    })
    .await?;
    if i64::try_from(tree.leaves()) != Ok(head.chains) {
        let what = format!("it has {} of {} chains: verify it", tree.leaves(), head.chains);
        return Err(JournalError::Io(std::io::Error::other(what)));
    }
    let mut signed = SignedHead {
        store: head.id,
        chains: head.chains,
        link: head.link,
        time_us,
        open,
        root: tree.root(),
        key: key.public(),
        signature: Vec::new(),
    };
    signed.signature = key.sign(&signed.message());
    Ok(signed)
}

/// Calls with the heads of the chains up to this number, in order.
async fn for_each_head(
    store: &dyn Storage,
    until: i64,
    mut take: impl FnMut(&ChainHead),
) -> Result<(), JournalError> {
    let mut next = i64::MIN;
    loop {
        let page = store.chain_heads(next).await?;
        let Some(last) = page.last() else { return Ok(()) };
        next = last.number.saturating_add(1);
        page.iter().filter(|chain| chain.number <= until).for_each(&mut take);
        if next > until {
            return Ok(());
        }
    }
}

/// Reads signed heads, one a line, and checks that this key signed each. Returns the newest
/// [`SIGNED_HEADS_MAX`]. Fails on a line that is none, on a wrong signature, and when there is
/// none.
pub fn read_signed_heads(
    input: impl BufRead,
    key: &PublicKey,
) -> Result<Vec<SignedHead>, JournalError> {
    let mut lines = Lines::new(input, "signed head");
    let mut heads = VecDeque::new();
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        let head = line.parse::<SignedHead>();
        let head = head.map_err(|what| lines.error(what))?;
        if !head.is_signed_by(key) {
            let what = match head.key == *key {
                true => "its signature is wrong: it was changed".to_owned(),
                false => format!("another key signed it, {}", head.key),
            };
            return Err(lines.error(what));
        }
        if heads.len() == SIGNED_HEADS_MAX {
            heads.pop_front();
        }
        heads.push_back(head);
    }
    match heads.is_empty() {
        true => Err(lines.error("there is no signed head")),
        false => Ok(heads.into()),
    }
}
