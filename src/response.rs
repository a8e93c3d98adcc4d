//! The answers of the hook and their HTTP responses: the only place that has status codes.

use lambda_http::http::header::{ALLOW, CONTENT_TYPE};
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::{Body, Response};
use serde_json::json;

use crate::request::Rejection;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The event as it was received: the call is permitted, or the hook decides nothing. For `connect`, with our
    /// `restClientConfig`.
    Echo(String),
    /// The call is refused.
    Refused,
    /// Permissions could not be read.
    Unavailable,
    /// The request is not a valid call of a hook.
    Rejected(Rejection),
}

impl Answer {
    /// The HTTP status. Only 200 means "permitted" to WCS.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Echo(_) => StatusCode::OK,
            Self::Refused => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Rejected(Rejection::BadRequest(_)) => StatusCode::BAD_REQUEST,
            Self::Rejected(Rejection::NotAHook | Rejection::OtherCase(_) | Rejection::OtherHook) => {
                StatusCode::NOT_FOUND
            }
            Self::Rejected(Rejection::NotPost) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Rejected(Rejection::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// The whole response. A refusal has no body.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let status = self.status();
        let allow = (self == Self::Rejected(Rejection::NotPost)).then_some(HeaderValue::from_static("POST"));
        let body = match self {
            Self::Echo(body) => Some(body),
            Self::Refused | Self::Unavailable => None,
            Self::Rejected(rejection) => Some(json!({ "error": rejection.to_string() }).to_string()),
        };
        let content_type = body.is_some().then_some(HeaderValue::from_static("application/json"));
        let mut response = Response::new(body.map_or(Body::Empty, Body::Text));
        *response.status_mut() = status;
        response.headers_mut().extend(
            [(ALLOW, allow), (CONTENT_TYPE, content_type)]
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| (name, value))),
        );
        response
    }
}
