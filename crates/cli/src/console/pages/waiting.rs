//! `/waiting`: pairs of parties whose calls are refused, so that someone may be waiting for a permission.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use callgate_admin::Table;
use callgate_admin::action::Action;
use callgate_admin::decision_log::wording::REASONS;
use callgate_admin::decision_log::{CallFilter, Decided, EpochMicroseconds, LoggedCall};
use callgate_admin::edit::{BlockEdit, Edit};
use callgate_admin::reversal::{Reversal, Step};
use callgate_admin::wording::{count, escape};
use callgate_core::{Call, Effect, EpochSeconds, decide};
use maud::{Markup, html};
use tokio::task::JoinSet;

use super::calls::{before, call_filter, check_link, media_fields, media_of, with_conditions};
use crate::console::Console;
use crate::console::bulk::Wanted;
use crate::console::call_log::MAX_CALLS;
use crate::console::fields::{Fields, Form, Query, SEEN, link, shown};
use crate::console::page::{
    self, PageError, Section, app_input, back, empty, hidden, input, page, party_link, redirect, select, text,
};
use crate::console::rule_list::no_default_button;
use crate::console::undo::Message;
use crate::time::now;

const PATH: &str = "/waiting";
const APPLY: &str = "/waiting/apply";

/// How often the page is refreshed, in milliseconds. Each time, its pairs are compared with the table.
const REFRESH_MS: &str = "15000";

/// How many pairs are on a page. Each is compared with the table.
const PAGE: usize = 50;

/// How many pairs are compared with the table for a page at most. Those that are permitted by now are left out.
const MAX_COMPARED: usize = 4 * PAGE;

const WEEK: EpochSeconds = 7 * 24 * 60 * 60;

/// The most pairs that are remembered as dismissed.
const MAX_DISMISSED: usize = 100_000;

/// The caller and the callee of refused calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PairKey {
    app: String,
    caller: String,
    callee: String,
}

/// The pairs that were dismissed, with the time of the last call that was known then. A later one shows the pair again.
#[derive(Debug, Default)]
pub(in crate::console) struct Dismissed(Mutex<HashMap<PairKey, EpochMicroseconds>>);

impl Dismissed {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PairKey, EpochMicroseconds>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refused calls of a pair.
struct Pair {
    key: PairKey,
    count: u64,
    first: EpochMicroseconds,
    last: EpochMicroseconds,
    /// Why the last one was refused.
    because: String,
    /// The last call. `None` if an id in the log is not canonical, so that no rule can be written for it.
    call: Option<Call>,
}

/// What the table has for a pair now.
enum Now {
    /// Its calls are permitted.
    Permitted,
    /// These steps would permit them.
    Refused(Vec<Step>),
    /// Something is invalid, which this command shows.
    Invalid(String),
}

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PATH, get(show)).route(APPLY, post(apply))
}

async fn show(State(console): State<Arc<Console>>, Query(fields): Query) -> Result<Response, PageError> {
    let shows_dismissed = fields.has("dismissed", "yes");
    let show = |result: Markup| {
        let content = html! { (filters(&console, &fields)) (result) };
        page(&console, Section::Waiting, PATH, "Waiting for a permission", &fields, content)
    };
    let filter = match call_filter(&console, &fields) {
        Ok(filter) => CallFilter { decisions: vec![Decided::Deny], ..filter },
        Err(error) => return error.on(show(error.message())),
    };
    let skip: usize = fields.get("skip").and_then(|skip| skip.parse().ok()).unwrap_or_default();
    let part = skip..skip.saturating_add(MAX_COMPARED);
    let (all, pairs) = pairs(&console, &filter, shows_dismissed, fields.has("order", "last"), part);
    let (mut rows, mut permitted, mut compared) = (Vec::new(), 0, skip);
    let mut rest = pairs.into_iter();
    while rows.len() < PAGE {
        let chunk: Vec<_> = rest.by_ref().take(PAGE - rows.len()).collect();
        if chunk.is_empty() {
            break;
        }
        compared += chunk.len();
        for (pair, now) in compare(&console.settings.table, chunk).await? {
            if matches!(now, Some(Now::Permitted)) {
                permitted += 1;
            } else {
                rows.push((pair, now));
            }
        }
    }
    let next = (compared < all).then(|| compared.to_string());
    show(html! {
        div id="waiting" data-live=[(skip == 0).then_some(REFRESH_MS)] {
            @if rows.is_empty() { (nothing(&console, permitted, shows_dismissed)) } @else {
                (form(&console, &fields, &rows, shows_dismissed))
            }
            nav class="pager" aria-label="Pages of the list" {
                @if skip > 0 { a href={ (PATH) "?" (fields.with("skip", None)) } { "First page" } }
                @if let Some(next) = &next { a href={ (PATH) "?" (fields.with("skip", Some(next))) } { "Next page" } }
                span {
                    (count(all as u64, "refused pair")) " in memory"
                    @if permitted > 0 { "; on this page, " (permitted) (if permitted == 1 { " is" } else { " are" }) " permitted now and not shown" }
                }
                @if shows_dismissed { a href={ (PATH) "?" (fields.with("dismissed", None)) } { "Pairs that are waiting" } }
                @else { a href={ (PATH) "?" (fields.with("dismissed", Some("yes"))) } { "Dismissed pairs" } }
            }
        }
    })
}

/// The pairs of the refused calls, the most frequent ones first, or the last ones: how many there are, and a part of them.
fn pairs(
    console: &Console,
    filter: &CallFilter,
    shows_dismissed: bool,
    is_by_time: bool,
    part: Range<usize>,
) -> (usize, Vec<Pair>) {
    let log = console.settings.calls.read();
    let mut found: HashMap<(&str, &str, &str), (u64, EpochMicroseconds, &LoggedCall<'_>)> = HashMap::new();
    for call in log.newest(filter) {
        // The ends of ids are no parties.
        if call.is_masked || !is_from_wcs(call) {
            continue;
        }
        let (Some(app), Some(caller), Some(callee)) =
            (call.app.as_deref(), call.caller.as_deref(), call.callee.as_deref())
        else {
            continue;
        };
        let (count, first, _) = found.entry((app, caller, callee)).or_insert((0, call.timestamp, call));
        *count += 1;
        *first = call.timestamp.min(*first);
    }
    let dismissed = console.dismissed.lock();
    let key = |(app, caller, callee): (&str, &str, &str)| PairKey {
        app: app.to_owned(),
        caller: caller.to_owned(),
        callee: callee.to_owned(),
    };
    if shows_dismissed || !dismissed.is_empty() {
        found.retain(|ids, (_, _, last)| {
            let is_dismissed = dismissed.get(&key(*ids)).is_some_and(|until| last.timestamp <= *until);
            is_dismissed == shows_dismissed
        });
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_unstable_by_key(|(ids, (count, _, last))| {
        let (count, time) = (Reverse(*count), Reverse(last.timestamp));
        let order = if is_by_time { (None, time, Some(count)) } else { (Some(count), time, None) };
        (order, *ids)
    });
    // Only those that may be shown are parsed.
    let region = console.settings.table.phone_region();
    let shown = found.iter().take(part.end).skip(part.start);
    let shown = shown.map(|(ids, (count, first, last))| Pair {
        key: key(*ids),
        count: *count,
        first: *first,
        last: last.timestamp,
        because: last.because(),
        call: last.to_call(region),
    });
    (found.len(), shown.collect())
}

/// Whether WCS sent the call, as far as the hook could tell.
pub(super) fn is_from_wcs(call: &LoggedCall<'_>) -> bool {
    !matches!(call.reason.as_ref(), "bad_signature" | "source_not_allowed")
}

/// Decides the calls of pairs by the table as it is now, all at the same time.
async fn compare(table: &Table, pairs: Vec<Pair>) -> Result<Vec<(Pair, Option<Now>)>, PageError> {
    let mut tasks = JoinSet::new();
    for (number, pair) in pairs.iter().enumerate() {
        let Some(call) = pair.call.clone() else { continue };
        let table = table.clone();
        tasks.spawn(async move { (number, state(&table, &call).await) });
    }
    let mut states = HashMap::new();
    while let Some(result) = tasks.join_next().await {
        let (number, state) = result.map_err(anyhow::Error::from)?;
        states.insert(number, state?);
    }
    Ok(pairs.into_iter().enumerate().map(|(number, pair)| (pair, states.remove(&number))).collect())
}

/// How a call is decided now, and what would permit it.
async fn state(table: &Table, call: &Call) -> callgate_admin::Result<Now> {
    let lookup = table.look_up(call).await?;
    let now = now();
    if decide(call, lookup.permissions(), now).effect() == Effect::Allow {
        return Ok(Now::Permitted);
    }
    Ok(match table.reversal(call, lookup.permissions(), now, now) {
        Reversal::Steps(steps) => Now::Refused(steps),
        Reversal::Show(command) => Now::Invalid(command),
    })
}

fn filters(console: &Console, fields: &Fields) -> Markup {
    let reasons: Vec<_> = [("", "all")].into_iter().chain(REASONS.map(|reason| (reason, reason))).collect();
    let orders = [("", "most frequent first"), ("last", "last first")];
    html! {
        form class="filters" method="get" action=(PATH) role="search" {
            (input("Caller or callee", "party", fields))
            label { "Since " input name="since" value=[fields.get("since")] placeholder="1h, 15:00" autocomplete="off"; }
            (app_input(console, console.typed_app(fields)))
            (select("Reason", "reason", &reasons, fields))
            (select("Order", "order", &orders, fields))
            @if fields.has("dismissed", "yes") { (hidden("dismissed", "yes")) }
            button class="primary" { "Filter" }
            a href=(console.unfiltered(PATH)) { "Show all" }
        }
    }
}

fn nothing(console: &Console, permitted: usize, shows_dismissed: bool) -> Markup {
    let log = console.settings.calls.read();
    if let Some(error) = log.error.as_ref() {
        html! { p class="message problem" role="alert" { (text(error)) } }
    } else if shows_dismissed {
        empty("No pair is dismissed.", &html! { a href=(PATH) { "Show the pairs that are waiting" } })
    } else if !console.settings.has_log {
        page::no_log("No log is read, so no refused calls are known.")
    } else if permitted > 0 {
        empty(
            "Every refused pair of this page is permitted by now.",
            &html! { a href="/calls" { "Look at the calls" } },
        )
    } else {
        empty(
            "No refused call matches.",
            &html! { "Refused calls appear here by themselves. " a href="/calls" { "Look at the calls" } },
        )
    }
}

fn form(console: &Console, fields: &Fields, rows: &[(Pair, Option<Now>)], shows_dismissed: bool) -> Markup {
    let table = table(console, rows, shows_dismissed);
    html! {
        @if console.settings.is_read_only { (table) } @else {
            form method="post" action=(APPLY) {
                (hidden("back", &page::address(PATH, fields)))
                (no_default_button())
                (table)
                div class="actions bulk" {
                    span { "With the checked pairs: " }
                    label { "Note " input name="note" autocomplete="off"; }
                    button name="action" value="week" class="primary" { "Allow for a week" }
                    button name="action" value="allow" { "Allow" }
                    button name="action" value="block" class="danger" { "Block the callers" }
                    @if shows_dismissed { button name="action" value="restore" { "Show again" } }
                    @else { button name="action" value="dismiss" { "Dismiss" } }
                }
            }
            @if !shows_dismissed {
                p class="help" { "A dismissed pair appears again when its next call is refused, or when the console is started again. The last " (MAX_CALLS) " calls are counted." }
            }
        }
    }
}

fn table(console: &Console, rows: &[(Pair, Option<Now>)], shows_dismissed: bool) -> Markup {
    let is_editable = !console.settings.is_read_only;
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Refused pairs" {
            table class="steady" {
                caption class="hidden" { "Pairs of parties whose calls are refused" }
                thead { tr {
                    @if is_editable { th scope="col" class="check" { input type="checkbox" data-check-all="pair" aria-label="Check all pairs of this page"; } }
                    th scope="col" class="number" { "Calls" }
                    th scope="col" class="party" { "Caller" }
                    th scope="col" class="party" { "Callee" }
                    th scope="col" class="time" { "Last call" }
                    th scope="col" { "Why, and what would permit it" }
                    @if is_editable { th scope="col" { "Actions" } }
                } }
                tbody { @for (pair, now) in rows { (row(console, pair, now.as_ref(), shows_dismissed)) } }
            }
        }
    }
}

fn row(console: &Console, pair: &Pair, now: Option<&Now>, shows_dismissed: bool) -> Markup {
    let Pair { key: PairKey { app, caller, callee }, count, first, last, because, call } = pair;
    let value = encode(pair, now);
    let names = format!(" {} to {}", escape(caller), escape(callee));
    html! {
        tr id=(row_id(pair)) {
            @if !console.settings.is_read_only {
                td class="check" { input type="checkbox" name="pair" value=(value) aria-label={ "Check" (names) }; }
            }
            td class="number" data-label="Calls" { (count) }
            td data-label="Caller" { (party_link(app, caller)) }
            td data-label="Callee" { (party_link(app, callee)) span class="help" { "app " (text(app)) } }
            td data-label="Last call" {
                (page::time(last.div_euclid(1_000_000)))
                @if *count > 1 { span class="help" { "first " (page::time(first.div_euclid(1_000_000))) } }
            }
            td class="wide" {
                (text(because))
                @match now {
                    Some(Now::Refused(steps)) => {
                        span class="help" { "Allow writes: " @for (number, step) in steps.iter().enumerate() { @if number > 0 { ", then " } (text(&step.text)) } }
                    },
                    Some(Now::Invalid(command)) => { span class="help" { "No rule can permit it as long as what is stored is invalid: " code { (text(command)) } } },
                    // Those are not shown.
                    Some(Now::Permitted) => {},
                    None => { span class="help" { "An id in the log is not in canonical form, so no rule can be written for it." } },
                }
                @if let Some(call) = call { " " a href=(check_link(call)) { "Show all doors" span class="hidden" { " for" (names) } } }
            }
            @if !console.settings.is_read_only {
                td class="wide" {
                    @if let Some(Now::Refused(steps)) = now {
                        @if steps.iter().all(|step| step.only_adds) { button name="week" value=(value) { "Allow for a week" span class="hidden" { (names) } } " " }
                        button name="allow" value=(value) { "Allow" span class="hidden" { (names) } } " "
                    }
                    @if now.is_some() { button name="block" value=(value) class="danger" { "Block caller" span class="hidden" { " " (escape(caller)) } } " " }
                    @if shows_dismissed { button name="restore" value=(value) { "Show again" span class="hidden" { (names) } } }
                    @else { button name="dismiss" value=(value) { "Dismiss" span class="hidden" { (names) } } }
                }
            }
        }
    }
}

/// An id of a row that stays the same when others arrive.
fn row_id(Pair { key: PairKey { app, caller, callee }, .. }: &Pair) -> String {
    let fields = [("a", app.as_str()), ("f", caller.as_str()), ("t", callee.as_str())];
    format!("pair{}", link("", fields))
}

/// A pair as the value of a field, with the commands that would permit its calls and what is stored in their places.
fn encode(Pair { key: PairKey { app, caller, callee }, last, call, .. }: &Pair, now: Option<&Now>) -> String {
    let last = last.to_string();
    let media = call.iter().flat_map(|call| media_fields(call.media));
    let steps = match now {
        Some(Now::Refused(steps)) => steps.as_slice(),
        _ => &[],
    };
    let seen: Vec<_> = steps.iter().map(|step| shown(&before(step))).collect();
    let seen = seen.iter().map(|seen| (SEEN, seen.as_str()));
    let commands = steps.iter().map(|step| ("step", step.command.as_str()));
    let fields = [("app", app.as_str()), ("from", caller.as_str()), ("to", callee.as_str()), ("last", last.as_str())];
    link("", fields.into_iter().chain(media).chain(commands).chain(seen)).trim_start_matches('?').to_owned()
}

/// A pair of a form.
struct Checked {
    key: PairKey,
    last: EpochMicroseconds,
    call: Result<Call, String>,
    /// The commands that the page showed, and what was stored in their places.
    steps: Vec<String>,
    seen: Vec<String>,
}

impl Checked {
    fn parse(table: &Table, encoded: &str) -> Result<Self, PageError> {
        let fields = Fields::of(encoded.as_bytes());
        let field = |name: &str| {
            fields
                .get(name)
                .map(str::to_owned)
                .ok_or_else(|| PageError::invalid(format!("The field `{name}` is missing.")))
        };
        let key = PairKey { app: field("app")?, caller: field("from")?, callee: field("to")? };
        let last = field("last")?.parse().map_err(|_| PageError::invalid("The field `last` is not a time."))?;
        let media = media_of(&fields);
        let call = (|| {
            let (app, caller) = (table.parse_app(&key.app)?, table.parse_party(&key.caller)?);
            Ok(Call { app, caller, callee: table.parse_party(&key.callee)?, media })
        })();
        let call = call.map_err(|error: callgate_admin::Error| error.to_string());
        let steps = fields.all("step").map(str::to_owned).collect();
        Ok(Self { key, last, call, steps, seen: fields.seen().map(str::to_owned).collect() })
    }
}

/// Does something with the checked pairs, or with the one whose button was pressed.
async fn apply(State(console): State<Arc<Console>>, Form(fields): Form) -> Result<Response, PageError> {
    const ACTIONS: [&str; 5] = ["week", "allow", "block", "dismiss", "restore"];
    let pressed = ACTIONS.into_iter().find_map(|action| Some((action, vec![fields.get(action)?])));
    let (action, encoded) =
        pressed.unwrap_or_else(|| (fields.get("action").unwrap_or_default(), fields.all("pair").collect()));
    let mut pairs = Vec::new();
    for encoded in encoded {
        pairs.push(Checked::parse(&console.settings.table, encoded)?);
    }
    let note = fields.get("note").map_or(Edit::Keep, |note| Edit::Set(note.to_owned()));
    let wanted = match action {
        "dismiss" | "restore" => {
            return Ok(redirect(&console, back(&fields, PATH), dismiss(&console, &pairs, action == "dismiss")));
        }
        "week" => allow(&console.settings.table, &pairs, Some(now() + WEEK), &note).await,
        "allow" => allow(&console.settings.table, &pairs, None, &note).await,
        "block" => block(&pairs, &note),
        other => return Err(PageError::invalid(format!("`{other}` is not something to do with pairs."))),
    };
    let advice = "Nothing was written: check pairs, and choose a button for what to do with them.";
    let message = console.perform_each(wanted, "change", advice).await;
    Ok(redirect(&console, back(&fields, PATH), message))
}

fn dismiss(console: &Console, pairs: &[Checked], is_dismissed: bool) -> Message {
    let mut dismissed = console.dismissed.lock();
    let mut done = 0;
    for Checked { key, last, .. } in pairs {
        if !is_dismissed {
            dismissed.remove(key);
            done += 1;
        } else if dismissed.len() < MAX_DISMISSED {
            dismissed.insert(key.clone(), *last);
            done += 1;
        }
    }
    let text = match (done, pairs.len() as u64) {
        (_, 0) => "Nothing was done, because no pair was checked.".to_owned(),
        (done, all) if done < all => format!("Dismissed: {done} of {all} pairs, because no more can be remembered."),
        (done, _) => format!("{}: {}.", if is_dismissed { "Dismissed" } else { "Shown again" }, count(done, "pair")),
    };
    Message { text, is_problem: pairs.is_empty() || done < pairs.len() as u64, ..Message::default() }
}

/// The steps that permit the calls of pairs, if they are still those that the page showed.
async fn allow(table: &Table, pairs: &[Checked], until: Option<EpochSeconds>, note: &Edit<String>) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let conditions =
        BlockEdit { expires_at: until.map_or(Edit::Keep, Edit::Set), list: Edit::Keep, note: note.clone() };
    for Checked { key, call, steps, seen, .. } in pairs {
        let name = format!("allow {} to call {}", key.caller, key.callee);
        let state = match call {
            Ok(call) => state(table, call).await.map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        let why = match state {
            Ok(Now::Refused(now))
                if now.iter().map(|step| &step.command).eq(steps)
                    && now.iter().map(before).eq(seen.iter().cloned()) =>
            {
                if until.is_some() && !now.iter().all(|step| step.only_adds) {
                    let texts: Vec<_> = now.iter().map(|step| step.text.as_str()).collect();
                    format!(
                        "that takes: {}; what this changes would not come back after a week, so allow it without an end",
                        texts.join(", then ")
                    )
                } else {
                    let actions = with_conditions(now, seen.iter().cloned(), &conditions);
                    wanted.push(Wanted { name, actions: Ok(actions) });
                    continue;
                }
            }
            Ok(Now::Refused(_)) => {
                "the rules changed since the page was loaded, and something else is needed now".to_owned()
            }
            Ok(Now::Permitted) => "it is permitted already".to_owned(),
            Ok(Now::Invalid(command)) => format!("what is stored is invalid: {command}"),
            Err(why) => why,
        };
        wanted.push(Wanted { name, actions: Err(why) });
    }
    wanted
}

/// Blocks the callers of pairs, each once.
fn block(pairs: &[Checked], note: &Edit<String>) -> Vec<Wanted> {
    let mut seen = BTreeSet::new();
    let pairs = pairs.iter().filter(|pair| seen.insert((&pair.key.app, &pair.key.caller)));
    let wanted = pairs.map(|Checked { key, call, .. }| {
        let edit = BlockEdit { note: note.clone(), ..BlockEdit::default() };
        let actions = call.clone().map(|Call { app, caller, .. }| vec![(Action::Block { app, caller, edit }, None)]);
        Wanted { name: format!("block {}", key.caller), actions }
    });
    wanted.collect()
}
