//! The HTTP side of `serve`: requests for the function's own handler.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use callgate::handler::HookHandler;
use callgate::lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;
use callgate::lambda_http::request::RequestContext;
use callgate::lambda_http::{self, Context, RequestExt as _};

use super::backend::{Backend, Route};
use crate::console::activity::Activity;
use crate::time::now;

/// Larger than the hook's own limit, so that the hook can refuse the body. API Gateway's limit is the same 10 MB.
pub(crate) const MAX_HTTP_BODY: usize = 10 * 1024 * 1024;

/// The handler, the backend for the hooks that are not gated, and the number of requests so far, from which request ids are
/// made.
struct LocalHook {
    handler: HookHandler,
    backend: Option<Backend>,
    requests: AtomicU64,
    activity: Arc<Activity>,
}

/// The routes of the hook, as in API Gateway: without a backend, every path goes to the handler.
pub(crate) fn routes(handler: HookHandler, backend: Option<Backend>, activity: Arc<Activity>) -> Router {
    let hook = Arc::new(LocalHook { handler, backend, requests: AtomicU64::new(0), activity });
    Router::new().fallback(LocalHook::handle).layer(DefaultBodyLimit::max(MAX_HTTP_BODY)).with_state(hook)
}

/// The answer of API Gateway to a path without a route.
fn not_found() -> Response {
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "application/json")], r#"{"message":"Not Found"}"#).into_response()
}

impl LocalHook {
    async fn handle(
        State(hook): State<Arc<Self>>,
        ConnectInfo(client): ConnectInfo<SocketAddr>,
        parts: Parts,
        body: Bytes,
    ) -> Response {
        if let Some(backend) = &hook.backend {
            match backend.route(&parts.uri) {
                Route::Hook => {}
                Route::Backend(uri) => return backend.forward(parts, body, uri).await,
                Route::None => return not_found(),
            }
        }
        let request_id = format!("local-{}", hook.requests.fetch_add(1, Ordering::Relaxed) + 1);
        let name = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        let response = hook.handler.handle(lambda_request(client, parts, &body, request_id)).await;
        if response.status() == StatusCode::OK {
            hook.activity.answered(&name, now());
        }
        response.map(|body| match body {
            lambda_http::Body::Text(text) => Body::from(text),
            lambda_http::Body::Binary(bytes) => Body::from(bytes),
            _ => Body::empty(),
        })
    }
}

/// The request, as `lambda_http` makes it from an event of API Gateway (payload 2.0).
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
