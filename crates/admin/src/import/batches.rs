//! Puts the rules of a phase into batches, one for each request.

use aws_sdk_dynamodb::types::WriteRequest;
use callgate::store::item::{self, Attributes, Key};
use tokio::sync::mpsc;

use super::Data;
use super::plan::{Change, Plan};
use super::steps::{Action, Phase, Step};
use crate::error::{Error, Result};
use crate::rule_row::{RuleRow, block_of_rule};
use crate::stored_rule::BLOCKED;
use crate::table::batch::{MAX_ENTRIES, MAX_ITEMS, put_request};

/// Puts the rules of a phase into batches for the writers.
pub(super) fn feed(data: &Data, plan: &Plan, phase: Phase, queue: mpsc::Sender<Batch>) -> Result<()> {
    let mut feeder = Feeder { plan, queue, sent: 0, puts: [None, None], removals: [None, None] };
    plan.for_each_group(data, |group| {
        for change in group {
            for step in change.steps().into_iter().filter(|step| step.phase == phase) {
                feeder.add(&change, step)?;
            }
        }
        Ok::<_, Error>(())
    })?;
    feeder.finish()
}

/// A rule of a batch.
#[derive(Debug, Clone)]
pub(super) struct PlannedRule {
    pub(super) line: Option<u64>,
    pub(super) row: RuleRow,
    pub(super) is_removal: bool,
    /// Whether there is a stored rule that the history keeps.
    pub(super) has_previous: bool,
    /// Whether the change of the rule is complete after this.
    pub(super) is_last: bool,
}

/// The rules of one request: pair items, entries of one list, or one block.
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) rules: Vec<PlannedRule>,
    pub(super) action: BatchAction,
}

/// What happens to the rules of a batch. Each vector has as many elements as the batch has rules.
pub(super) enum BatchAction {
    PutPairs(Vec<WriteRequest>),
    PutEntries(Key, String, Vec<(String, Attributes)>),
    PutBlock(Key, Attributes),
    RemovePairs(Vec<Key>),
    RemoveEntries(Key, String, Vec<String>),
    RemoveBlock(Key),
}

/// Collects rules that can be written with one request, and sends full batches to the writers.
struct Feeder<'a> {
    plan: &'a Plan,
    queue: mpsc::Sender<Batch>,
    sent: u64,
    /// The batch of pairs and the batch of entries that are not full yet.
    puts: [Option<Batch>; 2],
    removals: [Option<Batch>; 2],
}

impl Feeder<'_> {
    fn add(&mut self, change: &Change, step: Step) -> Result<()> {
        let [pk, sk, list, entry] = change.key.clone();
        let (key, Step { phase: _, action, is_last }) = (Key { pk, sk }, step);
        let new = match (&change.new, action) {
            (_, Action::PutUnion(rule)) => Some(rule),
            (Some((_, rule)), Action::Put) => Some(rule.clone()),
            (_, Action::Put | Action::Remove) => None,
        };
        // Only the rule that was planned to be removed is removed.
        let old = change.old.as_ref().filter(|_| new.is_none()).map(|(old, _)| &old.row);
        let Some(row) = old.or(change.row()) else { return Ok(()) };
        let line = change.new.as_ref().map(|(rule, _)| rule.number);
        let (is_removal, has_previous) = (change.kind.is_removal(), change.has_previous());
        let rule = PlannedRule { line, row: row.clone(), is_removal, has_previous, is_last };
        if list == BLOCKED {
            let action = match new {
                Some(new) => BatchAction::PutBlock(key, item::write_block(&block_of_rule(&self.plan.author.sign(new)))),
                None => BatchAction::RemoveBlock(key),
            };
            return self.send(Batch { rules: vec![rule], ..Batch::new(action) });
        }
        let [pairs, entries] = if new.is_some() { &mut self.puts } else { &mut self.removals };
        let slot = if list.is_empty() { pairs } else { entries };
        let is_full = slot.as_ref().is_some_and(|batch| !batch.has_room(&key, &list));
        let full = if is_full { slot.take() } else { None };
        let attributes = new.map(|rule| item::write_rule(&self.plan.author.sign(rule)));
        match (attributes, list.is_empty()) {
            (Some(mut attributes), true) => {
                attributes.extend(key.attributes());
                let request = put_request(attributes)?;
                let batch = slot.get_or_insert_with(|| Batch::new(BatchAction::PutPairs(Vec::new())));
                batch.rules.push(rule);
                if let BatchAction::PutPairs(requests) = &mut batch.action {
                    requests.push(request);
                }
            }
            (Some(attributes), false) => {
                let batch = slot.get_or_insert_with(|| Batch::new(BatchAction::PutEntries(key, list, Vec::new())));
                batch.rules.push(rule);
                if let BatchAction::PutEntries(_, _, entries) = &mut batch.action {
                    entries.push((entry, attributes));
                }
            }
            (None, true) => {
                let batch = slot.get_or_insert_with(|| Batch::new(BatchAction::RemovePairs(Vec::new())));
                batch.rules.push(rule);
                if let BatchAction::RemovePairs(keys) = &mut batch.action {
                    keys.push(key);
                }
            }
            (None, false) => {
                let batch = slot.get_or_insert_with(|| Batch::new(BatchAction::RemoveEntries(key, list, Vec::new())));
                batch.rules.push(rule);
                if let BatchAction::RemoveEntries(_, _, entries) = &mut batch.action {
                    entries.push(entry);
                }
            }
        }
        full.map_or(Ok(()), |batch| self.send(batch))
    }

    fn finish(&mut self) -> Result<()> {
        let rest: Vec<_> = self.puts.iter_mut().chain(&mut self.removals).filter_map(Option::take).collect();
        rest.into_iter().try_for_each(|batch| self.send(batch))
    }

    fn send(&mut self, batch: Batch) -> Result<()> {
        self.sent += 1;
        let batch = Batch { number: self.sent, ..batch };
        self.queue.blocking_send(batch).map_err(|_| Error::Stopped("the writers have stopped".to_owned()))
    }
}

impl Batch {
    fn new(action: BatchAction) -> Self {
        Self { number: 0, rules: Vec::new(), action }
    }

    /// Whether a rule of this item and list can be added.
    fn has_room(&self, key: &Key, list: &str) -> bool {
        match &self.action {
            BatchAction::PutPairs(_) | BatchAction::RemovePairs(_) => self.rules.len() < MAX_ITEMS,
            BatchAction::PutEntries(own, own_list, _) | BatchAction::RemoveEntries(own, own_list, _) => {
                own == key && own_list == list && self.rules.len() < MAX_ENTRIES
            }
            BatchAction::PutBlock(..) | BatchAction::RemoveBlock(_) => false,
        }
    }
}
