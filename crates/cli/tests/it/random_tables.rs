//! Random tables, as other programs may write them. No fix of `doctor` and no `export` with `import` changes the answer to
//! any call, now or later.
//!
//! `CALLGATE_RANDOM_TABLES=1000 cargo test -p callgatectl --test it random_tables -- --nocapture` tries more tables, and
//! `CALLGATE_RANDOM_SEED` starts at another one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::SystemTime;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, Key};
use callgate_core::{AppKey, Call, Effect, EpochSeconds, MediaSet, ParsedItem, Party, PartyId, Permissions, decide};
use serde_json::{Value, json};

use crate::random::Random;
use crate::support::{Run, TABLE, TestServer};

/// How many tables are tried, and the seed of the first.
fn seeds() -> std::ops::Range<u64> {
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let first = number("CALLGATE_RANDOM_SEED", 1);
    first..first + number("CALLGATE_RANDOM_TABLES", 6)
}

/// Ids that calls can have.
const IDS: [&str; 6] = ["a", "b", "+7495", "+74951", "anonymous", "+741"];

/// Ids as other programs may store them. No call has them, except the one that is not a pattern.
const ODD_IDS: [&str; 7] = ["+7 4951", "sip:a", "unknown", "a@b", " a", "x\u{1b}'\\y", "98*"];

const PATTERNS: [&str; 8] = ["*", "+7*", "+74*", "+7495*", "+74951*", "a*", "@sales", "@night"];

const ODD_PATTERNS: [&str; 6] = ["+7 4*", "tel:+7*", "*9*", "98*", "a\n*", " a*"];

/// Callers and callees of the calls that are compared. Some of them match no rule, or only an odd one.
pub(crate) const PARTIES: [&str; 12] =
    ["a", "b", "+7495", "+74951", "anonymous", "98*", "+749512", "+741", "+79", "ab", "*98", "+7 4x"];

/// Some of them coincide in winter, but not in summer.
const HOURS: [&str; 7] = [
    "Mon-Sun 00:00-24:00 UTC",
    "Mon-Sun 09:00-18:00 UTC",
    "Mon-Sun 09:00-18:00 Europe/London",
    "Mon-Sun 10:00-19:00 Europe/Berlin",
    "Mon-Sun 04:00-13:00 America/New_York",
    "Sat,Sun 22:00-06:00 Africa/Casablanca",
    "Mon-Fri 01:00-03:00 Europe/London",
];

/// Makes items at random. `odd` is how many percent of the choices are not as the tool makes them.
pub(crate) struct Tables {
    pub(crate) random: Random,
    pub(crate) now: EpochSeconds,
    pub(crate) odd: u64,
}

impl Tables {
    fn pick(&mut self, usual: &[&str], odd: &[&str]) -> String {
        if self.random.percent(self.odd) { self.random.one(odd) } else { self.random.one(usual) }.to_owned()
    }

    fn expiry(&mut self) -> Option<Value> {
        let now = self.now;
        let odd = [1_000, 20_991_231, 4_102_444_800, 253_402_128_000, i64::MIN, i64::MAX, -5, (now + 86_400) * 1_000];
        let number = match self.random.below(10) {
            0 => now - 1_000_000,
            1 => now + 7_200,
            2 => now + 3 * 86_400,
            3 => now + 200 * 86_400,
            4 if self.random.percent(self.odd * 3) => self.random.one(&odd),
            _ => return None,
        };
        Some(json!({"N": number.to_string()}))
    }

    fn rule(&mut self) -> Value {
        let mut rule = json!({"effect": {"S": self.random.one(&["allow", "allow", "deny"])}});
        if self.random.percent(25) {
            rule["media"] = json!({"SS": self.random.one(&[vec!["audio"], vec!["video"], vec!["audio", "video"]])});
        }
        if self.random.percent(25) {
            let windows = 1 + self.random.below(2);
            rule["hours"] =
                json!({"L": (0..windows).map(|_| json!({"S": self.random.one(&HOURS)})).collect::<Vec<_>>()});
        }
        if let Some(at) = self.expiry() {
            rule["expires_at"] = at;
        }
        if self.random.percent(15) {
            rule["note"] =
                json!({"S": self.random.one(&["", " spaces ", "it's", "two\nlines", "\u{1b}[2J", "a \"b\", c", "\r"])});
        }
        if self.random.percent(10) {
            rule["disabled"] = json!({"BOOL": self.random.percent(70)});
        }
        if self.random.percent(15) {
            rule["list"] = json!({"S": self.random.one(&["spam", "", "=1", "'@x"])});
        }
        if self.random.percent(30) {
            rule["updated_by"] = json!({"S": "another program"});
        }
        if self.random.percent(self.odd / 2) {
            match self.random.below(6) {
                0 => rule["effect"] = json!({"S": "alow"}),
                1 => rule["hours"] = json!({"L": []}),
                2 => rule["media"] = json!({"SS": ["audio", "fax"]}),
                3 => rule["colour"] = json!({"S": "red"}),
                4 => rule["expires_at"] = json!({"S": "soon"}),
                _ => return json!({"S": "allow"}),
            }
        }
        rule
    }

    fn block(&mut self) -> Value {
        let mut block = json!({});
        if let Some(at) = self.expiry() {
            block["expires_at"] = at;
        }
        if self.random.percent(40) {
            block["note"] = json!({"S": self.random.one(&["", "=1", "calls at night"])});
        }
        if self.random.percent(40) {
            block["list"] = json!({"S": self.random.one(&["", "spam"])});
        }
        if self.random.percent(self.odd / 3) {
            block["colour"] = json!({"S": "red"});
        }
        json!({"M": block})
    }

    fn list(&mut self) -> Value {
        let mut list = json!({});
        for _ in 0..self.random.below(5) {
            let entry = if self.random.percent(self.odd) {
                self.pick(&IDS, &ODD_IDS)
            } else {
                self.pick(&PATTERNS, &ODD_PATTERNS)
            };
            let rule = self.rule();
            list[entry] = if rule.get("S").is_some() { rule } else { json!({"M": rule}) };
        }
        json!({"M": list})
    }

    fn item(&mut self, pk: &str, sk: &str) -> Value {
        let mut item = json!({"pk": {"S": pk}, "sk": {"S": sk}});
        if self.random.percent(50) {
            item["status"] = json!({"S": "active"});
        } else if self.random.percent(2 + self.odd / 3) {
            item["status"] = json!({"S": "suspended"});
        } else if self.random.percent(self.odd / 5) {
            item["status"] = json!({"S": "on"});
        }
        if self.random.percent(self.odd) {
            item[self.random.one(&["colour", "it's"])] = json!({"M": {"x": {"S": "y"}}});
        }
        item
    }

    pub(crate) fn table(&mut self) -> Vec<Value> {
        let mut items = Vec::new();
        for (app, escaped) in [("shop", "shop"), ("way#2", "way%232")] {
            if self.random.percent(80) {
                let mut item = self.item(&format!("APP#{escaped}"), "APP");
                item["callers"] = self.list();
                if self.random.percent(60) {
                    item["destinations"] = self.list();
                }
                if self.random.percent(self.odd) {
                    item["incoming"] = self.list();
                }
                if self.random.percent(self.odd) {
                    item["expires_at"] = json!({"N": (self.now + 86_400).to_string()});
                }
                items.push(item);
            }
            let parties = if app == "shop" { 5 } else { 1 };
            for _ in 0..parties {
                let id = self.pick(&IDS, &ODD_IDS);
                let mut item = self.item(&format!("PARTY#{escaped}#{id}"), "PARTY");
                for list in ["incoming", "outgoing"] {
                    if self.random.percent(70) {
                        item[list] = self.list();
                    }
                }
                // Of some tables, a file has everything.
                if self.odd > 0 && self.random.percent(40) {
                    let groups = [vec!["sales"], vec!["night"], vec!["sales", "night"]];
                    item["groups"] = json!({"SS": self.random.one(&groups)});
                } else if self.random.percent(self.odd / 4) {
                    item["groups"] = json!({"SS": ["Sales"]});
                }
                if self.random.percent(12) {
                    item["blocked"] = self.block();
                }
                if self.random.percent(25)
                    && let Some(at) = self.expiry()
                {
                    item["expires_at"] = at;
                }
                items.push(item);
            }
            for _ in 0..parties {
                let (caller, callee) = (self.pick(&IDS, &ODD_IDS), self.pick(&IDS, &ODD_IDS));
                let mut item =
                    json!({"pk": {"S": format!("PARTY#{escaped}#{callee}")}, "sk": {"S": format!("CALLER#{caller}")}});
                let rule = self.rule();
                if rule.get("S").is_none() {
                    item.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
                }
                items.push(item);
            }
        }
        if self.random.percent(self.odd) {
            items.push(json!({"pk": {"S": "SHOP#1"}, "sk": {"S": self.random.one(&["x", "it's", "\u{1b}"])}}));
        }
        // Of several items with one key, the last is stored.
        let by_key: BTreeMap<_, _> = items.into_iter().map(|item| (key_of(&item), item)).collect();
        by_key.into_values().collect()
    }
}

fn key_of(item: &Value) -> (String, String) {
    let text = |name| item[name]["S"].as_str().unwrap().to_owned();
    (text("pk"), text("sk"))
}

/// The items of a table, by key.
pub(crate) type Items = BTreeMap<(String, String), Attributes>;

fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let texts = || value.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect();
    match kind.as_str() {
        "S" => AttributeValue::S(value.as_str().unwrap().to_owned()),
        "N" => AttributeValue::N(value.as_str().unwrap().to_owned()),
        "SS" => AttributeValue::Ss(texts()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => AttributeValue::M(attributes(value)),
        kind => panic!("{kind}"),
    }
}

fn attributes(map: &Value) -> Attributes {
    map.as_object().unwrap().iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

/// Everything that is stored.
pub(crate) fn stored(server: &TestServer) -> (Vec<Value>, Items) {
    let mut output = server.request("Scan", &json!({"TableName": TABLE, "ConsistentRead": true}));
    let items: Vec<Value> = serde_json::from_value(output["Items"].take()).unwrap();
    let parsed = items.iter().map(|item| (key_of(item), attributes(item))).collect();
    (items, parsed)
}

/// Makes the table contain exactly these items.
pub(crate) fn restore(server: &TestServer, items: &[Value]) {
    for item in stored(server).0 {
        server.request("DeleteItem", &json!({"TableName": TABLE, "Key": {"pk": item["pk"], "sk": item["sk"]}}));
    }
    for item in items {
        server.put(item);
    }
}

/// The moments of the calls that are compared: now, around every expiry, and times of day in winter and summer.
fn moments(tables: [&Items; 2], now: EpochSeconds) -> Vec<EpochSeconds> {
    fn add(value: &AttributeValue, moments: &mut BTreeSet<EpochSeconds>) {
        let AttributeValue::M(map) = value else { return };
        for (name, value) in map {
            if let (item::EXPIRES_AT, AttributeValue::N(number)) = (name.as_str(), value) {
                let at: EpochSeconds = number.parse().unwrap();
                moments.extend([at.saturating_sub(1), at, at.saturating_add(1)]);
            }
            add(value, moments);
        }
    }
    let mut moments = BTreeSet::from([now]);
    for item in tables.into_iter().flat_map(BTreeMap::values) {
        add(&AttributeValue::M(item.clone()), &mut moments);
    }
    for day in [0, 3, 5, 124, 200] {
        let midnight = now / 86_400 * 86_400 + day * 86_400;
        moments.extend([30, 150, 510, 570, 1_050, 1_110, 1_410].map(|minute| midnight + minute * 60));
    }
    moments.into_iter().filter(|&moment| moment >= now).collect()
}

/// The calls that are answered differently from the first table and from the second. A call whose items are equal is not.
fn differences([before, after]: [&Items; 2], now: EpochSeconds) -> Vec<Call> {
    let moments = moments([before, after], now);
    let mut differences = Vec::new();
    for app in ["shop", "way#2"] {
        let app = AppKey::new(app).unwrap();
        for (caller, callee) in PARTIES.iter().flat_map(|caller| PARTIES.iter().map(move |callee| (caller, callee))) {
            let [caller, callee] = [caller, callee].map(|id| PartyId::new(id, None).unwrap());
            let keys = [
                Key::app(&app),
                Key::party(&app, &caller),
                Key::party(&app, &callee),
                Key::pair(&app, &caller, &callee),
            ];
            let items =
                |table: &Items| keys.each_ref().map(|key| table.get(&(key.pk.clone(), key.sk.clone())).cloned());
            let [before, after] = [before, after].map(items);
            if before == after {
                continue;
            }
            let [before, after] = [before, after].map(|[app, caller, callee, pair]| {
                let party = |item: Option<Attributes>| -> ParsedItem<Party> { item.map(item::read_party).transpose() };
                let pair = pair.map(item::read_pair).transpose();
                (app.map(item::read_app).transpose(), party(caller), party(callee), pair)
            });
            for (audio, video) in [(true, false), (true, true), (false, true), (false, false)] {
                let call = Call {
                    app: app.clone(),
                    caller: caller.clone(),
                    callee: callee.clone(),
                    media: MediaSet { audio, video },
                };
                let answers = [&before, &after].map(|(app, caller, callee, pair)| {
                    let permissions = Permissions { app, caller, callee, pair };
                    moments.iter().map(|&at| decide(&call, permissions, at).effect()).collect::<Vec<Effect>>()
                });
                if answers[0] != answers[1] {
                    differences.push(call);
                }
            }
        }
    }
    differences
}

/// Types a command into a shell, and confirms it. `aws` is played by this test.
pub(crate) fn type_command(server: &TestServer, command: &str) -> Run {
    let tool = server.tool();
    let command = &command.replacen("callgatectl revoke", "callgatectl revoke --yes", 1);
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!(
        "aws() {{ printf '%s\\0' \"$@\"; }}\ncallgatectl() {{ \"$TOOL\" --table {TABLE} --endpoint-url http://{} \"$@\"; }}\n{command}",
        server.address
    ));
    shell.env("TOOL", tool.get_program());
    for (name, value) in tool.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let run = Run::of(&mut shell);
    if command.starts_with("aws ") {
        let words: Vec<_> = run.stdout.split_terminator('\0').collect();
        let value = |option: &str| words[1 + words.iter().position(|word| *word == option).unwrap()];
        let parsed = |option| serde_json::from_str::<Value>(value(option)).unwrap();
        let mut body = json!({"TableName": value("--table-name"), "Key": parsed("--key")});
        match words[..2] {
            ["dynamodb", "delete-item"] => _ = server.request("DeleteItem", &body),
            ["dynamodb", "update-item"] => {
                body["UpdateExpression"] = value("--update-expression").into();
                body["ConditionExpression"] = value("--condition-expression").into();
                body["ExpressionAttributeNames"] = parsed("--expression-attribute-names");
                // The condition fails if another command deleted the item.
                if stored(server).1.contains_key(&key_of(&body["Key"])) {
                    server.request("UpdateItem", &body);
                }
            }
            _ => panic!("{command}"),
        }
    }
    run
}

/// The commands that `doctor` prints as fixes.
fn fixes(server: &TestServer) -> Vec<String> {
    let report = server.run("doctor --output json");
    assert!(report.code == 0 || report.code == 4, "{report:?}");
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let mut commands = Vec::new();
    for finding in report["findings"].as_array().unwrap() {
        assert!(finding["command"].is_string() != finding["advice"].is_string(), "{finding}");
        commands.extend(finding["command"].as_str().map(str::to_owned));
    }
    let text = server.run("doctor").stdout;
    for command in &commands {
        assert!(text.contains(&format!("  fix: {command}\n")), "{command:?} is not in {text}");
        assert!(!command.contains(char::is_control));
    }
    commands.sort();
    commands.dedup();
    commands
}

pub(crate) fn now() -> EpochSeconds {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

#[test]
fn no_fix_of_doctor_changes_an_answer() {
    let server = TestServer::with_table();
    let (mut tables, mut typed, mut kinds) = (0, 0, BTreeMap::<String, u64>::new());
    for seed in seeds() {
        let now = now();
        let mut random_tables = Tables { random: Random(seed), now, odd: seed % 3 * 12 };
        let items = random_tables.table();
        restore(&server, &items);
        let before = stored(&server).1;
        let check = |commands: &[String], round: &str| {
            let after = stored(&server).1;
            let differences = differences([&before, &after], now);
            assert!(
                differences.is_empty(),
                "seed {seed}, {round}: {commands:#?} changed {:#?}\n{items:#?}",
                differences[0]
            );
        };
        let offered = fixes(&server);
        // All fixes, and those that are offered after them.
        let mut commands = offered.clone();
        for round in 0..4 {
            for (index, command) in commands.iter().enumerate() {
                let run = type_command(&server, command);
                let is_gone = (index, round) != (0, 0) && run.stderr.contains("there is no rule");
                assert!([0, 4].contains(&run.code) || is_gone, "seed {seed}: {command}: {run:?}");
                *kinds.entry(command.split(" --app").next().unwrap().chars().take(40).collect()).or_default() += 1;
                typed += 1;
                check(&commands[..=index], &format!("round {round}"));
            }
            commands = fixes(&server);
        }
        // Some of the fixes, in any order.
        restore(&server, &items);
        let mut some: Vec<_> = offered.iter().filter(|_| random_tables.random.percent(50)).cloned().collect();
        some.sort_by_cached_key(|_| random_tables.random.number());
        for command in &some {
            let run = type_command(&server, command);
            assert!([0, 4].contains(&run.code) || run.stderr.contains("there is no rule"), "{command}: {run:?}");
            typed += 1;
        }
        check(&some, "some of the fixes");
        tables += 1;
    }
    println!("{tables} tables, {typed} commands typed: {kinds:?}");
    assert!(typed >= tables, "{typed}");
}

/// Removes from a table what an export left out, so that only what the file contains is left.
fn without_left_out(before: &Items, left_out: &str) -> Items {
    let mut items = before.clone();
    let lines = left_out.lines().filter_map(|line| line.strip_prefix("left out: "));
    for line in lines {
        let (name, reason) = line.split_once(": ").unwrap();
        let name = name.replace("\\u{1b}", "\u{1b}").replace("\\n", "\n");
        if name.starts_with('(') {
            continue;
        }
        if let Some((group, app)) = name.strip_prefix("the members of @").and_then(|name| name.split_once(" in app ")) {
            let app = app.replace('#', "%23");
            let parties =
                items.iter_mut().filter(|((pk, sk), _)| pk.starts_with(&format!("PARTY#{app}#")) && sk == "PARTY");
            for (_, item) in parties {
                if let Some(AttributeValue::Ss(groups)) = item.get_mut("groups") {
                    groups.retain(|other| other != group);
                }
            }
            continue;
        }
        let (place, app) =
            name.rsplit_once(" in app ").map_or(("", name.strip_prefix("app ").unwrap_or_default()), |it| it);
        let (app, door) = app.split_once(", ").unwrap_or((app, ""));
        let app = app.replace('#', "%23");
        let party = |id: &str| (format!("PARTY#{app}#{id}"), "PARTY".to_owned());
        let is_pattern = |text: &str| text.ends_with('*') || text.starts_with('@');
        let (key, list, entry) = match place.split_once(" to ") {
            None => {
                let key = if place.is_empty() { (format!("APP#{app}"), "APP".to_owned()) } else { party(place) };
                if reason == "it is suspended" {
                    items.get_mut(&key).unwrap().remove("status").unwrap();
                } else {
                    items.remove(&key).unwrap();
                }
                continue;
            }
            Some((from, _)) if door == "block" => {
                assert!(items.get_mut(&party(from)).unwrap().remove("blocked").is_some(), "{line}");
                continue;
            }
            Some((from, to)) => match (door, is_pattern(from), is_pattern(to)) {
                ("", true, true) if to != "*" => ((format!("APP#{app}"), "APP".to_owned()), "destinations", to),
                ("door `destination`", ..) => ((format!("APP#{app}"), "APP".to_owned()), "destinations", to),
                ("door `app`", ..) | ("", true, true) => ((format!("APP#{app}"), "APP".to_owned()), "callers", from),
                ("door `callee`", ..) | ("", true, false) => (party(to), "incoming", from),
                ("door `caller`", ..) | ("", false, true) => (party(from), "outgoing", to),
                _ => {
                    let key = (format!("PARTY#{app}#{to}"), format!("CALLER#{from}"));
                    assert!(items.remove(&key).is_some(), "{line}");
                    continue;
                }
            },
        };
        let Some(AttributeValue::M(rules)) = items.get_mut(&key).and_then(|item| item.get_mut(list)) else {
            panic!("{line}");
        };
        assert!(rules.remove(entry).is_some(), "{line}");
    }
    items
}

#[test]
fn an_export_decides_as_the_table_does_or_lists_what_it_leaves_out() {
    let (server, other) = (TestServer::with_table(), TestServer::with_table());
    let (mut complete, mut incomplete) = (0, 0);
    for seed in seeds() {
        let now = now();
        let items = Tables { random: Random(seed), now, odd: seed % 3 * 12 }.table();
        restore(&server, &items);
        let before = stored(&server).1;
        for format in ["csv", "ndjson"] {
            let export = server.run(&format!("export --format {format}"));
            let expected = match export.code {
                0 => before.clone(),
                1 => without_left_out(&before, &export.stderr),
                _ => panic!("{export:?}"),
            };
            *(if export.code == 0 { &mut complete } else { &mut incomplete }) += 1;
            restore(&other, &[]);
            other.pipe(&format!("import - --exactly --format {format}"), &export.stdout).succeeds();
            let imported = stored(&other).1;
            let differing = differences([&expected, &imported], now);
            assert!(differing.is_empty(), "seed {seed}, {format}: {:#?}\n{export:?}\n{items:#?}", differing[0]);
            server.pipe(&format!("import - --exactly --format {format}"), &export.stdout).succeeds();
            let differing = differences([&before, &stored(&server).1], now);
            assert!(differing.is_empty(), "seed {seed}, {format}: {:#?}\n{export:?}\n{items:#?}", differing[0]);
        }
    }
    println!("{complete} exports of whole tables, {incomplete} with something left out");
    assert!(complete > 0 && incomplete > 0);
}
