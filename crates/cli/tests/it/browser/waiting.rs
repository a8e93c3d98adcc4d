//! Blocks a caller from the refused pairs, and takes that back.

use super::{Browser, WIDE, run};
use crate::console::call;
use crate::serve::ServeProcess;

#[test]
#[ignore = "needs chromedriver"]
fn a_caller_that_is_refused_again_and_again_is_blocked() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[("APP_CACHE_SECONDS", "0")]);
        let mut browser = Browser::start(WIDE, &[]).await;
        browser.open(&serve.console_url()).await;
        for _ in 0..3 {
            assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
        }
        assert_eq!(call(&serve, "PPP008", "PPP006"), 403);
        browser.click("Waiting").await;
        browser.wait_for("Allow writes: allow PPP009 to PPP006").await;
        // The pair that is refused most often is the first one.
        let first = browser.find("#waiting tbody tr").await.text().await.unwrap();
        assert!(first.contains("PPP009") && first.contains('3'), "{first}");
        browser.click("Block caller PPP009").await;
        browser.wait_for("Written: 1 change.").await;
        // It may not make the call that it could make before either.
        assert_eq!(call(&serve, "PPP009", "PPP005"), 403);
        browser.wait_for("the caller is blocked").await;
        browser.click("Undo").await;
        browser.wait_for("took back").await;
        assert_eq!(call(&serve, "PPP009", "PPP005"), 200);
        assert_eq!(browser.clicks, 3);
    });
}
