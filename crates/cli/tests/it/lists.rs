//! Lists: `import --list`, `revoke --list`, `show --list` and `export --list`.

use serde_json::json;

use crate::support::{Run, TestServer};

/// A table with rules of two lists, and of none.
fn server() -> TestServer {
    let server = TestServer::with_table();
    let rules = "app,from,to,effect,list\n\
                 shop,+1*,*,deny,spam\nshop,+15550001,*,block,spam\nshop,a,b,deny,spam\nshop,*,+882*,deny,spam\n\
                 shop,+2*,*,deny,premium\nshop,c,b,allow,\nshop,+15550002,*,block,\nother,a,b,deny,spam\n";
    server.pipe("import -", rules).succeeds();
    server
}

/// The rules of the table, without their header.
fn rules(server: &TestServer) -> Vec<String> {
    server.run("export").succeeds().stdout.lines().skip(1).map(str::to_owned).collect()
}

const OUTSIDE: [&str; 4] = [
    "other,a,b,deny,,,,,spam,",
    "shop,+15550002,*,block,,,,,,",
    "shop,+2*,*,deny,,,,,premium,",
    "shop,c,b,allow,,,,,,",
];

#[test]
fn a_list_is_replaced_and_nothing_else() {
    let server = server();
    let file = "app,from,to,effect,list\nshop,+1*,*,deny,spam\nshop,+15550009,*,block,\nshop,a,b,deny,\n";
    let run = server.pipe("import - --list spam --replace --dry-run", file).succeeds();
    run.prints("+ block +15550009, list spam in app shop")
        .prints("- block +15550001, list spam in app shop")
        .prints("- deny * to +882*, list spam in app shop")
        .prints("1 rule would be added, 0 changed, 2 removed; 2 stay as they are");
    let before = server.stored();
    server.pipe("import - --list spam --replace", file).exits_with(1).prints("confirm with --yes");
    assert_eq!(server.stored(), before);
    server
        .pipe("import - --list spam --replace --yes", file)
        .succeeds()
        .prints("1 rule written, 2 removed, 2 unchanged");
    let mut expected = OUTSIDE.map(str::to_owned).to_vec();
    expected.extend(
        ["shop,+1*,*,deny,,,,,spam,", "shop,+15550009,*,block,,,,,spam,", "shop,a,b,deny,,,,,spam,"].map(str::to_owned),
    );
    expected.sort();
    let mut all = rules(&server);
    all.sort();
    assert_eq!(all, expected);
    // Without --replace, the other rules of the list stay.
    server.pipe("import - --list spam", "app,from,to,effect\nshop,x,y,deny\n").succeeds();
    assert_eq!(rules(&server).len(), 8);
}

#[test]
fn a_row_of_another_list_or_app_is_refused() {
    let server = server();
    let before = server.stored();
    let file = "app,from,to,effect,list\nshop,x,y,deny,spam\nshop,x,z,deny,premium\nother,x,z,deny,\n";
    server
        .pipe("import - --list spam --app shop", file)
        .exits_with(1)
        .prints("line 3, column `list`: `premium` is another list than `spam`, which --list names")
        .prints("line 4, column `app`: `other` is another app than `shop`, which --app names")
        .prints("2 problems in the file; nothing was written");
    let line = json!({"app": "shop", "from": "x", "to": "y", "effect": "deny", "list": "Spam"}).to_string();
    server.pipe("import - --list spam", &line).exits_with(1).prints("`Spam` is another list than `spam`");
    server.pipe("import - --list ''", file).exits_with(2).prints("--list is empty");
    assert_eq!(server.stored(), before);
    // With --app, the column may be missing.
    server.pipe("import - --list spam --app shop", "from,to,effect\nx,y,deny\n").succeeds();
    assert!(rules(&server).contains(&"shop,x,y,deny,,,,,spam,".to_owned()));
}

#[test]
fn a_rule_outside_the_list_becomes_part_of_it_and_is_named() {
    let server = server();
    let file = "app,from,to,effect\nshop,c,b,allow\nshop,+2*,*,deny\n";
    let run = server.pipe("import - --list spam --replace --dry-run", file).succeeds();
    run.prints("notice: line 3: becomes part of list `spam`; now it is: deny +2* to *, list premium in app shop")
        .prints("~ deny +2* to *, list spam in app shop [it is: deny +2* to *, list premium in app shop]")
        .prints("0 rules would be added, 2 changed, 4 removed");
    server.pipe("import - --list spam --replace --yes", file).succeeds().prints("2 rules written, 4 removed");
    assert_eq!(
        rules(&server),
        [OUTSIDE[0], "shop,+15550002,*,block,,,,,,", "shop,+2*,*,deny,,,,,spam,", "shop,c,b,allow,,,,,spam,"]
    );
}

#[test]
fn a_list_is_revoked_after_a_question() {
    let server = server();
    let before = server.stored();
    let run = server.run("revoke --app shop --list spam --dry-run").succeeds();
    run.prints("- deny +1* to *, list spam in app shop").prints("- block +15550001, list spam").prints("4 removed");
    let run = server.run("revoke --app shop --list spam").exits_with(1);
    run.prints("- deny a to b, list spam in app shop").prints("4 rules would be removed; nothing was written");
    assert_eq!(server.stored(), before);
    server
        .run("revoke --app shop --list spam --yes")
        .succeeds()
        .prints("revoked: 4 rules of list `spam` in app `shop`");
    assert_eq!(rules(&server), OUTSIDE);
    let run = server.run("revoke --app shop --list spam --yes --output json").exits_with(1);
    assert_eq!(run.stdout, "{\"app\":\"shop\",\"list\":\"spam\",\"removed\":0,\"result\":\"absent\"}\n");
    run.prints("there is no rule of list `spam` in app `shop`");
    for wrong in ["--list spam --from a --to b", "--list spam --door app", "--from a", "", "--from a --to b --dry-run"]
    {
        server.run(&format!("revoke --app shop {wrong}")).exits_with(2);
    }
}

#[test]
fn a_rule_of_the_list_that_cannot_be_parsed_is_revoked_too() {
    let server = server();
    let broken = json!({"effect": {"S": "alow"}, "list": {"S": "spam"}});
    server.put(
        &json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#z"}, "effect": {"S": "alow"}, "list": {"S": "spam"}}),
    );
    server.put(&json!({"pk": {"S": "PARTY#shop#z"}, "sk": {"S": "PARTY"}, "incoming": {"M": {"*": {"M": broken}}},
        "blocked": {"M": {"list": {"S": "spam"}, "colour": {"S": "red"}}}}));
    server.run("show --app shop --list spam").succeeds().prints("7 rules").prints("(invalid) z to b").prints("`alow`");
    server.run("revoke --app shop --list spam --yes").succeeds().prints("revoked: 7 rules");
    assert_eq!(rules(&server), OUTSIDE);
}

#[test]
fn the_rules_of_a_list_are_shown() {
    let server = server();
    let run = server.run("show --app shop --list spam").succeeds().prints("list spam of app shop: 4 rules");
    let shown: Vec<_> = run.stdout.lines().skip(1).map(|line| line.split(" [").next().unwrap()).collect();
    assert_eq!(
        shown,
        [
            "  deny * to +882*, list spam in app shop",
            "  deny +1* to *, list spam in app shop",
            "  block +15550001, list spam in app shop",
            "  deny a to b, list spam in app shop"
        ]
    );
    let shown = server.json("show --app shop --list spam");
    assert_eq!((&shown["app"], &shown["list"]), (&json!("shop"), &json!("spam")));
    let rules = shown["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 4);
    assert_eq!((&rules[2]["effect"], &rules[2]["from"]), (&json!("block"), &json!("+15550001")));
    assert!(rules.iter().all(|rule| rule["updated_by"].is_string()));
    server.run("show --app shop --list none").succeeds().prints("list none of app shop: 0 rules");
    server.run("show --app shop PPP005 --list spam").exits_with(2);
}

#[test]
fn an_exported_list_is_the_list() {
    let server = server();
    let file = server.run("export --app shop --list spam").succeeds().stdout;
    assert_eq!(file.lines().count(), 5);
    let before = server.stored();
    server.pipe("import - --list spam --replace", &file).succeeds().prints("0 rules written, 4 unchanged");
    assert_eq!(server.stored(), before);
}

#[test]
fn a_file_without_rules_replaces_a_list_only_if_it_names_the_app() {
    let server = server();
    let before = server.stored();
    let header = "# nothing today\napp,from,to,effect\n";
    for arguments in ["--replace --yes", "--list spam --replace --yes", "--replace --dry-run"] {
        server
            .pipe(&format!("import - {arguments}"), header)
            .exits_with(1)
            .prints("the file has no rules, so it names no app whose rules would be replaced")
            .prints("name it with --app");
    }
    let run = server.pipe("import - --list spam --app shop --replace", header).exits_with(1);
    run.prints("- deny a to b, list spam").prints("4 rules would be removed; nothing was written; confirm with --yes");
    assert_eq!(server.stored(), before);
    let arguments = "import - --list spam --app shop --replace --yes";
    server.pipe(arguments, header).succeeds().prints("0 rules written, 4 removed");
    assert_eq!(rules(&server), OUTSIDE);
    server.pipe("import - --as 'block {}' --app other --list spam --replace --yes", "").succeeds().prints("1 removed");
    server.pipe("import - --app shop --replace --yes", header).succeeds().prints("0 rules written, 3 removed");
    assert!(rules(&server).is_empty());
}

/// Imports with another name for who wrote the rules.
fn import_as(server: &TestServer, user: &str, arguments: &str, file: &str) -> Run {
    let mut tool = server.tool();
    for name in ["LOGNAME", "USER", "USERNAME"] {
        tool.env(name, user);
    }
    let words = crate::support::split_words(arguments);
    Run::with_input(tool.args(["import", "-"]).args(words), file)
}

#[test]
fn unchanged_rules_keep_who_wrote_them_and_when() {
    let server = TestServer::with_table();
    // As another program wrote them: long ago, with empty texts, and windows in another form.
    let old = |rule: serde_json::Value| {
        let mut rule = rule;
        rule["updated_at"] = json!({"N": "1700000000.5"});
        rule["updated_by"] = json!({"S": "another program"});
        rule
    };
    let deny = old(json!({"effect": {"S": "deny"}, "note": {"S": ""}, "list": {"S": ""}}));
    let allow = old(json!({"effect": {"S": "allow"}, "media": {"SS": ["video", "audio"]}, "disabled": {"BOOL": false},
        "hours": {"L": [{"S": "Mon,Tue,Wed 09:00-18:00 UTC"}]}}));
    let mut pair = old(json!({"effect": {"S": "deny"}, "expires_at": {"N": "4070908800"}}));
    (pair["pk"], pair["sk"]) = (json!({"S": "PARTY#shop#b"}), json!({"S": "CALLER#a"}));
    server.put(&pair);
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "callers": {"M": {"+1*": {"M": deny}}},
        "destinations": {"M": {"+7*": {"M": allow}}}}));
    server.put(
        &json!({"pk": {"S": "PARTY#shop#x"}, "sk": {"S": "PARTY"}, "blocked": {"M": old(json!({"note": {"S": "n"}}))}}),
    );
    let before = server.stored();
    let file = server.run("export").succeeds().stdout;
    assert_eq!(file.lines().count(), 5);
    for arguments in ["", "--replace --yes", "--app shop"] {
        server.pipe(&format!("import - {arguments}"), &file).succeeds().prints("0 rules written, 4 unchanged");
        assert_eq!(server.stored(), before, "{arguments}");
    }
    // Where only a note differs, only that rule is written.
    for (from, changed) in [("a,b", 0), ("+1*,*", 1), ("x,*", 2)] {
        let line = file.lines().find(|line| line.starts_with(&format!("shop,{from},"))).unwrap();
        let [start, _] = [line.rsplit_once(',').unwrap().0, ""];
        let file = file.replace(line, &format!("{start},note {changed}"));
        import_as(&server, "another user", "", &file).succeeds().prints("1 rule written, 3 unchanged");
        let stored = serde_json::to_string(&server.stored()).unwrap();
        assert_eq!(stored.matches("another program").count(), 3, "{stored}");
        assert!(stored.contains(&format!("note {changed}")));
        for item in &before {
            server.put(item);
        }
    }
}
