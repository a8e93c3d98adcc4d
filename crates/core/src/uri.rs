//! The party in a SIP or tel URI, with or without a display name.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::id::IdError;
use crate::text::fold;

/// The host of callers who withhold their number (RFC 3323 §4.1.1.3).
const ANONYMOUS_HOST: &str = "anonymous.invalid";

/// The URI of `"Name" <uri>;parameters`, or else the whole text (RFC 3261 §20.10, `name-addr`).
pub(crate) fn address(text: &str) -> &str {
    let uri = after_display_name(text).and_then(|rest| rest.split_once('>'));
    match uri {
        Some((uri, rest)) if rest.is_empty() || rest.trim_start().starts_with(';') => uri.trim(),
        // Anything else keeps its angle brackets, and is refused because of them.
        _ => text,
    }
}

/// The text after the `<` that ends the display name, which may be quoted, unquoted or missing.
fn after_display_name(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split_once('<').filter(|(name, _)| !name.contains(['"', '>'])).map(|(_, rest)| rest);
    };
    let mut escaped = false;
    let (_, rest) = quoted.split_once(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    })?;
    rest.trim_start().strip_prefix('<')
}

/// The user part of a SIP, SIPS or tel URI, or of `user@host`, empty if there is none. Any other text as it is. `None` for
/// a caller who withholds the number.
pub(crate) fn user_part(address: &str) -> Result<Option<Cow<'_, str>>, IdError> {
    fn before(text: &str, end: char) -> &str {
        text.split_once(end).map_or(text, |(before, _)| before)
    }

    let is_anonymous = |host: &str| {
        let host = host.split([':', ';', '?', '>']).next().unwrap_or_default().trim().trim_end_matches('.');
        host.eq_ignore_ascii_case(ANONYMOUS_HOST)
    };
    let bare = |text| before(before(text, ';'), '?');
    let Some((scheme, uri)) = split_scheme(address) else {
        let Some((user, host)) = address.rsplit_once('@') else { return Ok(Some(Cow::Borrowed(address))) };
        return Ok((!is_anonymous(host)).then(|| Cow::Borrowed(user.trim())));
    };
    let user = match uri.split_once('@') {
        Some((user, _)) if strip_scheme(user).is_some() => return Err(IdError::Ambiguous),
        Some((_, host)) if bare(host).contains('@') => return Err(IdError::Forbidden('@')),
        Some((_, host)) if is_anonymous(host) => return Ok(None),
        // The password is not part of the id (RFC 3261 §25.1, `userinfo`). Without a host, a port follows the colon.
        Some((user, _)) => before(bare(user), ':'),
        None if scheme.eq_ignore_ascii_case("tel") => bare(uri),
        // Without a user part, it is the host of a SIP URI (RFC 3261 §19.1.1).
        None => "",
    };
    let decoded = percent_decode_str(user).decode_utf8().map_err(|_| IdError::NotUtf8)?;
    Ok(Some(match decoded {
        Cow::Borrowed(user) => Cow::Borrowed(user.trim()),
        Cow::Owned(user) => Cow::Owned(fold(&user).trim().to_owned()),
    }))
}

/// A SIP, SIPS or tel URI without its scheme.
pub(crate) fn strip_scheme(uri: &str) -> Option<&str> {
    split_scheme(uri).map(|(_, rest)| rest)
}

/// The scheme of a SIP, SIPS or tel URI, and the rest without the slashes that some programs put in front of it.
fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_known = ["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    is_known.then(|| (scheme, rest.strip_prefix("//").unwrap_or(rest)))
}
