//! The parts of a request that the handler reads, and why a request may be rejected.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

/// Why a request is not a valid call of a hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The body is not valid for this hook.
    #[error("{0}")]
    BadRequest(String),
    /// The last segment of the path cannot be the name of a hook.
    #[error(
        "the path must end in the name of a hook, such as `OnCallEvent`: 1 to 64 letters and digits, a letter first"
    )]
    NotAHook,
    /// The last segment is the name of a known hook in other letters.
    #[error("the path must end in `{0}`, in the same upper and lower case")]
    OtherCase(&'static str),
    /// The hook is neither `connect` nor gated, and the operator chose to refuse all others.
    #[error("this hook is neither `connect` nor gated, and all others are refused (OTHER_HOOKS=refuse)")]
    OtherHook,
    /// The method is not POST.
    #[error("a hook is called with POST")]
    NotPost,
    /// The body is too long.
    #[error("the body is longer than {MAX_BODY} bytes")]
    TooLarge,
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
