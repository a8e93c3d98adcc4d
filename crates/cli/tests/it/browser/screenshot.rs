//! The README's picture of the console: made from sample data, and compared with the one in the repository.

use std::path::Path;

use super::{Browser, run};
use crate::console::call;
use crate::serve::ServeProcess;

/// The width and height in pixels of the squares that are compared. Letters differ between machines; where text is does not.
const SQUARE: usize = 16;

/// The picture with this name, in a light or a dark scheme.
fn picture(scheme: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/src/images/console-{scheme}.png"))
}

/// The brightness of each square of a picture, of 255, and the size of the picture.
fn squares(png: &[u8]) -> (Vec<f64>, (u32, u32)) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    let channels = info.color_type.samples();
    let row = usize::try_from(info.width).unwrap() * channels;
    let squares = pixels.chunks_exact(row * SQUARE).flat_map(|rows| {
        (0..row / (SQUARE * channels)).map(move |square| {
            let start = square * SQUARE * channels;
            let bytes = rows.chunks_exact(row).flat_map(move |row| &row[start..start + SQUARE * channels]);
            // Without the opacity, which is everywhere the same.
            let colours =
                bytes.enumerate().filter(move |(at, _)| at % channels < 3).map(|(_, value)| f64::from(*value));
            let (count, sum) = colours.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
            sum / count
        })
    });
    (squares.collect(), (info.width, info.height))
}

/// How much two pictures differ, compared with how much the first one differs from an empty page. 0 for the same picture, 1 for an
/// empty one.
fn difference(old: &[f64], new: &[f64]) -> f64 {
    let mut sorted = old.to_vec();
    sorted.sort_by(f64::total_cmp);
    let background = sorted[sorted.len() / 2];
    let sum = |differences: &mut dyn Iterator<Item = f64>| differences.map(f64::abs).sum::<f64>();
    sum(&mut old.iter().zip(new).map(|(old, new)| old - new)) / sum(&mut old.iter().map(|old| old - background))
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
            let browser =
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
            let ((new, new_size), (old, old_size)) = (squares(&shown), squares(&std::fs::read(&path).unwrap()));
            assert_eq!(new_size, old_size, "{}", path.display());
            let difference = difference(&old, &new);
            assert!(difference < 0.5, "{} differs by {difference:.2}; UPDATE_DOCS=1 writes it", path.display());
            entry = serve.next_console_url();
        }
    });
}
