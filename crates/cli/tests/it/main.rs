//! The built `callgatectl`, as operators run it: every command, over HTTP against a DynamoDB-compatible server.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic fails the test")]

mod access;
mod backup;
mod bad_input;
#[cfg(unix)]
mod blocks;
mod browser;
mod busy_dynamodb;
mod calls;
mod changed_meanwhile;
mod check;
mod concurrent_writes;
mod console;
#[cfg(unix)]
mod control_characters;
mod credentials;
mod doctor;
#[cfg(unix)]
mod editing;
mod empty_items;
mod exceptions;
mod expired_party;
mod find;
mod formulas;
mod groups;
mod history;
mod import_beside_hook;
mod import_export;
mod import_failures;
mod import_safety;
mod index;
mod json_reference;
mod lists;
mod load;
mod local_time;
mod million;
mod moments;
mod moving;
mod one_party;
mod paging;
mod plain_files;
mod policy;
mod proxy;
mod random;
#[cfg(unix)]
mod random_operations;
mod random_tables;
mod reference;
mod replay;
mod reversal;
mod rules;
mod serve;
mod serve_backend;
mod serve_store;
mod spellings;
mod support;
mod table;
#[cfg(unix)]
mod terminal;
mod undo;
mod unknown_app;
mod walkthrough;
mod wcs_simulator;
mod who;
