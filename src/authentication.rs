//! Checks that a request is from our WCS: the signature that WCS sends with `rest_hook_send_hash=true`, and the source
//! address.

use std::fmt;
use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use md5::Md5;

/// A key that WCS and the function share. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the key as it is written in `flashphoner.properties` (`rest_hook_secret_key`).
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(key.to_owned())
    }

    fn mac(&self, body: &[u8]) -> Option<Hmac<Md5>> {
        // HMAC takes keys of any length, so this is never `None`.
        Hmac::<Md5>::new_from_slice(self.0.as_bytes()).ok().map(|mac| mac.chain_update(body))
    }

    /// The `Authorization` header that WCS sends with this body: `WCS` and the HMAC-MD5 in hexadecimal.
    #[must_use]
    pub fn authorization(&self, body: &[u8]) -> String {
        let hex = self.mac(body).map(|mac| hex::encode(mac.finalize().into_bytes()));
        format!("WCS {}", hex.unwrap_or_default())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether the body was signed with one of the secrets. Compares in constant time. Without secrets, every body counts as
/// signed.
#[must_use]
pub fn is_signed(secrets: &[Secret], authorization: Option<&str>, body: &[u8]) -> bool {
    if secrets.is_empty() {
        return true;
    }
    let Some((scheme, hash)) = authorization.and_then(|value| value.trim().split_once(' ')) else { return false };
    let mut signature = [0; 16];
    if !scheme.eq_ignore_ascii_case("WCS") || hex::decode_to_slice(hash.trim_start(), &mut signature).is_err() {
        return false;
    }
    // Every secret is tried, so that the time does not depend on which one matches.
    secrets
        .iter()
        .fold(false, |signed, secret| signed | secret.mac(body).is_some_and(|mac| mac.verify_slice(&signature).is_ok()))
}

/// Whether a hook may come from this address. `None` for the list allows every address. `None` for the address means that
/// the gateway did not send one; no list allows that.
#[must_use]
pub fn is_allowed_source(allowed: Option<&[IpNet]>, source: Option<IpAddr>) -> bool {
    let Some(allowed) = allowed else { return true };
    // A dual-stack gateway may write an IPv4 address as ::ffff:192.0.2.1.
    source.is_some_and(|source| allowed.iter().any(|net| net.contains(&source.to_canonical())))
}
