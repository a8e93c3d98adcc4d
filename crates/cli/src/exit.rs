//! The exit codes of commands, and for a failure the error with a hint.

use std::error::Error as StdError;
use std::io;
use std::process::ExitCode;

use callgate_admin::Error;

use crate::output::print_error;

/// How to get credentials.
const SIGN_IN: &str = "give a profile with --profile or AWS_PROFILE, or sign in with `aws sso login` or `aws login`";

/// The result of a command that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, or the call is permitted.
    Done,
    /// The command failed; the error is already printed.
    Failed,
    /// The call is refused.
    Refused,
    /// Something needs attention.
    Findings,
}

impl Outcome {
    /// The exit code.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Refused => 3,
            Self::Findings => 4,
        })
    }
}

/// Wrong usage that the argument parser cannot detect. The exit code is 2, as for the parser's errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// A [`UsageError`] as commands return it.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

/// Prints why a command failed, with a hint on how to fix it, and returns the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    // A closed pipe needs no message: the reader, such as `head`, has read enough.
    let is_closed_pipe = |cause: &(dyn StdError + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(is_closed_pipe) {
        return ExitCode::FAILURE;
    }
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    let hint = cause.and_then(hint).map(|hint| format!("; {hint}")).unwrap_or_default();
    print_error(format!("{error:#}{hint}"));
    let is_usage =
        error.is::<UsageError>() || matches!(cause, Some(Error::InvalidInput(_) | Error::ProbableMistake(_)));
    if is_usage { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// How to fix the cause of an error.
pub(crate) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::ProbableMistake(_) => Some("add --exactly if it is meant".to_owned()),
        Error::TableNotFound(table) => Some(format!("create it with `callgatectl table create --table {table}`")),
        Error::WrongKeys(_) => Some("`callgatectl table describe` shows how they differ".to_owned()),
        Error::NoCredentials(_) => Some(SIGN_IN.to_owned()),
        Error::Request { code, message, .. } => match code.as_deref()? {
            "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidSignatureException" => {
                Some(SIGN_IN.to_owned())
            }
            "AccessDeniedException" => {
                Some("docs/src/operations/access.md lists the rights that each command needs".to_owned())
            }
            // The table's keys are not the ones in the request.
            "ValidationException" if message.contains("schema") => {
                Some("`callgatectl table describe` shows how the table differs".to_owned())
            }
            _ => None,
        },
        Error::InvalidInput(_) | Error::InvalidItem(_) | Error::Conflict(_) | Error::Local(_) | Error::Stopped(_) => {
            None
        }
    }
}
