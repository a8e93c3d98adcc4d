//! `calls`, and the options of other commands that take a call from the log: files of all forms, and a stand-in for CloudWatch.

mod following;
mod from_call;
mod log_group;

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::serve::ServeProcess;
use crate::support::{Run, TempFolder, TestServer, split_words, tool};

/// A decision as `src/log.rs` writes it. The members differ from test to test.
#[derive(Clone, Copy)]
struct Logged<'a> {
    time: &'a str,
    decision: &'a str,
    reason: &'a str,
    door: Option<&'a str>,
    rule: Option<&'a str>,
    app: Option<&'a str>,
    caller: Option<&'a str>,
    callee: Option<&'a str>,
    call_id: Option<&'a str>,
    status: u16,
    masked: bool,
}

const REFUSED: Logged<'static> = Logged {
    time: "11:00:00.000001",
    decision: "deny",
    reason: "no_rule",
    door: None,
    rule: None,
    app: Some("shop"),
    caller: Some("PPP009"),
    callee: Some("PPP005"),
    call_id: Some("c-1"),
    status: 403,
    masked: false,
};

const PERMITTED: Logged<'static> = Logged {
    time: "11:00:01.000001",
    decision: "allow",
    reason: "pair_rule",
    door: Some("callee"),
    rule: Some("PPP001"),
    caller: Some("PPP001"),
    call_id: Some("c-2"),
    status: 200,
    ..REFUSED
};

const BLOCKED: Logged<'static> = Logged {
    time: "11:00:02.000001",
    reason: "caller_blocked",
    caller: Some("+74951234567"),
    call_id: None,
    ..REFUSED
};

const FAILED: Logged<'static> = Logged {
    time: "11:00:03.000001",
    decision: "error",
    reason: "store_unavailable",
    app: Some("other"),
    caller: Some("84951234567"),
    callee: Some("PPP009"),
    call_id: Some("c-4"),
    status: 503,
    ..REFUSED
};

impl Logged<'_> {
    fn line(&self) -> String {
        let Self { time, decision, reason, door, rule, app, caller, callee, call_id, status, masked } = *self;
        let masked = if masked { r#","masked":true"# } else { "" };
        let text = |text: Option<&str>| serde_json::to_string(&text).unwrap();
        let (door, rule, app, call_id) = (text(door), text(rule), text(app), text(call_id));
        let (caller, callee) = (text(caller), text(callee));
        format!(
            r#"{{"timestamp":"2024-11-26T{time}Z","level":"info","message":"decision","hook":"OnCallEvent","decision":"{decision}","reason":"{reason}","door":{door},"rule":{rule},"app":{app},"caller":{caller},"callee":{callee},"media":["audio"],"call_id":{call_id},"request_id":"r-{time}","cold_start":false,"store_ms":3.5,"total_ms":4.25,"units":4.0,"status":{status}{masked},"function":"callgate","_aws":{{"Timestamp":1,"CloudWatchMetrics":[]}},"Decisions":1,"StoreLatency":3.5,"TotalLatency":4.25}}"#
        )
    }
}

fn log(calls: &[Logged<'_>]) -> String {
    calls.iter().map(|call| call.line() + "\n").collect()
}

/// A file with these calls.
struct LogFile(TempFolder);

impl LogFile {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = TempFolder::new();
        fs::write(folder.path().join("calls.log"), text).unwrap();
        Self(folder)
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("calls.log")
    }

    fn run(&self, arguments: &str) -> Run {
        Run::of(tool().arg("calls").arg("--log").arg(self.path()).args(split_words(arguments)))
    }

    fn json(&self, arguments: &str) -> Vec<Value> {
        let run = self.run(&format!("{arguments} --output json")).succeeds();
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn each_call_is_a_line_with_the_reason_in_words() {
    let run = LogFile::new(log(&[REFUSED, PERMITTED, BLOCKED, FAILED])).run("").succeeds();
    assert_eq!(
        run.stdout,
        "\
2024-11-26 11:00:00 +00  refused    PPP009 → PPP005 in shop: no rule applies at any door (call c-1)
2024-11-26 11:00:01 +00  permitted  PPP001 → PPP005 in shop: the rule between these two allows the call (call c-2)
2024-11-26 11:00:02 +00  refused    +74951234567 → PPP005 in shop: the caller is blocked (request r-11:00:02.000001)
2024-11-26 11:00:03 +00  failed     84951234567 → PPP009 in other: the permissions could not be read (call c-4)
"
    );
    assert_eq!(run.stderr, "");
}

#[test]
fn every_form_of_a_line_is_read_and_other_lines_are_counted() {
    let string = serde_json::to_string(&(REFUSED.line() + "\n")).unwrap();
    let utf16: Vec<u8> = "START".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let own = REFUSED.line();
    let calls = [
        own.clone(),
        format!("{own}\r"),
        format!("2024-11-26T11:00:00.000Z {own}"),
        format!("2024-11-26T11:00:00.000000+00:00 2026/11/26/[$LATEST]0123abcd {own}"),
        format!("            \"message\": {string},"),
        format!("{{\"eventId\":\"1\",\"message\":{string},\"timestamp\":1}}"),
    ];
    let others: [&[u8]; 10] = [
        b"",
        b"START RequestId: 1 Version: $LATEST",
        b"REPORT RequestId: 1\tDuration: 1.5 ms\tBilled Duration: 2 ms",
        br#"{"timestamp":"2024-11-26T11:00:00.000001Z","level":"warn","message":"rejected","status":400,"error":"e","request_id":"1"}"#,
        br#"{"timestamp":"2024-11-26T11:00:00.000001Z","level":"warn","message":"hooks are not authenticated"}"#,
        &own.as_bytes()[..own.len() - 1],
        &own.as_bytes()[..own.len() / 2],
        b"\xff\xfe{\"timestamp\":\"\xff\"}",
        &utf16,
        b"\0{\"\"{\\",
    ];
    let mut text = Vec::new();
    for call in &calls {
        text.extend_from_slice(call.as_bytes());
        text.push(b'\n');
    }
    for other in others {
        text.extend_from_slice(other);
        text.push(b'\n');
    }
    // One that is too long, and the last one without an end.
    text.extend(std::iter::repeat_n(b'x', 3 << 20));
    text.extend_from_slice(format!("\n{own}").as_bytes());
    let log = LogFile::new(&text);
    for arguments in ["", "--from PPP009", "--refused --app shop", "--since 2024-11-26", "--call-id c-1"] {
        let run = log.run(arguments).succeeds().prints("11 lines are not decisions, and were skipped");
        assert_eq!(run.stdout.lines().count(), 7, "{arguments}: {run:?}");
        let counted = log.json(&format!("{arguments} --stats"));
        assert_eq!(counted[0]["calls"], 7, "{arguments}");
        log.run(&format!("{arguments} --group")).prints("11 lines are not decisions").prints("      7  refused");
    }
    let piped = Run::with_input(tool().args(["calls", "--log", "-"]), &calls.join("\n")).succeeds();
    assert_eq!(piped.stdout.lines().count(), 6);
}

#[test]
fn filters_select_calls() {
    let log = LogFile::new(log(&[REFUSED, PERMITTED, BLOCKED, FAILED]));
    for (arguments, expected) in [
        ("", "1234"),
        ("--app shop", "123"),
        ("--app ' other '", "4"),
        ("--from PPP009", "1"),
        ("--from 'PPP*'", "12"),
        ("--from '*'", "1234"),
        ("--from '8 (495) 123-45-67'", "4"),
        ("--from '8 (495) 123-45-67' --phone-region RU", "3"),
        ("--from '+7495*'", "3"),
        ("--to PPP005", "123"),
        ("--party PPP009", "14"),
        ("--party PPP009 --to PPP005", "1"),
        ("--refused", "13"),
        ("--permitted", "2"),
        ("--failed --permitted", "24"),
        ("--reason no_rule,pair_rule", "12"),
        ("--reason no_rule --reason caller_blocked --app shop", "13"),
        ("--hook OnCallEvent", "1234"),
        ("--hook call", ""),
        ("--call-id c-2", "2"),
        ("--call-id r-11:00:02.000001", "3"),
        ("--since '2024-11-26 11:00:01 UTC'", "234"),
        ("--until '2024-11-26 11:00:01 UTC'", "1"),
        ("--since '2024-11-26 11:00:01 UTC' --until '2024-11-26 11:00:03 UTC'", "23"),
    ] {
        // The number of each call is its second, from 1.
        let number = |call: &Value| call["timestamp"].as_str().unwrap().as_bytes()[18] + 1;
        let found: String = log.json(arguments).iter().map(|call| char::from(number(call))).collect();
        assert_eq!(found, expected, "{arguments}");
        assert_eq!(log.json(&format!("{arguments} --stats"))[0]["calls"], expected.len(), "{arguments}");
    }
    // The variable is for commands that need an app.
    let mut command = tool();
    let run = Run::of(command.env("CALLGATE_APP", "other").arg("calls").arg("--log").arg(log.path()));
    assert_eq!(run.succeeds().stdout.lines().count(), 4);
    log.run("--hook call").succeeds().prints("no calls found");
    for (arguments, error) in [
        ("--reason no_rules", "no_rules"),
        ("--from '+7*5'", "the pattern `+7*5` contains a `*`"),
        ("--from @sales", "the log does not name groups; give the parties of `@sales`"),
        ("--since tomorrow", "`tomorrow` is not a valid time"),
        ("--since 2099-01-01", "is in the future"),
        ("--csv --output json", "two formats"),
        ("--group --stats", "cannot be used with"),
    ] {
        log.run(arguments).exits_with(2).prints(error);
    }
    log.run("--since '2024-11-26 12:00' --until '2024-11-26 11:00'")
        .exits_with(2)
        .prints("--until is not after --since");
}

#[test]
fn without_a_table_the_reason_gives_the_command() {
    let rule = |reason, door, rule| Logged { reason, door: Some(door), rule: Some(rule), ..REFUSED };
    for (call, command) in [
        (REFUSED, Some("callgatectl allow --app shop --from PPP009 --to PPP005")),
        (PERMITTED, Some("callgatectl deny --app shop --from PPP001 --to PPP005")),
        (BLOCKED, Some("callgatectl unblock --app shop +74951234567")),
        (FAILED, None),
        (Logged { reason: "app_suspended", ..REFUSED }, Some("callgatectl resume --app shop")),
        (Logged { reason: "caller_suspended", ..REFUSED }, Some("callgatectl resume --app shop PPP009")),
        (Logged { reason: "callee_suspended", ..REFUSED }, Some("callgatectl resume --app shop PPP005")),
        (Logged { reason: "invalid_record", ..REFUSED }, Some("callgatectl show --app shop PPP005")),
        (Logged { reason: "bad_signature", ..REFUSED }, None),
        (rule("pair_rule", "callee", "PPP009"), Some("callgatectl allow --app shop --from PPP009 --to PPP005")),
        (rule("callee_rule", "callee", "PPP*"), Some("callgatectl allow --app shop --from PPP009 --to PPP005")),
        (
            rule("callee_rule", "callee", "PPP009"),
            Some("callgatectl revoke --door callee --app shop --from PPP009 --to PPP005"),
        ),
        (
            rule("caller_rule", "caller", "PPP005"),
            Some("callgatectl revoke --door caller --app shop --from PPP009 --to PPP005"),
        ),
        (rule("app_rule", "app", "PPP*"), Some("callgatectl allow --door app --app shop --from PPP009 --to '*'")),
        (
            rule("destination_rule", "destination", "*"),
            Some("callgatectl allow --door destination --app shop --from '*' --to PPP005"),
        ),
    ] {
        let log = LogFile::new(log(&[call]));
        assert_eq!(log.json("--why")[0]["command"], json!(command), "{}", call.line());
        if let Some(command) = command {
            log.run("--why").prints(&format!(" it: {command}\n"));
        }
    }
}

/// From a complaint to the cure, with calls that the hook itself logged.
#[test]
fn with_a_table_its_rules_give_the_command() {
    let folder = TempFolder::new();
    let file = folder.path().join("calls.log");
    let path = file.to_str().unwrap();
    let server = TestServer::with_table();
    server.run("allow --app defaultApp --from 'PPP*' --to PPP005 --yes").succeeds();
    server.run("deny --app defaultApp --from PPP009 --to PPP005").succeeds();
    let endpoint = format!("http://{}", server.address);
    let serve = ServeProcess::start(
        &["--table", "permissions", "--endpoint-url", &endpoint, "--log", path],
        &[("APP_CACHE_SECONDS", "0")],
    );
    let call = |caller: &str, id: &str| {
        let body = format!(
            r#"{{"appKey":"defaultApp","caller":"{caller}","callee":"PPP005","callId":"{id}","hasVideo":true}}"#
        );
        serve.post("/rest/my_api/OnCallEvent", &body)
    };
    assert!(call("PPP001", "good").contains(" 200 "));
    assert!(call("PPP009", "bad").contains(" 403 "));
    let calls = format!("calls --log {path} --why");
    server
        .run(&format!("{calls} --refused"))
        .succeeds()
        .prints("PPP009 → PPP005 in defaultApp, with video: the rule between these two denies the call (call bad)\n")
        .prints("    to permit it: callgatectl allow --app defaultApp --from PPP009 --to PPP005\n")
        .does_not_print("PPP001");
    server
        .run(&format!("{calls} --permitted"))
        .prints("    to refuse it: callgatectl deny --app defaultApp --from PPP001 --to PPP005\n");
    server
        .run(&format!("allow --from-call bad --log {path}"))
        .succeeds()
        .prints("the call at ")
        .prints(" from PPP009 to PPP005 in app defaultApp, refused: the rule between these two denies the call\n")
        .prints("replaced: allow PPP009 to PPP005");
    assert!(call("PPP009", "again").contains(" 200 "));
    server.run(&format!("{calls} --refused")).prints("    by the rules as they are now, it is permitted\n");
    server
        .run(&format!("block --app defaultApp --last-caller-of PPP005 --log {path} --yes"))
        .succeeds()
        .prints(" from PPP009 to PPP005 in app defaultApp, permitted")
        .prints("written: block PPP009");
    assert!(call("PPP009", "blocked").contains(" 403 "));
    server
        .run(&format!("{calls} --reason caller_blocked"))
        .prints("    to permit it: callgatectl unblock --app defaultApp PPP009\n");
}

#[test]
fn a_masked_log_is_compared_with_the_end_of_ids() {
    let short = |caller, callee| Logged { caller: Some(caller), callee: Some(callee), ..REFUSED };
    let masked = |caller, callee| Logged { masked: true, ..short(caller, callee) };
    let file = LogFile::new(log(&[masked("4567", "P005"), masked("P009", "P005"), masked("mous", "P001")]));
    let note = "the log has only the last four characters of ids (LOG_PARTIES=masked)";
    for (arguments, count) in [
        ("", 3),
        ("--from +74951234567", 1),
        ("--from +78121234567 --to PPP005", 1),
        ("--from anonymous", 1),
        ("--party PPP005", 2),
        ("--from '+7495*'", 0),
        ("--from 1234", 0),
    ] {
        let run = file.run(arguments).succeeds().prints(note);
        assert_eq!(run.stdout.lines().count(), count, "{arguments}");
        assert_eq!(run.stderr.contains("ids are compared here"), !arguments.is_empty(), "{run:?}");
        assert_eq!(file.json(&format!("{arguments} --stats"))[0]["calls"], count, "{arguments}");
    }
    let server = TestServer::with_table();
    let path = file.path();
    for command in ["allow --from-call r-11:00:00.000001", "block --app shop --last-caller-of PPP001"] {
        let run = server.run(&format!("{command} --log {}", path.display())).exits_with(1);
        run.prints(if command.starts_with("allow") { "several calls" } else { "so the parties of the call" });
    }
    // No command is printed for ids that are not known.
    file.run("--why").succeeds().does_not_print("callgatectl");
    // Short ids are not the ends of longer ones.
    let plain = LogFile::new(log(&[short("4567", "1001")]));
    let run = plain.run("--from +74951234567").succeeds().does_not_print(note);
    assert_eq!(run.stdout.lines().count(), 0);
    plain.run("--why").succeeds().prints("to permit it: callgatectl allow --app shop --from 4567 --to 1001");
}

#[test]
fn calls_are_grouped_by_pair_and_reason_the_most_frequent_last() {
    let at = |time, call| Logged { time, ..call };
    let spelled = Logged { caller: Some("84951234567"), ..REFUSED };
    let file = LogFile::new(log(&[
        at("11:00:05.000001", BLOCKED),
        at("11:00:01.000001", BLOCKED),
        at("11:00:09.000001", BLOCKED),
        at("11:00:02.000001", spelled),
        at("11:00:03.000001", spelled),
        REFUSED,
        PERMITTED,
    ]));
    let groups = file.json("--group");
    let counts: Vec<_> =
        groups.iter().map(|group| (group["caller"].as_str().unwrap(), group["count"].as_u64().unwrap())).collect();
    assert_eq!(counts, [("PPP009", 1), ("PPP001", 1), ("84951234567", 2), ("+74951234567", 3)]);
    assert_eq!(groups[3]["similar"], json!(["84951234567"]));
    assert_eq!(groups[3]["first"], "2024-11-26T11:00:01.000001Z");
    assert_eq!(groups[3]["last"], "2024-11-26T11:00:09.000001Z");
    assert_eq!(groups[1]["rule"], "PPP001");
    file.run("--group --refused").succeeds().prints(
        "      3  refused    +74951234567 → PPP005 in shop: the caller is blocked, from 2024-11-26 11:00:01 +00 to \
         2024-11-26 11:00:09 +00; maybe the same caller as 84951234567\n",
    );
    file.run("--stats").succeeds().prints("7 calls, from 2024-11-26 11:00:00 +00 to 2024-11-26 11:00:09 +00").prints(
        "        3  42.9%  refused    caller_blocked\n        3  42.9%  refused    no_rule\nreading: p50 3.5 ms, p99 3.5 ms, of 7 calls\nin all: p50 4.3 ms, p99 4.3 ms, of 7 calls\n",
    );
    let statistics = &file.json("--stats --permitted")[0];
    assert_eq!(statistics["decisions"], json!([{"decision": "allow", "reason": "pair_rule", "count": 1}]));
    assert_eq!(statistics["total_ms"]["count"], 1);
}

#[test]
fn texts_of_the_calling_side_are_shown_and_not_obeyed() {
    let call = Logged {
        call_id: Some("=cmd()\u{1b}[31m\u{202e}\n,\""),
        caller: Some("=1+1"),
        door: Some("callee"),
        rule: Some("@x"),
        ..REFUSED
    };
    let file = LogFile::new(log(&[call]));
    let run = file.run("").succeeds();
    assert_eq!(run.stdout.lines().count(), 1);
    run.prints("(call =cmd()\\u{1b}[31m\\u{202e}\\n,\")\n");
    let run =
        file.run("--csv").succeeds().prints(",deny,no_rule,callee,'@x,shop,'=1+1,PPP005,audio,OnCallEvent,\"'=cmd()");
    assert!(!run.stdout.contains(['\u{1b}', '\u{202e}']));
    file.run("--group --csv").succeeds().prints("shop,'=1+1,PPP005,deny,no_rule,callee,'@x,1,");
    let numbers = file.run("--csv --output text").stdout.lines().next().unwrap().split(',').count();
    assert_eq!(numbers, 16);
}

#[test]
fn calls_that_are_slightly_out_of_order_are_sorted() {
    let times: Vec<_> = (0..600).map(|second| format!("11:{:02}:{:02}.000001", second / 60, second % 60)).collect();
    let mut calls: Vec<_> = times.iter().map(|time| Logged { time, ..REFUSED }).collect();
    calls.chunks_mut(7).for_each(<[_]>::reverse);
    let file = LogFile::new(log(&calls));
    let printed = |file: &LogFile| {
        let calls = file.json("");
        calls.iter().map(|call| call["timestamp"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(printed(&file).is_sorted() && printed(&file).len() == 600);
    file.run("").succeeds().does_not_print("not in order");
    let mut text = log(&[REFUSED]).replace("11:00:00", "12:00:00").repeat(2_100);
    text += &log(&[REFUSED]);
    let file = LogFile::new(text);
    assert_eq!(printed(&file).len(), 2_101);
    file.run("").succeeds().prints("1 call is further down than newer ones, because the log is not in order");
}

/// Many lines take several pieces and both threads, and more pairs than are kept in memory a temporary file.
#[test]
fn a_long_log_is_counted_as_a_short_one() {
    let mut text = String::new();
    for number in 0..70_000 {
        let caller = format!("+7495{number:07}");
        let call = Logged { caller: Some(&caller), ..if number % 3 == 0 { PERMITTED } else { REFUSED } };
        writeln!(text, "{}", call.line()).unwrap();
    }
    text += &log(&[BLOCKED, BLOCKED]);
    let file = LogFile::new(text);
    let groups = file.json("--group");
    assert_eq!(groups.len(), 70_001);
    assert_eq!((&groups[70_000]["caller"], &groups[70_000]["count"]), (&json!("+74951234567"), &json!(2)));
    assert!(groups[..70_000].iter().all(|group| group["count"] == 1));
    let statistics = &file.json("--stats")[0];
    assert_eq!(statistics["calls"], 70_002);
    assert_eq!(statistics["decisions"][0]["count"], 23_334);
    assert_eq!(file.json("--from +74950000042 --group").len(), 1);
    assert_eq!(file.json("--from '+749500000*' --refused").len(), 66);
}
