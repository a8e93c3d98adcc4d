//! Questions to the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::bail;

use crate::output::print_note;

/// Prints what is about to happen, and on a terminal asks whether to do it. Without a terminal the answer is yes.
pub(crate) fn confirm(text: &str) -> anyhow::Result<bool> {
    print_note(text);
    if is_terminal() { ask() } else { Ok(true) }
}

/// Confirms a change of a rule before it is sent. `is_same_rule` says whether the stored rule is still the one of the last
/// attempt; it is `None` at the first attempt. A rule that another writer changed meanwhile is shown and must be confirmed
/// again, which neither `--yes` does nor the absence of a terminal.
///
/// # Errors
///
/// The change was not confirmed, so nothing was written.
pub(crate) fn confirm_change(
    question: &str,
    is_same_rule: Option<bool>,
    needs_answer: bool,
    yes: bool,
) -> anyhow::Result<()> {
    let is_confirmed = match is_same_rule {
        None => yes || !needs_answer || confirm(question)?,
        Some(true) => true,
        Some(false) => {
            print_note(format!("another writer changed this rule meanwhile\n{question}"));
            !yes && is_terminal() && ask()?
        }
    };
    if is_confirmed { Ok(()) } else { bail!("nothing was written") }
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
