//! How a command ends: what it found out, or why it could not.

use std::process::ExitCode;

/// A command that did what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, or permitted.
    Done,
    /// What should be done could not be, and has been said.
    Failed,
    /// The call is refused.
    Refused,
    /// There is something to mend.
    Findings,
}

impl Outcome {
    /// The contract's exit code.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Refused => 3,
            Self::Findings => 4,
        })
    }
}

/// The command line says something that cannot be: exit code 2, as for what the parser of the options refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// A `Usage` in the type commands return.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}
