//! No text of an exported CSV file becomes a formula in a spreadsheet, and every text reads back as it was.

use serde_json::json;

use crate::random::Random;
use crate::support::TestServer;

/// Whether a spreadsheet would calculate a field (OWASP, "CSV Injection").
fn is_formula(field: &str) -> bool {
    field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

/// The fields of a CSV file with commas.
fn fields(file: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    for c in file.chars() {
        match c {
            // Two quotation marks inside a field are read as one that closes it and one that opens it again.
            '"' => {
                if !is_quoted && !field.is_empty() {
                    field.push('"');
                }
                is_quoted = !is_quoted;
            }
            ',' | '\n' if !is_quoted => {
                row.push(std::mem::take(&mut field));
                if c == '\n' {
                    rows.push(std::mem::take(&mut row));
                }
            }
            c => field.push(c),
        }
    }
    rows
}

#[test]
fn every_text_of_an_export_is_no_formula_and_reads_back() {
    let server = TestServer::with_table();
    let mut random = Random(11);
    let texts = [
        "=1+2",
        "=HYPERLINK(\"http://x\")",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "'=1",
        "''=1",
        "'",
        "'x",
        "\u{ff1d}1",
        "it's",
        " =1",
        "\"=1",
        "=1,=2\n=3",
        ";=1",
        "#=1",
        "-",
        "\u{feff}=1",
    ];
    let text = |random: &mut Random| {
        let pieces = ["'", "=", "+", "-", "@", "\t", "\r", "\n", "\"", ",", ";", "#", "a", " ", "1"];
        (0..random.below(6)).map(|_| random.one(&pieces)).collect::<String>()
    };
    for number in 0..200 {
        let note = texts.get(number).map_or_else(|| text(&mut random), |text| (*text).to_owned());
        let list = if number % 2 == 0 { note.clone() } else { text(&mut random) };
        server.put(&json!({
            "pk": {"S": format!("PARTY#shop#b{number:03}")}, "sk": {"S": "CALLER#+1555"}, "effect": {"S": "allow"},
            "note": {"S": note}, "list": {"S": list},
        }));
    }
    for id in ["=1", "-1", "+1-cmd", "'=1", "''-1", "a=1"] {
        server.put(&json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": format!("CALLER#{id}")}, "effect": {"S": "deny"}}));
    }
    let apps = ["=app", "-app", "'=app", "+7", "%23app"];
    for app in apps {
        server.put(&json!({"pk": {"S": format!("APP#{app}")}, "sk": {"S": "APP"},
            "callers": {"M": {"+7495*": {"M": {"effect": {"S": "deny"}}}, "@sales": {"M": {"effect": {"S": "deny"}}}}}}));
    }
    let without_empty = |mut items: Vec<serde_json::Value>| {
        for item in &mut items {
            item.as_object_mut().unwrap().retain(|_, value| value["S"] != json!(""));
        }
        items
    };
    let before = without_empty(server.items());
    for format in ["csv", "ndjson"] {
        let run = server.run(&format!("export --format {format}")).succeeds();
        let other = TestServer::with_table();
        other.pipe("import - --exactly", &run.stdout).succeeds();
        assert_eq!(without_empty(other.items()), before, "{format}");
        if format == "csv" {
            let rows = fields(&run.stdout);
            assert_eq!(rows.len(), 1 + 200 + 6 + 2 * apps.len());
            for field in rows.iter().flatten().filter(|field| is_formula(field)) {
                assert!(["+1555", "+7495*", "@sales"].contains(&field.as_str()), "{field:?}");
            }
        }
    }
}

#[test]
fn numbers_and_groups_are_written_as_people_write_them() {
    let server = TestServer::with_table();
    let file = "app,from,to,effect,media,hours,expires_at,disabled,list,note\nshop,+7495*,*,deny,,,,,,'=1\nshop,@sales,+15550100,allow,,,,,'-x,+7\n";
    server.pipe("import -", file).succeeds();
    // A note that a person begins with a sign stays as it is.
    assert_eq!(server.run("export").stdout, file.replace(",+7\n", ",'+7\n"));
    server.run("show --app shop").succeeds().prints("deny +7495* to * (=1)");
    // An apostrophe before a number is a mistake, not an escape.
    let file = "app,from,to,effect\nshop,'+15550100123,b,allow\nshop,'=+15550100123,b,allow\n";
    let run = server.pipe("import -", file).exits_with(1);
    run.prints("line 2, column `from`: `'+15550100123` begins with an apostrophe").prints("line 3, column `from`");
}
