//! `--backend`: passes hooks on to the operator's own backend, as API Gateway does with the template's `BackendUrl`.

use std::error::Error as StdError;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, Version};
use axum::response::{IntoResponse as _, Response};
use callgate::config::is_http_url;
use callgate::hook::GatedHooks;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;

use super::http::MAX_HTTP_BODY;
use crate::exit::usage;
use crate::output::print_error;

/// How long the backend may take for its whole answer. WCS waits 15 seconds by default (`rest_request_timeout`), so it still
/// gets the 502.
const TIMEOUT: Duration = Duration::from_secs(14);

/// How long a connection may be idle. Servers that close idle connections wait for at least five seconds, and a request that
/// is sent while the server closes its connection is lost.
const IDLE: Duration = Duration::from_secs(4);

/// The headers of a single connection, with those that `Connection` names (RFC 9110, section 7.6.1). Trailers are not passed
/// on, so `Trailer` is one of them.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The operator's own backend.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Without a slash at its end.
    url: String,
    /// The path of the hooks, without a slash at its end.
    path: String,
    gated: GatedHooks,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    timeout: Duration,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the hook in this process.
    Hook,
    /// To this URL of the backend.
    Backend(Uri),
    /// Nowhere: the path is outside the path of the hooks.
    None,
}

impl Backend {
    /// Checks the URL of the backend, and the path of the hooks in front of it. Nothing is sent yet. `own` is the address
    /// that the hook listens on.
    pub(crate) async fn new(url: &str, path: &str, gated: GatedHooks, own: SocketAddr) -> anyhow::Result<Self> {
        let uri = url.parse::<Uri>().ok().filter(|_| is_http_url(url));
        let uri =
            uri.ok_or_else(|| usage(format!("--backend `{url}` is not a URL, such as `http://127.0.0.1:9000/hooks`")))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            // The URL is not shown, because it holds a password.
            return Err(usage("--backend has a user name in its URL, which is not sent; leave it out"));
        }
        if url.contains(['?', '#']) {
            return Err(usage(format!(
                "--backend `{url}` has a query or a fragment; give only its beginning, to which the hook's name is added"
            )));
        }
        let is_path = path.starts_with('/') && !path.contains(['?', '#']) && path.parse::<Uri>().is_ok();
        if !is_path || has_dots(path) {
            return Err(usage(format!("--hook-path `{path}` is not a path, such as `/rest/my_api`")));
        }
        if is_own(&uri, own).await {
            return Err(usage(format!(
                "--backend `{url}` is the address that this hook listens on; give that of your own backend"
            )));
        }
        let client = client(uri.scheme_str() == Some("https")).context("cannot use https with --backend")?;
        let [url, path] = [url, path].map(|text| text.trim_end_matches('/').to_owned());
        Ok(Self { url, path, gated, client, timeout: TIMEOUT })
    }

    /// The URL without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The path of the hooks without a slash at its end.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Where a request goes: a gated hook to this process, everything else below the path of the hooks to the backend.
    pub(crate) fn route(&self, uri: &Uri) -> Route {
        let Some(rest) = uri.path().strip_prefix(&self.path).and_then(|rest| rest.strip_prefix('/')) else {
            return Route::None;
        };
        // A backend may take `..` as a step out of its own path.
        if rest.is_empty() || has_dots(rest) {
            return Route::None;
        }
        if self.gated.contains(rest) {
            return Route::Hook;
        }
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}/{rest}{query}", self.url).parse().map_or(Route::None, Route::Backend)
    }

    /// Passes a request on, and returns the backend's answer as it is. If there is none, prints why and returns 502.
    pub(crate) async fn forward(&self, parts: Parts, body: Bytes, uri: Uri) -> Response {
        let request = format!("{} {}", parts.method, parts.uri.path());
        let answer = tokio::time::timeout(self.timeout, self.send(parts, body, uri)).await;
        let failure = match answer {
            Ok(Ok(response)) => return response,
            Ok(Err(failure)) => failure,
            Err(_) => Failure {
                public: "did not answer in time",
                cause: format!("it did not answer within {} s", self.timeout.as_secs_f32()),
            },
        };
        let Failure { public, cause } = failure;
        print_error(format!("{request}: answered 502, because the backend {} {public}: {cause}", self.url));
        let body = json!({ "error": format!("the backend {public}") }).to_string();
        (StatusCode::BAD_GATEWAY, [(CONTENT_TYPE, "application/json")], body).into_response()
    }

    async fn send(&self, parts: Parts, body: Bytes, uri: Uri) -> Result<Response, Failure> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = parts.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = parts.headers;
        let headers = request.headers_mut();
        remove_hop_by_hop(headers);
        // The client sets the backend's.
        headers.remove(HOST);
        // RFC 9110, section 7.6.3. API Gateway adds its own name.
        headers.append(VIA, HeaderValue::from_static("1.1 callgatectl"));

        let response = self.client.request(request).await.map_err(|error| Failure {
            public: if error.is_connect() { "cannot be reached" } else { "did not send an answer" },
            cause: causes(&error),
        })?;
        let (mut parts, body) = response.into_parts();
        if parts.status.is_informational() {
            let cause = format!("status {} to a request for no other protocol", parts.status);
            return Err(Failure { public: "did not send an answer", cause });
        }
        remove_hop_by_hop(&mut parts.headers);
        // The connection to WCS has its own.
        parts.version = Version::HTTP_11;
        let body = to_bytes(Body::new(body), MAX_HTTP_BODY).await.map_err(|error| Failure {
            public: "sent an answer that is incomplete or longer than 10 MB",
            cause: causes(&error),
        })?;
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

/// Why there is no answer.
struct Failure {
    /// For the client.
    public: &'static str,
    /// For the operator.
    cause: String,
}

/// The error with its causes. Each layer of the client may repeat the text of the one below it.
fn causes(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let mut causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.dedup();
    causes.join(": ")
}

/// The client, which keeps connections open. It does not follow redirects.
fn client(is_https: bool) -> anyhow::Result<Client<HttpsConnector<HttpConnector>, Body>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    // A machine without certificates can still use http.
    let tls = if is_https { tls.with_native_roots()? } else { tls.with_root_certificates(RootCertStore::empty()) };
    let tls = tls.with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).build(connector))
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    // The body's own length counts (RFC 9112, section 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether a path has a segment `.` or `..`, in any spelling.
fn has_dots(path: &str) -> bool {
    let is_dots = |segment: &str| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..");
    path.split('/').any(is_dots)
}

/// Whether a URL leads to the address that the hook listens on.
async fn is_own(uri: &Uri, own: SocketAddr) -> bool {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    // A name that cannot be found now may be found later.
    let Ok(mut addresses) = tokio::net::lookup_host((host, port)).await else { return false };
    port == own.port() && addresses.any(|address| is_local(address.ip().to_canonical(), own.ip()))
}

/// Whether a connection to `ip` arrives at a listener on `own`. Only an address of this machine can be listened on.
fn is_local(ip: IpAddr, own: IpAddr) -> bool {
    // A connection to the unspecified address goes to this machine.
    let ip = if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip };
    ip == own || own.is_unspecified() && TcpListener::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// A backend that sends this text after the first bytes of a request, and nothing more.
    async fn silent_backend(text: &'static str) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    stream.read_exact(&mut [0]).unwrap();
                    stream.write_all(text.as_bytes()).unwrap();
                    // Until the client closes the connection.
                    std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
                });
            }
        });
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let backend = Backend::new(&url, "/rest/my_api", GatedHooks::default(), own).await.unwrap();
        Backend { timeout: Duration::from_millis(50), ..backend }
    }

    /// [`TIMEOUT`] limits the wait for a backend that sends nothing, or only a part of its answer.
    #[tokio::test]
    async fn a_backend_that_does_not_answer_in_time_is_502() {
        for text in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"] {
            let backend = silent_backend(text).await;
            let (parts, ()) = Request::post("/rest/my_api/connect").body(()).unwrap().into_parts();
            let Route::Backend(uri) = backend.route(&parts.uri) else { panic!("it is for the backend") };
            let response = backend.forward(parts, Bytes::from_static(b"{}"), uri).await;
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{text}");
            let body = to_bytes(response.into_body(), MAX_HTTP_BODY).await.unwrap();
            assert_eq!(body, r#"{"error":"the backend did not answer in time"}"#, "{text}");
        }
    }
}
