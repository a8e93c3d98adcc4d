//! The errors of this library.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use callgate::store::client;

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. Each variant is a case that callers treat differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that a person entered is not valid. Nothing was read or written.
    #[error("{0}")]
    InvalidInput(String),
    /// A value that a person entered is valid, but hardly meant. Nothing was read or written.
    #[error("{0}")]
    ProbableMistake(String),
    /// The table does not exist.
    #[error("there is no table `{0}`")]
    TableNotFound(String),
    /// The table exists, but its keys are not callgate's.
    #[error("table `{0}` has other keys than callgate's")]
    WrongKeys(String),
    /// There are no AWS credentials, or they could not be used.
    #[error("there are no AWS credentials: {0}")]
    NoCredentials(String),
    /// DynamoDB refused a request, or could not be reached.
    #[error("{action}: {message}")]
    Request {
        /// What failed, such as `cannot read the table`.
        action: String,
        /// DynamoDB's error code, if it answered with one (Amazon DynamoDB Developer Guide, "Error handling").
        code: Option<String>,
        /// DynamoDB's message, or the causes of the failure.
        message: String,
    },
    /// The stored item does not allow the change. Nothing was written.
    #[error("{0}")]
    InvalidItem(String),
    /// Other writers kept changing the same data. Nothing more was written.
    #[error("{0}")]
    Conflict(String),
    /// A local file could not be read or written.
    #[error("{0}")]
    Local(String),
    /// The operation was stopped by its caller.
    #[error("{0}")]
    Stopped(String),
}

/// Part of DynamoDB's message about an item that is too big ("Item size has exceeded the maximum allowed size", "Item size
/// to update has exceeded the maximum allowed size").
const TOO_BIG: &str = "exceeded the maximum allowed size";

impl Error {
    /// Whether a write may have succeeded all the same, because no answer came.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Request { code: None, .. })
    }

    /// An error of the AWS SDK, for a request to this table at this endpoint (`None` means the region's own).
    pub(crate) fn request<E>(
        action: impl Into<String>,
        error: &SdkError<E, HttpResponse>,
        table: &str,
        endpoint: Option<&str>,
    ) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        if let Some(why) = missing_credentials(error) {
            return Self::NoCredentials(why);
        }
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
        if code.as_deref() == Some("ResourceNotFoundException") {
            return Self::TableNotFound(table.to_owned());
        }
        let text = client::describe(error);
        if code.as_deref() == Some("ValidationException") && text.contains(TOO_BIG) {
            let message = "the item would be larger than the 400 KB that DynamoDB allows; remove rules from it, or write \
                           fewer with shorter prefixes or notes";
            return Self::Request { action: action.into(), code, message: message.to_owned() };
        }
        let message = match (&code, endpoint, error.raw_response()) {
            (None, Some(url), Some(response)) => {
                format!("{url} does not answer like DynamoDB: status {}", response.status())
            }
            // The error of a request that got no response does not name the address.
            (None, Some(url), None) => format!("{url} cannot be reached: {text}"),
            _ => text,
        };
        Self::Request { action: action.into(), code, message }
    }
}

/// Why there are no credentials, if the request failed for that reason. The innermost cause is the most exact one.
pub(crate) fn missing_credentials(error: &(dyn StdError + 'static)) -> Option<String> {
    let causes = || std::iter::successors(Some(error), |&error| error.source());
    if !causes().any(<dyn StdError>::is::<CredentialsError>) {
        return None;
    }
    let why = causes().last().map(ToString::to_string)?;
    // When none were found, the message lists every place that was searched.
    Some(if why.contains('\n') { "none were found".to_owned() } else { why })
}
