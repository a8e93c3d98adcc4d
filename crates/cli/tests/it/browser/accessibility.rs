//! axe-core finds no fault on any page, in light and dark, wide and narrow.

use serde_json::{Value, json};

use super::{Browser, run};
use crate::console::call;
use crate::serve::ServeProcess;

/// Every page, with something on it.
const PAGES: [&str; 15] = [
    "/calls",
    "/waiting",
    "/waiting?dismissed=yes",
    "/parties",
    "/parties?text=PPP999",
    "/parties/defaultApp/PPP012",
    "/parties/defaultApp/PPP999",
    "/rules",
    "/rules?text=nothing",
    "/rules/edit",
    "/rules/edit?app=defaultApp&from=PPP009&to=PPP003",
    "/check?app=defaultApp&from=PPP009&to=PPP006",
    "/import",
    "/history?app=defaultApp",
    "/health",
];

/// Runs axe-core on a page and returns the faults that it finds.
async fn faults(browser: &Browser, axe: &str) -> Vec<String> {
    let script =
        format!("{axe};\nconst done = arguments[0]; axe.run(document, {{resultTypes: ['violations']}}).then(done);");
    let result = browser.client.execute_async(&script, Vec::new()).await.unwrap();
    let violations = result["violations"].as_array().unwrap();
    let describe = |violation: &Value| {
        let nodes = violation["nodes"].as_array().unwrap().iter().map(|node| node["html"].to_string());
        format!("{}, {}: {}", violation["id"], violation["impact"], nodes.collect::<Vec<_>>().join(" "))
    };
    violations.iter().map(describe).collect()
}

#[test]
#[ignore = "needs chromedriver, and axe-core in CALLGATE_AXE"]
fn no_page_has_a_fault_in_light() {
    check((1_280, 900), 1);
}

#[test]
#[ignore = "needs chromedriver, and axe-core in CALLGATE_AXE"]
fn no_page_has_a_fault_in_dark() {
    check((1_280, 900), 0);
}

#[test]
#[ignore = "needs chromedriver, and axe-core in CALLGATE_AXE"]
fn no_page_has_a_fault_in_a_narrow_window() {
    check((400, 800), 1);
}

/// Checks every page in a window of this size. `scheme` is 0 for dark and 1 for light.
fn check(size: (u32, u32), scheme: u8) {
    run(async {
        let axe = std::fs::read_to_string(std::env::var("CALLGATE_AXE").unwrap()).unwrap();
        let mut serve = ServeProcess::start(&[], &[]);
        for callee in ["PPP005", "PPP006", "PPP007"] {
            call(&serve, "PPP009", callee);
        }
        let url = serve.console_url();
        let base = url.split("/?").next().unwrap().to_owned();
        let browser = Browser::start(size, &[&format!("--blink-settings=preferredColorScheme={scheme}")]).await;
        browser.open(&url).await;
        let mut pages: Vec<_> = PAGES.map(str::to_owned).to_vec();
        let opened = browser.find("tbody td.time a").await.prop("href").await.unwrap().unwrap();
        pages.push(opened.strip_prefix(&base).unwrap().to_owned());
        for page in pages {
            browser.open(&format!("{base}{page}")).await;
            browser.find("main h1").await;
            let dark =
                browser.client.execute("return matchMedia('(prefers-color-scheme: dark)').matches", Vec::new()).await;
            assert_eq!(dark.unwrap(), json!(scheme == 0));
            let faults = faults(&browser, &axe).await;
            assert!(faults.is_empty(), "{page} at {size:?}: {faults:#?}");
            // Nothing but a table scrolls sideways.
            let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.client.execute(overflow, Vec::new()).await.unwrap(), json!(0), "{page} at {size:?}");
        }
    });
}
