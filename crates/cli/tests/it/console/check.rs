//! The page that decides a call and draws its doors.

use serde_json::json;

use super::{Console, encode};
use crate::support::TestServer;

fn check(console: &Console, fields: &[(&str, &str)]) -> super::Answer {
    console.get(&format!("/check?{}", encode(fields)))
}

#[test]
fn the_doors_show_which_rule_decides_and_why_each_other_does_not() {
    let server = TestServer::with_table();
    for rule in [
        "allow --app shop --from PPP009 --to 'PPP*'",
        "deny --app shop --from PPP00* --to PPP005",
        "allow --app shop --from '*' --to PPP005 --yes",
        "allow --app shop --from '+7*' --to PPP005 --yes",
        "deny --app shop --from '+881*' --to '*'",
    ] {
        server.run(rule).succeeds();
    }
    let console = Console::over(&server, &[]);
    check(&console, &[]).shows("Nothing is checked yet");
    let page = check(&console, &[("app", "shop"), ("from", "PPP009"), ("to", "PPP005")])
        .shows("refused PPP009 to PPP005")
        .shows("Reason: callee_rule")
        .shows("Who may call anyone in app shop")
        .shows("+881* deny: does not match")
        .shows("Whom PPP009 may call")
        .shows("PPP* allow: decides")
        .shows("PPP00* deny: decides")
        .shows("* allow: applies, but `PPP00*` is more specific")
        .shows("+7* allow: does not match")
        .shows("The call is refused: the rule `PPP00*` at door callee denies the call.")
        .shows("callgatectl allow --app shop --from PPP009 --to PPP005");
    assert_eq!(page.body.matches("class=\"rule deciding\"").count(), 2, "{}", page.body);
    for (class, doors) in [("door none", 2), ("door allow", 1), ("door deny", 1), ("outcome deny", 1)] {
        assert_eq!(page.body.matches(&format!("<li class=\"{class}\"")).count(), doors, "{class}");
    }
    let json = server.json("check --app shop --from PPP009 --to PPP005");
    assert_eq!((&json["reason"], &json["decision"]), (&json!("callee_rule"), &json!("deny")));

    let written = console.submit(&page, ("/calls/answer", "allow PPP009 to PPP005"), &[]);
    written
        .is(200)
        .shows("Written: allow PPP009 to PPP005")
        .shows("permitted PPP009 to PPP005")
        .shows("What would refuse it");
}

#[test]
fn the_time_and_the_media_of_the_call_count() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005 --media audio --hours 'Mon-Fri 09:00-18:00 UTC'").succeeds();
    let console = Console::over(&server, &["--app", "shop"]);
    let at = |time, video| {
        let fields = [("from", "PPP009"), ("to", "PPP005"), ("at", time), ("video", video)];
        check(&console, &fields).does_not_show("Writes:")
    };
    at("2026-11-26T12:00:00Z", "").shows("permitted PPP009").shows("2026-11-26 12:00 UTC");
    at("2026-11-28T12:00:00Z", "").shows("refused PPP009").shows("the call is outside Mon-Fri 09:00-18:00 UTC");
    at("2026-11-26T12:00:00Z", "yes").shows("refused PPP009").shows("is for audio only").shows("--no-media");
    at("soon", "").shows("`soon`").does_not_show("Reason:");
}

#[test]
fn what_is_typed_is_taken_as_the_hook_takes_it() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from anonymous --to '*'").succeeds();
    let console = Console::over(&server, &[]);
    let of = |from, to, more: &[(&str, &str)]| {
        check(&console, &[&[("app", "shop"), ("from", from), ("to", to)], more].concat())
    };
    of("", "PPP005", &[]).shows("refused anonymous to PPP005").shows("Reason: caller_rule").shows("* deny: decides");
    of("\"Bob\" <sip:+1 (555) 010-0123@example.com>", "PPP005", &[])
        .shows("refused +15550100123 to PPP005")
        .shows("\"Bob\" <sip:+1 (555) 010-0123@example.com> is +15550100123");
    of("PPP*", "PPP005", &[]).shows("`PPP*` is a pattern, not one party").does_not_show("Reason:");
    of("PPP*", "PPP005", &[("exactly", "yes")]).shows("refused PPP* to PPP005");
    of("@sales", "PPP005", &[]).shows("is a group, not one party");
    of("PPP009", "", &[]).shows("Name the callee");
    // There is only one app.
    check(&console, &[("to", "PPP005")]).shows("In app shop");
    server.run("deny --app store --from a --to b").succeeds();
    let console = Console::over(&server, &[]);
    check(&console, &[("to", "PPP005")]).is(400).shows("Name the app");
}

#[test]
fn an_invalid_item_is_named() {
    let server = TestServer::with_table();
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "PARTY"}, "incoming": {"S": "<b>x</b>"}}));
    let console = Console::over(&server, &[]);
    check(&console, &[("app", "shop"), ("from", "PPP009"), ("to", "PPP005")])
        .shows("Reason: invalid_record")
        .shows("the callee's item is invalid")
        .shows("No rule can change the answer")
        .shows("callgatectl show --app shop PPP005");
}

#[test]
fn markup_and_hidden_characters_are_shown_as_they_are() {
    let server = TestServer::with_table();
    let id = "<script>alert(1)</script>";
    let rule = json!({"M": {"effect": {"S": "allow"}, "note": {"S": "<img src=x>\u{202e}txt"}}});
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"PPP*": rule}}}));
    let console = Console::over(&server, &[]);
    let page = check(&console, &[("app", "shop"), ("from", "PPP009"), ("to", "PPP005")]);
    let page = page.shows("decides (<img src=x>\\u{202e}txt)");
    assert!(!page.body.contains("<img src=x>") && !page.body.contains('\u{202e}'), "{}", page.body);
    let page = check(&console, &[("app", "shop"), ("from", id), ("to", "PPP005")]).shows(id);
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
}
