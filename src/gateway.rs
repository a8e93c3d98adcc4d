//! The layer between the Lambda runtime and `lambda_http`'s [`Adapter`]: every event that looks like one from API
//! Gateway becomes a request, whatever it holds in members that the handler does not read.
//!
//! `lambda_http` 1.3 rejects an event if any member has an unexpected type. It panics on a body that is marked as base64
//! but is not, and on a host, stage, path or query that cannot be part of a URL. So this layer fills `lambda_http`'s event
//! types itself, with what a handler needs: a path that is safe in a URL, and no host, stage or query. `lambda_http` does
//! everything after that.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use lambda_http::http::header::{HOST, HeaderName};
use lambda_http::http::{HeaderMap, HeaderValue, Method};
use lambda_http::lambda_runtime::Diagnostic;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, IntoResponse, LambdaEvent, Request, Response, Service as _, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::handler::HookHandler;
use crate::json::{Member, for_each_member};
use crate::response::Answer;

/// The most names of headers that are kept: API Gateway allows 10,240 bytes of headers. `HeaderMap` panics above
/// 24,576.
const MAX_HEADERS: usize = 1_024;

/// The longest path that is kept whole, in bytes. `http::Uri` refuses 65,535 bytes, percent-encoded.
const MAX_PATH: usize = 4_096;

/// Marks a request whose body is marked as base64 but is not. The body is the text that was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InvalidBase64;

/// The event was not sent by API Gateway. Names the member that is wrong, and repeats nothing of the event.
#[derive(Debug, thiserror::Error)]
#[error("the event is not a request from API Gateway: {0}")]
pub struct NotFromApiGateway(String);

impl From<NotFromApiGateway> for Diagnostic {
    fn from(error: NotFromApiGateway) -> Self {
        Self { error_type: "NotFromApiGateway".to_owned(), error_message: error.to_string() }
    }
}

/// Answers an event from API Gateway, payload 1.0 or 2.0, in the same version (API Gateway Developer Guide, "Payload
/// format version").
///
/// # Errors
/// When the event was sent by something other than API Gateway: a member that the handler reads is missing or has
/// another type.
pub async fn answer(
    handler: &HookHandler,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<impl Serialize + fmt::Debug + use<>, NotFromApiGateway> {
    let LambdaEvent { payload, context } = event;
    let mut event = parse(payload.get()).inspect_err(|error| handler.log_error(error))?;
    let (body, invalid_base64) = take_body(&mut event);
    // `Adapter` allocates its service's future. A handler's future is large, and allocating it for each call would cost
    // more than everything else here. So the service only passes the request out and, when it is polled, the response in.
    let mut request = None;
    let response = Arc::new(Mutex::new(Answer::Unavailable.into_response()));
    let converted = Adapter::from(service_fn(|converted: Request| {
        request = Some(converted);
        let response = Arc::clone(&response);
        async move { Ok(AsIs(std::mem::take(&mut *response.lock().unwrap_or_else(PoisonError::into_inner)))) }
    }))
    .call(LambdaEvent::new(event, context));
    if let Some(mut request) = request {
        *request.body_mut() = body;
        if let Some(mark) = invalid_base64 {
            request.extensions_mut().insert(mark);
        }
        let handled = handler.handle(request).await;
        *response.lock().unwrap_or_else(PoisonError::into_inner) = handled;
    }
    converted.await
}

/// A response that `lambda_http` passes on as it is. Its own conversion would decode and copy the body once more.
struct AsIs(Response<Body>);

impl IntoResponse for AsIs {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        Box::pin(ready(self.0))
    }
}

/// Parses an event as far as a handler needs it.
fn parse(event: &str) -> Result<LambdaRequest, NotFromApiGateway> {
    let event = Object::parse(event).map_err(|error| {
        NotFromApiGateway(format!("it is not a JSON object: line {}, column {}", error.line(), error.column()))
    })?;
    match event.text("version")?.as_deref() {
        Some("2.0") => parse_v2(&event).map(LambdaRequest::ApiGatewayV2),
        _ => parse_v1(&event).map(LambdaRequest::ApiGatewayV1),
    }
}

fn parse_v2(event: &Object<'_>) -> Result<ApiGatewayV2httpRequest, NotFromApiGateway> {
    let http = event.object("requestContext")?.object("http")?;
    let mut request = ApiGatewayV2httpRequest::default();
    request.request_context.http.method = http.method("method")?;
    request.request_context.http.source_ip = http.text("sourceIp")?;
    request.raw_path = event.text("rawPath")?.map(url_safe);
    request.headers = event.headers("headers")?;
    request.body = event.text("body")?;
    request.is_base64_encoded = event.flag("isBase64Encoded")?;
    Ok(request)
}

fn parse_v1(event: &Object<'_>) -> Result<ApiGatewayProxyRequest, NotFromApiGateway> {
    let mut request = ApiGatewayProxyRequest::default();
    request.http_method = event.method("httpMethod")?;
    request.request_context.identity.source_ip =
        event.object("requestContext")?.object("identity")?.text("sourceIp")?;
    request.path = event.text("path")?.map(url_safe);
    request.multi_value_headers = event.headers("multiValueHeaders")?;
    request.headers = event.headers("headers")?;
    // They hold the last value of each header. `lambda_http` would replace all values of a header by it.
    for name in request.multi_value_headers.keys() {
        request.headers.remove(name);
    }
    request.body = event.text("body")?;
    request.is_base64_encoded = event.flag("isBase64Encoded")?;
    Ok(request)
}

/// The body as it was before API Gateway encoded it. It is taken out of the event, because `lambda_http` would panic on
/// broken base64.
fn take_body(event: &mut LambdaRequest) -> (Body, Option<InvalidBase64>) {
    let (body, is_base64) = match event {
        LambdaRequest::ApiGatewayV1(event) => (event.body.take(), event.is_base64_encoded),
        LambdaRequest::ApiGatewayV2(event) => (event.body.take(), event.is_base64_encoded),
        _ => (None, false),
    };
    match body {
        None => (Body::Empty, None),
        Some(text) if !is_base64 => (Body::Text(text), None),
        Some(text) => match STANDARD.decode(&text) {
            Ok(bytes) => (Body::Binary(bytes), None),
            Err(_) => (Body::Text(text), Some(InvalidBase64)),
        },
    }
}

/// The path, if it can be part of a URL as it is. Otherwise its last segment, because only that names the hook. The name
/// of a hook can always be part of a URL.
fn url_safe(path: String) -> String {
    let is_safe = |text: &str| {
        text.len() <= MAX_PATH && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
    };
    if path.starts_with('/') && is_safe(&path) {
        return path;
    }
    let last = path.rsplit('/').next().filter(|last| is_safe(last)).unwrap_or_default();
    format!("/{last}")
}

/// A JSON object of an event. A member that is null counts as missing, because emulators write missing members that
/// way.
struct Object<'a>(Vec<Member<'a>>);

impl<'a> Object<'a> {
    fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        let mut members = Vec::with_capacity(16);
        for_each_member(json, |member| {
            members.push(member);
            Ok::<_, serde_json::Error>(())
        })?;
        Ok(Self(members))
    }

    fn get(&self, name: &str) -> Result<Option<&'a str>, NotFromApiGateway> {
        let mut found = self.0.iter().filter(|member| member.name() == name);
        let value = found.next().map(|member| member.value).filter(|value| *value != "null");
        match found.next() {
            None => Ok(value),
            Some(_) => Err(NotFromApiGateway(format!("`{name}` appears twice"))),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, NotFromApiGateway> {
        let parse = |value| serde_json::from_str(value).map_err(|_| wrong_type(name, "a string"));
        self.get(name)?.map(parse).transpose()
    }

    /// False if it is missing.
    fn flag(&self, name: &str) -> Result<bool, NotFromApiGateway> {
        match self.get(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong_type(name, "true or false")),
        }
    }

    /// A method that HTTP does not allow counts as `GET`, which is rejected because it is not `POST`.
    fn method(&self, name: &str) -> Result<Method, NotFromApiGateway> {
        let text = self.text(name)?.ok_or_else(|| NotFromApiGateway(format!("`{name}` is missing")))?;
        Ok(text.parse().unwrap_or_default())
    }

    /// An object without members if it is missing.
    fn object(&self, name: &str) -> Result<Self, NotFromApiGateway> {
        match self.get(name)? {
            None => Ok(Self(Vec::new())),
            Some(value) => Self::parse(value).map_err(|_| wrong_type(name, "an object")),
        }
    }

    /// The headers, each with one value or a list of them. All values of a name are kept, however it is spelled.
    fn headers(&self, name: &str) -> Result<HeaderMap, NotFromApiGateway> {
        let mut headers = HeaderMap::new();
        // If it is not an object, there are none.
        let object = self.get(name)?.and_then(|value| Self::parse(value).ok()).unwrap_or(Self(Vec::new()));
        for member in &object.0 {
            let Ok(name) = HeaderName::from_bytes(member.name().as_bytes()) else { continue };
            // `lambda_http` would build the URL from `Host`.
            if name == HOST {
                continue;
            }
            if member.value.starts_with('[') {
                let values: Vec<&RawValue> = serde_json::from_str(member.value).unwrap_or_default();
                for value in values {
                    append(&mut headers, &name, value.get());
                }
            } else {
                append(&mut headers, &name, member.value);
            }
        }
        Ok(headers)
    }
}

/// Adds a header's value. A value that HTTP does not allow becomes empty. If it were left out, another value could take
/// its place.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    let text = serde_json::from_str::<Option<Cow<'_, str>>>(value).unwrap_or(Some(Cow::Borrowed("")));
    if let Some(text) = text {
        let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        if headers.contains_key(name) || headers.keys_len() < MAX_HEADERS {
            headers.append(name, value);
        }
    }
}

fn wrong_type(name: &str, expected: &str) -> NotFromApiGateway {
    NotFromApiGateway(format!("`{name}` is not {expected}"))
}
