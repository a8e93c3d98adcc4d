//! A certificate authority for the stand-ins, so that the function makes a full TLS handshake and verifies the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// Where Linux distributions keep their trusted root certificates. Lambda's `provided.al2023` has the first path.
const SYSTEM_BUNDLES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// A server certificate, and a bundle with the root certificate that the function must trust.
pub(crate) struct CertificateAuthority {
    pub(crate) server: Arc<ServerConfig>,
    /// The file for `SSL_CERT_FILE`: the stand-ins' root certificate and those of this machine. Lambda's bundle is about
    /// as large, and the time to read it is part of a function's start.
    pub(crate) bundle: PathBuf,
    /// The number of root certificates in the bundle.
    pub(crate) roots: usize,
}

impl CertificateAuthority {
    /// Creates the root and server certificates. With `only_own_root`, the bundle does not have the root certificates of
    /// this machine.
    pub(crate) fn new(directory: &Path, only_own_root: bool) -> anyhow::Result<Self> {
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
        // DynamoDB does not support HTTP/2.
        server.alpn_protocols = vec![b"http/1.1".to_vec()];

        let system = SYSTEM_BUNDLES.iter().find_map(|path| std::fs::read_to_string(path).ok());
        let pem = system.filter(|_| !only_own_root).unwrap_or_default() + &root.pem();
        let bundle = directory.join("roots.pem");
        std::fs::write(&bundle, &pem).context("cannot write the bundle of root certificates")?;
        let roots = pem.matches("BEGIN CERTIFICATE").count();
        Ok(Self { server: Arc::new(server), bundle, roots })
    }
}
