//! Any file as rules, CSV or NDJSON: refused with a reason, or rules that are written in both forms and read as the same.
#![no_main]

use callgatectl::{Format, RuleFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &[u8]| {
    for format in [None, Some(Format::Csv), Some(Format::Ndjson)] {
        let Ok(rules) = RuleFile::read(source, format) else { continue };
        for written in [Format::Csv, Format::Ndjson] {
            let text = rules.write(written).unwrap();
            assert_eq!(RuleFile::read(&text, Some(written)).unwrap(), rules, "{}", String::from_utf8_lossy(&text));
            // An import that is not told what it reads finds out, unless there is nothing.
            if !text.is_empty() {
                assert_eq!(RuleFile::read(&text, None).unwrap(), rules);
            }
        }
    }
});
