//! The store that `callgatectl serve` serves: where it is, whether it can be read, and the calls to try on it.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::console::Console;
use crate::proxy::{Treatment, start_proxy};
use crate::serve::{ServeProcess, callgatectl};
use crate::support::{Run, TABLE, TempFolder, TestServer, split_words, tool};

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the printed curl commands, and checks that each gets the printed status. Returns the bodies with the statuses.
#[track_caller]
fn examples(serve: &ServeProcess) -> Vec<(String, Value)> {
    let lines = serve.greeting.lines().filter_map(|line| line.trim().split_once("  curl -i "));
    let examples = lines.map(|(expected, command)| {
        let output = shell(&format!("curl -s -w '%{{http_code}}' {command}"));
        assert!(output.ends_with(expected), "{command}: {output}");
        let (_, body) = command.rsplit_once(" -d ").unwrap();
        (expected.to_owned(), serde_json::from_str(&shell(&format!("printf %s {body}"))).unwrap())
    });
    examples.collect()
}

/// The calls that are printed for a table after these commands.
#[track_caller]
fn examples_after(commands: &[&str]) -> Vec<(String, Value)> {
    let server = TestServer::with_table();
    for command in commands {
        server.run(command).succeeds();
    }
    examples(&ServeProcess::over(&server, "0"))
}

fn event(app: &str, caller: &str, callee: &str) -> Value {
    json!({"appKey": app, "caller": caller, "callee": callee})
}

#[test]
fn the_calls_to_try_get_the_printed_status_whatever_the_table_holds() {
    let allow = |from: &str, to: &str| format!("allow --yes --app shop --from '{from}' --to '{to}'");
    let deny = |from: &str, to: &str| format!("deny --yes --app shop --from '{from}' --to '{to}'");
    let everyone = &*allow("*", "*");
    let video = format!("{} --media video", allow("a", "b"));
    let [later, expired, off] =
        ["--hours 'Mon 00:00-00:01 UTC except 2000-01-01..2199-12-31'", "--until 2099-01-01", "--disabled"]
            .map(|condition| format!("{} {condition}", allow("c", "d")));
    for (commands, permitted) in [
        (vec![&*allow("a", "b")], Some(event("shop", "a", "b"))),
        (vec![&*allow("+7495*", "b"), &*deny("+74951*", "b")], None),
        (vec![&*allow("+49*", "b")], Some(event("shop", "+49111111111", "b"))),
        (vec![&*allow("user*", "*")], Some(event("shop", "user1", "PPP005"))),
        (vec![&*allow("*", "b")], Some(event("shop", "PPP009", "b"))),
        (vec![&*allow("*", "+1*")], Some(event("shop", "PPP009", "+11111111111"))),
        (vec![&*allow("@sales", "b"), "group add --app shop @sales x"], Some(event("shop", "x", "b"))),
        (vec![&*allow("a", "b c")], Some(event("shop", "a", "b c"))),
        (vec![everyone], Some(event("shop", "PPP009", "PPP005"))),
        (vec![everyone, &*deny("+881*", "*")], Some(event("shop", "PPP009", "PPP005"))),
        (vec![everyone, "suspend --app shop"], None),
        (
            vec![&*video],
            Some(json!({"appKey": "shop", "caller": "a", "callee": "b", "hasAudio": false, "hasVideo": true})),
        ),
        (vec![&*later, &*off], None),
        (vec![&*expired, &*allow("a", "b"), "suspend --app shop c"], Some(event("shop", "a", "b"))),
        (vec!["allow --yes --app defaultApp --from '*' --to '*'"], Some(event("defaultApp", "PPP009", "PPP005"))),
        (vec!["deny --app shop --from a --to b"], None),
    ] {
        let examples = examples_after(&commands);
        let of = |status: &str| examples.iter().find(|(printed, _)| printed == status).map(|(_, body)| body.clone());
        assert_eq!(of("200"), permitted, "{commands:?}");
        assert!(of("403").is_some(), "{commands:?}");
    }
}

#[test]
fn a_refused_call_comes_from_a_rule_that_denies_it() {
    let commands = ["allow --app shop --from a --to b", "deny --yes --app shop --from '+881*' --to '*'"];
    let refused = examples_after(&commands).into_iter().find(|(status, _)| status == "403").unwrap();
    assert_eq!(refused.1, event("shop", "+88111111111", "PPP005"));
}

#[test]
fn an_id_that_the_shell_would_read_is_quoted() {
    let server = TestServer::with_table();
    let id = "$(x) `y` it's \\";
    let [pk, sk] = [format!("PARTY#shop#{id}"), "CALLER#a".to_owned()].map(|key| json!({"S": key}));
    server.put(&json!({"pk": pk, "sk": sk, "effect": {"S": "allow"}}));
    let examples = examples(&ServeProcess::over(&server, "0"));
    assert!(examples.contains(&("200".to_owned(), event("shop", "a", id))), "{examples:?}");
}

#[test]
fn an_empty_table_is_reported() {
    let server = TestServer::with_table();
    let serve = ServeProcess::over(&server, "0");
    assert!(serve.greeting.contains("The table has no rules, so every call is refused."), "{}", serve.greeting);
    let [(refused, _)] = &examples(&serve)[..] else { panic!("{}", serve.greeting) };
    assert_eq!(refused, "403");
}

#[test]
fn the_calls_of_the_samples_are_printed_only_while_they_are_true() {
    let folder = TempFolder::new();
    let file = folder.path().join("permissions.db");
    let arguments = ["--data", file.to_str().unwrap()];
    let mut serve = ServeProcess::start(&arguments, &[]);
    let [(_, permitted), (_, refused)] = &examples(&serve)[..] else { panic!("{}", serve.greeting) };
    assert_eq!(*permitted, event("defaultApp", "PPP009", "PPP005"));
    assert_eq!(*refused, event("defaultApp", "PPP009", "PPP006"));
    let store = serve.store();
    for command in
        ["revoke --app defaultApp --from PPP009 --to PPP005", "allow --app defaultApp --from PPP009 --to PPP006"]
    {
        let mut command =
            tool().args(split_words(command)).args(["--table", "callgate", "--endpoint-url", &store]).output();
        Run::new(command.as_mut().unwrap()).succeeds();
    }
    serve.interrupt();
    let serve = ServeProcess::start(&arguments, &[]);
    let examples = examples(&serve);
    assert_eq!(examples.len(), 2);
    assert!(!examples.contains(&("200".to_owned(), event("defaultApp", "PPP009", "PPP005"))), "{examples:?}");
}

/// A table of many rules that permit nothing: one page is read, and a limited number of calls is decided.
#[test]
fn the_search_for_calls_reads_little() {
    let server = TestServer::with_table();
    for n in 0..150 {
        let [pk, sk] = [format!("PARTY#shop#{n}"), "CALLER#a".to_owned()].map(|key| json!({"S": key}));
        server.put(&json!({"pk": pk, "sk": sk, "effect": {"S": "allow"}}));
    }
    server.run("suspend --app shop").succeeds();
    let [scans, reads] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let counters = [Arc::clone(&scans), Arc::clone(&reads)];
    let url = start_proxy(server.address, move |request| {
        match request.operation() {
            Some("Scan") => counters[0].fetch_add(1, Ordering::SeqCst),
            Some("BatchGetItem") => counters[1].fetch_add(1, Ordering::SeqCst),
            other => panic!("{other:?}"),
        };
        Treatment::Forward
    });
    let serve = ServeProcess::start(&["--table", TABLE, "--endpoint-url", &url], &[]);
    assert!(serve.greeting.contains("the first 100 items of the table were searched"), "{}", serve.greeting);
    assert_eq!(scans.load(Ordering::SeqCst), 1);
    let reads = reads.load(Ordering::SeqCst);
    assert!((10..=50).contains(&reads), "{reads}");
}

/// The function's role may read items by key, and nothing else.
#[test]
fn the_right_of_the_function_is_enough() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    let url = start_proxy(server.address, |request| match request.operation() {
        Some("BatchGetItem") => Treatment::Forward,
        _ => Treatment::refuse("AccessDeniedException"),
    });
    let serve = ServeProcess::start(&["--table", TABLE, "--endpoint-url", &url], &[]);
    let note = "No permitted call is shown, because the table was not listed: DynamoDB answered AccessDeniedException";
    assert!(serve.greeting.contains(note), "{}", serve.greeting);
    assert_eq!(examples(&serve).len(), 1);
}

#[test]
fn calls_to_try_are_refused_where_this_machine_is_not_an_allowed_source() {
    let serve = ServeProcess::start(&[], &[("ALLOWED_SOURCES", "192.0.2.0/24")]);
    let [(refused, _)] = &examples(&serve)[..] else { panic!("{}", serve.greeting) };
    assert_eq!(refused, "403");
    assert!(serve.greeting.contains("ALLOWED_SOURCES does not contain 127.0.0.1"), "{}", serve.greeting);
}

/// Credentials that any local server accepts.
const CREDENTIALS: [(&str, &str); 3] =
    [("AWS_REGION", "eu-central-1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];

#[test]
fn a_table_and_an_endpoint_are_named_with_the_variables_they_come_from() {
    let server = TestServer::with_table();
    let url = format!("http://{}", server.address);
    let (by_option, table) = (["--table", TABLE, "--endpoint-url", &url], ("TABLE_NAME", TABLE));
    for (arguments, environment, named) in [
        (&by_option[..], vec![], format!("the table `{TABLE}` at {url}\n")),
        (&by_option[2..], vec![table], format!("the table `{TABLE}` (TABLE_NAME) at {url}\n")),
        (
            &[],
            vec![table, ("AWS_ENDPOINT_URL_DYNAMODB", &url)],
            format!("the table `{TABLE}` (TABLE_NAME) at {url} (AWS_ENDPOINT_URL_DYNAMODB)\n"),
        ),
        (
            &[],
            [vec![table, ("AWS_ENDPOINT_URL", &*url)], CREDENTIALS.to_vec()].concat(),
            format!("the table `{TABLE}` (TABLE_NAME) at {url} (AWS_ENDPOINT_URL)\n"),
        ),
    ] {
        let serve = ServeProcess::start(arguments, &environment);
        assert!(serve.greeting.starts_with(&format!("Permissions: {named}")), "{}", serve.greeting);
    }
}

#[test]
fn a_store_that_cannot_be_used_is_an_error_at_the_start() {
    let [empty, server] = [TestServer::empty(), TestServer::with_table()];
    let [empty_url, url] = [&empty, &server].map(|server| format!("http://{}", server.address));
    let refusing = start_proxy(server.address, |_| Treatment::refuse("AccessDeniedException"));
    let other_server = start_proxy(server.address, |_| Treatment::answer("404 Not Found", "{}"));
    let with_other_keys = TestServer::empty();
    with_other_keys.request(
        "CreateTable",
        &json!({
            "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        }),
    );
    let other_keys = format!("http://{}", with_other_keys.address);
    // Nothing listens on a port that was just closed.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{closed}");
    let table = ("TABLE_NAME", TABLE);
    for (environment, code, problems) in [
        (
            vec![("AWS_ENDPOINT_URL_DYNAMODB", &*closed)],
            1,
            vec!["AWS_ENDPOINT_URL_DYNAMODB", &closed, "cannot be reached"],
        ),
        (
            vec![table, ("AWS_ENDPOINT_URL_DYNAMODB", &empty_url)],
            1,
            vec!["TABLE_NAME", &empty_url, "there is no table"],
        ),
        (vec![table, ("AWS_ENDPOINT_URL_DYNAMODB", &refusing)], 1, vec!["TABLE_NAME", "AccessDeniedException"]),
        (vec![table, ("AWS_ENDPOINT_URL_DYNAMODB", &other_server)], 1, vec!["does not answer like DynamoDB"]),
        (vec![table, ("AWS_ENDPOINT_URL_DYNAMODB", &other_keys)], 1, vec!["has other keys than callgate's"]),
        (
            [vec![("AWS_ENDPOINT_URL", &*closed)], CREDENTIALS.to_vec()].concat(),
            1,
            vec!["AWS_ENDPOINT_URL)", &closed, "cannot be reached"],
        ),
        (
            vec![table, ("AWS_REGION", "eu-central-1"), ("AWS_ENDPOINT_URL", &*url)],
            1,
            vec!["TABLE_NAME", "there are no AWS credentials"],
        ),
        (vec![table], 2, vec!["no AWS region is given"]),
        (vec![table, ("AWS_ENDPOINT_URL", "localhost:8000")], 2, vec!["AWS_ENDPOINT_URL is `localhost:8000`"]),
    ] {
        let mut command = callgatectl(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent");
        let run = Run::of(command.envs(environment.iter().copied())).exits_with(code);
        assert!(run.stderr.starts_with("error: ") && run.stderr.lines().count() == 1, "{run:?}");
        assert!(problems.iter().all(|problem| run.stderr.contains(problem)), "{problems:?}: {run:?}");
        assert_eq!(run.stdout, "");
    }
}

/// With an endpoint alone, the table has its usual name, for the hook and for the console.
#[test]
fn an_endpoint_is_enough() {
    let mut store = ServeProcess::start(&[], &[]);
    let mut serve = ServeProcess::start(&["--endpoint-url", &store.store()], &[]);
    assert!(serve.greeting.contains("\n    200  curl"), "{}", serve.greeting);
    Console::of(&mut serve).get("/rules").is(200).shows("PPP009");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_start_that_waits_for_the_store() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut serve = callgatectl(&["serve", "--listen", "127.0.0.1:0", "--endpoint-url", &url]).spawn().unwrap();
    let connection = silent.accept().unwrap();
    assert!(Command::new("kill").args(["-INT", &serve.id().to_string()]).status().unwrap().success());
    assert_eq!(serve.wait().unwrap().code(), None, "it ended without a signal");
    drop(connection);
}

#[test]
fn an_option_without_effect_is_refused() {
    let [table, endpoint] = [("TABLE_NAME", "t-1"), ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")];
    for (arguments, environment, problems) in [
        ("--data x.db --table t-1", vec![], vec!["--data", "--table (`t-1`)", "leave out --table"]),
        ("--data x.db", vec![table], vec!["--data", "TABLE_NAME (`t-1`)", "unset TABLE_NAME"]),
        ("--data x.db", vec![endpoint], vec!["--data", "AWS_ENDPOINT_URL_DYNAMODB (`http://127.0.0.1:9`)"]),
        ("--data x.db", vec![("AWS_ENDPOINT_URL", "http://127.0.0.1:9")], vec!["--data", "unset AWS_ENDPOINT_URL\n"]),
        (
            "--store-listen 127.0.0.1:0",
            vec![table, endpoint],
            vec!["--store-listen", "unset TABLE_NAME and unset AWS_ENDPOINT"],
        ),
        (
            "--store-listen 127.0.0.1:0 --endpoint-url http://127.0.0.1:9",
            vec![],
            vec!["--store-listen", "leave out --endpoint-url"],
        ),
        ("--region eu-central-1", vec![], vec!["--region", "embedded store"]),
        ("--profile p", vec![], vec!["--profile", "embedded store"]),
        ("--region eu-central-1 --table ''", vec![("TABLE_NAME", "")], vec!["--region", "embedded store"]),
        ("--output json", vec![], vec!["--output json"]),
        ("--hook-path /x", vec![], vec!["--backend"]),
    ] {
        let mut command = callgatectl(&["serve", "--listen", "127.0.0.1:0"]);
        let run = Run::of(command.args(split_words(arguments)).envs(environment.iter().copied())).exits_with(2);
        assert!(problems.iter().all(|problem| run.stderr.contains(problem)), "{arguments}: {run:?}");
    }
}
