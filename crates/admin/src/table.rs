//! The permission table: a connection to it, and the parsing of apps, parties and patterns as people type them.

use std::error::Error as StdError;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use callgate_core::{AppKey, PartyId, Pattern, PhoneRegion};

use crate::error::{Error, Result};
use crate::number_mistake::mistake;

pub mod app_search;
pub(crate) mod batch;
pub(crate) mod index;
pub(crate) mod items;
pub(crate) mod pages;
pub(crate) mod scan;
mod schema;
pub(crate) mod size;

pub use schema::{Creation, TableSummary};

/// A permission table.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
    phone_region: Option<PhoneRegion>,
    endpoint: Option<String>,
    on_scan: fn(String),
}

impl Table {
    /// A table by its name. Nothing is sent yet.
    ///
    /// `phone_region` must be the function's, because it decides how numbers are stored. `endpoint` is only named in errors.
    #[must_use]
    pub fn new(client: Client, name: &str, phone_region: Option<PhoneRegion>, endpoint: Option<&str>) -> Self {
        Self { client, name: name.to_owned(), phone_region, endpoint: endpoint.map(str::to_owned), on_scan: |_| {} }
    }

    /// Calls `on_scan` with the reason, before the whole table is scanned because its index cannot be used.
    #[must_use]
    pub fn on_scan(self, on_scan: fn(String)) -> Self {
        Self { on_scan, ..self }
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The DynamoDB client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The region whose dialling habits complete numbers.
    #[must_use]
    pub fn phone_region(&self) -> Option<PhoneRegion> {
        self.phone_region
    }

    /// Parses an app's key as a person typed it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is not a valid key.
    pub fn parse_app(&self, text: &str) -> Result<AppKey> {
        AppKey::new(text).map_err(|error| Error::InvalidInput(format!("the app `{text}` {error}")))
    }

    /// Parses a party, in any spelling.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is not a valid id.
    pub fn parse_party(&self, text: &str) -> Result<PartyId> {
        if text.trim().is_empty() {
            return Err(Error::InvalidInput("a party is empty; write `anonymous` for a withheld number".to_owned()));
        }
        PartyId::required(text, self.phone_region)
            .map_err(|error| Error::InvalidInput(format!("the party `{text}` {error}")))
    }

    /// Parses a pattern.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is not a valid pattern.
    pub fn parse_pattern(&self, text: &str) -> Result<Pattern> {
        if text.trim().is_empty() {
            return Err(Error::InvalidInput(
                "a pattern is empty; write `*` for everyone and `anonymous` for withheld callers".to_owned(),
            ));
        }
        Pattern::new(text, self.phone_region)
            .map_err(|error| Error::InvalidInput(format!("the pattern `{text}` {error}")))
    }

    /// Checks an id or a pattern that a person wrote, to store it: one that looks like a number and is none, or a prefix that
    /// no number has, is valid, but hardly meant.
    ///
    /// # Errors
    /// [`Error::ProbableMistake`], which names what is wrong.
    pub fn check_written(&self, text: &str) -> Result<()> {
        match mistake(text, self.phone_region) {
            Some(mistake) => Err(Error::ProbableMistake(format!("`{text}` {mistake}"))),
            None => Ok(()),
        }
    }

    /// The error of a request about this table.
    pub(crate) fn request_error<E>(&self, action: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        Error::request(action, error, &self.name, self.endpoint.as_deref())
    }
}
