//! Draws lines over time as SVG, with the band in which each value lies.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::cli::report::html::escaped;

/// How wide a plot is, in units of its own.
const WIDE: f64 = 720.0;
/// How high it is.
const HIGH: f64 = 200.0;
/// The room at the left, right, top and bottom.
const ROOM: [f64; 4] = [70.0, 12.0, 10.0, 24.0];
/// How many lines cross a plot.
const TICKS: u16 = 4;
/// Measured values further apart than this many milliseconds are not joined: there were none in between.
pub const GAP: u64 = 40_000;

/// One value: when, in milliseconds since 1970, and its lower bound, itself, its upper bound.
pub type Dot = (u64, [f64; 3]);

/// A moment that is marked in every plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Whether something was taken back then.
    pub is_bad: bool,
}

/// What the plots of a page have in common: the stretch of time, and the moments that are marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it begins, in milliseconds since 1970.
    pub from: u64,
    /// When it ends.
    pub to: u64,
    /// From when to when the rollout itself lasted: what was before and after may be another's.
    pub rollout: RangeInclusive<u64>,
    /// What is marked.
    pub marks: Vec<Mark>,
}

/// One line of a plot.
pub struct Series<'s> {
    /// What it is called.
    pub name: &'s str,
    /// How it is drawn: the name of a class of the style sheet.
    pub class: &'static str,
    /// The values in order.
    pub dots: Vec<Dot>,
    /// Values further apart than this many milliseconds are not joined.
    pub gap: u64,
    /// Values that stand for themselves.
    pub spots: Vec<Dot>,
}

/// How the values of a plot are written, and where its axis ends.
pub struct Scale<'s> {
    /// The end of the axis; `None` where the largest value says it.
    pub top: Option<f64>,
    /// Writes a value of the axis.
    pub written: &'s dyn Fn(f64) -> String,
}

/// Draws a plot. Whatever the values, the text is finite numbers and escaped names.
pub fn plot(title: &str, frame: &Frame, series: &[Series<'_>], scale: &Scale<'_>) -> String {
    let uppers = series.iter().flat_map(|s| s.dots.iter().chain(&s.spots)).map(|(_, [.., upper])| *upper);
    let top = scale.top.unwrap_or_else(|| ceiling(uppers.filter(|v| v.is_finite()).fold(0.0, f64::max)));
    let axes = Axes { from: frame.from, to: frame.to.max(frame.from + 1), top };
    let mut svg = format!("<svg viewBox=\"0 0 {WIDE} {HIGH}\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>\n", escaped(title));
    svg.push_str(&axes.ground(scale.written, &frame.marks));
    for one in series {
        for run in runs(&one.dots, one.gap) {
            svg.push_str(&axes.band(one.class, run));
            svg.push_str(&axes.line(one.class, run));
        }
        for (at, [_, value, _]) in &one.spots {
            // Writing to a text cannot fail.
            let _ = writeln!(svg, "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>", one.class, axes.x(*at), axes.y(*value));
        }
    }
    svg.push_str("</svg>\n");
    let key: String = series.iter().map(key).collect();
    format!("<figure tabindex=\"0\"><figcaption>{} {key}</figcaption>\n{svg}</figure>\n", escaped(title))
}

/// Writes what a line looks like and what it is.
fn key(one: &Series<'_>) -> String {
    let sample =
        format!("<svg class=\"sample\" viewBox=\"0 0 24 8\" aria-hidden=\"true\"><path class=\"{}\" d=\"M0 4h24\"/></svg>", one.class);
    format!("<span class=\"key\">{sample}{}</span> ", escaped(one.name))
}

/// Writes the time of day in UTC.
pub fn clock(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%H:%M:%S").to_string())
}

/// Splits the values where there are none in between.
fn runs(dots: &[Dot], gap: u64) -> impl Iterator<Item = &[Dot]> {
    dots.chunk_by(move |a, b| b.0.saturating_sub(a.0) <= gap)
}

/// Returns the next of 1, 2, 2.5 and 5 times a power of ten.
fn ceiling(top: f64) -> f64 {
    if top <= 0.0 || !top.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(top.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= top).unwrap_or(top)
}

/// Where time and values lie.
struct Axes {
    from: u64,
    to: u64,
    top: f64,
}

impl Axes {
    fn x(&self, at: u64) -> f64 {
        let [left, right, ..] = ROOM;
        let part = at.saturating_sub(self.from) as f64 / self.to.saturating_sub(self.from).max(1) as f64;
        left + part.min(1.0) * (WIDE - left - right)
    }

    fn y(&self, value: f64) -> f64 {
        let [_, _, above, below] = ROOM;
        let part = if value.is_finite() { (value / self.top).clamp(0.0, 1.0) } else { 1.0 };
        HIGH - below - part * (HIGH - above - below)
    }

    /// Draws the lines that cross the plot with their values, the times, and what is marked.
    fn ground(&self, written: &dyn Fn(f64) -> String, marks: &[Mark]) -> String {
        let [left, right, above, below] = ROOM;
        let mut svg = String::new();
        for tick in 0..=TICKS {
            let value = self.top * f64::from(tick) / f64::from(TICKS);
            let y = self.y(value);
            // Writing to a text cannot fail.
            let _ = writeln!(svg, "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>", WIDE - right);
            let _ =
                writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", left - 6.0, y + 4.0, escaped(&written(value)));
        }
        for (part, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
            let at = self.from + (self.to.saturating_sub(self.from) as f64 * part) as u64;
            let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>", self.x(at), HIGH - 6.0, clock(at));
        }
        for mark in marks.iter().filter(|mark| (self.from..=self.to).contains(&mark.at)) {
            let (x, class) = (self.x(mark.at), if mark.is_bad { "mark bad" } else { "mark" });
            let _ = writeln!(svg, "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{above}\" y2=\"{}\"/>", HIGH - below);
        }
        svg
    }

    fn line(&self, class: &str, run: &[Dot]) -> String {
        let points = run.iter().map(|(at, [_, value, _])| self.point(*at, *value)).collect::<Vec<_>>();
        match points.as_slice() {
            // A line of one point would not be seen.
            [one] => one
                .split_once(',')
                .map_or_else(String::new, |(x, y)| format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"2\"/>\n")),
            _ => format!("<polyline class=\"{class}\" points=\"{}\"/>\n", points.join(" ")),
        }
    }

    fn band(&self, class: &str, run: &[Dot]) -> String {
        if run.iter().all(|(_, [lower, _, upper])| lower == upper) {
            return String::new();
        }
        let there = run.iter().map(|(at, [_, _, upper])| self.point(*at, *upper));
        let back = run.iter().rev().map(|(at, [lower, ..])| self.point(*at, *lower));
        format!("<polygon class=\"{class}\" points=\"{}\"/>\n", there.chain(back).collect::<Vec<_>>().join(" "))
    }

    fn point(&self, at: u64, value: f64) -> String {
        format!("{:.1},{:.1}", self.x(at), self.y(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (top, ceil) in
            [(0.0, 1.0), (0.9, 1.0), (1.0, 1.0), (1.1, 2.0), (2.4, 2.5), (45_000.0, 50_000.0), (51.0, 100.0), (f64::NAN, 1.0)]
        {
            assert!((ceiling(top) - ceil).abs() < 1e-9 * ceil, "{top}: {}", ceiling(top));
        }
    }

    #[test]
    fn lines_break_where_there_is_nothing_and_stay_within_the_plot() {
        let dots =
            vec![(0, [0.0, 5.0, 10.0]), (1_000, [4.0, 5.0, 6.0]), (100_000, [1.0, 1.0, 1.0]), (200_000, [f64::NAN, f64::INFINITY, 7.0])];
        let frame = Frame {
            from: 0,
            to: 100_000,
            rollout: 0..=100_000,
            marks: vec![Mark { at: 50_000, is_bad: true }, Mark { at: 100_001, is_bad: false }],
        };
        let series = Series { name: "\"v2\"", class: "canary", dots, gap: GAP, spots: Vec::new() };
        let text = plot("<p95>", &frame, &[series], &Scale { top: None, written: &|v| format!("{v} <ms>") });
        assert_eq!(text.matches("class=\"mark").count(), 1, "what was before or after is not marked: {text}");
        assert_eq!(text.matches("<polyline").count(), 1, "{text}");
        assert_eq!(text.matches("<circle").count(), 2, "{text}");
        assert!(text.contains("points=\"70.0,93.0 76.4,93.0\""), "5 of 10 is in the middle: {text}");
        assert!(text.contains("&lt;p95&gt;") && text.contains("&quot;v2&quot;") && text.contains("10 &lt;ms&gt;"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        for number in text.split(['"', ' ', ',']).filter_map(|part| part.parse::<f64>().ok()) {
            assert!((0.0..=WIDE).contains(&number), "{number}");
        }
    }
}
