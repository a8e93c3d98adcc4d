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
use std::time::Instant;

use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use lambda_http::http::header::AUTHORIZATION;
use lambda_http::http::{HeaderMap, HeaderValue, Method};
use lambda_http::lambda_runtime::Diagnostic;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, IntoResponse, LambdaEvent, Request, Response, Service as _, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::handler::HookHandler;
use crate::json::for_each_member;
use crate::request::{Base64Body, Received};

/// The longest path that is kept whole, in bytes. `http::Uri` refuses 65,535 bytes, percent-encoded.
const MAX_PATH: usize = 4_096;

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
    handler: &'static HookHandler,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<impl Serialize + fmt::Debug + use<>, NotFromApiGateway> {
    let received = Received(Instant::now());
    let LambdaEvent { payload, mut context } = event;
    // `lambda_http` would make a header of it, which is not read.
    context.xray_trace_id = None;
    let mut event = parse(payload.get()).inspect_err(|error| handler.log_error(error))?;
    let (body, is_base64) = take_body(&mut event);
    let mut body = body.map_or(Body::Empty, Body::Text);
    let handle = service_fn(move |mut request: Request| {
        *request.body_mut() = std::mem::take(&mut body);
        request.extensions_mut().insert(received);
        if is_base64 {
            request.extensions_mut().insert(Base64Body);
        }
        async move { Ok(AsIs(handler.handle(request).await)) }
    });
    Adapter::from(handle).call(LambdaEvent::new(event, context)).await
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
    request.headers = event.authorization("headers")?;
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
    request.multi_value_headers = event.authorization("multiValueHeaders")?;
    // `headers` has only the last value of each header, and `lambda_http` would replace all values by it.
    if request.multi_value_headers.is_empty() {
        request.headers = event.authorization("headers")?;
    }
    request.body = event.text("body")?;
    request.is_base64_encoded = event.flag("isBase64Encoded")?;
    Ok(request)
}

/// Takes the body out of the event, as the text that API Gateway sent, and whether that is base64. `lambda_http` would decode it
/// before the request is known to be from our WCS, and panic if it is not base64.
fn take_body(event: &mut LambdaRequest) -> (Option<String>, bool) {
    match event {
        LambdaRequest::ApiGatewayV1(event) => (event.body.take(), event.is_base64_encoded),
        LambdaRequest::ApiGatewayV2(event) => (event.body.take(), event.is_base64_encoded),
        _ => (None, false),
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
struct Object<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Object<'a> {
    fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        let mut members = Vec::with_capacity(16);
        for_each_member(json, |member| {
            members.push((member.name(), member.value));
            Ok::<_, serde_json::Error>(())
        })?;
        Ok(Self(members))
    }

    fn get(&self, name: &str) -> Result<Option<&'a str>, NotFromApiGateway> {
        let mut found = self.0.iter().filter(|(member, _)| member == name);
        let value = found.next().map(|(_, value)| *value).filter(|value| *value != "null");
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

    /// Every value of the `Authorization` header, the only one that the handler reads. A header has one value or a list.
    fn authorization(&self, headers: &str) -> Result<HeaderMap, NotFromApiGateway> {
        let mut found = HeaderMap::new();
        // Headers that are not an object count as none.
        let headers = self.get(headers)?.and_then(|value| Self::parse(value).ok()).unwrap_or(Self(Vec::new()));
        for (_, value) in headers.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            if value.starts_with('[') {
                let values: Vec<&RawValue> = serde_json::from_str(value).unwrap_or_default();
                found.extend(
                    values.into_iter().filter_map(|value| header_value(value.get())).map(|it| (AUTHORIZATION, it)),
                );
            } else {
                found.extend(header_value(value).map(|it| (AUTHORIZATION, it)));
            }
        }
        Ok(found)
    }
}

/// A header's value. `None` for null; a value that HTTP does not allow becomes empty, so that it still counts as one.
fn header_value(json: &str) -> Option<HeaderValue> {
    let text = serde_json::from_str::<Option<Cow<'_, str>>>(json).unwrap_or(Some(Cow::Borrowed("")))?;
    Some(HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("")))
}

fn wrong_type(name: &str, expected: &str) -> NotFromApiGateway {
    NotFromApiGateway(format!("`{name}` is not {expected}"))
}

#[cfg(test)]
mod tests {
    use lambda_http::RequestExt as _;
    use lambda_http::request::RequestContext;

    use super::*;

    fn source(request: &Request) -> Option<String> {
        match request.request_context_ref()? {
            RequestContext::ApiGatewayV1(context) => context.identity.source_ip.clone(),
            RequestContext::ApiGatewayV2(context) => context.http.source_ip.clone(),
            _ => None,
        }
    }

    /// For events of API Gateway, this layer and the parser of `lambda_http` give the same request.
    #[test]
    fn requests_are_those_of_lambda_http() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/events");
        let mut compared = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name == "permissions.json" || name.ends_with(".expected.json") {
                continue;
            }
            let event = std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
            let ours = Request::from(parse(&event).unwrap());
            let theirs = lambda_http::request::from_str(&event).unwrap();
            assert_eq!(ours.method(), theirs.method(), "{name}");
            assert_eq!(ours.raw_http_path(), theirs.raw_http_path(), "{name}");
            assert_eq!(ours.body(), theirs.body(), "{name}");
            assert_eq!(ours.headers().get(AUTHORIZATION), theirs.headers().get(AUTHORIZATION), "{name}");
            assert_eq!(source(&ours), source(&theirs), "{name}");
            assert!(source(&ours).is_some(), "{name}");
            compared += 1;
        }
        assert!(compared >= 25, "{compared} events");
    }
}
