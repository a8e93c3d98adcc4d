//! The subcommands: one file for each, with its name. Each file has the arguments and a `run` function.

pub(crate) mod allow;
pub(crate) mod backup;
pub(crate) mod block;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod deny;
pub(crate) mod disable;
pub(crate) mod doctor;
pub(crate) mod enable;
pub(crate) mod export;
pub(crate) mod find;
pub(crate) mod forget;
pub(crate) mod group;
pub(crate) mod import;
pub(crate) mod man;
pub(crate) mod r#move;
pub(crate) mod restore;
pub(crate) mod resume;
pub(crate) mod revoke;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod suspend;
pub(crate) mod table;
pub(crate) mod unblock;
pub(crate) mod wcs_simulator;
pub(crate) mod who;
