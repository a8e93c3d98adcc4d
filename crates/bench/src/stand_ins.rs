//! Stand-ins for the AWS services that the function uses: the Lambda Runtime API, and `DynamoDB` over TLS.

use std::sync::Arc;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use self::certificate_authority::CertificateAuthority;
use self::dynamodb::DynamoDb;
use crate::fixture;

pub(crate) mod certificate_authority;
pub(crate) mod dynamodb;
pub(crate) mod runtime_api;

/// A running `DynamoDB` with the items of the fixture, and the environment of a function that reads it.
pub(crate) struct Table {
    pub(crate) dynamodb: Arc<DynamoDb>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// The number of root certificates in the bundle that functions read.
    pub(crate) roots: usize,
    /// Holds the bundle. Removed when this is dropped.
    pub(crate) directory: TempDir,
}

impl Table {
    /// Starts it. With `only_own_root`, functions trust only its root certificate.
    pub(crate) async fn start(only_own_root: bool) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let authority = CertificateAuthority::new(directory.path(), only_own_root)?;
        let dynamodb = DynamoDb::new(fixture::items());
        let endpoint = dynamodb.serve(&TlsAcceptor::from(authority.server)).await?;
        let mut environment = fixture::environment(&endpoint);
        let bundle = authority.bundle.to_str().context("the path of the certificate bundle is not valid UTF-8")?;
        environment.push(("SSL_CERT_FILE", bundle.to_owned()));
        Ok(Self { dynamodb, environment, roots: authority.roots, directory })
    }
}
