//! `console`: the web console over a table and a log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use callgate_admin::decision_log::{CallFilter, LoggedCall};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::args::{APP, AppCacheArgs};
use crate::connection::GlobalArgs;
use crate::console::call_log::CallLog;
use crate::console::{ADDRESS, Console, Settings};
use crate::exit::{Outcome, usage};
use crate::interrupts::Interrupts;
use crate::log_args::LogSourceArgs;
use crate::output::{Output, print_note};

/// The pause before a log that could not be read is read again.
const RETRY: Duration = Duration::from_secs(10);

/// How long pages may take after Ctrl-C.
const GRACE: Duration = Duration::from_millis(500);

/// Look at calls and rules, and change them, in a browser
///
/// Runs on this machine with your own credentials: nothing is hosted, and no request leaves the machine but to AWS. The printed
/// address opens the console in one browser.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl console --table callgate --function callgate
  callgatectl console --table callgate --log calls.log --read-only")]
pub(crate) struct Args {
    /// The address to listen on [default: 127.0.0.1:8081, or a free port if it is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Listen on an address that other machines can reach. Everything is then sent without encryption, and anyone who reads it can
    /// change permissions with your credentials
    #[arg(long)]
    expose: bool,
    /// Change nothing
    #[arg(long)]
    read_only: bool,
    /// The app that pages begin with (WCS's appKey)
    #[arg(long, value_name = "APP", env = APP, hide_env_values = true, allow_hyphen_values = true)]
    app: Option<String>,
    #[command(flatten)]
    log: LogSourceArgs,
    #[command(flatten)]
    app_cache: AppCacheArgs,
}

/// Serves until Ctrl-C.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    if global.output == Output::Json {
        return Err(usage("--output json has no effect on `console`; leave it out"));
    }
    check_address(args)?;
    let connection = global.open().await?;
    let table = connection.table.clone();
    let app = args.app.as_deref().map(str::trim).filter(|app| !app.is_empty());
    let calls = Arc::new(CallLog::default());
    let has_log = args.log.is_given();
    if has_log {
        args.log.check(global).await?;
        tokio::spawn(follow(args.log.clone(), global.clone(), calls.clone()));
    }
    let default_app = app.map(|app| table.parse_app(app)).transpose()?;
    // The table is there, and may be read.
    let any_app = default_app.clone().map_or_else(|| table.parse_app("defaultApp"), Ok)?;
    table.stored_app(&any_app).await?;
    let listener = listen(args.listen).await?;
    let settings = Settings {
        place: format!("table {}", table.name()),
        default_app,
        keep_days: connection.keep_days(),
        connection: Some(connection),
        table,
        calls,
        has_log,
        activity: None,
        hook_url: None,
        is_read_only: args.read_only,
        app_cache: args.app_cache.app_cache_seconds,
    };
    let console = Console::new(settings, listener.local_addr()?)?;
    // Before the first line of output, because its reader may send Ctrl-C at once.
    let mut interrupts = Interrupts::listen()?;
    print_note(format!("Open the console in a browser: {}", console.url()));
    let (stop, stop_receiver) = watch::channel(());
    let server = tokio::spawn(console.serve(listener, stop_receiver));
    interrupts.recv().await;
    drop(stop);
    // A browser that keeps its connection open is not waited for.
    if let Ok(ended) = tokio::time::timeout(GRACE, server).await {
        ended?.context("the console failed")?;
    }
    print_note("stopped");
    Ok(Outcome::Done)
}

/// Listens on the address, or on the usual one, or on a free port.
pub(crate) async fn listen(address: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    if let Some(address) = address {
        return TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"));
    }
    match TcpListener::bind(ADDRESS).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1"),
    }
}

/// An address that other machines can reach has to be asked for twice.
fn check_address(args: &Args) -> anyhow::Result<()> {
    match args.listen {
        Some(address) if !address.ip().is_loopback() && !args.expose => Err(usage(format!(
            "{address} is not a loopback address: other machines could reach the console, everything would be sent without \
             encryption, and anyone who reads it could change permissions with your credentials. To reach it from another machine, \
             forward the port with ssh -L; add --expose if this is meant all the same"
        ))),
        _ => Ok(()),
    }
}

/// Reads the log as long as the console runs. If it cannot be read, the pages show why, and it is tried again.
async fn follow(log: LogSourceArgs, global: GlobalArgs, calls: Arc<CallLog>) {
    loop {
        let take = |call: Option<&LoggedCall<'_>>| {
            match call {
                Some(call) => calls.push(call.clone().into_owned()),
                None => calls.set_error(None),
            }
            Ok(())
        };
        if let Err(error) = log.follow(&global, CallFilter::default(), take).await {
            calls.set_error(Some(format!("{error:#}")));
        }
        tokio::time::sleep(RETRY).await;
    }
}
