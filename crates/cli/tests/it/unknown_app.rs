//! A mistyped app: the first rule of an app that has nothing stored is noticed.

use serde_json::json;

use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, TestServer, split_words, tool_at};

const NOTICE: &str = "app `shpo` has nothing stored; similar: `shop`";

/// The commands that write something for an app.
const WRITES: [&str; 6] = [
    "allow --app shpo --from a --to b",
    "deny --app shpo --from '*' --to b",
    "block --app shpo a",
    "group add --app shpo @sales a",
    "suspend --app shpo a",
    "suspend --app shpo",
];

#[test]
fn the_first_rule_of_an_app_is_noticed() {
    for write in WRITES {
        let server = TestServer::with_table();
        // A new table has no other app.
        server.run(write).succeeds().does_not_print("nothing stored");
        let server = TestServer::with_table();
        server.run("allow --app shop --from a --to b").succeeds();
        server.run("allow --app office --from a --to b --yes").succeeds();
        let quiet = server.run(&format!("{write} --yes")).succeeds();
        quiet.does_not_print("nothing stored");
        // From now on the app is a known one.
        server.run("allow --app shpo --from x --to y").succeeds().does_not_print("nothing stored");
        let server = TestServer::with_table();
        server.run("allow --app shop --from a --to b").succeeds();
        server.run(write).succeeds().prints(NOTICE).does_not_print("office");
        server.run(&write.replace("shpo", "zzz")).succeeds().prints("app `zzz` has nothing stored\n");
    }
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    let file = "app,from,to,effect\nshpo,a,b,allow\nshop,c,d,allow\n";
    server.pipe("import - --dry-run", file).succeeds().does_not_print("nothing stored");
    server.pipe("import -", file).succeeds().prints(NOTICE);
    server.pipe("import -", file).succeeds().does_not_print("nothing stored");
}

/// Without the right to scan the table, rules are written as before.
#[test]
fn the_right_to_scan_is_not_needed() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    let url = start_proxy(server.address, |request| {
        if request.operation() == Some("Scan") {
            let message = json!({"__type": "x#AccessDeniedException", "message": "not authorized"});
            return Treatment::answer("400 Bad Request", &message);
        }
        Treatment::Forward
    });
    let run = Run::of(tool_at(&url).args(split_words("allow --app shpo --from a --to b")));
    run.succeeds().prints("written").does_not_print("nothing stored");
}
