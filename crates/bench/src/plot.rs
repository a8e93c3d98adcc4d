//! Plots the results as bar charts in SVG.

use std::fmt::Write as _;
use std::path::Path;

use crate::compare::{Comparison, Measurements, Metric};
use crate::grow::Point;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 44.0;
const ROW: f64 = 30.0;

/// The colour of callgate's bars.
const CALLGATE_COLOUR: &str = "#0b7a75";
/// The colour of its peers' bars.
const PEER_COLOUR: &str = "#9aa5b1";

type Value = fn(&Measurements) -> Option<f64>;

/// Writes one plot for each metric.
pub(crate) fn comparison(comparison: &Comparison, directory: &Path) -> std::io::Result<()> {
    let plots: [(&str, &str, Value); 4] = [
        ("first-call-throttled", "First call on 7.2 % of a core (128 MB), ms, logarithmic", |it| {
            it.percentile(Metric::FirstThrottled, 50)
        }),
        ("first-call", "Start and first call at full speed, ms, logarithmic", |it| {
            Some(it.percentile(Metric::StartWall, 50)? + it.percentile(Metric::FirstWall, 50)?)
        }),
        ("warm-call", "CPU of a warm call, us, logarithmic", |it| it.percentile(Metric::WarmCpu, 50)),
        ("memory", "Peak memory, MB, logarithmic", |it| it.percentile(Metric::Memory, 50)),
    ];
    for (name, title, value) in plots {
        let bars: Vec<_> = comparison
            .results
            .iter()
            .filter_map(|result| Some((result.program.name.as_str(), value(result)?)))
            .collect();
        if !bars.is_empty() {
            std::fs::write(
                directory.join(format!("{name}.svg")),
                bar_chart(title, Scale::Logarithmic, PEER_COLOUR, &bars),
            )?;
        }
    }
    Ok(())
}

/// Writes the plots of the CPU time by rules and by patterns.
pub(crate) fn growth(rules: &[Point], patterns: &[Point], directory: &Path) -> std::io::Result<()> {
    let plots = [
        ("rules", "CPU of a call, us, by exact rules in the table", rules),
        ("patterns", "CPU of a call, us, by patterns of the callee", patterns),
    ];
    for (name, title, points) in plots {
        let bars: Vec<_> = points.iter().map(|point| (point.size.to_string(), point.cpu_us)).collect();
        let bars: Vec<_> = bars.iter().map(|(size, cpu)| (size.as_str(), *cpu)).collect();
        std::fs::write(directory.join(format!("{name}.svg")), bar_chart(title, Scale::Linear, CALLGATE_COLOUR, &bars))?;
    }
    Ok(())
}

/// The scale of the bars. A linear scale starts at zero, a logarithmic one at the power of ten below the smallest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Logarithmic,
}

/// Draws horizontal bars. A bar whose name starts with `callgate` has its colour, all others have the default colour.
fn bar_chart(title: &str, scale: Scale, default_colour: &str, bars: &[(&str, f64)]) -> String {
    let scaled = |value: f64| if scale == Scale::Linear { value } else { value.max(1e-9).log10() };
    let values = || bars.iter().map(|(_, value)| scaled(*value));
    let smallest = if scale == Scale::Linear { 0.0 } else { values().fold(f64::INFINITY, f64::min).floor() };
    let largest = values().fold(f64::NEG_INFINITY, f64::max).max(smallest + 1.0);
    let length_of = |value: f64| (scaled(value) - smallest) / (largest - smallest) * (WIDTH - LEFT - RIGHT);

    let rows: Vec<f64> = std::iter::successors(Some(TOP), |y| Some(y + ROW)).take(bars.len() + 1).collect();
    let height = rows.last().copied().unwrap_or(TOP) + 8.0;
    let mut svg = svg_header(title, height);
    for ((name, value), y) in bars.iter().zip(&rows) {
        let colour = if name.starts_with("callgate") { CALLGATE_COLOUR } else { default_colour };
        let (length, middle) = (length_of(*value).max(2.0), y + ROW / 2.0 + 1.0);
        let _ = write!(
            svg,
            r#"<text x="{}" y="{middle:.0}" text-anchor="end">{name}</text><rect x="{LEFT}" y="{y:.0}" width="{length:.1}" height="{}" fill="{colour}"/><text x="{:.1}" y="{middle:.0}">{value:.3}</text>"#,
            LEFT - 8.0,
            ROW - 8.0,
            LEFT + length + 6.0,
        );
        svg.push('\n');
    }
    svg + "</svg>\n"
}

fn svg_header(title: &str, height: f64) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13" fill="#1f2933">
<title>{title}</title><rect width="100%" height="100%" fill="#ffffff"/><text x="12" y="26" font-weight="bold">{title}</text>
"##
    )
}
