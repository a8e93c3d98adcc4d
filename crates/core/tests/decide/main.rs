//! Tests of the permission model: tables of examples (`model`), properties (`properties`), and a comparison with a second,
//! naive implementation (`oracle`).

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic fails the test")]

mod model;
mod oracle;
mod properties;
mod random;
mod table;
