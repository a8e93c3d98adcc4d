//! The web console: pages on a loopback address, over the table and the log that the options name.

use std::collections::BTreeSet;
use std::future::IntoFuture as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use callgate_admin::{Author, Table};
use callgate_core::AppKey;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, watch};

use crate::connection::Connection;
use crate::serve::stopped;
use crate::time::now;

pub(crate) mod activity;
mod assets;
mod bulk;
pub(crate) mod call_log;
mod doors;
mod fields;
mod guard;
mod jobs;
mod page;
mod pages;
mod rule_list;
mod undo;
mod write;

use activity::Activity;
use call_log::CallLog;
use fields::{APP, Fields};
use guard::Guard;
use pages::health::{self, Inspections, Simulations};
use pages::import::{self, Imports};
use pages::waiting::Dismissed;
use undo::Messages;

/// The address if it is free.
pub(crate) const ADDRESS: &str = "127.0.0.1:8081";

/// How long the apps of the table are not searched again.
const APPS_SECONDS: i64 = 60;

/// The largest form. The import has its own limit.
const MAX_FORM_BYTES: usize = 4 << 20;

/// The largest page that is compared with the one that a browser has.
const MAX_PAGE_BYTES: usize = 64 << 20;

/// What the pages read and change.
pub(crate) struct Settings {
    pub(crate) table: Table,
    /// The table in words, for the head of each page.
    pub(crate) place: String,
    /// Knows whose credentials these are. Without it, changes are those of the user of this machine.
    pub(crate) connection: Option<Connection>,
    /// How many days the history keeps a change.
    pub(crate) keep_days: u16,
    pub(crate) calls: Arc<CallLog>,
    /// Whether a log is read. Otherwise there are no calls.
    pub(crate) has_log: bool,
    /// When WCS sent each hook, if this process answers them.
    pub(crate) activity: Option<Arc<Activity>>,
    /// The URL of the hook in this process.
    pub(crate) hook_url: Option<String>,
    pub(crate) default_app: Option<AppKey>,
    pub(crate) is_read_only: bool,
    /// How long the function keeps an app's item. An import waits so long before it permits more.
    pub(crate) app_cache: Duration,
}

/// The state of the console.
pub(crate) struct Console {
    guard: Guard,
    settings: Settings,
    /// Who the author of changes is, once it is known.
    identity: OnceCell<String>,
    imports: Imports,
    inspections: Inspections,
    simulations: Simulations,
    /// Apps that were seen in the table.
    apps: Mutex<BTreeSet<String>>,
    /// When apps were last searched in the table.
    apps_read_at: AtomicI64,
    /// Whether the search found all apps.
    are_apps_complete: AtomicBool,
    /// The refused pairs that are not to be shown.
    dismissed: Dismissed,
    /// What was just written.
    messages: Messages,
}

impl Console {
    /// The console behind a listener.
    pub(crate) fn new(settings: Settings, address: SocketAddr) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            guard: Guard::new(address)?,
            settings,
            identity: OnceCell::new(),
            imports: import::imports(),
            inspections: health::inspections(),
            simulations: health::simulations(),
            apps: Mutex::default(),
            apps_read_at: AtomicI64::new(0),
            are_apps_complete: AtomicBool::new(false),
            dismissed: Dismissed::default(),
            messages: Messages::default(),
        }))
    }

    /// The URL that opens the console in a browser, once.
    pub(crate) fn url(&self) -> String {
        self.guard.url()
    }

    /// Serves until the other end of `stop` is dropped.
    pub(crate) async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: watch::Receiver<()>,
    ) -> std::io::Result<()> {
        axum::serve(listener, router(self)).with_graceful_shutdown(stopped(stop)).into_future().await
    }

    /// The author of a change, with the command that would do the same.
    async fn author(&self, command: &str) -> Author {
        let identity = async || match &self.settings.connection {
            Some(connection) => connection.author().await.name,
            None => whoami::username().unwrap_or_else(|_| "unknown".to_owned()),
        };
        let name = self.identity.get_or_init(identity).await.clone();
        let command = format!("console: {}", command.strip_prefix("callgatectl ").unwrap_or(command));
        Author { name, at: now(), command, keep_days: self.settings.keep_days }
    }

    /// The apps that are known so far: the default one, those of calls, and those of the items that pages have read.
    fn apps(&self) -> BTreeSet<String> {
        let mut apps = self.stored_apps();
        apps.extend(self.settings.calls.read().apps.iter().cloned());
        apps.extend(self.settings.default_app.iter().map(|app| app.as_str().to_owned()));
        apps
    }

    /// The apps of the items that pages have read.
    fn stored_apps(&self) -> BTreeSet<String> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers apps that a page has read.
    fn remember_apps<'a>(&self, apps: impl IntoIterator<Item = &'a str>) {
        let mut known = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        for app in apps {
            if !known.contains(app) {
                known.insert(app.to_owned());
            }
        }
    }

    /// Searches apps in the table, unless that was done a short time ago.
    async fn read_apps(&self) -> callgate_admin::Result<()> {
        let (now, last) = (now(), self.apps_read_at.load(Ordering::Relaxed));
        if (last..last + APPS_SECONDS).contains(&now) {
            return Ok(());
        }
        let known = self.settings.table.known_apps().await?;
        self.remember_apps(known.apps.iter().map(AppKey::as_str));
        self.are_apps_complete.store(known.is_complete, Ordering::Relaxed);
        self.apps_read_at.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// The app, if only one has items in the table.
    fn only_app(&self) -> Option<AppKey> {
        let apps = self.stored_apps();
        let is_only = self.are_apps_complete.load(Ordering::Relaxed) && apps.len() == 1;
        apps.first().filter(|_| is_only).and_then(|app| AppKey::new(app).ok())
    }

    /// The app of the fields as it was typed, or the default app if they have no field for it. An empty field is for all apps.
    fn typed_app<'a>(&'a self, fields: &'a Fields) -> Option<&'a str> {
        if fields.names(APP) { fields.get(APP) } else { self.settings.default_app.as_ref().map(AppKey::as_str) }
    }

    /// The app by which a list is filtered.
    fn filter_app(&self, fields: &Fields) -> callgate_admin::Result<Option<AppKey>> {
        self.typed_app(fields).map(|app| self.settings.table.parse_app(app)).transpose()
    }

    /// The app of a page that is about one app. If none is given, it is the default app, or the only one of the table.
    async fn one_app(&self, fields: &Fields) -> callgate_admin::Result<Option<AppKey>> {
        if let Some(app) = fields.get(APP) {
            return self.settings.table.parse_app(app).map(Some);
        }
        if self.settings.default_app.is_none() {
            self.read_apps().await?;
        }
        Ok(self.settings.default_app.clone().or_else(|| self.only_app()))
    }

    /// The address of a list without a filter.
    fn unfiltered(&self, path: &str) -> String {
        if self.settings.default_app.is_some() { format!("{path}?{APP}=") } else { path.to_owned() }
    }
}

fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::to("/calls") }))
        .merge(pages::routes())
        .merge(undo::routes())
        .merge(assets::routes())
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(from_fn(compare_with_cached))
        .layer(from_fn_with_state(console.clone(), guard::guard))
        .with_state(console)
}

/// Answers 304 if the browser has the same page already, so that live regions cost nothing while nothing happens.
async fn compare_with_cached(request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    if !is_get || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_PAGE_BYTES).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    let tag = format!("\"{:016x}\"", hasher.finish());
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        parts.headers.insert(ETAG, tag);
    }
    Response::from_parts(parts, Body::from(bytes))
}
