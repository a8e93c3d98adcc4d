//! Finds callers that may be the same number in another spelling.

use std::collections::HashMap;

use callgate_core::{PartyId, PhoneRegion};

/// How many digits at the end of two numbers must be the same.
const TAIL: usize = 7;

/// The longest code of a country, in digits.
const COUNTRY_CODE: usize = 3;

/// The longest prefix that is dialled before a number, in digits: of a trunk line or of an outside line.
const DIALLED: usize = 2;

/// With more numbers than this that end alike, they are not compared.
const MAX_ALIKE: usize = 64;

/// The numbers of a log.
#[derive(Debug, Default)]
pub struct Spellings {
    region: Option<PhoneRegion>,
    /// The callers by their app and the end of their digits.
    by_end: HashMap<(String, String), Vec<String>>,
}

impl Spellings {
    /// No numbers yet. Two numbers are also the same if they are when dialled in the region.
    #[must_use]
    pub fn new(region: Option<PhoneRegion>) -> Self {
        Self { region, by_end: HashMap::new() }
    }

    /// Adds a caller of an app, if it is a number.
    pub fn insert(&mut self, app: &str, caller: &str) {
        let Some(end) = end(caller) else { return };
        let callers = self.by_end.entry((app.to_owned(), end.to_owned())).or_default();
        if callers.len() < MAX_ALIKE && !callers.iter().any(|it| it == caller) {
            callers.push(caller.to_owned());
        }
    }

    /// The other callers of the app that may be the same number as this one.
    #[must_use]
    pub fn similar(&self, app: &str, caller: &str) -> Vec<String> {
        let Some(end) = end(caller) else { return Vec::new() };
        let alike = self.by_end.get(&(app.to_owned(), end.to_owned())).into_iter().flatten();
        let mut similar: Vec<_> = alike.filter(|other| self.may_be_same(caller, other)).cloned().collect();
        similar.sort_unstable();
        similar
    }

    fn may_be_same(&self, one: &str, other: &str) -> bool {
        one != other && (may_be_same(one, other) || self.is_same_in_region(one, other))
    }

    fn is_same_in_region(&self, one: &str, other: &str) -> bool {
        let dialled = |id: &str| PartyId::new(id, self.region).ok();
        self.region.is_some() && dialled(one).is_some_and(|one| dialled(other) == Some(one))
    }
}

/// The digits of a number. `None` for other ids.
fn digits(id: &str) -> Option<&str> {
    let digits = id.strip_prefix('+').unwrap_or(id);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)
}

/// The end of the digits of a number that is long enough.
fn end(id: &str) -> Option<&str> {
    let digits = digits(id)?;
    digits.get(digits.len().checked_sub(TAIL)?..)
}

/// Whether two numbers differ only in what stands before a national number: nothing, a country code with or without its `+`, or
/// what is dialled before it.
fn may_be_same(one: &str, other: &str) -> bool {
    let is_international = |id: &str| id.starts_with('+');
    let (Some(digits_of_one), Some(digits_of_other)) = (digits(one), digits(other)) else { return false };
    let same = digits_of_one.bytes().rev().zip(digits_of_other.bytes().rev()).take_while(|(a, b)| a == b).count();
    let (before, before_other) = (digits_of_one.len() - same, digits_of_other.len() - same);
    match (is_international(one), is_international(other)) {
        _ if same < TAIL => false,
        // Both are complete, and differ.
        (true, true) => false,
        (false, false) => before == 0 || before_other == 0,
        (true, false) => before_other == 0 || before == 0 || (before <= COUNTRY_CODE && before_other <= DIALLED),
        (false, true) => before == 0 || before_other == 0 || (before_other <= COUNTRY_CODE && before <= DIALLED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, expected: bool) {
        assert_eq!(may_be_same(one, other), expected, "{one} and {other}");
        assert_eq!(may_be_same(other, one), expected, "{other} and {one}");
    }

    #[test]
    fn numbers_that_differ_in_what_is_dialled_before_them_may_be_the_same() {
        for other in ["84951234567", "4951234567", "74951234567", "0074951234567", "8104951234567", "1234567"] {
            check("+74951234567", other, other != "8104951234567");
        }
        check("84951234567", "4951234567", true);
        check("0304567890", "+49304567890", true);
        check("02079460000", "+442079460000", true);
        for other in ["+14951234567", "+78121234567", "78121234567", "234567", "anonymous", "PPP1234567"] {
            check("+74951234567", other, false);
        }
        check("4951234567", "5951234567", false);
    }

    #[test]
    fn only_callers_of_the_same_app_are_compared() {
        let mut spellings = Spellings::new("RU".parse().ok());
        for caller in ["+74951234567", "84951234567", "84951234567", "74951234567", "+78121234567", "PPP005"] {
            spellings.insert("shop", caller);
        }
        spellings.insert("other", "4951234567");
        assert_eq!(spellings.similar("shop", "+74951234567"), ["74951234567", "84951234567"]);
        assert_eq!(spellings.similar("shop", "84951234567"), ["+74951234567", "74951234567"]);
        assert!(spellings.similar("other", "4951234567").is_empty());
        assert!(spellings.similar("shop", "PPP005").is_empty());
    }
}
