//! A broken wire to DynamoDB: proxies that carry requests to the table and damage the answers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::dynamodb::Table;

/// What happens to an answer on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Intact,
    Silent,
    Slow(Duration),
    ResetBefore,
    ResetInTheMiddle,
    HalfABody,
    /// `200`, and what has begun as JSON.
    Garbage,
    /// Other words than those that were sent, and still JSON of the same length.
    Corrupted,
}

/// Carries requests to the table, and damages the answers.
pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    upstream: String,
    fault: Arc<Fault>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    accepted: Arc<AtomicUsize>,
    accepting: Option<JoinHandle<()>>,
}

struct Fault {
    wire: Mutex<Wire>,
    /// How many more answers it harms.
    left: AtomicUsize,
}

impl Fault {
    fn next(&self) -> Wire {
        let harms = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if harms { *self.wire.lock().unwrap() } else { Wire::Intact }
    }
}

impl Proxy {
    pub(crate) async fn before(table: &Table, wire: Wire) -> Self {
        let mut proxy = Self {
            endpoint: "http://127.0.0.1:0".to_owned(),
            upstream: address(&table.endpoint).to_owned(),
            fault: Arc::new(Fault { wire: Mutex::new(wire), left: AtomicUsize::new(usize::MAX) }),
            connections: Arc::default(),
            accepted: Arc::default(),
            accepting: None,
        };
        proxy.listen().await;
        proxy
    }

    /// From now on for ever.
    pub(crate) fn set(&self, wire: Wire) {
        self.set_for(wire, usize::MAX);
    }

    /// For as many answers.
    pub(crate) fn set_for(&self, wire: Wire, answers: usize) {
        *self.fault.wire.lock().unwrap() = wire;
        self.fault.left.store(answers, Ordering::SeqCst);
    }

    /// How many connections there were so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Closes the open connections, as servers do with idle ones.
    pub(crate) fn close_connections(&self) {
        self.connections.lock().unwrap().drain(..).for_each(|connection| connection.abort());
    }

    /// Refuses connections from now on.
    pub(crate) async fn hang_up(&mut self) {
        let accepting = self.accepting.take().unwrap();
        accepting.abort();
        let _ = accepting.await;
        self.close_connections();
    }

    /// Listens where it listened before.
    pub(crate) async fn listen(&mut self) {
        let listener = TcpListener::bind(address(&self.endpoint)).await.unwrap();
        self.endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (upstream, fault) = (self.upstream.clone(), Arc::clone(&self.fault));
        let (connections, accepted) = (Arc::clone(&self.connections), Arc::clone(&self.accepted));
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let carried = tokio::spawn(carry(client, upstream.clone(), Arc::clone(&fault)));
                connections.lock().unwrap().push(carried.abort_handle());
            }
        }));
    }
}

fn address(endpoint: &str) -> &str {
    endpoint.strip_prefix("http://").unwrap()
}

async fn carry(mut client: TcpStream, upstream: String, fault: Arc<Fault>) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let mut server = TcpStream::connect(upstream).await.ok()?;
    loop {
        let request = read_message(&mut client).await?;
        server.write_all(&request).await.ok()?;
        let mut answer = read_message(&mut server).await?;
        let half = answer.len() - 40;
        match fault.next() {
            Wire::Intact => {}
            Wire::Silent => std::future::pending().await,
            Wire::Slow(pause) => tokio::time::sleep(pause).await,
            Wire::ResetBefore => return client.set_zero_linger().ok(),
            Wire::ResetInTheMiddle => {
                client.write_all(&answer[..half]).await.ok()?;
                return client.set_zero_linger().ok();
            }
            Wire::HalfABody => return client.write_all(&answer[..half]).await.ok(),
            Wire::Garbage => {
                let begun = r#"{"Responses":{"callgate":[{"pk":{"S""#;
                answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{begun}", begun.len()).into_bytes();
            }
            Wire::Corrupted => {
                let at = answer.windows(5).position(|bytes| bytes == b"allow").unwrap();
                answer[at..at + 5].copy_from_slice(b"aLLow");
            }
        }
        client.write_all(&answer).await.ok()?;
    }
}

/// One HTTP message with a `Content-Length`.
async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        if stream.read_buf(&mut message).await.ok()? == 0 {
            return None;
        }
        let Some(head) = message.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&message[..head]).to_ascii_lowercase();
        let length: usize = text.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        if message.len() >= head + 4 + length {
            return Some(message);
        }
    }
}

/// How a server shows who it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Identity {
    Good,
    /// From an authority that is not trusted.
    Untrusted,
    Expired,
    /// Of another server.
    AnotherName,
    /// The handshake never ends.
    Silent,
}

/// The table behind TLS.
pub(crate) struct TlsFront {
    pub(crate) endpoint: String,
    /// For `SSL_CERT_FILE`: the authority to trust.
    pub(crate) roots: PathBuf,
    shown: Arc<Mutex<Identity>>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

impl TlsFront {
    pub(crate) async fn before(table: &Table) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let trusted = authority("trusted");
        let roots = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("roots-{port}.pem"));
        std::fs::write(&roots, trusted.pem()).unwrap();
        let [good, expired, another] = [("localhost", 2099), ("localhost", 2020), ("example.com", 2099)]
            .map(|(name, until)| acceptor(&trusted, name, until));
        let untrusted = acceptor(&authority("untrusted"), "localhost", 2099);
        let shown = Arc::new(Mutex::new(Identity::Good));
        let connections = Arc::<Mutex<Vec<AbortHandle>>>::default();
        let (identity, open) = (Arc::clone(&shown), Arc::clone(&connections));
        let upstream = address(&table.endpoint).to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = match *identity.lock().unwrap() {
                    Identity::Good => Some(good.clone()),
                    Identity::Untrusted => Some(untrusted.clone()),
                    Identity::Expired => Some(expired.clone()),
                    Identity::AnotherName => Some(another.clone()),
                    Identity::Silent => None,
                };
                let carried = tokio::spawn(carry_tls(client, acceptor, upstream.clone()));
                open.lock().unwrap().push(carried.abort_handle());
            }
        });
        Self { endpoint: format!("https://localhost:{port}"), roots, shown, connections }
    }

    /// Who connects from now on sees this; who is connected has to connect again.
    pub(crate) fn show(&self, identity: Identity) {
        *self.shown.lock().unwrap() = identity;
        self.connections.lock().unwrap().drain(..).for_each(|connection| connection.abort());
    }
}

async fn carry_tls(client: TcpStream, acceptor: Option<TlsAcceptor>, upstream: String) -> Option<()> {
    let Some(acceptor) = acceptor else { return std::future::pending().await };
    let mut client = acceptor.accept(client).await.ok()?;
    let mut server = TcpStream::connect(upstream).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok().map(|_| ())
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut root = CertificateParams::default();
    root.distinguished_name.push(DnType::CommonName, name);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap()
}

fn acceptor(authority: &CertifiedIssuer<'static, KeyPair>, name: &str, until: i32) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let mut certificate = CertificateParams::new([name.to_owned()]).unwrap();
    certificate.not_after = date_time_ymd(until, 1, 1);
    let certificate = certificate.signed_by(&key, authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
