//! Stored rules in a table, with boxes to change several at once.

use callgate_admin::action::Action;
use callgate_admin::edit::{BlockEdit, Edit};
use callgate_admin::rule_page::{PageRule, RuleState};
use callgate_admin::rule_row::block_of_rule;
use callgate_admin::{RuleLocation, Table, time};
use callgate_core::{AppKey, Door, EpochSeconds, PartyId, Pattern, Rule, has_expired};
use maud::{Markup, html};

use super::Console;
use super::bulk::Wanted;
use super::fields::{Fields, link};
use super::page::{PageError, hidden, party_link, text, until_input};
use super::write::{author_text, stored_block, stored_rule};
use crate::time::now;

/// The address of the page of one rule.
pub(super) const EDIT: &str = "/rules/edit";

/// The address that changes the checked rules.
pub(super) const APPLY: &str = "/rules/apply";

/// Where a rule is stored, if a person can name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the list of a door, or as a pair item. `None` is the usual place for its parties.
    Rule(Option<Door>),
    /// The block of a caller.
    Block(PartyId),
}

/// A rule by its parties and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuleName {
    pub(super) app: AppKey,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) place: Place,
}

impl RuleName {
    /// The name of a stored rule. `None` if it has none, because one of its ids looks like a pattern or is not canonical.
    pub(super) fn of(table: &Table, rule: &PageRule) -> Option<Self> {
        let app = AppKey::new(&rule.row.app).ok()?;
        let (from, to) = (rule.row.from.clone(), rule.row.to.clone());
        // A field has no spaces around its value.
        if [&from, &to].iter().any(|id| id.trim() != id.as_str() || id.is_empty()) {
            return None;
        }
        let place = if rule.location.is_block() {
            Place::Block(table.parse_party(&from).ok().filter(|caller| caller.as_str() == from)?)
        } else {
            let mut doors = [None, rule.location.door()].into_iter();
            Place::Rule(doors.find(|door| RuleLocation::literal(&app, &from, &to, *door) == rule.location)?)
        };
        Some(Self { app, from, to, place })
    }

    /// The door as a field has it.
    fn door(&self) -> &'static str {
        match &self.place {
            Place::Rule(door) => door.map(Door::as_str).unwrap_or_default(),
            Place::Block(_) => "block",
        }
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = [("app", self.app.as_str()), ("from", &self.from), ("to", &self.to), ("door", self.door())];
        fields.into_iter().filter(|(_, value)| !value.is_empty())
    }

    /// Parses the fields of a rule, which are taken literally.
    pub(super) fn parse(table: &Table, fields: &Fields) -> Result<Self, PageError> {
        let app = table.parse_app(fields.required("app")?)?;
        let [from, to] = [fields.required("from")?, fields.required("to")?].map(str::to_owned);
        let place = match fields.get("door") {
            None => Place::Rule(None),
            Some("block") => Place::Block(table.parse_party(&from)?),
            Some(word) => {
                let door = Door::ALL.into_iter().find(|door| door.as_str() == word);
                Place::Rule(Some(door.ok_or_else(|| PageError::invalid(format!("`{word}` is not a door.")))?))
            }
        };
        Ok(Self { app, from, to, place })
    }

    /// The address of its page.
    pub(super) fn edit_link(&self, back: &str) -> String {
        link(EDIT, self.fields().chain([("back", back)]))
    }

    /// The rule and what is stored of it, as the value of a field.
    pub(super) fn encoded(&self, seen: &str) -> String {
        link("", self.fields().chain([("seen", seen)])).trim_start_matches('?').to_owned()
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        match &self.place {
            Place::Block(caller) => format!("the block of {caller}"),
            Place::Rule(_) => format!("the rule from {} to {}", self.from, self.to),
        }
    }

    /// The action that disables or enables it.
    pub(super) fn switch(&self, is_disabled: bool) -> Result<Action, String> {
        let Self { app, from, to, place } = self.clone();
        match place {
            Place::Rule(door) => Ok(Action::SwitchRule { app, from, to, door, is_disabled }),
            Place::Block(_) => Err("a block cannot be disabled; revoke it, or give it an expiry".to_owned()),
        }
    }

    /// The action that changes its expiry.
    pub(super) fn expire(&self, expires_at: Option<EpochSeconds>) -> Action {
        let Self { app, from, to, place } = self.clone();
        match place {
            Place::Rule(door) => Action::SetExpiry { app, from, to, door, expires_at },
            Place::Block(caller) => {
                let expires_at = expires_at.map_or(Edit::Clear, Edit::Set);
                Action::Block { app, caller, edit: BlockEdit { expires_at, ..BlockEdit::default() } }
            }
        }
    }

    /// The action that revokes it.
    pub(super) fn revoke(&self) -> Action {
        let Self { app, from, to, place } = self.clone();
        match place {
            Place::Rule(door) => Action::Revoke { app, from, to, door },
            Place::Block(caller) => Action::Unblock { app, caller },
        }
    }
}

/// What is stored, in words, as a plan of a change has it.
pub(super) fn seen(name: &RuleName, rule: &PageRule) -> String {
    match &name.place {
        Place::Rule(_) => stored_rule(&name.from, &name.to, rule.rule.as_ref()),
        Place::Block(caller) => match &rule.rule {
            Ok(rule) => stored_block(caller, Ok(&block_of_rule(rule))),
            Err(error) => stored_block(caller, Err(error)),
        },
    }
}

/// A column by which the rules can be sorted: the field's value and the heading.
const COLUMNS: [(&str, &str); 8] = [
    ("app", "App"),
    ("effect", "Effect"),
    ("from", "Callers"),
    ("to", "Callees"),
    ("conditions", "Media, hours"),
    ("until", "Until"),
    ("list", "List"),
    ("note", "Note"),
];

/// The column by which a page is sorted, and whether the last value comes first. `None` leaves the order of the table.
pub(super) fn sorting(fields: &Fields) -> Option<(&'static str, bool)> {
    let column = COLUMNS.iter().find(|(column, _)| fields.get("sort") == Some(column))?;
    Some((column.0, fields.has("order", "desc")))
}

/// Sorts the rules of a page.
pub(super) fn sort(rules: &mut [PageRule], (column, is_descending): (&str, bool)) {
    rules.sort_by_cached_key(|rule| {
        let row = &rule.row;
        let expiry = rule.rule.as_ref().ok().and_then(|rule| rule.expires_at);
        let text = match column {
            "app" => row.app.clone(),
            "from" => row.from.clone(),
            "to" => row.to.clone(),
            "effect" => row.effect.clone(),
            "conditions" => conditions(rule),
            "list" => row.list.clone().unwrap_or_default(),
            "note" => row.note.clone().unwrap_or_default(),
            _ => String::new(),
        };
        // What has no value comes last, and what does not expire too.
        let number = if column == "until" { expiry.unwrap_or(EpochSeconds::MAX) } else { 0 };
        (number, text.is_empty() && !is_descending, text)
    });
    if is_descending {
        rules.reverse();
    }
}

/// Media and hours of a rule, in words.
fn conditions(rule: &PageRule) -> String {
    let media = rule.row.media.join(", ");
    [media]
        .into_iter()
        .chain(rule.row.hours.iter().cloned())
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

/// How a table of rules is shown.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    /// The name of the table.
    pub(super) label: &'a str,
    /// Whether the rules may be of several apps.
    pub(super) shows_app: bool,
    /// The path of the page, and its fields, if the headings sort the table.
    pub(super) sorted: Option<(&'a str, &'a Fields)>,
    /// The address of the page.
    pub(super) back: &'a str,
}

/// The rules with boxes and buttons to change those that are checked.
pub(super) fn rules_form(console: &Console, rules: &[PageRule], layout: Layout<'_>) -> Markup {
    let is_editable = !console.settings.is_read_only;
    let table = rules_table(console, rules, layout);
    html! {
        @if is_editable {
            form method="post" action=(APPLY) {
                (hidden("back", layout.back))
                (no_default_button())
                (table)
                div class="actions bulk" {
                    span { "With the checked rules: " }
                    (until_input(None))
                    button name="action" value="expire" { "Set this expiry (empty: no end)" }
                    button name="action" value="disable" { "Disable" }
                    button name="action" value="enable" { "Enable" }
                    button name="action" value="revoke" class="danger" { "Revoke" }
                }
            }
        } @else { (table) }
    }
}

/// The button that the Enter key presses in a form, which is the first one. It is disabled, so that the key does nothing (the HTML
/// standard, "Implicit submission").
pub(super) fn no_default_button() -> Markup {
    html! { button hidden disabled {} }
}

fn rules_table(console: &Console, rules: &[PageRule], layout: Layout<'_>) -> Markup {
    let Layout { label, shows_app, sorted, back: _ } = layout;
    let is_editable = !console.settings.is_read_only;
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(label) {
            table {
                caption class="hidden" { (label) }
                thead { tr {
                    @if is_editable {
                        th scope="col" class="check" {
                            input type="checkbox" data-check-all="rule" aria-label="Check all rules of this table";
                        }
                    }
                    @for (column, heading) in COLUMNS.into_iter().filter(|(column, _)| shows_app || *column != "app") { (column_heading(column, heading, sorted)) }
                    th scope="col" { "Written by" }
                    @if is_editable { th scope="col" { span class="hidden" { "Edit" } } }
                } }
                tbody { @for rule in rules { (rule_row(console, rule, layout)) } }
            }
        }
    }
}

fn column_heading(column: &str, heading: &str, sorted: Option<(&str, &Fields)>) -> Markup {
    let Some((path, fields)) = sorted else { return html! { th scope="col" { (heading) } } };
    let (order, next) = match sorting(fields) {
        Some((by, false)) if by == column => (Some("ascending"), Some("desc")),
        Some((by, true)) if by == column => (Some("descending"), None),
        _ => (None, None),
    };
    let query = Fields::of(fields.with("sort", Some(column)).as_bytes()).with("order", next);
    html! { th scope="col" aria-sort=[order] { a href={ (path) "?" (query) } { (heading) } } }
}

fn rule_row(console: &Console, rule: &PageRule, Layout { shows_app, back, .. }: Layout<'_>) -> Markup {
    let is_editable = !console.settings.is_read_only;
    let name = RuleName::of(&console.settings.table, rule);
    let row = &rule.row;
    let (from, to) = rule.patterns();
    let stored = rule.rule.as_ref().ok();
    let short = format!("{} {} to {}", row.effect, row.from, row.to);
    html! {
        tr class=[(rule.state != RuleState::InEffect).then_some("off")] {
            @if is_editable {
                td class="check" {
                    @if let Some(name) = &name {
                        @let value = name.encoded(&seen(name, rule));
                        input type="checkbox" name="rule" value=(value) aria-label={ "Check " (callgate_admin::wording::escape(&short)) };
                    }
                }
            }
            @if shows_app { td { (text(&row.app)) } }
            td { (effect(rule)) (state_tag(rule)) (place_tag(name.as_ref())) }
            td { (side(&row.app, &row.from, from)) }
            td { (side(&row.app, &row.to, to)) }
            td { (text(&conditions(rule))) }
            td class="time" { (expiry(rule, stored)) }
            td { @if let Some(list) = &row.list { span class="tag" { (text(list)) } } }
            td {
                @if let Some(note) = &row.note { (text(note)) }
                @if let Err(error) = &rule.rule { span class="help" { (text(&error.to_string())) } }
            }
            td class="time" { @if let Some(rule) = stored { (text(author_text(rule.updated_by.as_deref(), rule.updated_at).trim_matches([' ', '[', ']']))) } }
            @if is_editable {
                td {
                    @match &name {
                        Some(name) => a href=(name.edit_link(back)) { "Edit" span class="hidden" { " " (text(&short)) } },
                        None => span class="help" { "An id looks like a pattern or is not in canonical form, so it cannot be changed here." },
                    }
                }
            }
        }
    }
}

/// The callers or the callees. One party has a link to its page.
fn side(app: &str, shown: &str, pattern: Pattern) -> Markup {
    match pattern {
        Pattern::Exact(id) => party_link(app, &id),
        Pattern::Everyone | Pattern::Group(_) | Pattern::Prefix(_) => text(shown),
    }
}

/// The effect, readable without its colour.
fn effect(rule: &PageRule) -> Markup {
    match rule.row.effect.as_str() {
        word @ ("allow" | "deny") => html! { span class={ "decision " (word) } { (word) } },
        "block" => html! { span class="decision deny" { "block" } },
        _ => html! { span class="decision error" { "invalid" } },
    }
}

fn state_tag(rule: &PageRule) -> Markup {
    match rule.state {
        state @ (RuleState::Disabled | RuleState::Expired) => html! { " " span class="tag warn" { (state.as_str()) } },
        RuleState::InEffect | RuleState::Invalid => html! {},
    }
}

/// The door of a rule that is not in the usual place.
fn place_tag(name: Option<&RuleName>) -> Markup {
    let door = name.and_then(|name| match name.place {
        Place::Rule(door) => door,
        Place::Block(_) => None,
    });
    html! { @if let Some(door) = door { " " span class="tag" { "door " (door.as_str()) } } }
}

fn expiry(rule: &PageRule, stored: Option<&Rule>) -> Markup {
    let own = stored.and_then(|rule| rule.expires_at);
    let party = rule.party_expires_at.filter(|at| own.is_none_or(|own| own > *at));
    html! {
        @if let Some(at) = own { (text(&time::describe(at))) }
        @if let Some(at) = party {
            span class="help" {
                (if has_expired(Some(at), now()) { "its party expired at " } else { "its party expires at " }) (text(&time::describe(at)))
            }
        }
    }
}

/// The changes that a form asks for: an action for the checked rules.
pub(super) fn wanted(console: &Console, fields: &Fields) -> Result<Vec<Wanted>, PageError> {
    let expires_at = if fields.has("action", "expire") { fields.until()? } else { None };
    let action = fields.get("action").unwrap_or_default();
    let mut wanted = Vec::new();
    for encoded in fields.all("rule") {
        let of_rule = Fields::of(encoded.as_bytes());
        let name = RuleName::parse(&console.settings.table, &of_rule)?;
        let action = match action {
            "expire" => Ok(name.expire(expires_at)),
            "disable" => name.switch(true),
            "enable" => name.switch(false),
            "revoke" => Ok(name.revoke()),
            other => return Err(PageError::invalid(format!("`{other}` is not something to do with rules."))),
        };
        let seen = of_rule.get("seen").unwrap_or_default().to_owned();
        wanted.push(Wanted { name: name.text(), actions: action.map(|action| vec![(action, Some(seen))]) });
    }
    Ok(wanted)
}
