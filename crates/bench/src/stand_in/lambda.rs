//! The Lambda Runtime API: hands out events one by one, and tells when the function asked and answered.

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

/// The longest a function may take for anything here; a build on a throttled core takes a third of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// A function's side of its conversation with Lambda.
#[derive(Debug)]
pub(crate) enum Told {
    /// It asks for the next event.
    Polled(Instant),
    /// It has answered one.
    Answered(Instant, Bytes),
    /// It gave up, in its own words.
    Failed(String),
}

/// The Runtime API of one process.
pub(crate) struct RuntimeApi {
    /// `HOST:PORT`, for `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) address: String,
    told: mpsc::UnboundedReceiver<Told>,
    events: mpsc::UnboundedSender<Bytes>,
}

struct Inner {
    told: mpsc::UnboundedSender<Told>,
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (told, told_receiver) = mpsc::unbounded_channel();
        let (events, events_receiver) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner { told, events: Mutex::new(events_receiver) });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&inner).connection(stream));
            }
        });
        Ok(Self { address, told: told_receiver, events })
    }

    /// Hands an event out, to the poll that is waiting or to the next.
    pub(crate) fn hand_out(&self, event: &Bytes) -> anyhow::Result<Instant> {
        let at = Instant::now();
        self.events.send(event.clone()).context("the Runtime API is gone")?;
        Ok(at)
    }

    /// Waits for the function to poll.
    pub(crate) async fn polled(&mut self) -> anyhow::Result<Instant> {
        match self.told().await? {
            Told::Polled(at) => Ok(at),
            other => anyhow::bail!("expected a poll, not {other:?}"),
        }
    }

    /// Waits for the function to answer.
    pub(crate) async fn answered(&mut self) -> anyhow::Result<(Instant, Bytes)> {
        match self.told().await? {
            Told::Answered(at, answer) => Ok((at, answer)),
            other => anyhow::bail!("expected an answer, not {other:?}"),
        }
    }

    async fn told(&mut self) -> anyhow::Result<Told> {
        let told = tokio::time::timeout(PATIENCE, self.told.recv()).await.context("the function says nothing")?;
        match told.context("the Runtime API is gone")? {
            Told::Failed(words) => anyhow::bail!("the function failed: {words}"),
            told => Ok(told),
        }
    }
}

impl Inner {
    async fn connection(self: Arc<Self>, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let answer = service_fn(|request| self.answer(request));
        Ok(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await?)
    }

    async fn answer(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let at = Instant::now();
        if request.method() == Method::GET {
            self.told.send(Told::Polled(at))?;
            let event = self.events.lock().await.recv().await.context("no more events")?;
            let deadline = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + PATIENCE;
            return Ok(Response::builder()
                .header("content-type", "application/json")
                .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
                .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:f")
                .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
                .body(Full::new(event))?);
        }
        let is_answer = request.uri().path().ends_with("/response");
        let body = request.into_body().collect().await?.to_bytes();
        self.told.send(if is_answer {
            Told::Answered(at, body)
        } else {
            Told::Failed(String::from_utf8_lossy(&body).into_owned())
        })?;
        Ok(Response::builder()
            .status(StatusCode::ACCEPTED)
            .body(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}")))?)
    }
}
