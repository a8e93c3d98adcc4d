//! The shell commands in findings.

use callgate::store::item::{Attributes, Key};
use callgate_core::{Door, Hours, Pattern, Rule};
use serde_json::json;

use crate::item_kind::{ItemKind, keys, pair_key};
use crate::number_mistake::number_mistake;
use crate::stored_rule::{StoredRule, is_usual_door};
use crate::time;
use crate::wording::quote;

/// The command that applies the fixes of all findings that have one.
pub(super) const APPLY_FIXES: &str = "callgatectl doctor --fix";

/// `callgatectl COMMAND` for an app or a party.
pub(crate) fn item_command(command: &str, kind: &ItemKind) -> String {
    match kind {
        ItemKind::App(app) => format!("callgatectl {command} --app {}", quote(app)),
        ItemKind::Party(app, id) | ItemKind::Pair(app, id, _) => {
            // Without it, the tool takes such an id for a pattern.
            let exactly = if matches!(Pattern::from_stored(id), Pattern::Exact(_)) { "" } else { " --exactly" };
            format!("callgatectl {command} --app {} {}{exactly}", quote(app), quote(id))
        }
    }
}

/// The command that shows a rule, together with the other rules of its item.
pub(super) fn show_command(app: &str, from: &str, to: &str, door: Option<Door>) -> String {
    let app = app.to_owned();
    item_command(
        "show",
        &match door {
            Some(Door::App | Door::Destination) => ItemKind::App(app),
            Some(Door::Caller) => ItemKind::Party(app, from.to_owned()),
            Some(Door::Callee) | None => ItemKind::Party(app, to.to_owned()),
        },
    )
}

/// The command that revokes exactly the rule at this door (`None`: the pair item), even if no call can match it.
pub(crate) fn revoke_command(table: &str, app: &str, from: &str, to: &str, door: Option<Door>) -> String {
    match door {
        _ if is_usual_door(from, to, door) => rule_command("revoke --exactly", app, from, to),
        None => delete_item_command(table, &pair_key(app, from, to)),
        Some(door) => rule_command(&format!("revoke --exactly --door {}", door.as_str()), app, from, to),
    }
}

/// As [`revoke_command`], for a rule as it is stored.
pub(super) fn revoke_stored_command(table: &str, stored: &StoredRule) -> String {
    revoke_command(table, &stored.app, &stored.from, &stored.to, stored.door())
}

/// The command that writes a rule with all its conditions. Without them, it would allow or deny more than before.
pub(super) fn write_command(rule: &Rule, app: &str, from: &str, to: &str) -> String {
    let Rule { effect, media, hours, expires_at, disabled, list, note, updated_at: _, updated_by: _ } = rule;
    let mut words = vec![rule_command(effect.as_str(), app, from, to)];
    let mut add = |flag: &str, value: &str| words.extend([flag.to_owned(), quote(value)]);
    if let Some(media) = media {
        add("--media", &media.words().join(","));
    }
    for window in hours.iter().flat_map(Hours::windows) {
        add("--hours", &window.to_string());
    }
    if let Some(at) = expires_at {
        add("--until", &time::format(*at));
    }
    if let Some(list) = list {
        add("--list", list);
    }
    if let Some(note) = note {
        add("--note", note);
    }
    if *disabled {
        words.push("--disabled".to_owned());
    }
    // The tool refuses to write these otherwise.
    if [from, to].into_iter().any(|text| number_mistake(text).is_some()) {
        words.push("--exactly".to_owned());
    }
    words.join(" ")
}

pub(crate) fn rule_command(command: &str, app: &str, from: &str, to: &str) -> String {
    format!("callgatectl {command} --app {} --from {} --to {}", quote(app), quote(from), quote(to))
}

/// The command that deletes an item. Only the AWS CLI can do that.
pub(super) fn delete_item_command(table: &str, key: &Key) -> String {
    format!("aws dynamodb delete-item --table-name {} --key {}", quote(table), quote(&key_json(key)))
}

/// The command that removes an attribute of an item. Only the AWS CLI can do that.
pub(super) fn remove_attribute_command(table: &str, key: &Key, name: &str) -> String {
    format!(
        "aws dynamodb update-item --table-name {} --key {} --update-expression 'REMOVE #n' --condition-expression \
         'attribute_exists(#n)' --expression-attribute-names {}",
        quote(table),
        quote(&key_json(key)),
        quote(&json!({"#n": name}).to_string())
    )
}

/// The key of an item. Empty if it does not have one.
pub(super) fn key_of(item: &Attributes) -> Key {
    let (pk, sk) = keys(item).unwrap_or_default();
    Key { pk: pk.to_owned(), sk: sk.to_owned() }
}

fn key_json(Key { pk, sk }: &Key) -> String {
    json!({"pk": {"S": pk}, "sk": {"S": sk}}).to_string()
}
