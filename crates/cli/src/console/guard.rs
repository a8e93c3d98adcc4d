//! Who may use the console: the checks before every page, and the headers after it.
//!
//! Any page that is open in the browser can send requests to a loopback address, and any name can be made to resolve to it (DNS
//! rebinding). So `Host` must be an address, or `localhost`; a request needs the cookie that only the printed URL gives; and a request
//! that changes something needs the `Origin` of the console itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderName, LOCATION, ORIGIN, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use maud::html;

use super::assets::ASSETS;
use super::page::plain_page;
use super::{Console, fields};
use crate::output::print_note;

/// Nothing but the console's own files is loaded, and no script or style is inside a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The headers of every answer (OWASP Secure Headers Project).
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // With `no-referrer`, browsers send `Origin: null` with the own forms.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// Requests that start or end work which reads, so that a read-only console takes them too.
const READING: [&str; 4] =
    ["/health/inspect", "/health/simulate", "/health/inspection/cancel", "/health/simulation/cancel"];

/// The field of the printed URL.
const TOKEN: &str = "token";

/// The most browsers that are signed in. The first one is signed out by the next.
const MAX_SESSIONS: usize = 100;

/// The address of the console, and the secrets that open it.
#[derive(Debug)]
pub(crate) struct Guard {
    address: SocketAddr,
    secrets: Mutex<Secrets>,
}

#[derive(Debug)]
struct Secrets {
    /// Opens the console once.
    token: String,
    /// The cookies of the browsers that are signed in.
    sessions: Vec<String>,
}

impl Guard {
    /// Makes the first token.
    pub(crate) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let secrets = Secrets { token: random()?, sessions: Vec::new() };
        Ok(Self { address, secrets: Mutex::new(secrets) })
    }

    /// The URL that signs a browser in, once.
    pub(crate) fn url(&self) -> String {
        let ip = self.address.ip();
        let ip = match ip {
            IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            ip => ip,
        };
        format!("http://{}/?{TOKEN}={}", SocketAddr::new(ip, self.address.port()), self.lock().token)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the cookie. Browsers send a cookie to every port of a host.
    fn cookie(&self) -> String {
        format!("callgate-console-{}", self.address.port())
    }

    /// Whether a `Host` names this server by an address, or as `localhost`. Nothing else can be trusted not to be a name that was made
    /// to resolve to this machine.
    fn is_own_host(&self, host: &str) -> bool {
        // Browsers leave the port of HTTP out.
        let is_ip6 = host.ends_with(']');
        let (name, port) = host.rsplit_once(':').filter(|_| !is_ip6).unwrap_or((host, "80"));
        if port.parse() != Ok(self.address.port()) {
            return false;
        }
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match address.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || !self.address.ip().is_loopback(),
            Err(_) => false,
        }
    }

    fn is_signed_in(&self, headers: &HeaderMap) -> bool {
        let name = self.cookie();
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let values: Vec<_> = pairs.filter(|(it, _)| *it == name).map(|(_, value)| value).collect();
        let secrets = self.lock();
        values.iter().any(|value| secrets.sessions.iter().any(|session| is_same_secret(session, value)))
    }

    /// Exchanges the token for a session, and makes the next token. `None` if it is not the current one.
    fn sign_in(&self, token: &str) -> anyhow::Result<Option<String>> {
        let mut secrets = self.lock();
        if !is_same_secret(&secrets.token, token) {
            return Ok(None);
        }
        let session = random()?;
        secrets.token = random()?;
        if secrets.sessions.len() >= MAX_SESSIONS {
            secrets.sessions.remove(0);
        }
        secrets.sessions.push(session.clone());
        Ok(Some(session))
    }
}

/// 256 random bits in hexadecimal digits.
fn random() -> anyhow::Result<String> {
    let (mut left, mut right) = ([0; 16], [0; 16]);
    let random = rustls::crypto::ring::default_provider().secure_random;
    for half in [&mut left, &mut right] {
        random.fill(half).map_err(|_| anyhow::anyhow!("this machine provides no random numbers"))?;
    }
    Ok(format!("{:032x}{:032x}", u128::from_ne_bytes(left), u128::from_ne_bytes(right)))
}

/// Compares in a time that depends on the lengths only.
fn is_same_secret(one: &str, other: &str) -> bool {
    let difference = one.bytes().zip(other.bytes()).fold(0, |difference, (one, other)| difference | (one ^ other));
    one.len() == other.len() && difference == 0
}

/// Checks a request before its page is made, and adds the headers to the answer.
pub(super) async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let mut response = match check(&console, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal,
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[expect(clippy::result_large_err, reason = "the error is the answer")]
fn check(console: &Console, request: &Request) -> Result<(), Response> {
    let (guard, headers, method) = (&console.guard, request.headers(), request.method());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !guard.is_own_host(host) {
        return Err(refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "Not the address of this console",
            "Open the console by the address that callgatectl printed, with 127.0.0.1 or localhost.",
        ));
    }
    if ![Method::GET, Method::HEAD, Method::POST].contains(method) {
        let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "Wrong method", "The console takes GET and POST.");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        return Err(answer);
    }
    if ASSETS.iter().any(|asset| asset.path == request.uri().path()) {
        return Ok(());
    }
    let is_signed_in = guard.is_signed_in(headers);
    if *method == Method::GET
        && let Some(token) = fields::first(request.uri().query(), TOKEN)
    {
        return Err(sign_in(guard, &token, is_signed_in, request.uri()));
    }
    if !is_signed_in {
        return Err(not_signed_in(request));
    }
    if *method == Method::POST {
        if !is_own_origin(headers, host) {
            return Err(refusal(
                StatusCode::FORBIDDEN,
                "The request came from another page",
                "Nothing was changed. Only the console's own pages may change something.",
            ));
        }
        if console.settings.is_read_only && !READING.contains(&request.uri().path()) {
            return Err(refusal(
                StatusCode::FORBIDDEN,
                "This console is read-only",
                "Nothing was changed. To change permissions, start callgatectl console without --read-only.",
            ));
        }
    }
    Ok(())
}

/// Whether the page that sent a request is one of the console's (the Fetch standard, "`Origin` header"; all browsers send it with
/// POST).
fn is_own_origin(headers: &HeaderMap, host: &str) -> bool {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    let is_own = origin.strip_prefix("http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host));
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    is_own && site.is_none_or(|site| site == b"same-origin")
}

/// Answers a request with a token: with a cookie if it is the right one, and with the same address without it.
fn sign_in(guard: &Guard, token: &str, is_signed_in: bool, uri: &Uri) -> Response {
    let session = match guard.sign_in(token) {
        Ok(session) => session,
        Err(error) => {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, "Cannot sign in", &error.to_string());
        }
    };
    if session.is_none() && !is_signed_in {
        return refusal(
            StatusCode::FORBIDDEN,
            "This address was used already",
            "An address with a token opens the console once. The terminal in which callgatectl runs shows the next one.",
        );
    }
    let rest = fields::without(uri.query(), TOKEN);
    let target = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{rest}", uri.path()) };
    let target = on_this_host(&target);
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/")));
    if let Some(session) = session {
        print_note(format!("A browser has opened the console. To open it in another one: {}", guard.url()));
        let cookie = format!("{}={session}; HttpOnly; SameSite=Strict; Path=/", guard.cookie());
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            headers.insert(SET_COOKIE, cookie);
        }
    }
    response
}

/// A browser sends no `SameSite=Strict` cookie when a link on another site is followed, but does when the same link is followed here.
fn not_signed_in(request: &Request) -> Response {
    let address = on_this_host(request.uri().path_and_query().map_or("/", |it| it.as_str()));
    let again = request.method() == Method::GET;
    plain_page(
        StatusCode::UNAUTHORIZED,
        "Sign in",
        &html! {
            p { "Open the address that " code { "callgatectl" } " printed in the terminal. It signs this browser in." }
            @if again {
                p { "If you came here by a link from another site, and are signed in: " a href=(address) { "open this page again" } "." }
            }
        },
    )
}

/// A path of this server. Two slashes at the beginning would name another host.
fn on_this_host(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

fn refusal(status: StatusCode, title: &str, text: &str) -> Response {
    plain_page(status, title, &html! { p { (text) } p { a href="/" { "Open the console" } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_of_this_machine_with_the_port() {
        let check = |listen: &str, host: &str| Guard::new(listen.parse().unwrap()).unwrap().is_own_host(host);
        for host in ["127.0.0.1:8081", "127.1.2.3:8081", "localhost:8081", "LocalHost:8081", "[::1]:8081"] {
            assert!(check("127.0.0.1:8081", host), "{host}");
        }
        for host in [
            "",
            ":8081",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:80",
            "127.0.0.1:",
            "evil.example:8081",
            "127.0.0.1.evil.example:8081",
            "localhost.evil.example:8081",
            "localhost.:8081",
            "192.0.2.1:8081",
            "0.0.0.0:8081",
            "[::1:8081",
            "2130706433:8081",
            "127.1:8081",
            "127.0.0.1:8081:8081",
            "user@127.0.0.1:8081",
        ] {
            assert!(!check("127.0.0.1:8081", host), "{host}");
        }
        for host in ["127.0.0.1", "localhost", "[::1]", "127.0.0.1:80"] {
            assert!(check("127.0.0.1:80", host), "{host}");
        }
        assert!(!check("127.0.0.1:80", "evil.example") && !check("127.0.0.1:80", "127.0.0.1:8081"));
        // By its address on the network, but never by a name.
        assert!(check("0.0.0.0:8081", "192.0.2.1:8081"));
        assert!(!check("0.0.0.0:8081", "evil.example:8081"));
    }

    #[test]
    fn a_token_signs_in_once() {
        let guard = Guard::new("127.0.0.1:8081".parse().unwrap()).unwrap();
        let url = guard.url();
        let token = url.split_once("token=").unwrap().1;
        assert_eq!(token.len(), 64);
        assert_eq!(guard.sign_in("").unwrap(), None);
        assert_eq!(guard.sign_in(token.split_at(1).1).unwrap(), None);
        let session = guard.sign_in(token).unwrap().unwrap();
        assert_eq!(guard.sign_in(token).unwrap(), None, "it is used");
        let headers = |cookie: &str| HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(cookie).unwrap())]);
        assert!(guard.is_signed_in(&headers(&format!("a=b; callgate-console-8081={session}"))));
        assert!(!guard.is_signed_in(&headers(&format!("callgate-console-8082={session}"))));
        assert!(!guard.is_signed_in(&headers("callgate-console-8081=")));
        assert!(!guard.is_signed_in(&headers(&format!("callgate-console-8081={token}"))));
    }
}
