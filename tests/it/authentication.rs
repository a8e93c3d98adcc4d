//! Only requests of our WCS are answered: the signature of the body, and the address the gateway received them from.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callgate::authentication::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;

use crate::dynamodb::{StandIn, Table};
use crate::gateway::{HookRequest, SOURCE, on_call};
use crate::lambda::Sandbox;

const BODY: &str = r#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP005"}"#;
const SECRET: &str = "correct horse";
const NEXT: &str = "battery staple";
const SECRETS: (&str, &str) = ("WCS_HOOK_SECRET", "correct horse, battery staple");

fn hash(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<md5::Md5>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn signed(secret: &str, body: &str) -> HookRequest {
    on_call(body).header("Authorization", &format!("WCS {}", hash(secret, body.as_bytes())))
}

/// Sends every request in both payload versions and checks its status. A refused one must not reach DynamoDB.
async fn check(environment: &[(&str, &str)], reason: &str, cases: &[(&str, HookRequest, u16)]) {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::counting(&table).await;
    let environment = [environment, &[("LOG_LEVEL", "debug")]].concat();
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &environment).await;
    let mut lines = Vec::new();
    let mut permitted = 0;
    for (what, request, status) in cases {
        for event in request.both() {
            let reply = sandbox.invoke(&event).await;
            assert_eq!(reply.status, *status, "{what}: {event}");
            if *status == 200 {
                permitted += 1;
                continue;
            }
            assert_eq!(reply.body, None, "{what}");
            assert_eq!(dynamodb.requests().len(), permitted, "{what}: DynamoDB was asked");
        }
    }
    lines.extend(sandbox.stop().await);
    let refused: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = refused.iter().filter(|line| line["reason"] == reason && line["caller"].is_null()).count();
    assert_eq!(refused, cases.iter().filter(|(_, _, status)| *status == 403).count() * 2);
    let log = lines.concat();
    for planted in [SECRET, NEXT, &hash(SECRET, BODY.as_bytes()), &hash(NEXT, BODY.as_bytes()), "planted"] {
        assert!(!log.contains(planted), "{planted} is in the log");
    }
}

#[tokio::test]
async fn only_signed_requests_are_answered() {
    let ours = hash(SECRET, BODY.as_bytes());
    let with = |value: &str| on_call(BODY).header("Authorization", value);
    check(
        &[SECRETS],
        "bad_signature",
        &[
            ("first key", signed(SECRET, BODY), 200),
            ("second key", signed(NEXT, BODY), 200),
            ("upper-case hex", with(&format!("WCS {}", ours.to_uppercase())), 200),
            ("scheme in another case", with(&format!("wcs {ours}")), 200),
            ("header in another case", on_call(BODY).header("AUTHORIZATION", &format!("WCS {ours}")), 200),
            ("base64 body", signed(SECRET, BODY).base64(), 200),
            ("no header", on_call(BODY), 403),
            ("empty header", with(""), 403),
            ("wrong scheme", with(&format!("Basic {ours}")), 403),
            ("no scheme", with(&ours), 403),
            ("wrong key", signed("wrong", BODY), 403),
            ("both keys as one", signed("correct horse, battery staple", BODY), 403),
            ("truncated", with(&format!("WCS {}", ours.split_at(30).0)), 403),
            ("too long", with(&format!("WCS {ours}00")), 403),
            ("no hex", with(&format!("WCS {}", "z".repeat(32))), 403),
            ("not text", with("WCS \u{e9}"), 403),
            ("two headers", signed(SECRET, BODY).header("Authorization", "WCS 00"), 403),
            ("the same header twice", signed(SECRET, BODY).header("Authorization", &format!("WCS {ours}")), 403),
            ("signature of another body", with(&format!("WCS {}", hash(SECRET, b"{}"))), 403),
            (
                "tampered body",
                on_call(BODY.replace("PPP009", "PPP008")).header("Authorization", &format!("WCS {ours}")),
                403,
            ),
            ("empty body, unsigned", on_call(""), 403),
            ("no JSON, unsigned", on_call("{"), 403),
            ("connect, unsigned", on_call("{}").path("/connect"), 403),
            (
                "signature of the base64 text",
                with(&format!("WCS {}", hash(SECRET, STANDARD.encode(BODY).as_bytes()))).base64(),
                403,
            ),
            ("too long, unsigned", on_call(" ".repeat(256 * 1024 + 1)), 403),
        ],
    )
    .await;
}

#[test]
fn the_simulator_and_serve_sign_as_wcs_does() {
    let expected = format!("WCS {}", hash(SECRET, BODY.as_bytes()));
    assert_eq!(Secret::new(SECRET).authorization(BODY.as_bytes()), expected);
    // RFC 2202, the second test of HMAC-MD5.
    let of_the_rfc = Secret::new("Jefe").authorization(b"what do ya want for nothing?");
    assert_eq!(of_the_rfc, "WCS 750c783e6ab0b503eaa86e310a5db738");
    assert_eq!(format!("{:?}", Secret::new(SECRET)), "Secret(…)");
}

#[tokio::test]
async fn the_same_secret_twice_is_as_good_as_once() {
    let environment = [("WCS_HOOK_SECRET", "correct horse,correct horse")];
    check(&environment, "bad_signature", &[("signed", signed(SECRET, BODY), 200), ("not", on_call(BODY), 403)]).await;
}

#[tokio::test]
async fn a_signed_request_gets_the_answer_it_deserves() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[SECRETS]).await;
    for (request, status) in [
        (signed(SECRET, ""), 400),
        (signed(SECRET, "[]"), 400),
        (signed(SECRET, &" ".repeat(256 * 1024 + 1)), 413),
        (signed(NEXT, "{}").path("/connect"), 200),
        (signed(NEXT, r#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP006"}"#), 403),
    ] {
        for event in request.both() {
            assert_eq!(sandbox.invoke(&event).await.status, status, "{event}");
        }
    }
}

#[tokio::test]
async fn only_allowed_sources_are_answered() {
    let from = |address: &str| on_call(BODY).source(address);
    check(
        &[("ALLOWED_SOURCES", "46.101.108.0/24, 192.0.2.7,2001:db8::/32 ,2001:db9::1,::ffff:203.0.113.0/120")],
        "source_not_allowed",
        &[
            ("in the range", from(SOURCE), 200),
            ("the address", from("192.0.2.7"), 200),
            ("in the IPv6 range", from("2001:db8:1::5"), 200),
            ("the IPv6 address", from("2001:db9:0:0:0::1"), 200),
            ("an IPv4 address in IPv6", from("::ffff:192.0.2.7"), 200),
            ("in a range of IPv4 addresses in IPv6", from("203.0.113.9"), 200),
            ("in it, written as it is", from("::ffff:203.0.113.9"), 200),
            ("with a port", from("46.101.108.90:39870"), 200),
            ("an IPv6 address with a port", from("[2001:db8:1::5]:443"), 200),
            ("outside, with a port", from("46.101.109.1:39870"), 403),
            ("outside in IPv6, with a port", from("[2001:dba::1]:443"), 403),
            ("no port", from("46.101.108.90:70000"), 403),
            ("next to it", from("203.0.112.255"), 403),
            ("outside", from("46.101.109.1"), 403),
            ("the next address", from("192.0.2.8"), 403),
            ("outside in IPv6", from("2001:dba::1"), 403),
            ("nowhere", from(""), 403),
            ("no address", from("46.101.108.90, 10.0.0.1"), 403),
            (
                "a header says otherwise",
                from("198.51.100.1")
                    .header("X-Forwarded-For", SOURCE)
                    .header("X-Real-IP", SOURCE)
                    .header("Forwarded", SOURCE),
                403,
            ),
            ("inside, though a header says otherwise", from(SOURCE).header("X-Forwarded-For", "198.51.100.1"), 200),
            ("connect from outside", from("198.51.100.1").path("/connect"), 403),
            ("no hook of ours", from("198.51.100.1").path("/admin"), 403),
        ],
    )
    .await;
}

#[tokio::test]
async fn without_a_secret_a_warning_is_logged_once() {
    let table = Table::with_samples().await;
    for (secret, warnings) in [("", 1), (SECRET, 0)] {
        let mut sandbox = Sandbox::start(&table.endpoint, &[("WCS_HOOK_SECRET", secret)]).await;
        for _ in 0..2 {
            assert_eq!(sandbox.invoke(&signed(SECRET, BODY).v2()).await.status, 200);
        }
        let lines = sandbox.stop().await;
        assert_eq!(lines.iter().filter(|line| line.contains("hooks are not authenticated")).count(), warnings);
    }
}
