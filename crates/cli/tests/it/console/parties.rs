//! `/parties` and the page of one party.

use serde_json::json;

use super::{Console, call};
use crate::serve::ServeProcess;
use crate::support::{TestServer, csv};

fn filled() -> TestServer {
    let server = TestServer::with_table();
    for command in [
        "allow --app shop --from '+74951234567' --to PPP005 --note 'Head Office' --yes",
        "allow --app shop --from '+7495*' --to PPP010 --yes",
        "deny --app shop --from '*' --to PPP010 --yes",
        "group add --app shop @sales PPP020",
        "suspend --app shop PPP021",
        "block --app shop PPP030 --note rude",
        "allow --app store --from PPP009 --to PPP005",
    ] {
        server.run(command).succeeds();
    }
    let odd = |id: &str, note: &str| {
        server.put(&json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "PARTY"}, "note": {"S": note}}));
    };
    odd("a/b c#50%", "<script>alert(1)</script>");
    odd("star*", "left\u{202e}right");
    server
}

#[test]
fn parties_are_found_by_id_number_group_and_note() {
    let server = filled();
    let console = Console::over(&server, &[]);
    for (query, shown, hidden) in [
        ("text=PPP0", "PPP010", "+74951234567"),
        ("text=ppp02", "PPP021", "PPP010"),
        ("text=%2B7+(495)+123-45-67", "+74951234567", "PPP010"),
        ("text=@sales", "PPP020", "PPP021"),
        ("text=script", "a/b c#50%", "PPP010"),
        ("text=PPP009&app=store", "only rules name it", "PPP010"),
        ("app=store", "PPP009", "PPP020"),
        ("app=shop", "suspended", "PPP009"),
        ("app=shop", "blocked", "PPP009"),
    ] {
        console.get(&format!("/parties?{query}")).is(200).shows(shown).does_not_show(hidden);
    }
    let page = console.get("/parties?app=shop&text=PPP999").is(200).shows("No party has `PPP999`");
    let link = page.links("PPP999").pop().unwrap();
    console.get(&link).is(200).shows("PPP999 in app shop").shows("Nothing is stored for this party");
    let page = console.get("/parties").is(200);
    assert!(!page.body.contains("<script>") && !page.body.contains('\u{202e}'));
}

#[test]
fn many_parties_are_listed_page_by_page() {
    let server = TestServer::with_table();
    server
        .pipe("import - --yes", &csv(0..130, |number| format!("shop,+7495{number:03}*,P{number:03},allow")))
        .succeeds();
    let console = Console::over(&server, &[]);
    for start in ["/parties", "/parties?app=shop&text=P"] {
        let (mut path, mut seen) = (start.to_owned(), Vec::new());
        loop {
            let page = console.get(&path).is(200);
            let links = page.links("<bdi>P").into_iter().map(|link| link.rsplit('/').next().unwrap().to_owned());
            let links: Vec<_> = links.filter(|id| id.len() == 4).collect();
            assert!(links.len() <= 50, "{path}");
            seen.extend(links);
            let Some(next) = page.links("Next page").pop().or_else(|| page.links("Search on").pop()) else { break };
            path = next;
        }
        assert_eq!(seen, (0..130).map(|number| format!("P{number:03}")).collect::<Vec<_>>(), "{start}");
    }
}

#[test]
fn a_party_has_what_holds_and_what_is_stored() {
    let server = filled();
    let console = Console::over(&server, &[]);
    let page = console.get("/parties/shop/PPP010").is(200);
    let page = page.shows("Who may call it").shows("Whom it may call").shows("allow +7495* to PPP010").shows("deny");
    assert!(page.text().contains("permitted+7495*"), "{}", page.text());
    console.get("/parties/shop/PPP005").shows("Head Office").shows("+74951234567");
    console.get("/parties/shop/+74951234567").shows("PPP005").shows("active; only rules name it");
    console.get("/parties/shop/PPP020").shows("@sales").shows("Last changes").shows("group add");
    console.get("/parties/shop/PPP021").shows("suspended").shows("the caller is suspended").shows("Resume PPP021");
    console.get("/parties/shop/PPP030").shows("(rude)").shows("the caller is blocked").shows("Unblock PPP030");
    // Another spelling leads to the page of the same party.
    let answer = console.get("/parties/shop/%2B7%20495%20123-45-67").is(303);
    assert_eq!(answer.header("location"), Some("/parties/shop/+74951234567"));
    console.get("/parties/shop/%3Cb%3E@").is(400);
}

#[test]
fn odd_ids_have_pages_of_their_own() {
    let server = filled();
    let console = Console::over(&server, &[]);
    for (found, title) in [("a/b c#50%", "a/b c#50% in app shop"), ("star*", "star* in app shop")] {
        let page = console.get("/parties?app=shop").is(200);
        let link = page.links(found).into_iter().find(|link| link.starts_with("/parties/")).unwrap();
        let page = console.get(&link).is(200).shows(title);
        assert!(!page.body.contains("<script>") && !page.body.contains('\u{202e}'));
        let done =
            console.submit(&page, ("/parties/change", "Block all"), &[("action", "block"), ("note", "<i>x</i>")]);
        done.shows(title).shows("blocked").shows("(<i>x</i>)");
    }
    assert_eq!(server.items().iter().filter(|it| it["blocked"]["M"]["note"]["S"] == "<i>x</i>").count(), 2);
}

#[test]
fn a_party_is_blocked_suspended_and_grouped_and_each_change_is_undone() {
    let server = filled();
    let console = Console::over(&server, &[]);
    let before = server.items();
    let path = "/parties/shop/PPP005";
    for (button, fields, done) in [
        ("Block all calls from PPP005", &[("action", "block"), ("until", "7d"), ("note", "loud")][..], "(loud)"),
        ("Suspend PPP005", &[("action", "suspend")], "Resume PPP005"),
        ("Add to the group", &[("action", "add"), ("group", "@night")], "Remove from @night"),
    ] {
        let page = console.get(path).is(200);
        let page = console.submit(&page, ("/parties/change", button), fields).shows("Written: ").shows(done);
        console.submit(&page, ("/undo", "Undo"), &[]).shows("took back");
        assert_eq!(server.items(), before, "{button}");
    }
    for (path, button, fields) in [
        ("/parties/shop/PPP030", "Unblock PPP030", &[("action", "unblock")][..]),
        ("/parties/shop/PPP021", "Resume PPP021", &[("action", "resume")]),
        ("/parties/shop/PPP020", "Remove from @sales", &[("action", "remove")]),
    ] {
        let page = console.get(path).is(200);
        console.submit(&page, ("/parties/change", button), fields).shows("Written: ").does_not_show(button);
    }
    let wrong = [("app", "shop"), ("party", "PPP005"), ("action", "add"), ("group", "No Name")];
    console.post("/parties/change", &wrong).is(400).shows("No Name");
    // A block that another person wrote meanwhile is not overwritten.
    let page = console.get(path);
    server.run("block --app shop PPP005 --note theirs").succeeds();
    let mine = [("action", "block"), ("note", "mine")];
    console.send_form(&page, ("/parties/change", "Block all"), &mine).is(409).shows("theirs");
}

#[test]
fn a_party_has_its_last_calls() {
    let mut serve = ServeProcess::start(&[], &[]);
    let console = Console::of(&mut serve);
    assert_eq!(call(&serve, "PPP009", "PPP005"), 200);
    assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
    console.get("/parties/defaultApp/PPP009").shows("PPP009 to PPP005").shows("PPP009 to PPP006: no rule applies");
    console.get("/parties/defaultApp/PPP005").shows("PPP009 to PPP005").does_not_show("PPP009 to PPP006:");
}

#[test]
fn a_party_with_very_many_rules_is_shown_in_part() {
    let server = TestServer::with_table();
    server.pipe("import - --yes", &csv(0..600, |number| format!("shop,C{number:03},busy,allow"))).succeeds();
    let console = Console::over(&server, &[]);
    console
        .get("/parties/shop/busy")
        .is(200)
        .shows("More than 500 rules name this party")
        .shows("These are 50 of more than 500");
}
