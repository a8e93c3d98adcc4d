//! What another page in the same browser can do: nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use super::{Browser, WIDE, run};
use crate::serve::ServeProcess;
use crate::support::Run;

/// Serves this page to everyone.
fn serve_page(page: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8_192];
            let _ = stream.read(&mut request).unwrap();
            let length = page.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all((head + &page).as_bytes());
        }
    });
    address
}

#[test]
#[ignore = "needs chromedriver"]
fn another_page_cannot_use_the_console() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[]);
        let store = serve.store();
        let url = serve.console_url();
        let console = url.split("/?").next().unwrap().to_owned();
        let port = console.rsplit(':').next().unwrap();
        // A page that knows the address and sends a form, and reads a page with fetch and in a frame.
        let attack = |target: &str| {
            serve_page(format!(
                "<main>attack</main><form method=post action='{target}/calls/block'><input name=app value=defaultApp><input name=from \
                 value=PPP009><input name=to value=PPP005><input name=seen value='='><button>go</button></form><iframe \
                 src='{target}/calls'></iframe><script>fetch('{target}/calls', {{credentials: 'include'}}).then(a => a.text()).then(a => \
                 document.title = 'read ' + a.length, () => document.title = 'not read')</script>"
            ))
        };
        let rules = format!("--host-resolver-rules=MAP *.example 127.0.0.1:{port}");
        let mut browser = Browser::start(WIDE, &[]).await;
        browser.open(&url).await;
        browser.wait_for("No call has come yet").await;
        let address = attack(&console);
        browser.open(&format!("http://{address}/")).await;
        browser.wait_for("attack").await;
        while browser.client.title().await.unwrap() != "not read" {
            assert!(!browser.client.title().await.unwrap().starts_with("read"));
        }
        browser.click("go").await;
        browser.wait_for("The request came from another page").await;
        drop(browser);
        // A name that was made to resolve to this machine.
        let browser = Browser::start(WIDE, &[&rules]).await;
        browser.open(&format!("http://evil.example:{port}/calls")).await;
        browser.wait_for("Not the address of this console").await;
        let mut tool = crate::support::tool();
        tool.args(["--table", "callgate", "--endpoint-url", &store, "history", "--app", "defaultApp"]);
        Run::of(&mut tool).succeeds().prints("no changes");
    });
}
