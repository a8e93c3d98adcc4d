//! Output: results on standard output, everything else on standard error.
//!
//! Unlike `println!` and `eprintln!`, none of these functions panics if the pipe is closed.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};

use anstyle::{AnsiColor, Style};
use callgate_admin::wording::{escape, escape_lines};
use clap::ValueEnum;

/// The audience of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// Text to print. Characters that a terminal obeys or does not show are escaped, wherever the text comes from.
pub(crate) struct Line(String);

impl<T: Display> From<T> for Line {
    fn from(text: T) -> Self {
        Self(escape_lines(&text.to_string()))
    }
}

impl Line {
    /// Text with a style.
    pub(crate) fn styled(style: Style, text: impl Into<Self>) -> Self {
        let Self(text) = text.into();
        Self(format!("{style}{text}{style:#}"))
    }

    /// Adds text.
    pub(crate) fn then(mut self, text: impl Into<Self>) -> Self {
        self.0.push_str(&text.into().0);
        self
    }
}

/// Prints a line of the result. Colours are left out when the output is not a terminal, or `NO_COLOR` is set.
pub(crate) fn print_line(line: impl Into<Line>) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{}", line.into().0)
}

/// Standard output for many lines of a result. A terminal gets each line at once.
pub(crate) struct LineOutput {
    out: BufWriter<anstream::AutoStream<io::Stdout>>,
    is_terminal: bool,
}

impl LineOutput {
    pub(crate) fn new() -> Self {
        Self { out: BufWriter::new(anstream::stdout()), is_terminal: io::stdout().is_terminal() }
    }

    /// Prints a line, as [`print_line`] does.
    pub(crate) fn print(&mut self, line: impl Into<Line>) -> io::Result<()> {
        writeln!(self.out, "{}", line.into().0)?;
        if self.is_terminal { self.out.flush() } else { Ok(()) }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Prints a line for people on standard error.
pub(crate) fn print_note(line: impl Into<Line>) {
    let _ = writeln!(anstream::stderr().lock(), "{}", line.into().0);
}

/// Prints on one line why the command failed, in the format of the argument parser's errors.
pub(crate) fn print_error(why: impl Display) {
    let red = AnsiColor::Red.on_default().bold();
    print_note(Line::styled(red, "error:").then(format!(" {}", escape(&why.to_string()))));
}

/// Standard output for a file of text. A terminal shows it line by line, escaped as [`Line`] is.
pub(crate) fn file_output() -> Box<dyn Write> {
    let stdout = io::stdout().lock();
    if stdout.is_terminal() {
        Box::new(EscapedLines { stdout, line: Vec::new() })
    } else {
        Box::new(BufWriter::new(stdout))
    }
}

struct EscapedLines {
    stdout: StdoutLock<'static>,
    /// The beginning of a line.
    line: Vec<u8>,
}

impl Write for EscapedLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|&byte| byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let lines = std::mem::replace(&mut self.line, rest);
            self.print(&lines)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.line);
        self.print(&rest)?;
        self.stdout.flush()
    }
}

impl EscapedLines {
    fn print(&mut self, text: &[u8]) -> io::Result<()> {
        self.stdout.write_all(escape_lines(&String::from_utf8_lossy(text)).as_bytes())
    }
}
