//! The fields of a query string or of a form.

use axum::extract::{FromRequest, FromRequestParts, RawForm, Request};
use axum::http::request::Parts;
use callgate_admin::time;
use callgate_core::EpochSeconds;
use form_urlencoded::{Serializer, parse};
use maud::Markup;

use super::page::{PageError, hidden};
use crate::time::now;

/// The name of the field for an app. Empty, it is for all apps; without it, the default app is meant.
pub(super) const APP: &str = "app";

/// Names and values, in their order. A name may come several times.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of a name, without spaces around it. `None` if it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The first value of a name.
    ///
    /// # Errors
    /// When it is missing or empty.
    pub(super) fn required(&self, name: &str) -> Result<&str, PageError> {
        self.get(name).ok_or_else(|| PageError::invalid(format!("The field `{name}` is missing.")))
    }

    /// What the page showed as stored, in the order of its fields ([`seen`]).
    pub(super) fn seen(&self) -> impl Iterator<Item = &str> {
        self.all(SEEN).map(|seen| seen.strip_prefix('=').unwrap_or(seen))
    }

    /// The expiry that was typed.
    ///
    /// # Errors
    /// When it is not a moment in the future.
    pub(super) fn until(&self) -> Result<Option<EpochSeconds>, PageError> {
        let now = now();
        let until = self.get("until").map(|text| time::parse_until(text, now)).transpose()?;
        match until {
            Some(until) if until <= now => Err(PageError::invalid(format!(
                "The expiry {} is not in the future. To end a rule now, disable or revoke it.",
                time::describe(until)
            ))),
            until => Ok(until),
        }
    }

    /// Every value of a name that is not empty.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether a name has this value, as a checked box has.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|it| it == value)
    }

    /// Whether there is a field of a name, which may be empty.
    pub(super) fn names(&self, name: &str) -> bool {
        self.0.iter().any(|(it, _)| it == name)
    }

    /// The query string with one value of a name replaced, or removed.
    pub(super) fn with(&self, name: &str, value: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        for (it, value) in self.0.iter().filter(|(it, value)| it != name && (!value.is_empty() || it == APP)) {
            query.append_pair(it, value);
        }
        if let Some(value) = value {
            query.append_pair(name, value);
        }
        query.finish()
    }

    /// Parses a query string or a form.
    pub(super) fn of(encoded: &[u8]) -> Self {
        Self(parse(encoded).into_owned().collect())
    }
}

impl From<Vec<(String, String)>> for Fields {
    fn from(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }
}

/// The field with what the page showed as stored.
pub(super) const SEEN: &str = "seen";

/// What the page shows as stored, as its field has it: after a `=`, so that nothing is not taken for an empty field.
pub(super) fn shown(before: &str) -> String {
    format!("={before}")
}

/// A hidden field with what the page shows as stored.
pub(super) fn seen(before: &str) -> Markup {
    hidden(SEEN, &shown(before))
}

/// The fields of the query string.
#[derive(Debug)]
pub(super) struct Query(pub(super) Fields);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        Ok(Self(Fields::of(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// The fields of a form that was sent by POST.
#[derive(Debug)]
pub(super) struct Form(pub(super) Fields);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let RawForm(bytes) = RawForm::from_request(request, state).await.map_err(|rejection| {
            PageError::invalid(format!("The form cannot be read: {rejection}.")).with_status(rejection.status())
        })?;
        Ok(Self(Fields::of(&bytes)))
    }
}

/// The first value of a name in a query string.
pub(super) fn first(query: Option<&str>, name: &str) -> Option<String> {
    parse(query?.as_bytes()).find(|(it, _)| it == name).map(|(_, value)| value.into_owned())
}

/// A query string without a name.
pub(super) fn without(query: Option<&str>, name: &str) -> String {
    Fields::of(query.unwrap_or_default().as_bytes()).with(name, None)
}

/// A path with a query string of these fields.
pub(super) fn link<'a>(path: &str, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = Serializer::new(String::new()).extend_pairs(fields).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
