//! The HTTP side of `serve`. A request becomes an event of API Gateway and goes through the function's handler.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callgate::handler::Gate;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::output::print_error;

/// Larger than the hook's own limit, so that the hook can refuse the body. API Gateway's limit is the same 10 MB.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// The routes of the hook: every path goes to the handler.
pub(crate) fn routes(gate: Gate) -> Router {
    let gateway = Arc::new(Gateway { gate, requests: AtomicU64::new(0) });
    Router::new().fallback(Gateway::handle).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(gateway)
}

/// The part of API Gateway between HTTP and the function.
struct Gateway {
    gate: Gate,
    requests: AtomicU64,
}
/// The function's answer, whichever payload version it is for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    status_code: u16,
    headers: HashMap<String, String>,
    body: Option<String>,
}

impl Gateway {
    async fn handle(
        State(gateway): State<Arc<Self>>,
        ConnectInfo(client): ConnectInfo<SocketAddr>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        let request_id = format!("local-{}", gateway.requests.fetch_add(1, Ordering::Relaxed) + 1);
        let event = event(client, &method, &uri, &headers, &body, &request_id);
        match gateway.reply(&event, &request_id).await {
            Ok(response) => response,
            // What API Gateway says when the function fails.
            Err(error) => {
                print_error(format!("{error:#}"));
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    async fn reply(&self, event: &serde_json::Value, request_id: &str) -> anyhow::Result<Response> {
        let reply = self.gate.answer(&to_raw_value(event)?, request_id).await?;
        let reply: Reply = serde_json::from_value(serde_json::to_value(reply)?)?;
        let mut response = Response::builder().status(reply.status_code);
        for (name, value) in reply.headers {
            response = response.header(name, value);
        }
        Ok(response.body(Body::from(reply.body.unwrap_or_default()))?)
    }
}

/// The request as API Gateway's HTTP API hands it to a function (payload 2.0).
fn event(
    client: SocketAddr,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
    request_id: &str,
) -> serde_json::Value {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: HashMap<_, _> = headers
        .keys()
        .map(|name| (name.as_str(), headers.get_all(name).iter().map(text).collect::<Vec<_>>().join(",")))
        .collect();
    let (body, is_base64) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (STANDARD.encode(body), true),
    };
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": uri.path(),
        "rawQueryString": uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "http": {
                "method": method.as_str(),
                "path": uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": client.ip().to_string(),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": is_base64,
    })
}
