//! `table create|describe`: the permission table itself.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveDescription, TimeToLiveSpecification, TimeToLiveStatus,
};
use callgate::store::client;
use callgate::store::item::{EXPIRES_AT, PK, SK};
use clap::Subcommand;
use serde_json::json;

use crate::connection::{Options as Connection, Output, Table};
use crate::outcome::Outcome;
use crate::say::print_line;

/// How long a new table may take until it can be used; some seconds are usual.
const MAX_WAIT: Duration = Duration::from_mins(3);

/// The pause between two looks at a new table.
const PAUSE: Duration = Duration::from_millis(500);

/// What to do with the table.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Command {
    /// Make the table and wait until it can be used; of one that is there say what differs
    #[command(after_help = "Example:\n  callgatectl table create --table callgate --region eu-central-1")]
    Create,
    /// Show the table, and what is not as it should be
    #[command(after_help = "Example:\n  callgatectl table describe --table callgate")]
    Describe,
}

pub(crate) async fn run(command: &Command, connection: &Connection) -> anyhow::Result<Outcome> {
    let table = connection.open().await?;
    match command {
        Command::Create => {
            if table.description().await?.is_some() {
                return describe(&table, "there already").await;
            }
            create(&table.client, &table.name).await?;
            describe(&table, "created").await
        }
        Command::Describe => describe(&table, "there").await,
    }
}

/// Creates the table and waits until it can be used.
pub(crate) async fn create(client: &Client, table: &str) -> anyhow::Result<()> {
    let key = |name, key_type| KeySchemaElement::builder().attribute_name(name).key_type(key_type).build();
    let text =
        |name| AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
    client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text(PK)?)
        .attribute_definitions(text(SK)?)
        .key_schema(key(PK, KeyType::Hash)?)
        .key_schema(key(SK, KeyType::Range)?)
        .send()
        .await
        .map_err(|error| anyhow!("cannot create table `{table}`: {}", client::describe(&error)))?;
    wait(client, table).await?;
    let expiry = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build()?;
    client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(expiry)
        .send()
        .await
        .map_err(|error| anyhow!("cannot set the expiry attribute of table `{table}`: {}", client::describe(&error)))?;
    Ok(())
}

async fn wait(client: &Client, table: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < MAX_WAIT {
        let answer = client.describe_table().table_name(table).send().await;
        let unseen = |error| anyhow!("cannot see whether table `{table}` is ready: {}", client::describe(&error));
        let answer = answer.map_err(unseen)?;
        if answer.table().and_then(TableDescription::table_status) == Some(&TableStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!(
        "table `{table}` is not ready after {} s; look at it again with `callgatectl table describe`",
        MAX_WAIT.as_secs()
    )
}

async fn describe(table: &Table, state: &str) -> anyhow::Result<Outcome> {
    let Some(found) = table.description().await? else {
        return Err(table.is_missing());
    };
    let answer = table.client.describe_time_to_live().table_name(&table.name).send().await;
    let expiry = answer.map_err(|error| table.failed(&error))?.time_to_live_description;
    let differences = differences(&found, expiry.as_ref());
    let status = found.table_status().map_or("unknown", TableStatus::as_str);
    match table.output {
        Output::Text => {
            print_line(format!("table {}: {state}, {status}", table.name))?;
            print_line(format!(
                "  about {} items, {} bytes",
                found.item_count().unwrap_or(0),
                found.table_size_bytes().unwrap_or(0)
            ))?;
            for difference in &differences {
                print_line(format!("  differs: {difference}"))?;
            }
            if differences.is_empty() {
                print_line("  keys, billing and expiry are as they should be")?;
            }
        }
        Output::Json => print_line(json!({
            "table": table.name, "result": state, "status": status, "items": found.item_count(),
            "bytes": found.table_size_bytes(), "differences": differences,
        }))?,
    }
    Ok(if differences.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// Where the keys are not those that [`create`] gives.
fn other_keys(table: &TableDescription) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, kind) in [(PK, KeyType::Hash), (SK, KeyType::Range)] {
        let is_key = table.key_schema().iter().any(|key| key.attribute_name() == name && *key.key_type() == kind);
        let is_text = table
            .attribute_definitions()
            .iter()
            .any(|it| it.attribute_name() == name && *it.attribute_type() == ScalarAttributeType::S);
        if !is_key || !is_text {
            differences.push(format!(
                "`{name}` is not its {} key of type S; such a table cannot be mended, make another",
                kind.as_str()
            ));
        }
    }
    differences
}

/// Where the table is not the one that [`create`] makes.
fn differences(table: &TableDescription, expiry: Option<&TimeToLiveDescription>) -> Vec<String> {
    let mut differences = other_keys(table);
    let billing = table.billing_mode_summary().and_then(|it| it.billing_mode());
    if billing != Some(&BillingMode::PayPerRequest) {
        differences.push("it is not billed on demand, so it can be too slow for the calls that come".to_owned());
    }
    let is_on = |status: &TimeToLiveStatus| matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling);
    let attribute = expiry.filter(|it| it.time_to_live_status().is_some_and(is_on)).and_then(|it| it.attribute_name());
    match attribute {
        Some(EXPIRES_AT) => {}
        Some(other) => differences.push(format!("items expire by `{other}`, not by `{EXPIRES_AT}`")),
        None => differences.push(format!("items do not expire: set its time-to-live attribute to `{EXPIRES_AT}`")),
    }
    differences
}

impl Table {
    /// The table as `DynamoDB` describes it; `None` when there is none.
    pub(crate) async fn description(&self) -> anyhow::Result<Option<TableDescription>> {
        match self.client.describe_table().table_name(&self.name).send().await {
            Ok(answer) => Ok(answer.table),
            Err(error) if error.as_service_error().is_some_and(DescribeTableError::is_resource_not_found_exception) => {
                Ok(None)
            }
            Err(error) => Err(self.failed(&error).context("cannot describe the table")),
        }
    }

    /// Fails with what to do when the table cannot be asked at all, or has other keys.
    pub(crate) async fn probe(&self) -> anyhow::Result<()> {
        match self.description().await? {
            Some(found) if other_keys(&found).is_empty() => Ok(()),
            Some(_) => {
                bail!("table `{}` has other keys than callgate's; `callgatectl table describe` says which", self.name)
            }
            None => Err(self.is_missing()),
        }
    }
}
