//! A stand-in for the Lambda Runtime API: sends events one by one, and records when the function requests and answers each.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

/// The longest wait for a request of the function. The first call of the tutorial on a throttled core takes about half a
/// second.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A request of the function to the Runtime API.
#[derive(Debug)]
pub(crate) enum RuntimeRequest {
    /// The function polls for the next event.
    Next(Instant),
    /// The function's response to an event.
    Response(Instant, Bytes),
    /// The function reports an error.
    Error(String),
}

/// The Runtime API for one process.
pub(crate) struct RuntimeApi {
    /// `HOST:PORT`, for `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) address: String,
    requests: mpsc::UnboundedReceiver<RuntimeRequest>,
    events: mpsc::UnboundedSender<Bytes>,
}

struct Server {
    requests: mpsc::UnboundedSender<RuntimeRequest>,
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (requests, requests_receiver) = mpsc::unbounded_channel();
        let (events, events_receiver) = mpsc::unbounded_channel();
        let server = Arc::new(Server { requests, events: Mutex::new(events_receiver) });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&server).connection(stream));
            }
        });
        Ok(Self { address, requests: requests_receiver, events })
    }

    /// Sends an event in response to the current or next poll, and returns when.
    pub(crate) fn send_event(&self, event: &Bytes) -> anyhow::Result<Instant> {
        let at = Instant::now();
        self.events.send(event.clone()).context("the Runtime API has stopped")?;
        Ok(at)
    }

    /// Waits for the function to poll.
    pub(crate) async fn wait_for_poll(&mut self) -> anyhow::Result<Instant> {
        match self.next_request().await? {
            RuntimeRequest::Next(at) => Ok(at),
            other => anyhow::bail!("expected a poll, not {other:?}"),
        }
    }

    /// Waits for the response of the function.
    pub(crate) async fn wait_for_response(&mut self) -> anyhow::Result<(Instant, Bytes)> {
        match self.next_request().await? {
            RuntimeRequest::Response(at, body) => Ok((at, body)),
            other => anyhow::bail!("expected a response, not {other:?}"),
        }
    }

    async fn next_request(&mut self) -> anyhow::Result<RuntimeRequest> {
        let request = tokio::time::timeout(TIMEOUT, self.requests.recv());
        let request = request.await.with_context(|| format!("no request from the function for {TIMEOUT:?}"))?;
        match request.context("the Runtime API has stopped")? {
            RuntimeRequest::Error(error) => anyhow::bail!("the function failed: {error}"),
            request => Ok(request),
        }
    }
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let service = service_fn(|request| self.respond(request));
        Ok(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?)
    }

    async fn respond(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let at = Instant::now();
        if request.method() == Method::GET {
            self.requests.send(RuntimeRequest::Next(at))?;
            let event = self.events.lock().await.recv().await.context("the benchmark has ended")?;
            let deadline = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + TIMEOUT;
            return Ok(Response::builder()
                .header("content-type", "application/json")
                .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
                .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:f")
                .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
                .body(Full::new(event))?);
        }
        let is_response = request.uri().path().ends_with("/response");
        let body = request.into_body().collect().await?.to_bytes();
        self.requests.send(if is_response {
            RuntimeRequest::Response(at, body)
        } else {
            RuntimeRequest::Error(String::from_utf8_lossy(&body).into_owned())
        })?;
        Ok(Response::builder()
            .status(StatusCode::ACCEPTED)
            .body(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}")))?)
    }
}
