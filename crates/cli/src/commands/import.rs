//! `import`: rules of a file into the table.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use callgate::store::item::{self, Attributes, Key};
use callgate_core::{EpochSeconds, Rule};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::sync::{Mutex, mpsc};

use crate::connection::{Options as Connection, Output, Table, now};
use crate::dialled::DialPlanWarning;
use crate::diff;
use crate::interrupts::Interrupts;
use crate::items::{Change, Expression};
use crate::outcome::Outcome;
use crate::rows::{self, Format, Problem};
use crate::rules::confirm;
use crate::say::{self, print_error, print_line, print_note};
use crate::spool::{Added, Set, Spool, Spooled};
use crate::statement::Row;

/// `BatchWriteItem` takes no more.
const BATCH: usize = 25;

/// Entries of a list that are written at once: the longest expression `DynamoDB` takes is 4 KB.
const ENTRIES: usize = 100;

/// How often a batch is sent again that was not processed at all.
const MAX_ATTEMPTS: u32 = 12;

/// More problems of a file than these are only counted.
const MAX_PROBLEMS: usize = 1_000;

/// What to read, and how to write it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How it is written; without, seen from its first character
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write nothing: show what would be added and changed
    #[arg(long)]
    dry_run: bool,
    /// Remove the rules of the file's apps that are not in the file
    #[arg(long)]
    replace: bool,
    /// Ask no question before rules are removed
    #[arg(long, short)]
    yes: bool,
    /// How many requests are under way at once
    #[arg(long, default_value_t = 16, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

/// Reads the whole file, and only then writes.
pub(crate) async fn run(options: &Options, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    let Checked { spool, problems, count, notes } = {
        let (options, table) = (options.clone(), table.clone());
        tokio::task::spawn_blocking(move || read(&options, &table)).await??
    };
    if count > 0 {
        return refuse(&table, &problems, count);
    }
    for note in &notes {
        print_note(format!("note: {note}"));
    }
    table.probe().await?;
    if options.replace {
        diff::find_gone(&table, &spool).await?;
    }
    if options.dry_run {
        return diff::show(&table, spool).await;
    }
    let gone = spool.count(Set::Gone)?;
    if gone > 0 && !options.yes {
        diff::print_gone(&spool, &mut std::io::stderr())?;
        if !std::io::stdin().is_terminal() {
            bail!("{} would be removed; nothing was written; say --yes to do it", say::count(gone, "rule"));
        }
        if !confirm(&format!("{} not in the file will be removed", say::count(gone, "rule")))? {
            bail!("nothing was written");
        }
    }
    write(&table, spool, options.concurrency).await
}

/// What the file says.
struct Checked {
    spool: Spool,
    /// The first of what is wrong with it, and how much that is.
    problems: Vec<Problem>,
    count: u64,
    /// The first lines that are right and may not mean what somebody thought.
    notes: Vec<Problem>,
}

/// Checks every line and puts the rules in order.
fn read(options: &Options, table: &Table) -> anyhow::Result<Checked> {
    let source: Box<dyn Read> = if options.file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let name = options.file.display();
        Box::new(File::open(&options.file).with_context(|| format!("`{name}` cannot be opened"))?)
    };
    let spool = Spool::new()?;
    let (mut problems, mut count, mut notes) = (Vec::new(), 0, Vec::new());
    let mut complain = |problem| {
        count += 1;
        if problems.len() < MAX_PROBLEMS {
            problems.push(problem);
        }
    };
    let mut app = None;
    rows::read(source, options.format, &table.plan, |line| {
        match line.rule {
            Err(wrong) => wrong.into_iter().for_each(&mut complain),
            Ok((target, location, rule)) => {
                // Most files are of one app, or have one after the other.
                if app.as_ref() != Some(&target.app) {
                    spool.add_app(target.app.as_str())?;
                    app = Some(target.app.clone());
                }
                if let Some((side, reason)) =
                    DialPlanWarning::for_target(&target, &table.plan).filter(|_| notes.len() < MAX_PROBLEMS)
                {
                    let value = if side == "from" { &target.from } else { &target.to }.to_string();
                    notes.push(Problem { line: line.number, column: side.to_owned(), value, reason });
                }
                let added = spool.add(Set::Wanted, &location, &Row::new(&target, &rule), line.number)?;
                if let Added::Contradicts(other) = added {
                    complain(Problem {
                        line: line.number,
                        column: "from,to".to_owned(),
                        value: format!("{},{}", target.from, target.to),
                        reason: format!("says something else than line {other} about the same parties"),
                    });
                }
            }
        }
        Ok(())
    })?;
    Ok(Checked { spool, problems, count, notes })
}

fn refuse(table: &Table, problems: &[Problem], count: u64) -> anyhow::Result<Outcome> {
    match table.output {
        Output::Json => {
            print_line(json!({"result": "refused", "written": 0, "problems": problems, "count": count}))?;
        }
        Output::Text => {
            problems.iter().for_each(print_note);
            let more = count.saturating_sub(problems.len() as u64);
            if more > 0 {
                print_note(format!("... and {more} more"));
            }
        }
    }
    print_error(format!("{} in the file; nothing was written", say::count(count, "problem")));
    Ok(Outcome::Failed)
}

/// One request: rules of pairs, or entries of one list.
enum Batch {
    Pairs(Vec<WriteRequest>),
    Entries(Entries),
}

/// What is to change in one list of one item.
struct Entries {
    key: Key,
    list: String,
    put: Vec<(String, Attributes)>,
    remove: Vec<String>,
}

impl Entries {
    fn len(&self) -> usize {
        self.put.len() + self.remove.len()
    }
}

impl Batch {
    fn rules(&self) -> u64 {
        match self {
            Self::Pairs(requests) => requests.len() as u64,
            Self::Entries(entries) => entries.len() as u64,
        }
    }
}

/// Puts rules together that go into one request.
struct Batches {
    queue: mpsc::Sender<Batch>,
    pairs: Vec<WriteRequest>,
    entries: Option<Entries>,
    writer: String,
    now: EpochSeconds,
}

impl Batches {
    fn add(&mut self, set: Set, spooled: Spooled) -> anyhow::Result<()> {
        let Spooled { pk, sk, list, entry, row } = spooled;
        let key = Key { pk, sk };
        let rule = || -> anyhow::Result<Attributes> {
            let rule = Rule { updated_at: Some(self.now), updated_by: Some(self.writer.clone()), ..row.rule()? };
            Ok(item::write_rule(&rule))
        };
        if list.is_empty() {
            let request = match set {
                Set::Wanted => {
                    let mut item = rule()?;
                    item.extend(key.attributes());
                    WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build()?)
                }
                Set::Gone => WriteRequest::builder()
                    .delete_request(DeleteRequest::builder().set_key(Some(key.attributes())).build()?),
            };
            self.pairs.push(request.build());
            return if self.pairs.len() < BATCH { Ok(()) } else { self.send_pairs() };
        }
        let change = match set {
            Set::Wanted => Some(rule()?),
            Set::Gone => None,
        };
        let is_other = |at: &Entries| at.key != key || at.list != list || at.len() >= ENTRIES;
        if self.entries.as_ref().is_some_and(is_other) {
            self.send_entries()?;
        }
        let entries = self.entries.get_or_insert_with(|| Entries { key, list, put: Vec::new(), remove: Vec::new() });
        match change {
            Some(rule) => entries.put.push((entry, rule)),
            None => entries.remove.push(entry),
        }
        Ok(())
    }

    fn send_pairs(&mut self) -> anyhow::Result<()> {
        let pairs = std::mem::take(&mut self.pairs);
        if pairs.is_empty() { Ok(()) } else { self.send(Batch::Pairs(pairs)) }
    }

    fn send_entries(&mut self) -> anyhow::Result<()> {
        self.entries.take().map_or(Ok(()), |entries| self.send(Batch::Entries(entries)))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.send_pairs()?;
        self.send_entries()
    }

    fn send(&self, batch: Batch) -> anyhow::Result<()> {
        self.queue.blocking_send(batch).map_err(|_| anyhow!("the writers have stopped"))
    }
}

/// What the writers share.
struct Shared {
    table: Table,
    bar: ProgressBar,
    written: AtomicU64,
    stopped: AtomicBool,
}

async fn write(table: &Table, spool: Spool, concurrency: u16) -> anyhow::Result<Outcome> {
    // From here on an interruption says how far it came.
    let mut interrupts = Interrupts::listen()?;
    let (wanted, gone) = (spool.count(Set::Wanted)?, spool.count(Set::Gone)?);
    let shared = Arc::new(Shared {
        table: table.clone(),
        bar: progress(table, wanted + gone)?,
        written: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    });
    let (full, queue) = mpsc::channel(usize::from(concurrency));
    let mut feeder =
        Batches { queue: full, pairs: Vec::new(), entries: None, writer: table.writer().await, now: now() };
    let feeder = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        for set in [Set::Wanted, Set::Gone] {
            spool.each(set, |spooled| feeder.add(set, spooled))?;
            feeder.finish()?;
        }
        Ok(())
    });
    let queue = Arc::new(Mutex::new(queue));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..concurrency {
        writers.spawn(work(Arc::clone(&shared), Arc::clone(&queue)));
    }
    drop(queue);
    let stop = {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            interrupts.recv().await;
            shared.stopped.store(true, Ordering::Relaxed);
        })
    };
    let mut failed = None;
    while let Some(ended) = writers.join_next().await {
        if let Err(error) = ended.map_err(anyhow::Error::from).and_then(|it| it) {
            shared.stopped.store(true, Ordering::Relaxed);
            failed.get_or_insert(error);
        }
    }
    let interrupted = shared.stopped.load(Ordering::Relaxed) && failed.is_none();
    // When the writers have stopped, the feeder has nobody to send to, which is no error of its own.
    let fed = feeder.await?;
    stop.abort();
    shared.bar.finish_and_clear();
    let written = shared.written.load(Ordering::Relaxed);
    let all = wanted + gone;
    if failed.is_some() || interrupted {
        let why = failed.map_or_else(|| "interrupted".to_owned(), |error| format!("{error:#}"));
        bail!("{why}: {written} of {all} rules are written; run the same command again, which writes all of them anew");
    }
    fed?;
    match table.output {
        Output::Text => {
            let removed = if gone > 0 { format!(", {gone} removed") } else { String::new() };
            print_line(format!("imported: {} written{removed}", say::count(wanted, "rule")))?;
        }
        Output::Json => print_line(json!({"result": "imported", "written": wanted, "removed": gone}))?,
    }
    Ok(Outcome::Done)
}

fn progress(table: &Table, all: u64) -> anyhow::Result<ProgressBar> {
    if table.output == Output::Json || !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr_with_hz(5));
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} rules, {per_sec}, {eta} left")?);
    Ok(bar)
}

async fn work(shared: Arc<Shared>, queue: Arc<Mutex<mpsc::Receiver<Batch>>>) -> anyhow::Result<()> {
    while !shared.stopped.load(Ordering::Relaxed) {
        let Some(batch) = queue.lock().await.recv().await else { break };
        let rules = batch.rules();
        shared.table.write_batch(batch).await?;
        shared.written.fetch_add(rules, Ordering::Relaxed);
        shared.bar.inc(rules);
    }
    Ok(())
}

impl Table {
    async fn write_batch(&self, batch: Batch) -> anyhow::Result<()> {
        match batch {
            Batch::Pairs(requests) => self.write_pairs(requests).await,
            Batch::Entries(Entries { key, list, put, remove }) => {
                if !put.is_empty() {
                    self.put_entries(&key, &list, put).await?;
                }
                if remove.is_empty() { Ok(()) } else { self.remove_entries(&key, &list, &remove).await }
            }
        }
    }

    /// Until every one is written: what `DynamoDB` leaves unprocessed it leaves because it is busy.
    async fn write_pairs(&self, requests: Vec<WriteRequest>) -> anyhow::Result<()> {
        let mut requests = requests;
        let mut attempt = 0;
        loop {
            let sent = requests.len();
            let request = self.client.batch_write_item().request_items(&self.name, requests).send().await;
            let answer = request.map_err(|error| self.failed(&error).context("cannot write to the table"))?;
            requests = answer.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
            if requests.is_empty() {
                return Ok(());
            }
            // Some progress starts the count anew.
            attempt = if requests.len() < sent { 0 } else { attempt + 1 };
            if attempt >= MAX_ATTEMPTS {
                bail!("the table takes no more writes: DynamoDB keeps leaving them unprocessed");
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt.min(7))).await;
        }
    }

    /// Adds entries to a list that others may be changing, and makes the list where there is none.
    async fn put_entries(&self, key: &Key, list: &str, put: Vec<(String, Attributes)>) -> anyhow::Result<()> {
        let values: Vec<_> = put.into_iter().map(|(entry, rule)| (entry, AttributeValue::M(rule))).collect();
        for _ in 0..MAX_ATTEMPTS {
            let mut expression = Expression::default();
            let name = expression.name(list);
            let each = values
                .iter()
                .map(|(entry, rule)| format!("{name}.{} = {}", expression.name(entry), expression.value(rule.clone())));
            let update = format!("SET {}", each.collect::<Vec<_>>().join(", "));
            let condition = Some(format!("attribute_exists({name})"));
            if self.change(Change { key, update, condition, expression }).await? {
                return Ok(());
            }
            let mut expression = Expression::default();
            let name = expression.name(list);
            let whole = expression.value(AttributeValue::M(values.iter().cloned().collect()));
            let (update, condition) = (format!("SET {name} = {whole}"), Some(format!("attribute_not_exists({name})")));
            if self.change(Change { key, update, condition, expression }).await? {
                return Ok(());
            }
        }
        bail!("somebody else keeps making and removing `{list}` of `{}`", key.pk)
    }

    async fn remove_entries(&self, key: &Key, list: &str, remove: &[String]) -> anyhow::Result<()> {
        let mut expression = Expression::default();
        let name = expression.name(list);
        let each = remove.iter().map(|entry| format!("{name}.{}", expression.name(entry))).collect::<Vec<_>>();
        let condition = Some(format!("attribute_exists({name})"));
        let update = format!("REMOVE {}", each.join(", "));
        // When the list is gone, so are its entries.
        self.change(Change { key, update, condition, expression }).await.map(|_| ())
    }
}
