//! `/rules`: filters, pages, and changes of one rule or of several.

use serde_json::json;

use super::{Answer, Console, encode};
use crate::support::{TestServer, csv};

/// Ids with markup, separators of URLs and keys, hidden characters, and what looks like a pattern.
const ODD: [&str; 7] = ["<b>x</b>", "a/b", "50%", "#1#2", "two words", "abc*", "left\u{202e}right"];

fn filled() -> TestServer {
    let server = TestServer::with_table();
    for rule in [
        "allow --app shop --from '+7495*' --to PPP005 --note 'Head Office' --list crm",
        "deny --app shop --from PPP666 --to '*'",
        "allow --app shop --from PPP009 --to PPP006 --media audio --hours 'Mon-Fri 09:00-18:00 UTC'",
        "allow --app store --from PPP009 --to PPP005",
    ] {
        server.run(&format!("{rule} --yes")).succeeds();
    }
    server.run("block --app shop PPP030 --note rude").succeeds();
    server
}

/// The value of the box of a rule.
#[track_caller]
fn checkbox(page: &Answer, from: &str, to: &str) -> String {
    let names = [encode(&[("from", from)]), encode(&[("to", to)])];
    let boxes = page.body.split("name=\"rule\" value=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut boxes = boxes.map(|value| value.replace("&amp;", "&"));
    let found = boxes.find(|value| names.iter().all(|name| format!("&{value}&").contains(&format!("&{name}&"))));
    found.unwrap_or_else(|| panic!("no box for {from} to {to} in {}", page.body))
}

#[test]
fn rules_are_filtered_and_the_filter_is_in_the_address() {
    let server = filled();
    let console = Console::over(&server, &[]);
    let all = console.get("/rules").is(200);
    for text in ["Head Office", "PPP666", "audio; Mon-Fri 09:00-18:00 UTC", "store", "rude"] {
        assert!(all.text().contains(text), "{text}: {}", all.text());
    }
    for (query, shown, hidden) in [
        ("text=office", "+7495*", "PPP666"),
        ("app=shop&party=PPP009", "PPP006", "PPP005"),
        ("app=shop&from=PPP009&to=PPP006", "audio", "PPP030"),
        ("effect=block", "PPP030", "PPP009"),
        ("effect=deny", "PPP666", "PPP030"),
        ("list=crm", "+7495*", "PPP666"),
        ("app=store", "PPP009", "PPP666"),
    ] {
        console.get(&format!("/rules?{query}")).is(200).shows(shown).does_not_show(hidden);
    }
    console.get("/rules?app=shop&party=PPP999").is(200).shows("No rule matches the filter.");
    console.get("/rules?state=tired").is(400).shows("`tired` is not a state");
    console.get("/rules?after=nonsense").is(400).shows("go back to the first page");
}

#[test]
fn many_rules_are_shown_page_by_page() {
    let server = TestServer::with_table();
    server.pipe("import - --yes", &csv(0..250, |number| format!("shop,C{number:03},P{number:03},allow"))).succeeds();
    let console = Console::over(&server, &[]);
    let (mut path, mut seen, mut pages) = ("/rules?app=shop&sort=from&order=desc".to_owned(), Vec::new(), 0);
    loop {
        let page = console.get(&path).is(200).shows("Only the rules of this page are sorted");
        pages += 1;
        let text = page.text();
        let ids: Vec<_> = (0..250).filter(|number| text.contains(&format!("C{number:03}"))).collect();
        assert!(ids.len() <= 100, "{}", ids.len());
        let at = |number: &i32| page.body.find(&format!("<bdi>C{number:03}</bdi>"));
        assert!(ids.windows(2).all(|pair| at(&pair[0]) > at(&pair[1])), "sorted");
        seen.extend(ids);
        let Some(next) = page.links("Next page").pop().or_else(|| page.links("Search on").pop()) else { break };
        path = next;
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..250).collect::<Vec<_>>());
    assert_eq!(pages, 3);
}

#[test]
fn checked_rules_are_changed_at_once_and_the_change_is_undone() {
    let server = filled();
    let console = Console::over(&server, &[]);
    let page = console.get("/rules?app=shop");
    let before = server.items();
    let boxes =
        [checkbox(&page, "+7495*", "PPP005"), checkbox(&page, "PPP009", "PPP006"), checkbox(&page, "PPP030", "*")];
    let rules: Vec<_> = boxes.iter().map(|value| ("rule", value.as_str())).collect();
    let apply = |rules: &[(&str, &str)], more: &[(&str, &str)]| {
        console.submit(&console.get("/rules?app=shop"), ("/rules/apply", ""), &[rules, more].concat())
    };
    let done = apply(&rules[..2], &[("action", "disable")]).shows("Written: 2 changes.").shows("disable allow");
    assert_eq!(server.items().iter().filter(|it| it.to_string().contains("disabled")).count(), 2);
    let undone = console.submit(&done, ("/undo", "Undo"), &[]);
    assert_eq!(server.items(), before, "{}", undone.text());
    // A block cannot be disabled; the others are.
    apply(&rules, &[("action", "disable")])
        .shows("Written: 2 changes. Not written: 1 change.")
        .shows("not written: the block of PPP030: a block cannot be disabled");
    apply(&[], &[("action", "revoke")]).shows("no rule was checked");
    // They were disabled since the boxes were shown.
    apply(&rules[..2], &[("action", "revoke")])
        .shows("Nothing was written.")
        .shows("it changed since the page was loaded");
    let page = console.get("/rules?app=shop");
    let boxes = [checkbox(&page, "+7495*", "PPP005"), checkbox(&page, "PPP030", "*")];
    let rules: Vec<_> = boxes.iter().map(|value| ("rule", value.as_str())).collect();
    apply(&rules, &[("action", "expire"), ("until", "2099-01-01")]).shows("Written: 2 changes.");
    assert_eq!(server.items().iter().filter(|it| it.to_string().contains("4070908800")).count(), 2);
    console.post("/rules/apply", &[("action", "expire"), ("until", "1h ago")]).is(400).shows("not in the future");
    let page = console.get("/rules?app=shop");
    let boxes = [checkbox(&page, "PPP666", "*"), checkbox(&page, "PPP030", "*")];
    let rules: Vec<_> = boxes.iter().map(|value| ("rule", value.as_str())).collect();
    let done = apply(&rules, &[("action", "revoke")]).shows("Written: 2 changes.").does_not_show("rude");
    console.submit(&done, ("/undo", "Undo"), &[]).shows("rude").shows("PPP666");
}

#[test]
fn odd_ids_are_shown_and_never_become_markup() {
    let server = TestServer::with_table();
    for id in ODD {
        let note = json!({"S": format!("note {id}")});
        server.put(&json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": format!("CALLER#{id}")},
            "effect": {"S": "allow"}, "note": note, "list": {"S": id}, "updated_by": {"S": id}, "updated_at": {"N": "1700000000"}}));
        server.put(&json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "PARTY"},
            "incoming": {"M": {id: {"M": {"effect": {"S": id}}}}}, "blocked": {"M": {"note": {"S": id}}}}));
    }
    let console = Console::over(&server, &[]);
    for path in [
        "/rules",
        "/rules?text=x&list=%3Cb%3E&sort=note",
        "/rules?app=shop&party=%3Cb%3Ex%3C/b%3E",
        "/rules?party=a/b&app=shop",
    ] {
        let page = console.get(path).is(200);
        assert!(!page.body.contains("<b>") && !page.body.contains('\u{202e}'), "{path}");
    }
    let page = console.get("/rules").shows("<b>x</b>").shows("left\\u{202e}right").shows("cannot be changed here");
    // Each that can be named is deleted from the list; an id that looks like a pattern is not taken for one.
    for id in ["a/b", "50%", "#1#2", "two words"] {
        let value = checkbox(&page, id, id);
        let done = console.submit(&page, ("/rules/apply", ""), &[("rule", &value), ("action", "revoke")]);
        done.shows(&format!("revoke allow {id} to {id}"));
    }
    let left = server.items().iter().filter(|it| it["sk"]["S"].as_str().unwrap().starts_with("CALLER#")).count();
    assert_eq!(left, ODD.len() - 4);
    // Another app's name as a field is text too.
    console.get("/rules?app=%3Cscript%3E").is(400).shows("<script>");
}

#[test]
fn a_read_only_console_has_no_forms_that_write() {
    let server = filled();
    let console = Console::over(&server, &["--read-only"]);
    let before = server.items();
    for path in ["/rules", "/rules/edit?app=shop&from=PPP009&to=PPP006", "/rules/edit"] {
        let page = console.get(path).is(200);
        assert!(!page.body.contains("method=\"post\""), "{path}");
    }
    assert_ne!(console.post("/rules/apply", &[("action", "revoke")]).status, 303);
    assert_eq!(server.items(), before);
}
