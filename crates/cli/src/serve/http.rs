//! The HTTP side of `serve`: requests for the function's own handler.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::request::Parts;
use axum::response::Response;
use callgate::handler::HookHandler;
use callgate::lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;
use callgate::lambda_http::request::RequestContext;
use callgate::lambda_http::{self, Context, RequestExt as _};

/// Larger than the hook's own limit, so that the hook can refuse the body. API Gateway's limit is the same 10 MB.
const MAX_HTTP_BODY: usize = 10 * 1024 * 1024;

/// The handler, and the number of requests so far, from which request ids are made.
struct LocalHook {
    handler: HookHandler,
    requests: AtomicU64,
}

/// The routes of the hook: every path goes to the handler, as in API Gateway.
pub(crate) fn routes(handler: HookHandler) -> Router {
    let hook = Arc::new(LocalHook { handler, requests: AtomicU64::new(0) });
    Router::new().fallback(LocalHook::handle).layer(DefaultBodyLimit::max(MAX_HTTP_BODY)).with_state(hook)
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
