//! Numbers of every region in many spellings, compared with another implementation of libphonenumber. The file comes from
//! `tests/phone_numbers.py`.

use callgate_core::{PartyId, PhoneRegion};

/// `CALLGATE_PHONE_NUMBERS` is the file.
#[test]
#[ignore = "needs the file that tests/phone_numbers.py writes"]
#[expect(clippy::disallowed_methods, reason = "the core must not read files or the environment, but its tests may")]
fn numbers_are_read_as_another_implementation_reads_them() {
    let path = std::env::var("CALLGATE_PHONE_NUMBERS").unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let [region, text, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let region: PhoneRegion = region.parse().unwrap();
        let id = PartyId::new(text, Some(region));
        let id = id.as_ref().map_or("", PartyId::as_str);
        count += 1;
        if id != expected {
            wrong.push(format!("{region}: `{text}` is `{id}`, not `{expected}`"));
        }
        if !id.is_empty() {
            assert_eq!(PartyId::new(id, Some(region)).unwrap().as_str(), id, "{region}: `{text}`");
        }
    }
    assert!(count > 10_000, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
