//! What a rule means depends on the others.

use callgate_core::{App, Effect, ParsedItem, Party, Pattern, Status};

use super::Doctor;
use super::finding::{Finding, Place, item_command, rule_command};
use crate::items::ItemKind;
use crate::redundancy::{Context, why_redundant};
use crate::say::count;
use crate::statement::{RuleTarget, in_words};

/// Fewer known parties than these say nothing about what most of them are.
const MIN_PARTIES: usize = 20;

impl Doctor {
    /// Finds what only all items together show.
    pub(super) fn look_around(&mut self) {
        let mut found = Vec::new();
        for (target, rule, is_listed) in &self.sound {
            let (app, from, to) = (target.app.as_str(), target.from.to_string(), target.to.to_string());
            let place = Place::rule(app, &from, &to);
            let revoke = rule_command("revoke", app, &from, &to);
            let misplaced = *is_listed && !target.has_pattern();
            if !misplaced && let Some(why) = why_redundant(target, rule, &self.around(target), self.now) {
                let contradicts = rule.effect == Effect::Allow && why.contains("denies");
                let kind = if contradicts { "contradicted" } else { "shadowed" };
                let what = format!("{} cannot change any answer", in_words(&from, &to, rule));
                found.push(Finding::new(kind, &place, what, why, Some(revoke.clone())));
            }
            for pattern in [&target.from, &target.to] {
                if let Some((share, all)) = self.share(app, pattern) {
                    let what =
                        format!("`{pattern}` is so short that it covers {share} of the {all} parties known here");
                    let why = "whoever reads it may think of a few; `*` says everyone";
                    found.push(Finding::new("short_prefix", &place, what, why, Some(revoke.clone())));
                }
            }
        }
        for ((app, id), party) in &self.parties {
            let rules = self.loads.get(&(app.clone(), id.clone())).copied().unwrap_or(0);
            let is_suspended = matches!(party, Ok(Some(party)) if party.status == Status::Suspended);
            if is_suspended && rules > 0 {
                let what = format!("it is suspended and has {}", count(rules, "rule"));
                let why = "none of its rules has an effect until it is resumed";
                let mend = Some(item_command("resume", &ItemKind::Party(app.clone(), id.clone())));
                found.push(Finding::new("suspended", &Place::party(app, id), what, why, mend));
            }
        }
        self.found.extend(found.into_iter().map(|finding| (finding, None)));
    }

    /// What stands around a rule, as if nobody were suspended: that is a finding of its own.
    fn around(&self, target: &RuleTarget) -> Context {
        let app = target.app.as_str();
        let party = |pattern: &Pattern| -> ParsedItem<Party> {
            let Pattern::Exact(id) = pattern else { return Ok(None) };
            let found = self.parties.get(&(app.to_owned(), id.clone())).cloned().unwrap_or(Ok(None));
            found.map(|party| party.map(|party| Party { status: Status::Active, ..party }))
        };
        let found = self.apps.get(app).cloned().unwrap_or(Ok(None));
        Context {
            app: found.map(|app| app.map(|app| App { status: Status::Active, ..app })),
            caller: party(&target.from),
            callee: party(&target.to),
            pair: Ok(None),
        }
    }

    /// How many parties a prefix covers, and of how many, where these are most.
    fn share(&self, app: &str, pattern: &Pattern) -> Option<(usize, usize)> {
        let Pattern::Prefix(prefix) = pattern else { return None };
        let ids = self.ids.get(app).filter(|ids| ids.len() >= MIN_PARTIES)?;
        let covered = ids.range(prefix.clone()..).take_while(|id| id.starts_with(prefix.as_str())).count();
        (covered * 2 > ids.len()).then_some((covered, ids.len()))
    }
}
