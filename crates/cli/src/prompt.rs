//! Questions to the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::bail;
use callgate_admin::Table;
use callgate_admin::table::app_search::AppSearch;
use callgate_core::AppKey;

use crate::output::print_note;

/// Prints what is about to happen, and on a terminal asks whether to do it. Without a terminal the answer is yes.
pub(crate) fn confirm(text: &str) -> anyhow::Result<bool> {
    print_note(text);
    if is_terminal() { ask() } else { Ok(true) }
}

/// Prints what is about to be lost, and on a terminal asks whether to do it. Without a terminal, only `--yes` confirms.
pub(crate) fn confirm_loss(text: &str) -> anyhow::Result<bool> {
    print_note(text);
    if is_terminal() { ask() } else { bail!("nothing was written; confirm with --yes") }
}

/// Asks before a rule is changed. `is_same_rule` is `None` at the first attempt, and later whether the stored rule is the same
/// as at the last attempt. If another writer has changed the rule, only an answer on the terminal confirms the change: `--yes`
/// does not.
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

/// Asks before something is written for an app that has nothing stored although others do: its name may be mistyped.
///
/// # Errors
///
/// It was not confirmed, so nothing was written.
pub(crate) async fn confirm_app(table: &Table, app: &AppKey, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let AppSearch::Unknown(similar) = table.search_app(app).await? else { return Ok(()) };
    let similar: Vec<_> = similar.iter().map(|it| format!("`{it}`")).collect();
    let similar = if similar.is_empty() { String::new() } else { format!("; similar: {}", similar.join(", ")) };
    if confirm(&format!("app `{app}` has nothing stored{similar}"))? { Ok(()) } else { bail!("nothing was written") }
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
