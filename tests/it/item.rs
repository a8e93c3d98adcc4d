//! The item codec: what is written is what is read, and no two things share a key.

use aws_sdk_dynamodb::types::AttributeValue;
use callgate::store::item::{
    Attributes, Key, read_app, read_pair, read_party, read_rule, write_app, write_party, write_rule,
};
use callgate_core::{App, AppKey, Block, Effect, Hours, MediaSet, Party, PartyId, Pattern, Rule, Rules, Status};
use proptest::prelude::*;

fn any_rule() -> impl Strategy<Value = Rule> {
    let effect = prop_oneof![Just(Effect::Allow), Just(Effect::Deny)];
    // DynamoDB has no empty sets.
    let media = prop_oneof![Just((true, false)), Just((false, true)), Just((true, true))]
        .prop_map(|(audio, video)| MediaSet { audio, video });
    let hours = prop_oneof![
        "Mon-Fri 09:00-18:00 UTC",
        "Sat,Sun 22:00-06:00 Europe/Moscow; Wed 00:00-24:00 UTC except 2026-12-31"
    ]
    .prop_map(|text| Hours::parse(&text).unwrap());
    let text = || proptest::option::of("\\PC{1,12}");
    let conditions = (proptest::option::of(media), proptest::option::of(hours), any::<Option<i64>>(), any::<bool>());
    (effect, conditions, text(), text(), any::<Option<i64>>(), text()).prop_map(
        |(effect, (media, hours, expires_at, disabled), list, note, updated_at, updated_by)| Rule {
            effect,
            media,
            hours,
            expires_at,
            disabled,
            list,
            note,
            updated_at,
            updated_by,
        },
    )
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let key = prop_oneof!["[+A-Z0-9]{1,9}\\*?", Just("*".to_owned()), "@[a-z0-9_-]{1,9}"];
    proptest::collection::hash_map(key, any_rule(), 0..5)
        .prop_map(|rules| rules.into_iter().map(|(key, rule)| (Pattern::from_stored(&key), Ok(rule))).collect())
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Active), Just(Status::Suspended)]
}

fn any_block() -> impl Strategy<Value = Block> {
    let text = || proptest::option::of("\\PC{1,12}");
    (any::<Option<i64>>(), text(), text(), any::<Option<i64>>(), text()).prop_map(
        |(expires_at, list, note, updated_at, updated_by)| Block { expires_at, list, note, updated_at, updated_by },
    )
}

/// What a key is made of, with its separators among it.
fn any_name() -> impl Strategy<Value = String> {
    "[ab#%25APRTYCLE]{1,6}|PARTY#?|CALLER#a|\\PC{1,3}"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_survives(rule in any_rule()) {
        let mut item = write_rule(&rule);
        let app = AppKey::new("a").unwrap();
        let id = PartyId::anonymous();
        item.extend(Key::pair(&app, &id, &id).attributes());
        prop_assert_eq!(read_pair(item), Ok(rule));
    }

    #[test]
    fn an_app_survives(
        status in any_status(), callers in any_rules(), destinations in any_rules(), note in proptest::option::of("\\PC{1,9}"),
    ) {
        let app = App { status, callers, destinations, note };
        prop_assert_eq!(read_app(write_app(&app).unwrap()), Ok(app));
    }

    #[test]
    fn a_party_survives(
        status in any_status(), incoming in any_rules(), outgoing in any_rules(), expires_at: Option<i64>,
        groups in proptest::collection::btree_set("[a-z0-9_-]{1,64}", 0..4), blocked in proptest::option::of(any_block()),
    ) {
        let party = Party { status, incoming, outgoing, groups, blocked, expires_at, note: None };
        prop_assert_eq!(read_party(write_party(&party).unwrap()), Ok(party));
    }

    #[test]
    fn different_things_have_different_keys(one in (any_name(), any_name(), any_name()), other in (any_name(), any_name(), any_name())) {
        let parse = |(app, caller, callee): &(String, String, String)| {
            let id = |text: &str| PartyId::new(text, None).ok();
            Some((AppKey::new(app).ok()?, id(caller)?, id(callee)?))
        };
        let (Some(one), Some(other)) = (parse(&one), parse(&other)) else { return Ok(()) };
        let keys = |(app, caller, callee): &(AppKey, PartyId, PartyId)| {
            [Key::app(app), Key::party(app, callee), Key::pair(app, caller, callee)]
        };
        let [app, party, pair] = keys(&one);
        let [other_app, other_party, other_pair] = keys(&other);
        prop_assert_eq!(app == other_app, one.0 == other.0);
        prop_assert_eq!(party == other_party, (&one.0, &one.2) == (&other.0, &other.2));
        prop_assert_eq!(pair == other_pair, one == other);
        prop_assert!(app != other_party && app != other_pair && party != other_pair);
    }
}

#[test]
fn a_key_knows_its_item() {
    let key = Key { pk: "p".to_owned(), sk: "s".to_owned() };
    assert!(key.is_of(&key.attributes()));
    assert!(!key.is_of(&Key { pk: "s".to_owned(), sk: "s".to_owned() }.attributes()));
    assert!(!key.is_of(&Attributes::new()));
}

/// A value of the table as any program may have written it, with long texts.
fn any_value() -> impl Strategy<Value = AttributeValue> {
    let text = || prop_oneof!["\\PC{0,9}", "[\0\"é]{1,3}".prop_map(|text| text.repeat(50_000)), any_window()];
    let leaf = prop_oneof![
        text().prop_map(AttributeValue::S),
        text().prop_map(AttributeValue::N),
        proptest::collection::vec(text(), 1..3).prop_map(AttributeValue::Ss),
        Just(AttributeValue::Bool(true)),
    ];
    leaf.prop_recursive(3, 12, 3, move |value| {
        let name = prop_oneof!["effect|media|hours|note|expires_at", text()];
        prop_oneof![
            proptest::collection::vec(value.clone(), 0..3).prop_map(AttributeValue::L),
            proptest::collection::hash_map(name, value, 0..4).prop_map(AttributeValue::M),
        ]
    })
}

/// A window with one long part.
fn any_window() -> impl Strategy<Value = String> {
    ("[a1:-]{1,3}", 0..4_usize).prop_map(|(text, at)| {
        let long = text.repeat(50_000);
        let mut parts = ["Mon", "09:00", "18:00", "UTC"];
        if let Some(part) = parts.get_mut(at) {
            *part = &long;
        }
        let [days, start, end, zone] = parts;
        format!("{days} {start}-{end} {zone}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_error_has_a_limited_length_whatever_is_stored(
        values in proptest::collection::hash_map("effect|media|hours|note|status|expires_at|updated_at|callers|incoming", any_value(), 1..5),
        other in proptest::option::of(("x|[\0é]", any_value())),
    ) {
        let mut item: Attributes = values;
        item.extend(other.map(|(name, value)| (name.repeat(50_000), value)));
        let mut errors: Vec<_> = read_rule(item.clone()).err().into_iter().collect();
        let lists = [read_app(item.clone()).map(|app| app.callers), read_party(item).map(|party| party.incoming)];
        for list in lists {
            match list {
                Ok(rules) => errors.extend(rules.iter().filter_map(|(_, rule)| rule.err().cloned())),
                Err(error) => errors.push(error),
            }
        }
        for error in errors {
            prop_assert!(error.to_string().len() < 400, "{} bytes", error.to_string().len());
        }
    }
}
