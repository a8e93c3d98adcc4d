//! `restore`: writes the items of a backup to the table.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use callgate_admin::Error;
use callgate_admin::backup::Header;
use callgate_admin::import::ImportControl;
use callgate_admin::restore::{ItemChange, Restore, RestoreCounts};
use callgate_admin::wording::{count, escape};
use serde_json::json;

use crate::args::SpeedArgs;
use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::interrupts::Interrupts;
use crate::output::{Output, print_error, print_line, print_note};
use crate::progress::{print_wait, progress_bar, show_progress};
use crate::prompt::confirm;

/// Write everything in a backup to the table
///
/// The whole file is checked before anything is written. Items that are not in the file stay, unless --replace is given: then
/// the table has exactly the items of the file, with who wrote them and when. What other writers change in these items
/// meanwhile is lost. At every moment, also if the restore fails or is ended, a call is permitted only if the items before or
/// those of the backup permit it; until the restore is complete, calls may be refused that both permit.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl restore permissions.backup --dry-run                  show which items would change
  callgatectl restore permissions.backup --replace                  exactly what was there
  gunzip -c permissions.backup.gz | callgatectl restore - --replace --yes")]
pub(crate) struct Args {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show which items would be added, changed and removed, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove the items of callgate's that are not in the file
    #[arg(long)]
    replace: bool,
    /// Do not ask before items are written and removed
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    speed: SpeedArgs,
}

/// Checks the whole file, then writes it.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let connection = global.open().await?;
    let Connection { table, output, .. } = &connection;
    let output = *output;
    let name = args.file.display();
    let mut restore = match Restore::check(table, args.open()?).await {
        Err(error @ Error::Local(_)) => return Err(anyhow::Error::from(error).context(format!("`{name}`"))),
        restore => restore?,
    };
    table.check_keys().await?;
    let counts = restore.plan(args.replace).await?;
    if args.dry_run {
        return print_difference(&restore, output);
    }
    if counts.different() > 0 {
        args.confirm(table.name(), &restore)?;
        write(&mut restore, args, &connection).await?;
    }
    // What other writers have written meanwhile.
    let differing = if args.replace && counts.different() > 0 { restore.plan(true).await?.different() } else { 0 };
    let RestoreCounts { added, changed, removed, unchanged, others } = counts;
    match output {
        Output::Text => {
            let others = if others > 0 { format!(", {others} others stay") } else { String::new() };
            print_line(format!(
                "restored: {} added, {changed} changed, {removed} removed, {unchanged} unchanged{others}",
                count(added, "item")
            ))?;
        }
        Output::Json => print_line(json!({
            "result": "restored", "added": added, "changed": changed, "removed": removed, "unchanged": unchanged,
            "others": others, "differing": differing,
        }))?,
    }
    if differing == 0 {
        return Ok(Outcome::Done);
    }
    let items = count(differing, "item");
    print_error(format!("another writer changed {items} during the restore; run the same command again"));
    Ok(Outcome::Failed)
}

impl Args {
    fn open(&self) -> anyhow::Result<Box<dyn Read + Send>> {
        if self.file.as_os_str() == "-" {
            return Ok(Box::new(io::stdin()));
        }
        let name = self.file.display();
        Ok(Box::new(File::open(&self.file).with_context(|| format!("`{name}` cannot be opened"))?))
    }

    /// Asks. Without a terminal, only --yes confirms that items are removed.
    fn confirm(&self, table: &str, restore: &Restore) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        let RestoreCounts { removed, .. } = restore.counts();
        let question = format!("{} of table `{table}`: {}", origin(restore), counts_text(restore.counts()));
        if removed > 0 && !io::stdin().is_terminal() {
            print_note(question);
            bail!("{} would be removed; nothing was written; confirm with --yes", count(removed, "item"));
        }
        if confirm(&question)? { Ok(()) } else { bail!("nothing was written") }
    }
}

/// Where a backup comes from.
fn origin(restore: &Restore) -> String {
    let Header { table, taken_at, callgate, callgate_backup: _ } = &restore.header;
    let [table, taken_at, callgate] = [table, taken_at, callgate].map(|text| escape(text));
    format!(
        "the backup of table `{table}`, taken at {taken_at} by callgate {callgate}, with {}",
        count(restore.footer.items, "item")
    )
}

fn counts_text(RestoreCounts { added, changed, removed, unchanged, others }: RestoreCounts) -> String {
    let added = count(added, "item");
    format!(
        "{added} would be added, {changed} changed, {removed} removed; {unchanged} stay as they are, and {others} others"
    )
}

/// Prints which items the restore would change.
fn print_difference(restore: &Restore, output: Output) -> anyhow::Result<Outcome> {
    restore.for_each_difference(|change, kind, [pk, sk]| -> anyhow::Result<()> {
        let (sign, word) = match change {
            ItemChange::Added => ("+", "added"),
            ItemChange::Changed => ("~", "changed"),
            ItemChange::Removed => ("-", "removed"),
        };
        match output {
            Output::Text => match kind {
                Some(kind) => print_line(format!("{sign} {kind}"))?,
                None => print_line(format!("{sign} change {} of the history", escape(sk)))?,
            },
            Output::Json => print_line(json!({"change": word, "pk": pk, "sk": sk}))?,
        }
        Ok(())
    })?;
    let RestoreCounts { added, changed, removed, unchanged, others } = restore.counts();
    match output {
        Output::Text => {
            print_line(format!("{}: {}", origin(restore), counts_text(restore.counts())))?;
        }
        Output::Json => print_line(json!({
            "result": "dry_run", "table": restore.header.table, "taken_at": restore.header.taken_at, "added": added,
            "changed": changed, "removed": removed, "unchanged": unchanged, "others": others,
        }))?,
    }
    Ok(Outcome::Done)
}

/// Writes the restore, with a progress bar, until it is done, fails or is interrupted.
async fn write(restore: &mut Restore, args: &Args, connection: &Connection) -> anyhow::Result<()> {
    // From here on, an interrupted restore prints how many items are written.
    let mut interrupts = Interrupts::listen()?;
    let total = restore.counts().different();
    let bar = progress_bar(total, "items", connection.output)?;
    let author = connection.author().await;
    let control = ImportControl::default();
    let announce = |time: Duration| print_wait(&bar, time);
    let SpeedArgs { concurrency, app_cache } = args.speed;
    let applying = restore.apply(concurrency, app_cache.app_cache_seconds, &author, &control, announce);
    let Err(error) = show_progress(applying, &control, &bar, &mut interrupts).await else { return Ok(()) };
    let done = control.done();
    let progress = format!(
        "{done} of {total} items are restored; until you run the same command again, calls may be refused that both permit"
    );
    if matches!(error, Error::Stopped(_)) {
        return Err(anyhow!("interrupted: {progress}"));
    }
    print_note(progress);
    Err(error.into())
}
