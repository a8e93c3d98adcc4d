//! Changes in words, and as values for programs.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::Attributes;
use serde::Serialize;

use super::{ChangedValue, Place};
use crate::backup::item_json::value_text;
use crate::groups::GROUPS;
use crate::item_kind::ItemKind;
use crate::rule_row::RuleRow;
use crate::rule_target::door_of_list;
use crate::stored_rule::{BLOCKED, rows_of, unusual_place};
use crate::wording::escape;

/// One changed value, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// What it is: a `rule`, a `block`, a `status`, a `note`, a `group`, or another `attribute`.
    pub kind: &'static str,
    /// What changed, in words, such as ``the status of party `PPP005` ``. Empty for a rule or a block, which names its parties.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Where the rule is stored, in words. Empty if it is the usual place.
    #[serde(skip)]
    pub place: String,
    /// The value before.
    pub before: Option<ValueView>,
    /// The value after.
    pub after: Option<ValueView>,
}

/// A value of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ValueView {
    /// A rule, or the block of a caller.
    Rule(Box<RuleRow>),
    /// Another value, in words.
    Text(String),
}

impl ValueView {
    /// The value on one line.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Rule(row) => row.short_text(),
            Self::Text(text) => escape(text),
        }
    }
}

impl ChangedValue {
    /// The changed values, one by one.
    #[must_use]
    pub fn descriptions(&self) -> Vec<Description> {
        self.parts().iter().map(Self::description).collect()
    }

    fn description(&self) -> Description {
        let item = || ItemKind::of(&self.key.attributes()).map(|kind| kind.to_string()).unwrap_or_default();
        let of = |kind, subject: String, view: fn(&AttributeValue) -> String| {
            let view = |value: &Option<AttributeValue>| value.as_ref().map(|value| ValueView::Text(view(value)));
            Description { kind, subject, place: String::new(), before: view(&self.before), after: view(&self.after) }
        };
        match &self.place {
            Place::Item => self.rule("rule", None),
            Place::Entry(list, _) => self.rule("rule", Some(list)),
            Place::Attribute(name) if name == BLOCKED => self.rule("block", None),
            Place::Attribute(name) if name == "status" => of("status", format!("the status of {}", item()), plain),
            Place::Attribute(name) if name == "note" => of("note", format!("the note of {}", item()), plain),
            Place::Attribute(name) => of("attribute", format!("`{}` of {}", escape(name), item()), value_text),
            Place::Member(set, name) if set == GROUPS => {
                of("group", format!("group @{} of {}", escape(name), item()), |_| "member".to_owned())
            }
            Place::Member(set, name) => {
                of("attribute", format!("`{}` in `{}` of {}", escape(name), escape(set), item()), |_| {
                    "member".to_owned()
                })
            }
        }
    }

    /// A rule or a block, before and after.
    fn rule(&self, kind: &'static str, list: Option<&str>) -> Description {
        let view = |value: &Option<AttributeValue>| {
            let value = value.as_ref()?;
            let item = self.item_with(value)?;
            Some(match rows_of(&item).into_iter().next() {
                Some(stored) => ValueView::Rule(Box::new(stored.row)),
                None => ValueView::Text(value_text(value)),
            })
        };
        let (before, after) = (view(&self.before), view(&self.after));
        let place = match [&after, &before].into_iter().flatten().next() {
            Some(ValueView::Rule(row)) if !row.is_block() => unusual_place(&row.from, &row.to, list.map(door_of_list)),
            _ => String::new(),
        };
        Description { kind, subject: String::new(), place, before, after }
    }

    /// An item that has only this value.
    fn item_with(&self, value: &AttributeValue) -> Option<Attributes> {
        let mut item = self.key.attributes();
        match &self.place {
            Place::Item => item.extend(value.as_m().ok()?.clone()),
            Place::Attribute(name) => _ = item.insert(name.clone(), value.clone()),
            Place::Entry(list, entry) => {
                let entries = [(entry.clone(), value.clone())].into();
                item.insert(list.clone(), AttributeValue::M(entries));
            }
            Place::Member(set, member) => _ = item.insert(set.clone(), AttributeValue::Ss(vec![member.clone()])),
        }
        Some(item)
    }
}

fn plain(value: &AttributeValue) -> String {
    value.as_s().map_or_else(|_| value_text(value), Clone::clone)
}
