//! A certificate authority of our own, so that the function makes a full TLS handshake with a verified peer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// Where a Linux distribution keeps the roots it trusts; Lambda's `provided.al2023` has the first.
const SYSTEM_BUNDLES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// What the stand-in answers with, and what the function must trust.
pub(crate) struct Authority {
    pub(crate) server: Arc<ServerConfig>,
    /// For `SSL_CERT_FILE`: our root among those of this machine, because Lambda's bundle is as large and a
    /// function that reads it pays for all of it.
    pub(crate) bundle: PathBuf,
    /// How many roots the bundle holds.
    pub(crate) roots: usize,
}

impl Authority {
    /// Makes root and server certificate; `lone` leaves the machine's own roots out of the bundle.
    pub(crate) fn new(directory: &Path, lone: bool) -> anyhow::Result<Self> {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &root)?;

        let mut server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        // DynamoDB speaks no HTTP/2.
        server.alpn_protocols = vec![b"http/1.1".to_vec()];

        let system = SYSTEM_BUNDLES.iter().find_map(|path| std::fs::read_to_string(path).ok());
        let pem = system.filter(|_| !lone).unwrap_or_default() + &root.pem();
        let bundle = directory.join("roots.pem");
        std::fs::write(&bundle, &pem).context("cannot write the bundle of roots")?;
        let roots = pem.matches("BEGIN CERTIFICATE").count();
        Ok(Self { server: Arc::new(server), bundle, roots })
    }
}
