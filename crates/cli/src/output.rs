//! Output: results on standard output, everything else on standard error.
//!
//! Unlike `println!` and `eprintln!`, none of these functions panics if the pipe is closed.

use std::fmt::Display;
use std::io::{self, Write as _};

use anstyle::AnsiColor;
use clap::ValueEnum;

/// The audience of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// Prints a line of the result. Colours are left out when the output is not a terminal, or `NO_COLOR` is set.
pub(crate) fn print_line(line: impl Display) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{line}")
}

/// Prints a line for people on standard error.
pub(crate) fn print_note(line: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Prints why the command failed, in the format of the argument parser's errors.
pub(crate) fn print_error(why: impl Display) {
    let red = AnsiColor::Red.on_default().bold();
    print_note(format!("{red}error:{red:#} {why}"));
}
