//! Any `Authorization` header with any body is accepted only if the signature is right.
#![no_main]

use callgate::authentication::{Secret, is_signed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| {
    let (header, body) = input;
    let secret = Secret::new("key");
    let right = secret.authorization(body);
    assert!(is_signed(std::slice::from_ref(&secret), Some(&right), body));
    if is_signed(&[secret], Some(header), body) {
        let squeezed: String = header.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.eq_ignore_ascii_case(&right));
    }
});
