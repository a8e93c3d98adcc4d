//! `import` and `export`.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Place, Run, csv};

const RULES: &str = "\
app,from,to,effect,media,hours,expires_at,note
shop,*,PPP005,deny,,,,
shop,+7495*,PPP005,allow,audio,Mon-Fri 09:00-18:00 Europe/Moscow; Sat 10:00-14:00 Europe/Moscow,,
shop,+881*,*,deny,,,,\"spam, mostly\"
shop,PPP002,*,allow,,,,
shop,PPP009,PPP005,allow,audio video,,2100-01-01T00:00:00Z,
shop,anonymous,PPP005,deny,,,,
way#2,a,b,allow,,,,
";

#[test]
fn an_export_imported_is_the_same_table() {
    let place = Place::new();
    place.pipe("import -", RULES).done().says("imported: 7 rules written");
    let before = place.items();
    let csv = place.run("export").done().out;
    assert_eq!(csv, RULES);
    let ndjson = place.run("export --format ndjson").done().out;
    for (text, arguments) in
        [(&csv, "import -"), (&ndjson, "import -"), (&ndjson, "import - --replace --yes --format ndjson")]
    {
        place.pipe(arguments, text).done();
        assert_eq!(place.items(), before, "{arguments}");
        let other = Place::new();
        other.pipe(arguments, text).done();
        assert_eq!(other.items(), before, "{arguments}");
        assert_eq!(other.run("export").done().out, RULES);
    }
    assert_eq!(
        place.run("export --app 'way#2'").done().out,
        "app,from,to,effect,media,hours,expires_at,note\nway#2,a,b,allow,,,,\n"
    );
}

#[test]
fn columns_come_in_any_order_and_spelling() {
    let place = Place::new();
    let text = "\u{feff}to,effect,app,from\nsip:PPP005@example.com,allow,shop,8 (495) 123-45-67\n\"PPP005\",deny,shop,Private\n";
    place.pipe("import - --country-code 7 --trunk-prefix 8", text).done();
    let out = place.run("export").done().out;
    assert!(out.contains("shop,+74951234567,PPP005,allow,,,,\nshop,anonymous,PPP005,deny,,,,\n"), "{out}");
    let line = json!({"app": "shop", "from": "x", "to": "y", "effect": "allow", "media": ["audio"], "expires_at": 4_102_444_800_i64, "hours": null});
    place.pipe("import -", &line.to_string()).done();
    assert!(place.run("export").done().out.contains("shop,x,y,allow,audio,,2100-01-01T00:00:00Z,\n"));
}

#[test]
fn a_bad_line_keeps_every_line_out() {
    #[track_caller]
    fn refused(text: &str, messages: &[&str]) {
        let place = Place::new();
        let mut run = place.pipe("import -", text).ends(1);
        for message in messages {
            run = run.says(message);
        }
        assert!(place.items().is_empty());
    }
    refused(
        "app,from,to,effect\nshop,a,b,allow\nshop,+7*5,b,alow\nshop,c,d,deny\n",
        &[
            "line 3, column `from`: `+7*5` contains a `*`",
            "line 3, column `effect`: `alow` must be",
            "2 problems",
            "nothing was written",
        ],
    );
    refused("app,from,to,effect\nshop,a*,b*,allow\n", &["line 2, column `to`: `b*`", "two patterns"]);
    refused(
        "app,from,to,effect,expires_at\nshop,a,b,allow,1795500000000\n",
        &["column `expires_at`: `1795500000000` is not a moment"],
    );
    refused(
        "app,from,to,effect,hours\nshop,a,b,allow,Mon 09:00-18:00 Mars/X\n",
        &["column `hours`", "`Mars/X` is not a time zone"],
    );
    refused(
        "app,from,to,effect\nshop,a,b,allow\nshop,a,b,deny\n",
        &["line 3, column `from,to`", "line 2 about the same parties"],
    );
    refused("app,from,to,effect\r\n\r\n\r\nshop,a,b,alow\r\n", &["line 4, column `effect`: `alow`"]);
    refused("\n\napp,from,to,effect\n\nshop,a,b,alow\n", &["line 5, column `effect`: `alow`"]);
    refused(
        "app,from,to,effect,note\nshop,a,b,allow,\"two\nlines\"\nshop,c,d,alow,\n",
        &["line 4, column `effect`: `alow`", "1 problem in"],
    );
    refused(
        "app,from,to,effect,note\nshop,a,b,allow,\"open\nshop,c,d,deny,\n",
        &["line 2, column `note`: `open\\nshop,c,d,deny,\\n` begins with a quotation mark that is never closed"],
    );
    refused(
        "app,from,to,effect,note\nshop,a,b,allow,say \"hi\"\nshop,c,d,alow,\"x\"y\n",
        &[
            "line 2, column `note`: `say ` holds a quotation mark",
            "line 3, column `note`: `x` goes on after",
            "2 problems",
        ],
    );
    refused(
        "app;from;to;effect\nshop;a;b;allow\n",
        &["line 1: `app;from;to;effect` is not a column", "separated by commas"],
    );
    refused("app,from,from,effect\n", &["line 1: `from` appears twice"]);
    refused("", &["line 1: the file is empty"]);
    refused(
        "app,from,to,effect\nshop,tel:+7495*,b,allow\n",
        &["line 2, column `from`: `tel:+7495*` starts with a scheme"],
    );
    refused("app,from,to,effect\nshop,a,b\n", &["line 2: there are 3 fields, and 4 columns"]);
    refused("app,from,to\nshop,a,b\n", &["line 1, column `effect`: is missing"]);
    refused("app,from,to,effect,colour\n", &["`colour` is not a column"]);
    refused(
        "{\"app\":\"shop\",\"from\":\"a\",\"to\":\"b\",\"effect\":\"allow\"}\n{\"app\":1}\n",
        &["line 2, column `app`: `1` must be text"],
    );
    refused("{\"app\":\"shop\",\"until\":\"x\"}\n", &["line 1, column `until`", "is not a member of a rule"]);
    refused("{\"app\":\n", &["line 1: `{\"app\":` is not a JSON object"]);
    refused(
        "\n{\"app\":\"shop\",\"from\":\"a\",\"to\":\"b\",\"effect\":\"allow\",\"from\":\"c\"}\n",
        &["line 2, column `from`: `\"c\"` appears twice in this object"],
    );
    refused(
        "[{\"app\":\"shop\"}]\n",
        &["line 1: `[{\"app\":\"shop\"}]` is not a JSON object", "expected one object a line"],
    );
    let long = "x".repeat(1 << 20);
    refused(&format!("app,from,to,effect,note\nshop,a,b,allow,{long}\n"), &["line 2 is longer than 1048576 bytes"]);
    Place::new().run("import /nonexistent/rules.csv").ends(1).says("cannot be opened");
    Place::bare().pipe("import -", RULES).ends(1).says("callgatectl table create");
}

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let place = Place::new();
    place.pipe("import -", RULES).done();
    place.run("allow --app shop --from extra --to PPP005").done();
    place.run("allow --app other --from extra --to PPP005").done();
    let before = place.items();
    let changed = RULES.replace("shop,PPP002,*,allow,,,,\n", "shop,PPP002,*,deny,,,,\nshop,new,PPP005,allow,,,,\n");
    let run = place.pipe("import - --dry-run --replace", &changed).done();
    let run = run
        .says("+ allow new to PPP005 in app shop")
        .says("~ deny PPP002 to * in app shop [it is: allow PPP002 to * in app shop]");
    let run = run.says("- allow extra to PPP005 in app shop").keeps_quiet_about("app other");
    run.says("1 rule would be added, 1 changed, 1 removed; 6 stay as they are");
    assert_eq!(place.items(), before);
}

#[test]
fn replace_makes_the_table_equal_to_the_file() {
    let place = Place::new();
    place.pipe("import -", RULES).done();
    place.run("suspend --app shop PPP005").done();
    place.run("allow --app other --from a --to b").done();
    let one = "app,from,to,effect\nshop,PPP009,PPP005,allow\n";
    place.pipe("import - --replace", one).ends(1).says("- deny * to PPP005 in app shop").says("confirm with --yes");
    assert_eq!(place.run("export --app shop").out.lines().count(), 7);
    place.pipe("import - --replace --yes", one).done().says("1 rule written, 5 removed");
    let header = "app,from,to,effect,media,hours,expires_at,note\n";
    assert_eq!(place.run("export --app shop").out, format!("{header}shop,PPP009,PPP005,allow,,,,\n"));
    assert_eq!(place.run("export").out.lines().count(), 4);
    place.run("check --app shop --from PPP009 --to PPP005").ends(3).says("callee_suspended");
}

#[test]
fn what_cannot_be_understood_is_not_exported_in_silence() {
    let place = Place::new();
    place.run("allow --app shop --from a --to b").done();
    place.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#c"}, "effect": {"S": "alow"}}));
    place.put(
        &json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#d"}, "effect": {"S": "allow"}, "hours": {"L": []}}),
    );
    place.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#e"}, "effect": {"S": "allow"}, "expires_at": {"N": "1795500000000"}}));
    let run = place.run("export").ends(1);
    assert_eq!(run.out.lines().count(), 2);
    run.says("c to b in app shop: `effect` is `alow`").says("d to b").says("e to b").says("3 left out");
}

#[test]
fn two_imports_to_one_party_lose_no_rule() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for series in ["1", "2"] {
            let place = &place;
            scope.spawn(move || {
                let rules = csv(0..1_000, |number| format!("shop,+{series}{number:04}*,PPP005,allow"));
                place.pipe("import -", &rules).done()
            });
        }
    });
    let items = place.items();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["incoming"]["M"].as_object().unwrap().len(), 2_000);
}

#[test]
#[cfg(unix)]
fn an_interrupted_import_is_simply_run_again() {
    let place = Place::new();
    let rows = csv(0..8_000, |number| format!("shop,caller{number},PPP{number:05},allow"));
    let file = std::env::temp_dir().join(format!("callgatectl-interrupted-{}.csv", std::process::id()));
    std::fs::write(&file, rows).unwrap();
    let mut child = place
        .tool()
        .arg("import")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while place.items().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("interrupted: ") && said.contains("of 8000 rules are written; run the same command again"),
        "{said}"
    );
    Run::of(place.tool().arg("import").arg(&file)).done();
    assert_eq!(place.run("export").done().out.lines().count(), 8_001);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn problems_of_the_header_are_problems_of_a_line_to_programs_too() {
    let place = Place::new();
    let run = place.pipe("import - --output json", "app,from\n").ends(1);
    let said: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((&said["result"], &said["count"]), (&json!("refused"), &json!(2)));
    let problem = json!({"line": 1, "column": "to", "value": "", "reason": said["problems"][0]["reason"]});
    assert_eq!(said["problems"][0], problem);
}

#[test]
fn the_first_thousand_problems_are_listed_and_all_are_counted() {
    let place = Place::new();
    let text = csv(0..1_500, |number| format!("shop,caller{number},callee,alow"));
    place
        .pipe("import -", &text)
        .ends(1)
        .says("line 1001, column `effect`: `alow`")
        .keeps_quiet_about("line 1002")
        .says("... and 500 more")
        .says("1500 problems in the file");
    let run = place.pipe("import - --output json", &text).ends(1);
    let refused: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((refused["problems"].as_array().unwrap().len(), &refused["count"]), (1_000, &json!(1_500)));
    assert!(place.items().is_empty());
}

#[test]
fn a_prefix_that_nobody_dials_is_written_and_told() {
    let place = Place::new();
    let text = "app,from,to,effect\nshop,a,b,allow\nshop,8495*,b,deny\n";
    let plan = "--country-code 7 --trunk-prefix 8";
    place
        .pipe(&format!("import - {plan}"), text)
        .done()
        .says("note: line 3, column `from`: `8495*` under this dial plan numbers dialled as 8495… start with +7495…")
        .says("imported: 2 rules written");
    place.pipe("import -", text).done().keeps_quiet_about("dialled");
}

#[test]
fn foreign_text_is_shown_without_what_a_terminal_would_obey() {
    let place = Place::new();
    place.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "CALLER#a"}, "effect": {"S": "allow"}, "note": {"S": "x\u{1b}[2J\ny"}}));
    place.run("show --app shop b").done().says("allow a to b (x\\u{1b}[2J\\ny)");
    // A file holds it as it is.
    assert!(place.run("export").done().out.ends_with("shop,a,b,allow,,,,\"x\u{1b}[2J\ny\"\n"));
}
