//! `import` and `export`.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Run, TestServer, csv};

const RULES: &str = "\
app,from,to,effect,media,hours,expires_at,disabled,list,note
shop,*,PPP005,deny,,,,,,
shop,+7495*,PPP005,allow,audio,Mon-Fri 09:00-18:00 Europe/Moscow; Sat 10:00-14:00 Europe/Moscow,,,,
shop,+881*,*,deny,,,,,,\"spam, mostly\"
shop,PPP002,*,allow,,,,,,
shop,PPP009,PPP005,allow,audio video,,2099-12-31T00:00:00Z,,,
shop,anonymous,PPP005,deny,,,,,,
way#2,a,b,allow,,,,,,
";

#[test]
fn an_exported_file_imports_to_the_same_table() {
    let server = TestServer::with_table();
    server.pipe("import -", RULES).succeeds().prints("imported: 7 rules written");
    let before = server.items();
    let csv = server.run("export").succeeds().stdout;
    assert_eq!(csv, RULES);
    let ndjson = server.run("export --format ndjson").succeeds().stdout;
    for (text, arguments) in
        [(&csv, "import -"), (&ndjson, "import -"), (&ndjson, "import - --replace --yes --format ndjson")]
    {
        server.pipe(arguments, text).succeeds();
        assert_eq!(server.items(), before, "{arguments}");
        let other = TestServer::with_table();
        other.pipe(arguments, text).succeeds();
        assert_eq!(other.items(), before, "{arguments}");
        assert_eq!(other.run("export").succeeds().stdout, RULES);
    }
    assert_eq!(
        server.run("export --app 'way#2'").succeeds().stdout,
        "app,from,to,effect,media,hours,expires_at,disabled,list,note\nway#2,a,b,allow,,,,,,\n"
    );
}

#[test]
fn columns_are_read_in_any_order_and_ids_in_any_spelling() {
    let server = TestServer::with_table();
    let text = "\u{feff}to,effect,app,from\nsip:PPP005@example.com,allow,shop,8 (495) 123-45-67\n\"PPP005\",deny,shop,Private\n";
    server.pipe("import - --phone-region RU", text).succeeds();
    let out = server.run("export").succeeds().stdout;
    assert!(out.contains("shop,+74951234567,PPP005,allow,,,,,,\nshop,anonymous,PPP005,deny,,,,,,\n"), "{out}");
    let line = json!({"app": "shop", "from": "x", "to": "y", "effect": "allow", "media": ["audio"], "expires_at": 4_102_358_400_i64, "hours": null});
    server.pipe("import -", &line.to_string()).succeeds();
    assert!(server.run("export").succeeds().stdout.contains("shop,x,y,allow,audio,,2099-12-31T00:00:00Z,,,\n"));
}

#[test]
fn an_invalid_line_keeps_the_whole_file_out() {
    #[track_caller]
    fn check_refused(text: &str, messages: &[&str]) {
        let server = TestServer::with_table();
        let mut run = server.pipe("import -", text).exits_with(1);
        for message in messages {
            run = run.prints(message);
        }
        assert!(server.items().is_empty());
    }
    check_refused(
        "app,from,to,effect\nshop,a,b,allow\nshop,+7*5,b,alow\nshop,c,d,deny\n",
        &[
            "line 3, column `from`: `+7*5` contains a `*`",
            "line 3, column `effect`: `alow` must be",
            "2 problems",
            "nothing was written",
        ],
    );
    check_refused("app,from,to,effect\nshop,a*,b*,allow\n", &["line 2, column `to`: `b*`", "two patterns"]);
    check_refused(
        "app,from,to,effect,expires_at\nshop,a,b,allow,1795500000000\n",
        &["column `expires_at`: `1795500000000` is not a valid time"],
    );
    check_refused(
        "app,from,to,effect,hours\nshop,a,b,allow,Mon 09:00-18:00 Mars/X\n",
        &["column `hours`", "`Mars/X` is not a time zone"],
    );
    check_refused(
        "app,from,to,effect\nshop,a,b,allow\nshop,a,b,deny\n",
        &["line 3, column `from,to`", "differs from the rule for the same parties on line 2"],
    );
    check_refused("app,from,to,effect\r\n\r\n\r\nshop,a,b,alow\r\n", &["line 4, column `effect`: `alow`"]);
    check_refused("\n\napp,from,to,effect\n\nshop,a,b,alow\n", &["line 5, column `effect`: `alow`"]);
    check_refused(
        "app,from,to,effect,note\nshop,a,b,allow,\"two\nlines\"\nshop,c,d,alow,\n",
        &["line 4, column `effect`: `alow`", "1 problem in"],
    );
    check_refused(
        "app,from,to,effect,note\nshop,a,b,allow,\"open\nshop,c,d,deny,\n",
        &["line 2, column `note`: `open\\nshop,c,d,deny,\\n` begins with a quotation mark that is never closed"],
    );
    check_refused(
        "app,from,to,effect,note\nshop,a,b,allow,say \"hi\"\nshop,c,d,alow,\"x\"y\n",
        &[
            "line 2, column `note`: `say ` contains a quotation mark",
            "line 3, column `note`: `x` continues after",
            "2 problems",
        ],
    );
    check_refused("app|from|to|effect\nshop|a|b|allow\n", &["line 1: `app|from|to|effect` is not a column"]);
    check_refused("app,from,from,effect\n", &["line 1: `from` appears twice"]);
    check_refused("", &["line 1: the file is empty"]);
    check_refused(
        "app,from,to,effect\nshop,tel:+7495*,b,allow\n",
        &["line 2, column `from`: `tel:+7495*` starts with a scheme"],
    );
    check_refused("app,from,to,effect\nshop,a,b\n", &["line 2: there are 3 fields, and 4 columns"]);
    check_refused("app,from,to\nshop,a,b\n", &["line 1, column `effect`: is missing"]);
    check_refused("app,from,to,effect,colour\n", &["`colour` is not a column"]);
    check_refused(
        "{\"app\":\"shop\",\"from\":\"a\",\"to\":\"b\",\"effect\":\"allow\"}\n{\"app\":1}\n",
        &["line 2, column `app`: `1` must be text"],
    );
    check_refused("{\"app\":\"shop\",\"until\":\"x\"}\n", &["line 1, column `until`", "is not a member of a rule"]);
    check_refused("{\"app\":\n", &["line 1: `{\"app\":` is not a JSON object"]);
    check_refused(
        "\n{\"app\":\"shop\",\"from\":\"a\",\"to\":\"b\",\"effect\":\"allow\",\"from\":\"c\"}\n",
        &["line 2, column `from`: `\"c\"` appears twice in this object"],
    );
    check_refused(
        "[{\"app\":\"shop\"}]\n",
        &["line 1: `[{\"app\":\"shop\"}]` is not a JSON object", "expected one object a line"],
    );
    let long = "x".repeat(1 << 20);
    check_refused(
        &format!("app,from,to,effect,note\nshop,a,b,allow,{long}\n"),
        &["line 2 is longer than 1048576 bytes"],
    );
    TestServer::with_table().run("import /nonexistent/rules.csv").exits_with(1).prints("cannot be opened");
    TestServer::empty().pipe("import -", RULES).exits_with(1).prints("callgatectl table create");
}

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let server = TestServer::with_table();
    server.pipe("import -", RULES).succeeds();
    server.run("allow --app shop --from extra --to PPP005").succeeds();
    server.run("allow --app other --from extra --to PPP005").succeeds();
    let before = server.items();
    let changed =
        RULES.replace("shop,PPP002,*,allow,,,,,,\n", "shop,PPP002,*,deny,,,,,,\nshop,new,PPP005,allow,,,,,,\n");
    let run = server.pipe("import - --dry-run --replace", &changed).succeeds();
    let run = run
        .prints("+ allow new to PPP005 in app shop")
        .prints("~ deny PPP002 to * in app shop [it is: allow PPP002 to * in app shop]");
    let run = run.prints("- allow extra to PPP005 in app shop").does_not_print("app other");
    run.prints("1 rule would be added, 1 changed, 1 removed; 6 stay as they are");
    assert_eq!(server.items(), before);
}

#[test]
fn replace_makes_the_table_equal_to_the_file() {
    let server = TestServer::with_table();
    server.pipe("import -", RULES).succeeds();
    server.run("suspend --app shop PPP005").succeeds();
    server.run("allow --app other --from a --to b").succeeds();
    let one = "app,from,to,effect\nshop,PPP009,PPP005,allow\n";
    server
        .pipe("import - --replace", one)
        .exits_with(1)
        .prints("- deny * to PPP005 in app shop")
        .prints("confirm with --yes");
    assert_eq!(server.run("export --app shop").stdout.lines().count(), 7);
    server.pipe("import - --replace --yes", one).succeeds().prints("1 rule written, 5 removed");
    let header = "app,from,to,effect,media,hours,expires_at,disabled,list,note\n";
    assert_eq!(server.run("export --app shop").stdout, format!("{header}shop,PPP009,PPP005,allow,,,,,,\n"));
    assert_eq!(server.run("export").stdout.lines().count(), 4);
    server.run("check --app shop --from PPP009 --to PPP005").exits_with(3).prints("callee_suspended");
}

#[test]
fn invalid_rules_are_listed_as_left_out_of_the_export() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b").succeeds();
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#c"}, "effect": {"S": "alow"}}));
    server.put(
        &json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#d"}, "effect": {"S": "allow"}, "hours": {"L": []}}),
    );
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#e"}, "effect": {"S": "allow"}, "expires_at": {"N": "1795500000000"}}));
    let run = server.run("export").exits_with(1);
    assert_eq!(run.stdout.lines().count(), 2);
    run.prints("c to b in app shop: `effect` is `alow`").prints("d to b").prints("e to b").prints("3 left out");
}

#[test]
fn an_export_lists_what_an_import_would_not_decide_as_the_table_does() {
    let server = TestServer::with_table();
    let deny = json!({"M": {"effect": {"S": "deny"}}});
    let allow = json!({"M": {"effect": {"S": "allow"}}});
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "callers": {"M": {"a": allow, "+8*": allow}}}));
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "status": {"S": "suspended"},
        "incoming": {"M": {"a": deny, "+7 495*": deny, "+7*": {"M": {"effect": {"S": "deny"}, "expires_at": {"N": "20991231"}}}}}}));
    server.put(&json!({"pk": {"S": "PARTY#shop#98*"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"}}));
    server.put(&json!({"pk": {"S": "PARTY#shop#broken"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"*": allow}}, "outgoing": {"L": []}}));
    for format in ["csv", "ndjson"] {
        let run = server.run(&format!("export --format {format}")).exits_with(1);
        assert_eq!(run.stdout.lines().filter(|line| line.contains("shop")).count(), 1, "{run:?}");
        run.prints("+8*")
            .prints("left out: b in app shop: it is suspended")
            .prints("left out: a to * in app shop, door `app`: import would store it at door `caller`")
            .prints("left out: a to b in app shop, door `callee`: import would store it as a pair item")
            .prints("left out: +7 495* to b in app shop: import would store it from `+7495*` to `b`")
            .prints("left out: +7* to b in app shop: import would refuse it")
            .prints("left out: a to 98* in app shop, pair item: import would store it at door `caller`")
            .prints("left out: broken in app shop: `outgoing` is a list, not a map; its rules are left out too")
            .prints("7 left out of the export");
    }
    server.run("export --app other").succeeds();
}

#[test]
fn notes_keep_their_outer_spaces_and_an_empty_note_is_none() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from a --to b --note ' x '").succeeds();
    server.put(
        &json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#c"}, "effect": {"S": "allow"}, "note": {"S": ""}}),
    );
    let before = server.items();
    for format in ["csv", "ndjson"] {
        let file = server.run(&format!("export --format {format}")).succeeds().stdout;
        let other = TestServer::with_table();
        other.pipe("import -", &file).succeeds();
        let notes: Vec<_> = other.items().iter().map(|item| item["note"]["S"].clone()).collect();
        assert_eq!(notes, [json!(" x "), json!(null)], "{format}");
        server.pipe("import - --dry-run --replace", &file).succeeds();
        assert_eq!(server.items(), before);
    }
}

#[test]
fn two_simultaneous_imports_to_one_party_keep_all_rules() {
    let server = TestServer::with_table();
    std::thread::scope(|scope| {
        for series in ["1", "2"] {
            let server = &server;
            scope.spawn(move || {
                let rules = csv(0..1_000, |number| format!("shop,+{series}{number:04}*,PPP005,allow"));
                server.pipe("import -", &rules).succeeds()
            });
        }
    });
    let items = server.items();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["incoming"]["M"].as_object().unwrap().len(), 2_000);
}

#[test]
#[cfg(unix)]
fn an_interrupted_import_can_be_run_again() {
    let server = TestServer::with_table();
    let rows = csv(0..8_000, |number| format!("shop,caller{number},PPP{number:05},allow"));
    let file = std::env::temp_dir().join(format!("callgatectl-interrupted-{}.csv", std::process::id()));
    std::fs::write(&file, rows).unwrap();
    let mut child = server
        .tool()
        .arg("import")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while server.items().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(child.try_wait().unwrap().is_none(), "it exited before it could be interrupted");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("interrupted: ") && stderr.contains("of 8000 rules are written; run the same command again"),
        "{stderr}"
    );
    Run::of(server.tool().arg("import").arg(&file)).succeeds();
    assert_eq!(server.run("export").succeeds().stdout.lines().count(), 8_001);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn json_output_lists_problems_of_the_header_with_their_line() {
    let server = TestServer::with_table();
    let run = server.pipe("import - --output json", "app,from\n").exits_with(1);
    let refused: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&refused["result"], &refused["count"]), (&json!("refused"), &json!(2)));
    let problem = json!({"line": 1, "column": "to", "value": "", "reason": refused["problems"][0]["reason"]});
    assert_eq!(refused["problems"][0], problem);
}

#[test]
fn the_first_thousand_problems_are_listed_and_all_are_counted() {
    let server = TestServer::with_table();
    let text = csv(0..1_500, |number| format!("shop,caller{number},callee,alow"));
    server
        .pipe("import -", &text)
        .exits_with(1)
        .prints("line 2, column `effect`: `alow` must be `allow`, `deny` or `block` (the same on 1499 more lines: 3, 4, 5, ...)")
        .prints("1500 problems in the file");
    let run = server.pipe("import - --output json", &text).exits_with(1);
    let refused: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((refused["problems"].as_array().unwrap().len(), &refused["count"]), (1_000, &json!(1_500)));
    assert!(server.items().is_empty());
}

#[test]
fn a_prefix_that_cannot_be_dialled_is_imported_if_it_is_meant() {
    let server = TestServer::with_table();
    let text = "app,from,to,effect\nshop,a,b,allow\nshop,8495*,b,deny\n";
    let plan = "--phone-region RU";
    server
        .pipe(&format!("import - {plan}"), text)
        .exits_with(1)
        .prints("line 3, column `from`: `8495*` is a prefix that numbers do not have");
    server
        .pipe(&format!("import - --exactly {plan}"), text)
        .succeeds()
        .prints(
            "notice: line 3, column `from`: `8495*` numbers that are dialled as 8495… start with +7495… in this region",
        )
        .prints("imported: 2 rules written");
    server.pipe("import -", text).succeeds().does_not_print("dialled");
}

#[test]
fn control_characters_are_escaped_on_the_terminal() {
    let server = TestServer::with_table();
    server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"}, "note": {"S": "x\u{1b}[2J\ny"}}));
    server.run("show --app shop b").succeeds().prints("allow a to b (x\\u{1b}[2J\\ny)");
    // The export contains it unchanged.
    assert!(server.run("export").succeeds().stdout.ends_with("shop,a,b,allow,,,,,,\"x\u{1b}[2J\ny\"\n"));
}
