//! TLS for requests: which authorities are trusted, and the name that must be proven.

use super::egress::EgressError;
use super::host::Host;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Loads the trusted roots at the first request over TLS, not before: a host that makes none pays
/// nothing.
///
/// The roots are the system's (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them), or Mozilla's from
/// `webpki-roots` when the system has none, and the operator's own on top.
#[derive(Debug, Default)]
pub struct Tls {
    own_roots: Vec<CertificateDer<'static>>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    /// Trusts these roots besides the system's.
    pub fn with_roots(own_roots: Vec<CertificateDer<'static>>) -> Self {
        Self {
            own_roots,
            config: OnceCell::new(),
        }
    }

    /// Shakes hands over a connected stream; the certificate must prove the original host.
    pub(super) async fn connect(
        &self,
        host: &Host,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, EgressError> {
        let name = match host.address() {
            Some(address) => ServerName::IpAddress(address.into()),
            None => ServerName::try_from(host.to_string())
                .map_err(|error| EgressError::Tls(io::Error::other(error)))?,
        };
        let config = self.config.get_or_try_init(|| self.load()).await?;
        let connector = TlsConnector::from(Arc::clone(config));
        connector
            .connect(name, stream)
            .await
            .map_err(EgressError::Tls)
    }

    async fn load(&self) -> Result<Arc<ClientConfig>, EgressError> {
        let own_roots = self.own_roots.clone();
        // Reads and parses some 300 kB of files.
        let loaded = tokio::task::spawn_blocking(move || config_with(own_roots)).await;
        loaded
            .map_err(|error| EgressError::Roots(error.to_string()))?
            .map(Arc::new)
    }
}

fn config_with(own_roots: Vec<CertificateDer<'static>>) -> Result<ClientConfig, EgressError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (usable, _) = roots.add_parsable_certificates(native.certs);
    if usable == 0 {
        // Whoever names a file wants those roots and no others: falling back would trust more.
        if let (true, Some(error)) = (names_own_store(), native.errors.first()) {
            return Err(EgressError::Roots(error.to_string()));
        }
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in own_roots {
        roots
            .add(root)
            .map_err(|error| EgressError::Roots(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| EgressError::Roots(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn names_own_store() -> bool {
    ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
}
