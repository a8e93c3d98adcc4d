//! The shell commands that fix findings.

use callgate::store::item::{Attributes, Key};
use callgate_core::{Hours, Rule};
use serde_json::json;

use crate::item_kind::{ItemKind, keys};
use crate::time;
use crate::wording::media_words;

/// The command that applies every fix that is always safe.
pub(super) const APPLY_FIXES: &str = "callgatectl doctor --fix";

/// `callgatectl COMMAND` for an app or a party.
pub(super) fn item_command(command: &str, kind: &ItemKind) -> String {
    match kind {
        ItemKind::App(app) => format!("callgatectl {command} --app {}", quote(app)),
        ItemKind::Party(app, id) | ItemKind::Pair(app, id, _) => {
            format!("callgatectl {command} --app {} {}", quote(app), quote(id))
        }
    }
}

/// The command that revokes a rule by its parties.
pub(super) fn revoke_command(app: &str, from: &str, to: &str) -> String {
    rule_command("revoke", app, from, to)
}

/// The command that revokes a rule by its parties exactly as they are stored, even if no call can match them.
pub(super) fn revoke_exactly_command(app: &str, from: &str, to: &str) -> String {
    rule_command("revoke --exactly", app, from, to)
}

/// The command that writes a rule with all its conditions. Without them, it would allow or deny more than before.
pub(super) fn write_command(rule: &Rule, app: &str, from: &str, to: &str) -> String {
    let Rule { effect, media, hours, expires_at, note, updated_at: _, updated_by: _ } = rule;
    let mut words = vec![rule_command(effect.as_str(), app, from, to)];
    let mut add = |flag: &str, value: &str| words.extend([flag.to_owned(), quote(value)]);
    if let Some(media) = media {
        add("--media", &media_words(*media).join(","));
    }
    for window in hours.iter().flat_map(Hours::windows) {
        add("--hours", &window.to_string());
    }
    if let Some(at) = expires_at {
        add("--until", &time::format(*at));
    }
    if let Some(note) = note {
        add("--note", note);
    }
    words.join(" ")
}

fn rule_command(command: &str, app: &str, from: &str, to: &str) -> String {
    format!("callgatectl {command} --app {} --from {} --to {}", quote(app), quote(from), quote(to))
}

/// The command that deletes an item. Only the AWS CLI can do that.
pub(super) fn delete_item_command(table: &str, item: &Attributes) -> String {
    format!("aws dynamodb delete-item --table-name {} --key {}", quote(table), quote(&key_json(item)))
}

/// The command that removes an attribute of an item. Only the AWS CLI can do that.
pub(super) fn remove_attribute_command(table: &str, item: &Attributes, name: &str) -> String {
    format!(
        "aws dynamodb update-item --table-name {} --key {} --update-expression 'REMOVE #n' --expression-attribute-names {}",
        quote(table),
        quote(&key_json(item)),
        quote(&json!({"#n": name}).to_string())
    )
}

/// The key of an item. Empty if it does not have one.
pub(super) fn key_of(item: &Attributes) -> Key {
    let (pk, sk) = keys(item).unwrap_or_default();
    Key { pk: pk.to_owned(), sk: sk.to_owned() }
}

fn key_json(item: &Attributes) -> String {
    let Key { pk, sk } = key_of(item);
    json!({"pk": {"S": pk}, "sk": {"S": sk}}).to_string()
}

/// Quotes a text as one word of a shell command.
fn quote(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.,:/@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
