//! API Gateway's events to requests, and answers to status codes: the only place that knows either.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::Body;
use lambda_http::aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayProxyResponse, ApiGatewayV2httpRequest, ApiGatewayV2httpResponse,
};
use lambda_http::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use lambda_http::http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

/// The longest body that is read, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// What WCS asks of its backend, by the last segment of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// `connect`: how do you want to be asked?
    Connect,
    /// `OnCallEvent`: may this call go through?
    OnCallEvent,
}

/// A request as far as it is read.
#[derive(Debug)]
pub struct Request {
    version: PayloadVersion,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<String>,
    is_base64: bool,
    /// The address the gateway saw, which no header can change.
    pub source: Option<IpAddr>,
}

/// API Gateway's two ways of putting a request into an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PayloadVersion {
    V1,
    V2,
}

impl Request {
    /// Reads an event of payload 1.0 or 2.0 (API Gateway Developer Guide, "Payload format version").
    ///
    /// `lambda_http`'s own conversion is not used: it panics on a body that is no base64 and on a `Host` header
    /// that makes no URL.
    ///
    /// # Errors
    /// When the event comes from something else than API Gateway.
    pub fn from_event(event: &RawValue) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Version<'a> {
            #[serde(borrow, default)]
            version: Option<&'a str>,
        }
        let address = |source: Option<String>| source.and_then(|source| source.parse().ok());
        if serde_json::from_str::<Version<'_>>(event.get())?.version == Some("2.0") {
            let event: ApiGatewayV2httpRequest = serde_json::from_str(event.get())?;
            return Ok(Self {
                version: PayloadVersion::V2,
                method: event.request_context.http.method,
                path: event.raw_path.unwrap_or_default(),
                headers: event.headers,
                body: event.body,
                is_base64: event.is_base64_encoded,
                source: address(event.request_context.http.source_ip),
            });
        }
        let event: ApiGatewayProxyRequest = serde_json::from_str(event.get())?;
        // The second holds every value of a header that stands twice, the first only the last.
        let headers = if event.multi_value_headers.is_empty() { event.headers } else { event.multi_value_headers };
        Ok(Self {
            version: PayloadVersion::V1,
            method: event.http_method,
            path: event.path.unwrap_or_default(),
            headers,
            body: event.body,
            is_base64: event.is_base64_encoded,
            source: address(event.request_context.identity.source_ip),
        })
    }

    /// Which hook is called.
    ///
    /// # Errors
    /// When it is another path or another method.
    pub fn hook(&self) -> Result<Hook, Rejection> {
        let hook = match self.path.rsplit('/').next() {
            Some("connect") => Hook::Connect,
            Some("OnCallEvent") => Hook::OnCallEvent,
            _ => return Err(Rejection::UnknownHook),
        };
        if self.method == Method::POST { Ok(hook) } else { Err(Rejection::NotPost) }
    }

    /// The body's bytes, with the gateway's base64 undone.
    ///
    /// # Errors
    /// When there are too many, or the base64 is broken.
    pub fn body(&self) -> Result<Vec<u8>, Rejection> {
        let body = self.body.as_deref().unwrap_or_default();
        let longest = if self.is_base64 { MAX_BODY.div_ceil(3) * 4 } else { MAX_BODY };
        if body.len() > longest {
            return Err(Rejection::TooLarge);
        }
        let body = if self.is_base64 {
            STANDARD.decode(body).map_err(|_| Rejection::BadRequest("the body is not base64".to_owned()))?
        } else {
            body.as_bytes().to_vec()
        };
        if body.len() > MAX_BODY { Err(Rejection::TooLarge) } else { Ok(body) }
    }

    /// The one `Authorization` header; of several, nobody could say which counts.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        let mut values = self.headers.get_all(AUTHORIZATION).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }

    /// The answer in the form this request's gateway understands.
    #[must_use]
    pub fn reply(&self, answer: Answer) -> Reply {
        let mut headers = HeaderMap::new();
        let mut json_body = |body: String| {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Some(Body::Text(body))
        };
        let status = answer.status();
        let body = match answer {
            Answer::Echo(body) => json_body(body),
            Answer::Refused | Answer::Unavailable => None,
            Answer::Rejected(rejection) => {
                let body = json_body(json!({ "error": rejection.to_string() }).to_string());
                if rejection == Rejection::NotPost {
                    headers.insert(ALLOW, HeaderValue::from_static("POST"));
                }
                body
            }
        };
        match self.version {
            PayloadVersion::V1 => {
                let mut reply = ApiGatewayProxyResponse::default();
                (reply.status_code, reply.headers, reply.body) = (status.as_u16().into(), headers, body);
                Reply::V1(reply)
            }
            PayloadVersion::V2 => {
                let mut reply = ApiGatewayV2httpResponse::default();
                (reply.status_code, reply.headers, reply.body) = (status.as_u16().into(), headers, body);
                Reply::V2(reply)
            }
        }
    }
}

/// What is said to WCS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The call may go through: the event comes back. For `connect`, the object with our `restClientConfig`.
    Echo(String),
    /// The call may not go through.
    Refused,
    /// Nobody can say.
    Unavailable,
    /// The request asks nothing that could be answered.
    Rejected(Rejection),
}

impl Answer {
    /// Its HTTP status. Only 200 means "permitted" to WCS.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Echo(_) => StatusCode::OK,
            Self::Refused => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Rejected(Rejection::BadRequest(_)) => StatusCode::BAD_REQUEST,
            Self::Rejected(Rejection::UnknownHook) => StatusCode::NOT_FOUND,
            Self::Rejected(Rejection::NotPost) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Rejected(Rejection::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// Why a request cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The body is not what the hook takes.
    #[error("{0}")]
    BadRequest(String),
    /// The path's last segment names no hook of ours.
    #[error("the path must end in `OnCallEvent` or `connect`")]
    UnknownHook,
    /// The method is another than POST.
    #[error("a hook is called with POST")]
    NotPost,
    /// The body is longer than it may be.
    #[error("the body is longer than {MAX_BODY} bytes")]
    TooLarge,
}

/// The event's answer, as API Gateway takes it.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To payload 1.0.
    V1(ApiGatewayProxyResponse),
    /// To payload 2.0.
    V2(ApiGatewayV2httpResponse),
}
