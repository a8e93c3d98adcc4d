//! The page that shows when WCS asked, whether a hook fails open, and what doctor finds.

use serde_json::json;

use super::{Answer, Console, call};
use crate::serve::ServeProcess;
use crate::support::TestServer;
use crate::wcs_simulator::backend::{Backend, status};

/// The page when all work on it has ended.
fn wait(console: &Console, path: &str) -> Answer {
    super::wait_for(console, path, |page| !page.body.contains("data-live=\"1000\""))
}

fn post(console: &Console, path: &str, fields: &[(&str, &str)]) -> Answer {
    console.post(path, fields).is(303);
    wait(console, "/health")
}

#[test]
fn the_last_hooks_are_shown_and_the_own_hook_fails_closed() {
    let mut serve = ServeProcess::start(&[], &[]);
    let console = Console::of(&mut serve);
    console.get("/health").is(200).shows("Last hooknone since the console was started");
    call(&serve, "PPP009", "PPP005");
    let page = console.get("/health").is(200).shows("OnCallEvent").shows("Last connectnone since");
    let page = page.does_not_show("Last hooknone");
    assert!(page.body.contains(&format!("value=\"{}\"", serve.url())), "{}", page.body);
    let page = post(&console, "/health/simulate", &[("url", &serve.url()), ("app", "defaultApp")])
        .shows(&format!("Result for {}", serve.url()))
        .shows("fails closed A call that the hook does not permit is refused.")
        .shows("OnCallEventrestOnError=FAIL")
        .shows("OnCallEvent PPP009 to PPP006: 403, the SIP side gets 403 FORBIDDEN");
    page.does_not_show("connectnone since");
    // It is still there after a reload.
    console.get("/health").is(200).shows("fails closed");
}

#[test]
fn a_hook_that_fails_open_is_found() {
    let server = TestServer::with_table();
    let console = Console::over(&server, &[]);
    console
        .get("/health")
        .is(200)
        .shows("not known, because no log is read")
        .shows("not known, because the log has only calls");
    let backend = Backend::start(json!({}), |_| status(403));
    post(&console, "/health/simulate", &[("url", &backend.url), ("app", "<b>app")])
        .shows("fails open WCS lets calls through")
        .shows("rings although the hook did not permit it")
        .shows("wrong outcome");
    post(&console, "/health/simulate", &[("url", "http://127.0.0.1:1/x")]).shows("so WCS declines the session");
    let wrong = console.post("/health/simulate", &[("url", "file:///<b>")]).is(400).shows("`file:///<b>` is not a URL");
    assert!(!wrong.body.contains("<b>"), "{}", wrong.body);
}

#[test]
fn hooks_are_signed_with_the_secret_that_is_typed() {
    let mut serve = ServeProcess::start(&[], &[("WCS_HOOK_SECRET", "right")]);
    let console = Console::of(&mut serve);
    let fields = |secret| [("url", serve.url()), ("secret", String::from(secret))];
    for (secret, shown) in [("wrong", "connect: 403"), ("right", "fails closed"), ("", "fails closed")] {
        let fields = fields(secret);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let page = post(&console, "/health/simulate", &fields).shows(shown);
        assert!(secret.is_empty() || !page.body.contains(&format!("value=\"{secret}\"")), "{}", page.body);
    }
}

#[test]
fn findings_are_shown_by_kind_and_fixed() {
    let server = TestServer::with_table();
    let expired = json!({"M": {"effect": {"S": "allow"}, "expires_at": {"N": "1700000000"}}});
    let invalid = json!({"M": {"effect": {"S": "<b>\u{202e}"}}});
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP005"}, "sk": {"S": "PARTY"},
        "incoming": {"M": {"PPP0*": expired, "PPP1*": invalid}}}));
    let console = Console::over(&server, &[]);
    console.get("/health").is(200).shows("Inspect all permissions").does_not_show("finding");
    let page = post(&console, "/health/inspect", &[])
        .shows("1 item and 2 rules inspected, 2 findings.")
        .shows("expired (1)")
        .shows("invalid_record (1)")
        .shows("expired: rule from `PPP0*` to `PPP005` of app `shop`")
        .shows("callgatectl doctor --fix")
        .shows("Fix 1 finding");
    assert!(!page.body.contains("<b>") && !page.body.contains('\u{202e}'), "{}", page.body);
    console.get("/health?kind=expired").is(200).shows("rule from `PPP0*`").does_not_show("rule from `PPP1*`");
    // Only what the page showed is fixed.
    console.post("/health/fix", &[("inspection", "7")]).is(409).shows("Nothing was fixed");
    console.send_form(&page, ("/health/fix", "Fix 1"), &[]).is(303);
    wait(&console, "/health").shows("1 finding fixed").shows("1 finding.").does_not_show("Fix 1 finding");
    assert_eq!(server.items()[0]["incoming"]["M"].as_object().unwrap().len(), 1);
    server.run("history --app shop").succeeds().prints("console: doctor --fix");
    post(&console, "/health/inspect", &[]).shows("1 item and 1 rule inspected, 1 finding.");
}

#[test]
fn many_findings_are_on_several_pages() {
    let server = TestServer::with_table();
    for party in 0..3 {
        let expired = json!({"M": {"effect": {"S": "allow"}, "expires_at": {"N": "1700000000"}}});
        let numbers = (0..150).filter(|number| number % 3 == party);
        let rules: serde_json::Map<_, _> = numbers.map(|it| (format!("PPP{it:03}*"), expired.clone())).collect();
        server
            .put(&json!({"pk": {"S": format!("PARTY#shop#{party}")}, "sk": {"S": "PARTY"}, "incoming": {"M": rules}}));
    }
    let console = Console::over(&server, &["--read-only"]);
    // It changes nothing, so a read-only console does it too.
    let page =
        post(&console, "/health/inspect", &[]).shows("150 findings.").shows("1 to 100 of 150").shows("`PPP099*`");
    let page = page.does_not_show("`PPP100*`").does_not_show("Fix 150");
    let next = page.links("Next")[0].split('#').next().unwrap().to_owned();
    console.get(&next).is(200).shows("101 to 150 of 150").shows("`PPP100*`").does_not_show("`PPP099*`");
    let before = server.items();
    console.post("/health/fix", &[]).is(403);
    assert_eq!(server.items(), before);
}
