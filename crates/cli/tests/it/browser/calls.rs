//! From a complaint to the cure, and back.

use fantoccini::key::Key;

use super::{Browser, WIDE, run};
use crate::console::call;
use crate::serve::ServeProcess;

#[test]
#[ignore = "needs chromedriver"]
fn a_refused_call_is_allowed_from_its_row_and_taken_back() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[]);
        let mut browser = Browser::start(WIDE, &[]).await;
        browser.open(&serve.console_url()).await;
        browser.wait_for("No call has come yet").await;
        // The page shows the call by itself.
        assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
        browser.wait_for("no rule applies at any door").await;
        browser.find("tbody td.time a").await.click().await.unwrap();
        browser.clicks += 1;
        browser.click("Allow PPP009 to call PPP006").await;
        browser.wait_for("Written: allow PPP009 to PPP006").await;
        assert_eq!(call(&serve, "PPP009", "PPP006"), 200);
        // A reload shows the same.
        browser.client.refresh().await.unwrap();
        browser.wait_for("Written: allow PPP009 to PPP006").await;
        browser.click("Undo").await;
        browser.wait_for("took back").await;
        assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
        assert_eq!(browser.clicks, 3, "open the call, allow, undo");
    });
}

/// The same without a mouse.
#[test]
#[ignore = "needs chromedriver"]
fn the_keyboard_is_enough() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[]);
        assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
        let browser = Browser::start(WIDE, &[]).await;
        browser.open(&serve.console_url()).await;
        browser.wait_for("no rule applies").await;
        // The first stop of the Tab key skips the navigation.
        press(&browser, Key::Tab, "Skip to the content").await;
        browser.client.active_element().await.unwrap().send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
        tab_to(&browser, "2026-").await;
        browser.client.active_element().await.unwrap().send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
        browser.wait_for("Allow PPP009 to call PPP006").await;
        tab_to(&browser, "Allow PPP009").await;
        browser.client.active_element().await.unwrap().send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
        browser.wait_for("Written: allow PPP009 to PPP006").await;
        assert_eq!(call(&serve, "PPP009", "PPP006"), 200);
    });
}

/// Presses a key, and asserts which element has the focus then.
async fn press(browser: &Browser, key: Key, text: &str) {
    browser.find("body").await.send_keys(&char::from(key).to_string()).await.unwrap();
    let focused = browser.client.active_element().await.unwrap().text().await.unwrap();
    assert!(focused.contains(text), "`{focused}` has the focus");
}

/// Presses Tab until an element with this text has the focus.
async fn tab_to(browser: &Browser, text: &str) {
    for _ in 0..60 {
        let focused = browser.client.active_element().await.unwrap();
        let is_control = ["a", "button"].contains(&focused.tag_name().await.unwrap().as_str());
        if is_control && focused.text().await.unwrap().contains(text) {
            return;
        }
        focused.send_keys(&char::from(Key::Tab).to_string()).await.unwrap();
    }
    panic!("Tab does not reach `{text}`");
}

/// What a person is typing, or has checked, stays while new calls come.
#[test]
#[ignore = "needs chromedriver"]
fn new_calls_do_not_disturb() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[]);
        assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
        let browser = Browser::start(WIDE, &[]).await;
        browser.open(&serve.console_url()).await;
        browser.find("tbody td.time a").await.click().await.unwrap();
        browser.wait_for("Allow PPP009 to call PPP006").await;
        browser.fill("form[action='/calls/answer'] input[name=note]", "for the trial").await;
        assert_eq!(call(&serve, "PPP010", "PPP006"), 403);
        browser.wait_for("PPP010").await;
        let note = browser.client.active_element().await.unwrap();
        assert_eq!(note.prop("value").await.unwrap().as_deref(), Some("for the trial"));
        // After the console has ended, the page shows a message, and keeps its calls.
        drop(serve);
        browser.wait_for("Is callgatectl still running?").await;
        browser.wait_for("PPP010").await;
    });
}
