//! Several changes at once, each of which is written or not, with a message for each.

use callgate_admin::action::Action;
use callgate_admin::wording::count;

use super::Console;
use super::undo::Message;
use super::write::Performed;

/// A change that was asked for.
pub(super) struct Wanted {
    /// What it is about, in words.
    pub(super) name: String,
    /// What to write, with what the page showed as stored. Or why it cannot be written.
    pub(super) action: Result<(Action, Option<String>), String>,
}

impl Console {
    /// Performs changes one after the other. The message has what was written, and what was not and why. `what` is the noun for one
    /// of them, and `advice` is for none.
    pub(super) async fn perform_each(&self, wanted: Vec<Wanted>, what: &str, advice: &str) -> Message {
        if wanted.is_empty() {
            return Message { text: advice.to_owned(), is_problem: true, ..Message::default() };
        }
        let mut message = Message::default();
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for Wanted { name, action } in wanted {
            let result = match action {
                Ok((action, seen)) => self.perform(&action, seen.as_deref()).await.map_err(|error| error.to_string()),
                Err(why) => Err(why),
            };
            match result {
                Ok(Performed { text, notices, change }) => {
                    let already = if change.is_some() { "" } else { " (it was so already)" };
                    done.push(format!("{text}{already}"));
                    done.extend(notices.iter().map(|notice| format!("notice: {notice}")));
                    message.changes.extend(change);
                }
                Err(why) => failed.push(format!("not written: {name}: {why}")),
            }
        }
        let written = count(message.changes.len() as u64, what);
        message.is_problem = !failed.is_empty();
        message.text = match (message.changes.is_empty(), failed.is_empty()) {
            (true, _) => "Nothing was written.".to_owned(),
            (false, true) => format!("Written: {written}."),
            (false, false) => format!("Written: {written}. Not written: {}.", count(failed.len() as u64, what)),
        };
        message.details = failed.into_iter().chain(done).collect();
        message
    }
}
