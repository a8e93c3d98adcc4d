//! Who may call a party, or whom a party may call: every pattern and party that the rules name, with the decision for its calls.
//!
//! The decision is the function's own, for a call from or to an example: a party that the pattern matches and no more specific
//! pattern does, and that has no item. A party that is named by its id has the item that is stored for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use callgate::store::item::{self, Key};
use callgate_core::{
    App, AppKey, Applicability, Call, Decision, Door, Effect, EpochSeconds, Groups, Hours, InvalidRecord, MediaSet,
    ParsedItem, Party, PartyId, Pattern, Permissions, RecordLocation, Rule, RuleKey, Rules, Trace, decide, has_expired,
    trace,
};

use crate::error::Result;
use crate::item_kind::{ItemKind, canonical_id};
use crate::redundancy::{example_id, time_conditions};
use crate::rule_row::RuleRow;
use crate::table::Table;
use crate::time;
use crate::wording::rule_text;

/// The most parties of an app whose items are read to count the members of groups.
const MAX_COUNTED: usize = 10_000;

/// Changes of an answer by windows are found within this time. Longer than a year.
const HORIZON: EpochSeconds = 400 * 24 * 60 * 60;

/// Which of the two questions is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who may call the party.
    Callers,
    /// Whom the party may call.
    Callees,
}

/// The answer for the parties that one pattern matches and no more specific one does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhoRow {
    /// The pattern, or the id of one party.
    pub pattern: Pattern,
    /// Whether their calls go through.
    pub effect: Effect,
    /// The stable word for the reason.
    pub reason: &'static str,
    /// The door whose rule decides. `None` if no rule does.
    pub door: Option<Door>,
    /// The rule that decides.
    pub rule: Option<RuleRow>,
    /// Why, in words.
    pub because: String,
    /// The first moment at which the answer changes, as things are now.
    pub until: Option<EpochSeconds>,
    /// Rules for exactly this pattern that do not apply, in words.
    pub inactive: Vec<String>,
    /// The members of a group, and how many of their calls go through. `None` if they were not counted.
    pub members: Option<Members>,
    /// Whether rules, groups, a block or a suspension of one of these parties, which are not known here, can change its answer.
    pub may_differ: bool,
}

/// The parties of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Members {
    /// How many there are.
    pub count: u64,
    /// How many of their calls go through, with the rules, groups, blocks and suspensions of each.
    pub permitted: u64,
}

/// Everything that decides the calls of one party.
struct Subject<'a> {
    app: &'a AppKey,
    party: &'a PartyId,
    side: Side,
    media: MediaSet,
    at: EpochSeconds,
    app_item: ParsedItem<App>,
    party_item: ParsedItem<Party>,
    /// The rules between the party and one other, by the other's id.
    pairs: HashMap<String, ParsedItem<Rule>>,
}

/// Who may call a party, or whom it may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The app.
    pub app: AppKey,
    /// The party.
    pub party: PartyId,
    /// Whether its callers or its callees are listed.
    pub side: Side,
    /// The media of the calls.
    pub media: MediaSet,
    /// The moment of the calls.
    pub at: EpochSeconds,
}

impl Table {
    /// Who may call a party, or whom it may call, at a moment: a row for each pattern and party that the app's rules and the
    /// party's rules name, the most specific first.
    ///
    /// Reads the app's item, what is stored for the party, and the items of the parties that the rules name by their id. If a
    /// rule names a group, also those of up to 10,000 parties of the app, to count the members.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn who(&self, question: &Question) -> Result<Vec<WhoRow>> {
        Box::pin(self.who_with(question, true)).await
    }

    /// The same without the members of groups, which may take long to count.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn who_without_members(&self, question: &Question) -> Result<Vec<WhoRow>> {
        Box::pin(self.who_with(question, false)).await
    }

    async fn who_with(&self, question: &Question, counts_members: bool) -> Result<Vec<WhoRow>> {
        let &Question { ref app, ref party, side, media, at } = question;
        let own_key = Key::party(app, party);
        let app_key = Key::app(app);
        let (app_item, (own, pairs)) = tokio::try_join!(self.get(&app_key), async {
            Ok(match side {
                Side::Callers => {
                    let (own, pairs): (Vec<_>, Vec<_>) =
                        self.query(&own_key).await?.into_iter().partition(|item| own_key.is_of(item));
                    (own.into_iter().next(), pairs)
                }
                Side::Callees => {
                    let keys = self.pairs_of_caller(app, party).await?;
                    tokio::try_join!(self.get(&own_key), self.get_many(&keys))?
                }
            })
        })?;
        let pairs = pairs.into_iter().filter_map(|item| match (ItemKind::of(&item)?, side) {
            (ItemKind::Pair(_, _, other), Side::Callers) | (ItemKind::Pair(_, other, _), Side::Callees) => {
                Some((other, item::read_pair(item).map(Some)))
            }
            _ => None,
        });
        let subject = Subject {
            app,
            party,
            side,
            media,
            at,
            app_item: app_item.map(item::read_app).transpose(),
            party_item: own.map(item::read_party).transpose(),
            pairs: pairs.collect(),
        };
        let patterns = subject.patterns();
        let ids = patterns.iter().filter_map(|pattern| match pattern {
            Pattern::Exact(id) => canonical_id(id, self.phone_region()),
            _ => None,
        });
        let ids: Vec<_> = ids.collect();
        let items = self.party_items(app, &ids).await?;
        let groups: BTreeSet<_> = patterns.iter().filter_map(group_of).collect();
        let members = if groups.is_empty() || !counts_members { None } else { self.members(app, &groups).await? };
        let named: HashSet<_> = patterns.iter().collect();
        let rows = patterns.iter().filter_map(|pattern| {
            if let Pattern::Exact(id) = pattern {
                let id = canonical_id(id, self.phone_region())?;
                let item = items.get(id.as_str()).cloned().unwrap_or(Ok(None));
                return Some(subject.row(pattern, &id, &item));
            }
            let id = example_id(pattern, &named)?;
            let groups: Groups = group_of(pattern).map(str::to_owned).into_iter().collect();
            let item = Ok(Some(Party { groups, ..Party::default() }));
            let mut row = subject.row(pattern, &id, &item);
            row.may_differ = row.effect == Effect::Allow || row.reason == "no_rule";
            if let (Some(group), Some(members)) = (group_of(pattern), &members) {
                let members = members.get(group).map(Vec::as_slice).unwrap_or_default();
                row.members = Some(subject.count(members));
                row.may_differ = false;
            }
            Some(row)
        });
        Ok(rows.collect())
    }

    /// The items of these parties, parsed, by id.
    async fn party_items(&self, app: &AppKey, ids: &[PartyId]) -> Result<HashMap<String, ParsedItem<Party>>> {
        let keys: Vec<_> = ids.iter().map(|id| Key::party(app, id)).collect();
        let items = self.get_many(&keys).await?.into_iter().filter_map(|item| match ItemKind::of(&item)? {
            ItemKind::Party(_, id) => Some((id, item::read_party(item).map(Some))),
            _ => None,
        });
        Ok(items.collect())
    }

    /// The parties of these groups, with their items. `None` if the app has too many parties to read.
    async fn members(&self, app: &AppKey, groups: &BTreeSet<&str>) -> Result<Option<BTreeMap<String, Vec<Member>>>> {
        let keys = self.parties_of_app(app).await?;
        if keys.len() > MAX_COUNTED {
            return Ok(None);
        }
        let mut members = BTreeMap::<String, Vec<Member>>::new();
        for item in self.get_many(&keys).await? {
            let Some(ItemKind::Party(_, id)) = ItemKind::of(&item) else { continue };
            let (Some(id), Ok(party)) = (canonical_id(&id, self.phone_region()), item::read_party(item)) else {
                continue;
            };
            for group in party.groups.iter().filter(|group| groups.contains(group.as_str())) {
                members.entry(group.clone()).or_default().push((id.clone(), Ok(Some(party.clone()))));
            }
        }
        Ok(Some(members))
    }
}

/// A party of a group, and its item.
type Member = (PartyId, ParsedItem<Party>);

fn group_of(pattern: &Pattern) -> Option<&str> {
    match pattern {
        Pattern::Group(name) => Some(name),
        _ => None,
    }
}

fn present<T>(item: &ParsedItem<T>) -> Option<&T> {
    item.as_ref().ok().and_then(Option::as_ref)
}

/// The permissions of one call, without the rules that do not match it.
struct OneCall {
    call: Call,
    app: ParsedItem<App>,
    caller: ParsedItem<Party>,
    callee: ParsedItem<Party>,
    pair: ParsedItem<Rule>,
}

impl OneCall {
    fn permissions(&self) -> Permissions<'_> {
        let Self { call: _, app, caller, callee, pair } = self;
        Permissions { app, caller, callee, pair }
    }

    /// Every later moment at which one of the rules, a block or a party may start or stop counting.
    fn moments(&self, at: EpochSeconds) -> BTreeSet<EpochSeconds> {
        let lists = [
            present(&self.app).map(|app| &app.callers),
            present(&self.app).map(|app| &app.destinations),
            present(&self.caller).map(|party| &party.outgoing),
            present(&self.callee).map(|party| &party.incoming),
        ];
        let listed = lists.into_iter().flatten().flat_map(Rules::iter).filter_map(|(_, rule)| rule.ok());
        let mut moments = BTreeSet::new();
        for (hours, expires_at) in listed.chain(present(&self.pair)).map(time_conditions) {
            moments.extend(expires_at);
            let to = at.saturating_add(HORIZON);
            moments.extend(hours.into_iter().flat_map(|hours| hours.transitions(at, to)));
            moments.extend(hours.into_iter().flat_map(|hours| hours.clock_changes(at, to)));
            moments.extend(hours.into_iter().flat_map(Hours::date_changes));
        }
        for party in [present(&self.caller), present(&self.callee)].into_iter().flatten() {
            moments.extend(party.expires_at);
            moments.extend(party.blocked.as_ref().and_then(|block| block.expires_at));
        }
        moments.split_off(&at.saturating_add(1))
    }
}

impl Subject<'_> {
    /// Every pattern that the rules for the other side of the calls name, and `*`. The most specific first.
    fn patterns(&self) -> Vec<Pattern> {
        let party = present(&self.party_item).filter(|party| !has_expired(party.expires_at, self.at));
        let app = present(&self.app_item);
        let lists = match self.side {
            Side::Callers => [app.map(|app| &app.callers), party.map(|party| &party.incoming)],
            Side::Callees => [app.map(|app| &app.destinations), party.map(|party| &party.outgoing)],
        };
        let listed = lists.into_iter().flatten().flat_map(Rules::iter).map(|(pattern, _)| pattern.clone());
        let pairs = self.pairs.keys().map(|id| Pattern::Exact(id.clone()));
        let all: HashSet<_> = listed.chain(pairs).chain([Pattern::Everyone]).collect();
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_cached_key(|pattern| (Reverse(pattern.specificity()), pattern.to_string()));
        all
    }

    /// The call from or to another party, with the permissions that decide it.
    fn call_with(&self, other: &PartyId, other_item: &ParsedItem<Party>) -> OneCall {
        let itself = other == self.party;
        let other_item = if itself { &self.party_item } else { other_item };
        let sides = [(self.party, &self.party_item), (other, other_item)];
        let [(caller, caller_item), (callee, callee_item)] = match self.side {
            Side::Callers => [sides[1], sides[0]],
            Side::Callees => sides,
        };
        let (caller_groups, callee_groups) = (self.groups(caller_item), self.groups(callee_item));
        let matching = |rules: &Rules, id: &PartyId, groups: &Groups| -> Rules {
            let rules = rules.matching(id, groups);
            rules.map(|(pattern, rule)| (pattern.clone(), rule.cloned().map_err(Clone::clone))).collect()
        };
        let part = |item: &ParsedItem<Party>| match item {
            Ok(None) => Ok(None),
            Err(error) => Err(error.clone()),
            Ok(Some(party)) => Ok(Some(Party {
                status: party.status,
                incoming: matching(&party.incoming, caller, &caller_groups),
                outgoing: matching(&party.outgoing, callee, &callee_groups),
                groups: party.groups.clone(),
                blocked: party.blocked.clone(),
                expires_at: party.expires_at,
                note: None,
            })),
        };
        let app = match &self.app_item {
            Ok(None) => Ok(None),
            Err(error) => Err(error.clone()),
            Ok(Some(app)) => Ok(Some(App {
                status: app.status,
                callers: matching(&app.callers, caller, &caller_groups),
                destinations: matching(&app.destinations, callee, &callee_groups),
                note: None,
            })),
        };
        OneCall {
            app,
            caller: part(caller_item),
            callee: part(callee_item),
            pair: self.pairs.get(other.as_str()).cloned().unwrap_or(Ok(None)),
            call: Call { app: self.app.clone(), caller: caller.clone(), callee: callee.clone(), media: self.media },
        }
    }

    fn groups(&self, item: &ParsedItem<Party>) -> Groups {
        let party = present(item).filter(|party| !has_expired(party.expires_at, self.at));
        party.map(|party| party.groups.clone()).unwrap_or_default()
    }

    fn count(&self, members: &[Member]) -> Members {
        let permitted = members.iter().filter(|(id, item)| {
            let one = self.call_with(id, item);
            decide(&one.call, one.permissions(), self.at).effect() == Effect::Allow
        });
        Members { count: members.len() as u64, permitted: permitted.count() as u64 }
    }

    fn row(&self, pattern: &Pattern, other: &PartyId, other_item: &ParsedItem<Party>) -> WhoRow {
        let one = self.call_with(other, other_item);
        let Trace { decision, doors } = trace(&one.call, one.permissions(), self.at);
        let effect = decision.effect();
        let changes = |moment: &EpochSeconds| decide(&one.call, one.permissions(), *moment).effect() != effect;
        let until = one.moments(self.at).into_iter().find(changes);
        let evaluated = doors.iter().flat_map(|(door, rules)| rules.iter().map(move |rule| (*door, rule)));
        let deciding = evaluated.clone().find_map(|(door, it)| match decision {
            Decision::Rule { door: of, key, .. } if door == of && it.key == key => it.rule.ok(),
            _ => None,
        });
        // The pattern's own doors. At the others, its rules are about the party that is asked about.
        let own_doors = match self.side {
            Side::Callers => [Door::App, Door::Callee],
            Side::Callees => [Door::Destination, Door::Caller],
        };
        let inactive = evaluated.filter(|(door, _)| own_doors.contains(door)).filter_map(|(door, it)| {
            let is_own = match it.key {
                RuleKey::Entry(entry) => entry == pattern,
                RuleKey::Pair(_) => true,
            };
            let why = match it.applicability {
                Applicability::Disabled => "is disabled".to_owned(),
                Applicability::Expired(at) => format!("expired at {}", time::describe(at)),
                Applicability::OtherMedia(_) => "is for other media".to_owned(),
                Applicability::OutsideHours(_) => "does not apply at this hour".to_owned(),
                _ => return None,
            };
            let text = rule_text_at(&one.call, door, it.key, it.rule.ok()?);
            is_own.then(|| format!("{text} {why}"))
        });
        WhoRow {
            pattern: pattern.clone(),
            effect,
            reason: decision.reason(),
            door: match decision {
                Decision::Rule { door, .. } => Some(door),
                _ => None,
            },
            rule: deciding.and_then(|rule| match decision {
                Decision::Rule { door, key, .. } => {
                    let (from, to) = sides(&one.call, door, key);
                    Some(RuleRow::of(self.app.as_str(), &from, &to, rule))
                }
                _ => None,
            }),
            because: Self::because(&one.call, &decision, deciding),
            until,
            inactive: inactive.collect(),
            members: None,
            may_differ: false,
        }
    }

    fn because(call: &Call, decision: &Decision<'_>, rule: Option<&Rule>) -> String {
        match (decision, rule) {
            (Decision::Rule { door, key, .. }, Some(rule)) => rule_text_at(call, *door, *key, rule),
            (Decision::Rule { door, key, .. }, None) => format!("the rule `{key}` at door {}", door.as_str()),
            (Decision::Suspended(door), _) => format!("the {} is suspended", owner(*door)),
            (Decision::Blocked(block), _) => {
                let until = block.expires_at.map(|at| format!(" until {}", time::describe(at))).unwrap_or_default();
                let note = block.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
                format!("the caller is blocked{until}{note}")
            }
            (Decision::NoRule, _) => "no rule applies".to_owned(),
            (Decision::InvalidRecord(InvalidRecord { location, error }), _) => match location {
                RecordLocation::Item(door) => format!("the {}'s item is invalid: {error}", owner(*door)),
                RecordLocation::Entry(door, key) => {
                    format!("the rule `{key}` at door {} is invalid: {error}", door.as_str())
                }
                RecordLocation::Pair => format!("the rule between these two is invalid: {error}"),
            },
        }
    }
}

/// A rule in words, after the place that holds it.
fn rule_text_at(call: &Call, door: Door, key: RuleKey<'_>, rule: &Rule) -> String {
    let (from, to) = sides(call, door, key);
    let place = match key {
        RuleKey::Pair(_) => "between these two".to_owned(),
        RuleKey::Entry(_) => format!("door {}", door.as_str()),
    };
    format!("{place}: {}", rule_text(from, to, rule))
}

/// The callers and callees of a rule, as people write it.
fn sides(call: &Call, door: Door, key: RuleKey<'_>) -> (String, String) {
    let everyone = || "*".to_owned();
    let (caller, callee) = (call.caller.to_string(), call.callee.to_string());
    match (key, door) {
        (RuleKey::Pair(_), _) => (caller, callee),
        (RuleKey::Entry(pattern), Door::App) => (pattern.to_string(), everyone()),
        (RuleKey::Entry(pattern), Door::Destination) => (everyone(), pattern.to_string()),
        (RuleKey::Entry(pattern), Door::Caller) => (caller, pattern.to_string()),
        (RuleKey::Entry(pattern), Door::Callee) => (pattern.to_string(), callee),
    }
}

/// The owner of a door's item, in words.
fn owner(door: Door) -> &'static str {
    match door {
        Door::App | Door::Destination => "app",
        Door::Caller => "caller",
        Door::Callee => "callee",
    }
}
