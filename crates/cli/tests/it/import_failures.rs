//! Imports that fail.
