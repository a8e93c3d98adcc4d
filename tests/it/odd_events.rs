//! Events that look like those of API Gateway and hold what `lambda_http` by itself would fail or panic over.

use serde_json::{Value, json};

use crate::dynamodb::Table;
use crate::gateway::{HookRequest, on_call};
use crate::lambda::Sandbox;

const BODY: &str = r#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP005"}"#;
const NOT_BASE64: &str = r#"{"error":"the body is not base64"}"#;

/// A call that the samples permit.
fn permitted() -> HookRequest {
    on_call(BODY)
}

/// Sets the member at a JSON pointer, and the objects on the way to it.
fn set(event: &mut Value, pointer: &str, value: Value) {
    let mut place = event;
    for name in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[name];
    }
    *place = value;
}

/// The permitted call in both payload versions, with this member changed: it must be permitted as before.
async fn check_permitted(sandbox: &mut Sandbox, pointer: &str, value: &Value) {
    for mut event in permitted().both() {
        set(&mut event, pointer, value.clone());
        let reply = sandbox.invoke(&event).await;
        assert_eq!((reply.status, reply.body.as_deref()), (200, Some(BODY)), "{pointer} is {value}");
    }
}

#[tokio::test]
async fn a_body_with_invalid_base64_is_a_bad_request() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    let long = "!".repeat(350_000);
    for (body, expected) in [
        ("not base64!", (400, Some(NOT_BASE64))),
        ("e30", (400, Some(NOT_BASE64))),
        ("e30=\n", (400, Some(NOT_BASE64))),
        (BODY, (400, Some(NOT_BASE64))),
        (long.as_str(), (413, Some(r#"{"error":"the body is longer than 262144 bytes"}"#))),
        ("", (400, Some(r#"{"error":"the body is not JSON: line 1, column 0"}"#))),
    ] {
        for mut event in permitted().both() {
            event["body"] = json!(body);
            event["isBase64Encoded"] = json!(true);
            let reply = sandbox.invoke(&event).await;
            assert_eq!((reply.status, reply.body.as_deref()), expected, "{event}");
        }
    }
}

/// Checks of source, path and signature come first.
#[tokio::test]
async fn invalid_base64_is_found_when_the_body_is_read() {
    let table = Table::with_samples().await;
    let environment = [("WCS_HOOK_SECRET", "s"), ("ALLOWED_SOURCES", "192.0.2.0/24")];
    let mut sandbox = Sandbox::start(&table.endpoint, &environment).await;
    let ours = || permitted().source("192.0.2.1");
    let signed = || ours().header("Authorization", "WCS 00");
    for (request, status) in [
        (permitted().header("Authorization", "WCS 00"), 403),
        (ours(), 403),
        (ours().path("/admin.php"), 404),
        (signed(), 400),
        // A header that is not ASCII is a wrong signature, not a missing one.
        (ours().header("Authorization", "WCS \u{e9}"), 400),
    ] {
        for mut event in request.both() {
            event["body"] = json!("not base64!");
            event["isBase64Encoded"] = json!(true);
            assert_eq!(sandbox.invoke(&event).await.status, status, "{event}");
        }
    }
}

#[tokio::test]
async fn parts_that_do_not_make_a_url_are_not_read() {
    let table = Table::with_samples().await;
    for ignore_stage in [&[][..], &[("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "1")]] {
        let mut sandbox = Sandbox::start(&table.endpoint, ignore_stage).await;
        let odd = [
            "]:[ ",
            "",
            " ",
            "a b",
            "\u{e9}",
            "\"",
            "http://",
            "::1",
            "[::1",
            "%",
            "%zz",
            "@",
            ":99999",
            "..",
            "\\",
            "<>",
            "\u{1f600}",
            "host:port",
            "/",
            "?",
            "#",
        ];
        for text in odd {
            let text = json!(text);
            for pointer in [
                "/headers/Host",
                "/headers/host",
                "/headers/X-Forwarded-Proto",
                "/requestContext/domainName",
                "/requestContext/stage",
                "/rawQueryString",
                "/queryStringParameters/x",
                "/multiValueQueryStringParameters/x/0",
                "/pathParameters/proxy",
            ] {
                check_permitted(&mut sandbox, pointer, &text).await;
            }
        }
        let pairs = ["a=b c", "q=\"x\"", "\u{e9}=\u{1f600}", "%", "a=%zz", "?", "#", "[]", "a&&=&"];
        for query in pairs {
            check_permitted(&mut sandbox, "/rawQueryString", &json!(query)).await;
            check_permitted(&mut sandbox, "/queryStringParameters", &json!({ query: query })).await;
            check_permitted(&mut sandbox, "/multiValueQueryStringParameters", &json!({ query: [query] })).await;
        }
        let long = "x".repeat(70_000);
        check_permitted(&mut sandbox, "/rawQueryString", &json!(long)).await;
        check_permitted(&mut sandbox, "/headers/host", &json!(long)).await;
        check_permitted(&mut sandbox, "/requestContext/stage", &json!(long)).await;
    }
}

#[tokio::test]
async fn the_last_segment_names_the_hook_whatever_is_before_it() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    let long = "x".repeat(70_000);
    let many = "/a".repeat(40_000);
    for before in [
        "",
        "/",
        "//",
        "/a b",
        "/\"a\"",
        "/caf\u{e9}",
        "/\u{1f600}",
        "/%20",
        "/%",
        "/%zz",
        "/a?b",
        "/a#b",
        "//[",
        "/]:[",
        "/<a>{b}|\\^`",
        "/\u{7f}",
        "/\n",
        "/..",
        "/.",
        "a",
        ":99999",
        "@",
        "[",
        "http://[",
        "/prod",
        "/$default",
        &long,
        &format!("/{long}"),
        &many,
    ] {
        let segments = [("OnCallEvent", 200), ("connect", 200), ("", 404), ("OnCallEvent ", 404), ("caf\u{e9}", 404)];
        for (segment, status) in segments.into_iter().chain([("%4fnCallEvent", 404), (long.as_str(), 404)]) {
            for event in permitted().path(&format!("{before}/{segment}")).both() {
                let answer = sandbox.invoke(&event).await.status;
                assert_eq!(answer, status, "{before:.40} then {segment:.40}");
            }
        }
    }
    for event in permitted().path("OnCallEvent").both() {
        assert_eq!(sandbox.invoke(&event).await.status, 200, "without a slash");
    }
    for path in ["/OnCallEvent?x=1", "/OnCallEvent#x", "/oncallevent", "/CONNECT", "\\OnCallEvent"] {
        for event in permitted().path(path).both() {
            assert_eq!(sandbox.invoke(&event).await.status, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn odd_headers_are_not_read() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    for name in ["", " ", "a b", "caf\u{e9}", "x:y", "x\n", "\u{1f600}", "(", &"x".repeat(70_000)] {
        check_permitted(&mut sandbox, "/headers", &json!({ name: "x" })).await;
        check_permitted(&mut sandbox, "/multiValueHeaders", &json!({ name: ["x"] })).await;
    }
    for value in ["caf\u{e9}", "\u{1f600}", "\n", "\u{7f}", "\0", "", &"x".repeat(70_000)] {
        check_permitted(&mut sandbox, "/headers/user-agent", &json!(value)).await;
        check_permitted(&mut sandbox, "/multiValueHeaders/user-agent", &json!([value, value])).await;
    }
    let many: serde_json::Map<_, _> = (0..40_000).map(|n| (format!("x-{n}"), json!("x"))).collect();
    check_permitted(&mut sandbox, "/headers", &Value::Object(many.clone())).await;
    check_permitted(&mut sandbox, "/multiValueHeaders", &Value::Object(many)).await;
}

#[tokio::test]
async fn a_null_member_counts_as_missing() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    for pointer in [
        "/resource",
        "/headers",
        "/headers/host",
        "/headers/Authorization",
        "/multiValueHeaders",
        "/multiValueHeaders/Host",
        "/queryStringParameters",
        "/multiValueQueryStringParameters",
        "/pathParameters",
        "/stageVariables",
        "/cookies",
        "/rawQueryString",
        "/routeKey",
        "/isBase64Encoded",
        "/requestContext/accountId",
        "/requestContext/apiId",
        "/requestContext/authorizer",
        "/requestContext/authentication",
        "/requestContext/domainName",
        "/requestContext/domainPrefix",
        "/requestContext/requestId",
        "/requestContext/requestTimeEpoch",
        "/requestContext/routeKey",
        "/requestContext/stage",
        "/requestContext/time",
        "/requestContext/timeEpoch",
        "/requestContext/path",
        "/requestContext/protocol",
        "/requestContext/httpMethod",
        "/requestContext/http/path",
        "/requestContext/http/protocol",
        "/requestContext/http/sourceIp",
        "/requestContext/http/userAgent",
        "/requestContext/identity/sourceIp",
        "/requestContext/identity/userAgent",
        "/requestContext/identity/user",
    ] {
        check_permitted(&mut sandbox, pointer, &Value::Null).await;
    }
    let [mut v1, v2] = permitted().both();
    for pointer in ["/requestContext", "/requestContext/identity"] {
        set(&mut v1, pointer, Value::Null);
        assert_eq!(sandbox.invoke(&v1).await.status, 200, "{pointer}");
    }
    for (pointer, status) in [("/rawPath", 404), ("/body", 400)] {
        let mut event = v2.clone();
        set(&mut event, pointer, Value::Null);
        assert_eq!(sandbox.invoke(&event).await.status, status, "{pointer}");
    }
}

/// Members that the handler reads, and that therefore may not have another type.
const READ: [&str; 12] = [
    "/version",
    "/httpMethod",
    "/path",
    "/rawPath",
    "/body",
    "/isBase64Encoded",
    "/requestContext",
    "/requestContext/http",
    "/requestContext/http/method",
    "/requestContext/http/sourceIp",
    "/requestContext/identity",
    "/requestContext/identity/sourceIp",
];

/// JSON of every type, with numbers and texts that parsers refuse.
const VALUES: [&str; 10] =
    ["null", "true", "7", "1e999", "-1.5", r#""""#, r#""x""#, r#""\ud800""#, "[[],{}]", r#"{"\ud800":[1e999]}"#];

/// A placeholder for a value until the event is text: some of the values are not written by any serializer.
const PLACE: &str = "@place@";

/// The pointers of all members of an event.
fn pointers(value: &Value, base: &str, found: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let pointer = format!("{base}/{name}");
        pointers(value, &pointer, found);
        found.push(pointer);
    }
}

/// The event with this JSON text for the members.
fn with_text(event: &Value, changes: &[(&str, &str)]) -> String {
    let mut changed = event.clone();
    for (n, (pointer, _)) in changes.iter().enumerate() {
        if let Some(place) = changed.pointer_mut(pointer) {
            *place = json!(format!("{PLACE}{n}"));
        }
    }
    let mut text = changed.to_string();
    for (n, (_, value)) in changes.iter().enumerate() {
        text = text.replace(&format!("\"{PLACE}{n}\""), value);
    }
    text
}

/// Sends a changed event. It must be answered, except where a member that is read was changed.
async fn check_changed(sandbox: &mut Sandbox, name: &str, event: &Value, changes: &[(&str, &str)], refused: bool) {
    let text = with_text(event, changes);
    match sandbox.invoke_raw(&text).await {
        Ok(answer) => {
            let status = answer["statusCode"].as_u64().unwrap();
            assert!([200, 400, 403, 404, 405].contains(&status), "{name}, {changes:?}: {answer}");
            assert!(!refused || status != 200, "{name}, {changes:?}: permitted");
        }
        Err(error) => {
            assert_eq!(error["errorType"], "NotFromApiGateway", "{name}, {changes:?}: {error}");
            assert!(changes.iter().any(|(pointer, _)| READ.contains(pointer)), "{name}, {changes:?}: {error}");
        }
    }
}

fn event_file(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every member of events of the corpus replaced by every kind of JSON, one at a time and two at a time.
#[tokio::test]
async fn any_member_may_be_anything() {
    let table = Table::with_samples().await;
    // With another path, the event would be that of another hook, and come back.
    let refuse = [("LOG_LEVEL", "error"), ("OTHER_HOOKS", "refuse")];
    let mut open = Sandbox::start(&table.endpoint, &refuse).await;
    let secret = [("LOG_LEVEL", "error"), ("WCS_HOOK_SECRET", "s")];
    let mut signed = Sandbox::start(&table.endpoint, &secret).await;
    for (name, is_refused) in [
        ("all-optional-fields-permitted", false),
        ("video-refused", true),
        ("payload-1.0-base64-permitted", false),
        ("payload-1.0-refused", true),
    ] {
        let mut event = event_file(name);
        for pointer in ["/headers/authorization", "/headers/cookie", "/requestContext/authorizer", "/cookies"] {
            set(&mut event, pointer, json!("WCS 00"));
        }
        if event["version"] != "2.0" {
            set(&mut event, "/multiValueHeaders/Authorization", json!(["WCS 00"]));
        }
        let mut members = Vec::new();
        pointers(&event, "", &mut members);
        assert!(members.len() > 20, "{members:?}");
        for (n, member) in members.iter().enumerate() {
            for (m, value) in VALUES.iter().enumerate() {
                let changes = [(member.as_str(), *value)];
                check_changed(&mut open, name, &event, &changes, is_refused).await;
                if !is_refused {
                    check_changed(&mut signed, name, &event, &changes, true).await;
                }
                // Another member, and another kind of JSON for it.
                let other = &members[(n * 7 + m * 3 + 1) % members.len()];
                let changes = [(member.as_str(), *value), (other.as_str(), VALUES[(n + m) % VALUES.len()])];
                check_changed(&mut open, name, &event, &changes, is_refused).await;
            }
        }
    }
    let event = permitted().v2();
    assert_eq!(open.invoke(&event).await.status, 200, "it is alive");
    open.stop().await;
    signed.stop().await;
}

#[tokio::test]
async fn any_depth_and_any_key_is_ignored() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let odd = r#"{"\ud800":1,"\ud800":2,"":{},"x":1e999,"x":"\udc00"}"#;
    for mut event in permitted().both() {
        for pointer in
            ["/x", "/headers/x", "/requestContext/x", "/requestContext/authorizer", "/stageVariables", "/cookies"]
        {
            set(&mut event, pointer, json!(PLACE));
            for value in [deep.as_str(), odd] {
                let text = with_text(&event, &[(pointer, value)]);
                let answer = sandbox.invoke_raw(&text).await.unwrap();
                assert_eq!(answer["statusCode"], 200, "{pointer}");
            }
        }
    }
}

/// No value is chosen where there are two: one that was checked must not hide another.
#[tokio::test]
async fn a_member_that_is_read_must_not_appear_twice() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    for event in permitted().both() {
        let text = event.to_string();
        for name in ["body", "isBase64Encoded", "requestContext", "rawPath", "path", "httpMethod", "sourceIp", "method"]
        {
            let member = format!("\"{name}\":");
            if text.contains(&member) {
                let twice = text.replacen(&member, &format!("\"{name}\":null,{member}"), 1);
                if name == "path" && event["version"] == "2.0" {
                    continue; // Only payload 1.0 has its path there.
                }
                let error = sandbox.invoke_raw(&twice).await.unwrap_err();
                assert_eq!(error["errorType"], "NotFromApiGateway", "{name}");
                let expected = format!("the event is not a request from API Gateway: `{name}` appears twice");
                assert_eq!(error["errorMessage"], expected);
            }
        }
    }
}

#[tokio::test]
async fn an_authorization_never_hides_another() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("WCS_HOOK_SECRET", "s")]).await;
    let right = callgate::authentication::Secret::new("s").authorization(BODY.as_bytes());
    let right = json!(right).to_string();
    let forged = r#""WCS 00""#;
    let [v1, v2] = permitted().both();
    let mut only_headers = v1.clone();
    only_headers["multiValueHeaders"] = Value::Null;
    for (headers, status) in [
        (format!(r#"{{"Authorization":{right}}}"#), 200),
        (format!(r#"{{"\u0061uthorization":{right},"odd name":7}}"#), 200),
        (format!(r#"{{"authorization":{right},"x":null}}"#), 200),
        (format!(r#"{{"authorization":{right},"Authorization":{forged}}}"#), 403),
        (format!(r#"{{"authorization":{forged},"Authorization":{right}}}"#), 403),
        (format!(r#"{{"Authorization":{forged},"Authorization":{right}}}"#), 403),
        (format!(r#"{{"Authorization":{right},"Authorization":{right}}}"#), 403),
        (format!(r#"{{"Authorization":{forged},"\u0041uthorization":{right}}}"#), 403),
        (format!(r#"{{"Authorization":"\n","authorization":{right}}}"#), 403),
        (format!(r#"{{"Authorization":"\ud800","authorization":{right}}}"#), 403),
        (format!(r#"{{"Authorization":7,"authorization":{right}}}"#), 403),
        (r#"{"Authorization":"\n"}"#.to_owned(), 403),
        (r#"{"Authorization":null}"#.to_owned(), 403),
        (r#"{"Authorization":{}}"#.to_owned(), 403),
        (format!(r#"{{"Authorization":[{right}]}}"#), 200),
        (format!(r#"{{"Authorization":[{right},{right}]}}"#), 403),
    ] {
        for event in [&only_headers, &v2] {
            let text = with_text(event, &[("/headers", &headers)]);
            assert_eq!(sandbox.invoke_raw(&text).await.unwrap()["statusCode"], status, "{headers}");
        }
        // Payload 1.0 lists all values in `multiValueHeaders`, and the last in `headers`, which then do not count.
        for last in [&right, forged] {
            let last = format!(r#"{{"Authorization":{last}}}"#);
            let text = with_text(&v1, &[("/multiValueHeaders", &headers), ("/headers", &last)]);
            // Where the list has none, the other counts.
            let has_none = headers == r#"{"Authorization":null}"#;
            let status = if has_none && last.contains(&right) { 200 } else { status };
            assert_eq!(sandbox.invoke_raw(&text).await.unwrap()["statusCode"], status, "{headers} and {last}");
        }
    }
}
