//! A proof that one chain's head is in a signed head, for somebody who sees no other chain.

use super::tree::{leaf, path, root_of};
use super::{PublicKey, SignedHead};
use crate::journal::JournalError;
use crate::storage::{ChainRecord, Digest, Hex, RowRange, Storage, from_hex};
use serde::{Deserialize, Serialize};

const KIND: &str = "aos-host-proof";
const VERSION: u32 = 1;
/// A tree of 2^64 leaves has no longer path.
const PATH_MAX: usize = 64;

/// That a chain had come so far when the head was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The chain's number.
    pub number: i64,
    /// The chain's name.
    pub id: Vec<u8>,
    /// How many rows it had.
    pub rows: i64,
    /// The hash of the last of them.
    pub hash: Vec<u8>,
    /// The hashes that lead to the root, the lowest first.
    pub path: Vec<Digest>,
    /// What it leads to.
    pub head: SignedHead,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    version: u32,
    chain: i64,
    id: String,
    rows: i64,
    hash: String,
    path: Vec<String>,
    head: serde_json::Value,
}

impl Proof {
    /// Checks the signature and the way from the chain's head to the root.
    ///
    /// # Errors
    /// What does not hold, as one sentence.
    pub fn check(&self, key: &PublicKey) -> Result<(), String> {
        if !self.head.is_signed_by(key) {
            return Err("the signature of its head is not by this key".to_owned());
        }
        let of = |number: i64| u64::try_from(number).ok();
        let index = self.number.checked_sub(1).and_then(of);
        let root = index.zip(of(self.head.chains)).and_then(|(index, chains)| {
            let leaf = leaf(self.number, &self.id, self.rows, &self.hash);
            root_of(leaf, index, chains, &self.path)
        });
        match root == Some(self.head.root) {
            true => Ok(()),
            false => Err("its path does not lead to the signed root".to_owned()),
        }
    }

    /// As JSON in one line.
    pub fn line(&self) -> String {
        let written = Written {
            kind: KIND.to_owned(),
            version: VERSION,
            chain: self.number,
            id: Hex(&self.id).to_string(),
            rows: self.rows,
            hash: Hex(&self.hash).to_string(),
            path: self.path.iter().map(ToString::to_string).collect(),
            head: serde_json::from_str(&self.head.line()).unwrap_or_default(),
        };
        serde_json::json!(written).to_string()
    }
}

impl std::str::FromStr for Proof {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("it is no proof: {what}");
        let read: Written = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if read.kind != KIND || read.version != VERSION || read.path.len() > PATH_MAX {
            return Err(wrong(format!("expected `{KIND}` of version {VERSION}")));
        }
        let hex = |text: &String| from_hex::<32>(text).map_err(|error| wrong(error.to_string()));
        let path = read.path.iter().map(hex).map(|digest| digest.map(Digest));
        Ok(Self {
            number: read.chain,
            id: from_hex::<16>(&read.id).map_err(|error| wrong(error.to_string()))?.to_vec(),
            rows: read.rows,
            hash: hex(&read.hash)?.to_vec(),
            path: path.collect::<Result<_, _>>()?,
            head: read.head.to_string().parse()?,
        })
    }
}

/// Proves that this chain is in the signed head, from the rows in the store. Fails if it cannot be
/// read, if the chain was opened after the head was signed, or if what is in the store now does not
/// give the signed root.
pub async fn prove(
    store: &dyn Storage,
    chain: &ChainRecord,
    head: SignedHead,
) -> Result<Proof, JournalError> {
    let failed = |what: &str| JournalError::Io(std::io::Error::other(what.to_owned()));
    if chain.number > head.chains {
        return Err(failed("the chain was opened after this head was signed: sign a new one"));
    }
    let mut heads = Vec::new();
    super::for_each_head(store, head.chains, |chain| heads.push(chain.clone())).await?;
    let mut leaves = Vec::with_capacity(heads.len());
    let mut own = None;
    for mut found in heads {
        // A chain that has grown since is taken as it was then.
        if let Some(rows) = head.rows_of(found.number).filter(|rows| *rows < found.rows) {
            let from = (found.number, rows.saturating_sub(1));
            let row = store.rows(RowRange { from, until_chain: found.number }, 1).await?.pop();
            found.hash = row.map(|row| row.hash).unwrap_or_default();
            found.rows = rows;
        }
        leaves.push(leaf(found.number, &found.id, found.rows, &found.hash));
        if found.number == chain.number {
            own = Some((leaves.len() - 1, found));
        }
    }
    let (index, own) = own.ok_or_else(|| failed("the chain is not in the store"))?;
    let path = path(&leaves, index);
    let (number, rows) = (chain.number, own.rows);
    let proof = Proof { number, id: own.id, rows, hash: own.hash, path, head };
    match proof.check(&proof.head.key) {
        Ok(()) => Ok(proof),
        Err(_) => Err(failed(
            "the rows in the store do not give the root of this head: `aos-host audit verify` with \
             it tells where",
        )),
    }
}
