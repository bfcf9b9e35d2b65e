//! Writes the page: one file without script or anything from elsewhere, every text of it escaped.

use std::fmt::Write as _;

use crate::cli::figures::latency;
use crate::cli::report::html::{escaped, table};
use crate::cli::report::past::thinned;
use crate::cli::report::plot::{Dot, Series, plot};
use crate::cli::report::tables::{self, DECISIONS, EVIDENCE, MOMENTS};
use crate::cli::why::story::Story;
use crate::telemetry::history::Point;
use crate::telemetry::stretch::{Bounded, Figures};

/// The most rows of a table of figures.
const ROWS: usize = 60;
/// The most values of a line; more could not be told apart.
const DOTS: usize = 700;
/// Which percentile of a moment.
type Percentile = fn(&Figures) -> Option<Bounded>;

/// How it looks, in the light and in the dark, and on paper.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--faint:#59636e;--paper:#fff;--rule:#d1d9e0;--stable:#0969da;--canary:#bc4c00}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--faint:#9198a1;--paper:#0d1117;--rule:#3d444d;--stable:#58a6ff;--canary:#f0883e}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}
.verdict{font-size:1.1rem;border-left:4px solid var(--canary);padding:.4rem .8rem}.faint{color:var(--faint)}
.verdict.promoted{border-color:var(--stable)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{text-align:left;padding:.2rem .7rem .2rem 0;vertical-align:top;border-bottom:1px solid var(--rule)}
.wide{overflow-x:auto}figure{margin:1rem 0}figcaption{font-weight:600}svg{width:100%;height:auto}
svg text{font-size:11px;fill:var(--faint)}.grid{stroke:var(--rule)}
polyline{fill:none;stroke-width:1.6}polyline.stable{stroke:var(--stable)}polyline.canary{stroke:var(--canary);stroke-dasharray:5 2}
polygon{opacity:.18}polygon.stable,circle.stable,rect.stable{fill:var(--stable)}polygon.canary,circle.canary,rect.canary{fill:var(--canary)}
.key{font-weight:400;margin-left:.8rem}.key.stable{color:var(--stable)}.key.canary{color:var(--canary)}.bar{fill:var(--rule)}
";

/// Writes the whole page of a rollout. `at` says when it was written.
pub fn page(story: &Story, points: &[&Point], at: &str) -> String {
    let (stable, canary) = story.versions();
    let name = |version: Option<&crate::domain::version::Name>| version.map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let (stable, canary) = (name(stable), name(canary));
    let phase = story.phase().replace('_', " ");
    let title = format!("{}, rollout {}: {canary} against {stable}, {phase}", story.service, story.rollout);
    let mut body = format!("<h1>{}</h1>\n", escaped(&title));
    if let Some((_, last)) = story.entries.last() {
        // Writing to a text cannot fail.
        let _ = writeln!(body, "<p class=\"verdict {}\">{}</p>", last.phase.as_str(), escaped(&last.reason));
    }
    let _ = writeln!(body, "<p class=\"faint\">Written {} by portcullis {}.</p>", escaped(at), env!("CARGO_PKG_VERSION"));
    body.push_str("<h2>What was decided</h2>\n");
    body.push_str(&table(&DECISIONS, &story.entries.iter().map(|(n, entry)| tables::decision(*n, entry)).collect::<Vec<_>>()));
    body.push_str("<h2>Evidence</h2>\n");
    body.push_str(&evidence(story));
    body.push_str("<h2>How both versions answered</h2>\n");
    body.push_str(&plots(points, &stable, &canary));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>\n{STYLE}</style></head>\n<body>\n{body}</body></html>\n",
        escaped(&title)
    )
}

/// Writes each piece of evidence, and draws how far it went towards its threshold.
fn evidence(story: &Story) -> String {
    let told: Vec<(Vec<String>, f64)> = story.entries.iter().flat_map(|(sequence, entry)| tables::evidence(*sequence, entry)).collect();
    if told.is_empty() {
        return "<p>No decision of this rollout rests on evidence: it was made by the plan or by an operator.</p>\n".to_owned();
    }
    let (wide, row) = (720.0, 20.0);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {wide} {}\" role=\"img\" aria-label=\"evidence towards its threshold\"><title>evidence towards its threshold</title>\n",
        row * told.len() as f64
    );
    for (index, (cells, part)) in told.iter().enumerate() {
        let y = row * index as f64;
        let label = cells.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
        let _ = writeln!(svg, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + 14.0, escaped(&label));
        let _ = writeln!(svg, "<rect class=\"bar\" x=\"260\" y=\"{:.1}\" width=\"450\" height=\"10\"/>", y + 5.0);
        let _ = writeln!(svg, "<rect class=\"canary\" x=\"260\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\"/>", y + 5.0, 450.0 * part);
    }
    let rows: Vec<Vec<String>> = told.into_iter().map(|(cells, _)| cells).collect();
    format!("<figure>{svg}</svg></figure>\n{}", table(&EVIDENCE, &rows))
}

fn plots(points: &[&Point], stable: &str, canary: &str) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return "<p>The proxy keeps no figures of that time: it has them of the last four hours, while it runs.</p>\n".to_owned();
    };
    let span = (first.at_ms, last.at_ms);
    let shown = thinned(points, DOTS);
    let share = |of: fn(&Point) -> f64| shown.iter().map(|point| (point.at_ms, [of(point); 3])).collect();
    let shares = [
        Series { name: stable, class: "stable", dots: share(|point| point.weight.complement().ratio() * 100.0) },
        Series { name: canary, class: "canary", dots: share(|point| point.weight.ratio() * 100.0) },
    ];
    let mut text = plot("Shares of the traffic", span, &shares, |value| format!("{value}%"));
    let percentiles: [(&str, Percentile); 3] = [("p50", |f| f.p50_us), ("p95", |f| f.p95_us), ("p99", |f| f.p99_us)];
    for (name, of) in percentiles {
        let arm = |pick: fn(&Point) -> Option<&Figures>| -> Vec<Dot> {
            let dot = |point: &&Point| Some((point.at_ms, of(pick(point)?)?.map(|us| us as f64)));
            shown.iter().filter_map(dot).collect()
        };
        let series = [
            Series { name: stable, class: "stable", dots: arm(|point| point.stable.as_ref()) },
            Series { name: canary, class: "canary", dots: arm(|point| point.canary.as_ref()) },
        ];
        let title = format!("{name} of the last ten seconds, with its 95 % bounds");
        text.push_str(&plot(&title, span, &series, |us| latency(us as u64)));
    }
    let rows: Vec<Vec<String>> = thinned(points, ROWS).into_iter().map(tables::moment).collect();
    format!("{text}<details><summary>The figures as a table</summary>\n{}</details>\n", table(&MOMENTS, &rows))
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
