//! The embedded DynamoDB-compatible store, with sample permissions.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use callgate::store::client::{self, Connection};
use callgate_admin::Table;
use callgate_core::PhoneRegion;
use dynoxide::Database;
use dynoxide::actions::list_tables::ListTablesRequest;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{samples, stopped};

/// The embedded table's name, which the samples use.
pub(crate) const TABLE: &str = "callgate";

/// How long a request may take that makes the table or its samples. A busy machine needs longer than a call may take.
const SETUP_DEADLINE: Duration = Duration::from_secs(30);

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
        listen: Option<SocketAddr>,
        deadline: Duration,
        stop: watch::Receiver<()>,
    ) -> anyhow::Result<Self> {
        let (database, is_new) = match data {
            None => (sample_database().await?, true),
            Some(path) => open(path).await.with_context(|| format!("cannot keep the store in `{}`", path.display()))?,
        };
        let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, stopped(stop)));
        Ok(Self { client: connect(&endpoint, deadline), endpoint, server, data: data.map(Path::to_owned), is_new })
    }

    /// The table, for reads that a person waits for.
    pub(crate) fn table(&self, phone_region: Option<PhoneRegion>, deadline: Duration) -> Table {
        Table::new(connect(&self.endpoint, deadline), TABLE, phone_region, Some(&self.endpoint))
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

/// Opens the store in a file. Returns whether it is new. A new one is filled in one transaction, so that one that
/// is cut off is still new.
async fn open(path: &Path) -> anyhow::Result<(Database, bool)> {
    let database = Database::new(path.to_str().context("the path of --data is not UTF-8")?)?;
    if !database.list_tables(ListTablesRequest::default())?.table_names.is_empty() {
        return Ok((database, false));
    }
    let samples = sample_database().await?;
    let copy = std::env::temp_dir().join(format!("callgatectl-{}.db", std::process::id()));
    let copy_name = copy.to_str().context("the path of the temporary folder is not UTF-8")?;
    // A process with the same number may have been killed here.
    let _ = std::fs::remove_file(&copy);
    let filled = samples.vacuum_into(copy_name).and_then(|()| database.restore_from(copy_name));
    let _ = std::fs::remove_file(&copy);
    filled?;
    Ok((database, true))
}

/// A database in memory with the table and the samples.
async fn sample_database() -> anyhow::Result<Database> {
    let database = Database::memory()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let (stop, stop_receiver) = watch::channel(());
    let server = dynoxide::server::serve_with_shutdown(listener, database.clone(), stopped(stop_receiver));
    let server = tokio::spawn(server);
    Table::new(connect(&endpoint, SETUP_DEADLINE), TABLE, None, Some(&endpoint)).create().await?;
    samples::write(&database)?;
    drop(stop);
    server.await?.map_err(anyhow::Error::msg)?;
    Ok(database)
}

fn connect(endpoint: &str, deadline: Duration) -> Client {
    let connection = Connection {
        region: "local".to_owned(),
        credentials: Credentials::new("local", "local", None, None, "callgatectl serve"),
        endpoint_url: Some(endpoint.to_owned()),
        use_fips: false,
        use_dual_stack: false,
    };
    client::connect(connection, deadline)
}
