//! Plots as plain SVG: bars for a comparison, a line for what grows.

use std::fmt::Write as _;
use std::path::Path;

use crate::compare::{Comparison, Figure, Measured};
use crate::grow::Point;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 44.0;
const ROW: f64 = 30.0;

/// callgate's colour and its peers'.
const OURS: &str = "#0b7a75";
const THEIRS: &str = "#9aa5b1";

type Value = fn(&Measured) -> Option<f64>;

/// One plot a figure.
pub(crate) fn comparison(comparison: &Comparison, directory: &Path) -> std::io::Result<()> {
    let plots: [(&str, &str, Value); 4] = [
        ("first-call-throttled", "First call on 7.2 % of a core (128 MB), ms, logarithmic", |it| {
            it.percentile(Figure::FirstThrottled, 50)
        }),
        ("first-call", "Start and first call at full speed, ms, logarithmic", |it| {
            Some(it.percentile(Figure::StartWall, 50)? + it.percentile(Figure::FirstWall, 50)?)
        }),
        ("warm-call", "CPU of a warm call, us, logarithmic", |it| it.percentile(Figure::WarmCpu, 50)),
        ("memory", "Peak memory, MB, logarithmic", |it| it.percentile(Figure::Memory, 50)),
    ];
    for (name, title, value) in plots {
        let bars: Vec<_> = comparison
            .measured
            .iter()
            .filter_map(|program| Some((program.contender.name.as_str(), value(program)?)))
            .collect();
        if !bars.is_empty() {
            std::fs::write(directory.join(format!("{name}.svg")), bar_chart(title, Axis::Logarithmic, THEIRS, &bars))?;
        }
    }
    Ok(())
}

/// One plot of each kind of growth.
pub(crate) fn growth(rules: &[Point], patterns: &[Point], directory: &Path) -> std::io::Result<()> {
    let plots = [
        ("rules", "CPU of a call, us, by exact rules in the table", rules),
        ("patterns", "CPU of a call, us, by patterns of the callee", patterns),
    ];
    for (name, title, points) in plots {
        let bars: Vec<_> = points.iter().map(|point| (point.size.to_string(), point.cpu_us)).collect();
        let bars: Vec<_> = bars.iter().map(|(size, cpu)| (size.as_str(), *cpu)).collect();
        std::fs::write(directory.join(format!("{name}.svg")), bar_chart(title, Axis::Linear, OURS, &bars))?;
    }
    Ok(())
}

/// Where bars start: at zero, or at the power of ten below the shortest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Linear,
    Logarithmic,
}

/// Horizontal bars.
fn bar_chart(title: &str, axis: Axis, colour_of_all: &str, bars: &[(&str, f64)]) -> String {
    let height_of = |value: f64| if axis == Axis::Linear { value } else { value.max(1e-9).log10() };
    let values = || bars.iter().map(|(_, value)| height_of(*value));
    let least = if axis == Axis::Linear { 0.0 } else { values().fold(f64::INFINITY, f64::min).floor() };
    let most = values().fold(f64::NEG_INFINITY, f64::max).max(least + 1.0);
    let scale = |value: f64| (height_of(value) - least) / (most - least) * (WIDTH - LEFT - RIGHT);

    let rows: Vec<f64> = std::iter::successors(Some(TOP), |y| Some(y + ROW)).take(bars.len() + 1).collect();
    let height = rows.last().copied().unwrap_or(TOP) + 8.0;
    let mut svg = open(title, height);
    for ((name, value), y) in bars.iter().zip(&rows) {
        let colour = if name.starts_with("callgate") { OURS } else { colour_of_all };
        let (length, middle) = (scale(*value).max(2.0), y + ROW / 2.0 + 1.0);
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

fn open(title: &str, height: f64) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13" fill="#1f2933">
<title>{title}</title><rect width="100%" height="100%" fill="#ffffff"/><text x="12" y="26" font-weight="bold">{title}</text>
"##
    )
}
