//! Any file of rules, CSV or NDJSON: rejected with a reason, or rules that can be written in both formats and read back.
#![no_main]

use callgate_admin::rule_file::{FileRule, Format, Reader, Writer};
use libfuzzer_sys::fuzz_target;

/// The rules of a file. `None` when it has problems.
fn read(source: &[u8], format: Option<Format>) -> Option<Vec<FileRule>> {
    let mut reader = Reader::new(source, format, None).exactly(true);
    let mut rules = Vec::new();
    while let Some(line) = reader.next_line().ok()? {
        rules.push(line.rule.ok()?);
    }
    Some(rules)
}

fn write(rules: &[FileRule], format: Format) -> Vec<u8> {
    let mut text = Vec::new();
    let mut writer = Writer::new(format, &mut text).unwrap();
    for rule in rules {
        writer.write(&rule.row()).unwrap();
    }
    writer.finish().unwrap();
    text
}

fuzz_target!(|source: &[u8]| {
    for format in [None, Some(Format::Csv), Some(Format::Ndjson)] {
        let Some(rules) = read(source, format) else { continue };
        for format in [Format::Csv, Format::Ndjson] {
            let text = write(&rules, format);
            assert_eq!(read(&text, Some(format)).as_ref(), Some(&rules), "{}", String::from_utf8_lossy(&text));
            // Without a format the reader detects it, unless the file is empty.
            if !text.is_empty() {
                assert_eq!(read(&text, None).as_ref(), Some(&rules));
            }
        }
    }
});
