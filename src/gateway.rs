//! The layer between the Lambda runtime and `lambda_http`'s [`Adapter`]: every event that looks like one of API Gateway
//! becomes a request, whatever the parts hold that the handler does not read.
//!
//! By itself, `lambda_http` 1.3 fails an event for a member of an unexpected type, and panics over a body that claims
//! base64 and is not, and over a host, stage, path or query that does not make a URL.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use lambda_http::http::header::{AUTHORIZATION, HOST};
use lambda_http::http::{HeaderMap, HeaderValue, Method};
use lambda_http::lambda_runtime::Diagnostic;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, IntoResponse, LambdaEvent, Request, Response, Service as _, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::handler::HookHandler;
use crate::json::{Member, for_each_member};

/// The most headers that are parsed; API Gateway allows 10,240 bytes of them. `HeaderMap` panics over 24,576 names.
const MAX_HEADERS: usize = 1_024;

/// The longest path that is kept whole, in bytes. `http::Uri` refuses 65,535 bytes, percent-encoded.
const MAX_PATH: usize = 4_096;

/// Marks a request whose body claims to be base64 and is not. The body is the text that was received.
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

/// Answers an event of API Gateway, payload 1.0 or 2.0, in the same version (API Gateway Developer Guide, "Payload
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
    let (mut body, invalid_base64) = take_body(&mut event);
    drop_url_parts(&mut event);
    let handle = service_fn(move |mut request: Request| {
        *request.body_mut() = std::mem::take(&mut body);
        if let Some(mark) = invalid_base64 {
            request.extensions_mut().insert(mark);
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

/// Parses an event: by `lambda_http`'s types or, where those fail, only the members that the handler reads.
fn parse(event: &str) -> Result<LambdaRequest, NotFromApiGateway> {
    let members = Object::parse(event).map_err(|error| {
        NotFromApiGateway(format!("it is not a JSON object: line {}, column {}", error.line(), error.column()))
    })?;
    let is_v2 = members.text("version").is_ok_and(|version| version.as_deref() == Some("2.0"));
    if has_plain_headers(&members) {
        let parsed = if is_v2 {
            serde_json::from_str(event).map(LambdaRequest::ApiGatewayV2)
        } else {
            serde_json::from_str(event).map(LambdaRequest::ApiGatewayV1)
        };
        if let Ok(parsed) = parsed {
            return Ok(parsed);
        }
    }
    if is_v2 {
        parse_v2(&members).map(LambdaRequest::ApiGatewayV2)
    } else {
        parse_v1(&members).map(LambdaRequest::ApiGatewayV1)
    }
}

/// The members of payload 2.0 that the handler reads.
fn parse_v2(event: &Object<'_>) -> Result<ApiGatewayV2httpRequest, NotFromApiGateway> {
    let http = event.object("requestContext")?.object("http")?;
    let mut request = ApiGatewayV2httpRequest::default();
    request.request_context.http.method = http.method("method")?;
    request.request_context.http.source_ip = http.text("sourceIp")?;
    request.raw_path = event.text("rawPath")?;
    request.headers = authorization(event.get("headers")?);
    request.body = event.text("body")?;
    request.is_base64_encoded = event.flag("isBase64Encoded")?;
    Ok(request)
}

/// The members of payload 1.0 that the handler reads.
fn parse_v1(event: &Object<'_>) -> Result<ApiGatewayProxyRequest, NotFromApiGateway> {
    let mut request = ApiGatewayProxyRequest::default();
    request.http_method = event.method("httpMethod")?;
    request.request_context.identity.source_ip = event.object("requestContext")?.object("identity")?.text("sourceIp")?;
    request.path = event.text("path")?;
    request.headers = authorization(event.get("headers")?);
    request.multi_value_headers = authorization(event.get("multiValueHeaders")?);
    request.body = event.text("body")?;
    request.is_base64_encoded = event.flag("isBase64Encoded")?;
    Ok(request)
}

/// The body as it was before API Gateway encoded it. It is taken out of the event, since `lambda_http` would panic over
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

/// Takes out of an event what `lambda_http` makes a URL of, which the handler does not read, and would panic over; and
/// the `headers` of payload 1.0 that it would let replace all values of `multiValueHeaders` by their last.
fn drop_url_parts(event: &mut LambdaRequest) {
    let path = match event {
        LambdaRequest::ApiGatewayV1(event) => {
            for name in event.multi_value_headers.keys() {
                event.headers.remove(name);
            }
            event.headers.remove(HOST);
            event.request_context.domain_name = None;
            event.request_context.stage = None;
            event.query_string_parameters = Default::default();
            event.multi_value_query_string_parameters = Default::default();
            &mut event.path
        }
        LambdaRequest::ApiGatewayV2(event) => {
            event.headers.remove(HOST);
            event.request_context.domain_name = None;
            event.request_context.stage = None;
            event.raw_query_string = None;
            &mut event.raw_path
        }
        _ => return,
    };
    if let Some(unsafe_path) = path.take_if(|path| !path.starts_with('/') || !is_url_safe(path)) {
        // Only the last segment names the hook, and no hook has a name that is not safe.
        let last = unsafe_path.rsplit('/').next().filter(|last| is_url_safe(last)).unwrap_or_default();
        *path = Some(format!("/{last}"));
    }
}

/// Whether the text can be the path of a URL as it is.
fn is_url_safe(path: &str) -> bool {
    path.len() <= MAX_PATH && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
}

/// Whether `lambda_http` can be given the headers: not too many, and one `Authorization` in an object at most. Of two
/// spellings of one name it would keep the last value, and so one could hide the other.
fn has_plain_headers(event: &Object<'_>) -> bool {
    let is_plain = |name| {
        let Ok(Some(headers)) = event.get(name) else { return true };
        let (mut all, mut authorizations) = (0, 0);
        let walked = for_each_member::<serde_json::Error>(headers, |header| {
            all += 1;
            authorizations += usize::from(is_authorization(&header));
            Ok(())
        });
        walked.is_ok() && all <= MAX_HEADERS && authorizations <= 1
    };
    is_plain("headers") && is_plain("multiValueHeaders")
}

fn is_authorization(header: &Member<'_>) -> bool {
    header.name().eq_ignore_ascii_case("authorization")
}

/// The values of `Authorization`, whether a name has one value or a list of them. A value that is not a header's is
/// kept as an empty one: it must not make way for another.
fn authorization(headers: Option<&str>) -> HeaderMap {
    let mut authorization = HeaderMap::new();
    let mut add = |value: &str| {
        let text = serde_json::from_str::<Option<Cow<'_, str>>>(value);
        let Some(text) = text.unwrap_or(Some(Cow::Borrowed(""))) else { return };
        let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        authorization.append(AUTHORIZATION, value);
    };
    let walked = for_each_member::<serde_json::Error>(headers.unwrap_or("{}"), |header| {
        if is_authorization(&header) {
            match serde_json::from_str::<Vec<&RawValue>>(header.value) {
                Ok(values) => values.iter().for_each(|value| add(value.get())),
                Err(_) => add(header.value),
            }
        }
        Ok(())
    });
    // What is not an object holds no header.
    walked.map(|()| authorization).unwrap_or_default()
}

/// A JSON object of an event. A member that is null is taken for one that is not there, as emulators write it.
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

    /// False where it is missing.
    fn flag(&self, name: &str) -> Result<bool, NotFromApiGateway> {
        match self.get(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong_type(name, "true or false")),
        }
    }

    /// A method that HTTP does not allow is taken for `GET`: like every other, it is not `POST`.
    fn method(&self, name: &str) -> Result<Method, NotFromApiGateway> {
        let text = self.text(name)?.ok_or_else(|| NotFromApiGateway(format!("`{name}` is missing")))?;
        Ok(text.parse().unwrap_or_default())
    }

    /// Without members where it is missing.
    fn object(&self, name: &str) -> Result<Self, NotFromApiGateway> {
        match self.get(name)? {
            None => Ok(Self(Vec::new())),
            Some(value) => Self::parse(value).map_err(|_| wrong_type(name, "an object")),
        }
    }
}

fn wrong_type(name: &str, expected: &str) -> NotFromApiGateway {
    NotFromApiGateway(format!("`{name}` is not {expected}"))
}
