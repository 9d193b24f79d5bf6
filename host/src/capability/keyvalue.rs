//! The wishes about one key, or all keys, of a bucket that the guest has open.

use std::borrow::Cow;

use crate::capability::authority::Authority;
use crate::capability::gate::Request;
use crate::capability::grant::Capability;
use crate::capability::names::NameRequest;
use crate::journal::Class;
use crate::types::Denial;

/// What is to be done. All but the first three change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOperation {
    /// Read a value.
    Get,
    /// See whether there is a value.
    Exists,
    /// List keys; there is no key to name.
    List,
    /// Set a value of so many bytes.
    Set {
        /// Its size in bytes.
        bytes: u64,
    },
    /// Delete a value.
    Delete,
    /// Add to a number.
    Increment {
        /// What is added.
        delta: i64,
    },
}

impl KeyOperation {
    fn reads(self) -> bool {
        match self {
            Self::Get | Self::Exists | Self::List => true,
            Self::Set { .. } | Self::Delete | Self::Increment { .. } => false,
        }
    }
}

/// A wish about a key. The bucket was let through when it was opened, and is checked again: a
/// handle is no grant.
#[derive(Clone, Copy, Debug)]
pub struct BucketRequest<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The key; empty where the operation has none.
    pub key: &'a str,
    /// What is to be done.
    pub operation: KeyOperation,
}

impl Request for BucketRequest<'_> {
    type Checked = ();

    fn capability(&self) -> Capability {
        Capability::KeyValue
    }

    fn target(&self) -> Cow<'_, str> {
        let Self { bucket, key, .. } = self;
        match self.operation {
            KeyOperation::Get | KeyOperation::Exists => format!("{bucket}/{key}"),
            KeyOperation::List => format!("{bucket}/*"),
            KeyOperation::Set { bytes } => format!("set {bucket}/{key} to {bytes} bytes"),
            KeyOperation::Delete => format!("delete {bucket}/{key}"),
            KeyOperation::Increment { delta } => format!("increment {bucket}/{key} by {delta}"),
        }
        .into()
    }

    fn class(&self) -> Class {
        match self.operation.reads() {
            true => Class::Queued,
            // What changed must be in the journal when the host dies right after, as with files.
            false => Class::Written,
        }
    }

    fn tally(&self) -> Option<String> {
        self.operation.reads().then(|| format!("read {}", self.bucket))
    }

    fn check(self, authority: &Authority) -> Result<(), Denial> {
        NameRequest::bucket(self.bucket).check(authority).map(|_| ())
    }
}
