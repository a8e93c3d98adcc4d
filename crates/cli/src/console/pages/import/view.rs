//! What the page of a file shows.

use std::sync::atomic::Ordering;

use callgate_admin::import::{Applied, Difference, DifferenceCounts, OtherRules};
use callgate_admin::rule_file::Problems;
use callgate_admin::wording::count;
use maud::{Markup, html};

use super::work::{Plan, Stage, Upload, Written};
use crate::console::page::{hidden, new_app_box, text};

/// The end of work without a result, what was written before, and the next steps.
pub(super) fn ended(path: &str, upload: &Upload, what: &str, why: &str) -> Markup {
    let written = upload.written.load(Ordering::Relaxed);
    html! {
        div class="message problem" role="alert" {
            p { (what) @if !why.is_empty() { " " (text(why)) "." } }
            p { @if written == 0 { "Nothing was written." } @else { "Before that, " (count(written, "rule")) " were written or removed." } }
        }
        (next_steps(path, upload))
    }
}

fn next_steps(path: &str, upload: &Upload) -> Markup {
    // While the file is in use, it is kept.
    let is_kept = upload.import.try_lock().map_or(true, |import| import.is_some());
    html! {
        div class="actions" {
            @if is_kept {
                form method="post" action={ (path) "/compare" } { button { "Compare the file with the table again" } }
            }
            form method="post" action={ (path) "/discard" } { button { "Discard the file" } }
        }
    }
}

impl Stage {
    pub(super) fn markup(&self, path: &str, upload: &Upload) -> Markup {
        match self {
            Self::Refused(problems) => refused(problems, path),
            Self::Planned(plan) => plan.markup(path, upload),
            Self::Written(written) => written.markup(),
            Self::Unfinished { done, total, why } => html! {
                div class="message problem" role="alert" {
                    p { (done) " of " (total) " rules are written or removed. " (text(why)) }
                    p { "At every moment, a call is permitted only if the rules before the import, or those after it, permit it." }
                }
                (next_steps(path, upload))
            },
        }
    }
}

fn refused(problems: &Problems, path: &str) -> Markup {
    let title = format!("{} in the file. Nothing was written.", count(problems.count, "problem"));
    html! {
        div class="message problem" role="alert" { p { (title) } }
        section class="card" aria-labelledby="problems" {
            h2 id="problems" { "Problems by kind" }
            div class="scroll" tabindex="0" role="region" aria-label="Problems" {
                table {
                    caption class="hidden" { "Problems of the file, by kind" }
                    thead { tr {
                        th scope="col" class="number" { "Lines" }
                        th scope="col" { "First line" }
                        th scope="col" { "Column" }
                        th scope="col" { "Value" }
                        th scope="col" { "What is wrong" }
                    } }
                    tbody {
                        @for kind in &problems.kinds {
                            tr {
                                td class="number" { (kind.count) }
                                td {
                                    (kind.first.line)
                                    @for line in &kind.lines { ", " (line) }
                                    @if kind.count > kind.lines.len() as u64 + 1 { ", …" }
                                }
                                td { (text(&kind.first.column)) }
                                td { (text(&kind.first.value)) }
                                td { (text(&kind.first.reason)) }
                            }
                        }
                    }
                }
            }
            @if problems.other_count() > 0 { p { "and " (problems.other_count()) " more of other kinds" } }
            p { "Correct the file, and choose it again." }
        }
        form method="post" action={ (path) "/discard" } { button { "Discard the file" } }
    }
}

impl Plan {
    fn markup(&self, path: &str, upload: &Upload) -> Markup {
        let Self { counts, shown, fingerprint, notices, unknown_apps, changed } = self;
        let DifferenceCounts { added, changed: replaced, removed, unchanged } = *counts;
        let all = counts.written() + removed;
        let [changes, removals] = shown;
        let which = match (&upload.list, &upload.app) {
            (Some(_), _) => "of the list that are not in the file",
            (None, _) => "of these apps that are not in the file",
        };
        html! {
            @if let Some(why) = changed { div class="message problem" role="alert" { p { (text(why)) } } }
            @if !notices.is_empty() {
                div class="message notice" role="status" {
                    p { "Notices: the file is valid, but look at these lines." }
                    ul { @for line in notices { li { (text(line)) } } }
                }
            }
            section class="card" aria-labelledby="difference" {
                h2 id="difference" { "What would change" }
                p {
                    (count(added, "rule")) " would be added, " (replaced) " changed, " (removed) " removed; " (unchanged)
                    " stay as they are."
                }
                @if all == 0 {
                    p { "The table has all of this already. There is nothing to write." }
                } @else {
                    // Removals first, because they are to be confirmed.
                    @for (list, all, name) in [
                        (removals, removed, "Rules that would be removed"),
                        (changes, counts.written(), "Rules that would be added or changed"),
                    ] {
                        @if !list.is_empty() {
                            div class="scroll tall" tabindex="0" role="region" aria-label=(name) {
                                ul class="diff" { @for it in list { (difference(it)) } }
                            }
                        }
                        @let more = all.saturating_sub(list.len() as u64);
                        @if more > 0 { p class="help" { "and " (more) " more" } }
                    }
                    form class="fields" method="post" action={ (path) "/write" } {
                        (hidden("plan", &fingerprint.to_string()))
                        @for (app, similar) in unknown_apps { (new_app_box(app, similar)) }
                        @if removed > 0 {
                            label {
                                input type="checkbox" name="remove" value="yes" required;
                                "Remove " (count(removed, "rule")) " " (which)
                            }
                        }
                        div { button class="primary" { "Write " (count(all, "change")) } }
                    }
                }
            }
            form method="post" action={ (path) "/discard" } { button { "Discard the file" } }
        }
    }
}

fn difference(difference: &Difference) -> Markup {
    let (class, word, rule, previous) = match difference {
        Difference::Added(rule) => ("added", "added: ", rule, None),
        Difference::Changed { rule, previous } => ("changed", "changed: ", rule, Some(previous)),
        Difference::Removed(rule) => ("removed", "removed: ", rule, None),
    };
    html! {
        li class=(class) {
            span class="hidden" { (word) } (text(&rule.text()))
            @if let Some(previous) = previous { " " small { "It is: " (text(&previous.text())) } }
        }
    }
}

impl Written {
    fn markup(&self) -> Markup {
        let Self { applied: Applied { written, removed }, unchanged, others } = self;
        let none = OtherRules::default();
        let OtherRules { others, missing, counts } = match others {
            Ok(others) => others,
            Err(_) => &none,
        };
        let disturbed = counts.removed + counts.written();
        html! {
            div class="message done" role="status" {
                p {
                    "Imported: " (count(*written, "rule")) " written"
                    @if *removed > 0 { ", " (removed) " removed" }
                    @if *unchanged > 0 { ", " (unchanged) " unchanged" }
                    "."
                }
            }
            @if let Err(why) = &self.others {
                div class="message notice" role="status" {
                    p { "Whether another writer changed these apps during the import is not known: " (text(why)) "." }
                }
            }
            @if disturbed > 0 {
                div class="message problem" role="alert" {
                    p { "Another writer changed these apps during the import. Find that change in the history, then import the correct \
                         file again." }
                }
                @for (rules, all, what) in [
                    (others, counts.removed, "of these apps not in the file"),
                    (missing, counts.written(), "of the file missing or changed"),
                ] {
                    @if all > 0 {
                        section class="card" {
                            h2 { (count(all, "rule")) " " (what) }
                            ul { @for rule in rules { li { (text(&rule.text())) } } }
                            @if all > rules.len() as u64 { p { "and " (all - rules.len() as u64) " more" } }
                        }
                    }
                }
            }
            p { a href="/history" { "See the changes in the history" } }
        }
    }
}
