//! Creates and describes the table, and compares it with the one that callgate needs.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
    TimeToLiveDescription, TimeToLiveSpecification, TimeToLiveStatus,
};
use callgate::store::item::{EXPIRES_AT, PK, SK};

use super::Table;
use crate::error::{Error, Result};

/// How long a new table may take to become active. Some seconds are usual.
const MAX_WAIT: Duration = Duration::from_mins(3);

/// The pause between two requests for the status of a new table.
const PAUSE: Duration = Duration::from_millis(500);

/// A table as DynamoDB describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// DynamoDB's status, such as `ACTIVE`.
    pub status: String,
    /// The number of items, which DynamoDB updates about every six hours.
    pub items: i64,
    /// The size in bytes, which DynamoDB updates as rarely.
    pub bytes: i64,
    /// Where the table differs from the one that [`create`] makes, in words.
    pub differences: Vec<String>,
}

/// Creates the permission table and waits until it can be used.
///
/// # Errors
/// [`Error::Request`] when DynamoDB refuses, or the table is not active after three minutes.
pub async fn create(client: &Client, table: &str) -> Result<()> {
    let failed = |action: String| move |error: &_| Error::request(action, error, table, None);
    let key = |name, key_type| KeySchemaElement::builder().attribute_name(name).key_type(key_type).build();
    let text =
        |name| AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
    let built = |error: aws_sdk_dynamodb::error::BuildError| Error::InvalidItem(error.to_string());
    let request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text(PK).map_err(built)?)
        .attribute_definitions(text(SK).map_err(built)?)
        .key_schema(key(PK, KeyType::Hash).map_err(built)?)
        .key_schema(key(SK, KeyType::Range).map_err(built)?);
    request.send().await.map_err(|error| failed(format!("cannot create table `{table}`"))(&error))?;
    wait_until_active(client, table).await?;
    let expiry = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build().map_err(built)?;
    let request = client.update_time_to_live().table_name(table).time_to_live_specification(expiry);
    let action = format!("cannot set the expiry attribute of table `{table}`");
    request.send().await.map_err(|error| Error::request(action, &error, table, None))?;
    Ok(())
}

async fn wait_until_active(client: &Client, table: &str) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < MAX_WAIT {
        let description = client.describe_table().table_name(table).send().await;
        let action = format!("cannot read the status of table `{table}`");
        let description = description.map_err(|error| Error::request(action, &error, table, None))?;
        if description.table().and_then(TableDescription::table_status) == Some(&TableStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::Request {
        action: format!("table `{table}` is not ready after {} s", MAX_WAIT.as_secs()),
        code: None,
        message: "check its status with `callgatectl table describe`".to_owned(),
    })
}

impl Table {
    /// Describes the table. `None` when it does not exist.
    ///
    /// # Errors
    /// [`Error::Request`] when DynamoDB refuses the request or cannot be reached.
    pub async fn describe(&self) -> Result<Option<TableSummary>> {
        let Some(table) = self.description().await? else { return Ok(None) };
        let expiry = self.client.describe_time_to_live().table_name(&self.name).send().await;
        let expiry = expiry.map_err(|error| self.request_error("cannot describe the table", &error))?;
        Ok(Some(TableSummary {
            status: table.table_status().map_or("unknown", TableStatus::as_str).to_owned(),
            items: table.item_count().unwrap_or(0),
            bytes: table.table_size_bytes().unwrap_or(0),
            differences: differences(&table, expiry.time_to_live_description.as_ref()),
        }))
    }

    /// Checks that the table exists and has callgate's keys.
    ///
    /// # Errors
    /// [`Error::TableNotFound`], [`Error::WrongKeys`], or why the table cannot be described.
    pub async fn check_keys(&self) -> Result<()> {
        match self.description().await? {
            Some(table) if key_differences(&table).is_empty() => Ok(()),
            Some(_) => Err(Error::WrongKeys(self.name.clone())),
            None => Err(Error::TableNotFound(self.name.clone())),
        }
    }

    async fn description(&self) -> Result<Option<TableDescription>> {
        match self.client.describe_table().table_name(&self.name).send().await {
            Ok(output) => Ok(output.table),
            Err(error) if error.as_service_error().is_some_and(DescribeTableError::is_resource_not_found_exception) => {
                Ok(None)
            }
            Err(error) => Err(self.request_error("cannot describe the table", &error)),
        }
    }
}

/// Where the keys differ from those that [`create`] sets.
fn key_differences(table: &TableDescription) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, kind) in [(PK, KeyType::Hash), (SK, KeyType::Range)] {
        let is_key = table.key_schema().iter().any(|key| key.attribute_name() == name && *key.key_type() == kind);
        let is_text = table
            .attribute_definitions()
            .iter()
            .any(|it| it.attribute_name() == name && *it.attribute_type() == ScalarAttributeType::S);
        if !is_key || !is_text {
            differences.push(format!(
                "`{name}` is not its {} key of type S; the keys of a table cannot be changed, so create another table",
                kind.as_str()
            ));
        }
    }
    differences
}

fn differences(table: &TableDescription, expiry: Option<&TimeToLiveDescription>) -> Vec<String> {
    let mut differences = key_differences(table);
    let billing = table.billing_mode_summary().and_then(|it| it.billing_mode());
    if billing != Some(&BillingMode::PayPerRequest) {
        differences.push("it is not billed on demand, so DynamoDB may throttle calls".to_owned());
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
