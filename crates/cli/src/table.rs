//! The permission table itself.

use anyhow::Context as _;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use callgate::store::item::{EXPIRES_AT, PK, SK};

/// Creates the table, and waits for nothing: a local one is there at once.
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
        .with_context(|| format!("cannot create table `{table}`"))?;
    let expiry = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build()?;
    client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(expiry)
        .send()
        .await
        .with_context(|| format!("cannot set the expiry attribute of table `{table}`"))?;
    Ok(())
}
