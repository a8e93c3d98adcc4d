//! What an import would change: the file's rules beside the table's.

use std::collections::HashMap;
use std::io::Write;

use anyhow::Context as _;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use callgate::store::item::{Attributes, Key};
use serde_json::{Value, json};

use crate::connection::{Output, Table};
use crate::items::keys;
use crate::outcome::Outcome;
use crate::say::{count, print_line};
use crate::spool::{Set, Spool, Spooled};
use crate::statement::{Row, same};
use crate::stored::{StoredRule, rules_of};

/// `BatchGetItem` takes no more.
const BATCH: usize = 100;

/// How many scans look for rules that are not in the file.
const SEGMENTS: u16 = 4;

#[derive(Debug, Default)]
struct Counts {
    added: u64,
    changed: u64,
    unchanged: u64,
}

/// Finds the rules of the file's apps that are not in the file.
pub(crate) async fn find_gone(table: &Table, spool: &Spool) -> anyhow::Result<()> {
    let mut pages = table.scan(SEGMENTS);
    while let Some(page) = pages.recv().await {
        for item in page? {
            let (Some(rules), Some((pk, sk))) = (rules_of(&item), keys(&item)) else { continue };
            for stored in rules {
                let at = [pk, sk, stored.list.unwrap_or_default(), stored.entry.as_str()];
                if spool.has_app(&stored.app)? && !spool.wants(at)? {
                    spool.insert(Set::Gone, at, &row_of(&stored), 0)?;
                }
            }
        }
    }
    Ok(())
}

/// Of a rule that cannot be understood only whom it is about.
fn row_of(stored: &StoredRule) -> Row {
    let StoredRule { app, from, to, rule, .. } = stored;
    match rule {
        Ok(rule) => Row::of(app, from, to, rule),
        Err(_) => Row::not_understood(app, from, to),
    }
}

/// Shows what would go, and nothing else.
pub(crate) fn print_gone(spool: &Spool, out: &mut impl Write) -> anyhow::Result<()> {
    spool.each(Set::Gone, |spooled| Ok(writeln!(out, "- {}", spooled.row.in_words())?))
}

/// Shows what would be added, changed and removed.
pub(crate) async fn show(table: &Table, spool: Spool) -> anyhow::Result<Outcome> {
    let (chunks, mut reader) = tokio::sync::mpsc::channel::<Vec<Spooled>>(2);
    let feeder = tokio::task::spawn_blocking(move || -> anyhow::Result<Spool> {
        let mut chunk: Vec<Spooled> = Vec::new();
        spool.each(Set::Wanted, |spooled| {
            if chunk.len() >= BATCH {
                chunks.blocking_send(std::mem::take(&mut chunk)).context("the comparison has stopped")?;
            }
            chunk.push(spooled);
            Ok(())
        })?;
        if !chunk.is_empty() {
            chunks.blocking_send(chunk).context("the comparison has stopped")?;
        }
        drop(chunks);
        Ok(spool)
    });
    let mut counts = Counts::default();
    while let Some(chunk) = reader.recv().await {
        compare(table, &chunk, &mut counts).await?;
    }
    let spool = feeder.await??;
    let removed = spool.count(Set::Gone)?;
    let Counts { added, changed, unchanged } = counts;
    match table.output {
        Output::Text => {
            print_gone(&spool, &mut std::io::stdout())?;
            print_line(format!(
                "{} would be added, {changed} changed, {removed} removed; {unchanged} stay as they are",
                count(added, "rule")
            ))?;
        }
        Output::Json => {
            spool.each(Set::Gone, |spooled| {
                print_line(line("removed", &spooled.row, None))?;
                Ok(())
            })?;
            print_line(
                json!({"result": "dry_run", "added": added, "changed": changed, "removed": removed, "unchanged": unchanged}),
            )?;
        }
    }
    Ok(Outcome::Done)
}

async fn compare(table: &Table, chunk: &[Spooled], counts: &mut Counts) -> anyhow::Result<()> {
    let mut wanted: Vec<Key> = Vec::new();
    for Spooled { pk, sk, .. } in chunk {
        // They come in order, so that the same key comes again at once.
        if wanted.last().is_none_or(|last| last.pk != *pk || last.sk != *sk) {
            wanted.push(Key { pk: pk.clone(), sk: sk.clone() });
        }
    }
    let mut stored: HashMap<[String; 4], StoredRule> = HashMap::new();
    for item in table.get_many(&wanted).await? {
        let (Some(rules), Some((pk, sk))) = (rules_of(&item), keys(&item)) else { continue };
        for rule in rules {
            let at = [pk.to_owned(), sk.to_owned(), rule.list.unwrap_or_default().to_owned(), rule.entry.clone()];
            stored.insert(at, rule);
        }
    }
    for Spooled { pk, sk, list, entry, row } in chunk {
        let at = [pk, sk, list, entry].map(Clone::clone);
        let before = stored.get(&at);
        let rule = row.rule()?;
        let (mark, word) = match before.map(|before| &before.rule) {
            Some(Ok(before)) if same(before, &rule) => {
                counts.unchanged += 1;
                continue;
            }
            Some(_) => {
                counts.changed += 1;
                ('~', "changed")
            }
            None => {
                counts.added += 1;
                ('+', "added")
            }
        };
        let before = before.map(row_of);
        match table.output {
            Output::Json => print_line(line(word, row, before.as_ref()))?,
            Output::Text => {
                let was = before.map(|it| format!(" [it is: {}]", it.in_words())).unwrap_or_default();
                print_line(format!("{mark} {}{was}", row.in_words()))?;
            }
        }
    }
    Ok(())
}

fn line(change: &str, row: &Row, previous: Option<&Row>) -> Value {
    json!({"change": change, "rule": row, "previous": previous})
}

impl Table {
    /// The items that are there under up to a hundred keys.
    async fn get_many(&self, wanted: &[Key]) -> anyhow::Result<Vec<Attributes>> {
        let mut items = Vec::new();
        let mut keys: Vec<_> = wanted.iter().map(Key::attributes).collect();
        while !keys.is_empty() {
            let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build()?;
            let answer = self.client.batch_get_item().request_items(&self.name, request).send().await;
            let answer = answer.map_err(|error| self.failed(&error).context("cannot read the table"))?;
            items.extend(answer.responses.unwrap_or_default().into_values().flatten());
            let left = answer.unprocessed_keys.unwrap_or_default();
            keys = left.into_values().flat_map(|table| table.keys).collect();
        }
        Ok(items)
    }
}
