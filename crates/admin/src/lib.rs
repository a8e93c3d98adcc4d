//! Manages callgate's permissions: writes and revokes rules, imports and exports files of rules, and finds mistakes.
//!
//! A [`Table`] is the entry point. This crate does not print, prompt or parse arguments. It returns values, and one closed set
//! of errors, [`Error`]. The command-line tool is one user of it. The function never depends on it.

pub mod access;
pub mod action;
mod app_cache;
pub mod backup;
pub mod blocks;
mod check;
pub mod cursor;
pub mod decision_log;
pub mod doctor;
pub mod edit;
mod error;
pub mod exceptions;
pub mod export;
pub mod find;
pub mod forget;
pub mod groups;
pub mod history;
pub mod import;
mod item_edit;
pub mod item_kind;
mod mentions;
pub mod move_app;
pub mod move_party;
pub mod number_mistake;
pub mod party_page;
pub mod prefix_warning;
pub mod redundancy;
pub mod replay;
pub mod restore;
pub mod reversal;
pub mod rule_file;
pub mod rule_page;
pub mod rule_row;
pub mod rule_target;
pub mod rules;
pub mod show;
mod sorted_rules;
pub mod status;
pub mod stored_rule;
pub mod table;
pub mod time;
pub mod undo;
pub mod who;
pub mod wording;

pub use error::{Error, Result};
pub use rule_row::RuleRow;
pub use rule_target::{RuleLocation, RuleOwner, RuleTarget};
pub use rules::{Author, Revocation, RuleChange};
pub use stored_rule::StoredRule;
pub use table::Table;
