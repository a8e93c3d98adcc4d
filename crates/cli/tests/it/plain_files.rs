//! Plain files of numbers, comments, and rows that appear twice.

use crate::support::TestServer;

fn rules(server: &TestServer) -> Vec<String> {
    server.run("export").succeeds().stdout.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_file_of_numbers_needs_no_columns() {
    let server = TestServer::with_table();
    let file = "\u{feff}# numbers that called at night\n\n+1 555 010 0001\r\n  tel:+15550100002 \n\"+1 (555) 010-0003\"\n#+15550100009\n";
    let arguments = "import - --app shop --as 'block {}, until 2099-12-31 (night calls)' --list spam";
    server.pipe(&format!("{arguments} --dry-run"), file).succeeds().prints("3 rules would be added");
    server.pipe(arguments, file).succeeds().prints("imported: 3 rules written");
    let row = |number| format!("shop,+1555010000{number},*,block,,,2099-12-31T00:00:00Z,,spam,night calls");
    assert_eq!(rules(&server), [1, 2, 3].map(row));
    server.run("check --app shop --from +15550100002 --to a").exits_with(3).prints("caller_blocked");
    server.pipe(&format!("{arguments} --replace --yes"), "+15550100002\n").succeeds().prints("2 removed, 1 unchanged");
    assert_eq!(rules(&server), [row(2)]);
}

#[test]
fn the_rule_for_each_number_is_in_the_words_of_the_tool() {
    let server = TestServer::with_table();
    let import = |rule: &str, file: &str| server.pipe(&format!("import - --app shop --as '{rule}'"), file);
    import("deny * to {}", "+882*\n+883 1*\n+15550100\n@night\n").succeeds().prints("4 rules written");
    import("allow {} to PPP005, audio only, Mon-Fri 09:00-18:00 UTC; Sat 10:00-14:00 UTC", "+1555\n@sales\n")
        .succeeds();
    import("allow PPP007 to {}, disabled", "+1*\n").succeeds();
    assert_eq!(
        rules(&server),
        [
            "shop,*,+15550100,deny,,,,,,",
            "shop,*,+882*,deny,,,,,,",
            "shop,*,+8831*,deny,,,,,,",
            "shop,*,@night,deny,,,,,,",
            "shop,+1555,PPP005,allow,audio,Mon-Fri 09:00-18:00 UTC; Sat 10:00-14:00 UTC,,,,",
            "shop,@sales,PPP005,allow,audio,Mon-Fri 09:00-18:00 UTC; Sat 10:00-14:00 UTC,,,,",
            "shop,PPP007,+1*,allow,,,,true,,",
        ]
    );
    // A rule is written as it is shown.
    let shown = server.run("show --app shop").stdout;
    let printed = shown.lines().find(|line| line.contains("+882*")).unwrap().split(" [").next().unwrap().trim();
    import(&printed.replace("+882*", "{}"), "+882*\n").succeeds().prints("0 rules written, 1 unchanged");
    for (rule, why) in [
        ("block", "has no {}"),
        ("blok {}", "the rule `blok {}` cannot be read; write `block {}`"),
        ("block {} to *", "blocks more than one party"),
        ("block {}, video only", "a block has only a time, a list and a note"),
        ("allow {} to {}", "has two {}"),
        ("deny * to {}*", "has {} inside another word"),
        ("deny * to {}, until never", "`never`"),
        ("deny * to {}, 9-17", "`9-17`"),
    ] {
        import(rule, "+1\n").exits_with(2).prints(why);
    }
    server.pipe("import - --as 'block {}'", "+1\n").exits_with(2).prints("--app");
    server.pipe("import - --app shop --as 'block {}' --format csv", "+1\n").exits_with(2);
}

#[test]
fn mistakes_in_a_file_of_numbers_are_named_with_their_lines() {
    let server = TestServer::with_table();
    let file = "+15550100001\n1.5550100123E+10\n# fine\n+7*\n'+15550100002\n+1,+2\n\"+3\n@Sales\n+15550100001\n79160035333.0\n";
    let run = server.pipe("import - --app shop --as 'block {}'", file).exits_with(1);
    run.prints("line 2: `1.5550100123E+10` is how a spreadsheet shortens a number")
        .prints("line 4: `+7*` is not one party; a block is about one party")
        .prints("line 5: `'+15550100002` begins with an apostrophe")
        .prints("line 6: `+1,+2` is more than one value")
        .prints("line 7: `\"+3` begins with a quotation mark")
        .prints("line 8: `@Sales`")
        .prints("line 10: `79160035333.0` is a decimal number")
        .prints("7 problems in the file; nothing was written");
    assert!(server.items().is_empty());
    let run = server.pipe("import - --app shop --as 'block {}' --exactly", "1.5550100123E+10\n");
    run.succeeds();
    // Without --as, the hint names it.
    server.pipe("import -", "+15550100001\n+15550100002\n").exits_with(1).prints("add --as 'block {}'");
}

#[test]
fn a_line_that_starts_with_a_number_sign_is_a_comment() {
    let server = TestServer::with_table();
    let csv = "\u{feff}# from the spreadsheet; do not edit\n#\n\n# app,from\napp;from;to;effect;note\n#shop;x;y;allow;\n\
               shop;a;b;allow;\"two\n# lines\"\n # ;c;d;deny;\n\"#way\";a;b;allow;# not a comment\n";
    server.pipe("import - --dry-run", csv).succeeds().prints("3 rules would be added");
    let csv = csv.replace(" # ;c;d;deny;\n", "");
    server.pipe("import -", &csv).succeeds().prints("2 rules written");
    let exported = server.run("export").succeeds().stdout;
    assert_eq!(
        exported.split_once('\n').unwrap().1,
        "\"#way\",a,b,allow,,,,,,# not a comment\nshop,a,b,allow,,,,,,\"two\n# lines\"\n"
    );
    let before = server.stored();
    server.pipe("import - --replace --yes", &exported).succeeds().prints("0 rules written, 2 unchanged");
    let ndjson = server.run("export --format ndjson").succeeds().stdout;
    let ndjson = format!("# {{\"app\": 1}}\n{}# the end", ndjson.replace("{\"app\":\"shop", "#\n{\"app\":\"shop"));
    server.pipe("import - --replace --yes", &ndjson).succeeds().prints("0 rules written, 2 unchanged");
    assert_eq!(server.stored(), before);
    // The numbers of lines count comments.
    server.pipe("import -", "# a\n\napp,from,to,effect\n# b\nshop,a,b,alow\n").exits_with(1).prints("line 5, column");
}

#[test]
fn a_comment_that_looks_like_a_value_is_noticed() {
    let server = TestServer::with_table();
    let import = |file: &str| server.pipe("import - --app shop --as 'allow {} to PPP005' --dry-run", file);
    import("#21#\n*98\n# 21\n#N/A\n").succeeds().prints("1 rule would be added").prints(
        "notice: line 1: `#21#` starts a comment, as every line does that starts with `#`; if it is a value, write it in \
         quotation marks (the same on 1 more line: 4)",
    );
    import("\"#21#\"\n").succeeds().does_not_print("notice").prints("+ allow #21# to PPP005");
    let csv = "from,to,effect\n#21#,b,allow\n\"#22#\",b,allow\n#was:1,b,deny\n";
    let run = server.pipe("import - --app shop --dry-run", csv).succeeds().prints("notice: line 2: `#21#` starts");
    run.does_not_print("#was").prints("+ allow #22# to b");
}

#[test]
fn a_row_that_appears_twice_is_noted() {
    let server = TestServer::with_table();
    let csv = "app,from,to,effect\nshop,+1 555,b,allow\nshop,c,d,deny\nshop,+1555,b,allow\n\nshop,c,d,deny\n";
    server
        .pipe("import -", csv)
        .succeeds()
        .prints("notice: line 4, column `from,to`: `+1555,b` repeats line 2 (the same on 1 more line: 6)")
        .prints("2 rules written");
    server
        .pipe("import - --app shop --as 'block {}'", "+1\n+2\n+1\n")
        .succeeds()
        .prints("line 3, column `from,to`: `+1,*` repeats line 1");
}
