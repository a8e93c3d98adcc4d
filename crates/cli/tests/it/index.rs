//! The index `inverted`: rules of a caller are found by it, and without it by a scan.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, TestServer, split_words, tool_at};

fn add_rules(server: &TestServer) {
    for rule in [
        "allow --app shop --from PPP009 --to PPP005",
        "deny --app shop --from PPP009 --to PPP001 --note later",
        "allow --app shop --from PPP001 --to PPP009",
        "allow --app shop --from PPP009 --to '7*' --yes",
        "allow --app shop --from PPP0090 --to PPP005",
        "allow --app shop2 --from PPP009 --to PPP005",
    ] {
        server.run(rule).succeeds();
    }
}

const SHOWN: &str = "\
party PPP009 of app shop: active
who may call it:
  allow PPP001 to PPP009 [";

#[test]
fn show_prints_the_rules_of_a_party_in_both_directions() {
    let server = TestServer::with_table();
    add_rules(&server);
    let run = server.run("show --app shop PPP009").succeeds();
    assert!(run.stdout.starts_with(SHOWN), "{run:?}");
    let (_, pairs) = run.stdout.split_once("whom it may call, by rules between two parties:\n").unwrap();
    let rules: Vec<_> = pairs.lines().map(|line| line.split(" [").next().unwrap()).collect();
    assert_eq!(rules, ["  deny PPP009 to PPP001 (later)", "  allow PPP009 to PPP005"]);
    assert_eq!(run.stderr, "");
    let shown = server.json("show --app shop PPP009");
    assert_eq!(shown["outgoing"].as_array().unwrap().len(), 1);
    assert_eq!(shown["outgoing_pairs"][0]["to"], "PPP001");
    assert!(shown["outgoing_pairs"][1]["updated_by"].is_string());
    // A party that is only a caller.
    server.run("show --app shop PPP0090").succeeds().prints("allow PPP0090 to PPP005").prints("active");
}

#[test]
fn a_party_without_rules_is_shown_with_the_app_rules_that_match_it() {
    let server = TestServer::with_table();
    server.run("deny --app shop --from '+881*' --to '*' --yes").succeeds();
    server.run("deny --app shop --from '*' --to '+8*' --yes").succeeds();
    server.run("allow --app shop --from 'PPP*' --to '*' --yes").succeeds();
    let run = server.run("show --app shop +8815550100").succeeds();
    run.prints("nothing is stored for party +8815550100 of app shop")
        .prints("deny +881* to *")
        .prints("deny * to +8*")
        .does_not_print("PPP");
    let shown = server.json("show --app shop +8815550100");
    assert_eq!((&shown["is_stored"], &shown["incoming"]), (&json!(false), &json!([])));
    assert_eq!(shown["app_rules"].as_array().unwrap().len(), 2);
    server.run("show --app new x").succeeds().prints("nothing is stored for party x").prints("no rules");
}

#[test]
fn without_the_index_the_table_is_scanned_and_that_is_printed() {
    let old = TestServer::with_table_and_index(None);
    let new = TestServer::with_table();
    for server in [&old, &new] {
        add_rules(server);
    }
    let without_authors =
        |run: &Run| run.stdout.lines().map(|line| line.split(" [").next().unwrap().to_owned()).collect::<Vec<_>>();
    for command in ["show --app shop PPP009", "who --app shop --from PPP009"] {
        let run = old.run(command).succeeds();
        run.clone()
            .prints("the index `inverted` cannot be used (The table does not have the specified index")
            .prints("so the whole table is scanned; `callgatectl table create --table permissions` adds it");
        assert_eq!(without_authors(&run)[1..], without_authors(&new.run(command))[1..]);
    }
    old.run("table create").succeeds().prints("completed");
    old.run("show --app shop PPP009").succeeds().does_not_print("scanned");
}

/// DynamoDB's answer while it fills a new index, or when the index has other keys.
#[test]
fn an_index_that_is_not_ready_is_not_needed() {
    let server = TestServer::with_table();
    add_rules(&server);
    let url = start_proxy(server.address, |request| {
        if request.operation() == Some("Query") && request.json().get("IndexName").is_some() {
            return Treatment::refuse_with(
                "ValidationException",
                "Cannot read from backfilling global secondary index: inverted",
            );
        }
        Treatment::Forward
    });
    let run = Run::of(tool_at(&url).args(split_words("show --app shop PPP009"))).succeeds();
    run.prints("backfilling").prints("allow PPP009 to PPP005");
    let url = start_proxy(server.address, |request| {
        if request.operation() == Some("Query") && request.json().get("IndexName").is_some() {
            return Treatment::refuse("AccessDeniedException");
        }
        Treatment::Forward
    });
    let run = Run::of(tool_at(&url).args(split_words("show --app shop PPP009"))).exits_with(1);
    run.prints("cannot read the index").prints("access.md");
}

/// The items that a command reads: each item once for each request that returns it, and the operations.
fn reads(server: &TestServer, arguments: &str) -> (usize, BTreeSet<String>) {
    let reads = Arc::<Mutex<(usize, BTreeSet<String>)>>::default();
    let counted = Arc::clone(&reads);
    let url = start_proxy(server.address, move |request| {
        let operation = request.operation().unwrap().to_owned();
        let response = request.send(&operation, &request.json());
        let text = String::from_utf8(response.clone()).unwrap();
        let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        let batch = body["Responses"].as_object().into_iter().flat_map(|tables| tables.values());
        let batch: usize = batch.map(|items| items.as_array().unwrap().len()).sum();
        let scanned = usize::try_from(body["ScannedCount"].as_u64().unwrap_or(0)).unwrap();
        let mut reads = counted.lock().unwrap();
        reads.0 += batch + scanned + usize::from(body.get("Item").is_some());
        reads.1.insert(operation);
        Treatment::Respond(response)
    });
    Run::of(tool_at(&url).args(split_words(arguments))).succeeds();
    let reads = reads.lock().unwrap();
    reads.clone()
}

#[test]
fn show_and_who_read_what_belongs_to_one_party_however_many_rules_there_are() {
    let server = TestServer::with_table();
    add_rules(&server);
    server.run("deny --app shop --from '+881*' --to '*' --yes").succeeds();
    let commands =
        ["show --app shop PPP009", "who --app shop --from PPP009", "who --app shop --to PPP009", "show --app shop new"];
    let few = commands.map(|command| reads(&server, command));
    let mut file = "app,from,to,effect\n".to_owned();
    for number in 0..300 {
        writeln!(file, "shop,+7495{number:07},PPP{:04},allow", 1_000 + number % 50).unwrap();
        writeln!(file, "shop,N{number},+7*,allow").unwrap();
    }
    server.pipe("import -", &file).succeeds();
    let many = commands.map(|command| reads(&server, command));
    assert_eq!(few, many);
    for (items, operations) in many {
        assert!(items <= 12, "{items}");
        assert!(!operations.contains("Scan"), "{operations:?}");
    }
}
