//! Questions to the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::output::print_note;

/// Prints what is about to happen, and on a terminal asks whether to do it. Without a terminal the answer is yes.
pub(crate) fn confirm(text: &str) -> anyhow::Result<bool> {
    print_note(text);
    let mut screen = std::io::stderr();
    if !std::io::stdin().is_terminal() || !screen.is_terminal() {
        return Ok(true);
    }
    write!(screen, "Do it? [y/N] ")?;
    screen.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
