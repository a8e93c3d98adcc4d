//! API Gateway's side of the wire: requests as events of payload 1.0 and 2.0.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The address that the gateway received a request from.
pub(crate) const SOURCE: &str = "46.101.108.90";

/// A request on its way through a gateway.
#[derive(Debug, Clone)]
pub(crate) struct HookRequest {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    is_base64: bool,
    source: String,
}

/// `OnCallEvent` with this body.
pub(crate) fn on_call(body: impl Into<Vec<u8>>) -> HookRequest {
    HookRequest {
        path: "/rest/my_api/OnCallEvent".to_owned(),
        headers: vec![("Content-Type".to_owned(), "application/json;charset=UTF-8".to_owned())],
        body: body.into(),
        is_base64: false,
        source: SOURCE.to_owned(),
    }
}

/// The event of a plain audio call in the samples' app.
pub(crate) fn call(caller: &str, callee: &str) -> Value {
    call_in("defaultApp", caller, callee)
}

/// The event of a plain audio call.
pub(crate) fn call_in(app: &str, caller: &str, callee: &str) -> Value {
    let body = json!({ "appKey": app, "callId": "call-1", "caller": caller, "callee": callee, "hasAudio": true });
    on_call(body.to_string()).v2()
}

impl HookRequest {
    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn base64(mut self) -> Self {
        self.is_base64 = true;
        self
    }

    pub(crate) fn source(mut self, address: &str) -> Self {
        address.clone_into(&mut self.source);
        self
    }

    /// Both payload versions, for what must hold in either.
    pub(crate) fn both(&self) -> [Value; 2] {
        [self.v1(), self.v2()]
    }

    /// As a REST API sends it.
    pub(crate) fn v1(&self) -> Value {
        let mut last = Map::new();
        let mut all: Map<String, Value> = Map::new();
        for (name, value) in &self.headers {
            last.insert(name.clone(), json!(value));
            all.entry(name).or_insert_with(|| json!([])).as_array_mut().unwrap().push(json!(value));
        }
        json!({
            "resource": "/{proxy+}",
            "path": self.path,
            "httpMethod": "POST",
            "headers": last,
            "multiValueHeaders": all,
            "requestContext": {
                "stage": "prod",
                "httpMethod": "POST",
                "path": format!("/prod{}", self.path),
                "identity": { "sourceIp": self.source },
            },
            "body": self.text(),
            "isBase64Encoded": self.is_base64,
        })
    }

    /// As an HTTP API sends it: names in lower case, values of the same name joined by commas.
    pub(crate) fn v2(&self) -> Value {
        let mut joined: Map<String, Value> = Map::new();
        for (name, value) in &self.headers {
            let name = name.to_ascii_lowercase();
            let value = match joined.get(&name) {
                Some(before) => format!("{},{value}", before.as_str().unwrap()),
                None => value.clone(),
            };
            joined.insert(name, json!(value));
        }
        json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": "",
            "headers": joined,
            "requestContext": {
                "http": { "method": "POST", "path": self.path, "protocol": "HTTP/1.1", "sourceIp": self.source },
                "stage": "$default",
            },
            "body": self.text(),
            "isBase64Encoded": self.is_base64,
        })
    }

    fn text(&self) -> String {
        if self.is_base64 { STANDARD.encode(&self.body) } else { String::from_utf8(self.body.clone()).unwrap() }
    }
}
