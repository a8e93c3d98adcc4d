//! A file with a wrong row, corrected, and written.

use serde_json::json;

use super::{Browser, WIDE, run};
use crate::console::call;
use crate::serve::ServeProcess;
use crate::support::TempFolder;

const HEADER: &str = "app,from,to,effect\n";

#[test]
#[ignore = "needs chromedriver"]
fn a_file_with_a_wrong_row_is_corrected_and_imported() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[("APP_CACHE_SECONDS", "0")]);
        assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
        let folder = TempFolder::new();
        let wrong = folder.write("rules.csv", &format!("{HEADER}defaultApp,PPP009,PPP006,alow\n"));
        let mut browser = Browser::start(WIDE, &[]).await;
        browser.open(&serve.console_url()).await;
        browser.click("Import").await;
        browser.find("input[type=file]").await.send_keys(wrong.to_str().unwrap()).await.unwrap();
        browser.click("Check the file").await;
        browser.wait_for("1 problem in the file. Nothing was written.").await;
        browser.wait_for("must be `allow`, `deny` or `block`").await;
        browser.click("Import another file").await;
        // The corrected file is dropped on the form.
        browser.find("form[data-drop]").await;
        let drop = "const data = new DataTransfer();
            data.items.add(new File([arguments[0]], 'corrected.csv'));
            const form = document.querySelector('form[data-drop]');
            const event = kind => form.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
            event('dragover');
            const isShown = form.classList.contains('dropping');
            event('drop');
            return [isShown, form.classList.contains('dropping'), form.querySelector('input[type=file]').files[0].name];";
        let file = json!(format!("{HEADER}defaultApp,PPP009,PPP006,allow\n"));
        let dropped = browser.client.execute(drop, vec![file]).await.unwrap();
        assert_eq!(dropped, json!([true, false, "corrected.csv"]));
        browser.click("Check the file").await;
        browser.wait_for("allow PPP009 to PPP006 in app defaultApp").await;
        assert_eq!(call(&serve, "PPP009", "PPP006"), 403);
        browser.click("Write 1 change").await;
        browser.wait_for("Imported: 1 rule written.").await;
        assert_eq!(call(&serve, "PPP009", "PPP006"), 200);
        browser.client.refresh().await.unwrap();
        browser.wait_for("Imported: 1 rule written.").await;
    });
}

/// The checks of the page Health run in the background, and the page shows their end by itself.
#[test]
#[ignore = "needs chromedriver"]
fn the_health_is_checked() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[]);
        let mut browser = Browser::start(WIDE, &[]).await;
        browser.open(&serve.console_url()).await;
        browser.click("Health").await;
        browser.click("Check the URL").await;
        browser.wait_for("A call that the hook does not permit is refused.").await;
        browser.click("Inspect all permissions").await;
        browser.wait_for("rules inspected").await;
    });
}
