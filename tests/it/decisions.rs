//! Items in, decisions out: the table as another program would write it, read by the built function.

use std::time::SystemTime;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::dynamodb::Table;
use crate::gateway::{call, call_in, on_call};
use crate::lambda::Sandbox;

const APP: &str = "APP#defaultApp";

/// A party's item with these attributes besides its key.
fn party(id: &str, attributes: Value) -> Value {
    item(&format!("PARTY#defaultApp#{id}"), "PARTY", attributes)
}

fn pair(caller: &str, callee: &str, attributes: Value) -> Value {
    item(&format!("PARTY#defaultApp#{callee}"), &format!("CALLER#{caller}"), attributes)
}

fn item(pk: &str, sk: &str, mut attributes: Value) -> Value {
    attributes["pk"] = json!({ "S": pk });
    attributes["sk"] = json!({ "S": sk });
    attributes
}

fn allow() -> Value {
    json!({ "effect": { "S": "allow" } })
}

/// A list with one rule.
fn list(pattern: &str, rule: &Value) -> Value {
    json!({ "M": { pattern: { "M": rule } } })
}

/// The answer to a call from PPP009 to PPP005, as `200 allow pair_rule`, and its log line.
async fn decided(items: &[Value]) -> (String, Value) {
    let table = Table::of(items).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("WCS_HOOK_SECRET", "")]).await;
    sandbox.log().await;
    let status = sandbox.invoke(&call("PPP009", "PPP005")).await.status;
    let line = sandbox.log().await;
    (format!("{status} {} {}", line["decision"].as_str().unwrap(), line["reason"].as_str().unwrap()), line)
}

#[track_caller]
fn check(items: &[Value], expected: &str) -> impl Future<Output = ()> {
    let items = items.to_vec();
    let place = std::panic::Location::caller();
    let expected = expected.to_owned();
    async move { assert_eq!(decided(&items).await.0, expected, "{place}") }
}

#[tokio::test]
async fn each_kind_of_item_decides() {
    check(&[], "403 deny no_rule").await;
    check(&[pair("PPP009", "PPP005", allow())], "200 allow pair_rule").await;
    check(&[pair("PPP005", "PPP009", allow())], "403 deny no_rule").await;
    check(&[party("PPP005", json!({ "incoming": list("PPP*", &allow()) }))], "200 allow callee_rule").await;
    check(&[party("PPP009", json!({ "outgoing": list("*", &allow()) }))], "200 allow caller_rule").await;
    check(&[item(APP, "APP", json!({ "callers": list("*", &allow()) }))], "200 allow app_rule").await;
    let suspended = json!({ "status": { "S": "suspended" } });
    check(&[item(APP, "APP", suspended.clone()), pair("PPP009", "PPP005", allow())], "403 deny app_suspended").await;
    check(&[party("PPP005", suspended.clone()), pair("PPP009", "PPP005", allow())], "403 deny callee_suspended").await;
    check(&[party("PPP009", suspended), pair("PPP009", "PPP005", allow())], "403 deny caller_suspended").await;
}

#[tokio::test]
async fn conditions_and_unknown_attributes_are_read_as_the_contract_says() {
    let with = |name: &str, value: Value| {
        let mut rule = allow();
        rule[name] = value;
        pair("PPP009", "PPP005", rule)
    };
    check(&[with("expires_at", json!({ "N": "4102444800" }))], "200 allow pair_rule").await;
    check(&[with("expires_at", json!({ "N": "1" }))], "403 deny no_rule").await;
    check(&[with("media", json!({ "SS": ["audio", "video"] }))], "200 allow pair_rule").await;
    check(&[with("media", json!({ "SS": ["video"] }))], "403 deny no_rule").await;
    let documented = json!({ "effect": { "S": "allow" }, "note": { "S": "n" }, "updated_at": { "N": "1" }, "updated_by": { "S": "u" } });
    check(&[pair("PPP009", "PPP005", documented)], "200 allow pair_rule").await;
    check(&[with("updated_at", json!({ "N": "1764000000.5" }))], "200 allow pair_rule").await;
    let windows = |windows: &[&str]| json!({ "L": windows.iter().map(|it| json!({ "S": it })).collect::<Vec<_>>() });
    check(&[with("hours", windows(&["Mon-Sun 00:00-24:00 Asia/Tokyo"]))], "200 allow pair_rule").await;
    let expired = json!({ "incoming": list("*", &allow()), "expires_at": { "N": "1" } });
    check(&[party("PPP005", expired)], "403 deny no_rule").await;
    // Of an app or a party, unknown attributes are ignored; a rule may depend on them.
    let extra = json!({ "incoming": list("*", &allow()), "shoe_size": { "N": "43" }, "status": { "S": "active" } });
    check(&[party("PPP005", extra)], "200 allow callee_rule").await;
    check(&[with("until", json!({ "S": "tomorrow" }))], "403 deny invalid_record").await;
    check(&[with("hours", windows(&[]))], "403 deny invalid_record").await;
    check(&[with("hours", windows(&["Mon-Sun 00:00-24:00 Mars/Olympus"]))], "403 deny invalid_record").await;
}

#[tokio::test]
async fn destinations_groups_blocks_and_disabled_rules_decide() {
    let deny = json!({ "effect": { "S": "deny" } });
    let app =
        |destinations: Value| item(APP, "APP", json!({ "callers": list("*", &allow()), "destinations": destinations }));
    check(&[app(list("PPP00*", &deny))], "403 deny destination_rule").await;
    check(&[app(list("PPP01*", &deny))], "200 allow app_rule").await;
    check(&[app(list("PPP*", &allow()))], "200 allow destination_rule").await;
    let sales = |id: &str| party(id, json!({ "groups": { "SS": ["sales", "staff"] } }));
    check(&[app(list("@sales", &deny)), sales("PPP005")], "403 deny destination_rule").await;
    check(&[app(list("@sales", &deny)), sales("PPP009")], "200 allow app_rule").await;
    let callee = party("PPP005", json!({ "incoming": list("@staff", &allow()) }));
    check(&[callee.clone(), sales("PPP009")], "200 allow callee_rule").await;
    check(&[callee], "403 deny no_rule").await;
    check(&[party("PPP009", json!({ "groups": { "SS": ["Sales"] } }))], "403 deny invalid_record").await;
    check(&[party("PPP009", json!({ "groups": { "S": "sales" } }))], "403 deny invalid_record").await;

    let open = pair("PPP009", "PPP005", allow());
    let blocked = |id: &str, block: Value| party(id, json!({ "blocked": { "M": block } }));
    check(&[open.clone(), blocked("PPP009", json!({}))], "403 deny caller_blocked").await;
    check(&[open.clone(), blocked("PPP005", json!({}))], "200 allow pair_rule").await;
    let full = json!({ "expires_at": { "N": "4102444800" }, "list": { "S": "spam" }, "note": { "S": "n" },
        "updated_at": { "N": "1764000000.5" }, "updated_by": { "S": "u" } });
    check(&[open.clone(), blocked("PPP009", full)], "403 deny caller_blocked").await;
    check(&[open.clone(), blocked("PPP009", json!({ "expires_at": { "N": "1" } }))], "200 allow pair_rule").await;
    check(&[open.clone(), blocked("PPP009", json!({ "until": { "S": "x" } }))], "403 deny invalid_record").await;
    check(&[open, party("PPP009", json!({ "blocked": { "BOOL": true } }))], "403 deny invalid_record").await;

    let disabled = |value: Value| {
        pair("PPP009", "PPP005", json!({ "effect": { "S": "allow" }, "disabled": value, "list": { "S": "spam" } }))
    };
    check(&[disabled(json!({ "BOOL": true }))], "403 deny no_rule").await;
    check(&[disabled(json!({ "BOOL": false }))], "200 allow pair_rule").await;
    check(&[disabled(json!({ "S": "true" }))], "403 deny invalid_record").await;
}

#[tokio::test]
async fn the_time_of_the_call_is_now() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let until = |at: u64| {
        pair("PPP009", "PPP005", json!({ "effect": { "S": "allow" }, "expires_at": { "N": at.to_string() } }))
    };
    check(&[until(now + 120)], "200 allow pair_rule").await;
    check(&[until(now - 1)], "403 deny no_rule").await;
}

#[tokio::test]
async fn a_password_in_a_uri_is_not_a_party_and_is_not_logged() {
    let open = item(APP, "APP", json!({ "callers": list("*", &allow()) }));
    let table = Table::of(&[open, pair("PPP009", "PPP005", json!({ "effect": { "S": "deny" } }))]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    sandbox.log().await;
    assert_eq!(sandbox.invoke(&call("sip:PPP009:planted@pbx.example.com", "PPP005")).await.status, 403);
    assert!(!sandbox.log().await.to_string().contains("planted"));
}

#[tokio::test]
async fn a_call_needs_a_callee() {
    let open = item(APP, "APP", json!({ "callers": list("*", &allow()) }));
    let table = Table::of(&[open]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    for (callee, status) in [("sip:@pbx", 400), ("<>", 400), ("sip:%20@h", 400), ("anonymous", 200)] {
        assert_eq!(sandbox.invoke(&call("PPP009", callee)).await.status, status, "{callee}");
    }
}

#[tokio::test]
async fn what_cannot_be_understood_refuses_the_call_and_is_named() {
    let open = pair("PPP009", "PPP005", allow());
    let rule_of = |rule: Value| party("PPP005", json!({ "incoming": { "M": { "PPP*": rule } } }));
    let text = |value: &str| json!({ "S": value });
    for (broken, error) in [
        (
            rule_of(json!({ "M": {} })),
            "party `PPP005` of app `defaultApp`, rule `PPP*` of `incoming`: `effect` is missing",
        ),
        (
            rule_of(json!({ "M": { "effect": text("alow") } })),
            "party `PPP005` of app `defaultApp`, rule `PPP*` of `incoming`: `effect` is `alow`, not `allow` or `deny`",
        ),
        (
            rule_of(json!({ "S": "allow" })),
            "party `PPP005` of app `defaultApp`, rule `PPP*` of `incoming`: it is a string, not a map",
        ),
        (
            rule_of(json!({ "M": { "effect": { "BOOL": true } } })),
            "party `PPP005` of app `defaultApp`, rule `PPP*` of `incoming`: `effect` is a boolean, not a string",
        ),
        (
            rule_of(json!({ "M": { "effect": text("allow"), "expires_at": { "N": "1.5" } } })),
            "party `PPP005` of app `defaultApp`, rule `PPP*` of `incoming`: `expires_at` is `1.5`, not whole seconds since 1970",
        ),
        (
            rule_of(json!({ "M": { "effect": text("allow"), "media": { "SS": ["audio", "smell"] } } })),
            "party `PPP005` of app `defaultApp`, rule `PPP*` of `incoming`: `media` holds `smell`, not `audio` or `video`",
        ),
        (
            party("PPP005", json!({ "incoming": text("*") })),
            "party `PPP005` of app `defaultApp`: `incoming` is a string, not a map",
        ),
        (
            party("PPP009", json!({ "status": text("paused") })),
            "party `PPP009` of app `defaultApp`: `status` is `paused`, not `active` or `suspended`",
        ),
        (
            item(
                APP,
                "APP",
                json!({ "callers": { "M": { "*": { "M": { "effect": text("deny"), "if": text("x") } } } } }),
            ),
            "app `defaultApp`, rule `*` of `callers`: `if` is not an attribute of a rule",
        ),
    ] {
        let (answer, line) = decided(&[open.clone(), broken]).await;
        assert_eq!((answer.as_str(), line["level"].as_str()), ("403 deny invalid_record", Some("error")), "{error}");
        assert_eq!(line["error"], error);
    }
    let (answer, line) = decided(&[pair("PPP009", "PPP005", json!({}))]).await;
    assert_eq!(answer, "403 deny invalid_record");
    assert_eq!(line["error"], "rule from `PPP009` to `PPP005` of app `defaultApp`: `effect` is missing");
    // About others, it does no harm.
    let others = party("PPP005", json!({ "incoming": { "M": { "QQQ*": { "S": "?" } } } }));
    check(&[open, others], "200 allow pair_rule").await;
}

#[tokio::test]
async fn no_app_can_address_the_items_of_another() {
    let table = Table::of(&[
        item("PARTY#a%23b#c", "CALLER#x", allow()),
        item("PARTY#a#b#c", "CALLER#y", allow()),
        item("PARTY#50%25#c", "CALLER#x", allow()),
    ])
    .await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    for (app, caller, callee, status) in [
        ("a#b", "x", "c", 200),
        ("a", "y", "b#c", 200),
        ("a#b", "y", "c", 403),
        ("a", "x", "b#c", 403),
        ("50%", "x", "c", 200),
        ("50%25", "x", "c", 403),
    ] {
        assert_eq!(sandbox.invoke(&call_in(app, caller, callee)).await.status, status, "{app}: {caller} to {callee}");
    }
}

#[tokio::test]
async fn the_region_completes_the_numbers_of_both_parties() {
    let rule = item("PARTY#defaultApp#+74951234567", "CALLER#+15551234567", allow());
    let table = Table::of(&[rule]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("PHONE_REGION", "RU")]).await;
    assert_eq!(sandbox.invoke(&call("810 1 555 123-45-67", "8 (495) 123-45-67")).await.status, 200);
}

#[tokio::test]
async fn any_object_comes_back_byte_for_byte() {
    let table = Table::of(&[item("APP#a", "APP", json!({ "callers": list("*", &allow()) }))]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    let member = "(?s)[ \t\r\n]{0,2}\"x[a-zA-Z]{0,5}\"[ \t\r\n]{0,2}:[ \t\r\n]{0,2}(-?[1-9][0-9]{0,40}(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?|true|null|\"([ -!#-\\[\\]-~]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|[\u{a1}-\u{1f6ff}&&\\PC])*\"|\\[ \\]|\\{\"caller\":1\\})[ \t\r\n]{0,2}";
    let members = proptest::collection::vec(member, 0..6);
    let mut runner = TestRunner::deterministic();
    for n in 0..300 {
        let members = members.new_tree(&mut runner).unwrap().current();
        let question = r#" "callee" : "c","appKey":"\u0061" "#.to_owned();
        let body = format!("\n{{{}}} ", members.into_iter().chain([question]).collect::<Vec<_>>().join(","));
        let request = on_call(body.clone());
        let event = [request.v1(), request.v2(), request.clone().base64().v1(), request.base64().v2()][n % 4].clone();
        let reply = sandbox.invoke(&event).await;
        assert_eq!((reply.status, reply.body.as_deref()), (200, Some(body.as_str())));
    }
}

#[tokio::test]
async fn limits_hold_to_the_byte() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    let of_length = |length: usize| {
        let body = r#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP005"}"#;
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    for (length, status) in [(256 * 1024, 200), (256 * 1024 + 1, 413)] {
        let request = on_call(of_length(length));
        for event in [request.v1(), request.v2(), request.clone().base64().v1(), request.clone().base64().v2()] {
            assert_eq!(sandbox.invoke(&event).await.status, status, "{length}");
        }
    }
    let mut broken = on_call("{}").base64().v2();
    broken["body"] = json!("not base64!");
    let reply = sandbox.invoke(&broken).await;
    assert_eq!((reply.status, reply.body.as_deref()), (400, Some(r#"{"error":"the body is not base64"}"#)));
}

#[tokio::test]
async fn an_event_of_something_else_is_reported_and_does_no_harm() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    sandbox.log().await;
    for event in ["null", "7", "\"planted\"", "{}", r#"{"version":2}"#, r#"{"Permissions":[]}"#, r#"{"version":"2.0"}"#]
    {
        let error = sandbox.invoke_raw(event).await.unwrap_err();
        let message = error["errorMessage"].as_str().unwrap().to_owned();
        assert!(message.starts_with("the event is not a request from API Gateway: "), "{event}: {message}");
        assert!(!message.contains("planted") && error["errorType"] == "NotFromApiGateway", "{error}");
        assert_eq!(sandbox.log().await["message"], message);
    }
    // A Host header that is not a host, and a path that is not a URL's.
    let odd = on_call(r#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP005"}"#)
        .header("Host", "]:[ ")
        .header("X-Forwarded-Proto", "%%")
        .path("//[/\u{7f}?\"/OnCallEvent");
    for mut event in odd.both() {
        assert_eq!(sandbox.invoke(&event).await.status, 200);
        event["isBase64Encoded"] = Value::Null;
        event["headers"]["Authorization"] = Value::Null;
        assert_eq!(sandbox.invoke(&event).await.status, 200);
    }
}
