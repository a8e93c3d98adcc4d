//! While an import runs, fails or is killed, no call is permitted that both the old and the new rules refuse.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes};
use callgate_core::{AppKey, Call, Effect, EpochSeconds, MediaSet, PartyId, Permissions, decide};
use serde_json::{Value, json};

use crate::proxy::{self, Request, Treatment, start_proxy};
use crate::random::Random;
use crate::support::{Run, TABLE, TestServer, tool};

/// 2027-11-22, a Monday, 12:00 UTC.
const MONDAY: EpochSeconds = 1_826_884_800;
const DAY: EpochSeconds = 24 * 60 * 60;

/// Moments inside and outside the hours, and before and after the expiries, of the random rules.
const MOMENTS: [EpochSeconds; 4] =
    [MONDAY, MONDAY + 5 * DAY, MONDAY + 8 * 364 * DAY, MONDAY + 16 * 364 * DAY + 5 * DAY];
const HOURS: [&str; 4] =
    ["", "Mon-Fri 09:00-18:00 UTC", "Sat-Sun 10:00-14:00 UTC", "Mon-Fri 09:00-18:00 UTC; Sat-Sun 10:00-14:00 UTC"];
const EXPIRIES: [&str; 3] = ["", "2030-01-01T00:00:00Z", "2040-01-01T00:00:00Z"];
const IDS: [&str; 4] = ["100", "101", "110", "anonymous"];
const PATTERNS: [&str; 4] = ["*", "1*", "10*", "11*"];

impl Random {
    /// The columns of a rule after its parties. Most rules have few conditions.
    fn rule(&mut self) -> String {
        let effect = self.one(&["allow", "deny"]);
        let media = self.one(&["", "", "", "audio", "video"]);
        let hours = if self.below(3) == 0 { self.one(&HOURS) } else { "" };
        let expires_at = if self.below(4) == 0 { self.one(&EXPIRIES) } else { "" };
        format!("{effect},{media},{hours},{expires_at}")
    }

    fn parties(&mut self) -> (&'static str, &'static str) {
        match self.below(4) {
            0 => (self.one(&PATTERNS), "*"),
            1 => (self.one(&PATTERNS), self.one(&IDS)),
            2 => (self.one(&IDS), self.one(&PATTERNS)),
            _ => (self.one(&IDS), self.one(&IDS)),
        }
    }

    /// Denies and exceptions to them at the doors of one call. Many of them differ between the old and the new rules.
    fn exceptions(&mut self) -> [Rules; 2] {
        let (mut old, mut new) = (Rules::new(), Rules::new());
        let [caller, callee] = ["100", "101"];
        for (broad, narrow) in [
            (("1*", "*"), ("10*", "*")),
            ((caller, "*"), (caller, "10*")),
            (("1*", callee), ("10*", callee)),
            (("*", "*"), (caller, callee)),
        ] {
            for (parties, effect) in [(broad, "deny"), (narrow, "allow")] {
                for rules in [&mut old, &mut new] {
                    let conditions = self.one(&[",,", ",,", ",,", "audio,,", "video,,", ",Mon-Fri 09:00-18:00 UTC,"]);
                    if self.below(2) == 0 {
                        rules.insert(parties, format!("{effect},{conditions}"));
                    }
                }
            }
        }
        [old, new]
    }

    /// The old and the new rules of an app. Many parties have a rule in both.
    fn rules(&mut self) -> [Rules; 2] {
        if self.below(2) == 0 {
            return self.exceptions();
        }
        let (mut old, mut new) = (Rules::new(), Rules::new());
        for _ in 0..4 + self.below(8) {
            let parties = self.parties();
            let rule = self.rule();
            if self.below(4) > 0 {
                old.insert(parties, rule.clone());
            }
            if self.below(4) > 0 {
                new.insert(parties, if self.below(3) == 0 { rule } else { self.rule() });
            }
        }
        [old, new]
    }
}

/// The end of the columns of a rule that is of the list.
const SPAM: &str = ",spam";

type Rules = BTreeMap<(&'static str, &'static str), String>;

fn file<'a>(apps: impl IntoIterator<Item = (&'a String, &'a Rules)>) -> String {
    let mut file = "app,from,to,effect,media,hours,expires_at,list\n".to_owned();
    for (app, rules) in apps {
        for ((from, to), rule) in rules {
            let list = if rule.ends_with(SPAM) { "" } else { "," };
            writeln!(file, "{app},{from},{to},{rule}{list}").unwrap();
        }
    }
    file
}

/// The items of one app as they are stored, by key.
type Items = BTreeMap<(String, String), Value>;

pub(crate) fn attributes(item: &Value) -> Attributes {
    item.as_object().unwrap().iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text(value)),
        "N" => AttributeValue::N(text(value)),
        "SS" => AttributeValue::Ss(value.as_array().unwrap().iter().map(text).collect()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => AttributeValue::M(attributes(value)),
        other => panic!("{other}"),
    }
}

/// The calls of an app that are permitted, at each moment.
fn permitted(app: &str, items: &Items) -> BTreeSet<String> {
    let item = |pk: &str, sk: &str| items.get(&(pk.to_owned(), sk.to_owned())).map(attributes);
    let parsed_app = item(&format!("APP#{app}"), "APP").map(item::read_app).transpose();
    let parties: HashMap<_, _> = IDS
        .into_iter()
        .map(|id| (id, item(&format!("PARTY#{app}#{id}"), "PARTY").map(item::read_party).transpose()))
        .collect();
    let id = |text| PartyId::new(text, None).unwrap();
    let mut permitted = BTreeSet::new();
    for (caller, callee) in IDS.into_iter().flat_map(|caller| IDS.map(|callee| (caller, callee))) {
        let pair = item(&format!("PARTY#{app}#{callee}"), &format!("CALLER#{caller}"));
        let pair = pair.map(item::read_pair).transpose();
        let permissions =
            Permissions { app: &parsed_app, caller: &parties[caller], callee: &parties[callee], pair: &pair };
        for media in [(true, false), (true, true)].map(|(audio, video)| MediaSet { audio, video }) {
            let call = Call { app: AppKey::new(app).unwrap(), caller: id(caller), callee: id(callee), media };
            for now in MOMENTS {
                if decide(&call, permissions, now).effect() == Effect::Allow {
                    permitted.insert(format!("{caller} to {callee}, video: {}, at {now}", media.video));
                }
            }
        }
    }
    permitted
}

/// A copy of the table, which is updated with every write, and the calls that each state of an app permitted.
#[derive(Default)]
struct Watch {
    apps: BTreeMap<String, Items>,
    /// Per app: what was written, and the calls that were permitted after it.
    states: BTreeMap<String, Vec<(String, BTreeSet<String>)>>,
    random: Option<Random>,
}

impl Watch {
    fn read(server: &TestServer) -> Self {
        let mut watch = Self { random: Some(Random(1)), ..Self::default() };
        server.stored().into_iter().for_each(|item| watch.put(item));
        for (app, items) in &watch.apps {
            watch.states.insert(app.clone(), vec![("before".to_owned(), permitted(app, items))]);
        }
        watch
    }

    fn put(&mut self, item: Value) {
        let key = key_of(&item);
        self.apps.entry(app_of(&key)).or_default().insert(key, item);
    }

    /// Reads an item that was written, and records the calls that are permitted now.
    fn written(&mut self, request: &Request, key: &Value) {
        let body = json!({"TableName": TABLE, "Key": {"pk": key["pk"], "sk": key["sk"]}, "ConsistentRead": true});
        let response = String::from_utf8(request.send("GetItem", &body)).unwrap();
        let response: Value = serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap();
        let key = key_of(key);
        let app = app_of(&key);
        let items = self.apps.entry(app.clone()).or_default();
        match response.get("Item") {
            Some(item) => items.insert(key.clone(), item.clone()),
            None => items.remove(&key),
        };
        let state = (format!("{} {key:?}", request.operation().unwrap()), permitted(&app, items));
        self.states.entry(app).or_default().push(state);
    }

    /// Forwards a request. Writes the items of a batch one by one, in random order.
    fn forward(&mut self, request: &Request) -> Treatment {
        let body = request.json();
        if request.operation() == Some("BatchWriteItem") && request.is_write() {
            let mut items = body["RequestItems"][TABLE].as_array().unwrap().clone();
            let mut response = Vec::new();
            while !items.is_empty() {
                let at = self.random.as_mut().unwrap().below(items.len());
                let item = items.swap_remove(at);
                response = request.send("BatchWriteItem", &json!({"RequestItems": {TABLE: [item.clone()]}}));
                let (_, write) = item.as_object().unwrap().iter().next().unwrap();
                self.written(request, proxy::key_of(write));
            }
            return Treatment::Respond(response);
        }
        let response = request.send(request.operation().unwrap(), &body);
        for (_, write) in request.writes() {
            self.written(request, proxy::key_of(&write));
        }
        Treatment::Respond(response)
    }

    /// Checks that every state permitted only calls that the first or the last state permits.
    fn check(&self, file: &str) {
        for (app, states) in &self.states {
            let ((_, before), (_, after)) = (states.first().unwrap(), states.last().unwrap());
            for (number, (write, now)) in states.iter().enumerate() {
                let wrong: Vec<_> =
                    now.iter().filter(|call| !before.contains(*call) && !after.contains(*call)).collect();
                let lines: Vec<_> = file.lines().filter(|line| line.starts_with(&format!("{app},"))).collect();
                assert!(
                    wrong.is_empty(),
                    "app {app}, after write {number}, {write}: {wrong:#?}\n{lines:#?}\n{states:#?}"
                );
            }
        }
    }
}

fn key_of(item: &Value) -> (String, String) {
    let text = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
    (text("pk"), text("sk"))
}

fn app_of((pk, _): &(String, String)) -> String {
    pk.split('#').nth(1).unwrap().to_owned()
}

/// Imports random rules over other random rules, and decides all calls after every single write.
fn check_every_write(seed: u64, arguments: &[&str]) {
    let cases = std::env::var("CALLGATE_IMPORT_CASES").map_or(100, |count| count.parse().unwrap());
    let server = TestServer::with_table();
    let mut random = Random(seed);
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    let is_list = arguments.contains(&"--list");
    for number in 0..cases {
        let [mut before, after] = random.rules();
        // About half of the old rules are of the list that is replaced.
        for rule in before.values_mut().filter(|_| is_list && random.below(2) == 0) {
            *rule += SPAM;
        }
        // An app without rules is not in the file, so nothing of it would be replaced.
        if !before.is_empty() && !after.is_empty() {
            old.insert(format!("app{number}"), before);
            new.insert(format!("app{number}"), after);
        }
    }
    server.pipe("import -", &file(&old)).succeeds();
    let is_replaced = arguments.contains(&"--replace");
    for app in old.keys() {
        let (caller, callee) = if random.below(2) == 0 { ("100", "101") } else { (random.one(&IDS), random.one(&IDS)) };
        if random.below(4) > 0 || !((is_replaced && !is_list) || new[app].contains_key(&(caller, callee))) {
            continue;
        }
        server.put(&json!({
            "pk": {"S": format!("PARTY#{app}#{callee}")}, "sk": {"S": format!("CALLER#{caller}")}, "effect": {"S": "alow"},
        }));
    }
    let watch = Arc::new(Mutex::new(Watch::read(&server)));
    let proxied = Arc::clone(&watch);
    let url = start_proxy(server.address, move |request| proxied.lock().unwrap().forward(request));
    let new_file = file(&new);
    let mut import = tool();
    import.args(["import", "-", "--table", TABLE, "--endpoint-url", &url]).args(arguments);
    Run::with_input(&mut import, &new_file).succeeds();
    let watch = watch.lock().unwrap();
    watch.check(&new_file);
    let writes: usize = watch.states.values().map(|states| states.len() - 1).sum();
    assert!(writes > 2 * cases, "{writes}");
    // The result is the same as that of an import into an empty table, or over the old rules.
    let expected = TestServer::with_table();
    let merged: BTreeMap<_, _> = new
        .iter()
        .map(|(app, after)| {
            let mut before = if is_replaced && !is_list { Rules::new() } else { old[app].clone() };
            before.retain(|_, rule| !(is_replaced && rule.ends_with(SPAM)));
            let list = if is_list { SPAM } else { "" };
            let after = after.iter().map(|(parties, rule)| (*parties, format!("{rule}{list}")));
            (app.clone(), before.into_iter().chain(after).collect())
        })
        .collect();
    expected.pipe("import -", &file(&merged)).succeeds();
    let exported = |server: &TestServer| server.run("export").stdout;
    assert_eq!(exported(&server), exported(&expected));
}

#[test]
fn a_replacing_import_never_permits_what_the_old_and_the_new_rules_refuse() {
    check_every_write(7, &["--replace", "--yes"]);
}

#[test]
fn an_import_never_permits_what_the_rules_before_and_after_refuse() {
    check_every_write(8, &["--concurrency", "3"]);
}

#[test]
fn an_import_that_replaces_a_list_never_permits_what_the_rules_before_and_after_refuse() {
    check_every_write(9, &["--list", "spam", "--replace", "--yes"]);
}

impl Random {
    /// Changes an item in a way that a file of rules cannot: status, groups, blocks, expiry, rules that are switched off or
    /// cannot be parsed.
    fn change(&mut self, item: &mut Value) {
        let is_party = item["sk"]["S"] == "PARTY";
        match self.below(if is_party { 9 } else { 5 }) {
            0 if item.get("effect").is_some() => item["effect"] = json!({"S": "alow"}),
            1 if item.get("effect").is_some() => item["disabled"] = json!({"BOOL": true}),
            0 => item["status"] = json!({"S": "suspended"}),
            1 => item["status"] = json!({"S": self.one(&["on", "active"])}),
            2 => item["note"] = json!({"S": self.one(&["a", "b"])}),
            3 | 4 => {
                for list in ["callers", "destinations", "incoming", "outgoing"] {
                    let rules = item.get_mut(list).and_then(|list| list["M"].as_object_mut());
                    for (_, rule) in rules.into_iter().flatten() {
                        match self.below(4) {
                            0 => rule["M"]["disabled"] = json!({"BOOL": true}),
                            1 => rule["M"]["colour"] = json!({"S": "red"}),
                            2 => rule["M"]["effect"] = json!({"S": self.one(&["allow", "deny"])}),
                            _ => {}
                        }
                    }
                }
            }
            5 => item["blocked"] = json!({"M": {"expires_at": {"N": self.one(&["1893456000", "2208988800"])}}}),
            6 => item["blocked"] = json!({"M": {}}),
            7 => item["expires_at"] = json!({"N": self.one(&["1700000000", "1893456000", "2208988800"])}),
            _ => item["groups"] = json!({"SS": self.one(&[vec!["a"], vec!["b"], vec!["a", "b"]])}),
        }
    }
}

/// Restores a backup of random items over other random items, and decides all calls after every single write.
#[test]
fn a_restore_never_permits_what_the_items_before_and_after_refuse() {
    let cases = std::env::var("CALLGATE_IMPORT_CASES").map_or(100, |count| count.parse().unwrap());
    let (server, source) = (TestServer::with_table(), TestServer::with_table());
    let mut random = Random(10);
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..cases {
        let [mut before, mut after] = random.rules();
        for rules in [&mut before, &mut after] {
            for group in ["@a", "@b"] {
                if random.below(3) == 0 {
                    rules.insert((group, random.one(&["*", "100", "101"])), random.rule());
                }
                if random.below(3) == 0 {
                    rules.insert((random.one(&["*", "100", "101"]), group), random.rule());
                }
            }
        }
        old.insert(format!("app{number}"), before);
        new.insert(format!("app{number}"), after);
    }
    for (table, rules) in [(&server, &old), (&source, &new)] {
        table.pipe("import -", &file(rules)).succeeds();
        for mut item in table.stored() {
            if random.below(2) == 0 {
                random.change(&mut item);
                table.put(&item);
            }
        }
    }
    let backup = source.run("backup -").succeeds().stdout;
    let watch = Arc::new(Mutex::new(Watch::read(&server)));
    for app in new.keys() {
        let mut watch = watch.lock().unwrap();
        watch.states.entry(app.clone()).or_insert_with(|| vec![("before".to_owned(), BTreeSet::new())]);
    }
    let proxied = Arc::clone(&watch);
    let url = start_proxy(server.address, move |request| proxied.lock().unwrap().forward(request));
    let mut restore = tool();
    restore.args([
        "restore",
        "-",
        "--replace",
        "--yes",
        "--concurrency",
        "3",
        "--table",
        TABLE,
        "--endpoint-url",
        &url,
    ]);
    Run::with_input(&mut restore, &backup).succeeds();
    assert_eq!(server.stored(), source.stored());
    let watch = watch.lock().unwrap();
    watch.check("");
    let writes: usize = watch.states.values().map(|states| states.len() - 1).sum();
    assert!(writes > 2 * cases, "{writes}");
    // Both the calls that are permitted before and those after differ, and some of them are permitted in both.
    let permitted =
        |state: usize| watch.states.values().filter(move |states| !states[state.min(states.len() - 1)].1.is_empty());
    assert!(permitted(0).count() > cases / 10 && permitted(usize::MAX).count() > cases / 10);
}
