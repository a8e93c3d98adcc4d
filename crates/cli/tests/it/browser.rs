//! What an operator does in the console, in a real browser: Chromium, driven by `WebDriver`.
//!
//! These tests are ignored unless they are asked for, because they need `chromedriver` and, for [`accessibility`], axe-core:
//! `CALLGATE_AXE=axe.min.js cargo test -p callgatectl --test it browser:: -- --ignored`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use fantoccini::elements::Element;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

mod accessibility;
mod calls;
mod import;
mod other_sites;
mod rules;
mod screenshot;
mod waiting;

/// A browser. Closed when dropped.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
    client: Client,
    /// How many links and buttons were clicked.
    clicks: u32,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser with its session, but not when it is killed. It keeps the connection open after its answer.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let (port, session) = (self.port, &self.session);
            let end =
                format!("DELETE /session/{session} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(end.as_bytes()).and_then(|()| stream.read(&mut [0; 512]));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Starts a browser with a window of this size.
    async fn start((width, height): (u32, u32), options: &[&str]) -> Self {
        let (driver, port) = start_driver();
        let size = format!("--window-size={width},{height}");
        let mut arguments =
            vec!["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--lang=en", &size];
        arguments.extend(options);
        let Value::Object(capabilities) = json!({"goog:chromeOptions": {"args": arguments}}) else { panic!() };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(Capabilities::from(capabilities))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let session = client.session_id().await.unwrap().unwrap();
        Self { driver, port, session, client, clicks: 0 }
    }

    /// Opens an address.
    async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// The element, as soon as it is there.
    async fn find(&self, css: &str) -> Element {
        self.client.wait().for_element(Locator::Css(css)).await.unwrap()
    }

    /// Waits until the page shows a text.
    async fn wait_for(&self, text: &str) {
        let path = format!("//body[contains(normalize-space(.), {})]", quoted(text));
        let found = self.client.wait().for_element(Locator::XPath(&path)).await;
        if let Err(error) = found {
            panic!("`{text}` is not on the page ({error}): {}", self.text().await);
        }
    }

    /// Clicks the link or button with a text.
    async fn click(&mut self, text: &str) {
        let (quoted, classes) = (quoted(text), ["a", "button", "summary"]);
        let path = classes.map(|class| format!("//{class}[contains(normalize-space(.), {quoted})]")).join(" | ");
        let element = self.client.wait().for_element(Locator::XPath(&path)).await;
        let element = match element {
            Ok(element) => element,
            Err(error) => panic!("no link or button `{text}` ({error}): {}", self.text().await),
        };
        self.click_element(&element).await;
    }

    /// Clicks an element, after it is scrolled to, as a person does.
    async fn click_element(&mut self, element: &Element) {
        let argument = serde_json::to_value(element).unwrap();
        self.client.execute("arguments[0].scrollIntoView({block: 'center'})", vec![argument]).await.unwrap();
        element.click().await.unwrap();
        self.clicks += 1;
    }

    /// Types into a field.
    async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// The text of the page.
    async fn text(&self) -> String {
        self.find("body").await.text().await.unwrap()
    }
}

/// Starts a driver on a free port. It takes a port for IPv4 and then the same one for IPv6, and ends if that one is taken.
fn start_driver() -> (Child, u16) {
    loop {
        let driver = Command::new("chromedriver").arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut driver =
            driver.unwrap_or_else(|error| panic!("chromedriver (Debian's chromium-driver) is needed: {error}"));
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').parse().unwrap())
        });
        let Some(port) = port else {
            assert!(!driver.wait().unwrap().success());
            continue;
        };
        // A full pipe would stop the driver.
        std::thread::spawn(move || lines.for_each(drop));
        return (driver, port);
    }
}

/// A window of the usual size.
const WIDE: (u32, u32) = (1_280, 900);

/// Runs a test of a browser.
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

/// A text as a literal of `XPath`.
fn quoted(text: &str) -> String {
    assert!(!text.contains('"'), "{text}");
    format!("\"{text}\"")
}
