//! The hook on a laptop: the function's own handler behind an HTTP server, over an embedded or another store.

use tokio::sync::watch;

pub(crate) mod backend;
pub(crate) mod embedded;
pub(crate) mod examples;
pub(crate) mod http;
pub(crate) mod samples;

/// Waits until the sender is dropped, which stops the servers.
pub(crate) async fn stopped(mut receiver: watch::Receiver<()>) {
    while receiver.changed().await.is_ok() {}
}
