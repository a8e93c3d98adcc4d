//! Exports the rules of the table, sorted.

use std::fmt;

use callgate_core::{AppKey, Rule};

use crate::error::{Error, Result};
use crate::item_kind::keys;
use crate::rule_row::RuleRow;
use crate::sorted_rules::{Insertion, SortedRule, SortedRules};
use crate::stored_rule::{StoredRule, rules_of};
use crate::table::Table;
use crate::time;
use crate::wording::escape;

/// The rules of the table, sorted by app, caller and callee. They are in a temporary file.
#[derive(Debug)]
pub struct Export {
    rules: SortedRules,
    left_out: Vec<LeftOut>,
}

/// An item or a rule that cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// An item whose key is not one of callgate's.
    UnknownItem {
        /// The partition key. Empty when it is not text.
        pk: String,
        /// The sort key. Empty when it is not text.
        sk: String,
    },
    /// A rule that a file cannot represent.
    Rule {
        /// The app's key.
        app: String,
        /// The callers' pattern.
        from: String,
        /// The callees' pattern.
        to: String,
        /// Why the rule is left out.
        reason: String,
    },
}

/// The item or the rule and why it is left out, on one line.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownItem { pk, sk } => write!(f, "{:?}: its key is not one of callgate's", (pk, sk)),
            Self::Rule { app, from, to, reason } => {
                write!(f, "{} to {} in app {}: {}", escape(from), escape(to), escape(app), escape(reason))
            }
        }
    }
}

impl Table {
    /// Reads all rules, or those of some apps, with several scans at once.
    ///
    /// # Errors
    /// Why the table cannot be read, or [`Error::Local`] when the temporary file cannot be written.
    pub async fn export(&self, apps: &[AppKey], segments: u16) -> Result<Export> {
        let mut export = Export { rules: SortedRules::new()?, left_out: Vec::new() };
        let mut pages = self.scan(segments);
        while let Some(page) = pages.recv().await {
            for item in page? {
                let Some(rules) = rules_of(&item) else {
                    let (pk, sk) = keys(&item).unwrap_or_default();
                    export.left_out.push(LeftOut::UnknownItem { pk: pk.to_owned(), sk: sk.to_owned() });
                    continue;
                };
                for stored in rules {
                    if apps.is_empty() || apps.iter().any(|app| app.as_str() == stored.app) {
                        export.add(stored)?;
                    }
                }
            }
        }
        export.left_out.sort();
        Ok(export)
    }
}

impl Export {
    /// Calls `take` with every rule. Stops at its first error.
    ///
    /// # Errors
    /// The error of `take`, or [`Error::Local`] when the temporary file cannot be read.
    pub fn for_each<E: From<Error>>(&self, mut take: impl FnMut(RuleRow) -> Result<(), E>) -> Result<(), E> {
        self.rules.for_each(|SortedRule { row, .. }| take(row))
    }

    /// The items and rules that are left out, sorted.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    fn add(&mut self, stored: StoredRule) -> Result<()> {
        let StoredRule { app, from, to, list: _, entry: _, rule } = stored;
        let reason = match rule.map_err(|error| error.to_string()).and_then(representable) {
            Ok(rule) => {
                let key = [app.as_str(), from.as_str(), to.as_str(), ""];
                match self.rules.insert(key, &RuleRow::of(&app, &from, &to, &rule), 0)? {
                    Insertion::New | Insertion::Duplicate => return Ok(()),
                    Insertion::Conflict(_) => {
                        "is stored both in a list and as a pair item, and the two differ".to_owned()
                    }
                }
            }
            Err(reason) => reason,
        };
        self.left_out.push(LeftOut::Rule { app, from, to, reason });
        Ok(())
    }
}

/// Checks that a file can represent the rule: an import of the file must not change it.
fn representable(rule: Rule) -> Result<Rule, String> {
    let Rule { expires_at, effect: _, media: _, hours: _, note: _, updated_at: _, updated_by: _ } = &rule;
    match *expires_at {
        Some(at) if time::parse_absolute(&time::format(at)) != Some(at) => {
            Err(format!("its `expires_at` is {at}, not seconds since 1970"))
        }
        _ => Ok(rule),
    }
}
