//! The pages: one file for each, with its name.

use std::sync::Arc;

use axum::Router;

use super::Console;
use super::page::PageError;

mod calls;
mod rules;

/// The routes of all pages.
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .merge(calls::routes())
        .merge(rules::routes())
        .fallback(|| async { PageError::not_found("The console has no page with this address.") })
}
