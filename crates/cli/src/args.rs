//! Arguments that several commands share.

use callgate_admin::rule_file::Format;
use callgate_admin::{RuleTarget, Table, wording};
use callgate_core::{Door, Effect, EpochSeconds, Hours, PartyId, Pattern, Rule, Window};
use clap::{Args, ValueEnum};

use crate::exit::usage;
use crate::output::print_note;
use crate::time;

/// The variable that names the app for commands that need one. Where `--app` only narrows a command down, as for
/// `export`, the variable has no effect: it must not leave anything out unseen.
pub(crate) const APP: &str = "CALLGATE_APP";

/// Parses `--app`. An empty value counts as not given, as it does for every variable.
pub(crate) fn app_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(format!("no app is given; name one with --app or {APP}"));
    }
    Ok(text.to_owned())
}

/// An app, or one of its parties.
#[derive(Debug, Clone, Args)]
pub(crate) struct PartyArgs {
    /// The app (WCS's appKey)
    #[arg(long, value_name = "APP", env = APP, hide_env_values = true, value_parser = app_name, allow_hyphen_values = true)]
    pub(crate) app: String,
    /// The party, in any spelling; without it, the app itself
    #[arg(value_name = "PARTY", allow_hyphen_values = true)]
    pub(crate) party: Option<String>,
}

impl PartyArgs {
    /// Parses the party, and prints what it is if it was written in another form.
    pub(crate) fn parse_party(&self, table: &Table) -> anyhow::Result<Option<PartyId>> {
        let Some(text) = self.party.as_deref() else { return Ok(None) };
        let party = table.parse_party(text)?;
        print_understood(text, party.as_str());
        Ok(Some(party))
    }
}

/// Prints the canonical form of an id or a pattern, if it differs from what was typed.
pub(crate) fn print_understood(typed: &str, canonical: &str) {
    if typed.trim() != canonical {
        print_note(format!("`{}` is `{canonical}`", wording::escape(typed.trim())));
    }
}

/// The callers and callees of a rule.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetArgs {
    /// The app (WCS's appKey)
    #[arg(long, value_name = "APP", env = APP, hide_env_values = true, value_parser = app_name, allow_hyphen_values = true)]
    pub(crate) app: String,
    /// The callers: an id or number in any spelling, a group such as @sales, a prefix such as '+7495*', or '*' for everyone
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) from: String,
    /// The callees, in the same forms
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) to: String,
}

impl TargetArgs {
    pub(crate) fn parse(&self, table: &Table) -> anyhow::Result<RuleTarget> {
        let Self { app, from, to } = self;
        let pattern = |text: &str| -> anyhow::Result<Pattern> {
            let pattern = table.parse_pattern(text)?;
            print_understood(text, &pattern.to_string());
            Ok(pattern)
        };
        Ok(RuleTarget { app: table.parse_app(app)?, from: pattern(from)?, to: pattern(to)? })
    }

    /// Checks that callers and callees are not mistakes, before they are stored.
    fn check_written(&self, table: &Table) -> anyhow::Result<()> {
        table.check_written(&self.from)?;
        Ok(table.check_written(&self.to)?)
    }
}

/// A rule to write.
#[derive(Debug, Clone, Args)]
pub(crate) struct RuleArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Only for these media: an allow applies to calls without other media, a deny to calls with any of them
    #[arg(long, value_name = "audio|video", value_delimiter = ',')]
    media: Vec<String>,
    /// Only at these times: 'DAYS HH:MM-HH:MM ZONE', such as 'Mon-Fri 09:00-18:00 Europe/Moscow'; can be repeated
    #[arg(long, value_name = "WINDOW", allow_hyphen_values = true)]
    hours: Vec<String>,
    /// Only until this time in your time zone: '15:00' (the next), '2026-12-31', '2026-12-31 18:00'; or with a zone, such as
    /// '2026-12-31 18:00 Europe/Moscow' or '2026-12-31T18:00:00+03:00'; or '12h' or '30d' from now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// The name of the list that the rule belongs to, such as 'spam'
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    list: Option<String>,
    /// A comment for people
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
    /// Write the rule switched off; enable switches it on
    #[arg(long)]
    disabled: bool,
    /// The door whose list holds the rule, where two are possible: app for a rule from one caller to '*', as an exception
    /// to the app's prefixes, destination for a rule from '*' to one callee
    #[arg(long, value_name = "DOOR", value_enum)]
    pub(crate) door: Option<DoorArg>,
    /// Accept an id that looks like a number and is none, or a prefix that no number has
    #[arg(long)]
    exactly: bool,
    /// Do not ask before writing a rule for more than one caller or callee
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl RuleArgs {
    /// Parses the callers and callees, which are checked for mistakes.
    pub(crate) fn target(&self, table: &Table) -> anyhow::Result<RuleTarget> {
        if !self.exactly {
            self.target.check_written(table)?;
        }
        self.target.parse(table)
    }

    pub(crate) fn rule(&self, effect: Effect, now: EpochSeconds) -> anyhow::Result<Rule> {
        let Self { target: _, media, hours, until, list, note, disabled, door: _, exactly: _, yes: _ } = self;
        let mut windows: Vec<Window> = Vec::new();
        for text in hours {
            windows.extend_from_slice(Hours::parse(text).map_err(|error| usage(error.to_string()))?.windows());
        }
        let expires_at = until.as_deref().map(|text| time::parse_until(text, now)).transpose()?;
        Ok(Rule {
            effect,
            media: if media.is_empty() { None } else { Some(wording::parse_media(&media.join(" "))?) },
            hours: Hours::new(windows),
            expires_at,
            disabled: *disabled,
            list: list.clone().filter(|it| !it.is_empty()),
            note: note.clone().filter(|it| !it.is_empty()),
            updated_at: None,
            updated_by: None,
        })
    }
}

/// A door, whose list holds a rule.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DoorArg {
    /// The app's list: who may call anyone
    App,
    /// The app's other list: whom anyone may call
    Destination,
    /// The caller's list: whom this caller may call
    Caller,
    /// The callee's list: who may call this callee
    Callee,
}

impl From<DoorArg> for Door {
    fn from(door: DoorArg) -> Self {
        match door {
            DoorArg::App => Self::App,
            DoorArg::Destination => Self::Destination,
            DoorArg::Caller => Self::Caller,
            DoorArg::Callee => Self::Callee,
        }
    }
}

/// The format of a file of rules.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormatArg {
    /// A header row, then one rule per row
    Csv,
    /// One JSON object per line
    Ndjson,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Self::Csv,
            FormatArg::Ndjson => Self::Ndjson,
        }
    }
}
