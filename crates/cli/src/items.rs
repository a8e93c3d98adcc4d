//! Items as they stand in the table, read and written one at a time.

use std::collections::HashMap;

use anyhow::Context as _;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{self, Attributes, Key, PK, SK};
use callgate_core::{AppKey, DialPlan, PartyId};

use crate::connection::Table;
use crate::redundancy::{Context, parties_of};
use crate::statement::{RuleOwner, RuleTarget};

impl Table {
    /// The item under a key, as it is at this moment.
    pub(crate) async fn get(&self, key: &Key) -> anyhow::Result<Option<Attributes>> {
        let request =
            self.client.get_item().table_name(&self.name).set_key(Some(key.attributes())).consistent_read(true);
        let answer = request.send().await.map_err(|error| self.failed(&error).context("cannot read the table"))?;
        Ok(answer.item)
    }

    /// Everything under a partition key: a party and the rules of single callers to it.
    pub(crate) async fn query(&self, key: &Key) -> anyhow::Result<Vec<Attributes>> {
        let pages = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", AttributeValue::S(key.pk.clone()))
            .into_paginator()
            .items()
            .send();
        pages.collect::<Result<Vec<_>, _>>().await.map_err(|error| self.failed(&error).context("cannot read the table"))
    }

    /// What stands around a rule, and the item it belongs to.
    pub(crate) async fn around(
        &self,
        target: &RuleTarget,
        owner: &RuleOwner,
    ) -> anyhow::Result<(Context, Option<Attributes>)> {
        let (caller, callee) = parties_of(owner);
        let party = async |id: Option<&PartyId>| match id {
            Some(id) => self.get(&Key::party(&target.app, id)).await,
            None => Ok(None),
        };
        let pair = async || match owner {
            RuleOwner::Pair(caller, callee) => self.get(&Key::pair(&target.app, caller, callee)).await,
            _ => Ok(None),
        };
        let app_key = Key::app(&target.app);
        let (app, caller, callee, pair) = tokio::try_join!(self.get(&app_key), party(caller), party(callee), pair())?;
        let around = Context {
            app: app.clone().map(item::read_app).transpose(),
            caller: caller.clone().map(item::read_party).transpose(),
            callee: callee.clone().map(item::read_party).transpose(),
            pair: pair.clone().map(item::read_pair).transpose(),
        };
        let own = match owner {
            RuleOwner::App => app,
            RuleOwner::Caller(_) => caller,
            RuleOwner::Callee(_) => callee,
            RuleOwner::Pair(..) => pair,
        };
        Ok((around, own))
    }
}

/// What a key says, read back from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ItemKind {
    App(String),
    Party(String, String),
    /// App, callee, caller.
    Pair(String, String, String),
}

impl ItemKind {
    /// What the item's key says; `None` when no key of ours looks like this.
    pub(crate) fn of(item: &Attributes) -> Option<Self> {
        let (pk, sk) = keys(item)?;
        if let Some(app) = pk.strip_prefix("APP#") {
            return (sk == "APP").then(|| unescape(app)).flatten().map(Self::App);
        }
        let (app, id) = pk.strip_prefix("PARTY#")?.split_once('#')?;
        let (app, id) = (unescape(app)?, id.to_owned());
        match sk.strip_prefix("CALLER#") {
            Some(caller) => Some(Self::Pair(app, id, caller.to_owned())),
            None => (sk == "PARTY").then_some(Self::Party(app, id)),
        }
    }
}

/// Both keys of an item.
pub(crate) fn keys(item: &Attributes) -> Option<(&str, &str)> {
    let text = |name| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).map(String::as_str);
    Some((text(PK)?, text(SK)?))
}

/// The app's key in a partition key, where it is escaped as the function escapes it.
fn unescape(text: &str) -> Option<String> {
    let app = text.replace("%23", "#").replace("%25", "%");
    let key = AppKey::new(&app).ok().filter(|key| key.as_str() == app)?;
    (Key::app(&key).pk.strip_prefix("APP#") == Some(text)).then_some(app)
}

/// An id of a stored key, where the function could ever ask for it under this dial plan.
pub(crate) fn canonical(id: &str, plan: &DialPlan) -> Option<PartyId> {
    PartyId::new(id, plan).ok().filter(|party| party.as_str() == id)
}

/// Names and values of an expression, in the form `DynamoDB` takes.
#[derive(Debug, Default)]
pub(crate) struct Expression {
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: HashMap<String, AttributeValue>,
}

impl Expression {
    pub(crate) fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#n{}", self.names.len());
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    pub(crate) fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    /// `None` where there are none: `DynamoDB` refuses an empty map.
    pub(crate) fn values(self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then_some(self.values)
    }
}

/// A change of one item that holds only if nobody else was faster.
pub(crate) struct Change<'a> {
    pub(crate) key: &'a Key,
    pub(crate) update: String,
    pub(crate) condition: Option<String>,
    pub(crate) expression: Expression,
}

impl Table {
    /// `false` when the condition does not hold any more: somebody else was faster, and nothing is written.
    pub(crate) async fn change(&self, change: Change<'_>) -> anyhow::Result<bool> {
        let Change { key, update, condition, expression } = change;
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .update_expression(update)
            .set_condition_expression(condition)
            .set_expression_attribute_names(Some(expression.names.clone()).filter(|names| !names.is_empty()))
            .set_expression_attribute_values(expression.values());
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.failed(&error)).context("cannot write to the table"),
        }
    }

    /// Deletes an item; `false` when the condition does not hold any more, and nothing is deleted.
    pub(crate) async fn delete(&self, key: &Key, condition: String, expression: Expression) -> anyhow::Result<bool> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(expression.names.clone()))
            .set_expression_attribute_values(expression.values());
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.failed(&error).context("cannot write to the table")),
        }
    }
}
