//! The options that describe a file of rules, and the reading of the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context as _;
use callgate_admin::Table;
use callgate_admin::import::Import;
use callgate_admin::rule_file::{Problems, Reader, Template};
use clap::Args;

use crate::args::FormatArg;
use crate::exit::usage;
use crate::time::now;

/// How to read a file of rules.
#[derive(Debug, Clone, Args)]
pub(crate) struct RuleFileArgs {
    /// The format of the file; by default, detected from the first character
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "template")]
    format: Option<FormatArg>,
    /// The app of every rule; without it, each line names its app
    #[arg(long, value_name = "APP", allow_hyphen_values = true)]
    app: Option<String>,
    /// The list of every rule; with --replace, only rules of this list are removed
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    list: Option<String>,
    /// Read a file with a number on each line, and write this rule for each of them, in the words that show prints, such as
    /// 'block {}', 'deny * to {}' or 'allow {} to PPP005, audio only'
    #[arg(long = "as", value_name = "RULE", allow_hyphen_values = true, requires = "app")]
    template: Option<String>,
    /// Accept ids that look like numbers and are none, prefixes that no number has, and rules that have expired
    #[arg(long)]
    exactly: bool,
}

impl RuleFileArgs {
    /// Opens the file, or standard input for `-`.
    pub(crate) fn reader(&self, file: &Path, table: &Table) -> anyhow::Result<Reader<Box<dyn Read + Send>>> {
        let app = self.app.as_deref().map(|app| table.parse_app(app)).transpose()?;
        if self.list.as_ref().is_some_and(String::is_empty) {
            return Err(usage("--list is empty; give the list a name, such as `spam`"));
        }
        let region = table.phone_region();
        let reader = match &self.template {
            Some(rule) => {
                let template = Template::parse(rule, now())?;
                Reader::of_numbers(open(file)?, template, region)
            }
            None => Reader::new(open(file)?, self.format.map(Into::into), region),
        };
        Ok(reader.exactly(self.exactly).of_app(app).of_list(self.list.clone()))
    }
}

fn open(file: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let name = file.display();
    Ok(Box::new(File::open(file).with_context(|| format!("`{name}` cannot be opened"))?))
}

/// What is wrong with a file that names no app, so that its rules replace those of none.
pub(crate) fn replaces_no_app(import: &Import) -> anyhow::Result<Option<Problems>> {
    let why = "has no rules, so it names no app whose rules would be replaced; to remove the rules of an app, name it with --app";
    Ok(import.has_no_app()?.then(|| Problems::of_file(why)))
}
