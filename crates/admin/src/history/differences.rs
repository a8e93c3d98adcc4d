//! What is stored differs from the history: another program wrote it.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{EXPIRES_AT, Key};
use callgate_core::{EpochSeconds, PartyId, has_expired};

use super::{BulkCounts, Change, ChangedValue, Place};
use crate::error::Result;
use crate::item_kind::key_of;
use crate::stored_rule::expiry_of;
use crate::table::Table;
use crate::table::items::is_same;

/// What the history has last for a place.
struct Known {
    value: Option<AttributeValue>,
    /// Whether a command that changed many items ran later.
    is_doubtful: bool,
}

impl Table {
    /// Compares what is stored with the changes of an app, or with those about a party. Returns what was written without a change
    /// item: from what the history has last to what is stored. Values that expired are not among these, and neither are those that
    /// an import may have written.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn unrecorded_changes(
        &self,
        party: Option<&PartyId>,
        changes: &[Change],
        now: EpochSeconds,
    ) -> Result<Vec<ChangedValue>> {
        let mut known: HashMap<Key, HashMap<Place, Known>> = HashMap::new();
        // The lists of which the history has every entry, because it has their beginning.
        let mut complete: HashSet<(Key, String)> = HashSet::new();
        let mut bulk: Vec<(&str, BulkCounts)> = Vec::new();
        for change in changes {
            if let Some(counts) = change.counts {
                bulk.push((&change.author, counts));
                if counts.has_unrecorded() {
                    known.values_mut().flat_map(HashMap::values_mut).for_each(|it| it.is_doubtful = true);
                    complete.clear();
                }
            }
            let values = || change.values.iter().filter(|_| !change.is_cut);
            for ChangedValue { key, place, .. } in values() {
                complete.extend(place.whole_lists().into_iter().map(|list| (key.clone(), list)));
            }
            for value in values().flat_map(ChangedValue::parts) {
                let ChangedValue { key, place, before: _, after } = value;
                known.entry(key).or_default().insert(place, Known { value: after, is_doubtful: false });
            }
        }
        let keys: Vec<_> = known.keys().cloned().collect();
        let items = self.get_many(&keys).await?;
        let items: HashMap<_, _> = items.into_iter().filter_map(|item| Some((key_of(&item)?, item))).collect();
        let mut found = Vec::new();
        for (key, places) in &known {
            let item = items.get(key);
            let is_over = item.is_none()
                && places
                    .get(&Place::Attribute(EXPIRES_AT.to_owned()))
                    .is_some_and(|it| is_over(it.value.as_ref(), now));
            for (place, known) in places {
                let stored = place.value_in(item);
                let is_gone = stored.is_none() && (is_over || has_expired(known.value.as_ref().and_then(expiry), now));
                let is_of_bulk = match stored.as_ref().and_then(signature) {
                    Some((by, at)) => bulk.iter().any(|(author, counts)| *author == by && counts.signed_at == at),
                    None => known.is_doubtful,
                };
                if !is_same(known.value.as_ref(), stored.as_ref()) && !is_gone && !is_of_bulk {
                    found.push((key.clone(), place.clone(), known.value.clone(), stored));
                }
            }
        }
        for (key, list) in &complete {
            let item = items.get(key).filter(|item| !has_expired(expiry_of(item), now));
            let entries = item.and_then(|item| item.get(list)?.as_m().ok()).into_iter().flatten();
            let places = entries.map(|(entry, value)| (Place::Entry(list.clone(), entry.clone()), value));
            let unknown = places.filter(|(place, _)| known.get(key).is_none_or(|places| !places.contains_key(place)));
            found.extend(unknown.map(|(place, value)| (key.clone(), place, None, Some(value.clone()))));
        }
        let mut found: Vec<_> = found
            .into_iter()
            .map(|(key, place, before, after)| ChangedValue { key, place, before, after })
            .filter(|value| party.is_none_or(|party| value.names(party)))
            .collect();
        found.sort_by(|one, other| {
            (&one.key.pk, &one.key.sk, &one.place).cmp(&(&other.key.pk, &other.key.sk, &other.place))
        });
        Ok(found)
    }
}

/// The author and the time in a rule or a block.
fn signature(value: &AttributeValue) -> Option<(&str, EpochSeconds)> {
    let rule = value.as_m().ok()?;
    let by = rule.get("updated_by")?.as_s().ok()?;
    Some((by, rule.get("updated_at")?.as_n().ok()?.parse().ok()?))
}

fn expiry(value: &AttributeValue) -> Option<EpochSeconds> {
    expiry_of(value.as_m().ok()?)
}

fn is_over(value: Option<&AttributeValue>, now: EpochSeconds) -> bool {
    let at = value.and_then(|value| value.as_n().ok()?.parse().ok());
    has_expired(at, now)
}
