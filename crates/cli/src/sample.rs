//! Sample permissions to try the hook with, around the call of WCS's own documentation: PPP009 to PPP005.

use anyhow::Context as _;
use aws_sdk_dynamodb::Client;
use callgate::store::item::{Attributes, Key, write_app, write_party, write_rule};
use callgate_core::{App, AppKey, DialPlan, Effect, Fault, MediaSet, Party, PartyId, Pattern, Rule, Rules, Status};

/// The app the samples are in.
pub(crate) const APP: &str = "defaultApp";

/// What the samples permit and refuse, in the words of the operator.
pub(crate) const IN_WORDS: &str = "\
    deny  +881* to *            nobody with such a number gets through to anybody
    allow PPP009 to PPP005      one caller, one callee
    deny  * to PPP005           ... who takes calls from nobody else
    allow PPP00* to PPP001      a group may call one callee
    allow PPP002 to *           one caller may call everybody
    allow PPP009 to PPP003      with sound only (--media audio)
    PPP007 is suspended         neither calls nor is called";

/// Writes the samples.
pub(crate) async fn seed(client: &Client, table: &str) -> anyhow::Result<()> {
    for item in items()? {
        client.put_item().table_name(table).set_item(Some(item)).send().await.context("cannot write the samples")?;
    }
    Ok(())
}

fn items() -> anyhow::Result<Vec<Attributes>> {
    let app = AppKey::new(APP)?;
    let id = |text: &str| PartyId::new(text, &DialPlan::default());
    let list = |pattern: &str, effect| -> Rules {
        [(Pattern::from_stored(pattern), Ok::<_, Fault>(Rule::new(effect)))].into_iter().collect()
    };
    let sound_only = Rule { media: Some(MediaSet { audio: true, video: false }), ..Rule::new(Effect::Allow) };
    let keyed = |key: Key, mut item: Attributes| {
        item.extend(key.attributes());
        item
    };
    let party = |name: &str, party: &Party| anyhow::Ok(keyed(Key::party(&app, &id(name)?), write_party(party)?));
    let pair =
        |from: &str, to: &str, rule: &Rule| anyhow::Ok(keyed(Key::pair(&app, &id(from)?, &id(to)?), write_rule(rule)));
    Ok(vec![
        keyed(Key::app(&app), write_app(&App { callers: list("+881*", Effect::Deny), ..App::default() })?),
        pair("PPP009", "PPP005", &Rule::new(Effect::Allow))?,
        party("PPP005", &Party { incoming: list("*", Effect::Deny), ..Party::default() })?,
        party("PPP001", &Party { incoming: list("PPP00*", Effect::Allow), ..Party::default() })?,
        party("PPP002", &Party { outgoing: list("*", Effect::Allow), ..Party::default() })?,
        pair("PPP009", "PPP003", &sound_only)?,
        party("PPP007", &Party { status: Status::Suspended, ..Party::default() })?,
    ])
}
