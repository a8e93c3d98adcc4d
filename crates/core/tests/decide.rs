//! The permission model as tables, as properties, and against a second implementation that only tries to be
//! obviously right.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use callgate_core::{
    App, AppKey, Call, Decision, DialPlan, Effect, EpochSeconds, Fault, Found, MediaSet, Party, PartyId, Pattern,
    Records, Rule, Status, decide, trace,
};
use proptest::prelude::*;

const NOW: EpochSeconds = 1_000;

/// A table in the words people use, before it becomes records.
#[derive(Debug, Clone, Default)]
struct Table {
    app: BTreeMap<String, Entry>,
    outgoing: BTreeMap<String, BTreeMap<String, Entry>>,
    incoming: BTreeMap<String, BTreeMap<String, Entry>>,
    pairs: BTreeMap<(String, String), Entry>,
    suspended: Vec<String>,
    expired: Vec<String>,
    broken: Vec<String>,
}

type Entry = Result<Rule, Fault>;

/// The name under which the app is suspended or broken.
const APP: &str = "(app)";

/// `allow`, `deny`, or anything else for a broken rule; then `audio`, `video` and `until=SECONDS`.
fn rule(words: &str) -> Entry {
    let mut words = words.split(' ');
    let mut rule = match words.next() {
        Some("allow") => Rule::new(Effect::Allow),
        Some("deny") => Rule::new(Effect::Deny),
        other => return Err(Fault(format!("unknown effect {other:?}"))),
    };
    for word in words {
        let media = rule.media.unwrap_or(MediaSet { audio: false, video: false });
        match word {
            "audio" => rule.media = Some(MediaSet { audio: true, ..media }),
            "video" => rule.media = Some(MediaSet { video: true, ..media }),
            until => rule.expires_at = Some(until.strip_prefix("until=").unwrap().parse().unwrap()),
        }
    }
    Ok(rule)
}

impl Table {
    /// `"allow PPP009 to PPP* until=5"`, kept where the model says such a rule is kept.
    fn of(rules: &[&str]) -> Self {
        rules.iter().fold(Self::default(), |table, text| {
            let words: Vec<_> = text.split(' ').collect();
            let [effect, from, "to", to, conditions @ ..] = words.as_slice() else { panic!("{text}") };
            table.with(from, to, &rule(&[&[*effect], conditions].concat().join(" ")))
        })
    }

    fn with(mut self, from: &str, to: &str, entry: &Entry) -> Self {
        let (from, to, entry) = (from.to_owned(), to.to_owned(), entry.clone());
        match (from.ends_with('*'), to.ends_with('*')) {
            (false, false) => self.pairs.insert((from, to), entry),
            (true, false) => self.incoming.entry(to).or_default().insert(from, entry),
            (false, true) => self.outgoing.entry(from).or_default().insert(to, entry),
            (true, true) => {
                assert_eq!(to, "*", "pattern to prefix is no rule");
                self.app.insert(from, entry)
            }
        };
        self
    }

    /// An entry in the callee's own list, where an exact caller may stand too.
    fn incoming(mut self, callee: &str, from: &str, words: &str) -> Self {
        self.incoming.entry(callee.to_owned()).or_default().insert(from.to_owned(), rule(words));
        self
    }

    fn outgoing(mut self, caller: &str, to: &str, words: &str) -> Self {
        self.outgoing.entry(caller.to_owned()).or_default().insert(to.to_owned(), rule(words));
        self
    }

    fn suspended(mut self, who: &str) -> Self {
        self.suspended.push(who.to_owned());
        self
    }

    fn expired(mut self, who: &str) -> Self {
        self.expired.push(who.to_owned());
        self
    }

    fn broken(mut self, who: &str) -> Self {
        self.broken.push(who.to_owned());
        self
    }

    fn list(entries: Option<&BTreeMap<String, Entry>>) -> callgate_core::Rules {
        entries.into_iter().flatten().map(|(key, entry)| (Pattern::from_stored(key), entry.clone())).collect()
    }

    fn status(&self, who: &str) -> Status {
        if self.suspended.iter().any(|name| name == who) { Status::Suspended } else { Status::Active }
    }

    fn found<T>(&self, who: &str, item: T) -> Found<T> {
        if self.broken.iter().any(|name| name == who) { Err(Fault("broken".to_owned())) } else { Ok(Some(item)) }
    }

    fn app_item(&self) -> Found<App> {
        self.found(APP, App { status: self.status(APP), callers: Self::list(Some(&self.app)), note: None })
    }

    fn party(&self, id: &str) -> Found<Party> {
        let party = Party {
            status: self.status(id),
            incoming: Self::list(self.incoming.get(id)),
            outgoing: Self::list(self.outgoing.get(id)),
            expires_at: self.expired.iter().any(|name| name == id).then_some(NOW),
            note: None,
        };
        self.found(id, party)
    }

    fn pair(&self, call: &Call) -> Found<Rule> {
        self.pairs.get(&(call.caller.to_string(), call.callee.to_string())).cloned().transpose()
    }

    /// Lets `judge` see the decision, and checks that the trace tells the same story.
    #[track_caller]
    fn decided<T>(&self, call: &Call, judge: impl FnOnce(&Decision<'_>) -> T) -> T {
        let (app, caller, callee) =
            (self.app_item(), self.party(call.caller.as_str()), self.party(call.callee.as_str()));
        let pair = self.pair(call);
        let records = Records { app: &app, caller: &caller, callee: &callee, pair: &pair };
        let decision = decide(call, records, NOW);
        let trace = trace(call, records, NOW);
        assert_eq!(trace.decision, decision);
        if let Decision::Rule { door, matched, effect } = decision {
            let (_, rules) = trace.doors.iter().find(|(name, _)| *name == door).unwrap();
            let deciding: Vec<_> = rules.iter().filter(|rule| rule.decides).collect();
            assert_eq!(deciding.len(), 1, "{rules:?}");
            assert_eq!((deciding[0].matched, deciding[0].rule.unwrap().effect), (matched, effect));
        }
        judge(&decision)
    }

    /// `PPP009 to PPP005 video`: without a medium the call has sound only.
    #[track_caller]
    fn check(&self, call: &str, expected: &str) -> &Self {
        let words: Vec<_> = call.split(' ').collect();
        let [caller, "to", callee, media @ ..] = words.as_slice() else { panic!("{call}") };
        let media = MediaSet { audio: !media.contains(&"silent"), video: media.contains(&"video") };
        let said = self.decided(&self::call(caller, callee, media), |decision| {
            format!("{} {}", decision.effect().as_str(), decision.reason())
        });
        assert_eq!(said, expected, "{call}");
        self
    }
}

fn call(caller: &str, callee: &str, media: MediaSet) -> Call {
    let id = |text| PartyId::new(text, &DialPlan::default()).unwrap();
    Call { app: AppKey::new("defaultApp").unwrap(), caller: id(caller), callee: id(callee), media }
}

#[test]
fn nothing_is_permitted_that_nobody_permitted() {
    Table::default().check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["allow PPP001 to PPP005"]).check("PPP009 to PPP005", "deny no_rule");
    Table::of(&["deny * to PPP005"]).check("PPP009 to PPP001", "deny no_rule");
}

#[test]
fn every_rule_means_what_it_says_when_read_aloud() {
    Table::of(&["allow * to *", "deny +881* to *"])
        .check("PPP009 to PPP005", "allow app_rule")
        .check("anonymous to PPP005", "allow app_rule")
        .check("+8812345678 to PPP005", "deny app_rule");
    Table::of(&["allow PPP009 to PPP*"])
        .check("PPP009 to PPP005", "allow caller_rule")
        .check("PPP009 to QQQ005", "deny no_rule")
        .check("PPP001 to PPP005", "deny no_rule");
    Table::of(&["deny * to PPP005", "allow PPP009 to PPP005"])
        .check("PPP009 to PPP005", "allow pair_rule")
        .check("PPP001 to PPP005", "deny callee_rule");
    Table::of(&["allow * to *", "deny anonymous to PPP005"])
        .check("anonymous to PPP005", "deny pair_rule")
        .check("anonymous to PPP001", "allow app_rule");
}

#[test]
fn a_deny_at_one_door_cannot_be_undone_at_another() {
    Table::of(&["deny PPP* to *", "allow PPP009 to PPP005"]).check("PPP009 to PPP005", "deny app_rule");
    Table::of(&["deny PPP009 to *", "allow * to PPP005"]).check("PPP009 to PPP005", "deny caller_rule");
    Table::of(&["allow PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny callee_rule");
    Table::of(&["allow * to *", "allow PPP009 to *", "allow * to PPP005", "deny PPP009 to PPP005"])
        .check("PPP009 to PPP005", "deny pair_rule");
}

#[test]
fn the_reason_is_the_first_door_that_denies_and_the_last_that_allows() {
    Table::of(&["deny * to *", "deny PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny app_rule");
    Table::of(&["deny PPP009 to *", "deny * to PPP005"]).check("PPP009 to PPP005", "deny caller_rule");
    Table::of(&["allow * to *", "allow PPP009 to *"]).check("PPP009 to PPP005", "allow caller_rule");
    Table::of(&["allow * to *", "allow PPP009 to *", "allow * to PPP005"])
        .check("PPP009 to PPP005", "allow callee_rule");
}

#[test]
fn the_longest_rule_that_applies_decides() {
    let callee = Table::of(&["deny * to PPP005", "allow +7* to PPP005", "deny +7495* to PPP005"]);
    callee
        .check("+1555 to PPP005", "deny callee_rule")
        .check("+7812 to PPP005", "allow callee_rule")
        .check("+7495 to PPP005", "deny callee_rule");
    Table::of(&["allow * to PPP005", "deny +7* to PPP005 until=1000"]).check("+7812 to PPP005", "allow callee_rule");
    Table::of(&["allow * to PPP005", "deny +7* to PPP005 until=1001"]).check("+7812 to PPP005", "deny callee_rule");
}

#[test]
fn between_equals_deny_wins() {
    let listed = |words| Table::default().incoming("PPP005", "PPP009", words);
    let pair = |table: Table, words: &str| table.with("PPP009", "PPP005", &rule(words));
    pair(listed("deny"), "allow").check("PPP009 to PPP005", "deny callee_rule");
    pair(listed("allow"), "deny").check("PPP009 to PPP005", "deny pair_rule");
    pair(listed("deny"), "deny").check("PPP009 to PPP005", "deny pair_rule");
    pair(listed("allow"), "allow").check("PPP009 to PPP005", "allow pair_rule");
    pair(Table::default().outgoing("PPP009", "PPP005", "deny"), "allow").check("PPP009 to PPP005", "deny caller_rule");
}

#[test]
fn media_narrow_a_rule() {
    Table::of(&["allow PPP009 to PPP005 audio"])
        .check("PPP009 to PPP005", "allow pair_rule")
        .check("PPP009 to PPP005 video", "deny no_rule")
        .check("PPP009 to PPP005 silent", "allow pair_rule");
    Table::of(&["allow * to *", "deny * to PPP005 video"])
        .check("PPP009 to PPP005", "allow app_rule")
        .check("PPP009 to PPP005 video", "deny callee_rule")
        .check("PPP009 to PPP005 silent", "allow app_rule");
    Table::of(&["allow PPP009 to PPP005 audio video"]).check("PPP009 to PPP005 video", "allow pair_rule");
}

#[test]
fn status_comes_before_every_rule() {
    let open = Table::of(&["allow * to *", "allow PPP009 to PPP005"]);
    let all = open.clone().suspended("PPP009").suspended("PPP005").suspended(APP);
    all.check("PPP009 to PPP005", "deny app_suspended");
    open.clone().suspended("PPP009").suspended("PPP005").check("PPP009 to PPP005", "deny callee_suspended");
    open.clone().suspended("PPP009").check("PPP009 to PPP005", "deny caller_suspended");
    open.clone().suspended("PPP009").check("PPP009 to PPP009", "deny callee_suspended");
    open.suspended("PPP009").expired("PPP009").check("PPP009 to PPP005", "allow pair_rule");
}

#[test]
fn an_expired_party_is_absent() {
    let table = Table::of(&["allow * to PPP005", "allow PPP009 to PPP*"]);
    table.clone().expired("PPP005").check("PPP009 to PPP005", "allow caller_rule");
    table.clone().expired("PPP009").check("PPP009 to PPP005", "allow callee_rule");
    table.expired("PPP005").expired("PPP009").check("PPP009 to PPP005", "deny no_rule");
}

#[test]
fn what_cannot_be_understood_never_opens_a_door() {
    let open = Table::of(&["allow * to *", "allow PPP009 to PPP005"]);
    for who in [APP, "PPP009", "PPP005"] {
        open.clone().broken(who).check("PPP009 to PPP005", "deny invalid_record");
    }
    // Even where a longer rule, another door or a suspension would decide.
    open.clone().incoming("PPP005", "PPP*", "alow").check("PPP009 to PPP005", "deny invalid_record");
    open.clone().outgoing("PPP009", "*", "alow").check("PPP009 to PPP005", "deny invalid_record");
    open.clone().with("PPP009", "PPP005", &rule("alow")).check("PPP009 to PPP005", "deny invalid_record");
    open.clone().broken("PPP005").suspended(APP).check("PPP009 to PPP005", "deny invalid_record");
    // A broken rule that does not match the call does no harm to it.
    open.incoming("PPP005", "QQQ*", "alow").check("PPP009 to PPP005", "allow pair_rule");
}

/// The model once more, straight from its sentences and with no thought for speed. `Ok(None)`: no door spoke.
fn by_the_book(table: &Table, call: &Call) -> Result<Option<bool>, &'static str> {
    let (caller, callee) = (call.caller.as_str(), call.callee.as_str());
    if [APP, caller, callee].iter().any(|who| table.broken.iter().any(|broken| broken == who)) {
        return Err("invalid_record");
    }
    let pair = table.pairs.get(&(caller.to_owned(), callee.to_owned()));
    if matches!(pair, Some(Err(_))) {
        return Err("invalid_record");
    }
    let absent = |id: &str| table.expired.iter().any(|expired| expired == id);
    let suspended = |who: &str| !absent(who) && table.suspended.iter().any(|suspended| suspended == who);
    for (who, reason) in [(APP, "app_suspended"), (callee, "callee_suspended"), (caller, "caller_suspended")] {
        if suspended(who) {
            return Err(reason);
        }
    }
    let of = |lists: &BTreeMap<String, BTreeMap<String, Entry>>, id: &str| {
        lists.get(id).filter(|_| !absent(id)).cloned().unwrap_or_default()
    };
    let doors = [
        (table.app.clone(), caller, None),
        (of(&table.outgoing, caller), callee, pair),
        (of(&table.incoming, callee), caller, pair),
    ];
    let mut words = Vec::new();
    for (list, id, pair) in doors {
        let mut applicable: Vec<(usize, bool)> = Vec::new();
        for (pattern, entry) in &list {
            let length = match pattern.strip_suffix('*') {
                Some(prefix) if id.starts_with(prefix) => prefix.len(),
                None if pattern == id => 1_000,
                _ => continue,
            };
            match entry {
                Err(_) => return Err("invalid_record"),
                Ok(rule) if applies(rule, call.media) => applicable.push((length, rule.effect == Effect::Deny)),
                Ok(_) => {}
            }
        }
        if let Some(Ok(rule)) = pair
            && applies(rule, call.media)
        {
            applicable.push((1_000, rule.effect == Effect::Deny));
        }
        let longest = applicable.iter().map(|(length, _)| *length).max();
        if let Some(longest) = longest {
            words.push(!applicable.iter().any(|&(length, deny)| length == longest && deny));
        }
    }
    Ok(if words.contains(&false) { Some(false) } else { words.contains(&true).then_some(true) })
}

fn applies(rule: &Rule, call: MediaSet) -> bool {
    if rule.expires_at.is_some_and(|at| NOW >= at) {
        return false;
    }
    let Some(covered) = rule.media else { return true };
    let pairs = [(call.audio, covered.audio), (call.video, covered.video)];
    match rule.effect {
        Effect::Allow => pairs.iter().all(|&(carried, covered)| !carried || covered),
        Effect::Deny => pairs.iter().any(|&(carried, covered)| carried && covered),
    }
}

const IDS: [&str; 5] = ["a", "ab", "abc", "b", "anonymous"];
const PATTERNS: [&str; 9] = ["*", "a*", "ab*", "abc*", "b*", "a", "ab", "abc", "b"];

fn any_media() -> impl Strategy<Value = MediaSet> {
    any::<(bool, bool)>().prop_map(|(audio, video)| MediaSet { audio, video })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let effect = prop_oneof![Just(Effect::Allow), Just(Effect::Deny)];
    let expires_at = prop_oneof![4 => Just(None), 1 => (NOW - 2..NOW + 3).prop_map(Some)];
    let media = prop_oneof![2 => Just(None), 1 => any_media().prop_map(Some)];
    let rule = (effect, expires_at, media).prop_map(|(effect, expires_at, media)| Rule {
        expires_at,
        media,
        ..Rule::new(effect)
    });
    prop_oneof![30 => rule.prop_map(Ok), 1 => Just(Err(Fault("broken".to_owned())))]
}

fn any_list() -> impl Strategy<Value = BTreeMap<String, Entry>> {
    proptest::collection::btree_map(prop::sample::select(&PATTERNS[..]).prop_map(str::to_owned), any_entry(), 0..4)
}

fn any_id() -> impl Strategy<Value = String> {
    prop::sample::select(&IDS[..]).prop_map(str::to_owned)
}

fn some_of(who: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<String>> {
    prop_oneof![8 => Just(Vec::new()), 1 => proptest::collection::vec(who, 1..2)]
}

prop_compose! {
    fn any_table()(
        app in any_list(),
        outgoing in proptest::collection::btree_map(any_id(), any_list(), 0..4),
        incoming in proptest::collection::btree_map(any_id(), any_list(), 0..4),
        pairs in proptest::collection::btree_map((any_id(), any_id()), any_entry(), 0..6),
        suspended in some_of(prop_oneof![4 => any_id(), 1 => Just(APP.to_owned())]),
        expired in some_of(any_id()),
        broken in some_of(any_id()),
    ) -> Table {
        Table { app, outgoing, incoming, pairs, suspended, expired, broken }
    }
}

prop_compose! {
    fn any_call()(caller in any_id(), callee in any_id(), media in any_media()) -> Call {
        call(&caller, &callee, media)
    }
}

impl Table {
    fn permits(&self, call: &Call) -> bool {
        self.decided(call, |decision| decision.effect() == Effect::Allow)
    }

    /// The same table without the rules that `unwanted` picks.
    fn without(&self, unwanted: impl Fn(&Entry) -> bool) -> Self {
        let keep = |list: &BTreeMap<String, Entry>| {
            list.iter().filter(|(_, entry)| !unwanted(entry)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let keep_all = |lists: &BTreeMap<String, BTreeMap<String, Entry>>| {
            lists.iter().map(|(id, list)| (id.clone(), keep(list))).collect()
        };
        Self {
            app: keep(&self.app),
            outgoing: keep_all(&self.outgoing),
            incoming: keep_all(&self.incoming),
            pairs: self.pairs.iter().filter(|(_, e)| !unwanted(e)).map(|(k, v)| (k.clone(), v.clone())).collect(),
            ..self.clone()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000,
        max_global_rejects: 100_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn two_implementations_agree(table in any_table(), call in any_call()) {
        let expected = match by_the_book(&table, &call) {
            Ok(Some(true)) => (true, None),
            Ok(Some(false)) => (false, None),
            Ok(None) => (false, Some("no_rule")),
            Err(reason) => (false, Some(reason)),
        };
        let (effect, reason) = table.decided(&call, |decision| (decision.effect(), decision.reason()));
        prop_assert_eq!(effect == Effect::Allow, expected.0);
        match expected.1 {
            Some(word) => prop_assert_eq!(reason, word),
            None => prop_assert!(reason.ends_with("_rule") && reason != "no_rule"),
        }
    }

    #[test]
    fn without_an_allow_nothing_goes_through(table in any_table(), call in any_call()) {
        let table = table.without(|entry| matches!(entry, Ok(rule) if rule.effect == Effect::Allow));
        prop_assert!(!table.permits(&call));
    }

    #[test]
    fn an_expired_rule_equals_an_absent_one(table in any_table(), call in any_call()) {
        let without = table.without(|entry| matches!(entry, Ok(rule) if rule.expires_at.is_some_and(|at| at <= NOW)));
        let verdict = |table: &Table| table.decided(&call, |decision| (decision.effect(), decision.reason()));
        prop_assert_eq!(verdict(&table), verdict(&without));
    }

    #[test]
    fn removing_denies_never_refuses(table in any_table(), call in any_call()) {
        let without = table.without(|entry| matches!(entry, Ok(rule) if rule.effect == Effect::Deny));
        prop_assert!(!table.permits(&call) || without.permits(&call));
    }

    #[test]
    fn adding_a_deny_never_permits(
        table in any_table(),
        call in any_call(),
        (from, to) in prop_oneof![
            (any_id(), any_id()),
            (prop::sample::select(&PATTERNS[..5]).prop_map(str::to_owned), any_id()),
            (any_id(), prop::sample::select(&PATTERNS[..5]).prop_map(str::to_owned)),
            (prop::sample::select(&PATTERNS[..5]).prop_map(str::to_owned), Just("*".to_owned())),
        ],
    ) {
        // Added, not replacing: whoever overwrites a rule has also removed one.
        let taken = match (from.ends_with('*'), to.ends_with('*')) {
            (false, false) => table.pairs.contains_key(&(from.clone(), to.clone())),
            (true, false) => table.incoming.get(&to).is_some_and(|list| list.contains_key(&from)),
            (false, true) => table.outgoing.get(&from).is_some_and(|list| list.contains_key(&to)),
            (true, true) => table.app.contains_key(&from),
        };
        prop_assume!(!taken && !table.permits(&call));
        prop_assert!(!table.with(&from, &to, &Ok(Rule::new(Effect::Deny))).permits(&call));
    }
}
