//! The arguments of `portcullis evaluate`, which kind of gate file they mean, and the exit code.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::evaluate::files::{File, Outcome, Stop};
use crate::cli::evaluate::live::{Live, LiveArgs, SloFiles};
use crate::cli::evaluate::{analysis, metrics, perfspec, slo};
use crate::cli::exit;
use crate::domain::gate::slo::release::Lighthouse;
use crate::domain::gate::verdict::Verdict;
use crate::formats::kind::{self, Kind};
use crate::formats::problem::Problem;

/// Grades measured values by a gate file and prints the result as JSON.
///
/// The gate file is a perfspec, an slo.yaml, a service-objectives.yaml, an AnalysisDefinition, a Flagger Canary or an Argo
/// AnalysisTemplate; its content tells which. The values stand in a file, or a Prometheus or Dynatrace is asked for those of
/// a perfspec, a service-objectives.yaml or an slo.yaml. A metric without a value is inconclusive, never a pass.
/// Exit code: 0 pass or warning, 3 fail, 4 inconclusive, 78 when a file has errors, 1 when a file cannot be read, 2 when
/// the arguments do not fit the gate file.
#[derive(Clone, Debug, clap::Args)]
pub struct EvaluateArgs {
    /// The gate file.
    #[arg(value_name = "GATE", required_unless_present = "perfspec")]
    pub gate: Option<PathBuf>,
    /// The gate file, when it is to be read as a perfspec whatever is in it.
    #[arg(long, value_name = "FILE", conflicts_with = "gate")]
    pub perfspec: Option<PathBuf>,
    /// The measured values: {"response_time_p95": 312.5}; for a perfspec {"indicator id": [{"key": "…", "value": 1.0}]}, for a template also {"metric": [1.0, 2.0]}.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["prometheus", "dynatrace"])]
    pub values: Option<PathBuf>,
    /// Where values are asked for instead.
    #[command(flatten)]
    pub live: LiveArgs,
    /// The queries behind the SLIs: sli.yaml for an slo.yaml, service-indicators.yaml for a service-objectives.yaml.
    #[arg(long, value_name = "FILE")]
    pub sli: Option<PathBuf>,
    /// Earlier results of an slo.yaml, as this command prints them; repeat it or give a list, newest first.
    #[arg(long, value_name = "FILE")]
    pub previous: Vec<PathBuf>,
    /// How mistakes and missing data are treated; keptn alone is the last release that read such a file.
    #[arg(long, value_enum, default_value_t = Mode::Strict)]
    pub compat: Mode,
}

/// The behaviours, as the command line names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Mistakes are errors, missing data is inconclusive.
    #[value(name = "strict")]
    Strict,
    /// As keptn did, to the bit.
    #[value(name = "keptn")]
    Keptn,
    /// As lighthouse 0.6.0.
    #[value(name = "keptn-0.6.0")]
    Keptn060,
    /// As lighthouse 0.6.1 to 0.7.0.
    #[value(name = "keptn-0.6.1")]
    Keptn061,
    /// As lighthouse 0.7.1.
    #[value(name = "keptn-0.7.1")]
    Keptn071,
    /// As lighthouse 0.8 to 0.11.
    #[value(name = "keptn-0.8")]
    Keptn08,
    /// As lighthouse 0.12 to 0.18.
    #[value(name = "keptn-0.12")]
    Keptn012,
    /// As lighthouse 0.19.
    #[value(name = "keptn-0.19")]
    Keptn019,
    /// As lighthouse 1.0 and 1.1.
    #[value(name = "keptn-1.0")]
    Keptn10,
    /// As lighthouse 1.2 to 1.4.5.
    #[value(name = "keptn-1")]
    Keptn1,
}

impl Mode {
    /// Returns the release of lighthouse that was asked for by name.
    const fn release(self) -> Option<Lighthouse> {
        match self {
            Self::Strict | Self::Keptn => None,
            Self::Keptn060 => Some(Lighthouse::V0_6_0),
            Self::Keptn061 => Some(Lighthouse::V0_6_1),
            Self::Keptn071 => Some(Lighthouse::V0_7_1),
            Self::Keptn08 => Some(Lighthouse::V0_8),
            Self::Keptn012 => Some(Lighthouse::V0_12),
            Self::Keptn019 => Some(Lighthouse::V0_19),
            Self::Keptn10 => Some(Lighthouse::V1_0),
            Self::Keptn1 => Some(Lighthouse::V1),
        }
    }
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &EvaluateArgs) -> ExitCode {
    match evaluate(args) {
        Ok(outcome) => {
            tell(&outcome.notes);
            print(&outcome)
        }
        Err(Stop::Unreadable(message)) => {
            say(&message);
            exit::FAILED.end()
        }
        Err(Stop::Usage(message)) => {
            say(&message);
            exit::REFUSED.end()
        }
        Err(Stop::BadFile(problems)) => {
            tell(&problems);
            exit::BAD_FILE.end()
        }
    }
}

fn evaluate(args: &EvaluateArgs) -> Result<Outcome, Stop> {
    let (path, known) = match (&args.perfspec, &args.gate) {
        (Some(path), _) => (path, Some(Kind::Perfspec)),
        (None, Some(path)) => (path, None),
        (None, None) => return Err(Stop::Usage("error: there is no gate file\n  hint: name one".to_owned())),
    };
    let gate = File::read(path, "gate file")?;
    let sli = args.sli.as_ref().map(|path| File::read(path, "file of queries")).transpose()?;
    let previous = args.previous.iter().map(|path| File::read(path, "earlier result")).collect::<Result<Vec<_>, _>>()?;
    let kind = match known {
        Some(kind) => kind,
        None => kind_of(&gate).map_err(Stop::BadFile)?,
    };
    fits(args, kind)?;
    let strict = args.compat == Mode::Strict;
    let Some(path) = &args.values else {
        let live = Live::new(&args.live, jiff::Timestamp::now())?;
        return match (kind, &sli) {
            (Kind::Perfspec, _) => live.perfspec(&gate, strict),
            (Kind::ServiceObjectives, Some(sli)) => live.pair(&gate, sli, strict),
            (Kind::ServiceObjectives, None) => Err(no_indicators(&gate)),
            (Kind::Slo, sli) => {
                let files = SloFiles { gate: &gate, sli: sli.as_ref(), previous: &previous };
                live.slo(&files, (!strict).then(|| args.compat.release().unwrap_or_default()))
            }
            (Kind::Sli | Kind::ServiceIndicators | Kind::Shipyard | Kind::Configuration, _) => {
                Err(no_gate(&gate, kind, "name a gate file"))
            }
            (Kind::Analysis | Kind::Canary | Kind::AnalysisTemplate, _) => {
                let hint = "give --values with the file of measured values";
                Err(Stop::Usage(format!("error: no source is asked for {}\n  hint: {hint}", kind.name())))
            }
        };
    };
    let values = File::read(path, "file of values")?;
    match (kind, &sli) {
        (Kind::Perfspec, _) if strict => perfspec::strictly(&gate, &values),
        (Kind::Perfspec, _) => perfspec::as_keptn(&gate, &values),
        (Kind::Analysis, _) if strict => analysis::strictly(&gate, &values),
        (Kind::Analysis, _) => analysis::as_keptn(&gate, &values),
        (Kind::ServiceObjectives, Some(sli)) if strict => perfspec::pair_strictly(&gate, sli, &values),
        (Kind::ServiceObjectives, Some(sli)) => perfspec::pair_as_keptn(&gate, sli, &values),
        (Kind::ServiceObjectives, None) => Err(no_indicators(&gate)),
        (Kind::Slo, sli) => {
            let files = slo::Files { gate: &gate, sli: sli.as_ref(), values: &values, previous: &previous };
            if strict { slo::strictly(&files) } else { slo::as_keptn(&files, args.compat.release().unwrap_or_default()) }
        }
        (Kind::Sli | Kind::ServiceIndicators, _) => {
            let hint = "name the file of objectives as the gate, and give this one with --sli";
            Err(no_gate(&gate, kind, hint))
        }
        (Kind::Canary, _) => metrics::canary(&gate, &values),
        (Kind::AnalysisTemplate, _) => metrics::template(&gate, &values),
        (Kind::Shipyard | Kind::Configuration, _) => {
            Err(no_gate(&gate, kind, &format!("name a gate file; 'portcullis check' checks {}", kind.name())))
        }
    }
}

fn kind_of(gate: &File) -> Result<Kind, Vec<Problem>> {
    let text = gate.text()?;
    kind::recognise(&gate.name, text).map_err(|found| vec![*found.problem])
}

fn no_indicators(gate: &File) -> Stop {
    let hint = "add --sli service-indicators.yaml";
    Stop::Usage(format!("error: {} says nothing without its indicators\n  hint: {hint}", gate.name))
}

fn no_gate(gate: &File, kind: Kind, hint: &str) -> Stop {
    Stop::BadFile(vec![Problem::error(&gate.name, "", format!("this is {}, no gate file", kind.name())).with_hint(hint)])
}

/// Refuses arguments that a gate file of this kind has no use for.
fn fits(args: &EvaluateArgs, kind: Kind) -> Result<(), Stop> {
    let wrong = |what: &str, hint: &str| Err(Stop::Usage(format!("error: {what} has no meaning for {}\n  hint: {hint}", kind.name())));
    if args.sli.is_some() && !matches!(kind, Kind::Slo | Kind::ServiceObjectives) {
        return wrong("--sli", "leave it out");
    }
    if !args.previous.is_empty() && kind != Kind::Slo {
        return wrong("--previous", "leave it out");
    }
    if args.compat != Mode::Strict && matches!(kind, Kind::Canary | Kind::AnalysisTemplate) {
        return wrong("--compat", "leave it out");
    }
    if args.compat.release().is_some() && kind != Kind::Slo {
        return wrong("a release of lighthouse", "write --compat keptn");
    }
    Ok(())
}

fn print(outcome: &Outcome) -> ExitCode {
    let code = match outcome.verdict {
        Verdict::Pass | Verdict::Warning => ExitCode::SUCCESS,
        Verdict::Fail => exit::FAIL.end(),
        Verdict::Inconclusive => exit::INCONCLUSIVE.end(),
    };
    match writeln!(std::io::stdout().lock(), "{}", outcome.json) {
        Ok(()) => code,
        Err(error) => {
            say(&format!("error: cannot write the result: {error}\n  hint: send the output to a file or a reader that stays"));
            exit::FAILED.end()
        }
    }
}

fn tell(problems: &[Problem]) {
    for problem in problems {
        say(&problem.to_string());
    }
}

/// Writes to the error output; when that is gone too there is nobody left to tell.
fn say(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}
