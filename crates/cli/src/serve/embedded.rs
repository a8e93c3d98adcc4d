//! The embedded DynamoDB-compatible store, with sample permissions.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use callgate::store::client::{self, Connection};
use callgate_admin::table;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{samples, stopped};

/// The embedded table's name, which the samples use.
pub(crate) const TABLE: &str = "callgate";

/// A DynamoDB-compatible store in this process. The hook uses it over HTTP, as it would use DynamoDB.
pub(crate) struct EmbeddedStore {
    pub(crate) client: Client,
    /// The URL for other programs.
    pub(crate) endpoint: String,
    pub(crate) server: JoinHandle<Result<(), String>>,
    data: Option<PathBuf>,
    is_new: bool,
}

impl EmbeddedStore {
    /// Starts the store in memory or in a file, and fills a new one with the samples.
    pub(crate) async fn start(
        data: Option<&Path>,
        listen: SocketAddr,
        deadline: Duration,
        stop: watch::Receiver<()>,
    ) -> anyhow::Result<Self> {
        let database = match data {
            None => dynoxide::Database::memory(),
            Some(path) => dynoxide::Database::new(path.to_str().context("the path of --data is not UTF-8")?),
        };
        let place = data.map_or_else(|| "memory".to_owned(), |path| format!("`{}`", path.display()));
        let database = database.with_context(|| format!("cannot keep the store in {place}"))?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database.clone(), stopped(stop)));
        let connection = Connection {
            region: "local".to_owned(),
            credentials: Credentials::new("local", "local", None, None, "callgatectl serve"),
            endpoint_url: Some(endpoint.clone()),
            use_fips: false,
            use_dual_stack: false,
        };
        let client = client::connect(connection, deadline);
        let is_new = client.list_tables().send().await?.table_names().is_empty();
        if is_new {
            table::create(&client, TABLE).await?;
            samples::write(&database)?;
        }
        Ok(Self { client, endpoint, server, data: data.map(Path::to_owned), is_new })
    }

    /// The permissions in the store, in words.
    pub(crate) fn description(&self) -> String {
        let place = match &self.data {
            None => "samples in memory, gone when this stops".to_owned(),
            Some(path) if self.is_new => format!("samples, kept in `{}`", path.display()),
            Some(path) => return format!("those kept in `{}`", path.display()),
        };
        format!("{place}; app `{}`:\n    {}", samples::APP, samples::TEXT)
    }
}
