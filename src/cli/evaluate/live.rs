//! Evaluates by what a Prometheus or a Dynatrace says now: their places and credentials, the window, and what it is about.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::evaluate::files::{File, Outcome, Stop};
use crate::cli::evaluate::slo::earlier;
use crate::domain::gate::occasion::Occasion;
use crate::domain::gate::slo::release::Lighthouse;
use crate::formats::evaluation_window::{self, Flags, Window};
use crate::sources::credential::{Credential, NoCredential, Scheme};
use crate::sources::dynatrace::{Dynatrace, Patience};
use crate::sources::endpoint::{Endpoint, NoEndpoint};
use crate::sources::judgement::{self, GateFile, Rules, Subject, Ungraded};
use crate::sources::perfspec::Sources;
use crate::sources::prometheus::Prometheus;

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
        let text = text(gate, strict)?;
        self.judge(GateFile::Perfspec(judgement::File { name: &gate.name, text: &text }), rules(strict))
    }

    /// Evaluates the pair of keptn 0.5, strictly or as it did.
    ///
    /// # Errors
    ///
    /// As [`Live::perfspec`].
    pub fn pair(&self, objectives: &File, indicators: &File, strict: bool) -> Result<Outcome, Stop> {
        let (one, other) = (text(objectives, strict)?, text(indicators, strict)?);
        let objectives = judgement::File { name: &objectives.name, text: &one };
        let indicators = judgement::File { name: &indicators.name, text: &other };
        self.judge(GateFile::Pair { objectives, indicators }, rules(strict))
    }

    /// Evaluates an `slo.yaml`, strictly or as a release of lighthouse did.
    ///
    /// # Errors
    ///
    /// As [`Live::perfspec`].
    pub fn slo(&self, files: &SloFiles<'_>, release: Option<Lighthouse>) -> Result<Outcome, Stop> {
        let strict = release.is_none();
        let slo = text(files.gate, strict)?;
        let sli = files.sli.map(|file| file.text().map(|text| judgement::File { name: &file.name, text }));
        let sli = sli.transpose().map_err(Stop::BadFile)?;
        let earlier = earlier(files.previous).map_err(Stop::BadFile)?;
        let slo = judgement::File { name: &files.gate.name, text: &slo };
        self.judge(GateFile::Slo { slo, sli, earlier: &earlier }, release.map_or(Rules::Strict, Rules::Keptn))
    }

    fn judge(&self, file: GateFile<'_>, rules: Rules) -> Result<Outcome, Stop> {
        let subject = Subject { sources: &self.sources, window: self.window, occasion: &self.occasion };
        match self.runtime.block_on(judgement::judge(file, rules, subject)) {
            Ok(judged) => Outcome::new(judged.verdict, &judged.report, judged.notes),
            Err(Ungraded::Files(problems)) => Err(Stop::BadFile(problems)),
            Err(Ungraded::Unasked(all)) => {
                let told: Vec<String> = all.iter().map(|one| format!("error: {}\n  hint: {}", one.what, one.hint)).collect();
                Err(Stop::Usage(told.join("\n")))
            }
        }
    }
}

const fn rules(strict: bool) -> Rules {
    if strict { Rules::Strict } else { Rules::Keptn(Lighthouse::V1) }
}

/// Returns the text of a file; the original read whatever it found.
fn text(file: &File, strict: bool) -> Result<Cow<'_, str>, Stop> {
    if strict { file.text().map(Cow::Borrowed).map_err(Stop::BadFile) } else { Ok(String::from_utf8_lossy(&file.bytes)) }
}
