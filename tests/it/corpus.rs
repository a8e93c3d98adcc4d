//! `events/*.json`, the events that cargo-lambda and SAM take: each is answered as in the file beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use callgate::config::{Config, read_connection};
use callgate::handler::HookHandler;
use callgate::store::{Store, client};
use serde::Deserialize;
use serde_json::Value;

use crate::dynamodb::{TABLE, Table};
use crate::lambda::{Reply, Sandbox, reply};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: u16,
    body: Option<String>,
    reason: Option<String>,
    /// Variables of the function, beside those that every function has.
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

/// An event's name, its text, and what is expected of it.
type Event = (String, String, Expected);

/// Every event, by the environment that it needs.
fn corpus() -> BTreeMap<BTreeMap<String, String>, Vec<Event>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|file| file.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name != "permissions" && !name.ends_with(".expected"))
        .collect();
    names.sort();
    assert!(names.len() >= 25, "the corpus is gone: {names:?}");
    let mut events: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for name in names {
        let read = |suffix: &str| std::fs::read_to_string(folder.join(format!("{name}{suffix}"))).unwrap();
        let expected: Expected = serde_json::from_str(&read(".expected.json")).unwrap();
        let event = read(".json");
        events.entry(expected.environment.clone()).or_default().push((name, event, expected));
    }
    events
}

/// Starts a function with these variables.
async fn start(table: &Table, environment: &BTreeMap<String, String>) -> Sandbox {
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Sandbox::start(&table.endpoint, &environment).await
}

#[tokio::test]
async fn the_function_answers_every_event_as_expected() {
    let table = Table::with_samples().await;
    for (environment, events) in corpus() {
        let mut sandbox = start(&table, &environment).await;
        assert_eq!(sandbox.log().await["level"], "warn", "hooks are not authenticated");
        for (name, event, expected) in events {
            let answer = sandbox.invoke_raw(&event).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            let Reply { status, headers, body } = reply(&answer);
            assert_eq!((status, body), (expected.status, expected.body.clone()), "{name}");
            let content_type = headers.get("content-type").map(String::as_str);
            assert_eq!(content_type, expected.body.map(|_| "application/json"), "{name}");
            assert_eq!(headers.get("allow").map(String::as_str), (status == 405).then_some("POST"), "{name}");
            if let Some(reason) = expected.reason {
                let line = sandbox.log().await;
                assert_eq!(
                    (line["message"].as_str(), line["reason"].as_str()),
                    (Some("decision"), Some(&*reason)),
                    "{name}"
                );
                assert_eq!(line["status"], status, "{name}");
            } else if status != 200 {
                let line = sandbox.log().await;
                let kind = (line["message"].as_str(), &line["status"]);
                assert_eq!(kind, (Some("rejected"), &Value::from(status)), "{name}");
            }
        }
        assert_eq!(sandbox.stop().await, [""; 0], "one line a call, and none for other hooks that went well");
    }
}

/// The layer in front of `lambda_http` must not change the answer to an event that `lambda_http` can read by itself, nor
/// to the same event with parts that it cannot read.
#[tokio::test]
async fn the_layer_answers_as_lambda_http_alone_does() {
    let table = Table::with_samples().await;
    for (environment, events) in corpus() {
        let mut sandbox = start(&table, &environment).await;
        let variables = |name: &str| {
            let value = match name {
                "TABLE_NAME" => TABLE,
                "AWS_REGION" => "eu-central-1",
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "planted",
                "AWS_ENDPOINT_URL" => &table.endpoint,
                "LOG_LEVEL" => "error",
                name => environment.get(name)?,
            };
            Some(value.into())
        };
        let config = Config::read(variables).unwrap();
        let client = client::connect(read_connection(variables).unwrap(), config.store.deadline);
        let store = Store::new(client, config.store.clone());
        let handler = HookHandler::new(config, store);
        for (name, event, _) in events {
            let request = lambda_http::request::from_str(&event).unwrap_or_else(|error| panic!("{name}: {error}"));
            let (parts, body) = handler.handle(request).await.into_parts();
            let headers = parts.headers.iter();
            let alone = Reply {
                status: parts.status.as_u16(),
                headers: headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect(),
                body: (!body.is_empty()).then(|| str::from_utf8(&body).unwrap().to_owned()),
            };
            let mut event: Value = serde_json::from_str(&event).unwrap();
            assert_eq!(sandbox.invoke(&event).await, alone, "{name}");
            event["requestContext"]["authorizer"] = Value::from(7);
            event["headers"]["odd name"] = Value::from("\n");
            lambda_http::request::from_str(&event.to_string()).unwrap_err();
            assert_eq!(sandbox.invoke(&event).await, alone, "{name}, with parts that lambda_http cannot read");
        }
    }
}
