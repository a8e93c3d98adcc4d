//! Moments: what is refused and how, in arguments and files, and what is stored all the same.

use serde_json::{Value, json};

use crate::support::TestServer;

/// Texts that are not moments, each with what was probably meant.
const MISTAKES: [(&str, &str); 18] = [
    ("20991231", "a date is written `2099-12-31`"),
    ("20991231235959", "a date with a time is written `2099-12-31T23:59:59Z`"),
    ("2099", "a date is written `2099-12-31`"),
    ("46387", "as the day number of a spreadsheet that is `2026-12-31`"),
    ("4102358400000", "it looks like milliseconds; in seconds that is 4102358400, 2099-12-31T00:00:00Z"),
    ("4102358400000000", "it looks like microseconds; in seconds that is 4102358400, 2099-12-31T00:00:00Z"),
    ("0", "seconds since 1970 have at least nine digits"),
    ("-4102358400", "seconds since 1970 have at least nine digits"),
    ("99999999", "seconds since 1970 have at least nine digits"),
    ("-9223372036854775808", "seconds since 1970 have at least nine digits"),
    ("1972-12-31", "it is before 1973-03-03T09:46:40Z"),
    ("4102444800", "leave it out for a rule that does not expire"),
    ("253402214400", "leave it out for a rule that does not expire"),
    ("9223372036854775807", "leave it out for a rule that does not expire"),
    ("2100-01-01", "leave it out for a rule that does not expire"),
    ("9999-12-30", "leave it out for a rule that does not expire"),
    ("9999-12-31T23:59:59Z", "leave it out for a rule that does not expire"),
    ("31.12.2099", "expected `2026-12-31T18:00:00+03:00`"),
];

#[test]
fn a_mistake_is_refused_with_what_was_probably_meant() {
    let server = TestServer::with_table();
    for (text, meant) in MISTAKES {
        let why = format!("`{text}` is not a valid time");
        server
            .run(&format!("allow --app shop --from a --to b --until {text}"))
            .exits_with(2)
            .prints(&why)
            .prints(meant);
        server.run(&format!("check --app shop --from a --to b --at {text}")).exits_with(2).prints(&why).prints(meant);
        let object =
            |value: Value| json!({"app": "shop", "from": "a", "to": "b", "effect": "allow", "expires_at": value});
        let number = text.parse::<i64>().map_or_else(|_| json!(text), Value::from);
        for file in [
            format!("app,from,to,effect,expires_at\nshop,c,d,deny,\nshop,a,b,allow,{text}\n"),
            format!("\n{}\n{}\n", object(Value::Null), object(json!(text))).replacen("\"a\"", "\"c\"", 1),
            format!("\n{}\n{}\n", object(Value::Null), object(number)).replacen("\"a\"", "\"c\"", 1),
        ] {
            let run = server.pipe("import -", &file).exits_with(1);
            run.prints(&format!("line 3, column `expires_at`: {why}")).prints(meant).prints("nothing was written");
        }
    }
    for text in ["700000h", "19000y", "9999999999h"] {
        server
            .run(&format!("allow --app shop --from a --to b --until {text}"))
            .exits_with(2)
            .prints("is not a valid time");
    }
    assert!(server.items().is_empty());
}

#[test]
fn a_rule_that_is_over_when_it_is_imported_is_refused_unless_it_is_meant() {
    let server = TestServer::with_table();
    let file = "app,from,to,effect,expires_at\nshop,a,b,allow,2020-01-01\nshop,c,d,allow,2099-01-01\nshop,e,f,deny,1577836800\n";
    let over = "line 2, column `expires_at`: `2020-01-01T00:00:00Z` is in the past, so the rule";
    server
        .pipe("import -", file)
        .exits_with(1)
        .prints(&format!("{over} would have no effect; remove it, or correct the time (the same on 1 more line: 4)"))
        .prints("2 problems in the file; nothing was written");
    assert!(server.items().is_empty());
    let notice = format!("notice: {over} has no effect; it is written all the same (the same on 1 more line: 4)");
    server.pipe("import - --exactly --dry-run", file).succeeds().prints(&notice);
    server.pipe("import - --exactly", file).succeeds().prints(&notice);
    assert_eq!(server.items().len(), 3);
    let run = server.run("export").succeeds().prints("not exported, because they have no effect: 2 expired rules");
    assert_eq!(run.stdout.lines().count(), 2, "{run:?}");
    server.pipe("import - --dry-run", &run.stdout).succeeds().prints("1 stay");
}

/// Whatever number is stored, every command that reads it ends as it should, and names it.
#[test]
fn stored_numbers_that_are_not_moments_are_named_and_panic_nowhere() {
    for number in
        [i64::MIN, -1, 2_099, 20_991_231, 4_102_444_800, 253_402_214_400, 253_402_300_800, 1_795_500_000_000, i64::MAX]
    {
        let server = TestServer::with_table();
        let stored = json!({"N": number.to_string()});
        let hours = json!({"L": [{"S": "Mon-Fri 09:00-18:00 Europe/Moscow"}]});
        let rule = json!({"effect": {"S": "allow"}, "expires_at": stored, "updated_at": stored, "updated_by": {"S": "op"}, "hours": hours});
        let list = json!({"M": {"+7*": {"M": rule}, "*": {"M": rule}, "a": {"M": rule}}});
        let mut pair = rule.clone();
        pair["pk"] = json!({"S": "PARTY#shop#b"});
        pair["sk"] = json!({"S": "CALLER#a"});
        server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "callers": list}));
        server.put(&json!({"pk": {"S": "PARTY#shop#b"}, "sk": {"S": "PARTY"}, "incoming": list}));
        server.put(&json!({"pk": {"S": "PARTY#shop#c"}, "sk": {"S": "PARTY"}, "incoming": list, "outgoing": list, "expires_at": stored}));
        server.put(&pair);
        let named = format!("(stored as `{number}`, which is not a valid time: ");
        server.run("show --app shop").succeeds().prints(&named);
        server.run("show --app shop b").succeeds().prints(&named);
        server.run("show --app shop c").succeeds().prints(&named);
        let shown = server.json("show --app shop b");
        assert!(
            shown["incoming"].as_array().unwrap().iter().all(|rule| rule["expires_at"] == json!(number.to_string())),
            "{shown}"
        );
        let is_over = number < 1_700_000_000;
        for arguments in ["check --app shop --from a --to b", "check --app shop --from c --to c"] {
            let run = server.run(arguments);
            assert!(run.code == 3 || run.code == 0 && !is_over, "{run:?}");
            if is_over {
                run.prints(&named);
            }
            let run = server.run(&format!("{arguments} --output json"));
            assert!([0, 3].contains(&run.code), "{run:?}");
        }
        let export =
            server.run("export").exits_with(1).prints(&format!("column `expires_at`: `{number}` is not a valid time"));
        assert_eq!(export.stdout.lines().count(), 1, "{export:?}");
        let import = server.pipe("import - --dry-run --replace", "app,from,to,effect\nshop,x,y,allow\n").succeeds();
        import.prints(&named);
        let plan = server.run("allow --app shop --from a --to b --no-until").succeeds();
        plan.prints("before: allow a to b, Mon-Fri 09:00-18:00 Europe/Moscow, until ").prints(&named);
        for arguments in [
            "suspend --app shop c",
            "revoke --app shop --from '+7*' --to b --yes",
            "deny --app shop --from '+7*' --to c --yes",
        ] {
            server.run(arguments).succeeds();
        }
        for arguments in ["doctor", "doctor --output json", "doctor --fix", "doctor"] {
            let run = server.run(arguments);
            assert!([0, 4].contains(&run.code), "{number}: {run:?}");
        }
    }
}
