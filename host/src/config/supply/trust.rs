//! Signatures of plugins, and the operator's policy of whose count: `trust.toml` beside `aos.toml`.
//!
//! Without that file a plugin that the operator adds is taken as it is, and pinned by its hash.
//! With it, what nobody signed is refused unless `unsigned = "allow"`, and a signer counts for the
//! names that the file gives it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{SupplyError, sha256};
use crate::capability::names::NamePattern;
use crate::journal::{PublicKey, SigningKey};
use crate::storage::{Hex, from_hex};

/// The file's name.
pub const FILE: &str = "trust.toml";
/// The ending of a signature beside its plugin.
pub const SIGNATURE_ENDING: &str = ".sig";
/// A signature's file is two lines.
pub const SIGNATURE_BYTES_MAX: usize = 4096;
/// What stands before the hash in what is signed, so that no other signature of a key fits.
const DOMAIN: &str = "aos-host plugin 1\n";

/// Who signed, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The public key, ed25519, in hexadecimal.
    pub key: String,
    /// The signature, in hexadecimal.
    pub signature: String,
}

impl Signature {
    /// Signs a plugin's bytes.
    pub fn of(key: &SigningKey, bytes: &[u8]) -> Self {
        let signature = key.sign(&message(bytes));
        Self { key: key.public().to_string(), signature: Hex(&signature).to_string() }
    }

    /// Reads a signature's file.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &[u8]) -> Result<Self, SupplyError> {
        let wrong = |what: String| SupplyError::Untrusted(format!("its signature: {what}"));
        if text.len() > SIGNATURE_BYTES_MAX {
            return Err(wrong(format!("it is over {SIGNATURE_BYTES_MAX} bytes")));
        }
        let text = std::str::from_utf8(text).map_err(|_| wrong("it is no text".into()))?;
        let read: Self =
            toml::from_str(text).map_err(|error| wrong(error.message().replace('\n', " ")))?;
        let hex = read.key.parse::<PublicKey>().is_ok() && from_hex::<64>(&read.signature).is_ok();
        match hex {
            true => Ok(read),
            false => Err(wrong("`key` has 64 hexadecimal digits, `signature` 128".into())),
        }
    }

    /// The signature's file.
    pub fn text(&self) -> String {
        format!("key = \"{}\"\nsignature = \"{}\"\n", self.key, self.signature)
    }

    /// The key, when it signed exactly these bytes.
    fn key_of(&self, bytes: &[u8]) -> Result<PublicKey, SupplyError> {
        let wrong = |what: &str| SupplyError::Untrusted(format!("its signature: {what}"));
        let key: PublicKey = self.key.parse().map_err(|_| wrong("`key` is no public key"))?;
        let signature = from_hex::<64>(&self.signature).map_err(|_| wrong("it is none"))?;
        match key.accepts(&message(bytes), &signature) {
            true => Ok(key),
            false => Err(wrong("it is not of these bytes by this key")),
        }
    }
}

fn message(bytes: &[u8]) -> Vec<u8> {
    format!("{DOMAIN}{}", sha256(bytes)).into_bytes()
}

/// What becomes of a plugin that nobody signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsigned {
    /// It is taken, and pinned by its hash.
    Allow,
    /// It is refused.
    #[default]
    Refuse,
}

/// One signer whom the operator trusts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signer {
    key: String,
    /// What people call it.
    name: String,
    /// The plugins that it may sign: names, or beginnings with `*`.
    plugins: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    unsigned: Unsigned,
    #[serde(default)]
    signer: Vec<Signer>,
}

/// The policy.
#[derive(Debug)]
pub struct Trust {
    unsigned: Unsigned,
    signers: Vec<(PublicKey, String, Vec<NamePattern>)>,
    /// None: there is no such file.
    path: Option<PathBuf>,
}

impl Trust {
    /// The policy in a folder; where there is none, unsigned plugins are taken.
    ///
    /// # Errors
    /// When it cannot be read: then nothing is trusted.
    pub fn of(folder: &Path) -> Result<Self, SupplyError> {
        let path = folder.join(FILE);
        let wrong = |what: String| SupplyError::Files(format!("{}: {what}", path.display()));
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { unsigned: Unsigned::Allow, signers: Vec::new(), path: None });
            }
            text => text.map_err(|error| wrong(error.to_string()))?,
        };
        let file: File =
            toml::from_str(&text).map_err(|error| wrong(error.message().replace('\n', " ")))?;
        let mut signers = Vec::new();
        for Signer { key, name, plugins } in file.signer {
            let key = key.parse().map_err(|error| wrong(format!("signer `{name}`: {error}")))?;
            let patterns: Result<Vec<NamePattern>, _> =
                plugins.iter().map(|pattern| pattern.parse()).collect();
            let patterns = patterns.map_err(|error| wrong(format!("signer `{name}`: {error}")))?;
            signers.push((key, name, patterns));
        }
        Ok(Self { unsigned: file.unsigned, signers, path: Some(path) })
    }

    /// Whether a plugin of this name may be taken; who signed it. The bytes are only hashed.
    ///
    /// # Errors
    /// [`SupplyError::Untrusted`] says what is missing.
    pub fn check(
        &self,
        name: &str,
        bytes: &[u8],
        signature: Option<&Signature>,
    ) -> Result<Option<String>, SupplyError> {
        let refuse = |what: String| Err(SupplyError::Untrusted(format!("`{name}`: {what}")));
        let shown = self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let Some(signature) = signature else {
            return match self.unsigned {
                Unsigned::Allow => Ok(None),
                Unsigned::Refuse => refuse(format!(
                    "nobody signed it, and {shown} refuses that; `unsigned = \"allow\"` there \
                     would take it"
                )),
            };
        };
        // A signature that is wrong is worse than none, whatever the policy says.
        let key = signature.key_of(bytes)?;
        if self.path.is_none() {
            return Ok(Some(key.to_string()));
        }
        let known = self.signers.iter().find(|(trusted, ..)| *trusted == key);
        match known {
            Some((_, _, plugins)) if plugins.iter().any(|pattern| pattern.matches(name)) => {
                Ok(Some(key.to_string()))
            }
            Some((_, signer, _)) => {
                refuse(format!("{shown} does not let `{signer}` sign a plugin of this name"))
            }
            None => refuse(format!("{key} signed it, whom {shown} does not name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::of(&[seed; 32]).expect("a key")
    }

    fn trust(text: &str) -> Trust {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join(FILE), text).expect("writes");
        Trust::of(folder.path()).expect("reads")
    }

    #[test]
    fn only_a_trusted_signer_of_exactly_these_bytes_counts() {
        let ann = key(1).public();
        let trust =
            trust(&format!("[[signer]]\nname = 'ann'\nkey = '{ann}'\nplugins = ['files-*']\n"));
        let by = |seed: u8, bytes: &[u8]| Signature::of(&key(seed), bytes);
        let good = by(1, b"bytes");
        let read = Signature::parse(good.text().as_bytes()).expect("reads");
        assert_eq!(read, good);
        let taken = trust.check("files-x", b"bytes", Some(&read)).expect("trusted");
        assert_eq!(taken, Some(ann.to_string()));
        for (name, bytes, signature, says) in [
            ("files-x", &b"bytez"[..], Some(&good), "not of these bytes"),
            ("other", b"bytes", Some(&good), "does not let `ann`"),
            ("files-x", b"bytes", Some(&by(2, b"bytes")), "does not name"),
            ("files-x", b"bytes", None, "nobody signed"),
            (
                "files-x",
                b"bytes",
                Some(&Signature { key: ann.to_string(), ..by(2, b"bytes") }),
                "not of these bytes",
            ),
        ] {
            let error = trust.check(name, bytes, signature).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn without_a_policy_what_is_added_is_taken_but_no_wrong_signature() {
        let folder = tempfile::tempdir().expect("folder");
        let trust = Trust::of(folder.path()).expect("none");
        assert_eq!(trust.check("x", b"b", None).expect("taken"), None);
        assert!(trust.check("x", b"b", Some(&Signature::of(&key(1), b"other"))).is_err());
        std::fs::write(folder.path().join(FILE), "unsinged = 'allow'").expect("writes");
        assert!(Trust::of(folder.path()).is_err(), "a typo is no permission");
    }
}
