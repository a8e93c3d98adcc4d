//! Several changes at once, each of which is written or not, with a message for each.

use callgate_admin::action::Action;
use callgate_admin::wording::count;

use super::Console;
use super::undo::Message;

/// A change that was asked for.
pub(super) struct Wanted {
    /// What it is about, in words.
    pub(super) name: String,
    /// What to write in this order, each with what the page showed as stored. Or why it cannot be written.
    pub(super) actions: Result<Vec<(Action, Option<String>)>, String>,
}

impl Console {
    /// Performs changes one after the other. Of one that fails, nothing more is written. The message has what was written, and what
    /// was not and why. `what` is the noun for one of them, and `advice` is for none.
    pub(super) async fn perform_each(&self, wanted: Vec<Wanted>, what: &str, advice: &str) -> Message {
        if wanted.is_empty() {
            return Message { text: advice.to_owned(), is_problem: true, ..Message::default() };
        }
        let mut message = Message::default();
        let (mut written, mut done, mut failed) = (0, Vec::new(), Vec::new());
        for Wanted { name, actions } in wanted {
            let mut why = actions.as_ref().err().cloned();
            for (action, seen) in actions.unwrap_or_default() {
                match self.perform(&action, seen.as_deref()).await {
                    Ok(performed) => {
                        done.push(performed.what());
                        done.extend(performed.notices.iter().map(|notice| format!("notice: {notice}")));
                        written += u64::from(performed.is_written);
                        message.changes.extend(performed.change);
                    }
                    Err(error) => {
                        why = Some(error.to_string());
                        break;
                    }
                }
            }
            failed.extend(why.map(|why| format!("not written: {name}: {why}")));
        }
        message.is_problem = !failed.is_empty();
        message.text = match (written, failed.is_empty()) {
            (0, _) => "Nothing was written.".to_owned(),
            (_, true) => format!("Written: {}.", count(written, what)),
            (_, false) => {
                format!("Written: {}. Not written: {}.", count(written, what), count(failed.len() as u64, what))
            }
        };
        message.details = failed.into_iter().chain(done).collect();
        message
    }
}
