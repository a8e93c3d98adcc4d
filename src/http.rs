//! API Gateway's events to requests, and answers to status codes: the only place that knows either.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
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
pub struct Request<'a> {
    method: Text<'a>,
    path: Text<'a>,
    authorization: Authorization<'a>,
    body: Text<'a>,
    is_base64: bool,
    /// The address the gateway saw, which no header can change.
    pub source: Option<IpAddr>,
}

/// An event of payload 1.0 or 2.0 (API Gateway Developer Guide, "Payload format version").
///
/// Only what is read stands here, so nothing else in an event costs time or can make it fail.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    version: Option<Text<'a>>,
    request_context: Option<RequestContext<'a>>,
    http_method: Option<Text<'a>>,
    path: Option<Text<'a>>,
    raw_path: Option<Text<'a>>,
    #[serde(default)]
    headers: Authorization<'a>,
    #[serde(default)]
    multi_value_headers: Authorization<'a>,
    body: Option<Text<'a>>,
    is_base64_encoded: Option<bool>,
}

#[derive(Default, Deserialize)]
struct RequestContext<'a> {
    /// Payload 1.0.
    #[serde(borrow)]
    identity: Option<Client<'a>>,
    /// Payload 2.0.
    http: Option<Client<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Client<'a> {
    #[serde(borrow)]
    method: Option<Text<'a>>,
    source_ip: Option<Text<'a>>,
}

impl<'a> Request<'a> {
    /// Reads an event.
    ///
    /// `lambda_http`'s own conversion is not used: it panics on a body that is no base64 and on a `Host` header
    /// that makes no URL.
    ///
    /// # Errors
    /// When the event comes from something else than API Gateway.
    pub fn from_event(event: &'a RawValue) -> Result<Self, serde_json::Error> {
        let event: Event<'a> = serde_json::from_str(event.get())?;
        let RequestContext { identity, http } = event.request_context.unwrap_or_default();
        let (method, path, source) = if event.version.is_some_and(|version| version.0 == "2.0") {
            let http = http.ok_or_else(|| serde_json::Error::missing_field("requestContext.http"))?;
            (http.method, event.raw_path, http.source_ip)
        } else {
            (event.http_method, event.path, identity.and_then(|identity| identity.source_ip))
        };
        // The second holds every value of a header that stands twice, the first only the last.
        let all = event.multi_value_headers;
        Ok(Self {
            method: method.ok_or_else(|| serde_json::Error::missing_field("httpMethod"))?,
            path: path.unwrap_or_default(),
            authorization: if all.0.is_empty() { event.headers } else { all },
            body: event.body.unwrap_or_default(),
            is_base64: event.is_base64_encoded.unwrap_or(false),
            source: source.and_then(|source| source.0.parse().ok()),
        })
    }

    /// Which hook is called.
    ///
    /// # Errors
    /// When it is another path or another method.
    pub fn hook(&self) -> Result<Hook, Rejection> {
        let hook = match self.path.0.rsplit('/').next() {
            Some("connect") => Hook::Connect,
            Some("OnCallEvent") => Hook::OnCallEvent,
            _ => return Err(Rejection::UnknownHook),
        };
        if self.method.0 == "POST" { Ok(hook) } else { Err(Rejection::NotPost) }
    }

    /// The body's bytes, with the gateway's base64 undone.
    ///
    /// # Errors
    /// When there are too many, or the base64 is broken.
    pub fn body(&self) -> Result<Vec<u8>, Rejection> {
        let body = self.body.0.as_ref();
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
        match self.authorization.0.as_slice() {
            [Text(only)] => Some(only),
            _ => None,
        }
    }

    /// The answer, as API Gateway takes it.
    #[must_use]
    pub fn reply(&self, answer: Answer) -> Reply {
        let mut reply = Reply { status_code: answer.status().as_u16(), ..Reply::default() };
        reply.headers.allow = (answer == Answer::Rejected(Rejection::NotPost)).then_some("POST");
        reply.body = match answer {
            Answer::Echo(body) => Some(body),
            Answer::Refused | Answer::Unavailable => None,
            Answer::Rejected(rejection) => Some(json!({ "error": rejection.to_string() }).to_string()),
        };
        reply.headers.content_type = reply.body.is_some().then_some("application/json");
        reply
    }
}

/// Text that is only copied where it holds an escape.
#[derive(Debug, Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Of an event's headers the values of `Authorization`, whether each name has one value or a list of them.
#[derive(Debug, Default)]
struct Authorization<'a>(Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Authorization<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Headers;

        impl<'de> Visitor<'de> for Headers {
            type Value = Authorization<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Authorization::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(Text(name)) = map.next_key()? {
                    if name.eq_ignore_ascii_case("authorization") {
                        values.append(&mut map.next_value::<Values<'de>>()?.0);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Authorization(values))
            }
        }

        deserializer.deserialize_any(Headers)
    }
}

/// A header's values: a text in `headers`, a list in `multiValueHeaders`.
struct Values<'a>(Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Values<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a header's value or a list of them")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Values(Vec::new()))
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Values(vec![Text(value.into())]))
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Values(vec![Text(value.to_owned().into())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
        }

        deserializer.deserialize_any(OneOrMany)
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

/// The event's answer, in the form that API Gateway takes for both payload versions.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    status_code: u16,
    headers: ReplyHeaders,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    is_base64_encoded: bool,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct ReplyHeaders {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow: Option<&'static str>,
}
