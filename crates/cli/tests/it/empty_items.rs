//! An item in which nothing is left is deleted by the command that removes the last of it.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::changed_meanwhile::{run, treat_first_write};
use crate::proxy::{Treatment, start_proxy};
use crate::support::{TABLE, TempFolder, TestServer};

/// Pairs of a command that writes something, and one that removes it.
const COMMANDS: [(&str, &str); 9] = [
    ("allow --app shop --from '+7*' --to b --yes", "revoke --app shop --from '+7*' --to b --yes"),
    ("allow --app shop --from a --to 'b*' --yes", "revoke --app shop --from a --to 'b*' --yes"),
    ("allow --app shop --from '*' --to '*' --yes", "revoke --app shop --from '*' --to '*' --yes"),
    ("allow --app shop --from '*' --to '+8*' --yes", "revoke --app shop --from '*' --to '+8*' --yes"),
    ("allow --app shop --from a --to b", "revoke --app shop --from a --to b"),
    ("suspend --app shop b", "resume --app shop b"),
    ("suspend --app shop --yes", "resume --app shop --yes"),
    ("block --app shop a --yes", "unblock --app shop a"),
    ("group add --app shop @sales a b", "group remove --app shop @sales a b"),
];

/// Adds an attribute to every item.
fn add_to_all(server: &TestServer, name: &str, value: &Value) {
    for mut item in server.stored() {
        item[name] = value.clone();
        server.put(&item);
    }
}

#[test]
fn whatever_is_written_and_removed_leaves_nothing() {
    let server = TestServer::with_table();
    for (write, remove) in COMMANDS {
        server.run(write).succeeds();
        assert!(!server.items().is_empty());
        server.run(remove).succeeds();
        assert_eq!(server.items(), Vec::<Value>::new(), "{remove}");
    }
    for (write, _) in COMMANDS {
        server.run(write).succeeds();
    }
    for (_, remove) in COMMANDS {
        server.run(remove).succeeds();
    }
    assert_eq!(server.items(), Vec::<Value>::new());
}

#[test]
fn an_item_with_anything_else_in_it_stays() {
    for (name, value) in
        [("note", json!({"S": "a guest"})), ("team", json!({"S": "x"})), ("expires_at", json!({"N": "4070908800"}))]
    {
        for (write, remove) in COMMANDS {
            let server = TestServer::with_table();
            server.run(write).succeeds();
            // The rule of a pair item would be invalid.
            if server.items()[0]["sk"]["S"].as_str().unwrap().starts_with("CALLER#") {
                continue;
            }
            add_to_all(&server, name, &value);
            let count = server.items().len();
            server.run(remove).succeeds();
            let items = server.items();
            assert_eq!(items.len(), count, "{remove}");
            assert!(items.iter().all(|item| item[name] == value), "{remove}");
        }
    }
}

#[test]
fn an_expired_party_with_nothing_else_is_deleted() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from '+7*' --to b --yes").succeeds();
    add_to_all(&server, "expires_at", &json!({"N": "1767225600"}));
    server.run("revoke --app shop --from '+7*' --to b --yes").succeeds();
    assert!(server.items().is_empty());
}

#[test]
fn import_deletes_what_it_empties() {
    let (server, folder) = (TestServer::with_table(), TempFolder::new());
    let rules = |rules: &str| folder.write("rules.csv", &format!("app,from,to,effect\n{rules}")).display().to_string();
    let all = (0..250).fold(String::new(), |text, number| text + &format!("shop,+{number:03}*,b,deny\n"));
    let all = rules(&format!("{all}shop,a,c*,allow\nshop,*,*,allow\nshop,*,+7*,deny\nshop,e,*,block\nshop,a,b,deny\n"));
    server.run(&format!("import {all} --yes")).succeeds();
    server.run("suspend --app shop c").succeeds();
    assert_eq!(server.items().len(), 6);
    server.run(&format!("import {} --replace --yes", rules("shop,x,y,allow\n"))).succeeds();
    let keys: Vec<_> = server.items().iter().map(|item| item["pk"]["S"].clone()).collect();
    assert_eq!(keys, ["PARTY#shop#c", "PARTY#shop#y"]);
}

#[test]
fn doctor_deletes_what_it_empties() {
    let server = TestServer::with_table();
    let expired = json!({"M": {"effect": {"S": "allow"}, "expires_at": {"N": "1767225600"}}});
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"+7*": expired}}}));
    let misplaced = json!({"M": {"a": {"M": {"effect": {"S": "deny"}}}}});
    server.put(&json!({"pk": {"S": "PARTY#shop#c"}, "sk": {"S": "PARTY"}, "incoming": misplaced}));
    server.run("allow --app shop --from '*' --to '*' --yes").succeeds();
    server.run("doctor --fix").succeeds().prints("fixed: expired").prints("fixed: misplaced");
    let keys: Vec<_> = server.items().iter().map(|item| [item["pk"]["S"].clone(), item["sk"]["S"].clone()]).collect();
    assert_eq!(keys, [["APP#shop", "APP"], ["PARTY#shop#c", "CALLER#a"]]);
}

/// Items that other programs leave behind are not parties that anybody knows.
#[test]
fn an_empty_item_does_not_mislead_doctor() {
    let server = TestServer::with_table();
    for number in 0..30 {
        let pk = format!("PARTY#shop#+7{number:02}");
        server.put(&json!({"pk": {"S": pk}, "sk": {"S": "PARTY"}, "status": {"S": "active"}, "incoming": {"M": {}}}));
    }
    server.run("allow --app shop --from '+7*' --to b --yes").succeeds();
    server.run("doctor").succeeds().does_not_print("short_prefix");
}

#[test]
fn two_writers_who_remove_the_last_rules_leave_nothing() {
    for _ in 0..5 {
        let server = TestServer::with_table();
        for rule in ["+7*", "+8*"] {
            server.run(&format!("allow --app shop --from '{rule}' --to b --yes")).succeeds();
        }
        std::thread::scope(|scope| {
            for rule in ["+7*", "+8*"] {
                let server = &server;
                scope.spawn(move || {
                    server.run(&format!("revoke --app shop --from '{rule}' --to b --yes")).succeeds();
                });
            }
        });
        assert_eq!(server.items(), Vec::<Value>::new());
    }
}

#[test]
fn an_item_that_is_written_again_meanwhile_stays() {
    let server = TestServer::with_table();
    for (write, remove) in COMMANDS {
        server.run(write).succeeds();
        let (handle, item) = (server.handle(), server.stored()[0].clone());
        let (theirs, is_first) = (item.clone(), AtomicBool::new(true));
        let proxy = start_proxy(server.address, move |request| {
            // The item would be deleted with the last that is in it.
            if request.deletes() && is_first.swap(false, Ordering::SeqCst) {
                let mut changed = theirs.clone();
                changed["note"] = json!({"S": "theirs"});
                handle.request("PutItem", &json!({"TableName": TABLE, "Item": changed}));
            }
            Treatment::Forward
        });
        if remove != "revoke --app shop --from a --to b" {
            run(&proxy, remove).succeeds();
            assert_eq!(server.stored()[0]["note"], json!({"S": "theirs"}), "{remove}");
        }
        server.request("DeleteItem", &json!({"TableName": TABLE, "Key": {"pk": item["pk"], "sk": item["sk"]}}));
    }
}

#[test]
fn a_removal_whose_answer_got_lost_leaves_nothing() {
    for (write, remove) in COMMANDS.iter().filter(|(write, _)| !write.starts_with("suspend")) {
        let server = TestServer::with_table();
        server.run(write).succeeds();
        let (proxy, _) = treat_first_write(&server, || Treatment::LoseAnswer);
        run(&proxy, remove).succeeds();
        assert_eq!(server.items(), Vec::<Value>::new(), "{remove}");
    }
}

#[test]
fn an_empty_item_that_cannot_be_deleted_is_reported() {
    let server = TestServer::with_table();
    for rule in ["+7*", "+8*"] {
        server.run(&format!("allow --app shop --from '{rule}' --to b --yes")).succeeds();
    }
    // Another writer removes the other rule at the same time, so nothing is left of the item.
    let (handle, is_first) = (server.handle(), AtomicBool::new(true));
    let proxy = start_proxy(server.address, move |request| match request.operation() {
        Some("TransactWriteItems") if is_first.swap(false, Ordering::SeqCst) => {
            handle.request(
                "UpdateItem",
                &json!({
                    "TableName": TABLE, "Key": {"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}},
                    "UpdateExpression": "REMOVE incoming.#n", "ExpressionAttributeNames": {"#n": "+8*"},
                }),
            );
            Treatment::Forward
        }
        Some("DeleteItem") => Treatment::refuse("AccessDeniedException"),
        _ => Treatment::Forward,
    });
    run(&proxy, "revoke --app shop --from '+7*' --to b --yes")
        .exits_with(1)
        .prints("the change is written, but the item, which is now empty, cannot be deleted");
}
