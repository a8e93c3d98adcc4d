//! The files of the pages, which are parts of the binary.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use axum::routing::get;

/// A file.
pub(super) struct Asset {
    pub(super) path: &'static str,
    kind: &'static str,
    content: &'static str,
}

/// All files.
pub(super) const ASSETS: [Asset; 3] = [
    Asset { path: "/assets/console.css", kind: "text/css; charset=utf-8", content: include_str!("assets/console.css") },
    Asset {
        path: "/assets/console.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("assets/console.js"),
    },
    Asset { path: "/assets/icon.svg", kind: "image/svg+xml", content: include_str!("assets/icon.svg") },
];

/// The most bytes of all files together.
const MAX_BYTES: usize = 250 * 1024;

const _: () = assert!(ASSETS[0].content.len() + ASSETS[1].content.len() + ASSETS[2].content.len() <= MAX_BYTES);

/// A route for each file.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.into_iter().fold(Router::new(), |router, Asset { path, kind, content }| {
        router.route(path, get(move || async move { ([(CONTENT_TYPE, kind)], content).into_response() }))
    })
}
