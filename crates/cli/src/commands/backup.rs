//! `backup`: writes every item of the table to a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use callgate_admin::Table;
use callgate_admin::backup::{Footer, Header};
use callgate_admin::wording::count;
use serde_json::json;

use crate::connection::{Connection, GlobalArgs};
use crate::exit::Outcome;
use crate::interrupts::Interrupts;
use crate::output::{Output, file_output, print_line, print_note};

/// Write everything in the table to a file, as restore reads it
///
/// The file has every rule, block, status, group and note, with who wrote them and when, on one line for each item. Only its
/// owner can read it, and it replaces an earlier one when it is complete. If the table is written to meanwhile, each item is
/// as it was at one moment during the backup. Items that are not callgate's are counted and left out.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  callgatectl backup permissions.backup
  callgatectl backup - | gzip > permissions.backup.gz")]
pub(crate) struct Args {
    /// The file, or - for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The number of simultaneous scans of the table
    #[arg(long, default_value_t = 4, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: u16,
}

/// Writes the file.
pub(crate) async fn run(args: &Args, global: &GlobalArgs) -> anyhow::Result<Outcome> {
    let Connection { table, output, .. } = global.open().await?;
    let segments = args.segments;
    if args.file.as_os_str() == "-" {
        let (header, footer) = write(&table, &mut file_output(), segments).await?;
        print_note(text(&header, &footer, "standard output"));
        return Ok(Outcome::Done);
    }
    let name = args.file.display().to_string();
    let mut file = PrivateFile::create(&args.file).with_context(|| format!("`{name}` cannot be written"))?;
    let mut interrupts = Interrupts::listen()?;
    let (header, footer) = tokio::select! {
        written = write(&table, &mut file.out, segments) => written?,
        () = interrupts.recv() => bail!("interrupted: `{name}` is not written"),
    };
    file.keep().with_context(|| format!("`{name}` cannot be written"))?;
    match output {
        Output::Text => print_line(text(&header, &footer, &format!("`{name}`")))?,
        Output::Json => {
            let (Header { table, taken_at, .. }, Footer { items, foreign, ended_at }) = (header, footer);
            print_line(json!({
                "result": "backed_up", "file": name, "table": table, "taken_at": taken_at, "ended_at": ended_at,
                "items": items, "foreign": foreign,
            }))?;
        }
    }
    Ok(Outcome::Done)
}

async fn write(table: &Table, out: &mut impl Write, segments: u16) -> anyhow::Result<(Header, Footer)> {
    table.backup::<anyhow::Error>(out, segments).await
}

fn text(header: &Header, footer: &Footer, file: &str) -> String {
    let (Header { table, taken_at, .. }, Footer { items, foreign, ended_at }) = (header, footer);
    let foreign = match foreign {
        0 => String::new(),
        foreign => format!("; {} not callgate's left out", count(*foreign, "item")),
    };
    format!(
        "backed up: {} of table `{table}` to {file}, taken from {taken_at} to {ended_at}{foreign}",
        count(*items, "item")
    )
}

/// A file that only its owner can read. It has another name until it is complete, and is deleted if it is dropped before.
struct PrivateFile {
    out: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl PrivateFile {
    fn create(path: &Path) -> io::Result<Self> {
        // A link stays, and the file that it leads to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::other("it is not a regular file; write - for standard output"));
        }
        let name = path.file_name().ok_or_else(|| io::Error::other("it has no file name"))?.to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { out: BufWriter::new(options.open(&temporary)?), temporary, path })
    }

    /// Gives the file its name.
    fn keep(mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        // After `keep`, there is no such file.
        let _ = fs::remove_file(&self.temporary);
    }
}
