//! A permission table that tests write as text, such as `allow PPP009 to PPP*`.

use std::collections::{BTreeMap, BTreeSet};

use callgate_core::{
    App, AppKey, Block, Call, Decision, Effect, EpochSeconds, MediaSet, ParseError, ParsedItem, Party, PartyId,
    Pattern, Permissions, Rule, Status, decide, trace,
};

pub(crate) const NOW: EpochSeconds = 1_000;

/// The permissions of one app, with ids and patterns as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) app: BTreeMap<String, Entry>,
    pub(crate) destinations: BTreeMap<String, Entry>,
    pub(crate) outgoing: BTreeMap<String, BTreeMap<String, Entry>>,
    pub(crate) incoming: BTreeMap<String, BTreeMap<String, Entry>>,
    pub(crate) pairs: BTreeMap<(String, String), Entry>,
    pub(crate) suspended: Vec<String>,
    pub(crate) expired: Vec<String>,
    pub(crate) invalid: Vec<String>,
    pub(crate) groups: BTreeMap<String, BTreeSet<String>>,
    /// The blocked parties, and until when.
    pub(crate) blocked: BTreeMap<String, Option<EpochSeconds>>,
    /// The time of the call. `None` means [`NOW`].
    pub(crate) now: Option<EpochSeconds>,
}

pub(crate) type Entry = Result<Rule, ParseError>;

/// The name of the app in `suspended` and `invalid`.
pub(crate) const APP: &str = "(app)";

/// Parses `allow` or `deny`, followed by any of `audio`, `video`, `disabled` and `until=SECONDS`. Any other effect gives an invalid rule.
pub(crate) fn rule(words: &str) -> Entry {
    let mut words = words.split(' ');
    let mut rule = match words.next() {
        Some("allow") => Rule::new(Effect::Allow),
        Some("deny") => Rule::new(Effect::Deny),
        other => return Err(ParseError(format!("unknown effect {other:?}"))),
    };
    for word in words {
        let media = rule.media.unwrap_or(MediaSet { audio: false, video: false });
        match word {
            "audio" => rule.media = Some(MediaSet { audio: true, ..media }),
            "video" => rule.media = Some(MediaSet { video: true, ..media }),
            "disabled" => rule.disabled = true,
            until => rule.expires_at = Some(until.strip_prefix("until=").unwrap().parse().unwrap()),
        }
    }
    Ok(rule)
}

impl Table {
    /// Parses rules such as `allow PPP009 to PPP* until=5`, and adds each to its list or as a pair.
    pub(crate) fn of(rules: &[&str]) -> Self {
        rules.iter().fold(Self::default(), |table, text| {
            let words: Vec<_> = text.split(' ').collect();
            let [effect, from, "to", to, conditions @ ..] = words.as_slice() else { panic!("{text}") };
            table.with(from, to, &rule(&[&[*effect], conditions].concat().join(" ")))
        })
    }

    pub(crate) fn with(mut self, from: &str, to: &str, entry: &Entry) -> Self {
        let (from, to, entry) = (from.to_owned(), to.to_owned(), entry.clone());
        match (is_pattern(&from), is_pattern(&to)) {
            (false, false) => self.pairs.insert((from, to), entry),
            (true, false) => self.incoming.entry(to).or_default().insert(from, entry),
            (false, true) => self.outgoing.entry(from).or_default().insert(to, entry),
            (true, true) if to == "*" => self.app.insert(from, entry),
            (true, true) => {
                assert_eq!(from, "*", "a rule between two patterns cannot be stored");
                self.destinations.insert(to, entry)
            }
        };
        self
    }

    /// Adds an entry to the callee's own list, which may also have an exact caller as its key.
    pub(crate) fn incoming(mut self, callee: &str, from: &str, words: &str) -> Self {
        self.incoming.entry(callee.to_owned()).or_default().insert(from.to_owned(), rule(words));
        self
    }

    pub(crate) fn outgoing(mut self, caller: &str, to: &str, words: &str) -> Self {
        self.outgoing.entry(caller.to_owned()).or_default().insert(to.to_owned(), rule(words));
        self
    }

    /// Puts a party into a group.
    pub(crate) fn group(mut self, group: &str, id: &str) -> Self {
        self.groups.entry(id.to_owned()).or_default().insert(group.to_owned());
        self
    }

    pub(crate) fn blocked(mut self, id: &str, until: Option<EpochSeconds>) -> Self {
        self.blocked.insert(id.to_owned(), until);
        self
    }

    pub(crate) fn suspended(mut self, name: &str) -> Self {
        self.suspended.push(name.to_owned());
        self
    }

    pub(crate) fn expired(mut self, name: &str) -> Self {
        self.expired.push(name.to_owned());
        self
    }

    pub(crate) fn invalid(mut self, name: &str) -> Self {
        self.invalid.push(name.to_owned());
        self
    }

    pub(crate) fn list(entries: Option<&BTreeMap<String, Entry>>) -> callgate_core::Rules {
        entries.into_iter().flatten().map(|(key, entry)| (Pattern::from_stored(key), entry.clone())).collect()
    }

    pub(crate) fn now(&self) -> EpochSeconds {
        self.now.unwrap_or(NOW)
    }

    pub(crate) fn status(&self, name: &str) -> Status {
        if self.suspended.iter().any(|suspended| suspended == name) { Status::Suspended } else { Status::Active }
    }

    pub(crate) fn parsed<T>(&self, name: &str, item: T) -> ParsedItem<T> {
        if self.invalid.iter().any(|invalid| invalid == name) {
            Err(ParseError("invalid".to_owned()))
        } else {
            Ok(Some(item))
        }
    }

    pub(crate) fn app_item(&self) -> ParsedItem<App> {
        let app = App {
            status: self.status(APP),
            callers: Self::list(Some(&self.app)),
            destinations: Self::list(Some(&self.destinations)),
            note: None,
        };
        self.parsed(APP, app)
    }

    pub(crate) fn party(&self, id: &str) -> ParsedItem<Party> {
        let party = Party {
            status: self.status(id),
            incoming: Self::list(self.incoming.get(id)),
            outgoing: Self::list(self.outgoing.get(id)),
            groups: self.groups.get(id).cloned().unwrap_or_default(),
            blocked: self.blocked.get(id).map(|until| Block { expires_at: *until, ..Block::default() }),
            expires_at: self.expired.iter().any(|expired| expired == id).then_some(self.now()),
            note: None,
        };
        self.parsed(id, party)
    }

    pub(crate) fn pair(&self, call: &Call) -> ParsedItem<Rule> {
        self.pairs.get(&(call.caller.to_string(), call.callee.to_string())).cloned().transpose()
    }

    /// Decides a call, checks that the trace agrees with the decision, and returns the result of `inspect`.
    #[track_caller]
    pub(crate) fn check_decision<T>(&self, call: &Call, inspect: impl FnOnce(&Decision<'_>) -> T) -> T {
        let (app, caller, callee) =
            (self.app_item(), self.party(call.caller.as_str()), self.party(call.callee.as_str()));
        let pair = self.pair(call);
        let permissions = Permissions { app: &app, caller: &caller, callee: &callee, pair: &pair };
        let decision = decide(call, permissions, self.now());
        let trace = trace(call, permissions, self.now());
        assert_eq!(trace.decision, decision);
        if let Decision::Rule { door, key, effect } = decision {
            let (_, rules) = trace.doors.iter().find(|(other, _)| *other == door).unwrap();
            let deciding: Vec<_> = rules.iter().filter(|rule| rule.decides).collect();
            assert_eq!(deciding.len(), 1, "{rules:?}");
            assert_eq!((deciding[0].key, deciding[0].rule.unwrap().effect), (key, effect));
        }
        inspect(&decision)
    }

    /// Decides a call such as `PPP009 to PPP005 video`, and compares its effect and reason. A call has audio unless it is
    /// `silent`.
    #[track_caller]
    pub(crate) fn check(&self, call: &str, expected: &str) -> &Self {
        let words: Vec<_> = call.split(' ').collect();
        let [caller, "to", callee, media @ ..] = words.as_slice() else { panic!("{call}") };
        let media = MediaSet { audio: !media.contains(&"silent"), video: media.contains(&"video") };
        let actual = self.check_decision(&self::call(caller, callee, media), |decision| {
            format!("{} {}", decision.effect().as_str(), decision.reason())
        });
        assert_eq!(actual, expected, "{call}");
        self
    }
}

/// Whether a text is a pattern, and not exactly one party.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.ends_with('*') || text.starts_with('@')
}

pub(crate) fn call(caller: &str, callee: &str, media: MediaSet) -> Call {
    let id = |text| PartyId::new(text, None).unwrap();
    Call { app: AppKey::new("defaultApp").unwrap(), caller: id(caller), callee: id(callee), media }
}
