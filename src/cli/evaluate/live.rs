//! Evaluates by what a Prometheus or a Dynatrace says now: their places and credentials, the window, and what it is about.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::evaluate::files::{File, Outcome, Stop, both};
use crate::cli::evaluate::slo::earlier;
use crate::domain::gate::occasion::{Dialect, Occasion};
use crate::domain::gate::perfspec::spec::Spec;
use crate::domain::gate::perfspec::{Js, keptn, strict};
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::slo::report::Report;
use crate::domain::gate::slo::{keptn as slo_keptn, strict as slo_strict};
use crate::formats::evaluation_window::{self, Flags, Window};
use crate::formats::problem::Problem;
use crate::formats::{perfspec, slo};
use crate::sources::credential::{Credential, NoCredential, Scheme};
use crate::sources::dynatrace::{Dynatrace, Patience};
use crate::sources::endpoint::{Endpoint, NoEndpoint};
use crate::sources::perfspec::{Sources, answers, answers_keptn};
use crate::sources::prometheus::Prometheus;
use crate::sources::sli::{SliSource, Wanted, answer_keptn, readings};

/// Where values are asked for, when they are not read from a file.
#[derive(Clone, Debug, clap::Args)]
pub struct LiveArgs {
    /// The Prometheus server to ask, instead of --values.
    #[arg(long, value_name = "URL", conflicts_with = "values", help_heading = "Live values")]
    pub prometheus: Option<String>,
    /// The file with the bearer token for Prometheus; over http:// everybody on the way can read it.
    #[arg(long, value_name = "FILE", requires = "prometheus", conflicts_with = "prometheus_basic_file", help_heading = "Live values")]
    pub prometheus_token_file: Option<PathBuf>,
    /// The file with user:password for Prometheus; over http:// everybody on the way can read it.
    #[arg(long, value_name = "FILE", requires = "prometheus", help_heading = "Live values")]
    pub prometheus_basic_file: Option<PathBuf>,
    /// The Dynatrace environment to ask, such as https://abc12345.live.dynatrace.com.
    #[arg(long, value_name = "URL", conflicts_with = "values", requires = "token_file", help_heading = "Live values")]
    pub dynatrace: Option<String>,
    /// The file with the API token for Dynatrace.
    #[arg(long, value_name = "FILE", requires = "dynatrace", help_heading = "Live values")]
    pub token_file: Option<PathBuf>,
    /// The authorities that vouch for a source over TLS (PEM); without it those the system trusts.
    #[arg(long, value_name = "FILE", conflicts_with = "values", help_heading = "Live values")]
    pub source_ca: Option<PathBuf>,
    /// How long Dynatrace may take to learn of the service, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 200, requires = "dynatrace", help_heading = "Live values")]
    pub wait: u32,
    /// The length of the window in minutes, such as 5m.
    #[arg(long, value_name = "MINUTES", conflicts_with = "values", help_heading = "Live values")]
    pub timeframe: Option<String>,
    /// The start of the window in UTC, such as 2026-01-31T12:00:00; without it the window ends now.
    #[arg(long, value_name = "TIME", conflicts_with = "values", help_heading = "Live values")]
    pub start: Option<String>,
    /// The end of the window, in the same manner.
    #[arg(long, value_name = "TIME", conflicts_with = "values", help_heading = "Live values")]
    pub end: Option<String>,
    /// What $PROJECT, and the first half of $ENVIRONMENT, stands for.
    #[arg(long, value_name = "NAME", value_parser = name, conflicts_with = "values", help_heading = "Live values")]
    pub project: Option<String>,
    /// What $STAGE, and the second half of $ENVIRONMENT, stands for.
    #[arg(long, value_name = "NAME", value_parser = name, conflicts_with = "values", help_heading = "Live values")]
    pub stage: Option<String>,
    /// What $SERVICE stands for.
    #[arg(long, value_name = "NAME", value_parser = name, conflicts_with = "values", help_heading = "Live values")]
    pub service: Option<String>,
    /// What $DEPLOYMENT stands for.
    #[arg(long, value_name = "NAME", value_parser = name, conflicts_with = "values", help_heading = "Live values")]
    pub deployment: Option<String>,
    /// What $LABEL.key stands for; repeat it for each.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label, conflicts_with = "values", help_heading = "Live values")]
    pub label: Vec<(String, String)>,
}

fn name(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-.:/@+".contains(c));
    if good { Ok(text.to_owned()) } else { Err("write a name of letters, digits and _ - . : / @ +".to_owned()) }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write it as key=value")?;
    Ok((key.to_owned(), name(value)?))
}

impl From<NoCredential> for Stop {
    fn from(error: NoCredential) -> Self {
        Self::Unreadable(format!("error: {error}"))
    }
}

impl From<NoEndpoint> for Stop {
    fn from(error: NoEndpoint) -> Self {
        match error {
            NoEndpoint::Tls(problem) => Self::BadFile(vec![*problem]),
            other => Self::Usage(format!("error: {other}")),
        }
    }
}

/// The files of one evaluation of an `slo.yaml`.
pub struct SloFiles<'f> {
    /// The gate file.
    pub gate: &'f File,
    /// The queries behind the SLIs.
    pub sli: Option<&'f File>,
    /// Earlier reports, newest first.
    pub previous: &'f [File],
}

/// Who is asked, about what, and about which time.
pub struct Live {
    sources: Sources,
    window: Window,
    occasion: Occasion,
    runtime: tokio::runtime::Runtime,
}

impl Live {
    /// Takes the arguments.
    ///
    /// # Errors
    ///
    /// Fails when a URL, a credential or the window cannot be used.
    pub fn new(args: &LiveArgs, now: Timestamp) -> Result<Self, Stop> {
        let flags = Flags { timeframe: args.timeframe.as_deref(), start: args.start.as_deref(), end: args.end.as_deref() };
        let window = evaluation_window::read(flags, now).map_err(|error| Stop::Usage(format!("error: {error}")))?;
        let ca = args.source_ca.as_deref();
        let mut sources = Sources::default();
        if let Some(url) = &args.prometheus {
            let mut endpoint = Endpoint::new(url, ca)?;
            for (path, scheme) in [(&args.prometheus_token_file, Scheme::Bearer), (&args.prometheus_basic_file, Scheme::Basic)] {
                if let Some(path) = path {
                    endpoint = endpoint.with_credential(Credential::read(path, scheme)?);
                }
            }
            sources.prometheus = Some(Prometheus::new(endpoint));
        }
        if let (Some(url), Some(token)) = (&args.dynatrace, &args.token_file) {
            let token = Credential::read(token, Scheme::ApiToken)?;
            // Ten looks, as the original; its 200 s mean 20 s between two of them.
            let pause = Duration::from_secs(u64::from(args.wait / 10).clamp(1, 20));
            let patience = Patience { limit: Duration::from_secs(args.wait.into()), pause };
            sources.dynatrace = Some(Dynatrace::new(Endpoint::new(url, ca)?, token)?.with_patience(patience));
        }
        let milliseconds = window.end.duration_since(window.start).as_millis();
        let occasion = Occasion {
            project: args.project.clone(),
            stage: args.stage.clone(),
            service: args.service.clone(),
            deployment: args.deployment.clone(),
            labels: args.label.iter().cloned().collect::<BTreeMap<_, _>>(),
            seconds: u64::try_from(milliseconds).unwrap_or_default().div_ceil(1000),
            ..Occasion::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Stop::Unreadable(format!("error: cannot ask anybody: {error}")))?;
        Ok(Self { sources, window, occasion, runtime })
    }

    /// Evaluates a perfspec, strictly or as keptn 0.4 did.
    ///
    /// # Errors
    ///
    /// Fails with every problem of the file, or of the arguments it needs.
    pub fn perfspec(&self, gate: &File, strict: bool) -> Result<Outcome, Stop> {
        if strict {
            let loaded = gate.text().and_then(|text| perfspec::load(&gate.name, text)).map_err(Stop::BadFile)?;
            return self.judge(&loaded.spec, Dialect::Perfspec, loaded.notes);
        }
        let text = String::from_utf8_lossy(&gate.bytes);
        self.has_what_keptn_had(&text)?;
        self.judge_keptn(&perfspec::load_keptn(&self.occasion.as_keptn_04(&text)), Dialect::Perfspec)
    }

    /// Evaluates the pair of keptn 0.5, strictly or as it did.
    ///
    /// # Errors
    ///
    /// As [`Live::perfspec`].
    pub fn pair(&self, objectives: &File, indicators: &File, strict: bool) -> Result<Outcome, Stop> {
        if strict {
            let texts = objectives.text().and_then(|one| Ok((one, indicators.text()?)));
            let read = texts.and_then(|(one, other)| slo::read_pair((&objectives.name, one), (&indicators.name, other)));
            let (spec, notes) = read.map_err(Stop::BadFile)?;
            return self.judge(&spec, Dialect::Pair, notes);
        }
        let text = |file: &File| String::from_utf8_lossy(&file.bytes).into_owned();
        self.has_what_keptn_had(&text(indicators))?;
        let replaced = |file: &File| self.occasion.as_keptn_05(&text(file));
        self.judge_keptn(&slo::read_pair_keptn(&replaced(objectives), &replaced(indicators)), Dialect::Pair)
    }

    fn judge(&self, spec: &Spec, dialect: Dialect, notes: Vec<Problem>) -> Result<Outcome, Stop> {
        let asked = answers(spec, dialect, &self.sources, self.window, &self.occasion);
        let answers = self.runtime.block_on(asked).map_err(|refusals| {
            let told: Vec<String> = refusals.iter().map(|refusal| format!("error: {refusal}\n  hint: {}", refusal.hint())).collect();
            Stop::Usage(told.join("\n"))
        })?;
        let mut report = strict::evaluate(spec, &answers);
        report.options = self.options();
        Outcome::new(report.verdict, &report, notes)
    }

    fn judge_keptn(&self, spec: &Js, dialect: Dialect) -> Result<Outcome, Stop> {
        let sources = match spec.get("indicators") {
            Ok(Js::List(indicators)) => indicators.iter().filter_map(|one| one.get("source").ok()).map(Js::to_text).collect(),
            _ => Vec::new(),
        };
        let usage = |what: String, hint: &str| Stop::Usage(format!("error: {what}\n  hint: {hint}"));
        let lacks = |name: &str, there: bool| !there && sources.iter().any(|source| source.eq_ignore_ascii_case(name));
        for (name, there) in [("Prometheus", self.sources.prometheus.is_some()), ("Dynatrace", self.sources.dynatrace.is_some())] {
            if lacks(name, there) {
                let hint = format!("give --{} with its URL", name.to_ascii_lowercase());
                return Err(usage(format!("the file asks {name}, and nothing says where that is"), &hint));
            }
        }
        let Occasion { project, stage, service, .. } = &self.occasion;
        if lacks("Dynatrace", project.is_some() && stage.is_some() && service.is_some()) {
            let what = "Dynatrace is asked about a service, and nothing says which".to_owned();
            return Err(usage(what, "give --project, --stage and --service"));
        }
        let answers = self.runtime.block_on(answers_keptn(spec, dialect, &self.sources, self.window, &self.occasion));
        let mut report = keptn::evaluate(spec, &|id| keptn::fetch_from(&answers, id));
        report.options = self.options();
        Outcome::new(report.verdict, &report, Vec::new())
    }

    /// Refuses where the original would have known what a placeholder stands for.
    fn has_what_keptn_had(&self, text: &str) -> Result<(), Stop> {
        let known = self.occasion.project.is_some() && self.occasion.stage.is_some();
        if known || !text.contains("$ENVIRONMENT") {
            return Ok(());
        }
        Err(Stop::Usage("error: the placeholder $ENVIRONMENT has no value\n  hint: give --project and --stage".to_owned()))
    }

    /// Returns the options of a run as the original writes them: its start and its end in seconds since 1970.
    fn options(&self) -> Js {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay far below 2^53")]
        let seconds = |at: Timestamp| Js::Number(at.as_second() as f64);
        let (start, end) = (seconds(self.window.start), seconds(self.window.end));
        Js::Object(vec![("timeStart".to_owned(), start), ("timeEnd".to_owned(), end)])
    }

    /// Evaluates an `slo.yaml`, strictly or as a release of lighthouse did.
    ///
    /// # Errors
    ///
    /// As [`Live::perfspec`].
    pub fn slo(&self, files: &SloFiles<'_>, release: Option<Lighthouse>) -> Result<Outcome, Stop> {
        let source = match (&self.sources.prometheus, &self.sources.dynatrace) {
            (Some(prometheus), None) => SliSource::Prometheus(prometheus),
            (None, Some(dynatrace)) => SliSource::Dynatrace(dynatrace),
            _ => {
                let hint = "give --prometheus or --dynatrace";
                return Err(Stop::Usage(format!("error: the SLIs of an slo.yaml come from one source\n  hint: {hint}")));
            }
        };
        match release {
            None => self.slo_strictly(files, source),
            Some(release) => self.slo_as_keptn(files, source, release),
        }
    }

    fn slo_strictly(&self, files: &SloFiles<'_>, source: SliSource<'_>) -> Result<Outcome, Stop> {
        let gate = files.gate;
        let slis = files.sli.map(|file| file.text().and_then(|text| slo::read_sli(&file.name, text))).transpose();
        let loaded = gate.text().and_then(|text| match slis.as_ref().ok().and_then(Option::as_ref) {
            Some(slis) => slo::read_with(&gate.name, text, slis),
            None => slo::read(&gate.name, text),
        });
        let (slis, loaded) = both(slis, loaded)?;
        let earlier = earlier(files.previous).map_err(Stop::BadFile)?;
        let names: Vec<&str> = loaded.spec.objectives.iter().map(|objective| objective.sli.as_str()).collect();
        let wanted = Wanted { slis: &names, queries: slis.as_ref(), filters: &loaded.spec.filter };
        let found = self.runtime.block_on(readings(wanted, source, self.window, &self.occasion)).map_err(|refusals| {
            let told: Vec<String> = refusals.iter().map(|refusal| format!("error: {refusal}\n  hint: {}", refusal.hint())).collect();
            Stop::Usage(told.join("\n"))
        })?;
        let report = slo_strict::evaluate(&loaded.spec, &found, &earlier).with_slo_text(gate.text().unwrap_or_default());
        let notes = slis.into_iter().flat_map(|slis| slis.notes).chain(loaded.notes).collect();
        Outcome::new(report.verdict, &report, notes)
    }

    fn slo_as_keptn(&self, files: &SloFiles<'_>, source: SliSource<'_>, release: Lighthouse) -> Result<Outcome, Stop> {
        let slis = files.sli.map(|file| file.text().and_then(|text| slo::read_sli_keptn(&file.name, text))).transpose();
        let (slis, earlier) = both(slis, earlier(files.previous))?;
        let text = String::from_utf8_lossy(&files.gate.bytes);
        let report = match slo::read_keptn(&text) {
            Ok(gate) => {
                let names: Vec<&str> = gate.objectives.iter().map(|objective| objective.sli.as_str()).collect();
                let filters = gate.filter.clone().unwrap_or_default();
                let wanted = Wanted { slis: &names, queries: slis.as_ref(), filters: &filters };
                let answer = self.runtime.block_on(answer_keptn(wanted, source, self.window, &self.occasion, release));
                slo_keptn::evaluate(&gate, &answer, &earlier, release).with_slo_text(&text)
            }
            Err(error) => Report::errored(release, error),
        };
        Outcome::new(report.verdict, &report, Vec::new())
    }
}
