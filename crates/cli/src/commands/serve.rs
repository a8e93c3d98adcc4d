//! `serve`: runs the hook on this machine.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_dynamodb::Client;
use callgate::authentication::is_allowed_source;
use callgate::config::{Config, process_environment};
use callgate::handler::HookHandler;
use callgate::hook::OtherHooks;
use callgate::log::LineOutput;
use callgate::store::Store;
use callgate_admin::Table;
use callgate_admin::wording::quote;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::commands::console as console_command;
use crate::connection::{Connection, GlobalArgs, Source};
use crate::console::activity::Activity;
use crate::console::call_log::CallLog;
use crate::console::{Console, Settings};
use crate::exit::{Outcome, usage};
use crate::interrupts::Interrupts;
use crate::output::{Output, print_note};
use crate::serve::backend::Backend;
use crate::serve::embedded::{self, EmbeddedStore};
use crate::serve::examples::Examples;
use crate::serve::{http, stopped};

/// How long an answer may take after Ctrl-C, in addition to the deadline of the store.
const GRACE: Duration = Duration::from_millis(500);

/// How long a read may take at the start, when credentials may have to be fetched first.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// How long the console may wait for one request to the table.
const CONSOLE_DEADLINE: Duration = Duration::from_secs(30);

/// The path of the hooks, as in the documentation of WCS.
const HOOK_PATH: &str = "/rest/my_api";

/// Run the hook on this machine
///
/// Without a table or an endpoint, given by an option or in the environment, an embedded DynamoDB-compatible store holds
/// sample permissions, and no AWS account is needed. The hook takes the environment variables of the function. The decision
/// log goes to standard output, everything else to standard error. The console shows calls and rules in a browser; its address is
/// printed.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these comments are what --help prints")]
#[command(after_help = "\
Examples:
  callgatectl serve
  callgatectl serve --data permissions.db --store-listen 127.0.0.1:8000    # keep what other commands change
  callgatectl serve --table callgate --region eu-central-1                 # the permissions in AWS
  callgatectl serve --backend http://127.0.0.1:9000/hooks                  # in front of your own backend")]
pub(crate) struct Args {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Pass hooks that are not gated on to your own backend, as the template does with BackendUrl
    #[arg(long, value_name = "URL", allow_hyphen_values = true)]
    backend: Option<String>,
    /// The path of the hooks; what follows it is added to the URL of the backend
    #[arg(long, default_value = HOOK_PATH, value_name = "PATH", requires = "backend", allow_hyphen_values = true)]
    hook_path: String,
    /// Append the decision log to this file instead of printing it
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    log: Option<PathBuf>,
    /// Keep the embedded store in this file
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    data: Option<PathBuf>,
    /// The address of the embedded store, for commands that manage its permissions [default: a free port]
    #[arg(long, value_name = "ADDRESS")]
    store_listen: Option<SocketAddr>,
}

/// The store with the permissions, as the hook and people read it.
struct OpenedStore {
    /// For calls.
    client: Client,
    /// For the reads at the start.
    at_start: Table,
    /// For the console.
    for_people: Table,
    /// The permissions in words.
    description: String,
    embedded: Option<EmbeddedStore>,
    connection: Option<Connection>,
}

impl OpenedStore {
    fn embedded(store: EmbeddedStore, config: &Config) -> Self {
        Self {
            client: store.client.clone(),
            at_start: store.table(config.phone_region, START_DEADLINE),
            for_people: store.table(config.phone_region, CONSOLE_DEADLINE),
            description: store.description(),
            embedded: Some(store),
            connection: None,
        }
    }

    fn connected(connection: Connection, [table, endpoint]: [Option<&Source>; 2], deadline: Duration) -> Self {
        let for_people = connection.table.clone();
        let url = endpoint.map(|source| source.value.as_str());
        let client = connection.client(START_DEADLINE);
        let at_start = Table::new(client, for_people.name(), for_people.phone_region(), url);
        Self {
            client: connection.client(deadline),
            description: describe(&at_start, table, endpoint),
            at_start,
            for_people,
            embedded: None,
            connection: Some(connection),
        }
    }
}

/// Serves until Ctrl-C.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let (table_source, endpoint_source) = (global.table_source(), global.endpoint_source()?);
    let is_embedded = table_source.is_none() && endpoint_source.is_none();
    check_options(args, global, [&table_source, &endpoint_source])?;
    let table_name = global.table_name().unwrap_or(embedded::TABLE);
    let mut config = Config::read(|name: &str| match name {
        "TABLE_NAME" => Some(table_name.into()),
        "PHONE_REGION" => global.phone_region_code().map(Into::into),
        name => process_environment(name),
    })?;
    let calls = Arc::new(CallLog::default());
    config.log.output = Some(log_output(args.log.as_deref(), calls.clone())?);
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let backend = match &args.backend {
        Some(url) => Some(Backend::new(url, &args.hook_path, config.gated_hooks, address).await?),
        None => None,
    };
    let deadline = config.store.deadline;

    let (stop, stop_receiver) = watch::channel(());
    let OpenedStore { client, at_start, description: permissions, for_people, embedded, connection } = if is_embedded {
        let data = args.data.as_deref();
        OpenedStore::embedded(
            EmbeddedStore::start(data, args.store_listen, deadline, stop_receiver.clone()).await?,
            &config,
        )
    } else {
        let sources = [table_source.as_ref(), endpoint_source.as_ref()];
        OpenedStore::connected(global.open_table(table_name).await?, sources, deadline)
    };
    let examples = Examples::find(&at_start).await.with_context(|| match &embedded {
        Some(_) => "cannot use the embedded store".to_owned(),
        None => format!("cannot use {permissions}"),
    })?;
    let url = hook_url(address, backend.as_ref());
    let activity = Arc::new(Activity::default());
    let console_listener = console_command::listen(None).await?;
    let settings = Settings {
        place: if is_embedded { "embedded store".to_owned() } else { format!("table {table_name}") },
        table: for_people,
        connection,
        keep_days: global.keep_days(),
        calls,
        has_log: true,
        activity: Some(activity.clone()),
        hook_url: Some(url.clone()),
        default_app: None,
        is_read_only: false,
        app_cache: config.store.app_cache,
    };
    let console = Console::new(settings, console_listener.local_addr()?)?;
    // Before the first line of output, because its reader may send Ctrl-C at once.
    let mut interrupts = Interrupts::listen()?;
    print_note(format!("Permissions: {permissions}\n"));
    print_note(format!("The app's URL for WCS: {url}\n{}\n", routing(&config, backend.as_ref())));
    print_note(format!("{}\n", try_it(&url, address, examples, &config)));
    print_note(format!("Look at calls and rules in a browser:\n    {}\n", console.url()));
    tokio::spawn(console.serve(console_listener, stop_receiver.clone()));
    if let Some(EmbeddedStore { endpoint, .. }) = &embedded {
        print_note(format!(
            "Manage the permissions from another terminal, after:\n    export TABLE_NAME={table_name} \
             AWS_ENDPOINT_URL_DYNAMODB={endpoint}\n"
        ));
    }

    let store = Store::new(client, config.store.clone());
    let routes = http::routes(HookHandler::new(config, store), backend, activity);
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
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
    print_note("stopped");
    Ok(Outcome::Done)
}

/// Writes lines of the log to the file, or to standard output, and adds their calls to the console.
fn log_output(path: Option<&Path>, calls: Arc<CallLog>) -> anyhow::Result<LineOutput> {
    let file = path.map(|path| {
        let file = File::options().append(true).create(true).open(path);
        file.with_context(|| format!("cannot open the log `{}`", path.display()))
    });
    let file = file.transpose()?;
    Ok(LineOutput::new(move |line| {
        // An output that cannot be written to cannot be reported.
        let _ = match &file {
            None => io::stdout().lock().write_all(line.as_bytes()),
            Some(file) => (&*file).write_all(line.as_bytes()),
        };
        calls.push_line(line);
    }))
}

/// Checks that no option would be ignored. `given` are the table and the endpoint, if they are given.
fn check_options(args: &Args, global: &GlobalArgs, given: [&Option<Source>; 2]) -> anyhow::Result<()> {
    if global.output == Output::Json {
        return Err(usage("--output json has no effect on `serve`, whose log is always JSON; leave it out"));
    }
    let given: Vec<_> = given.into_iter().flatten().collect();
    if given.is_empty() {
        return match global.aws_options().first() {
            Some(option) => Err(usage(format!(
                "{option} has no effect on the embedded store; leave it out, or name a table with --table or TABLE_NAME"
            ))),
            None => Ok(()),
        };
    }
    let embedded_only = [("--data", args.data.is_some()), ("--store-listen", args.store_listen.is_some())];
    let Some((option, _)) = embedded_only.into_iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
    let names = given.iter().map(|source| format!("{} (`{}`)", source.name, source.value)).collect::<Vec<_>>();
    let remedies = given.iter().map(|source| {
        if source.is_option() { format!("leave out {}", source.name) } else { format!("unset {}", source.name) }
    });
    let (names, remedies) = (names.join(" and "), remedies.collect::<Vec<_>>().join(" and "));
    let replace = if given.len() == 1 { "replaces" } else { "replace" };
    Err(usage(format!(
        "{option} has no effect, because it is for the embedded store, which {names} {replace}; leave it out, or {remedies}"
    )))
}

/// A table that is not embedded, with the variables that name it.
fn describe(table: &Table, name: Option<&Source>, endpoint: Option<&Source>) -> String {
    let variable = name.map(Source::variable).unwrap_or_default();
    let place = match (endpoint, table.client().config().region()) {
        (Some(endpoint), _) => format!(" at {}{}", endpoint.value, endpoint.variable()),
        (None, Some(region)) => format!(" in {region}"),
        (None, None) => String::new(),
    };
    format!("the table `{}`{variable}{place}", table.name())
}

/// The URL for clients on this machine.
fn hook_url(address: SocketAddr, backend: Option<&Backend>) -> String {
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    format!("http://{address}{}", backend.map_or(HOOK_PATH, Backend::path))
}

/// An address of this machine at which the listener can be reached.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Which hooks go where.
fn routing(config: &Config, backend: Option<&Backend>) -> String {
    let gated = config.gated_hooks.names().join(" and ");
    let others = match (backend, config.other_hooks) {
        (Some(backend), _) => {
            format!(
                "all others: {}\nThe backend's answer to connect must contain restOnError=FAIL for {gated}.",
                backend.url()
            )
        }
        (None, OtherHooks::Echo) => "connect: answered here with restOnError=FAIL\n    all others: echoed".to_owned(),
        (None, OtherHooks::Refuse) => "connect: answered here with restOnError=FAIL\n    all others: 404".to_owned(),
    };
    format!("    {gated}: decided here\n    {others}")
}

/// Commands to try, with the status that each one gets now: a call that is permitted, and one that is refused.
fn try_it(url: &str, address: SocketAddr, examples: Examples, config: &Config) -> String {
    let curl = |status: u16, body: String| {
        let signature = config.secrets.first().map(|secret| secret.authorization(body.as_bytes()));
        let header = signature.map(|value| format!(" -H 'Authorization: {value}'")).unwrap_or_default();
        let body = quote(&body);
        format!("\n    {status}  curl -i {url}/OnCallEvent -H 'Content-Type: application/json'{header} -d {body}")
    };
    let Examples { mut permitted, refused, mut note } = examples;
    let source = reachable(address.ip());
    if !is_allowed_source(config.allowed_sources.as_deref(), Some(source)) {
        permitted = None;
        note =
            Some(format!("Requests from this machine are refused, because ALLOWED_SOURCES does not contain {source}."));
    }
    let permitted = permitted.map(|body| curl(200, body)).unwrap_or_default();
    let refused = refused.map(|body| curl(403, body)).unwrap_or_default();
    let note = note.map(|note| format!("\n    {note}")).unwrap_or_default();
    format!("Try it:{permitted}{refused}{note}")
}
