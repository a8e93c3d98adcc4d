//! The progress of a command that writes many items.

use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::time::Duration;

use callgate_admin::import::ImportControl;
use callgate_admin::wording::count;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::interrupts::Interrupts;
use crate::output::{Output, print_note};

/// How often the progress bar is updated.
const REFRESH: Duration = Duration::from_millis(200);

/// Runs to its end what the control stops, and stops it when the command is interrupted.
pub(crate) async fn show_progress<T>(
    running: impl Future<Output = T>,
    control: &ImportControl,
    bar: &ProgressBar,
    interrupts: &mut Interrupts,
) -> T {
    let mut running = pin!(running);
    let mut refresh = tokio::time::interval(REFRESH);
    let result = loop {
        tokio::select! {
            result = &mut running => break result,
            () = interrupts.recv() => control.stop(),
            _ = refresh.tick() => bar.set_position(control.done()),
        }
    };
    bar.finish_and_clear();
    result
}

/// Prints that a command waits before it permits more.
pub(crate) fn print_wait(bar: &ProgressBar, time: Duration) {
    let seconds = count(time.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX), "second");
    bar.suspend(|| print_note(format!("waiting {seconds}, until no function uses the app's earlier rules any more")));
}

/// A bar that counts rules or items. It is hidden if standard error is not a terminal.
pub(crate) fn progress_bar(total: u64, counted: &str, output: Output) -> anyhow::Result<ProgressBar> {
    if output == Output::Json || !io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let template = format!("{{wide_bar}} {{pos}}/{{len}} {counted}, {{per_sec}}, {{eta}} left");
    bar.set_style(ProgressStyle::with_template(&template)?);
    Ok(bar)
}
