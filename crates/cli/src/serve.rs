//! The hook on a laptop: an HTTP server in front of the function's own handler.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::request::Parts;
use axum::response::Response;
use callgate::config::{Config, process_environment};
use callgate::handler::HookHandler;
use callgate::lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;
use callgate::lambda_http::request::RequestContext;
use callgate::lambda_http::{self, Context, RequestExt as _};
use callgate::store::Store;
use callgate::store::client::{self, Connection};
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::interrupts::Interrupts;
use crate::say::print_line;
use crate::{connection, sample, table};

/// The embedded table's name, which is the one the samples are for.
const LOCAL_TABLE: &str = "callgate";

/// Longer than the hook takes, so that the hook can say so; API Gateway's own limit (10 MB) is not far.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// How long an answer may take besides reading, when everything is to stop.
const GRACE: Duration = Duration::from_millis(500);

/// Run the hook on this machine
///
/// Without --table or --endpoint-url, permissions are kept in an embedded DynamoDB-compatible store with samples
/// in it, and no AWS account is needed. The hook takes the environment variables of the function.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  callgatectl serve
  callgatectl serve --data permissions.db --store-listen 127.0.0.1:8000    # keep what other commands change
  callgatectl serve --table callgate --region eu-central-1                 # the permissions in AWS")]
pub(crate) struct Options {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Keep the embedded store in this file
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The address of the embedded store, for commands that manage its permissions
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    store_listen: SocketAddr,
}

pub(crate) async fn run(options: &Options, connection: &connection::Options) -> anyhow::Result<()> {
    let is_embedded = connection.table().is_none() && connection.endpoint()?.is_none();
    anyhow::ensure!(
        is_embedded || options.data.is_none(),
        "--data keeps the embedded store, which --table and --endpoint-url replace; leave one of them out"
    );
    let table = connection.table().unwrap_or(LOCAL_TABLE);
    let config = Config::read(|name: &str| match name {
        "TABLE_NAME" => Some(table.into()),
        "COUNTRY_CODE" => connection.country_code.as_ref().map(Into::into),
        "TRUNK_PREFIX" => connection.trunk_prefix.as_ref().map(Into::into),
        "INTERNATIONAL_PREFIX" => connection.international_prefix.as_ref().map(Into::into),
        name => process_environment(name),
    })?;
    let listener =
        TcpListener::bind(options.listen).await.with_context(|| format!("cannot listen on {}", options.listen))?;
    let address = listener.local_addr()?;
    let deadline = config.store.deadline;

    // Before the address is printed: a program that reads it may stop this one at once.
    let mut interrupts = Interrupts::listen()?;
    let (stop, stopped) = watch::channel(());
    let embedded = if is_embedded { Some(Embedded::start(options, deadline, stopped.clone()).await?) } else { None };
    let client = match &embedded {
        Some(embedded) => embedded.client.clone(),
        None => connection.client(deadline).await?,
    };
    let permissions = embedded.as_ref().map_or_else(|| format!("the table `{table}`"), Embedded::describe);
    print_line(format!("Permissions: {permissions}\n\n{}\n", invitation(address, &config)))?;
    if let Some(Embedded { endpoint, .. }) = &embedded {
        print_line(format!(
            "Manage them from another terminal, after:\n    export TABLE_NAME={table} AWS_ENDPOINT_URL_DYNAMODB={endpoint}\n"
        ))?;
    }

    let store = Store::new(client, config.store.clone());
    let hook = Arc::new(LocalHook { handler: HookHandler::new(config, store), requests: AtomicU64::new(0) });
    let app = Router::new().fallback(LocalHook::handle).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(hook);
    let server = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(ended(stopped));
    let server = tokio::spawn(server.into_future());

    interrupts.recv().await;
    drop(stop);
    let last_answers = async {
        server.await?.context("the server failed")?;
        if let Some(embedded) = embedded {
            embedded.server.await?.map_err(anyhow::Error::msg)?;
        }
        anyhow::Ok(())
    };
    // Calls that are being decided are answered; who never finishes a request is not waited for.
    tokio::time::timeout(deadline + GRACE, last_answers).await.unwrap_or(Ok(()))?;
    print_line("stopped")?;
    Ok(())
}

/// Waits until the sender is gone.
async fn ended(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

/// Two commands to try: a call of the samples that goes through, and one that does not.
fn invitation(address: SocketAddr, config: &Config) -> String {
    let curl = |callee: &str| {
        let body = format!(r#"{{"appKey":"{}","caller":"PPP009","callee":"{callee}"}}"#, sample::APP);
        let signature = config.secrets.first().map(|secret| secret.authorization(body.as_bytes()));
        let header = signature.map(|value| format!(" -H 'Authorization: {value}'")).unwrap_or_default();
        format!(
            "curl -i http://{address}/rest/my_api/OnCallEvent -H 'Content-Type: application/json'{header} -d '{body}'"
        )
    };
    format!("Try it:\n    200  {}\n    403  {}", curl("PPP005"), curl("PPP006"))
}

/// A DynamoDB-compatible store in this process, asked over HTTP like the real one.
struct Embedded {
    client: Client,
    /// Where other programs reach it.
    endpoint: String,
    server: tokio::task::JoinHandle<Result<(), String>>,
    data: Option<PathBuf>,
    is_new: bool,
}

impl Embedded {
    async fn start(options: &Options, deadline: Duration, stopped: watch::Receiver<()>) -> anyhow::Result<Self> {
        let data = options.data.as_deref();
        let database = match data {
            None => dynoxide::Database::memory(),
            Some(path) => dynoxide::Database::new(path.to_str().context("--data is not a UTF-8 path")?),
        };
        let place = data.map_or_else(|| "memory".to_owned(), |path| format!("`{}`", path.display()));
        let database = database.with_context(|| format!("cannot keep the store in {place}"))?;
        let listener = TcpListener::bind(options.store_listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", options.store_listen))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database.clone(), ended(stopped)));
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
            table::create(&client, LOCAL_TABLE).await?;
            sample::seed(&database)?;
        }
        Ok(Self { client, endpoint, server, data: data.map(Path::to_owned), is_new })
    }

    fn describe(&self) -> String {
        let place = match &self.data {
            None => "samples in memory, gone when this stops".to_owned(),
            Some(path) if self.is_new => format!("samples, kept in `{}`", path.display()),
            Some(path) => return format!("those kept in `{}`", path.display()),
        };
        format!("{place}; app `{}`:\n    {}", sample::APP, sample::IN_WORDS)
    }
}

/// The function's handler behind HTTP.
struct LocalHook {
    handler: HookHandler,
    requests: AtomicU64,
}

impl LocalHook {
    async fn handle(
        State(hook): State<Arc<Self>>,
        ConnectInfo(client): ConnectInfo<SocketAddr>,
        parts: Parts,
        body: Bytes,
    ) -> Response {
        let request_id = format!("local-{}", hook.requests.fetch_add(1, Ordering::Relaxed) + 1);
        let response = hook.handler.handle(lambda_request(client, parts, &body, request_id)).await;
        response.map(|body| match body {
            lambda_http::Body::Text(text) => Body::from(text),
            lambda_http::Body::Binary(bytes) => Body::from(bytes),
            _ => Body::empty(),
        })
    }
}

/// The request as `lambda_http` makes it of an event of API Gateway (payload 2.0).
fn lambda_request(client: SocketAddr, parts: Parts, body: &Bytes, request_id: String) -> lambda_http::Request {
    let path = parts.uri.path().to_owned();
    let mut gateway = ApiGatewayV2httpRequestContext::default();
    gateway.http.method = parts.method.clone();
    gateway.http.source_ip = Some(client.ip().to_string());
    let mut context = Context::default();
    context.request_id = request_id;
    let body = match std::str::from_utf8(body) {
        Ok(text) => lambda_http::Body::from(text),
        Err(_) => lambda_http::Body::from(body.to_vec()),
    };
    lambda_http::Request::from_parts(parts, body)
        .with_raw_http_path(path)
        .with_request_context(RequestContext::ApiGatewayV2(gateway))
        .with_lambda_context(context)
}
