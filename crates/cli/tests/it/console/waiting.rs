//! `/waiting`: refused pairs, and what is done with them.

use super::calls::{line, wait_for};
use super::{Answer, Console, call};
use crate::serve::ServeProcess;
use crate::support::{Run, TempFolder, TestServer, split_words, tool};

const APPLY: &str = "/waiting/apply";

/// The value of the box of a pair.
#[track_caller]
fn pair(page: &Answer, from: &str, to: &str) -> String {
    let boxes = page.body.split("name=\"pair\" value=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut boxes = boxes.map(|value| value.replace("&amp;", "&"));
    let wanted = format!("&from={from}&to={to}&");
    boxes.find(|value| value.contains(&wanted)).unwrap_or_else(|| panic!("no {wanted} in {}", page.body))
}

fn refused(serve: &ServeProcess, times: usize, from: &str, to: &str) {
    for _ in 0..times {
        assert_eq!(call(serve, from, to), 403);
    }
}

#[test]
fn refused_pairs_are_listed_and_permitted_ones_leave() {
    let mut serve = ServeProcess::start(&[], &[]);
    let console = Console::of(&mut serve);
    console.get("/waiting").is(200).shows("No refused call matches");
    refused(&serve, 1, "PPP008", "PPP006");
    refused(&serve, 3, "PPP009", "PPP006");
    refused(&serve, 2, "PPP013", "PPP006");
    assert_eq!(call(&serve, "PPP009", "PPP005"), 200);
    let page = console
        .get("/waiting")
        .is(200)
        .shows("3 refused pairs in memory")
        .shows("Allow writes: allow PPP009 to PPP006")
        .does_not_show("PPP005");
    let at = |page: &Answer, caller: &str| page.body.find(&format!("<bdi>{caller}</bdi>"));
    assert!(at(&page, "PPP009") < at(&page, "PPP013") && at(&page, "PPP013") < at(&page, "PPP008"));
    let page = console.get("/waiting?order=last");
    assert!(at(&page, "PPP013") < at(&page, "PPP009"));
    console.get("/waiting?party=PPP013").shows("PPP013").does_not_show("PPP009");
    // The button of one row.
    let value = pair(&page, "PPP009", "PPP006");
    let done = console
        .submit(&page, (APPLY, ""), &[("week", &value)])
        .shows("Written: 1 change.")
        .shows("allow PPP009 to PPP006, until");
    assert_eq!(call(&serve, "PPP009", "PPP006"), 200);
    let done = done.shows("on this page, 1 is permitted now and not shown").does_not_show("Check PPP009");
    console.submit(&done, ("/undo", "Undo"), &[]).shows("Allow writes: allow PPP009 to PPP006");
    refused(&serve, 1, "PPP009", "PPP006");
}

#[test]
fn several_pairs_are_allowed_blocked_and_dismissed_at_once() {
    let mut serve = ServeProcess::start(&[], &[]);
    let console = Console::of(&mut serve);
    for caller in ["PPP013", "PPP008", "PPP009"] {
        refused(&serve, 1, caller, "PPP006");
    }
    refused(&serve, 1, "PPP013", "PPP020");
    let page = console.get("/waiting");
    let [a, b, c] =
        [("PPP013", "PPP006"), ("PPP008", "PPP006"), ("PPP013", "PPP020")].map(|(from, to)| pair(&page, from, to));
    console.post(APPLY, &[("action", "none"), ("pair", &a)]).is(400);
    console.submit(&page, (APPLY, ""), &[("action", "dismiss")]).shows("Nothing was done, because no pair was checked");
    console
        .submit(&page, (APPLY, ""), &[("action", "allow"), ("note", "asked for"), ("pair", &a), ("pair", &b)])
        .shows("Written: 2 changes.")
        .shows("(asked for)");
    assert_eq!((call(&serve, "PPP013", "PPP006"), call(&serve, "PPP008", "PPP006")), (200, 200));
    // The page that was open all the time does not write over what was done since.
    console
        .submit(&page, (APPLY, ""), &[("action", "allow"), ("pair", &a), ("pair", &c)])
        .shows("Written: 1 change. Not written: 1 change.")
        .shows("allow PPP013 to call PPP006: it is permitted already");
    // A caller is blocked once, however many of its pairs are checked.
    let done = console
        .submit(&page, (APPLY, ""), &[("action", "block"), ("pair", &a), ("pair", &c)])
        .shows("Written: 1 change.")
        .shows("block PPP013");
    assert_eq!(call(&serve, "PPP013", "PPP006"), 403);
    let row = done.shows("Allow writes: unblock PPP013");
    let value = pair(&row, "PPP013", "PPP006");
    console
        .submit(&row, (APPLY, ""), &[("week", &value)])
        .shows("that takes: unblock PPP013; what this changes would not come back");
    let page = console.get("/waiting");
    let value = pair(&page, "PPP009", "PPP006");
    console
        .submit(&page, (APPLY, ""), &[("action", "dismiss"), ("pair", &value)])
        .shows("Dismissed: 1 pair.")
        .does_not_show("writes: allow PPP009");
    let dismissed = console.get("/waiting?dismissed=yes").shows("allow PPP009 to PPP006");
    console.submit(&dismissed, (APPLY, ""), &[("restore", &value)]);
    console.get("/waiting").shows("allow PPP009 to PPP006");
    // The next refused call brings a dismissed pair back.
    console.submit(&page, (APPLY, ""), &[("dismiss", &value)]).does_not_show("writes: allow PPP009");
    refused(&serve, 1, "PPP009", "PPP006");
    console.get("/waiting").shows("allow PPP009 to PPP006");
}

/// A rule that is replaced for a week would be missing afterwards, and the call permitted for ever.
#[test]
fn a_rule_is_not_replaced_for_a_week_only() {
    let mut serve = ServeProcess::start(&[], &[]);
    let console = Console::of(&mut serve);
    let endpoint = serve.store();
    let deny = split_words("deny --app defaultApp --from PPP009 --to PPP005 --list spam --note fraud");
    Run::of(tool().args(deny).args(["--table", "callgate", "--endpoint-url", &endpoint])).succeeds();
    refused(&serve, 1, "PPP009", "PPP005");
    // What is shown is the rule with what stays of it.
    let page = console.get("/waiting").shows("Allow writes: allow PPP009 to PPP005, list spam (fraud)");
    assert!(!page.body.contains("name=\"week\""), "{}", page.body);
    let value = pair(&page, "PPP009", "PPP005");
    console
        .submit(&page, (APPLY, ""), &[("week", &value)])
        .shows("Nothing was written")
        .shows("allow PPP009 to PPP005, list spam (fraud); what this changes would not come back after a week");
    assert_eq!(call(&serve, "PPP009", "PPP005"), 403);
    console.submit(&page, (APPLY, ""), &[("allow", &value)]).shows("Written: 1 change.");
    assert_eq!(call(&serve, "PPP009", "PPP005"), 200);
}

#[test]
fn a_rule_that_another_person_wrote_meanwhile_is_not_overwritten() {
    let server = TestServer::with_table();
    let folder = TempFolder::new();
    let log = folder.write("calls.log", &line(1, "a", "b"));
    let console = Console::over(&server, &["--log", log.to_str().unwrap()]);
    wait_for(&console, "b");
    let page = console.get("/waiting").shows("Allow writes: allow a to b");
    let value = pair(&page, "a", "b");
    server.run("deny --app shop --from a --to b --note theirs").succeeds();
    // The command would be the same.
    for action in ["allow", "week"] {
        console.submit(&page, (APPLY, ""), &[(action, &value)]).shows("the rules changed since the page was loaded");
    }
    server.run("show --app shop b").succeeds().prints("deny a to b (theirs)");
}

#[test]
fn odd_ids_of_a_log_are_shown_as_text() {
    let server = TestServer::with_table();
    let folder = TempFolder::new();
    let line = |caller: &str, callee: &str, extra: &str| {
        let text = |it: &str| serde_json::json!(it);
        format!(
            "{{\"timestamp\":\"2026-11-26T12:00:00.000000Z\",\"message\":\"decision\",\"decision\":\"deny\",\"reason\":\"no_rule\",\
             \"app\":\"shop\",\"caller\":{},\"callee\":{},\"request_id\":{}{extra}}}\n",
            text(caller),
            text(callee),
            text(&format!("{caller}{callee}"))
        )
    };
    let lines = [
        line("a/b 50%", "#1&x=i", ""),
        line("c*", "d", ""),
        line("left\u{202e}", "<b>", ""),
        line("0001", "0002", ",\"masked\":true"),
    ];
    let log = folder.write("calls.log", &lines.concat());
    let console = Console::over(&server, &["--log", log.to_str().unwrap()]);
    // The log is read in the background.
    let page = loop {
        let page = console.get("/waiting").is(200);
        if page.text().contains("c*") && page.text().contains("left") {
            break page;
        }
    };
    assert!(!page.body.contains("<b>") && !page.body.contains("<i>") && !page.body.contains('\u{202e}'));
    let page = page.shows("<b>").shows("An id in the log is not in canonical form");
    let value = page.form(APPLY, "c*");
    assert!(!value.is_empty());
    let boxes: Vec<_> =
        page.body.split("name=\"pair\" value=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let boxes: Vec<_> = boxes.iter().map(|value| ("pair", value.replace("&amp;", "&"))).collect();
    let fields: Vec<_> =
        boxes.iter().map(|(name, value)| (*name, value.as_str())).chain([("action", "allow")]).collect();
    let done = console.submit(&page, (APPLY, ""), &fields);
    assert!(!done.body.contains("<b>") && !done.body.contains('\u{202e}'));
    done.shows("not written: ");
    let stored: Vec<_> = server.items().iter().map(|item| item["sk"]["S"].to_string()).collect();
    assert!(stored.iter().any(|sk| sk.contains("CALLER#a/b 50%")), "{stored:?}");
    // An id that looks like a pattern is never written as one.
    assert!(!server.items().iter().any(|item| item.to_string().contains("outgoing")), "{:?}", server.items());
}
