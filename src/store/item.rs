//! Keys and items of the permission table: converts apps, parties and rules to attributes and back.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use callgate_core::{
    App, AppKey, Block, Effect, EpochSeconds, Groups, Hours, MediaSet, ParseError, Party, PartyId, Pattern, Rule,
    Rules, Status, excerpt, is_group_name,
};

/// The attributes of an item, or of a map inside one.
pub type Attributes = HashMap<String, AttributeValue>;

/// The partition key.
pub const PK: &str = "pk";
/// The sort key.
pub const SK: &str = "sk";
/// When DynamoDB may delete an item: the table's time-to-live attribute.
pub const EXPIRES_AT: &str = "expires_at";

/// The key of an item. No two apps, parties or pairs share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The partition key.
    pub pk: String,
    /// The sort key.
    pub sk: String,
}

impl Key {
    /// An app's item.
    #[must_use]
    pub fn app(app: &AppKey) -> Self {
        Self { pk: format!("APP#{}", escape(app)), sk: "APP".to_owned() }
    }

    /// A party's item.
    #[must_use]
    pub fn party(app: &AppKey, id: &PartyId) -> Self {
        Self { pk: format!("PARTY#{}#{id}", escape(app)), sk: "PARTY".to_owned() }
    }

    /// The item of exactly this caller and callee, kept with the callee.
    #[must_use]
    pub fn pair(app: &AppKey, caller: &PartyId, callee: &PartyId) -> Self {
        Self { sk: format!("CALLER#{caller}"), ..Self::party(app, callee) }
    }

    /// The key as DynamoDB takes it.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        [(PK, &self.pk), (SK, &self.sk)].map(|(name, value)| (name.to_owned(), text(value))).into()
    }

    /// Whether the item has this key.
    #[must_use]
    pub fn is_of(&self, item: &Attributes) -> bool {
        let holds = |name, value: &str| item.get(name).and_then(|it| it.as_s().ok()).is_some_and(|it| it == value);
        holds(SK, &self.sk) && holds(PK, &self.pk)
    }
}

/// Encodes the characters of an app's key that separate the parts of a table key.
fn escape(app: &AppKey) -> String {
    app.as_str().replace('%', "%25").replace('#', "%23")
}

/// The attributes of an app, without its key.
///
/// # Errors
/// When a rule could not be parsed: it cannot be written back.
pub fn write_app(app: &App) -> Result<Attributes, ParseError> {
    let App { status, callers, destinations, note } = app;
    let mut item = Attributes::from([("status".to_owned(), text(status.as_str()))]);
    write_rules(&mut item, "callers", callers)?;
    write_rules(&mut item, "destinations", destinations)?;
    write_text(&mut item, "note", note.as_deref());
    Ok(item)
}

/// The attributes of a party, without its key.
///
/// # Errors
/// When a rule could not be parsed: it cannot be written back.
pub fn write_party(party: &Party) -> Result<Attributes, ParseError> {
    let Party { status, incoming, outgoing, groups, blocked, expires_at, note } = party;
    let mut item = Attributes::from([("status".to_owned(), text(status.as_str()))]);
    write_rules(&mut item, "incoming", incoming)?;
    write_rules(&mut item, "outgoing", outgoing)?;
    // DynamoDB has no empty sets.
    if !groups.is_empty() {
        item.insert("groups".to_owned(), AttributeValue::Ss(groups.iter().cloned().collect()));
    }
    if let Some(block) = blocked {
        item.insert("blocked".to_owned(), AttributeValue::M(write_block(block)));
    }
    write_number(&mut item, EXPIRES_AT, *expires_at);
    write_text(&mut item, "note", note.as_deref());
    Ok(item)
}

/// The attributes of a rule, as in a list or, together with a key, as a pair's item.
#[must_use]
pub fn write_rule(rule: &Rule) -> Attributes {
    let Rule { effect, media, hours, expires_at, disabled, list, note, updated_at, updated_by } = rule;
    let mut item = Attributes::from([("effect".to_owned(), text(effect.as_str()))]);
    if let Some(media) = media {
        let words = media.words().iter().map(|&word| word.to_owned()).collect();
        item.insert("media".to_owned(), AttributeValue::Ss(words));
    }
    if let Some(hours) = hours {
        let windows = hours.windows().iter().map(|window| text(&window.to_string())).collect();
        item.insert("hours".to_owned(), AttributeValue::L(windows));
    }
    write_number(&mut item, EXPIRES_AT, *expires_at);
    if *disabled {
        item.insert("disabled".to_owned(), AttributeValue::Bool(true));
    }
    write_text(&mut item, "list", list.as_deref());
    write_text(&mut item, "note", note.as_deref());
    write_number(&mut item, "updated_at", *updated_at);
    write_text(&mut item, "updated_by", updated_by.as_deref());
    item
}

/// The attributes of a block, as in its party's item.
#[must_use]
pub fn write_block(block: &Block) -> Attributes {
    let Block { expires_at, list, note, updated_at, updated_by } = block;
    let mut item = Attributes::new();
    write_number(&mut item, EXPIRES_AT, *expires_at);
    write_text(&mut item, "list", list.as_deref());
    write_text(&mut item, "note", note.as_deref());
    write_number(&mut item, "updated_at", *updated_at);
    write_text(&mut item, "updated_by", updated_by.as_deref());
    item
}

fn write_rules(item: &mut Attributes, name: &str, rules: &Rules) -> Result<(), ParseError> {
    let mut map = Attributes::new();
    for (pattern, rule) in rules.iter() {
        map.insert(pattern.to_string(), AttributeValue::M(write_rule(rule.map_err(Clone::clone)?)));
    }
    item.insert(name.to_owned(), AttributeValue::M(map));
    Ok(())
}

fn write_text(item: &mut Attributes, name: &str, value: Option<&str>) {
    item.extend(value.map(|value| (name.to_owned(), text(value))));
}

fn write_number(item: &mut Attributes, name: &str, value: Option<EpochSeconds>) {
    item.extend(value.map(|value| (name.to_owned(), AttributeValue::N(value.to_string()))));
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// Reads an app's item. Unknown attributes are ignored.
///
/// # Errors
/// An attribute that is known has another type or an unknown value.
pub fn read_app(mut item: Attributes) -> Result<App, ParseError> {
    Ok(App {
        status: read_status(&mut item)?,
        callers: read_rules(&mut item, "callers")?,
        destinations: read_rules(&mut item, "destinations")?,
        note: read_text(&mut item, "note")?,
    })
}

/// Reads a party's item. Unknown attributes are ignored.
///
/// # Errors
/// An attribute that is known has another type or an unknown value.
pub fn read_party(mut item: Attributes) -> Result<Party, ParseError> {
    Ok(Party {
        status: read_status(&mut item)?,
        incoming: read_rules(&mut item, "incoming")?,
        outgoing: read_rules(&mut item, "outgoing")?,
        groups: item.remove("groups").map(read_groups).transpose()?.unwrap_or_default(),
        blocked: item.remove("blocked").map(read_block).transpose()?,
        expires_at: read_number(&mut item, EXPIRES_AT)?,
        note: read_text(&mut item, "note")?,
    })
}

/// Reads a pair's item, which is a rule with a key.
///
/// # Errors
/// As for [`read_rule`].
pub fn read_pair(mut item: Attributes) -> Result<Rule, ParseError> {
    item.remove(PK);
    item.remove(SK);
    read_rule(item)
}

/// Reads a rule. Every attribute must be known, because an unknown one may be a condition.
///
/// # Errors
/// An attribute is missing, unknown, or has another type or an unknown value.
pub fn read_rule(mut map: Attributes) -> Result<Rule, ParseError> {
    let effect = match read_text(&mut map, "effect")?.as_deref() {
        Some("allow") => Effect::Allow,
        Some("deny") => Effect::Deny,
        Some(other) => return Err(ParseError(format!("`effect` is `{}`, not `allow` or `deny`", excerpt(other)))),
        None => return Err(ParseError("`effect` is missing".to_owned())),
    };
    let rule = Rule {
        effect,
        media: map.remove("media").map(read_media).transpose()?,
        hours: map.remove("hours").map(read_hours).transpose()?,
        expires_at: read_number(&mut map, EXPIRES_AT)?,
        disabled: read_bool(&mut map, "disabled")?,
        list: read_text(&mut map, "list")?,
        note: read_text(&mut map, "note")?,
        updated_at: read_written_at(&mut map)?,
        updated_by: read_text(&mut map, "updated_by")?,
    };
    no_others(map, "a rule").map(|()| rule)
}

/// Reads a block. Every attribute must be known, because an unknown one may be a condition.
///
/// # Errors
/// An attribute is unknown, or has another type or an unknown value.
pub fn read_block(value: AttributeValue) -> Result<Block, ParseError> {
    let AttributeValue::M(mut map) = value else { return Err(wrong_type("blocked", &value, "a map")) };
    let block = Block {
        expires_at: read_number(&mut map, EXPIRES_AT)?,
        list: read_text(&mut map, "list")?,
        note: read_text(&mut map, "note")?,
        updated_at: read_written_at(&mut map)?,
        updated_by: read_text(&mut map, "updated_by")?,
    };
    no_others(map, "a block").map(|()| block)
}

/// Checks that all attributes of a rule or a block were read.
fn no_others(map: Attributes, what: &str) -> Result<(), ParseError> {
    // The first of several in alphabetical order, so that the same item always gives the same message.
    match map.into_keys().min() {
        None => Ok(()),
        Some(unknown) => Err(ParseError(format!("`{}` is not an attribute of {what}", excerpt(&unknown)))),
    }
}

fn read_groups(value: AttributeValue) -> Result<Groups, ParseError> {
    let AttributeValue::Ss(names) = value else { return Err(wrong_type("groups", &value, "a set of strings")) };
    match names.iter().filter(|name| !is_group_name(name)).min() {
        None => Ok(names.into_iter().collect()),
        Some(name) => Err(ParseError(format!("`groups` holds `{}`, which is not the name of a group", excerpt(name)))),
    }
}

fn read_rules(item: &mut Attributes, name: &str) -> Result<Rules, ParseError> {
    let Some(value) = item.remove(name) else { return Ok(Rules::default()) };
    let AttributeValue::M(map) = value else { return Err(wrong_type(name, &value, "a map")) };
    let read = |value| match value {
        AttributeValue::M(map) => read_rule(map),
        other => Err(ParseError(format!("it is {}, not a map", type_name(&other)))),
    };
    Ok(map.into_iter().map(|(key, value)| (Pattern::from_stored(key), read(value))).collect())
}

fn read_media(value: AttributeValue) -> Result<MediaSet, ParseError> {
    let AttributeValue::Ss(words) = value else { return Err(wrong_type("media", &value, "a set of strings")) };
    let mut media = MediaSet { audio: false, video: false };
    for word in words {
        match word.as_str() {
            "audio" => media.audio = true,
            "video" => media.video = true,
            other => return Err(ParseError(format!("`media` holds `{}`, not `audio` or `video`", excerpt(other)))),
        }
    }
    Ok(media)
}

/// Ignores fractions of a second, which other programs write, because this is not a condition of the rule.
fn read_written_at(map: &mut Attributes) -> Result<Option<EpochSeconds>, ParseError> {
    if let Some(AttributeValue::N(value)) = map.get_mut("updated_at")
        && let Some((seconds, _)) = value.split_once('.')
    {
        *value = seconds.to_owned();
    }
    read_number(map, "updated_at")
}

/// A zone is parsed and kept when the first rule that names it is read.
fn read_hours(value: AttributeValue) -> Result<Hours, ParseError> {
    let AttributeValue::L(texts) = value else { return Err(wrong_type("hours", &value, "a list of strings")) };
    // `collect` would keep the memory of the attributes, which is larger.
    let mut windows = Vec::with_capacity(texts.len());
    for text in texts {
        windows.push(match text {
            AttributeValue::S(text) => text.parse().map_err(|error| ParseError(format!("`hours`: {error}")))?,
            other => return Err(ParseError(format!("`hours` holds {}, not only strings", type_name(&other)))),
        });
    }
    Hours::new(windows).ok_or_else(|| ParseError("`hours` holds no window".to_owned()))
}

fn read_status(item: &mut Attributes) -> Result<Status, ParseError> {
    match read_text(item, "status")?.as_deref() {
        None | Some("active") => Ok(Status::Active),
        Some("suspended") => Ok(Status::Suspended),
        Some(other) => Err(ParseError(format!("`status` is `{}`, not `active` or `suspended`", excerpt(other)))),
    }
}

fn read_text(item: &mut Attributes, name: &str) -> Result<Option<String>, ParseError> {
    match item.remove(name) {
        None => Ok(None),
        Some(AttributeValue::S(value)) => Ok(Some(value)),
        Some(other) => Err(wrong_type(name, &other, "a string")),
    }
}

fn read_bool(item: &mut Attributes, name: &str) -> Result<bool, ParseError> {
    match item.remove(name) {
        None => Ok(false),
        Some(AttributeValue::Bool(value)) => Ok(value),
        Some(other) => Err(wrong_type(name, &other, "a boolean")),
    }
}

fn read_number(item: &mut Attributes, name: &str) -> Result<Option<EpochSeconds>, ParseError> {
    match item.remove(name) {
        None => Ok(None),
        Some(AttributeValue::N(value)) => match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(ParseError(format!("`{name}` is `{}`, not whole seconds since 1970", excerpt(&value)))),
        },
        Some(other) => Err(wrong_type(name, &other, "a number")),
    }
}

fn wrong_type(name: &str, value: &AttributeValue, expected: &str) -> ParseError {
    ParseError(format!("`{name}` is {}, not {expected}", type_name(value)))
}

fn type_name(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::S(_) => "a string",
        AttributeValue::N(_) => "a number",
        AttributeValue::Bool(_) => "a boolean",
        AttributeValue::Null(_) => "null",
        AttributeValue::M(_) => "a map",
        AttributeValue::L(_) => "a list",
        AttributeValue::B(_) => "binary",
        AttributeValue::Ss(_) => "a set of strings",
        AttributeValue::Ns(_) => "a set of numbers",
        AttributeValue::Bs(_) => "a set of binaries",
        _ => "of an unknown type",
    }
}
