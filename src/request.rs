//! The parts of a request that the handler reads, and why a request may be rejected.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::Method;
use lambda_http::http::header::AUTHORIZATION;
use lambda_http::http::request::Parts;
use lambda_http::request::RequestContext;
use lambda_http::{Body, RequestExt as _};

/// The longest body that is read, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// The moment at which the event of a request arrived, before it was parsed. An extension of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received(pub(crate) Instant);

/// Marks a request whose body is the base64 text that API Gateway made of it. An extension of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base64Body;

/// A REST hook of WCS, by the last segment of the path (WCS 5.2, "REST Hooks").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// A client connects. The answer sets how WCS calls the backend.
    Connect,
    /// An incoming SIP call. The answer decides whether it goes through.
    OnCallEvent,
}

/// Why a request is not a valid call of a hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The body is not valid for this hook.
    #[error("{0}")]
    BadRequest(String),
    /// The last segment of the path is not the name of a hook.
    #[error("the path must end in `OnCallEvent` or `connect`")]
    UnknownHook,
    /// The method is not POST.
    #[error("a hook is called with POST")]
    NotPost,
    /// The body is too long.
    #[error("the body is longer than {MAX_BODY} bytes")]
    TooLarge,
}

/// Which hook is called.
pub(crate) fn hook(parts: &Parts) -> Result<Hook, Rejection> {
    let hook = match parts.raw_http_path().rsplit('/').next() {
        Some("connect") => Hook::Connect,
        Some("OnCallEvent") => Hook::OnCallEvent,
        _ => return Err(Rejection::UnknownHook),
    };
    if parts.method == Method::POST { Ok(hook) } else { Err(Rejection::NotPost) }
}

/// The address the gateway received the request from, which no header can change. Some gateways add the port.
pub(crate) fn source_address(parts: &Parts) -> Option<IpAddr> {
    let source = match parts.request_context_ref()? {
        RequestContext::ApiGatewayV1(context) => context.identity.source_ip.as_deref()?,
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref()?,
        _ => return None,
    };
    source.parse().ok().or_else(|| source.parse().ok().map(|address: SocketAddr| address.ip()))
}

/// The `Authorization` header. `None` if there are several, because the right one cannot be chosen.
pub(crate) fn authorization(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let only = values.next()?;
    // A value that is not ASCII is a signature all the same, and a wrong one.
    if values.next().is_some() { None } else { Some(only.to_str().unwrap_or_default()) }
}

/// The body as it was sent, with API Gateway's base64 decoded.
pub(crate) fn decode_body(parts: &Parts, body: Body) -> Result<Body, Rejection> {
    let is_base64 = parts.extensions.get::<Base64Body>().is_some();
    let longest = if is_base64 { MAX_BODY.div_ceil(3) * 4 } else { MAX_BODY };
    if body.len() > longest {
        return Err(Rejection::TooLarge);
    }
    if !is_base64 {
        return Ok(body);
    }
    let bytes = STANDARD.decode(&body).map_err(|_| Rejection::BadRequest("the body is not base64".to_owned()))?;
    if bytes.len() > MAX_BODY { Err(Rejection::TooLarge) } else { Ok(Body::Binary(bytes)) }
}

pub(crate) fn into_text(body: Body) -> Result<String, Rejection> {
    match body {
        Body::Text(text) => Ok(text),
        Body::Binary(bytes) => {
            String::from_utf8(bytes).map_err(|_| Rejection::BadRequest("the body is not UTF-8".to_owned()))
        }
        _ => Ok(String::new()),
    }
}
