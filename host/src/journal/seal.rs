//! The seal: what a row's hash covers. Pure.
//!
//! blake3 over a tag, then every field with its length in front, so that no two rows have the same
//! encoding. The body goes in as its own hash: a body can be taken out later without breaking the
//! chain.

use crate::storage::{Digest, SealedRow, StoredRow};

/// Changes whenever the encoding does.
const TAG: &[u8] = b"aos-host row 1";

/// The fields of one row, as the seal covers them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) chain: &'a [u8],
    pub(super) seq: i64,
    pub(super) time_us: i64,
    /// The hash of the row before; empty in row 0.
    pub(super) previous: &'a [u8],
    pub(super) kind: &'a str,
    pub(super) who: &'a str,
    pub(super) call: &'a [u8],
    pub(super) component: &'a [u8],
    pub(super) capability: &'a str,
    pub(super) target: &'a str,
    pub(super) verdict: &'a str,
    pub(super) body: &'a str,
}

impl Fields<'_> {
    /// The seal. `scratch` is only reused memory.
    pub(super) fn hash(&self, scratch: &mut Vec<u8>) -> Digest {
        let body = (!self.body.is_empty()).then(|| blake3::hash(self.body.as_bytes()));
        scratch.clear();
        let fields: [&[u8]; 13] = [
            TAG,
            self.chain,
            &self.seq.to_le_bytes(),
            &self.time_us.to_le_bytes(),
            self.previous,
            self.kind.as_bytes(),
            self.who.as_bytes(),
            self.call,
            self.component,
            self.capability.as_bytes(),
            self.target.as_bytes(),
            self.verdict.as_bytes(),
            body.as_ref().map_or(&[], |hash| hash.as_bytes()),
        ];
        for field in fields {
            scratch.extend_from_slice(&(field.len() as u64).to_le_bytes());
            scratch.extend_from_slice(field);
        }
        Digest(*blake3::hash(scratch).as_bytes())
    }
}

/// The seal that a new row gets.
pub(super) fn seal(row: &SealedRow, previous: &[u8], scratch: &mut Vec<u8>) -> Digest {
    let fields = Fields {
        chain: &row.chain.id.0,
        seq: row.seq,
        time_us: row.time_us,
        previous,
        kind: row.kind,
        who: row.texts.who(),
        call: row.call.as_ref().map_or(&[], |call| call.0.as_bytes()),
        component: row.component.as_ref().map_or(&[], |hash| &hash.0),
        capability: row.texts.capability(),
        target: row.texts.target(),
        verdict: row.verdict,
        body: row.texts.body(),
    };
    fields.hash(scratch)
}

/// The seal that a stored row should have.
pub(super) fn expected(
    row: &StoredRow,
    chain: &[u8],
    previous: &[u8],
    scratch: &mut Vec<u8>,
) -> Digest {
    let fields = Fields {
        chain,
        seq: row.seq,
        time_us: row.time_us,
        previous,
        kind: &row.kind,
        who: &row.who,
        call: &row.call,
        component: &row.component,
        capability: &row.capability,
        target: &row.target,
        verdict: &row.verdict,
        body: &row.body,
    };
    fields.hash(scratch)
}
