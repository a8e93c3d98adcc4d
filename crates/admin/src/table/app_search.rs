//! Finds out whether anything is stored for an app, without reading the whole table.

use std::collections::BTreeSet;

use callgate::store::item::{Key, PK, SK};
use callgate_core::AppKey;

use super::Table;
use super::scan::Filter;
use crate::error::{Error, Result};
use crate::item_kind::ItemKind;

/// How many pages are read at most: 4 MB, which is all of a small table.
const MAX_PAGES: usize = 4;

/// What was found about an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppSearch {
    /// Something is stored for it, or nothing is stored at all, or it could not be found out.
    Usual,
    /// Nothing is stored for it, but for others. With the apps whose names are similar.
    Unknown(Vec<AppKey>),
}

impl Table {
    /// Finds out whether an app is probably mistyped: nothing is stored for it, and something for others. Of a table that is
    /// too large to be read, only the beginning is; then an app without rules there is only unknown if another one has a
    /// similar name. Without the right to scan the table, no app is unknown.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn search_app(&self, app: &AppKey) -> Result<AppSearch> {
        if self.get(&Key::app(app)).await?.is_some() {
            return Ok(AppSearch::Usual);
        }
        let mut apps: Vec<AppKey> = Vec::new();
        let mut start = None;
        for _ in 0..MAX_PAGES {
            let request = self.client.scan().table_name(&self.name).projection_expression("#pk, #sk");
            let request = request.expression_attribute_names("#pk", PK).expression_attribute_names("#sk", SK);
            let page = match request.consistent_read(true).set_exclusive_start_key(start).send().await {
                Ok(page) => page,
                Err(error) => match self.request_error("cannot read the table", &error) {
                    Error::Request { code: Some(code), .. } if code == "AccessDeniedException" => {
                        return Ok(AppSearch::Usual);
                    }
                    error => return Err(error),
                },
            };
            for item in page.items() {
                let Some(ItemKind::App(name) | ItemKind::Party(name, _) | ItemKind::Pair(name, ..)) =
                    ItemKind::of(item)
                else {
                    continue;
                };
                if name == app.as_str() {
                    return Ok(AppSearch::Usual);
                }
                if apps.last().is_none_or(|last| last.as_str() != name)
                    && let Ok(other) = AppKey::new(&name)
                    && !apps.contains(&other)
                {
                    apps.push(other);
                }
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        let is_complete = start.is_none();
        let has_others = !apps.is_empty();
        apps.retain(|other| is_similar(app.as_str(), other.as_str()));
        apps.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(if has_others && (is_complete || !apps.is_empty()) { AppSearch::Unknown(apps) } else { AppSearch::Usual })
    }
}

/// The apps that were found in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownApps {
    /// The apps, sorted.
    pub apps: Vec<AppKey>,
    /// Whether these are all apps. Otherwise the table may have others, of which only rules between two parties are stored.
    pub is_complete: bool,
}

/// The most items that are read to find apps.
const MAX_ITEMS: usize = 1_000;

impl Table {
    /// Finds apps without reading the whole table: those with an item of their own, by the index, and those of the first items.
    ///
    /// # Errors
    /// Why the table cannot be read.
    pub async fn known_apps(&self) -> Result<KnownApps> {
        let (own, first) = tokio::try_join!(self.index_page("APP", "APP#", None, MAX_ITEMS), async {
            match self.scan_page(Filter::without_history(), None, MAX_ITEMS).await {
                Ok(page) => Ok(Some(page)),
                Err(Error::Request { code: Some(code), .. }) if code == "AccessDeniedException" => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        let own = own.map(|page| page.keys).unwrap_or_default();
        let is_complete = first.as_ref().is_some_and(|page| page.last.is_none());
        let first = first.map(|page| page.items).unwrap_or_default();
        let kinds = own.iter().map(Key::attributes).chain(first).filter_map(|item| ItemKind::of(&item));
        let apps: BTreeSet<_> = kinds.map(|kind| kind.app().to_owned()).collect();
        Ok(KnownApps { apps: apps.iter().filter_map(|app| AppKey::new(app).ok()).collect(), is_complete })
    }
}

/// Whether one name may be a mistyped other one: with at most two letters of it added, left out, changed or swapped, apart
/// from case.
fn is_similar(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(str::to_lowercase);
    let most = if one.chars().count().max(other.chars().count()) < 4 { 1 } else { 2 };
    strsim::osa_distance(&one, &other) <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_mistyped_ones() {
        for (one, other) in
            [("shpo", "shop"), ("Shop", "shop"), ("shop1", "shop"), ("defaultAp", "defaultApp"), ("ab", "a")]
        {
            assert!(is_similar(one, other) && is_similar(other, one), "{one} {other}");
        }
        for (one, other) in [("shop", "office"), ("a", "xyz"), ("sales", "shop"), ("", "shop")] {
            assert!(!is_similar(one, other) && !is_similar(other, one), "{one} {other}");
        }
    }
}
