//! `serve`: runs the hook on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use callgate::config::{Config, process_environment};
use callgate::handler::HookHandler;
use callgate::store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::connection::GlobalArgs;
use crate::exit::Outcome;
use crate::interrupts::Interrupts;
use crate::output::print_line;
use crate::serve::embedded::{self, EmbeddedStore};
use crate::serve::{http, samples, stopped};

/// How long an answer may take after Ctrl-C, in addition to the deadline of the store.
const GRACE: Duration = Duration::from_millis(500);

/// Run the hook on this machine
///
/// Without --table or --endpoint-url, an embedded DynamoDB-compatible store holds sample permissions, and no AWS account
/// is needed. The hook takes the environment variables of the function.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl serve
  callgatectl serve --data permissions.db --store-listen 127.0.0.1:8000    # keep what other commands change
  callgatectl serve --table callgate --region eu-central-1                 # the permissions in AWS")]
pub(crate) struct Args {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Keep the embedded store in this file
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    data: Option<PathBuf>,
    /// The address of the embedded store, for commands that manage its permissions
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    store_listen: SocketAddr,
}

/// Serves until Ctrl-C.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let is_embedded = global.table_name().is_none() && global.endpoint()?.is_none();
    anyhow::ensure!(
        is_embedded || args.data.is_none(),
        "--data keeps the embedded store, which --table and --endpoint-url replace; leave one of them out"
    );
    let table = global.table_name().unwrap_or(embedded::TABLE);
    let config = Config::read(|name: &str| match name {
        "TABLE_NAME" => Some(table.into()),
        "PHONE_REGION" => global.phone_region_code().map(Into::into),
        name => process_environment(name),
    })?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let deadline = config.store.deadline;

    // Before the first line of output, because its reader may send Ctrl-C at once.
    let mut interrupts = Interrupts::listen()?;
    let (stop, stop_receiver) = watch::channel(());
    let embedded = if is_embedded {
        let data = args.data.as_deref();
        Some(EmbeddedStore::start(data, args.store_listen, deadline, stop_receiver.clone()).await?)
    } else {
        None
    };
    let client = match &embedded {
        Some(embedded) => embedded.client.clone(),
        None => global.client(deadline).await?,
    };
    let permissions = embedded.as_ref().map_or_else(|| format!("the table `{table}`"), EmbeddedStore::description);
    print_line(format!("Permissions: {permissions}\n\n{}\n", examples(address, &config)))?;
    if let Some(EmbeddedStore { endpoint, .. }) = &embedded {
        print_line(format!(
            "Manage them from another terminal, after:\n    export TABLE_NAME={table} AWS_ENDPOINT_URL_DYNAMODB={endpoint}\n"
        ))?;
    }

    let store = Store::new(client, config.store.clone());
    let routes = http::routes(HookHandler::new(config, store)).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, routes).with_graceful_shutdown(stopped(stop_receiver));
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
    // Calls that are being decided get their answer. A client that does not finish its request is not waited for.
    tokio::time::timeout(deadline + GRACE, last_answers).await.unwrap_or(Ok(()))?;
    print_line("stopped")?;
    Ok(Outcome::Done)
}

/// Two commands to try: a call that the samples permit, and one that they refuse.
fn examples(address: SocketAddr, config: &Config) -> String {
    let curl = |callee: &str| {
        let body = format!(r#"{{"appKey":"{}","caller":"PPP009","callee":"{callee}"}}"#, samples::APP);
        let signature = config.secrets.first().map(|secret| secret.authorization(body.as_bytes()));
        let header = signature.map(|value| format!(" -H 'Authorization: {value}'")).unwrap_or_default();
        format!(
            "curl -i http://{address}/rest/my_api/OnCallEvent -H 'Content-Type: application/json'{header} -d '{body}'"
        )
    };
    format!("Try it:\n    200  {}\n    403  {}", curl("PPP005"), curl("PPP006"))
}
