//! Questions to the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::output::print_note;

/// Prints what is about to happen, and on a terminal asks whether to do it. Without a terminal the answer is yes.
pub(crate) fn confirm(text: &str) -> anyhow::Result<bool> {
    print_note(text);
    if is_terminal() { ask() } else { Ok(true) }
}

/// Prints that something changed after it was confirmed, and asks again. With `--yes` or without a terminal, the answer is no.
pub(crate) fn confirm_again(text: &str, yes: bool) -> anyhow::Result<bool> {
    print_note(text);
    if yes || !is_terminal() { Ok(false) } else { ask() }
}

fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn ask() -> anyhow::Result<bool> {
    let mut screen = std::io::stderr();
    write!(screen, "Do it? [y/N] ")?;
    screen.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
