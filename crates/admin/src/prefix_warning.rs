//! Warnings about prefixes of numbers as they are dialled, which the region stores in another form.

use std::collections::BTreeMap;

use callgate_core::{PartyId, Pattern, PhoneRegion};

use crate::rule_target::RuleTarget;

/// The lengths that numbers have, in digits.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=15;

/// A prefix with fewer digits may be meant for extensions.
const MIN_DIGITS: usize = 4;

/// A prefix of numbers as they are dialled, which the region stores in another form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixWarning {
    /// The prefix as it was written.
    pub prefix: String,
    /// The prefix of those numbers as they are stored.
    pub replacement: String,
    /// Whether numbers that are too short for this region keep the prefix.
    has_short_numbers: bool,
}

impl PrefixWarning {
    /// Checks a pattern. `None` when numbers in this region keep its prefix.
    #[must_use]
    pub fn for_pattern(pattern: &Pattern, region: Option<PhoneRegion>) -> Option<Self> {
        let Pattern::Prefix(prefix) = pattern else { return None };
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let region = region?;
        let mut replacements: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let mut has_short_numbers = prefix.len() < *LENGTHS.start();
        for length in LENGTHS.filter_map(|length| length.checked_sub(prefix.len())) {
            for digit in b'0'..=b'9' {
                let rest = char::from(digit).to_string().repeat(length);
                let number = format!("{prefix}{rest}");
                let Ok(id) = PartyId::new(&number, Some(region)) else { continue };
                match id.as_str().strip_suffix(rest.as_str()) {
                    Some(stored) if stored.starts_with('+') => {
                        let (valid, possible) = replacements.entry(stored.to_owned()).or_default();
                        *valid += usize::from(region.is_valid(&number));
                        *possible += 1;
                    }
                    _ => has_short_numbers = true,
                }
            }
        }
        // How long the numbers are is not known. Most of the valid ones decide, or else most of all.
        let (replacement, _) = replacements.into_iter().max_by_key(|(_, count)| *count)?;
        Some(Self { prefix: prefix.clone(), replacement, has_short_numbers })
    }

    /// Checks both patterns of a rule. Returns the side (`from` or `to`) and the warning in words.
    #[must_use]
    pub fn for_target(target: &RuleTarget, region: Option<PhoneRegion>) -> Option<(&'static str, String)> {
        let side = |name, pattern| Some((name, Self::for_pattern(pattern, region)?));
        let (side, warning) = side("from", &target.from).or_else(|| side("to", &target.to))?;
        Some((side, warning.text()))
    }

    /// What is wrong with the prefix, and what to write instead.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { prefix, replacement, has_short_numbers: _ } = self;
        let consequence = self.consequence();
        format!(
            "numbers that are dialled as {prefix}… start with {replacement}… in this region: {consequence}; write \
             `{replacement}*` for those numbers"
        )
    }

    /// Whether the prefix is so long that no extension is meant.
    #[must_use]
    pub fn is_mistake(&self) -> bool {
        self.prefix.len() >= MIN_DIGITS
    }

    /// Whether no number at all can match the prefix. Otherwise extensions and service numbers still can.
    #[must_use]
    pub fn never_matches(&self) -> bool {
        !self.has_short_numbers
    }

    /// The numbers that can still match the prefix, in words.
    #[must_use]
    pub fn consequence(&self) -> &'static str {
        if self.never_matches() {
            "no call can match it, so it has no effect"
        } else {
            "only extensions and other short numbers can match it"
        }
    }
}
