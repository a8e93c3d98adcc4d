//! Arguments that several commands share.

use std::time::Duration;

use callgate_admin::edit::{BlockEdit, Edit, RuleEdit};
use callgate_admin::rule_file::Format;
use callgate_admin::wording::quote;
use callgate_admin::{RuleLocation, RuleTarget, Table, wording};
use callgate_core::{AppKey, Call, Door, Effect, EpochSeconds, Hours, PartyId, Pattern, Window};
use clap::{Args, ValueEnum};

use crate::connection::GlobalArgs;
use crate::exit::usage;
use crate::log_args::FromCallArgs;
use crate::output::print_note;
use crate::time;

/// The variable that names the app for commands that need one. Where `--app` only narrows a command down, as for
/// `export`, the variable has no effect: it must not leave anything out unseen.
const APP: &str = "CALLGATE_APP";

/// Parses `--app`. An empty value counts as not given, as it does for every variable.
fn app_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(format!("no app is given; name one with --app or {APP}"));
    }
    Ok(text.to_owned())
}

/// An app.
#[derive(Debug, Clone, Args)]
pub(crate) struct AppArgs {
    /// The app (WCS's appKey)
    #[arg(long = "app", value_name = "APP", env = APP, hide_env_values = true, value_parser = app_name, allow_hyphen_values = true)]
    key: String,
}

impl AppArgs {
    pub(crate) fn parse(&self, table: &Table) -> anyhow::Result<AppKey> {
        Ok(table.parse_app(&self.key)?)
    }
}

/// An app, unless a logged call names it.
#[derive(Debug, Clone, Args)]
pub(crate) struct AppOrCallArgs {
    /// The app (WCS's appKey)
    #[arg(long, value_name = "APP", env = APP, hide_env_values = true, value_parser = app_name, allow_hyphen_values = true)]
    #[arg(required_unless_present = "from_call")]
    app: Option<String>,
    #[command(flatten)]
    pub(crate) call: FromCallArgs,
}

impl AppOrCallArgs {
    /// Finds the call of the log, if one is named.
    pub(crate) async fn find_call(&self, global: &GlobalArgs) -> anyhow::Result<Option<Call>> {
        self.call.find(global, self.app.as_deref()).await
    }

    /// Parses the app that was given.
    pub(crate) fn parse(&self, table: &Table) -> anyhow::Result<AppKey> {
        Ok(table.parse_app(self.app.as_deref().unwrap_or_default())?)
    }
}

/// An app, or one of its parties.
#[derive(Debug, Clone, Args)]
pub(crate) struct PartyArgs {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// The party, in any spelling; without it, the app itself
    #[arg(value_name = "PARTY", allow_hyphen_values = true)]
    pub(crate) party: Option<String>,
    /// Accept an id that looks like a number and is none, or like a pattern
    #[arg(long)]
    pub(crate) exactly: bool,
}

impl PartyArgs {
    /// Parses the party, and prints what it is if it was written in another form. `instead` returns the commands to use for
    /// a pattern or a group.
    pub(crate) fn parse_party(
        &self,
        table: &Table,
        instead: impl FnOnce(&Pattern) -> String,
    ) -> anyhow::Result<Option<PartyId>> {
        self.party.as_deref().map(|text| parse_party(table, text, self.exactly, instead)).transpose()
    }
}

/// Parses one party, and prints what it is if it was written in another form. A pattern or a group is refused, unless the text
/// is taken `exactly`; `instead` returns the commands to use for it.
pub(crate) fn parse_party(
    table: &Table,
    text: &str,
    exactly: bool,
    instead: impl FnOnce(&Pattern) -> String,
) -> anyhow::Result<PartyId> {
    check_one_party(table, text, exactly, instead)?;
    let party = table.parse_party(text)?;
    print_understood(text, party.as_str());
    Ok(party)
}

/// Parses one party as [`parse_party`] does, to store it. Also refuses an id that looks like a number and is none.
pub(crate) fn parse_written_party(
    table: &Table,
    text: &str,
    exactly: bool,
    instead: impl Fn(&Pattern) -> String,
) -> anyhow::Result<PartyId> {
    check_one_party(table, text, exactly, &instead)?;
    if !exactly {
        table.check_written(text)?;
    }
    parse_party(table, text, exactly, instead)
}

/// Checks that a text is not a pattern or a group. No id is that of a group.
pub(crate) fn check_one_party(
    table: &Table,
    text: &str,
    exactly: bool,
    instead: impl FnOnce(&Pattern) -> String,
) -> anyhow::Result<()> {
    let (kind, pattern) = match table.parse_pattern(text) {
        Ok(group @ Pattern::Group(_)) => ("a group", group),
        Ok(pattern @ (Pattern::Everyone | Pattern::Prefix(_))) if !exactly => ("a pattern", pattern),
        // The error explains how groups are named.
        Err(error) if text.trim_start().starts_with('@') => return Err(error.into()),
        // What is wrong with an id is reported when it is parsed.
        Ok(_) | Err(_) => return Ok(()),
    };
    Err(usage(format!("`{pattern}` is {kind}, not one party; {}", instead(&pattern))))
}

/// The command that writes a rule from this caller to this callee.
pub(crate) fn rule_command(command: &str, app: &str, from: &Pattern, to: &Pattern) -> String {
    let [app, from, to] = [app, &from.to_string(), &to.to_string()].map(quote);
    format!("`callgatectl {command} --app {app} --from {from} --to {to}`")
}

/// The commands that deny the calls from and to all parties of a pattern.
pub(crate) fn deny_commands(app: &str, pattern: &Pattern) -> String {
    let from = rule_command("deny", app, pattern, &Pattern::Everyone);
    let to = rule_command("deny", app, &Pattern::Everyone, pattern);
    format!("{from} denies their calls, and {to} the calls to them")
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
    #[command(flatten)]
    pub(crate) app: AppArgs,
    /// The callers: an id or number in any spelling, a group such as @sales, a prefix such as '+7495*', or '*' for everyone
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) from: String,
    /// The callees, in the same forms
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) to: String,
}

impl TargetArgs {
    pub(crate) fn parse(&self, table: &Table) -> anyhow::Result<RuleTarget> {
        parse_target(table, self.app.parse(table)?, &self.from, &self.to)
    }

    /// Parses the callers and callees of a stored rule, and where it is stored. With `exactly`, takes them literally.
    pub(crate) fn locate(
        &self,
        table: &Table,
        door: Option<DoorArg>,
        exactly: bool,
    ) -> anyhow::Result<(RuleTarget, RuleLocation)> {
        let door = door.map(Into::into);
        if !exactly {
            let target = self.parse(table)?;
            let location = target.location_in(&target.owner_at(door)?);
            return Ok((target, location));
        }
        let Self { app, from, to } = self;
        let app = app.parse(table)?;
        let location = RuleLocation::literal(&app, from, to, door);
        Ok((RuleTarget { app, from: Pattern::from_stored(from), to: Pattern::from_stored(to) }, location))
    }
}

fn parse_target(table: &Table, app: AppKey, from: &str, to: &str) -> anyhow::Result<RuleTarget> {
    let pattern = |text: &str| -> anyhow::Result<Pattern> {
        let pattern = table.parse_pattern(text)?;
        print_understood(text, &pattern.to_string());
        Ok(pattern)
    };
    Ok(RuleTarget { app, from: pattern(from)?, to: pattern(to)? })
}

/// Checks that callers and callees are not mistakes, before they are stored.
fn check_written(table: &Table, from: &str, to: &str) -> anyhow::Result<()> {
    table.check_written(from)?;
    Ok(table.check_written(to)?)
}

/// The conditions and the note that rules and blocks have in common. What is not named stays as it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConditionArgs {
    /// Only until this time in your time zone: '15:00' (the next), '2026-12-31', '2026-12-31 18:00'; or with a zone, such as
    /// '2026-12-31 18:00 Europe/Moscow' or '2026-12-31T18:00:00+03:00'; or '12h' or '30d' from now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Remove the expiry
    #[arg(long, conflicts_with = "until")]
    no_until: bool,
    /// The name of the list that it belongs to, such as 'spam'
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    list: Option<String>,
    /// Remove the name of the list
    #[arg(long, conflicts_with = "list")]
    no_list: bool,
    /// A comment for people
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
    /// Remove the comment
    #[arg(long, conflicts_with = "note")]
    no_note: bool,
}

impl ConditionArgs {
    pub(crate) fn edit(&self, now: EpochSeconds) -> anyhow::Result<BlockEdit> {
        let Self { until, no_until, list, no_list, note, no_note } = self;
        let expires_at = until.as_deref().map(|text| time::parse_until(text, now)).transpose()?;
        // An empty text is none.
        let text = |text: &Option<String>, is_cleared: bool| {
            let is_cleared = is_cleared || text.as_ref().is_some_and(String::is_empty);
            edit(text.clone(), is_cleared)
        };
        Ok(BlockEdit {
            expires_at: edit(expires_at, *no_until),
            list: text(list, *no_list),
            note: text(note, *no_note),
        })
    }
}

/// The change to a value that is given, is to be removed, or neither.
fn edit<T>(value: Option<T>, is_cleared: bool) -> Edit<T> {
    match value {
        _ if is_cleared => Edit::Clear,
        Some(value) => Edit::Set(value),
        None => Edit::Keep,
    }
}

/// A rule to write. Conditions of the stored rule that are not named stay as they are.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct RuleArgs {
    #[command(flatten)]
    app: AppOrCallArgs,
    /// The callers: an id or number in any spelling, a group such as @sales, a prefix such as '+7495*', or '*' for everyone
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    #[arg(required_unless_present = "from_call", conflicts_with = "from_call")]
    from: Option<String>,
    /// The callees, in the same forms
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    #[arg(required_unless_present = "from_call", conflicts_with = "from_call")]
    to: Option<String>,
    /// Only for these media: an allow applies to calls without other media, a deny to calls with any of them
    #[arg(long, value_name = "audio|video", value_delimiter = ',')]
    media: Vec<String>,
    /// For any media again
    #[arg(long, conflicts_with = "media")]
    no_media: bool,
    /// Only at these times: 'DAYS HH:MM-HH:MM ZONE', such as 'Mon-Fri 09:00-18:00 Europe/Moscow'; can be repeated
    #[arg(long, value_name = "WINDOW", allow_hyphen_values = true)]
    hours: Vec<String>,
    /// At any time again
    #[arg(long, conflicts_with = "hours")]
    no_hours: bool,
    #[command(flatten)]
    conditions: ConditionArgs,
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
    /// Do not ask before writing a rule for more than one caller or callee, or replacing an allow by a deny or a deny by an
    /// allow
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl RuleArgs {
    /// Parses the callers and callees, which are checked for mistakes, or takes them from the log.
    pub(crate) async fn target(&self, table: &Table, global: &GlobalArgs) -> anyhow::Result<RuleTarget> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (from, to) = match self.app.find_call(global).await? {
            Some(Call { app, caller, callee, media: _ }) => {
                let exact = |id: &PartyId| Pattern::Exact(id.as_str().to_owned());
                let target = RuleTarget { app, from: exact(&caller), to: exact(&callee) };
                if !self.exactly {
                    check_written(table, caller.as_str(), callee.as_str())?;
                }
                return Ok(target);
            }
            None => (text(&self.from), text(&self.to)),
        };
        if !self.exactly {
            check_written(table, &from, &to)?;
        }
        parse_target(table, self.app.parse(table)?, &from, &to)
    }

    pub(crate) fn edit(&self, effect: Effect, now: EpochSeconds) -> anyhow::Result<RuleEdit> {
        let Self { media, no_media, hours, no_hours, conditions, disabled, .. } = self;
        let mut windows: Vec<Window> = Vec::new();
        for text in hours {
            windows.extend_from_slice(Hours::parse(text).map_err(|error| usage(error.to_string()))?.windows());
        }
        let media = if media.is_empty() { None } else { Some(wording::parse_media(&media.join(" "))?) };
        Ok(RuleEdit {
            effect,
            media: edit(media, *no_media),
            hours: edit(Hours::new(windows), *no_hours),
            is_disabled: *disabled,
            common: conditions.edit(now)?,
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

/// How many requests are sent at once, and how long to wait for the function.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SpeedArgs {
    /// The number of simultaneous requests
    #[arg(long, default_value_t = 16, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
    #[command(flatten)]
    pub(crate) app_cache: AppCacheArgs,
}

/// How long the function keeps an app's item.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AppCacheArgs {
    /// How long the function keeps an app's rules; the command waits so long before it permits more
    #[arg(long, env = "APP_CACHE_SECONDS", default_value = "5", value_name = "SECONDS", hide_env_values = true)]
    #[arg(value_parser = app_cache)]
    pub(crate) app_cache_seconds: Duration,
}

/// The time in `APP_CACHE_SECONDS`. An empty value counts as not given, as for the function.
fn app_cache(text: &str) -> Result<Duration, String> {
    let text = if text.trim().is_empty() { "5" } else { text.trim() };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= 3_600);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("`{text}` is not a whole number of seconds up to 3600"))
}
