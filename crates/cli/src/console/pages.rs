//! The pages: one file for each, with its name.

use std::sync::Arc;

use axum::Router;

use super::Console;
use super::page::PageError;

mod calls;
mod check;
pub(super) mod health;
mod history;
pub(super) mod import;
mod parties;
mod party;
mod rule;
mod rules;
pub(super) mod waiting;

/// The routes of all pages.
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .merge(calls::routes())
        .merge(parties::routes())
        .merge(party::routes())
        .merge(rule::routes())
        .merge(rules::routes())
        .merge(waiting::routes())
        .merge(check::routes())
        .merge(import::routes())
        .merge(history::routes())
        .merge(health::routes())
        .fallback(|| async { PageError::not_found("The console has no page with this address.") })
}
