//! Where the values of secrets come from: the environment, systemd's credentials, and a file that
//! is encrypted.
//!
//! The file is `secrets.json` in the state folder, mode 0600. Each value is sealed with
//! ChaCha20-Poly1305 (RFC 8439) under a key of its own, `blake3::derive_key(context, key ‖ salt)`
//! with a random salt of 32 bytes, a random nonce of 12, and its name as associated data: values
//! cannot change places. The key comes from `AOS_SECRETS_KEY` (64 hexadecimal digits), from the
//! credential `aos-secrets-key` of systemd, or from `secrets.key` beside the file, which is made
//! when a value is first kept. Without a key nothing is kept and nothing read: there is no plain
//! text to fall back to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};
use crate::capability::grant::{Grant, GrantError, Scope};
use crate::capability::secrets::{check_name, check_value, missing};
use crate::journal::seed_at;
use crate::sandbox::plain::nearest;
use crate::storage::from_hex;

/// Variables that give a value for one run begin so. They are no guest's to read.
pub const VARIABLE_PREFIX: &str = "AOS_SECRET_";
/// The variable that holds the key of the file.
pub const KEY_VARIABLE: &str = "AOS_SECRETS_KEY";
/// The credential of systemd that holds it.
const KEY_CREDENTIAL: &str = "aos-secrets-key";
/// Where systemd puts credentials (systemd.exec(5)).
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// What each value's key is derived under.
const KEY_CONTEXT: &str = "aos-host 2026-11 key of one secret";
/// The largest file of secrets, and the largest credential, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How many secrets one store keeps.
const SECRETS_MAX: usize = 1_000;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u8,
    secrets: BTreeMap<String, Sealed>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    /// Seconds since 1970.
    set_at_s: u64,
    salt: String,
    nonce: String,
    value: String,
}

/// What is known of a secret without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// When it was set, in seconds since 1970; none for one that is not in the file.
    pub set_at_s: Option<u64>,
    /// `store`, `environment` or `systemd`.
    pub from: &'static str,
}

/// The secrets of a user.
#[derive(Clone, Debug)]
pub struct Vault {
    file: PathBuf,
    key_file: PathBuf,
}

impl Vault {
    /// The one of this configuration.
    pub fn of(config: &Config) -> Self {
        Self::at(&config.state_folder)
    }

    /// The one in this folder.
    pub fn at(folder: &Path) -> Self {
        Self { file: folder.join("secrets.json"), key_file: folder.join("secrets.key") }
    }

    /// Keeps a value under a name, in the place of one that was there.
    ///
    /// # Errors
    /// One sentence without the value: a name or value that is none, a file or key that cannot be
    /// used.
    pub fn set(&self, name: &str, value: &SecretString) -> Result<(), ConfigError> {
        check_name(name).map_err(of_grant)?;
        check_value(value.expose_secret()).map_err(of_grant)?;
        let _lock = self.lock()?;
        let mut file = self.read()?;
        // Two keys in one file would make half of it unreadable.
        let key = self.key(file.secrets.is_empty())?;
        if let Some((known, sealed)) = file.secrets.iter().next() {
            self.unseal(&key, known, sealed)?;
        }
        if file.secrets.len() >= SECRETS_MAX && !file.secrets.contains_key(name) {
            return Err(self.wrong(&format!("it holds {SECRETS_MAX} secrets already")));
        }
        file.secrets.insert(name.to_owned(), seal(&key, name, value)?);
        self.write(&file)
    }

    /// Forgets a value.
    ///
    /// # Errors
    /// When there is none of that name, with the nearest; when the file cannot be used.
    pub fn remove(&self, name: &str) -> Result<(), ConfigError> {
        let _lock = self.lock()?;
        let mut file = self.read()?;
        if file.secrets.remove(name).is_none() {
            let near = nearest(name, file.secrets.keys().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(ConfigError(format!("no secret `{name}` is kept{near}")));
        }
        self.write(&file)
    }

    /// All that are known, by name.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn list(&self) -> Result<Vec<Kept>, ConfigError> {
        let file = self.read()?;
        let mut kept: BTreeMap<String, Kept> = BTreeMap::new();
        for (name, sealed) in file.secrets {
            let set_at_s = Some(sealed.set_at_s);
            kept.insert(name.clone(), Kept { name, set_at_s, from: "store" });
        }
        for (variable, value) in std::env::vars_os() {
            let Some(name) = variable.to_str().and_then(|name| name.strip_prefix(VARIABLE_PREFIX))
            else {
                continue;
            };
            if check_name(name).is_ok() && !value.is_empty() {
                let name = name.to_owned();
                kept.insert(name.clone(), Kept { name, set_at_s: None, from: "environment" });
            }
        }
        Ok(kept.into_values().collect())
    }

    /// The value of a secret: of `AOS_SECRET_NAME`, of a credential, of the file, in this order.
    ///
    /// # Errors
    /// When it is somewhere and cannot be read; the sentence has no part of it.
    pub fn value(&self, name: &str) -> Result<Option<SecretString>, ConfigError> {
        check_name(name).map_err(of_grant)?;
        let variable = format!("{VARIABLE_PREFIX}{name}");
        if let Some(value) = std::env::var_os(&variable).filter(|value| !value.is_empty()) {
            let value = value.into_string();
            let value = value.map_err(|_| ConfigError(format!("{variable} is no text")))?;
            return Ok(Some(value.into()));
        }
        if let Some(value) = credential(name)? {
            return Ok(Some(value));
        }
        let file = self.read()?;
        let Some(sealed) = file.secrets.get(name) else { return Ok(None) };
        self.unseal(&self.key(false)?, name, sealed).map(Some)
    }

    /// The values of the secrets that `grants` name.
    ///
    /// # Errors
    /// When one has no value, or one that cannot be read.
    pub fn values_of<'a>(
        &self,
        grants: impl Iterator<Item = &'a Grant>,
    ) -> Result<Vec<(String, SecretString)>, ConfigError> {
        let mut values: Vec<(String, SecretString)> = Vec::new();
        for grant in grants {
            let Scope::Secret(wanted) = &grant.scope else { continue };
            if values.iter().any(|(name, _)| *name == wanted.name) {
                continue;
            }
            let value = self.value(&wanted.name)?;
            let value = value.ok_or_else(|| of_grant(missing(&wanted.name)))?;
            check_value(value.expose_secret())
                .map_err(|error| ConfigError(format!("secret {}: {error}", wanted.name)))?;
            values.push((wanted.name.clone(), value));
        }
        Ok(values)
    }

    fn wrong(&self, what: &dyn std::fmt::Display) -> ConfigError {
        ConfigError(format!("{}: {what}", self.file.display()))
    }

    /// The key; made only when nothing is sealed yet, since a new one would open nothing.
    fn key(&self, make: bool) -> Result<[u8; 32], ConfigError> {
        let given = match std::env::var(KEY_VARIABLE).ok().filter(|text| !text.is_empty()) {
            Some(text) => Some((KEY_VARIABLE.to_owned(), SecretString::from(text))),
            None => credential(KEY_CREDENTIAL)?
                .map(|text| (format!("the credential {KEY_CREDENTIAL}"), text)),
        };
        if let Some((origin, text)) = given {
            let key = from_hex(text.expose_secret().trim());
            return key.map_err(|error| ConfigError(format!("{origin} is no key: {error}")));
        }
        if !make && !self.key_file.exists() {
            return Err(ConfigError(format!(
                "{} is not there, and what {} keeps cannot be read without it: put it back, or set \
                 {KEY_VARIABLE}; `aos-host secret remove` forgets what is lost",
                self.key_file.display(),
                self.file.display()
            )));
        }
        seed_at(&self.key_file).map_err(|error| ConfigError(error.to_string()))
    }

    fn unseal(
        &self,
        key: &[u8; 32],
        name: &str,
        sealed: &Sealed,
    ) -> Result<SecretString, ConfigError> {
        let failed = || {
            self.wrong(&format!(
                "the secret {name} cannot be opened: this is not the key it was sealed with, or \
                 the file was changed"
            ))
        };
        let salt = from_hex::<32>(&sealed.salt).map_err(|_| failed())?;
        let nonce = from_hex::<NONCE_LEN>(&sealed.nonce).map_err(|_| failed())?;
        let mut bytes = BASE64_STANDARD.decode(&sealed.value).map_err(|_| failed())?;
        let opened = cipher(key, &salt)
            .and_then(|cipher| {
                cipher
                    .open_in_place(
                        Nonce::assume_unique_for_key(nonce),
                        Aad::from(name.as_bytes()),
                        &mut bytes,
                    )
                    .ok()
                    .map(|opened| opened.len())
            })
            .ok_or_else(failed)?;
        bytes.truncate(opened);
        String::from_utf8(bytes).map(Into::into).map_err(|_| failed())
    }

    fn read(&self) -> Result<File, ConfigError> {
        let file = match fs::File::open(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(File::default()),
            file => file.map_err(|error| self.wrong(&error))?,
        };
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| self.wrong(&error))?;
        let read: File = serde_json::from_str(&text).map_err(|error| self.wrong(&error))?;
        match read.format {
            1 => Ok(read),
            other => Err(self.wrong(&format!("format {other} is of a newer aos-host"))),
        }
    }

    fn write(&self, file: &File) -> Result<(), ConfigError> {
        let file = File { format: 1, secrets: file.secrets.clone() };
        let text = serde_json::to_string_pretty(&file).map_err(|error| self.wrong(&error))?;
        let new = self.file.with_extension("new");
        let written = (|| {
            let mut options = fs::OpenOptions::new();
            let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            out.write_all(text.as_bytes())?;
            out.sync_all()?;
            // Whole or not at all.
            fs::rename(&new, &self.file)
        })();
        written.map_err(|error| self.wrong(&error))
    }

    /// Two processes do not write at once. The lock ends with the file's handle.
    fn lock(&self) -> Result<fs::File, ConfigError> {
        let locked = (|| {
            let folder = self.file.parent().unwrap_or(Path::new("/"));
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).mode(0o600);
            let file = file.open(self.file.with_extension("lock"))?;
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        })();
        locked.map_err(|error| self.wrong(&error))
    }
}

fn of_grant(error: GrantError) -> ConfigError {
    ConfigError(error.to_string())
}

fn cipher(key: &[u8; 32], salt: &[u8; 32]) -> Option<LessSafeKey> {
    let material = [*key, *salt].concat();
    let own = blake3::derive_key(KEY_CONTEXT, &material);
    UnboundKey::new(&CHACHA20_POLY1305, &own).ok().map(LessSafeKey::new)
}

fn seal(key: &[u8; 32], name: &str, value: &SecretString) -> Result<Sealed, ConfigError> {
    let failed = || ConfigError(format!("the secret {name} cannot be sealed"));
    let (salt, nonce): ([u8; 32], [u8; NONCE_LEN]) = (rand::random(), rand::random());
    let mut bytes = value.expose_secret().as_bytes().to_vec();
    let cipher = cipher(key, &salt).ok_or_else(failed)?;
    let unique = Nonce::assume_unique_for_key(nonce);
    cipher
        .seal_in_place_append_tag(unique, Aad::from(name.as_bytes()), &mut bytes)
        .map_err(|_| failed())?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Ok(Sealed {
        // A clock before 1970 is shown as that.
        set_at_s: now.map_or(0, |since| since.as_secs()),
        salt: crate::storage::Hex(&salt).to_string(),
        nonce: crate::storage::Hex(&nonce).to_string(),
        value: BASE64_STANDARD.encode(&bytes),
    })
}

/// A credential that systemd gave to this service.
fn credential(name: &str) -> Result<Option<SecretString>, ConfigError> {
    let Some(folder) = credentials_folder() else { return Ok(None) };
    let path = folder.join(name);
    let file = match fs::File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file,
    };
    let mut text = String::new();
    file.and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    Ok(Some(text.into()))
}

/// Where the credentials of this service are, where it is one.
pub fn credentials_folder() -> Option<PathBuf> {
    let folder = std::env::var_os(CREDENTIALS_VARIABLE).filter(|folder| !folder.is_empty());
    folder.map(PathBuf::from)
}

#[cfg(test)]
mod tests;
