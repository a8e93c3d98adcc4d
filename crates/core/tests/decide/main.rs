//! The permission model as tables (`model`), as properties (`properties`), and against a second implementation that
//! only tries to be obviously right (`oracle`).

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod model;
mod oracle;
mod properties;
mod random;
mod table;
