//! Grades a gate file by what its sources say now: strictly, or with the arithmetic of the original.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::domain::gate::occasion::{Dialect, Occasion};
use crate::domain::gate::perfspec::report::Report as PerfspecReport;
use crate::domain::gate::perfspec::spec::Spec;
use crate::domain::gate::perfspec::{Answer, Js, keptn, strict};
use crate::domain::gate::slo::baseline::Earlier;
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::report::{Report as SloReport, Row};
use crate::domain::gate::slo::{keptn as slo_keptn, strict as slo_strict};
use crate::domain::gate::verdict::Verdict;
use crate::formats::evaluation_window::Window;
use crate::formats::problem::Problem;
use crate::formats::{perfspec, slo};
use crate::sources::perfspec::{Refusal, Sources, answers, answers_keptn};
use crate::sources::sli::{SliRefusal, SliSource, Wanted, answer_keptn, readings};

/// The most values of one indicator that are told.
const SHOWN: usize = 3;

/// A file of a gate: what it is called, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct File<'f> {
    /// What it is called in problems.
    pub name: &'f str,
    /// Its text.
    pub text: &'f str,
}

/// The files of a gate.
#[derive(Clone, Copy, Debug)]
pub enum GateFile<'f> {
    /// A perfspec.
    Perfspec(File<'f>),
    /// The pair of keptn 0.5.
    Pair {
        /// `service-objectives.yaml`.
        objectives: File<'f>,
        /// `service-indicators.yaml`.
        indicators: File<'f>,
    },
    /// An `slo.yaml`.
    Slo {
        /// The file itself.
        slo: File<'f>,
        /// The queries behind its SLIs.
        sli: Option<File<'f>>,
        /// Earlier evaluations, newest first.
        earlier: &'f [Earlier],
    },
}

/// Whose arithmetic grades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Ours: mistakes are errors, missing data is inconclusive.
    Strict,
    /// The original's; an `slo.yaml` is graded as this release did.
    Keptn(Lighthouse),
}

/// What is asked about: where, of which time, of what.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// Where values may be had.
    pub sources: &'s Sources,
    /// The time.
    pub window: Window,
    /// What stands for the placeholders.
    pub occasion: &'s Occasion,
}

/// What the arithmetic says.
#[derive(Clone, Debug)]
pub enum Report {
    /// Of a perfspec, and of the pair that stands for one.
    Perfspec(PerfspecReport),
    /// Of an `slo.yaml`.
    Slo(SloReport),
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Perfspec(report) => report.serialize(serializer),
            Self::Slo(report) => report.serialize(serializer),
        }
    }
}

/// What was measured of one indicator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The indicator.
    pub indicator: String,
    /// Its values as texts, or why there are none.
    pub values: Result<Vec<String>, String>,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.values {
            Err(why) => write!(f, "{} has no value: {why}", self.indicator),
            Ok(values) if values.is_empty() => write!(f, "{} has no value", self.indicator),
            Ok(values) => {
                let shown: Vec<&str> = values.iter().take(SHOWN).map(String::as_str).collect();
                let more = if values.len() > SHOWN { format!(" and {} more", values.len() - SHOWN) } else { String::new() };
                write!(f, "{} = {}{more}", self.indicator, shown.join(", "))
            }
        }
    }
}

/// A gate file that was graded.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<String>,
    /// Every indicator with its values, in the order of the file.
    pub figures: Vec<Figure>,
    /// The whole report.
    pub report: Report,
    /// What may be worth knowing about the files.
    pub notes: Vec<Problem>,
}

/// Something that cannot be asked for, with how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unasked {
    /// What, and why not.
    pub what: String,
    /// How to mend it.
    pub hint: String,
}

impl From<Refusal> for Unasked {
    fn from(refusal: Refusal) -> Self {
        Self { what: refusal.to_string(), hint: refusal.hint() }
    }
}

impl From<SliRefusal> for Unasked {
    fn from(refusal: SliRefusal) -> Self {
        Self { what: refusal.to_string(), hint: refusal.hint() }
    }
}

/// Why a gate file was not graded.
#[derive(Clone, Debug)]
pub enum Ungraded {
    /// The files have errors.
    Files(Vec<Problem>),
    /// Something cannot be asked for, so that nothing was.
    Unasked(Vec<Unasked>),
}

/// Grades a gate file.
///
/// # Errors
///
/// Fails with every problem of the files, or with everything that cannot be asked for. A source that gives no answer is no
/// error but a reason for the verdict.
pub async fn judge(file: GateFile<'_>, rules: Rules, subject: Subject<'_>) -> Result<Judged, Ungraded> {
    match (file, rules) {
        (GateFile::Perfspec(file), Rules::Strict) => {
            let loaded = perfspec::load(file.name, file.text).map_err(Ungraded::Files)?;
            strictly(&loaded.spec, Dialect::Perfspec, subject, loaded.notes).await
        }
        (GateFile::Perfspec(file), Rules::Keptn(_)) => {
            has_what_keptn_had(file.text, subject)?;
            as_keptn(&perfspec::load_keptn(&subject.occasion.as_keptn_04(file.text)), Dialect::Perfspec, subject).await
        }
        (GateFile::Pair { objectives, indicators }, Rules::Strict) => {
            let read = slo::read_pair((objectives.name, objectives.text), (indicators.name, indicators.text));
            let (spec, notes) = read.map_err(Ungraded::Files)?;
            strictly(&spec, Dialect::Pair, subject, notes).await
        }
        (GateFile::Pair { objectives, indicators }, Rules::Keptn(_)) => {
            has_what_keptn_had(indicators.text, subject)?;
            let replaced = |file: File<'_>| subject.occasion.as_keptn_05(file.text);
            as_keptn(&slo::read_pair_keptn(&replaced(objectives), &replaced(indicators)), Dialect::Pair, subject).await
        }
        (GateFile::Slo { slo, sli, earlier }, Rules::Strict) => slo_strictly(slo, sli, earlier, subject).await,
        (GateFile::Slo { slo, sli, earlier }, Rules::Keptn(release)) => slo_as_keptn(slo, sli, earlier, (release, subject)).await,
    }
}

async fn strictly(spec: &Spec, dialect: Dialect, subject: Subject<'_>, notes: Vec<Problem>) -> Result<Judged, Ungraded> {
    let Subject { sources, window, occasion } = subject;
    let answers = answers(spec, dialect, sources, window, occasion).await.map_err(unasked)?;
    let report = strict::evaluate(spec, &answers).with_options(options(window));
    let figures = spec.indicators.iter().map(|indicator| figure(&indicator.id, answers.get(&indicator.id))).collect();
    Ok(Judged { verdict: report.verdict, reasons: report.reasons.clone(), figures, report: Report::Perfspec(report), notes })
}

async fn as_keptn(spec: &Js, dialect: Dialect, subject: Subject<'_>) -> Result<Judged, Ungraded> {
    let Subject { sources, window, occasion } = subject;
    let named = sources_of(spec);
    let lacks = |name: &str, there: bool| !there && named.iter().any(|source| source.eq_ignore_ascii_case(name));
    for (name, there) in [("Prometheus", sources.prometheus.is_some()), ("Dynatrace", sources.dynatrace.is_some())] {
        if lacks(name, there) {
            let hint = format!("give --{} with its URL", name.to_ascii_lowercase());
            return Err(one(format!("the file asks {name}, and nothing says where that is"), &hint));
        }
    }
    let known = occasion.project.is_some() && occasion.stage.is_some() && occasion.service.is_some();
    if lacks("Dynatrace", known) {
        let what = "Dynatrace is asked about a service, and nothing says which".to_owned();
        return Err(one(what, "give --project, --stage and --service"));
    }
    let answers = answers_keptn(spec, dialect, sources, window, occasion).await;
    let report = keptn::evaluate(spec, &|id| keptn::fetch_from(&answers, id)).with_options(options(window));
    let figures = answers.iter().map(|(id, answer)| figure(id, Some(answer))).collect();
    Ok(Judged { verdict: report.verdict, reasons: report.reasons.clone(), figures, report: Report::Perfspec(report), notes: Vec::new() })
}

/// Returns the sources that the indicators of a perfspec name, as they are written.
#[must_use]
pub fn sources_of(spec: &Js) -> Vec<String> {
    match spec.get("indicators") {
        Ok(Js::List(indicators)) => indicators.iter().filter_map(|one| one.get("source").ok()).map(Js::to_text).collect(),
        _ => Vec::new(),
    }
}

/// Refuses where the original would have known what a placeholder stands for.
fn has_what_keptn_had(text: &str, subject: Subject<'_>) -> Result<(), Ungraded> {
    let known = subject.occasion.project.is_some() && subject.occasion.stage.is_some();
    if known || !text.contains("$ENVIRONMENT") {
        return Ok(());
    }
    Err(one("the placeholder $ENVIRONMENT has no value".to_owned(), "give --project and --stage"))
}

async fn slo_strictly(file: File<'_>, sli: Option<File<'_>>, earlier: &[Earlier], subject: Subject<'_>) -> Result<Judged, Ungraded> {
    let source = sli_source(subject.sources)?;
    let slis = sli.map(|file| slo::read_sli(file.name, file.text)).transpose();
    let loaded = match slis.as_ref().ok().and_then(Option::as_ref) {
        Some(slis) => slo::read_with(file.name, file.text, slis),
        None => slo::read(file.name, file.text),
    };
    let (slis, loaded) = match (slis, loaded) {
        (Ok(slis), Ok(loaded)) => (slis, loaded),
        (slis, loaded) => return Err(Ungraded::Files(slis.err().into_iter().chain(loaded.err()).flatten().collect())),
    };
    let names: Vec<&str> = loaded.spec.objectives.iter().map(|objective| objective.sli.as_str()).collect();
    let wanted = Wanted { slis: &names, queries: slis.as_ref(), filters: &loaded.spec.filter };
    let found = readings(wanted, source, subject.window, subject.occasion).await.map_err(unasked)?;
    let report = slo_strict::evaluate(&loaded.spec, &found, earlier).with_slo_text(file.text);
    let notes = slis.into_iter().flat_map(|slis| slis.notes).chain(loaded.notes).collect();
    Ok(of_slo(report, notes))
}

async fn slo_as_keptn(
    file: File<'_>,
    sli: Option<File<'_>>,
    earlier: &[Earlier],
    (release, subject): (Lighthouse, Subject<'_>),
) -> Result<Judged, Ungraded> {
    let source = sli_source(subject.sources)?;
    let slis = sli.map(|file| slo::read_sli_keptn(file.name, file.text)).transpose().map_err(Ungraded::Files)?;
    let report = match slo::read_keptn(file.text) {
        Ok(gate) => {
            let names: Vec<&str> = gate.objectives.iter().map(|objective| objective.sli.as_str()).collect();
            let filters = gate.filter.clone().unwrap_or_default();
            let wanted = Wanted { slis: &names, queries: slis.as_ref(), filters: &filters };
            let answer = answer_keptn(wanted, source, subject.window, subject.occasion, release).await;
            slo_keptn::evaluate(&gate, &answer, earlier, release).with_slo_text(file.text)
        }
        Err(error) => SloReport::errored(release, error),
    };
    Ok(of_slo(report, Vec::new()))
}

fn of_slo(report: SloReport, notes: Vec<Problem>) -> Judged {
    let figure = |row: &Row| {
        let value = &row.value;
        let values = if value.success { Ok(vec![format!("{} ({})", value.value, row.status)]) } else { Err(value.message.clone()) };
        Figure { indicator: value.metric.clone(), values }
    };
    let figures = report.rows.iter().flatten().map(figure).collect();
    let mut reasons = report.reasons.clone();
    if reasons.is_empty() && !report.message.is_empty() {
        reasons.push(report.message.clone());
    }
    Judged { verdict: report.verdict, reasons, figures, report: Report::Slo(report), notes }
}

/// Returns the one source of the SLIs.
fn sli_source(sources: &Sources) -> Result<SliSource<'_>, Ungraded> {
    match (&sources.prometheus, &sources.dynatrace) {
        (Some(prometheus), None) => Ok(SliSource::Prometheus(prometheus)),
        (None, Some(dynatrace)) => Ok(SliSource::Dynatrace(dynatrace)),
        _ => Err(one("the SLIs of an slo.yaml come from one source".to_owned(), "give --prometheus or --dynatrace")),
    }
}

fn figure(indicator: &str, answer: Option<&Answer>) -> Figure {
    let values = match answer {
        None => Err("it was not asked for".to_owned()),
        Some(Answer::Unavailable(why)) => Err(why.clone()),
        Some(Answer::Values(values)) => Ok(values.iter().map(|one| one.value.to_text()).collect()),
    };
    Figure { indicator: indicator.to_owned(), values }
}

/// Returns the options of a run as the original writes them: its start and its end in seconds since 1970.
fn options(window: Window) -> Js {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay far below 2^53")]
    let seconds = |at: Timestamp| Js::Number(at.as_second() as f64);
    Js::Object(vec![("timeStart".to_owned(), seconds(window.start)), ("timeEnd".to_owned(), seconds(window.end))])
}

fn unasked<R: Into<Unasked>>(refusals: Vec<R>) -> Ungraded {
    Ungraded::Unasked(refusals.into_iter().map(Into::into).collect())
}

fn one(what: String, hint: &str) -> Ungraded {
    Ungraded::Unasked(vec![Unasked { what, hint: hint.to_owned() }])
}
