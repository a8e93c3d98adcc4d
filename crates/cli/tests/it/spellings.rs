//! Parties in the spellings of people, phones and spreadsheets, typed and in files.

use serde_json::json;

use crate::random_tables::type_command;
use crate::support::{Run, TestServer, split_words};

/// Writes a rule from a caller, and returns the stored pattern.
#[track_caller]
fn stored_caller(arguments: &str, caller: &str) -> String {
    let server = TestServer::with_table();
    let mut command = server.tool();
    let run = Run::of(
        command.args(["deny", "--app", "shop", "--yes", "--to", "b", "--from", caller]).args(split_words(arguments)),
    );
    run.succeeds();
    let exported = server.run("export").succeeds().stdout;
    exported.lines().nth(1).unwrap().split(',').nth(1).unwrap().to_owned()
}

#[test]
fn a_rule_is_stored_for_the_party_however_it_is_written() {
    for (caller, stored) in [
        ("\u{2068}+15550100123\u{2069}", "+15550100123"),
        ("+1\u{ad}555\u{ad}0100123", "+15550100123"),
        ("+1 555\u{a0}010\u{a0}0123", "+15550100123"),
        ("+1\u{202f}555*", "+1555*"),
        ("+1\u{2011}555\u{2011}010\u{2011}0123", "+15550100123"),
        ("\u{ff0b}\u{ff11}\u{ff15}\u{ff15}\u{ff15}", "+1555"),
        ("030/23125012", "03023125012"),
        ("Jose\u{301}", "José"),
        ("+49 (0) 30 23125012", "+493023125012"),
        ("+49 (0)30*", "+4930*"),
        ("Private Number", "anonymous"),
        ("Out of area", "anonymous"),
        ("sip:+15550100@anonymous.invalid", "anonymous"),
        ("tel://+1 555 010 0123", "+15550100123"),
        ("*98", "*98"),
        ("*21#", "*21#"),
        ("#31#", "#31#"),
    ] {
        assert_eq!(stored_caller("", caller), stored, "{caller:?}");
    }
    for (region, caller, stored) in [
        ("US", "5550100123", "+15550100123"),
        ("US", "15550100123", "+15550100123"),
        ("IT", "06 5550 0100", "+390655500100"),
        ("RU", "9161234567", "+79161234567"),
        ("RU", "8 916 123-45-67", "+79161234567"),
        ("RU", "810 1 555 010 0123", "+15550100123"),
        ("DE", "1001", "1001"),
        ("DE", "116117", "116117"),
        ("DE", "10*", "10*"),
    ] {
        assert_eq!(stored_caller(&format!("--phone-region {region}"), caller), stored, "{region} {caller}");
    }
}

#[test]
fn the_tool_prints_what_it_understood() {
    let server = TestServer::with_table();
    let note = "`+1 (555) 010-0123` is `+15550100123`";
    server.run("allow --app shop --from '+1 (555) 010-0123' --to b").succeeds().prints(note);
    server.run("check --app shop --from '+1 (555) 010-0123' --to b").succeeds().prints(note);
    server.run("suspend --app shop '+1 (555) 010-0123'").succeeds().prints(note);
    server.run("show --app shop '+1 (555) 010-0123'").succeeds().prints(note);
    server.run("revoke --app shop --from '+1 (555) 010-0123' --to b").succeeds().prints(note);
    server.run("allow --app shop --from +15550100123 --to 'PPP*' --yes").succeeds().does_not_print("` is `");
}

#[test]
fn a_host_is_not_a_party() {
    let server = TestServer::with_table();
    for text in ["<sip:198.51.100.7>", "sip:pbx.example.com:5060"] {
        server
            .run(&format!("allow --app shop --from '{text}' --to b"))
            .exits_with(2)
            .prints("names a host, not a party");
        server.run(&format!("suspend --app shop '{text}'")).exits_with(2).prints("names a host, not a party");
    }
    assert!(server.items().is_empty());
}

const MISTAKES: [&str; 10] = [
    "1.5550100123E+10",
    "7,9E+10",
    "'+15550100123",
    "=\"+79160035333\"",
    "79160035333.0",
    "#N/A",
    "########",
    "+1 555 010 0123 ext. 12",
    "+44-20-7946-0100,1234",
    "+15550100123x*",
];

/// Rules that another program stored as people wrote them, and the commands that `doctor` names.
#[test]
fn doctor_finds_ids_that_are_not_canonical_in_this_region() {
    let server = TestServer::with_table();
    server.run("allow --app shop --from '*' --to '*' --yes").succeeds();
    let written =
        ["8 916 123-45-67", "9161234567", "Jose\u{301}", "\u{202a}+8815550100\u{202c}", "+49 (0) 30 23125012"];
    let canonical = ["+79161234567", "+79161234567", "José", "+8815550100", "+493023125012"];
    for (number, caller) in written.iter().enumerate() {
        server.put(&json!({"pk": {"S": format!("PARTY#shop#b{number}")}, "sk": {"S": format!("CALLER#{caller}")},
            "effect": {"S": "deny"}, "note": {"S": "x y"}}));
    }
    let found = server.json("doctor --phone-region RU");
    let found = found["findings"].as_array().unwrap();
    assert_eq!(found.len(), written.len());
    for finding in found {
        let advice = finding["advice"].as_str().unwrap();
        let (_, commands) = advice.split_once("write it again: ").unwrap();
        // They do not need the region.
        type_command(&server, commands).succeeds();
    }
    server.run("doctor --phone-region RU").succeeds();
    for (number, caller) in canonical.iter().enumerate() {
        server
            .run(&format!("show --app shop b{number}"))
            .succeeds()
            .prints(&format!("deny {caller} to b{number} (x y)"));
    }
    server.put(&json!({"pk": {"S": "PARTY#shop#c"}, "sk": {"S": "CALLER#1001.0"}, "effect": {"S": "allow"}}));
    server
        .run("doctor")
        .exits_with(4)
        .prints("`1001.0` is a decimal number")
        .prints("fix: callgatectl revoke --exactly");
}

#[test]
fn what_looks_like_a_number_and_is_none_is_refused_unless_it_is_meant() {
    let server = TestServer::with_table();
    for text in MISTAKES {
        let run = |command: &[&str]| Run::of(server.tool().args(command));
        run(&["allow", "--app", "shop", "--to", "b", "--yes", "--from", text])
            .exits_with(2)
            .prints("add --exactly if it is meant");
        run(&["deny", "--app", "shop", "--from", "a", "--yes", "--to", text]).exits_with(2).prints("--exactly");
        let why = if text.ends_with('*') { "is a pattern, not one party" } else { "--exactly" };
        run(&["suspend", "--app", "shop", text]).exits_with(2).prints(why);
    }
    assert!(server.items().is_empty());
    for (text, region) in [("8495*", "RU"), ("0049*", "DE"), ("1555*", "US")] {
        let command = format!("deny --app shop --from '{text}' --to b --yes --phone-region {region}");
        server.run(&command).exits_with(2).prints("is a prefix that numbers do not have");
    }
    server.run("deny --app shop --from '8495*' --to b --yes --phone-region RU --exactly").succeeds();
    server.run("allow --app shop --from '1.5E+10' --to b --exactly").succeeds();
    let export = server.run("export").succeeds().prints("import this file with --exactly: one rule has an id");
    server.pipe("import - --dry-run", &export.stdout).exits_with(1);
    server.pipe("import - --dry-run --exactly", &export.stdout).succeeds().prints("2 stay");
    // What calls may have can be looked at.
    server.run("check --app shop --from '1.5E+10' --to b").succeeds();
    server.run("revoke --app shop --from '1.5E+10' --to b").succeeds();
}

#[test]
fn a_file_with_mistakes_names_each_kind_with_its_first_lines() {
    let server = TestServer::with_table();
    let rows: Vec<_> = (0..624).map(|number| format!("shop,1.5550{number:03}E+10,b,allow")).collect();
    let file = format!("app,from,to,effect\n{}\nshop,a,'+15550100123,allow\n", rows.join("\n"));
    let run = server.pipe("import -", &file).exits_with(1);
    let run = run
        .prints("line 2, column `from`: `1.5550000E+10` is how a spreadsheet shortens a number")
        .prints(" (the same on 623 more lines: 3, 4, 5, ...)\n")
        .prints("line 626, column `to`: `'+15550100123` begins with an apostrophe");
    assert_eq!(run.stderr.lines().count(), 3, "{run:?}");
    assert!(server.items().is_empty());
    server.pipe("import - --exactly", &file).succeeds();
}

/// Imports a file and returns what is stored.
#[track_caller]
fn imported(bytes: &[u8]) -> String {
    let server = TestServer::with_table();
    let path =
        std::env::temp_dir().join(format!("callgatectl-spelling-{}-{}", std::process::id(), server.address.port()));
    std::fs::write(&path, bytes).unwrap();
    Run::of(server.tool().arg("import").arg(&path)).succeeds();
    std::fs::remove_file(path).unwrap();
    server.run("export").succeeds().stdout
}

#[test]
fn files_of_spreadsheets_are_understood() {
    let expected = "app,from,to,effect,media,hours,expires_at,disabled,list,note\nshop,+15550100123,b,deny,,,,,,\"x, y\"\nshop,a,b,allow,,,,,,\n";
    let text = "app,from,to,effect,note\nshop,+1 555 010 0123,b,Deny,\"x, y\"\nshop,a,b,ALLOW,\n";
    let semicolons = "app;from;to;effect;note\r\nshop;+1 555 010 0123;b;deny;x, y\r\nshop;a;b;allow;\r\n";
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| {
        std::iter::once('\u{feff}')
            .chain(text.chars())
            .flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec())
            .flat_map(bytes)
            .collect::<Vec<u8>>()
    };
    for (name, bytes) in [
        ("commas", text.into()),
        ("semicolons", semicolons.into()),
        ("named separator", format!("sep=;\r\n{semicolons}").into_bytes()),
        ("tabs", semicolons.replace(';', "\t").into_bytes()),
        ("a mark before rows", text.replace("shop,", "\u{feff}shop,").into_bytes()),
        ("empty rows", text.replace("shop,a", ",,,,\n , ,,,\n\nshop,a").into_bytes()),
        ("a separator at the end", text.replace(",note\n", ",note,\n").replace("y\"\n", "y\",,\n").into_bytes()),
        ("UTF-8 with a mark", format!("\u{feff}{text}").into_bytes()),
        ("UTF-16, little endian", utf16(&semicolons.replace(';', "\t"), u16::to_le_bytes)),
        ("UTF-16, big endian", utf16(text, u16::to_be_bytes)),
    ] {
        assert_eq!(imported(&bytes), expected, "{name}");
    }
}

#[test]
fn files_that_no_spreadsheet_should_write_are_refused_with_one_problem() {
    let text = "app,from,to,effect\na,b,c,allow\n";
    let utf16: String = text.chars().flat_map(|c| [c, '\0']).collect();
    for (name, text, problem) in [
        ("Macintosh", text.replace('\n', "\r"), "its lines end with a carriage return alone"),
        ("UTF-16", utf16, "it is in UTF-16 without a byte order mark"),
        ("bars", text.replace(',', "|"), "separated by commas, semicolons or tabs"),
    ] {
        let run = TestServer::with_table().pipe("import -", &text).exits_with(1).prints(problem);
        assert!(run.prints("1 problem in the file").stderr.lines().count() == 2, "{name}");
    }
    let header = "app,from,to,effect,colour,size\n";
    let run = TestServer::with_table().pipe("import -", header).exits_with(1);
    run.prints("line 1: `colour` is not a column").prints("line 1: `size` is not a column");
}

#[test]
fn a_zone_without_summer_time_gets_a_notice() {
    let server = TestServer::with_table();
    for (zone, has_notice) in
        [("EST", true), ("Etc/GMT+5", true), ("UTC", false), ("America/New_York", false), ("Asia/Kathmandu", false)]
    {
        let run =
            server.run(&format!("allow --app shop --from a --to b --hours 'Mon-Fri 09:00-18:00 {zone}'")).succeeds();
        assert_eq!(run.stdout.contains(&format!("`{zone}` has no summer time")), has_notice, "{run:?}");
    }
}
