//! Creates and describes the table, and compares it with the one that callgate needs.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexDescription, GlobalSecondaryIndexUpdate, IndexStatus, KeySchemaElement, KeyType, Projection,
    ProjectionType, ProvisionedThroughput, ScalarAttributeType, TableDescription, TableStatus, TimeToLiveDescription,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use callgate::store::item::{EXPIRES_AT, PK, SK};

use super::Table;
use super::index::INDEX;
use crate::error::{Error, Result};

/// How long a new table or index may take to become active. Some seconds are usual.
const MAX_WAIT: Duration = Duration::from_mins(3);

/// The pause between two requests for the status of a new table or index.
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
    /// Where the table differs from the one that [`Table::create`] makes, in words.
    pub differences: Vec<String>,
}

/// What [`Table::create`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// There was no table.
    Created,
    /// There was a table that was not complete.
    Completed,
    /// There was a complete table.
    Nothing,
}

impl Table {
    /// Creates the table with its index, and waits until both can be used. A table that exists is completed: an earlier run may
    /// have been cut off after any request, or the table may be older than the index.
    ///
    /// # Errors
    /// [`Error::WrongKeys`] when there is a table with other keys, which is not changed. [`Error::Request`] when DynamoDB
    /// refuses, or the table or its index is not active after three minutes.
    pub async fn create(&self) -> Result<Creation> {
        let existing = self.description().await?;
        let is_complete = existing.as_ref().is_some_and(|table| is_active(table) && is_index_active(table));
        match &existing {
            None => self.request_table().await?,
            Some(table) if !key_differences(table).is_empty() => return Err(Error::WrongKeys(self.name.clone())),
            Some(_) => {}
        }
        if !is_complete {
            // DynamoDB adds no index to a table that is being created or updated.
            let table = self.wait_until("table", is_active).await?;
            if index_of(&table).is_none() {
                self.request_index(&table).await?;
            }
            self.wait_until("index", |table| is_active(table) && is_index_active(table)).await?;
        }
        let has_set_expiry = self.set_expiry().await?;
        Ok(match existing {
            None => Creation::Created,
            Some(_) if has_set_expiry || !is_complete => Creation::Completed,
            Some(_) => Creation::Nothing,
        })
    }

    async fn request_table(&self) -> Result<()> {
        let index = built(
            GlobalSecondaryIndex::builder()
                .index_name(INDEX)
                .set_key_schema(Some(keys(INDEX_KEYS)?))
                .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
                .build(),
        )?;
        let request = self
            .client
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(key_attributes()?))
            .set_key_schema(Some(keys(KEYS)?))
            .global_secondary_indexes(index);
        match request.send().await {
            Ok(_) => Ok(()),
            // The answer to an earlier attempt was lost, or another process creates the table.
            Err(error) if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => {
                Ok(())
            }
            Err(error) => Err(self.request_error(&format!("cannot create table `{}`", self.name), &error)),
        }
    }

    /// Adds the index to a table that does not have it. DynamoDB fills it while the table is used.
    async fn request_index(&self, table: &TableDescription) -> Result<()> {
        let throughput = table.provisioned_throughput().filter(|_| !is_on_demand(table)).map(|of_table| {
            ProvisionedThroughput::builder()
                .read_capacity_units(of_table.read_capacity_units().unwrap_or(1))
                .write_capacity_units(of_table.write_capacity_units().unwrap_or(1))
                .build()
        });
        let index = built(
            CreateGlobalSecondaryIndexAction::builder()
                .index_name(INDEX)
                .set_key_schema(Some(keys(INDEX_KEYS)?))
                .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
                .set_provisioned_throughput(throughput.map(built).transpose()?)
                .build(),
        )?;
        let request = self
            .client
            .update_table()
            .table_name(&self.name)
            .set_attribute_definitions(Some(key_attributes()?))
            .global_secondary_index_updates(GlobalSecondaryIndexUpdate::builder().create(index).build());
        let Err(error) = request.send().await else { return Ok(()) };
        // DynamoDB refuses to add it again, if the answer to an earlier attempt was lost.
        match self.description().await {
            Ok(Some(table)) if index_of(&table).is_some() => Ok(()),
            _ => Err(self.request_error(&format!("cannot add the index `{INDEX}` to table `{}`", self.name), &error)),
        }
    }

    /// Waits for the table or its index, and returns the table as it is described then.
    async fn wait_until(&self, what: &str, is_ready: impl Fn(&TableDescription) -> bool) -> Result<TableDescription> {
        let name = &self.name;
        let failed = |action: String, message: &str| Error::Request { action, code: None, message: message.to_owned() };
        let started = Instant::now();
        while started.elapsed() < MAX_WAIT {
            // Right after its creation, a table may not be described yet.
            match self.description().await? {
                Some(table) if !key_differences(&table).is_empty() => return Err(Error::WrongKeys(name.clone())),
                Some(table) if is_ready(&table) => return Ok(table),
                Some(table) if table.table_status() == Some(&TableStatus::Deleting) => {
                    let message = "run this command again when it is gone";
                    return Err(failed(format!("table `{name}` is being deleted"), message));
                }
                Some(table) if index_of(&table).and_then(|it| it.index_status()) == Some(&IndexStatus::Deleting) => {
                    let message = "run this command again when it is gone";
                    return Err(failed(format!("the index `{INDEX}` of table `{name}` is being deleted"), message));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        let action = format!("the {what} of `{name}` is not ready after {} s", MAX_WAIT.as_secs());
        let action = if what == "table" { action.replace("the table of", "table") } else { action };
        Err(failed(action, "run this command again, which waits once more"))
    }

    /// Sets the attribute by which items expire. Returns whether there was none. Another one is not replaced.
    async fn set_expiry(&self) -> Result<bool> {
        if expiry_attribute(self.expiry().await?.as_ref()).is_some() {
            return Ok(false);
        }
        let specification = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build()?;
        let request =
            self.client.update_time_to_live().table_name(&self.name).time_to_live_specification(specification);
        let Err(error) = request.send().await else { return Ok(true) };
        // DynamoDB refuses to set it again, if the answer to an earlier attempt was lost.
        match self.expiry().await {
            Ok(expiry) if expiry_attribute(expiry.as_ref()) == Some(EXPIRES_AT) => Ok(true),
            _ => Err(self.request_error(&format!("cannot set the expiry attribute of table `{}`", self.name), &error)),
        }
    }

    async fn expiry(&self) -> Result<Option<TimeToLiveDescription>> {
        let expiry = self.client.describe_time_to_live().table_name(&self.name).send().await;
        let expiry = expiry.map_err(|error| self.request_error("cannot describe the table", &error))?;
        Ok(expiry.time_to_live_description)
    }
}

/// The keys of the table.
const KEYS: [(&str, KeyType); 2] = [(PK, KeyType::Hash), (SK, KeyType::Range)];

/// The keys of the index: those of the table, inverted.
const INDEX_KEYS: [(&str, KeyType); 2] = [(SK, KeyType::Hash), (PK, KeyType::Range)];

/// What a builder of the SDK built.
fn built<T>(result: std::result::Result<T, BuildError>) -> Result<T> {
    result.map_err(|error| Error::InvalidItem(error.to_string()))
}

fn keys(keys: [(&str, KeyType); 2]) -> Result<Vec<KeySchemaElement>> {
    let key = |(name, kind)| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    keys.into_iter().map(|it| built(key(it))).collect()
}

fn key_attributes() -> Result<Vec<AttributeDefinition>> {
    let text =
        |name| AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
    [PK, SK].into_iter().map(|name| built(text(name))).collect()
}

fn is_active(table: &TableDescription) -> bool {
    table.table_status() == Some(&TableStatus::Active)
}

fn is_on_demand(table: &TableDescription) -> bool {
    table.billing_mode_summary().and_then(|it| it.billing_mode()) == Some(&BillingMode::PayPerRequest)
}

fn index_of(table: &TableDescription) -> Option<&GlobalSecondaryIndexDescription> {
    table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(INDEX))
}

fn is_index_active(table: &TableDescription) -> bool {
    index_of(table).and_then(|it| it.index_status()) == Some(&IndexStatus::Active)
}

/// The attribute by which items expire, if there is one.
fn expiry_attribute(expiry: Option<&TimeToLiveDescription>) -> Option<&str> {
    let is_on = |status: &TimeToLiveStatus| matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling);
    expiry.filter(|it| it.time_to_live_status().is_some_and(is_on))?.attribute_name()
}

impl Table {
    /// Describes the table. `None` when it does not exist.
    ///
    /// # Errors
    /// [`Error::Request`] when DynamoDB refuses the request or cannot be reached.
    pub async fn describe(&self) -> Result<Option<TableSummary>> {
        let Some(table) = self.description().await? else { return Ok(None) };
        let expiry = self.expiry().await?;
        Ok(Some(TableSummary {
            status: table.table_status().map_or("unknown", TableStatus::as_str).to_owned(),
            items: table.item_count().unwrap_or(0),
            bytes: table.table_size_bytes().unwrap_or(0),
            differences: differences(&table, expiry.as_ref()),
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

/// Where the keys differ from those that [`Table::create`] sets.
fn key_differences(table: &TableDescription) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, kind) in KEYS {
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

/// Where the index differs from the one that [`Table::create`] makes.
fn index_difference(table: &TableDescription) -> Option<String> {
    let Some(index) = index_of(table) else {
        return Some(format!(
            "it has no index `{INDEX}`, so commands that need it scan the whole table; `callgatectl table create` adds it"
        ));
    };
    let has_keys = keys(INDEX_KEYS).is_ok_and(|keys| index.key_schema() == keys);
    let holds_keys = index.projection().is_some_and(|it| it.projection_type() == Some(&ProjectionType::KeysOnly));
    match index.index_status() {
        _ if !has_keys => Some(format!(
            "the keys of its index `{INDEX}` are not `{SK}` and `{PK}`; delete the index, and run `callgatectl table create`"
        )),
        _ if !holds_keys => Some(format!(
            "its index `{INDEX}` holds more than keys, which costs more writes; delete the index, and run `callgatectl table \
             create`"
        )),
        Some(IndexStatus::Active) => None,
        status => Some(format!(
            "its index `{INDEX}` is {}, so commands that need it scan the whole table",
            status.map_or("not active", IndexStatus::as_str)
        )),
    }
}

fn differences(table: &TableDescription, expiry: Option<&TimeToLiveDescription>) -> Vec<String> {
    let mut differences = key_differences(table);
    differences.extend(index_difference(table));
    if !is_on_demand(table) {
        differences.push("it is not billed on demand, so DynamoDB may throttle calls".to_owned());
    }
    match expiry_attribute(expiry) {
        Some(EXPIRES_AT) => {}
        Some(other) => differences.push(format!("items expire by `{other}`, not by `{EXPIRES_AT}`")),
        None => differences.push(format!("items do not expire: set its time-to-live attribute to `{EXPIRES_AT}`")),
    }
    differences
}
