//! Checks the names in `template.yaml` against what the built function reads and logs. AWS reports no misspelled metric, field
//! or variable: the chart stays empty, the alarm silent, and the parameter has no effect.

mod alarms;
mod cloudformation;
mod insights;
mod operations;
mod routes;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use callgate::config::{Config, read_connection};
use serde_json::{Value, json};

use self::cloudformation::{STACK, Template};
use crate::dynamodb::{Table, closed_port};
use crate::gateway::{SOURCE, call, on_call};
use crate::lambda::Sandbox;

/// Lines that the function writes, one for every reason that an alarm or a query names, with the fields that Logs Insights adds.
async fn lines() -> Vec<Value> {
    let table = Table::with_samples().await;
    table.put(
        &json!({ "pk": { "S": "PARTY#defaultApp#PPP001" }, "sk": { "S": "CALLER#PPP009" }, "effect": { "S": "alow" } }),
    );
    let unreachable = format!("http://{}", closed_port().await);
    let stranger = on_call(r#"{"appKey":"defaultApp","caller":"PPP009","callee":"PPP005"}"#).source("127.9.0.1").v2();
    let mut lines = Vec::new();
    for (endpoint, variable, events) in [
        (
            &table.endpoint,
            ("ALLOWED_SOURCES", SOURCE),
            vec![call("PPP009", "PPP005"), call("PPP009", "PPP006"), stranger],
        ),
        (&table.endpoint, ("LOG_LEVEL", "info"), vec![call("PPP009", "PPP001"), on_call("{").v2()]),
        (&unreachable, ("WCS_HOOK_SECRET", "of-this-test"), vec![call("PPP009", "PPP005")]),
        (&unreachable, ("STORE_DEADLINE_MS", "50"), vec![call("PPP009", "PPP005")]),
    ] {
        let mut sandbox = Sandbox::start(endpoint, &[variable]).await;
        for event in events {
            sandbox.invoke(&event).await;
        }
        lines.extend(sandbox.stop().await.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    // Lambda's own line (CloudWatch Logs User Guide, "Supported logs and discovered fields").
    lines.push(
        json!({ "@type": "REPORT", "@requestId": "", "@duration": 1.0, "@initDuration": 1.0, "@maxMemoryUsed": 1.0 }),
    );
    for line in &mut lines {
        let members = line.as_object_mut().unwrap();
        members.extend(["@timestamp", "@message", "@logStream"].map(|name| (name.to_owned(), "".into())));
    }
    lines
}

/// A namespace, a metric's name, and its dimensions with a value each, where one is given.
type Metric = (String, String, BTreeMap<String, Option<String>>);

fn metric<'a>(namespace: &str, name: &str, dimensions: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Metric {
    let dimensions = dimensions.into_iter().map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
    (namespace.to_owned(), name.to_owned(), dimensions.collect())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The metrics that CloudWatch makes of the lines, with their values (its User Guide, "Embedded metric format").
fn published(lines: &[Value]) -> BTreeMap<Metric, Vec<f64>> {
    let mut metrics: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in lines {
        for directive in list(&line["_aws"]["CloudWatchMetrics"]) {
            for it in list(&directive["Metrics"]) {
                let value = line[text(&it["Name"])].as_f64().unwrap_or_else(|| panic!("{line}"));
                for set in list(&directive["Dimensions"]) {
                    let dimensions = list(set).iter().map(|name| (text(name), Some(text(&line[text(name)]))));
                    let metric = metric(text(&directive["Namespace"]), text(&it["Name"]), dimensions);
                    metrics.entry(metric).or_default().push(value);
                }
            }
        }
    }
    metrics
}

/// Metrics of AWS by their documentation, and those that filters make of the gateway's access log.
fn of_services(template: &Template) -> BTreeSet<Metric> {
    let mut metrics = BTreeSet::from([
        metric("AWS/ApiGateway", "5xx", [("ApiId", None)]),
        metric("AWS/ApiGateway", "Latency", [("ApiId", None)]),
        metric("AWS/DynamoDB", "ConsumedReadCapacityUnits", [("TableName", None)]),
        metric("AWS/DynamoDB", "ReadThrottleEvents", [("TableName", None)]),
        metric("AWS/Lambda", "Errors", [("FunctionName", None)]),
        metric("AWS/Lambda", "Throttles", [("FunctionName", None)]),
    ]);
    let format = template.resources("AWS::ApiGatewayV2::Stage")[0]["AccessLogSettings"]["Format"].clone();
    let access_log: Value = serde_json::from_str(text(&format)).unwrap();
    let is_logged = |field: &str| assert!(access_log.get(field).is_some(), "the access log has no `{field}`");
    for filter in template.resources("AWS::Logs::MetricFilter") {
        let pattern = text(&filter["FilterPattern"]);
        let fields = pattern.split("$.").skip(1).map(|it| it.split(' ').next().unwrap_or_default());
        fields.for_each(is_logged);
        for made in list(&filter["MetricTransformations"]) {
            let dimensions = list(&made["Dimensions"]);
            for it in dimensions {
                is_logged(text(&it["Value"]).trim_start_matches("$."));
            }
            let dimensions = dimensions.iter().map(|it| (text(&it["Key"]), None));
            metrics.insert(metric(text(&made["MetricNamespace"]), text(&made["MetricName"]), dimensions));
        }
    }
    metrics
}

/// The metrics that an alarm watches: one, or those of its expression.
fn watched(alarm: &Value) -> Vec<Metric> {
    let several = list(&alarm["Metrics"]).iter().filter_map(|it| it.get("MetricStat")).map(|it| &it["Metric"]);
    alarm
        .get("MetricName")
        .map(|_| alarm)
        .into_iter()
        .chain(several)
        .map(|it| {
            let pairs = list(&it["Dimensions"]).iter().map(|it| (text(&it["Name"]), it["Value"].as_str()));
            metric(text(&it["Namespace"]), text(&it["MetricName"]), pairs)
        })
        .collect()
}

fn widgets(template: &Template) -> Vec<Value> {
    let body = template.resources("AWS::CloudWatch::Dashboard")[0]["DashboardBody"].clone();
    let mut body: Value = serde_json::from_str(text(&body)).unwrap();
    serde_json::from_value(body["widgets"].take()).unwrap()
}

/// The metrics that the dashboard's charts show.
fn of_dashboard(template: &Template) -> Vec<Metric> {
    let widgets = widgets(template);
    let rows = widgets.iter().flat_map(|it| list(&it["properties"]["metrics"])).map(list);
    rows.map(|row| match row {
        [Value::String(namespace), Value::String(name), rest @ ..] => {
            let pairs = rest.chunks_exact(2).map(|it| (text(&it[0]), it[1].as_str()));
            metric(namespace, name, pairs)
        }
        [search] => searched(text(&search["expression"])),
        _ => panic!("{row:?}"),
    })
    .collect()
}

/// The metric of `SEARCH('{NAMESPACE,DIMENSION,…} MetricName="…" DIMENSION="…"', …)`.
fn searched(expression: &str) -> Metric {
    let (schema, terms) = expression.split_once("SEARCH('{").and_then(|(_, it)| it.split_once("} ")).unwrap();
    let (namespace, dimensions) = schema.split_once(',').unwrap();
    let terms = terms.split_once('\'').unwrap().0.split(' ').map(|it| it.split_once('=').unwrap());
    let mut terms: BTreeMap<&str, &str> = terms.map(|(name, value)| (name, value.trim_matches('"'))).collect();
    let name = terms.remove("MetricName").unwrap();
    let dimensions: Vec<_> = dimensions.split(',').map(|it| (it, terms.remove(it))).collect();
    assert!(terms.is_empty(), "{expression}: {terms:?} are not among its dimensions");
    metric(namespace, name, dimensions)
}

#[tokio::test]
async fn alarms_and_dashboard_use_metrics_that_exist() {
    let template = Template::with(&[]);
    let (ours, of_services) = (published(&lines().await), of_services(&template));
    let alarms = template.resources("AWS::CloudWatch::Alarm");
    let used = [alarms.iter().flat_map(watched).collect(), of_dashboard(&template)].concat();
    assert!(used.len() >= 25, "found {}", used.len());
    for wanted in used {
        let (namespace, name, dimensions) = &wanted;
        let names = dimensions.keys().map(|it| (it.as_str(), None));
        let is_published = ours.keys().any(|(its_namespace, its_name, values)| {
            (its_namespace, its_name) == (namespace, name)
                && values.keys().eq(dimensions.keys())
                && values
                    .iter()
                    .zip(dimensions.values())
                    .all(|((_, value), wanted)| wanted.is_none() || wanted == value)
        });
        assert!(is_published || of_services.contains(&metric(namespace, name, names)), "nothing publishes {wanted:?}");
    }
}

#[tokio::test]
async fn saved_queries_use_fields_of_real_lines() {
    let (template, lines) = (Template::with(&[]), lines().await);
    let saved = template.resources("AWS::Logs::QueryDefinition").into_iter().map(|it| it["QueryString"].clone());
    let charts = widgets(&template).into_iter().map(|it| it["properties"]["query"].clone()).filter(|it| !it.is_null());
    let queries: Vec<Value> = saved.chain(charts).collect();
    assert!(queries.len() >= 9, "found {}", queries.len());
    for query in &queries {
        insights::check(text(query), &lines).unwrap_or_else(|error| panic!("{query}: {error}"));
    }
}

#[test]
fn the_function_reads_every_variable_of_the_template() {
    let everything = [
        ("HookSecret", "of-this-test"),
        ("AllowedSources", "46.101.108.90/32"),
        ("DynamoDbEndpointUrl", "https://dynamodb.eu-central-1.amazonaws.com"),
        ("PhoneRegion", "RU"),
        ("GatedHooks", "OnCallEvent,call"),
        ("OtherHooks", "refuse"),
    ];
    for parameters in [&everything[..], &[]] {
        let function = Template::with(parameters).resources("AWS::Serverless::Function").remove(0);
        let variables = &function["Environment"]["Variables"];
        let read = RefCell::new(BTreeSet::new());
        let lookup = |name: &str| {
            read.borrow_mut().insert(name.to_owned());
            let value = match (name, &variables[name]) {
                ("AWS_REGION" | "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY", _) => "of-lambda".to_owned(),
                (_, Value::Null) => return None,
                (_, Value::String(value)) => value.clone(),
                (_, value) => value.to_string(),
            };
            Some(value.into())
        };
        assert!(Config::read(lookup).is_ok() && read_connection(lookup).is_ok(), "{variables:?}");
        let unread: Vec<_> =
            variables.as_object().unwrap().keys().filter(|name| !read.borrow().contains(*name)).collect();
        assert!(unread.is_empty(), "the function does not read {unread:?}");
    }
}

#[test]
fn a_stack_without_a_secret_is_refused() {
    let broken = |given: &[(&str, &str)]| Template::with(given).broken_rules().len();
    assert_eq!(broken(&[]), 1, "no secret");
    assert_eq!(broken(&[("UnauthenticatedHooks", "anybody-may-ask-who-may-call-whom")]), 0);
    let secret = ("HookSecret", "of-this-test");
    assert_eq!(broken(&[secret]), 0);
    assert_eq!(broken(&[secret, ("HookSecretArn", "arn")]), 1, "two secrets");
    assert_eq!(broken(&[secret, ("TableName", "a"), ("ExistingTableName", "b")]), 1, "two tables");
}

/// Lambda's limit for a description is 256 characters. A change of any variable that has a fixed set of values, and of any
/// number, must change it: otherwise no version is published, and calls go on with the old value.
#[test]
fn the_description_of_a_version_fits_and_changes_with_the_parameters() {
    let description = |given: &[(&str, &str)]| {
        let function = Template::with(given).resources("AWS::Serverless::Function").remove(0);
        text(&function["VersionDescription"]).to_owned()
    };
    let (revision, version) = ("r".repeat(40), "v".repeat(64));
    let longest = [
        ("Revision", revision.as_str()),
        ("HookSecretVersion", &version),
        ("Architecture", "x86_64"),
        ("MemorySize", "1024"),
        ("ReadConsistency", "eventual"),
        ("AppCacheSeconds", "3600"),
        ("StoreDeadlineMs", "4000"),
        ("OnStoreFailure", "allow"),
        ("LogLevel", "debug"),
        ("LogParties", "masked"),
        ("Tracing", "on"),
        ("PhoneRegion", "RU"),
        ("GatedHooks", "OnCallEvent,call"),
        ("OtherHooks", "refuse"),
    ];
    assert!(description(&longest).chars().count() <= 256);
    for given in longest {
        assert_ne!(description(&[given]), description(&[]), "{given:?}");
    }
}

#[test]
fn the_role_may_read_the_table_and_write_the_log_only() {
    for (tracing, existing, table) in [
        ("off", "", "Table.Arn"),
        ("on", "calls", "arn:AWS::Partition:dynamodb:AWS::Region:AWS::AccountId:table/calls"),
    ] {
        let template = Template::with(&[("Tracing", tracing), ("ExistingTableName", existing)]);
        let role = template.resources("AWS::IAM::Role").remove(0);
        assert_eq!(role.get("ManagedPolicyArns"), None);
        let statements = list(&role["Policies"]).iter().flat_map(|it| list(&it["PolicyDocument"]["Statement"]));
        let allow =
            |action: Value, resource: &str| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
        let mut expected = vec![
            allow("dynamodb:BatchGetItem".into(), table),
            allow(json!(["logs:CreateLogStream", "logs:PutLogEvents"]), "FunctionLog.Arn"),
        ];
        if tracing == "on" {
            expected.push(allow(json!(["xray:PutTraceSegments", "xray:PutTelemetryRecords"]), "*"));
        }
        assert_eq!(statements.cloned().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn every_parameter_has_a_description_and_one_group_in_the_console() {
    let template = Template::with(&[]);
    let groups = &template.section("Metadata")["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let mut grouped: Vec<&str> = list(groups).iter().flat_map(|it| list(&it["Parameters"])).map(text).collect();
    grouped.sort_unstable();
    let mut parameters: Vec<&str> = template.section("Parameters").keys().map(String::as_str).collect();
    parameters.sort_unstable();
    assert_eq!(grouped, parameters);
    assert!(template.section("Parameters").values().all(|it| !text(&it["Description"]).is_empty()));
}

#[test]
fn the_conditions_of_the_template_decide_what_is_created() {
    let create = |kind: &str, given: &[(&str, &str)]| Template::with(given).resources(kind).len();
    assert_eq!(create("AWS::DynamoDB::Table", &[]), 1);
    assert_eq!(create("AWS::DynamoDB::Table", &[("ExistingTableName", "calls")]), 0);
    let alarms = "AWS::CloudWatch::Alarm";
    let silence = "AWS::CloudWatch::CompositeAlarm";
    assert_eq!((create(alarms, &[]), create(silence, &[])), (11, 1));
    let given = [("NoDecisionsMinutes", "0")];
    assert_eq!((create(alarms, &given), create(silence, &given)), (9, 0));
    let given = [("LogLevel", "warn")];
    assert_eq!((create(alarms, &given), create(silence, &given)), (8, 0), "calls cannot be seen in a log without them");
    assert_eq!(widgets(&Template::with(&[("NoDecisionsMinutes", "0")])).len(), 10);
    assert_eq!(Template::with(&[]).resources("AWS::Serverless::Function")[0]["FunctionName"], STACK);
}
