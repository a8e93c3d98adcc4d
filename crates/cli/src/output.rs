//! What a command says: on standard output what was asked for, on standard error what people should know besides.
//! Neither panics when nobody listens any more, as `println!` and `eprintln!` do.

use std::fmt::Display;
use std::io::{self, Write as _};

use anstyle::AnsiColor;

/// A line of what was asked for. Colour is left out where no terminal shows it or `NO_COLOR` is set.
pub(crate) fn print_line(line: impl Display) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{line}")
}

/// A line for people, who may also not look.
pub(crate) fn print_note(line: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Why the command fails, marked as the parser of the options marks what it refuses.
pub(crate) fn print_error(why: impl Display) {
    let red = AnsiColor::Red.on_default().bold();
    print_note(format!("{red}error:{red:#} {why}"));
}

/// `1 rule`, `2 rules`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Foreign text on one line, and without what a terminal would obey.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    })
}
