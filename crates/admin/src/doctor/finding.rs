//! What is found: where, why it matters, and the command that mends it.

use callgate::store::item::{Attributes, Key};
use callgate_core::{Hours, Rule};
use serde::Serialize;
use serde_json::json;

use crate::items::{ItemKind, keys};
use crate::moment;
use crate::statement::media_words;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    pub(super) app: String,
    /// The rule or the item.
    pub(super) r#where: String,
    /// One stable word.
    pub(super) kind: &'static str,
    pub(super) what: String,
    pub(super) why: String,
    /// The command that mends it.
    pub(super) mend: Option<String>,
    /// `--fix` mends it.
    pub(super) fixable: bool,
}

impl Finding {
    pub(super) fn new(
        kind: &'static str,
        place: &Place,
        what: impl Into<String>,
        why: impl Into<String>,
        mend: Option<String>,
    ) -> Self {
        let Place { app, name } = place.clone();
        Self { app, r#where: name, kind, what: what.into(), why: why.into(), mend, fixable: false }
    }

    pub(super) fn title(&self) -> String {
        format!("{}: {}", self.kind, self.r#where)
    }
}

/// Where something stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) app: String,
    pub(super) name: String,
}

impl Place {
    pub(super) fn item(named: &ItemKind) -> Self {
        match named {
            ItemKind::App(app) => Self { app: app.clone(), name: format!("app `{app}`") },
            ItemKind::Party(app, id) => Self::party(app, id),
            ItemKind::Pair(app, callee, caller) => Self::rule(app, caller, callee),
        }
    }

    pub(super) fn party(app: &str, id: &str) -> Self {
        Self { app: app.to_owned(), name: format!("party `{id}` of app `{app}`") }
    }

    pub(super) fn rule(app: &str, from: &str, to: &str) -> Self {
        Self { app: app.to_owned(), name: format!("rule from `{from}` to `{to}` of app `{app}`") }
    }
}

/// `callgatectl COMMAND` for an app or a party.
pub(super) fn item_command(command: &str, named: &ItemKind) -> String {
    match named {
        ItemKind::App(app) => format!("callgatectl {command} --app {}", quote(app)),
        ItemKind::Party(app, id) | ItemKind::Pair(app, id, _) => {
            format!("callgatectl {command} --app {} {}", quote(app), quote(id))
        }
    }
}

/// `callgatectl COMMAND` for a rule.
pub(super) fn rule_command(command: &str, app: &str, from: &str, to: &str) -> String {
    format!("callgatectl {command} --app {} --from {} --to {}", quote(app), quote(from), quote(to))
}

/// The command that says a rule, its conditions included: without them it would open more than it did.
pub(super) fn say_command(rule: &Rule, app: &str, from: &str, to: &str) -> String {
    let mut words = vec![rule_command(rule.effect.as_str(), app, from, to)];
    let mut add = |flag: &str, value: &str| words.extend([flag.to_owned(), quote(value)]);
    if let Some(media) = rule.media {
        add("--media", &media_words(media).join(","));
    }
    for window in rule.hours.iter().flat_map(Hours::windows) {
        add("--hours", &window.to_string());
    }
    if let Some(at) = rule.expires_at {
        add("--until", &moment::format(at));
    }
    if let Some(note) = &rule.note {
        add("--note", note);
    }
    words.join(" ")
}

/// What only DynamoDB's own tool can do: delete an item.
pub(super) fn delete_command(table: &str, item: &Attributes) -> String {
    format!("aws dynamodb delete-item --table-name {} --key {}", quote(table), quote(&key_json(item)))
}

/// What only DynamoDB's own tool can do: remove an attribute.
pub(super) fn remove_attribute_command(table: &str, item: &Attributes, name: &str) -> String {
    format!(
        "aws dynamodb update-item --table-name {} --key {} --update-expression 'REMOVE #n' --expression-attribute-names {}",
        quote(table),
        quote(&key_json(item)),
        quote(&json!({"#n": name}).to_string())
    )
}

/// The key of an item that has one.
pub(super) fn key_of(item: &Attributes) -> Key {
    let (pk, sk) = keys(item).unwrap_or_default();
    Key { pk: pk.to_owned(), sk: sk.to_owned() }
}

fn key_json(item: &Attributes) -> String {
    let Key { pk, sk } = key_of(item);
    json!({"pk": {"S": pk}, "sk": {"S": sk}}).to_string()
}

/// As a shell takes it as one word.
fn quote(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.,:/@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
