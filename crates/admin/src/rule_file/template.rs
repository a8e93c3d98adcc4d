//! A rule with a gap for a number, in the words in which rules are printed: `block {}`, `deny * to {}`.

use callgate_core::{EpochSeconds, Hours};

use super::columns::Fields;
use crate::error::{Error, Result};
use crate::rule_row::BLOCK;
use crate::time;
use crate::wording::parse_media;

/// The gap.
const GAP: &str = "{}";

/// How templates look.
const EXAMPLES: &str = "write `block {}`, `deny * to {}` or `allow {} to PPP005`, where {} is the number on a line";

/// A rule for each number of a plain file: `allow {} to PPP005, audio only, Mon-Fri 09:00-18:00 UTC, until 2026-12-31 (note)`.
#[derive(Debug, Clone)]
pub struct Template {
    fields: Fields,
    is_from: bool,
}

impl Template {
    /// Parses a rule with `{}` in the place of a caller or a callee. Its conditions are those that rules are printed with.
    ///
    /// # Errors
    /// [`Error::InvalidInput`], which names what is wrong.
    pub fn parse(text: &str, now: EpochSeconds) -> Result<Self> {
        let invalid = |why: String| Error::InvalidInput(format!("the rule `{text}` {why}"));
        let (rule, note) = match text.trim().strip_suffix(')').and_then(|text| text.split_once(" (")) {
            Some((rule, note)) => (rule, note),
            None => (text.trim(), ""),
        };
        let mut parts = rule.split(", ");
        let words: Vec<_> = parts.next().unwrap_or_default().split_whitespace().collect();
        let (effect, from, to) = match *words.as_slice() {
            [BLOCK, from] => (BLOCK, from, "*"),
            [effect @ ("allow" | "deny"), from, "to", to] => (effect, from, to),
            [BLOCK] => return Err(invalid(format!("has no {{}}; {EXAMPLES}"))),
            [BLOCK, ..] => return Err(invalid("blocks more than one party; write `block {}`".to_owned())),
            _ => return Err(invalid(format!("cannot be read; {EXAMPLES}"))),
        };
        let is_from = match (from, to) {
            (GAP, GAP) => return Err(invalid("has two {}, and a line has one number".to_owned())),
            (GAP, _) => true,
            (_, GAP) => false,
            _ if from.contains(GAP) || to.contains(GAP) => {
                return Err(invalid("has {} inside another word; a prefix ends in `*` in the file itself".to_owned()));
            }
            _ => return Err(invalid(format!("has no {{}}; {EXAMPLES}"))),
        };
        let [effect, from, to, note] = [effect, from, to, note].map(str::to_owned);
        let mut fields = Fields { from, to, effect, note, ..Fields::default() };
        for condition in parts {
            fields
                .add(condition.trim(), now)
                .map_err(|why| invalid(format!("has a condition that is not valid: {why}")))?;
        }
        if fields.effect == BLOCK && !(fields.media.is_empty() && fields.hours.is_empty() && fields.disabled.is_empty())
        {
            let why = "has a condition that a block cannot have; a block has only a time, a list and a note";
            return Err(invalid(why.to_owned()));
        }
        Ok(Self { fields, is_from })
    }

    /// The values of the rule for a number.
    pub(super) fn fields(&self, number: &str) -> Fields {
        let mut fields = self.fields.clone();
        let field = if self.is_from { &mut fields.from } else { &mut fields.to };
        number.clone_into(field);
        fields
    }

    /// The column with the number.
    pub(super) fn column(&self) -> &'static str {
        if self.is_from { "from" } else { "to" }
    }
}

impl Fields {
    /// Adds a condition, as a rule is printed with it.
    fn add(&mut self, condition: &str, now: EpochSeconds) -> Result<(), String> {
        let (field, value) = if let Some(time) = condition.strip_prefix("until ") {
            let time = time::parse(time, now).map_err(|error| error.to_string())?;
            (&mut self.expires_at, time::format(time))
        } else if let Some(list) = condition.strip_prefix("list ") {
            (&mut self.list, list.to_owned())
        } else if condition == "disabled" {
            (&mut self.disabled, "true".to_owned())
        } else if let Some(media) = media_of(condition) {
            (&mut self.media, media)
        } else {
            Hours::parse(condition).map_err(|error| error.to_string())?;
            (&mut self.hours, condition.to_owned())
        };
        if !field.is_empty() {
            return Err(format!("`{condition}` is the second of its kind"));
        }
        *field = value;
        Ok(())
    }
}

/// The words of `audio only` and `audio and video`.
fn media_of(condition: &str) -> Option<String> {
    let words = condition.strip_suffix(" only").unwrap_or(condition).replace(" and ", " ");
    parse_media(&words).ok().map(|_| words)
}

#[cfg(test)]
mod tests {
    use callgate_core::Rule;

    use super::*;
    use crate::wording::rule_text;

    const NOW: EpochSeconds = 1_795_000_000;

    fn rule(template: &str, number: &str) -> (String, Rule) {
        let fields = Fields { app: "shop".to_owned(), ..Template::parse(template, NOW).unwrap().fields(number) };
        let rule = fields.rule(1, None, false).unwrap();
        (rule_text(&rule.target.from, &rule.target.to, &rule.rule), rule.rule)
    }

    #[test]
    fn a_template_is_a_rule_as_it_is_printed() {
        for printed in [
            "deny * to {}",
            "allow {} to PPP005",
            "deny {} to *",
            "allow {} to @sales",
            "allow {} to PPP005, audio only",
            "allow {} to PPP005, audio and video, disabled",
            "deny {} to *, Mon-Fri 09:00-18:00 Europe/Moscow; Sat,Sun 10:00-14:00 UTC, list spam, x",
            "deny {} to *, video only, Sat,Sun 10:00-14:00 UTC, disabled, list spam (a note (with brackets), and commas)",
        ] {
            let result = Template::parse(printed, NOW);
            if printed.ends_with(", x") {
                assert!(result.unwrap_err().to_string().contains("`x`"), "{printed}");
                continue;
            }
            assert_eq!(rule(printed, "+7 495 123").0, printed.replace("{}", "+7495123"));
        }
        assert_eq!(rule("block {}, until 2d (spam)", "5").1.expires_at, Some(NOW + 2 * 86_400));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (template, why) in [
            ("", "cannot be read; write `block {}`"),
            ("blok {}", "cannot be read"),
            ("allow {}", "cannot be read"),
            ("deny {} from a", "cannot be read"),
            ("block a", "has no {}"),
            ("allow a to b", "has no {}"),
            ("allow {} to {}", "has two {}"),
            ("allow {}* to b", "has {} inside another word"),
            ("block {} to *", "blocks more than one party"),
            ("block {}, audio only", "a block has only a time, a list and a note"),
            ("allow {} to b, until yesterday", "`yesterday`"),
            ("allow {} to b, disabled, disabled", "`disabled` is the second of its kind"),
            ("allow {} to b, Mon 09:00-18:00 Mars/X", "`Mars/X`"),
        ] {
            let error = Template::parse(template, NOW).unwrap_err().to_string();
            assert!(error.contains(why), "{template}: {error}");
        }
    }
}
