//! A plugin's bytes and its signature, from a file, over HTTPS, or out of an OCI registry.
//!
//! Over the network everything is TLS, but for this machine's own addresses. Nothing is read beyond
//! what a component may have, and nothing is parsed as one.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use futures::StreamExt;
use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;

use super::trust::{SIGNATURE_BYTES_MAX, SIGNATURE_ENDING, Signature};
use super::{SupplyError, sha256};
use crate::sandbox::program::COMPONENT_BYTES_MAX;

/// How long one download may take.
const TIME: Duration = Duration::from_secs(600);
/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// Redirects of one download; all to HTTPS.
const REDIRECTS_MAX: usize = 5;
/// The media types of a component's layer: the standard's, and the older one.
const LAYER_TYPES: [&str; 2] = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];
/// Annotations of an OCI manifest that carry a signature.
const ANNOTATION_KEY: &str = "aos-host.signature.key";
/// As above.
const ANNOTATION_SIGNATURE: &str = "aos-host.signature.ed25519";
/// A file of credentials is no longer than this.
const CREDENTIALS_BYTES_MAX: u64 = 1 << 20;

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// A URL.
    Url(String),
    /// `oci://HOST/REPOSITORY[:TAG|@DIGEST]`, without the `oci://`.
    Oci(String),
}

/// What a source gave.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The bytes, as they came.
    pub bytes: Vec<u8>,
    /// The signature beside them.
    pub signature: Option<Signature>,
}

impl Source {
    /// Reads what the operator wrote.
    ///
    /// # Errors
    /// One sentence that says what would be right.
    pub fn parse(text: &str) -> Result<Self, SupplyError> {
        let wrong = |what: &str| Err(SupplyError::Asked(format!("`{text}`: {what}")));
        if let Some(name) = text.strip_prefix("oci://") {
            let host = name.split('/').next().unwrap_or("");
            let named = name.contains('/') && (host.contains(['.', ':']) || host == "localhost");
            return match named {
                true => Ok(Self::Oci(name.to_owned())),
                // No registry is the default one.
                false => wrong("write oci://HOST/REPOSITORY:TAG, with the registry's host"),
            };
        }
        match text.split_once("://") {
            Some(("https", _)) => Ok(Self::Url(text.to_owned())),
            Some(("http", rest)) if is_own(rest) => Ok(Self::Url(text.to_owned())),
            Some(("http", _)) => wrong("it is not encrypted; write https://"),
            Some(_) => wrong("write a file, https://… or oci://…"),
            None => Ok(Self::File(text.into())),
        }
    }

    /// The name that follows from it: of a file, of a URL's last part, of a repository.
    pub fn name(&self) -> String {
        let last = |text: &str| {
            let path = text.split(['?', '#']).next().unwrap_or(text);
            path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_owned()
        };
        let name = match self {
            Self::File(path) => {
                path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Self::Url(url) => last(url),
            Self::Oci(name) => {
                let name = last(name.split('@').next().unwrap_or(name));
                name.split(':').next().unwrap_or_default().to_owned()
            }
        };
        name.strip_suffix(".wasm").map(str::to_owned).unwrap_or(name)
    }

    /// The bytes, and the signature where there is one.
    ///
    /// # Errors
    /// [`SupplyError::Source`] when they cannot be had.
    pub async fn fetch(&self) -> Result<Fetched, SupplyError> {
        let fetching = async {
            match self {
                Self::File(path) => from_file(path),
                Self::Url(url) => from_url(url).await,
                Self::Oci(name) => from_registry(name).await,
            }
        };
        let late = || SupplyError::Source(format!("{self}: it took longer than {TIME:?}"));
        tokio::time::timeout(TIME, fetching).await.map_err(|_| late())?
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
            Self::Oci(name) => write!(f, "oci://{name}"),
        }
    }
}

/// Whether what follows `http://` is an address of this machine itself.
fn is_own(rest: &str) -> bool {
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    // With a user in front it is not read as it looks.
    !host.contains('@')
        && url::Url::parse(&format!("http://{host}/")).is_ok_and(|url| match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        })
}

fn from_file(path: &Path) -> Result<Fetched, SupplyError> {
    let bytes = read(path, COMPONENT_BYTES_MAX)?
        .ok_or_else(|| SupplyError::Source(format!("{}: there is no such file", path.display())))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(SIGNATURE_ENDING);
    let signature = read(Path::new(&beside), SIGNATURE_BYTES_MAX as u64)?;
    let signature = signature.map(|text| Signature::parse(&text)).transpose()?;
    Ok(Fetched { bytes, signature })
}

/// A file's bytes; none when it is not there.
fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, SupplyError> {
    let wrong = |what: String| SupplyError::Source(format!("{}: {what}", path.display()));
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| wrong(error.to_string()))?,
    };
    let mut bytes = Vec::new();
    let mut file = file.take(bytes_max + 1);
    file.read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    match bytes.len() as u64 > bytes_max {
        true => Err(wrong(format!("it is larger than {bytes_max} bytes"))),
        false => Ok(Some(bytes)),
    }
}

async fn from_url(url: &str) -> Result<Fetched, SupplyError> {
    let wrong =
        |error: reqwest::Error| SupplyError::Source(format!("{url}: {}", error_text(&error)));
    // Whoever came first has set one; both are the same.
    let _set = rustls::crypto::ring::default_provider().install_default();
    let redirects = reqwest::redirect::Policy::custom(|attempt| {
        let target = attempt.url();
        let own = target.scheme() == "http" && is_own(&target.as_str()["http://".len()..]);
        match attempt.previous().len() > REDIRECTS_MAX || (target.scheme() != "https" && !own) {
            true => attempt.error("it leads to what is not encrypted, or on and on"),
            false => attempt.follow(),
        }
    });
    let client = reqwest::Client::builder()
        .redirect(redirects)
        .connect_timeout(SILENCE)
        .read_timeout(SILENCE)
        .build()
        .map_err(wrong)?;
    let answer = client.get(url).send().await.map_err(wrong)?;
    if !answer.status().is_success() {
        let status = answer.status();
        return Err(SupplyError::Source(format!("{url}: the server says {status}")));
    }
    let bytes = bounded(url, answer.bytes_stream(), COMPONENT_BYTES_MAX).await?;
    let beside = format!("{url}{SIGNATURE_ENDING}");
    let answer = client.get(&beside).send().await.map_err(wrong)?;
    let signature = match answer.status() {
        reqwest::StatusCode::NOT_FOUND => None,
        status if status.is_success() => {
            let text = bounded(&beside, answer.bytes_stream(), SIGNATURE_BYTES_MAX as u64).await?;
            Some(Signature::parse(&text)?)
        }
        status => {
            // Whether there is one cannot be told, so it is not taken for none.
            return Err(SupplyError::Source(format!("{beside}: the server says {status}")));
        }
    };
    Ok(Fetched { bytes, signature })
}

fn error_text(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

async fn bounded<E: std::fmt::Display>(
    origin: &str,
    pieces: impl futures::Stream<Item = Result<bytes::Bytes, E>>,
    bytes_max: u64,
) -> Result<Vec<u8>, SupplyError> {
    let mut pieces = std::pin::pin!(pieces);
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| SupplyError::Source(format!("{origin}: {error}")))?;
        if (bytes.len() + piece.len()) as u64 > bytes_max {
            let what = format!("{origin}: it is larger than {bytes_max} bytes");
            return Err(SupplyError::Source(what));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn from_registry(name: &str) -> Result<Fetched, SupplyError> {
    let wrong = |what: String| SupplyError::Source(format!("oci://{name}: {what}"));
    // Whoever came first has set one; both are the same.
    let _set = rustls::crypto::ring::default_provider().install_default();
    let reference: Reference = name.parse().map_err(|error| wrong(format!("{error}")))?;
    let host = reference.resolve_registry().to_owned();
    let protocol = if is_own(&host) { ClientProtocol::Http } else { ClientProtocol::Https };
    let client = Client::new(ClientConfig {
        protocol,
        connect_timeout: Some(SILENCE),
        read_timeout: Some(SILENCE),
        ..ClientConfig::default()
    });
    let auth = credentials(&host)?;
    let (manifest, _) = client
        .pull_image_manifest(&reference, &auth)
        .await
        .map_err(|error| wrong(error.to_string()))?;
    let mut layers =
        manifest.layers.iter().filter(|layer| LAYER_TYPES.contains(&layer.media_type.as_str()));
    let (Some(layer), None) = (layers.next(), layers.next()) else {
        return Err(wrong(format!("it has not one layer of {}", LAYER_TYPES.join(" or "))));
    };
    let pieces = client
        .pull_blob_stream(&reference, layer)
        .await
        .map_err(|error| wrong(error.to_string()))?;
    let bytes = bounded(&format!("oci://{name}"), pieces.stream, COMPONENT_BYTES_MAX).await?;
    let hash = format!("sha256:{}", sha256(&bytes));
    if hash != layer.digest {
        let what =
            format!("oci://{name}: its layer is {hash}, and its manifest says {}", layer.digest);
        return Err(SupplyError::Untrusted(what));
    }
    let annotation = |key: &str| manifest.annotations.as_ref()?.get(key).cloned();
    let signature = match (annotation(ANNOTATION_KEY), annotation(ANNOTATION_SIGNATURE)) {
        (Some(key), Some(signature)) => Some(Signature { key, signature }),
        (None, None) => None,
        (_, _) => return Err(wrong("its signature lacks a part".into())),
    };
    Ok(Fetched { bytes, signature })
}

/// The operator's credentials for a registry, where Docker's own file has them in clear.
fn credentials(host: &str) -> Result<RegistryAuth, SupplyError> {
    let folder = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")));
    let Some(path) = folder.map(|folder| folder.join("config.json")) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let Some(text) = read(&path, CREDENTIALS_BYTES_MAX)? else {
        return Ok(RegistryAuth::Anonymous);
    };
    // What is wrong is told without the text: it holds secrets.
    let wrong = |what: &str| SupplyError::Files(format!("{}: {what}", path.display()));
    let file: serde_json::Value =
        serde_json::from_slice(&text).map_err(|_| wrong("it is not JSON"))?;
    let Some(auth) = file["auths"][host]["auth"].as_str() else {
        return Ok(RegistryAuth::Anonymous);
    };
    let pair = base64::engine::general_purpose::STANDARD.decode(auth).ok();
    let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    let (user, password) = pair.ok_or_else(|| wrong("an `auth` in it is no user and password"))?;
    Ok(RegistryAuth::Basic(user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_file_an_encrypted_url_or_a_registry() {
        let name = |text: &str| Source::parse(text).map(|source| source.name());
        assert_eq!(name("./dist/files.wasm").expect("a file"), "files");
        assert_eq!(name("https://x.example/a/b.wasm?v=1").expect("a URL"), "b");
        assert_eq!(name("oci://r.example:5000/team/tool:1.2").expect("a registry"), "tool");
        assert_eq!(name("oci://r.example/t@sha256:00").expect("a registry"), "t");
        assert_eq!(name("http://127.0.0.1:8080/x.wasm").expect("this machine"), "x");
        for text in [
            "http://x.example/a.wasm",
            "http://127.0.0.1@x.example/a.wasm",
            "http://127.0.0.1.x.example/a.wasm",
            "oci://tool:1",
            "oci://team/tool",
            "ftp://x/y",
        ] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }
}
