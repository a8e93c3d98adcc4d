//! While an import runs, fails or is killed, no call is permitted that both the old and the new rules refuse.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes};
use callgate_core::{AppKey, Call, Effect, EpochSeconds, MediaSet, PartyId, Permissions, decide};
use serde_json::{Value, json};

use crate::proxy::{Request, Treatment, start_proxy};
use crate::random::Random;
use crate::serve::{ServeProcess, status};
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

type Rules = BTreeMap<(&'static str, &'static str), String>;

fn file<'a>(apps: impl IntoIterator<Item = (&'a String, &'a Rules)>) -> String {
    let mut file = "app,from,to,effect,media,hours,expires_at\n".to_owned();
    for (app, rules) in apps {
        for ((from, to), rule) in rules {
            writeln!(file, "{app},{from},{to},{rule}").unwrap();
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
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "SS" => AttributeValue::Ss(value.as_array().unwrap().iter().map(text).collect()),
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
        for item in server.request("Scan", &json!({"TableName": TABLE}))["Items"].as_array().unwrap() {
            watch.put(item.clone());
        }
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
        if request.operation() == Some("BatchWriteItem") {
            let mut items = body["RequestItems"][TABLE].as_array().unwrap().clone();
            let mut response = Vec::new();
            while !items.is_empty() {
                let at = self.random.as_mut().unwrap().below(items.len());
                let item = items.swap_remove(at);
                response = request.send("BatchWriteItem", &json!({"RequestItems": {TABLE: [item.clone()]}}));
                self.written(request, item["PutRequest"].get("Item").unwrap_or(&item["DeleteRequest"]["Key"]));
            }
            return Treatment::Respond(response);
        }
        let response = request.send(request.operation().unwrap(), &body);
        if request.is_write() {
            self.written(request, &body["Key"]);
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
    for number in 0..cases {
        let [before, after] = random.rules();
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
        if random.below(4) > 0 || !(is_replaced || new[app].contains_key(&(caller, callee))) {
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
            let before = if is_replaced { Rules::new() } else { old[app].clone() };
            (app.clone(), before.into_iter().chain(after.clone()).collect())
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

/// Old and new rules that both refuse [`REFUSED`], each for another reason.
const OLD: &str = "\
app,from,to,effect
shop,3*,*,allow
shop,3*,20,deny
shop,60,20,deny
shop,50,20,allow
shop,51,20,allow
shop,4*,20,deny
shop,40,20,allow
shop,2*,*,deny
shop,2*,20,allow
";
const NEW: &str = "\
app,from,to,effect
shop,1*,*,deny
shop,1*,20,allow
shop,6*,*,deny
shop,60,20,allow
shop,70,20,allow
shop,51,20,allow
shop,41,20,allow
shop,9*,*,allow
shop,9*,20,deny
";
const REFUSED: [&str; 7] = ["100", "300", "60", "42", "80", "21", "90"];

/// Asks the hook about a call to 20.
fn is_permitted(hook: &ServeProcess, caller: &str) -> bool {
    let body = json!({"appKey": "shop", "caller": caller, "callee": "20"}).to_string();
    let answer = hook.post("/OnCallEvent", &body);
    match status(&answer) {
        "200" => true,
        "403" => false,
        _ => panic!("{answer}"),
    }
}

#[track_caller]
fn check_refused(hook: &ServeProcess, moment: &str) {
    for caller in REFUSED {
        assert!(!is_permitted(hook, caller), "{caller} to 20 was permitted {moment}");
    }
}

/// What happens at one of the writes of an import.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// The process is killed before the server receives the write, or after.
    KilledBefore(usize),
    KilledAfter(usize),
    /// This and every later request is refused.
    Refused(usize),
    /// This and every later request gets no answer.
    CutOff(usize),
}

/// An import of [`NEW`] over [`OLD`] with trouble, during which the hook is asked before and after every write.
struct Import {
    server: TestServer,
    hook: Arc<ServeProcess>,
    app_cache_seconds: &'static str,
}

/// What the proxy saw.
#[derive(Clone, Default)]
struct Watched {
    writes: usize,
    /// The first write that failed.
    failed: Option<Value>,
    /// Whether something else was to be removed after it.
    removed: bool,
    /// A call that was permitted by mistake, and when.
    wrong: Option<String>,
}

/// The outcome of a run: what it printed, the number of its writes, and whether anything was removed after the trouble.
struct Outcome {
    code: Option<i32>,
    stderr: String,
    writes: usize,
    removed_after_trouble: bool,
}

impl Import {
    fn new(app_cache_seconds: &'static str) -> Self {
        let server = TestServer::with_table();
        server.pipe("import -", OLD).succeeds();
        let hook = Arc::new(ServeProcess::over(&server, app_cache_seconds));
        Self { server, hook, app_cache_seconds }
    }

    fn run(&self, trouble: Trouble) -> Outcome {
        let watched = Arc::new(Mutex::new(Watched::default()));
        let hook = Arc::clone(&self.hook);
        let import: Arc<Mutex<Option<Child>>> = Arc::default();
        let (in_proxy, child) = (Arc::clone(&watched), Arc::clone(&import));
        let url = start_proxy(self.server.address, move |request| {
            let body = request.json();
            // One request at a time.
            let mut watched = in_proxy.lock().unwrap();
            let Watched { writes, failed, removed, wrong } = &mut *watched;
            if !request.is_write() {
                let refused = matches!(trouble, Trouble::CutOff(at) if *writes >= at);
                return if refused { Treatment::LoseRequest } else { Treatment::Forward };
            }
            *writes += 1;
            let is_removal = request.operation() == Some("DeleteItem")
                || body["UpdateExpression"].as_str().is_some_and(|text| text.contains("REMOVE"));
            for caller in REFUSED.into_iter().filter(|caller| is_permitted(&hook, caller)) {
                wrong.get_or_insert(format!("{caller} before write {writes}"));
            }
            let kill = || child.lock().unwrap().as_mut().unwrap().kill().unwrap();
            let response = match trouble {
                Trouble::KilledBefore(at) if *writes == at => {
                    kill();
                    return Treatment::LoseRequest;
                }
                Trouble::Refused(at) if *writes >= at => {
                    // The same request may be sent again.
                    *removed |= is_removal && *failed.get_or_insert(body.clone()) != body;
                    return Treatment::refuse_with("AccessDeniedException", "no longer");
                }
                Trouble::CutOff(at) if *writes >= at => {
                    // The same request may be sent again.
                    *removed |= is_removal && *failed.get_or_insert(body.clone()) != body;
                    return Treatment::LoseRequest;
                }
                _ => Treatment::Respond(request.send(request.operation().unwrap(), &body)),
            };
            for caller in REFUSED.into_iter().filter(|caller| is_permitted(&hook, caller)) {
                wrong.get_or_insert(format!("{caller} after write {writes}, {body}"));
            }
            if trouble == Trouble::KilledAfter(*writes) {
                kill();
            }
            response
        });
        let mut child = import.lock().unwrap();
        let mut command = tool();
        command.args([
            "import",
            "-",
            "--replace",
            "--yes",
            "--concurrency",
            "1",
            "--table",
            TABLE,
            "--endpoint-url",
            &url,
        ]);
        command.env("APP_CACHE_SECONDS", self.app_cache_seconds);
        let mut spawned = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        spawned.stdin.take().unwrap().write_all(NEW.as_bytes()).unwrap();
        let mut stderr_pipe = spawned.stderr.take().unwrap();
        *child = Some(spawned);
        drop(child);
        let mut stderr = String::new();
        stderr_pipe.read_to_string(&mut stderr).unwrap();
        let code = import.lock().unwrap().take().unwrap().wait().unwrap().code();
        let Watched { writes, removed: removed_after_trouble, wrong, .. } = watched.lock().unwrap().clone();
        assert_eq!(wrong, None, "{trouble:?}: a call was permitted that both refuse");
        check_refused(&self.hook, &format!("after {trouble:?}"));
        Outcome { code, stderr, writes, removed_after_trouble }
    }

    /// Checks that the table has exactly the new rules.
    #[track_caller]
    fn check_result(&self, trouble: Trouble) {
        let expected = TestServer::with_table();
        expected.pipe("import -", NEW).succeeds();
        assert_eq!(self.server.run("export").stdout, expected.run("export").stdout, "{trouble:?}");
    }
}

#[test]
fn a_hook_never_permits_what_both_refuse_while_an_import_runs() {
    let import = Import::new("0");
    assert!(is_permitted(&import.hook, "50") && !is_permitted(&import.hook, "70"));
    let Outcome { code, writes, stderr, .. } = import.run(Trouble::None);
    assert!(code == Some(0) && writes >= 8, "{code:?}, {writes}: {stderr}");
    assert!(is_permitted(&import.hook, "70") && !is_permitted(&import.hook, "50"));
    import.check_result(Trouble::None);
}

#[test]
fn an_import_that_is_killed_at_any_write_is_safe_and_completed_by_running_it_again() {
    let writes = Import::new("0").run(Trouble::None).writes;
    for trouble in
        (1..writes).map(Trouble::KilledAfter).chain([Trouble::KilledBefore(1), Trouble::KilledBefore(writes)])
    {
        let import = Import::new("0");
        let Outcome { code, .. } = import.run(trouble);
        assert_eq!(code, None, "{trouble:?}");
        let Outcome { code, stderr, .. } = import.run(Trouble::None);
        assert_eq!(code, Some(0), "{trouble:?}: {stderr}");
        import.check_result(trouble);
    }
}

#[test]
fn an_import_that_fails_at_any_write_removes_nothing_more() {
    let writes = Import::new("0").run(Trouble::None).writes;
    for trouble in (1..=writes).map(Trouble::Refused).chain([1, writes / 2, writes].map(Trouble::CutOff)) {
        let import = Import::new("0");
        let Outcome { code, stderr, removed_after_trouble, .. } = import.run(trouble);
        assert!(code == Some(1) && stderr.contains("rules are written; run the same command again"), "{stderr}");
        assert!(stderr.contains("the first rule that is not confirmed: "), "{stderr}");
        assert!(!removed_after_trouble, "{trouble:?}: {stderr}");
        let Outcome { code, stderr, .. } = import.run(Trouble::None);
        assert_eq!(code, Some(0), "{trouble:?}: {stderr}");
        import.check_result(trouble);
    }
}

#[test]
fn an_import_waits_until_no_function_uses_the_old_rules_of_the_app() {
    let import = Import::new("1");
    let Outcome { code, stderr, .. } = import.run(Trouble::None);
    assert!(code == Some(0) && stderr.contains("waiting 3 seconds"), "{stderr}");
    import.check_result(Trouble::None);
    // The deny of the app's list, which is the first write, is stored, but the hook still has the list without it.
    let import = Import::new("1");
    assert_eq!(import.run(Trouble::KilledAfter(1)).code, None);
    check_refused(&import.hook, "before the second run");
    let Outcome { code, stderr, .. } = import.run(Trouble::None);
    assert!(code == Some(0) && stderr.contains("waiting"), "{stderr}");
    import.check_result(Trouble::None);
}
