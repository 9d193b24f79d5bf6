//! The key that signs heads: ed25519, its seed in a file of its user's alone.

use std::fs;
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::storage::{Hex, from_hex};

/// A seed in hexadecimal and a line end; what is longer is no key.
const FILE_BYTES_MAX: u64 = 80;

/// Signs heads.
#[derive(Debug)]
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key in this file; made there, with mode 0600, when there is none. Fails with one
    /// sentence when it cannot be read or made, when others may read it, and when it is no key.
    pub fn at(path: &Path) -> Result<Self, Error> {
        seed_at(path).and_then(|seed| Self::of(&seed))
    }

    /// The key of a seed. Fails never for 32 bytes, which ring cannot know.
    pub fn of(seed: &[u8; 32]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        pair.map(Self).map_err(|error| Error::other(format!("it is no key: {error}")))
    }

    /// What others need to check its signatures.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs a message. Each use puts its own tag in front, so that no signature fits another.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// The 32 random bytes in this file; made there, with mode 0600, when there is none. Fails with one
/// sentence when it cannot be read or made, when others may read it, and when it is no key.
pub fn seed_at(path: &Path) -> Result<[u8; 32], Error> {
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        read => read,
    }
    .map_err(|error| Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<[u8; 32], Error> {
    let file = fs::File::open(path)?;
    let mode = file.metadata()?.mode();
    if mode & 0o077 != 0 {
        let what = format!("others may read this key (mode {:o}): `chmod 600`", mode & 0o777);
        return Err(Error::other(what));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    let seed = from_hex::<32>(text.trim_end());
    seed.map_err(|error| Error::other(format!("it is no key: {error}")))
}

fn make(path: &Path) -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    let filled = SystemRandom::new().fill(&mut seed);
    filled.map_err(|_| Error::other("the system gives no random numbers"))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Written whole under another name first: who comes at the same time sees all or nothing.
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::OpenOptions::new();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(file, "{}", Hex(&seed))?;
    file.sync_all()?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path),
        linked => linked.map(|()| seed),
    }
}

/// The public half of a [`SigningKey`], printed as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether this key signed exactly this message.
    pub(crate) fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl std::str::FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = from_hex(text.trim()).map(Self);
        bytes.map_err(|error| {
            format!("it is no public key: {error}, as `aos-host audit key` prints them")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_for_its_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/anchor.key");
        let first = SigningKey::at(&path).expect("made");
        let again = SigningKey::at(&path).expect("read");
        assert_eq!(first.public(), again.public());
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path().join("state"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(folder.path().join("state")).expect("a folder").count(), 1);
        assert_eq!(first.public().to_string().parse(), Ok(first.public()));
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("anchor.key");
        SigningKey::at(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let sentence = SigningKey::at(&path).expect_err("refused").to_string();
        assert!(sentence.contains("mode 644") && sentence.contains("anchor.key"), "{sentence}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        for text in ["", "abc", &"f".repeat(200), &"g".repeat(64)] {
            fs::write(&path, text).expect("written");
            let sentence = SigningKey::at(&path).expect_err("refused").to_string();
            assert!(sentence.contains("it is no key"), "{sentence}");
        }
    }

    #[test]
    fn the_signature_is_that_of_rfc_8032() {
        // RFC 8032, section 7.1, test 2.
        let hex = |text: &str| from_hex::<32>(text).expect("hexadecimal");
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = SigningKey::of(&seed).expect("a key");
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        assert_eq!(key.public().to_string(), public);
        let signature = key.sign(&[0x72]);
        let start = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da";
        assert_eq!(Hex(&signature[..32]).to_string(), start);
        assert!(key.public().accepts(&[0x72], &signature));
        assert!(!key.public().accepts(&[0x73], &signature));
        assert!(!key.public().accepts(&[0x72], &signature[..63]));
    }
}
