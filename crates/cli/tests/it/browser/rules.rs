//! Edits a rule in two tabs, and switches several rules off.

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::json;

use super::{Browser, WIDE, run};
use crate::console::call;
use crate::serve::ServeProcess;

#[test]
#[ignore = "needs chromedriver"]
fn two_tabs_do_not_overwrite_each_others_changes() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[("APP_CACHE_SECONDS", "0")]);
        let mut browser = Browser::start(WIDE, &[]).await;
        browser.open(&serve.console_url()).await;
        browser.click("Rules").await;
        browser.click("Edit allow PPP009 to PPP005").await;
        browser.wait_for("Stored now").await;
        let first = browser.client.window().await.unwrap();
        let address = browser.client.current_url().await.unwrap();
        let second = browser.client.new_window(true).await.unwrap();
        browser.client.switch_to_window(second.handle).await.unwrap();
        browser.open(address.as_str()).await;
        browser.fill("[name=note]", "written in the second tab").await;
        browser.click("Write over what is stored").await;
        browser.wait_for("Written: allow PPP009 to PPP005 (written in the second tab)").await;
        browser.client.switch_to_window(first).await.unwrap();
        browser.fill("[name=note]", "written in the first tab").await;
        browser.find("[name=effect]").await.select_by_value("deny").await.unwrap();
        browser.click("Write over what is stored").await;
        browser.wait_for("Nothing was written, because the rule changed").await;
        browser.wait_for("allow PPP009 to PPP005 (written in the second tab)").await;
        browser.wait_for("deny PPP009 to PPP005 (written in the first tab)").await;
        assert_eq!(call(&serve, "PPP009", "PPP005"), 200);
        // What was typed is still there, and is written only if it is asked for again.
        browser.click("Write over what is stored").await;
        browser.wait_for("Written: deny PPP009 to PPP005 (written in the first tab)").await;
        assert_eq!(call(&serve, "PPP009", "PPP005"), 403);
        assert_eq!(browser.clicks, 5);
    });
}

/// A form that is sent as it came changes nothing, whatever the rule has.
#[test]
#[ignore = "needs chromedriver"]
fn a_new_rule_is_written_and_its_form_has_all_of_it() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[("APP_CACHE_SECONDS", "0")]);
        let mut browser = Browser::start(WIDE, &[]).await;
        browser.open(&serve.console_url()).await;
        browser.click("Rules").await;
        browser.click("New rule").await;
        for (name, value) in [
            ("from", "+7 (495) *"),
            ("to", "PPP006"),
            ("until", "2099-12-31 18:00"),
            ("list", "crm"),
            ("note", "<b>VIP</b> 'callers'"),
        ] {
            browser.fill(&format!("[name={name}]"), value).await;
        }
        let hours = browser.find("[name=hours]").await;
        hours.send_keys("Mon-Fri 09:00-18:00 Europe/Moscow except 2099-01-01\nSat 10:00-12:00 UTC").await.unwrap();
        for medium in ["audio", "video"] {
            let checkbox = browser.find(&format!("[name={medium}]")).await;
            browser.click_element(&checkbox).await;
        }
        browser.click("Write the rule").await;
        browser.wait_for("Written: allow +7495* to PPP006, audio and video").await;
        browser.click("Edit allow +7495* to PPP006").await;
        browser.click("Write over what is stored").await;
        browser.wait_for("Nothing to do: allow +7495* to PPP006, audio and video").await;
        browser.wait_for("list crm (<b>VIP</b> 'callers')").await;
    });
}

/// Gives the focus to every box, and returns those that something else covers then.
const COVERED: &str = "return [...document.querySelectorAll('[name=rule]')].filter(box => {
    box.focus();
    const {left, top, width, height} = box.getBoundingClientRect();
    return document.elementFromPoint(left + width / 2, top + height / 2) !== box;
}).map(box => box.value)";

#[test]
#[ignore = "needs chromedriver"]
fn checked_rules_are_switched_off_and_on_again() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[("APP_CACHE_SECONDS", "0")]);
        let mut browser = Browser::start(WIDE, &[]).await;
        browser.open(&serve.console_url()).await;
        browser.click("Rules").await;
        for rule in ["Check allow PPP009 to PPP005", "Check allow * to PPP004"] {
            let css = format!("[aria-label=\"{rule}\"]");
            let checkbox = browser.find(&css).await;
            browser.click_element(&checkbox).await;
        }
        // The Enter key would press the first button, so it does nothing: what is checked and typed stays.
        let enter = char::from(Key::Enter);
        browser.fill("[name=until]", &format!("7d{enter}")).await;
        let until = browser.find("[name=until]").await.prop("value").await.unwrap();
        assert_eq!(until.as_deref(), Some("7d"));
        assert_eq!(browser.client.find_all(Locator::Css("[name=rule]:checked")).await.unwrap().len(), 2);
        browser.click("Disable").await;
        browser.wait_for("Written: 2 changes.").await;
        assert_eq!((call(&serve, "PPP009", "PPP005"), call(&serve, "PPP009", "PPP004")), (403, 403));
        browser.click("Undo").await;
        browser.wait_for("took back").await;
        assert_eq!((call(&serve, "PPP009", "PPP005"), call(&serve, "PPP009", "PPP004")), (200, 200));
        // The buttons at the lower edge do not cover what has the focus.
        let hidden = browser.client.execute(COVERED, Vec::new()).await.unwrap();
        assert_eq!(hidden, json!([]));
        // The box in the head checks all others.
        let all = browser.find("[data-check-all=rule]").await;
        browser.click_element(&all).await;
        let checked = browser.client.find_all(Locator::Css("[name=rule]:checked")).await.unwrap().len();
        assert_eq!(checked, browser.client.find_all(Locator::Css("[name=rule]")).await.unwrap().len());
        assert!(checked > 10);
    });
}
