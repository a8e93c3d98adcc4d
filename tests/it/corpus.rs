//! `events/*.json`: what cargo-lambda and SAM take, answered as the file beside each says.

use std::path::PathBuf;

use callgate::http::Request;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, LambdaEvent, Service as _, service_fn};
use serde::Deserialize;
use serde_json::Value;

use crate::dynamodb::Table;
use crate::lambda::{Reply, Sandbox, reply};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: u16,
    body: Option<String>,
    reason: Option<String>,
}

/// Every event with what is expected of it.
fn corpus() -> Vec<(String, String, Expected)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|file| file.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name != "permissions" && !name.ends_with(".expected"))
        .collect();
    names.sort();
    assert!(names.len() >= 25, "the corpus is gone: {names:?}");
    names
        .into_iter()
        .map(|name| {
            let read = |suffix: &str| std::fs::read_to_string(folder.join(format!("{name}{suffix}"))).unwrap();
            let expected = serde_json::from_str(&read(".expected.json")).unwrap();
            let event = read(".json");
            (name, event, expected)
        })
        .collect()
}

#[tokio::test]
async fn the_function_answers_every_event_as_expected() {
    let table = Table::with_samples().await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[]).await;
    assert_eq!(sandbox.log().await["level"], "warn", "hooks are not authenticated, and it says so");
    for (name, event, expected) in corpus() {
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
            assert_eq!((line["message"].as_str(), &line["status"]), (Some("rejected"), &Value::from(status)), "{name}");
        }
    }
    assert_eq!(sandbox.stop().await, [""; 0], "one line a call, and none for a connect that went well");
}

/// We read events ourselves where `lambda_http` would panic, and must otherwise read and write as it does.
#[tokio::test]
async fn events_and_answers_are_those_of_lambda_http() {
    for (name, event, _) in corpus() {
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&event).unwrap();
        let ours = Request::from_event(&raw).unwrap_or_else(|error| panic!("{name}: {error}"));
        let payload: LambdaRequest = serde_json::from_str(&event).unwrap_or_else(|error| panic!("{name}: {error}"));

        let echo = Reply { status: 200, headers: [].into(), body: Some("\u{1f600} { }".to_owned()) };
        let answer = callgate::http::Answer::Echo(echo.body.clone().unwrap());
        let reply_of_ours = serde_json::to_value(ours.reply(answer)).unwrap();

        let body_of_ours = ours.body().unwrap();
        let hook_of_ours = ours.hook().ok().map(|hook| format!("{hook:?}").to_lowercase());
        let mut theirs = Adapter::from(service_fn(|request: lambda_http::Request| {
            let method_and_path = (request.method() == "POST")
                .then(|| request.uri().path().rsplit('/').next().unwrap().to_lowercase())
                .filter(|method| ["oncallevent", "connect"].contains(&method.as_str()));
            assert_eq!(method_and_path, hook_of_ours, "{name}");
            assert_eq!(request.body().as_ref(), body_of_ours, "{name}");
            let response = lambda_http::Response::builder()
                .header("content-type", "application/json")
                .body(echo.body.clone().unwrap())
                .unwrap();
            async move { Ok::<_, lambda_http::Error>(response) }
        }));
        let context = lambda_http::Context::default();
        let reply_of_theirs =
            serde_json::to_value(theirs.call(LambdaEvent::new(payload, context)).await.unwrap()).unwrap();

        for member in ["statusCode", "body", "isBase64Encoded"] {
            assert_eq!(reply_of_ours[member], reply_of_theirs[member], "{name}: {member}");
        }
        assert_eq!(reply_of_ours["headers"]["content-type"], "application/json", "{name}");
    }
}
