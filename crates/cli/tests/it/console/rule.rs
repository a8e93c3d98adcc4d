//! `/rules/edit`: a new rule, and changes of a stored one that see those of others.

use serde_json::json;

use super::{Answer, Console, encode};
use crate::support::TestServer;

const EDIT: &str = "/rules/edit";

fn edit(console: &Console, from: &str, to: &str, door: &str) -> Answer {
    let fields = [("app", "shop"), ("from", from), ("to", to), ("door", door)];
    console.get(&format!("{EDIT}?{}", encode(&fields))).is(200)
}

#[test]
fn a_new_rule_is_written_as_the_command_writes_it() {
    let server = TestServer::with_table();
    let console = Console::over(&server, &[]);
    let form = console.get(EDIT).is(200).shows("New rule");
    let fields = [
        ("app", "shop"),
        ("from", "+7 (495) *"),
        ("to", "PPP005"),
        ("effect", "allow"),
        ("audio", "yes"),
        ("hours", "Mon-Fri 09:00-18:00 UTC\r\nSat 10:00-12:00 UTC"),
        ("until", "2099-01-01"),
        ("list", "crm"),
        ("note", "<i>office</i>"),
    ];
    let done = console.submit(&form, (EDIT, "Write"), &fields);
    done.shows("Written: allow +7495* to PPP005, audio only").shows("(<i>office</i>)");
    let expected = TestServer::with_table();
    let options =
        "--media audio --hours 'Mon-Fri 09:00-18:00 UTC' --hours 'Sat 10:00-12:00 UTC' --until 2099-01-01 --list crm";
    expected
        .run(&format!("allow --app shop --from '+7495*' --to PPP005 {options} --note '<i>office</i>' --yes"))
        .succeeds();
    assert_eq!(server.items(), expected.items());
}

/// An app for which nothing is stored may be mistyped.
#[test]
fn an_unknown_app_has_to_be_confirmed() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    let console = Console::over(&server, &[]);
    let form = console.get(EDIT);
    let fields = [("app", "shpo"), ("from", "a"), ("to", "b"), ("effect", "allow"), ("note", "kept")];
    let send = |more| console.send_form(&form, (EDIT, ""), &[&fields[..], more].concat());
    let answer = send(&[]).is(400).shows("Nothing is stored for app `shpo`").shows("similar: shop");
    assert!(answer.body.contains("value=\"kept\""), "{}", answer.body);
    send(&[("new-app", "shop")]).is(400);
    assert_eq!(server.items().len(), 1);
    send(&[("new-app", "shpo")]).is(303);
    assert_eq!(server.items().len(), 2);
}

#[test]
fn what_cannot_be_written_is_explained_and_the_fields_stay() {
    let server = TestServer::with_table();
    let console = Console::over(&server, &[]);
    let form = console.get(EDIT);
    for (from, to, more, expected) in [
        ("", "b", ("note", "kept"), "the caller, or a pattern"),
        ("a", "", ("note", "kept"), "the callee, or a pattern"),
        ("a*", "b*", ("note", "kept"), "two patterns"),
        ("a*c", "b", ("note", "kept"), "a*c"),
        ("1.5550100123E+10", "b", ("note", "kept"), "1.5550100123E+10"),
        ("a", "b", ("until", "yesterday"), "yesterday"),
        ("a", "b", ("until", "1h ago"), "not in the future"),
        ("a", "b", ("hours", "Mon 9-18"), "Mon 9-18"),
    ] {
        let fields = [("app", "shop"), ("from", from), ("to", to), ("effect", "deny"), more];
        let answer = console.send_form(&form, (EDIT, ""), &fields).is(400);
        assert!(answer.text().to_lowercase().contains(&expected.to_lowercase()), "{expected}: {}", answer.text());
        assert!(answer.body.contains(&format!("value=\"{}\"", more.1)) || answer.text().contains(more.1));
    }
    let block = [("app", "shop"), ("from", "PPP*"), ("effect", "block")];
    console.send_form(&form, (EDIT, ""), &block).is(400).shows("not one party");
    assert_eq!(server.items(), Vec::<serde_json::Value>::new());
    // What looks like a mistake can be insisted on.
    let exactly = [("app", "shop"), ("from", "1.5550100123E+10"), ("to", "b"), ("effect", "deny"), ("exactly", "yes")];
    console.send_form(&form, (EDIT, ""), &exactly).is(303);
    assert_eq!(server.items().len(), 1);
}

#[test]
fn a_preview_writes_nothing_and_shows_the_notices() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005").succeeds();
    let console = Console::over(&server, &[]);
    let before = server.stored();
    let fields = encode(&[("app", "shop"), ("from", "*"), ("to", "PPP005"), ("effect", "deny"), ("new", "yes")]);
    console
        .get(&format!("{EDIT}?{fields}"))
        .is(200)
        .shows("This would be written: deny * to PPP005")
        .shows("1 more specific rule at this door still allows calls");
    let fields = encode(&[("app", "shop"), ("from", "PPP009"), ("to", "PPP005"), ("effect", "deny"), ("new", "yes")]);
    console.get(&format!("{EDIT}?{fields}")).is(200).shows("It replaces: allow PPP009 to PPP005");
    let fields = encode(&[("app", "shop"), ("from", "x"), ("to", "y"), ("effect", "deny"), ("new", "yes")]);
    console.get(&format!("{EDIT}?{fields}")).is(200).shows("no effect at present");
    assert_eq!(server.stored(), before);
}

#[test]
fn a_stored_rule_is_edited_switched_and_deleted() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005 --media audio --list crm --note 'old note'").succeeds();
    let console = Console::over(&server, &[]);
    let page = edit(&console, "PPP009", "PPP005", "").shows("Edit the rule from PPP009 to PPP005").shows("Stored now");
    assert!(page.body.contains("value=\"old note\"") && page.body.contains("value=\"crm\""), "{}", page.body);
    // The note and the media are removed, the list stays.
    let done = console.submit(&page, (EDIT, "Write over"), &[("effect", "deny"), ("list", "crm"), ("until", "30d")]);
    done.shows("Written: deny PPP009 to PPP005, until");
    let item = server.items().remove(0);
    assert!(item["note"].is_null() && item["media"].is_null(), "{item}");
    assert_eq!((&item["effect"]["S"], &item["list"]["S"]), (&json!("deny"), &json!("crm")));
    let page = edit(&console, "PPP009", "PPP005", "");
    console.submit(&page, ("/rules/apply", "Disable"), &[("action", "disable")]).shows("Written: 1 change.");
    edit(&console, "PPP009", "PPP005", "").shows("disabled").shows("Enable");
    let page = edit(&console, "PPP009", "PPP005", "");
    let done = console.submit(&page, ("/rules/apply", "Revoke"), &[("action", "revoke")]);
    assert_eq!(server.items().len(), 0);
    console.submit(&done, ("/undo", "Undo"), &[]);
    assert_eq!(server.items().len(), 1);
    edit(&console, "PPP009", "PPP999", "").shows("New rule").shows("This rule is no longer stored");
}

#[test]
fn a_block_and_a_rule_of_another_door_have_their_own_forms() {
    let server = TestServer::with_table();
    server.run("block --app shop PPP030 --note rude").succeeds();
    server.run("allow --app shop --from PPP009 --to '*' --door app --yes").succeeds();
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"},
        "incoming": {"M": {"a": {"M": {"effect": {"S": "deny"}}}}}}));
    let console = Console::over(&server, &[]);
    let page = edit(&console, "PPP030", "*", "block").shows("Edit the block of PPP030");
    assert!(page.body.contains("value=\"rude\"") && !page.body.contains("name=\"hours\""), "{}", page.body);
    let done =
        console.submit(&page, (EDIT, "Write over"), &[("effect", "block"), ("note", "very rude"), ("until", "1d")]);
    done.shows("very rude");
    let page = edit(&console, "PPP009", "*", "app").shows("Edit the rule from PPP009 to *");
    console.submit(&page, (EDIT, "Write over"), &[("effect", "deny")]).shows("Written: deny PPP009 to *");
    let app = server.items().into_iter().find(|it| it["sk"]["S"] == "APP").unwrap();
    assert_eq!(app["callers"]["M"]["PPP009"]["M"]["effect"]["S"], "deny");
    // No form can write such an entry, but it can be deleted.
    let page = edit(&console, "a", "b", "callee").shows("can only be disabled, enabled or revoked");
    console.submit(&page, ("/rules/apply", "Revoke"), &[("action", "revoke")]).shows("Written: 1 change.");
    assert!(server.items().iter().all(|it| it["pk"]["S"] != "PARTY#shop#b"));
}

#[test]
fn a_rule_that_another_person_changed_is_shown_and_not_overwritten() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from PPP009 --to PPP005 --note first").succeeds();
    let console = Console::over(&server, &[]);
    let page = edit(&console, "PPP009", "PPP005", "");
    server.run("deny --app shop --from PPP009 --to PPP005 --note second --yes").succeeds();
    let mine = [("effect", "allow"), ("note", "mine"), ("until", "30d")];
    let answer = console.send_form(&page, (EDIT, "Write over"), &mine).is(409);
    let text = answer.text();
    for version in ["first", "second", "mine"] {
        assert!(text.contains(&format!("({version})")), "{version}: {text}");
    }
    assert_eq!(server.items()[0]["note"]["S"], "second");
    // What was typed is still there, and can be written all the same.
    assert!(answer.body.contains("value=\"mine\"") && answer.body.contains("value=\"30d\""), "{}", answer.body);
    console.submit(&answer, (EDIT, "Write over"), &mine).shows("Written: allow PPP009 to PPP005");
    assert_eq!(server.items()[0]["note"]["S"], "mine");
    // A new rule does not overwrite one that it did not show.
    let form = console.get(EDIT);
    let new = [("app", "shop"), ("from", "PPP009"), ("to", "PPP005"), ("effect", "deny")];
    console.send_form(&form, (EDIT, ""), &new).is(409).shows("Stored now");
    // One that was deleted meanwhile is not written again either.
    let page = edit(&console, "PPP009", "PPP005", "");
    server.run("revoke --app shop --from PPP009 --to PPP005 --yes").succeeds();
    console.send_form(&page, (EDIT, "Write over"), &mine).is(409).shows("nothing");
    assert_eq!(server.items().len(), 0);
}
