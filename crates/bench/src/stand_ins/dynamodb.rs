//! A stand-in for `DynamoDB` over TLS, with the operations that a decision needs: `GetItem` and `BatchGetItem`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The table's items by partition and sort key, and the number of requests so far.
pub(crate) struct DynamoDb {
    items: HashMap<(String, String), Value>,
    requests: AtomicU64,
}

impl DynamoDb {
    /// Creates a table with items such as `{"pk":{"S":…},"sk":{"S":…},…}`.
    pub(crate) fn new(items: impl IntoIterator<Item = Value>) -> Arc<Self> {
        let items = items.into_iter().map(|item| (key_of(&item), item)).collect();
        Arc::new(Self { items, requests: AtomicU64::new(0) })
    }

    /// The number of requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Starts the server on a free port of this machine, and returns the URL of the endpoint.
    pub(crate) async fn serve(self: &Arc<Self>, tls: &TlsAcceptor) -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("https://localhost:{}", listener.local_addr()?.port());
        let (table, tls) = (Arc::clone(self), tls.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&table).connection(stream, tls.clone()));
            }
        });
        Ok(endpoint)
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, tls: TlsAcceptor) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(tls.accept(stream).await?);
        let service = service_fn(|request| self.respond(request));
        Ok(hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await?)
    }

    async fn respond(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let operation = request.headers().get("x-amz-target").and_then(|it| it.to_str().ok()).unwrap_or_default();
        let is_batch = operation.ends_with(".BatchGetItem");
        anyhow::ensure!(
            is_batch || operation.ends_with(".GetItem"),
            "the stand-in does not support `{operation}`; it supports `GetItem` and `BatchGetItem`"
        );
        let body = request.into_body().collect().await?.to_bytes();
        let body: Value = serde_json::from_slice(&body)?;
        let response = if is_batch { self.batch_get_item(&body)? } else { self.get_item(&body) };
        let response = response.to_string();
        Ok(Response::builder()
            .status(StatusCode::OK)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amzn-requestid", "7QHBQ1SQ8MBRRNMTNQ6SS4O5A7VV4KQNSO5AEMVJF66Q9ASUAAJG")
            .header("x-amz-crc32", crc32fast::hash(response.as_bytes()))
            .body(Full::new(response.into()))?)
    }

    fn get_item(&self, request: &Value) -> Value {
        let key = request.get("Key").unwrap_or(&Value::Null);
        match self.items.get(&key_of(key)) {
            Some(item) => json!({ "Item": item }),
            None => json!({}),
        }
    }

    fn batch_get_item(&self, request: &Value) -> anyhow::Result<Value> {
        let tables =
            request.get("RequestItems").and_then(Value::as_object).context("the request has no `RequestItems`")?;
        let (mut responses, mut consumed) = (Map::new(), Vec::new());
        for (table, request) in tables {
            let keys = request.get("Keys").and_then(Value::as_array).context("the request has no `Keys`")?;
            let items: Vec<_> = keys.iter().filter_map(|key| self.items.get(&key_of(key)).cloned()).collect();
            responses.insert(table.clone(), items.into());
            // All items are smaller than 4 KB and cost one unit. A key without an item also costs one.
            consumed.push(json!({ "TableName": table, "CapacityUnits": keys.len() }));
        }
        Ok(json!({ "Responses": responses, "UnprocessedKeys": {}, "ConsumedCapacity": consumed }))
    }
}

fn key_of(item: &Value) -> (String, String) {
    let text = |name| item.get(name).and_then(|it| it.get("S")).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("pk"), text("sk"))
}
