//! Writes the page: one file without script or anything from elsewhere, every text of it escaped.

use std::fmt::Write as _;

use crate::cli::figures::latency;
use crate::cli::report::growth::growth;
use crate::cli::report::html::{escaped, table};
use crate::cli::report::past::{at_ms, thinned};
use crate::cli::report::plot::{Dot, Frame, GAP, Mark, Scale, Series, plot};
use crate::cli::report::tables::{self, DECISIONS, EVIDENCE, MOMENTS};
use crate::cli::why::story::Story;
use crate::domain::rollout::Phase;
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
:root{color-scheme:light dark;--ink:#161a22;--faint:#5f6a7b;--page:#f4f5f8;--paper:#fff;--rule:#e1e5ec;--stable:#5a6b82;--canary:#3d4fd6;--good:#0b6b45;--warn:#8a5300;--bad:#b42323}
@media(prefers-color-scheme:dark){:root{--ink:#eceff4;--faint:#939eae;--page:#0e1116;--paper:#161a21;--rule:#272d38;--stable:#a3b1c6;--canary:#8f9dff;--good:#55c893;--warn:#e3aa4e;--bad:#ff8880}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:62rem;margin:2rem auto;padding:0 1rem;font-variant-numeric:tabular-nums}
h1{font-size:1.6rem;line-height:1.2;margin-bottom:.4rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}
.verdict{font-size:1.05rem;background:var(--paper);border-left:4px solid var(--canary);border-radius:0 8px 8px 0;padding:.6rem .9rem;overflow-wrap:anywhere}
.verdict.promoted{border-color:var(--good)}.verdict.rolled_back,.verdict.aborted,.verdict.braked{border-color:var(--bad)}.faint{color:var(--faint)}
table{border-collapse:collapse;font-size:.87rem;width:100%}td,th{text-align:left;padding:.3rem .8rem .3rem 0;vertical-align:top;border-bottom:1px solid var(--rule)}
th{color:var(--faint);font-weight:600;white-space:nowrap}td{min-width:3.5rem}td:nth-child(2){white-space:nowrap}td:last-child{min-width:14rem}
.wide{overflow-x:auto;background:var(--paper);border:1px solid var(--rule);border-radius:8px;padding:.4rem .8rem}
figure{margin:.8rem 0;background:var(--paper);border:1px solid var(--rule);border-radius:8px;padding:.7rem .8rem .3rem}
figcaption{font-weight:600;margin-bottom:.3rem;overflow-wrap:anywhere}svg{display:block;width:100%;height:auto}svg text{font-size:11px;fill:var(--faint)}
.key{display:inline-block;font-weight:400;color:var(--faint);margin-left:1rem}svg.sample{display:inline-block;width:24px;height:8px;margin-right:.4rem}
.grid{stroke:var(--rule)}.mark{stroke:var(--faint);stroke-dasharray:2 3}.mark.bad{stroke:var(--bad);stroke-dasharray:none}
polyline,path{fill:none;stroke-width:1.8}.stable{stroke:var(--stable)}.canary{stroke:var(--canary);stroke-dasharray:6 3}
.pass{stroke:var(--good)}.brake{stroke:var(--warn);stroke-dasharray:6 3}.confirm{stroke:var(--bad);stroke-dasharray:2 2}
polygon.stable,polygon.canary{opacity:.16;stroke:none}rect.canary{stroke:none}polygon.stable,circle.stable{fill:var(--stable)}polygon.canary,circle.canary,rect.canary{fill:var(--canary)}
circle.canary,circle.brake,circle.confirm{stroke-dasharray:none}circle.pass{fill:var(--good)}circle.brake{fill:var(--warn)}circle.confirm{fill:var(--bad)}.bar{fill:var(--rule)}
@media(max-width:40rem){figure{overflow-x:auto}figure>svg{min-width:36rem}}
details{margin:.3rem 0 1rem}summary{cursor:pointer;color:var(--faint)}
@media print{body{background:none;max-width:none}figure{break-inside:avoid}}
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
    let frame = frame(story, points);
    body.push_str("<h2>Shares</h2>\n");
    body.push_str(&shares(story, frame.as_ref(), &stable, &canary));
    body.push_str("<h2>Evidence</h2>\n");
    if let Some(frame) = &frame {
        body.push_str(&growth(story, points, frame));
    }
    body.push_str("<h3>What each decision rested on</h3>\n");
    body.push_str(&evidence(story));
    body.push_str("<h2>How both versions answered</h2>\n");
    body.push_str(&plots(points, frame.as_ref(), &stable, &canary));
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
    format!("<figure tabindex=\"0\">{svg}</svg></figure>\n{}", table(&EVIDENCE, &rows))
}

/// Returns from when to when the plots go, and what is marked in them; `None` where nothing says when anything was.
fn frame(story: &Story, points: &[&Point]) -> Option<Frame> {
    let is_bad = |phase| matches!(phase, Phase::Braked | Phase::RolledBack | Phase::Aborted);
    let mark = |(_, entry): &(u64, crate::domain::rollout::Entry)| Some(Mark { at: at_ms(entry)?, is_bad: is_bad(entry.phase) });
    let marks: Vec<Mark> = story.entries.iter().filter_map(mark).collect();
    let over = story.entries.last().is_some_and(|(_, entry)| entry.phase.is_terminal());
    let begun = marks.iter().map(|mark| mark.at).min().unwrap_or(0);
    let ended = marks.iter().map(|mark| mark.at).max().filter(|_| over).unwrap_or(u64::MAX);
    let times = || marks.iter().map(|mark| mark.at).chain(points.iter().map(|point| point.at_ms));
    Some(Frame { from: times().min()?, to: times().max()?, rollout: begun..=ended, marks })
}

/// Draws the shares as they were decided: what the journal says is exact, and lasts.
fn shares(story: &Story, frame: Option<&Frame>, stable: &str, canary: &str) -> String {
    let Some(frame) = frame else { return "<p>The journal does not say when anything was.</p>\n".to_owned() };
    let mut steps: Vec<(u64, f64)> = Vec::new();
    for (_, entry) in &story.entries {
        if let Some(at) = at_ms(entry) {
            steps.extend([(at, entry.from.ratio() * 100.0), (at, entry.to.ratio() * 100.0)]);
        }
    }
    if let Some((_, last)) = steps.last().copied() {
        steps.push((frame.to, last));
    }
    let line = |name, class, of: fn(f64) -> f64| Series {
        name,
        class,
        dots: steps.iter().map(|(at, share)| (*at, [of(*share); 3])).collect(),
        gap: u64::MAX,
        spots: Vec::new(),
    };
    let series = [line(stable, "stable", |share| 100.0 - share), line(canary, "canary", |share| share)];
    plot("Shares of the traffic", frame, &series, &Scale { top: Some(100.0), written: &|percent| format!("{percent}%") })
}

fn plots(points: &[&Point], frame: Option<&Frame>, stable: &str, canary: &str) -> String {
    let Some(frame) = frame.filter(|_| !points.is_empty()) else {
        return "<p>The proxy keeps no figures of that time: it has them of the last four hours, while it runs.</p>\n".to_owned();
    };
    let shown = thinned(points, DOTS);
    let percentiles: [(&str, Percentile); 3] = [("p50", |f| f.p50_us), ("p95", |f| f.p95_us), ("p99", |f| f.p99_us)];
    let mut text = String::new();
    for (name, of) in percentiles {
        let line = |name, class, from: u64, pick: fn(&Point) -> Option<&Figures>| {
            let dot = |point: &&Point| Some((point.at_ms, of(pick(point)?)?.map(|us| us as f64)));
            let dots: Vec<Dot> = shown.iter().filter(|point| point.at_ms >= from).filter_map(dot).collect();
            Series { name, class, dots, gap: GAP, spots: Vec::new() }
        };
        // Before it began another version may have been on trial.
        let begun = *frame.rollout.start();
        let series =
            [line(stable, "stable", 0, |point| point.stable.as_ref()), line(canary, "canary", begun, |point| point.canary.as_ref())];
        let title = format!("{name} of the last ten seconds, with its 95 % bounds");
        text.push_str(&plot(&title, frame, &series, &Scale { top: None, written: &|us| latency(us as u64) }));
    }
    let rows: Vec<Vec<String>> = thinned(points, ROWS).into_iter().map(tables::moment).collect();
    format!("{text}<details><summary>The figures as a table</summary>\n{}</details>\n", table(&MOMENTS, &rows))
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
