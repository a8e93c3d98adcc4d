//! The README's picture of the console: made from sample data, and compared with the one in the repository.

use std::path::Path;

use super::{Browser, run};
use crate::console::call;
use crate::serve::ServeProcess;

/// How much of the brightness of two pictures may differ on average, of 255. Machines have different fonts.
const MAX_DIFFERENCE: u64 = 12;

/// The picture with this name, in a light or a dark scheme.
fn picture(scheme: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/src/images/console-{scheme}.png"))
}

/// The pixels of a picture as brightness, and its width.
fn brightness(png: &[u8]) -> (Vec<u8>, u32) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    let channels = info.color_type.samples();
    let colours = channels.min(3);
    let bright = pixels.chunks(channels).map(|pixel| {
        let sum: u32 = pixel[..colours].iter().map(|value| u32::from(*value)).sum();
        u8::try_from(sum / u32::try_from(colours).unwrap()).unwrap()
    });
    (bright.collect(), info.width)
}

/// `UPDATE_DOCS=1` writes the pictures.
#[test]
#[ignore = "needs chromedriver"]
fn the_pictures_of_the_readme_show_the_console() {
    run(async {
        let mut serve = ServeProcess::start(&[], &[]);
        let calls = [
            ("+88161234567", "PPP004"),
            ("PPP009", "PPP005"),
            ("PPP012", "PPP011"),
            ("PPP002", "PPP010"),
            ("+74957654321", "+74951234567"),
            ("anonymous", "PPP004"),
            ("+15550100199", "PPP004"),
            ("PPP009", "PPP006"),
        ];
        for (caller, callee) in calls {
            call(&serve, caller, callee);
        }
        let mut entry = serve.console_url();
        for (scheme, setting) in [("light", 1), ("dark", 0)] {
            let mut browser =
                Browser::start((1_120, 1_240), &[&format!("--blink-settings=preferredColorScheme={setting}")]).await;
            browser.open(&entry).await;
            browser.wait_for("8 calls in memory").await;
            browser.find("tbody td.time a").await.click().await.unwrap();
            browser.wait_for("Allow PPP009 to call PPP006").await;
            for text in [
                "refused",
                "permitted",
                "the caller is blocked",
                "no rule applies at any door",
                "allow PPP009 to PPP006",
            ] {
                assert!(browser.text().await.contains(text), "`{text}` is not in {}", browser.text().await);
            }
            browser.client.execute("scrollTo(0, 0)", Vec::new()).await.unwrap();
            // The times are those of the run.
            let script = "document.querySelectorAll('time').forEach((it, n) => it.textContent = '2026-11-26 12:00:0' + (9 - n % 10))";
            browser.client.execute(script, Vec::new()).await.unwrap();
            let shown = browser.client.screenshot().await.unwrap();
            let path = picture(scheme);
            if std::env::var_os("UPDATE_DOCS").is_some() {
                std::fs::write(&path, &shown).unwrap();
            }
            let ((new, new_width), (old, old_width)) = (brightness(&shown), brightness(&std::fs::read(&path).unwrap()));
            assert_eq!((new.len(), new_width), (old.len(), old_width), "{} has another size", path.display());
            let sum: u64 = new.iter().zip(&old).map(|(new, old)| u64::from(new.abs_diff(*old))).sum();
            let difference = sum / u64::try_from(new.len()).unwrap();
            assert!(
                difference <= MAX_DIFFERENCE,
                "{} differs by {difference} of 255; UPDATE_DOCS=1 writes it",
                path.display()
            );
            browser.clicks = 0;
            entry = serve.next_console_url();
        }
    });
}
