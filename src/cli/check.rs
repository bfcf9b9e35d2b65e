//! `portcullis check`: says everything that is wrong with configurations and gate files, without running anything.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::exit;
use crate::cli::outlook;
use crate::config::{self, Flags, Surroundings};
use crate::formats::kind::{self, Kind};
use crate::formats::problem::Problem;
use crate::formats::slo::Slis;
use crate::formats::{analysis, argo, flagger, perfspec, shipyard, slo};

/// Checks configurations and gate files and shows every problem at once.
///
/// The content of a file tells its kind: a configuration, a perfspec, an slo.yaml, an sli.yaml, the pair of keptn 0.5, an
/// AnalysisDefinition, a Flagger Canary, an Argo AnalysisTemplate, or a shipyard. An sli.yaml among the files is held against every slo.yaml among them, and a gate that can
/// never fire is an error. What has no signs of a kind is a perfspec when its name ends in .json or it begins with '{',
/// else a configuration.
/// Host names in a configuration are resolved, and the gate files it names are checked too. For a configuration without
/// errors it also says when each gate brakes, what it needs to pass, and how long a rollout takes at the expected traffic.
/// Exit code: 0 when every file can be used, 78 when one has errors.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The files to check.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    let (findings, good) = check(&args.files, &Surroundings::real());
    match std::io::stdout().lock().write_all(findings.as_bytes()) {
        Ok(()) if good => ExitCode::SUCCESS,
        Ok(()) => exit::BAD_FILE.end(),
        Err(error) => {
            eprintln!("error: cannot write the findings: {error}\n  hint: send the output to a file or a reader that stays");
            exit::FAILED.end()
        }
    }
}

/// Returns what there is to say of each file, and whether all of them can be used.
fn check(files: &[PathBuf], around: &Surroundings<'_>) -> (String, bool) {
    let mut findings = String::new();
    let mut good = true;
    for (file, (problems, outlook)) in files.iter().zip(findings_of(files, around)) {
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        good &= errors == 0;
        for problem in &problems {
            // Writing to a String cannot fail.
            let _ = writeln!(findings, "{problem}\n");
        }
        let _ = writeln!(findings, "{}: {}", file.display(), summary(errors, problems.len().saturating_sub(errors)));
        findings.push_str(&outlook);
    }
    (findings, good)
}

/// A file with its text and its kind.
struct Checked {
    name: String,
    text: String,
    kind: Kind,
}

/// Returns the problems of each file, in their order, and what the gates of a configuration will take.
fn findings_of(files: &[PathBuf], around: &Surroundings<'_>) -> Vec<(Vec<Problem>, String)> {
    let read: Vec<Result<Checked, Vec<Problem>>> = files.iter().map(|file| read(file)).collect();
    let others = Others::among(&read);
    let of = |(path, read): (&PathBuf, &Result<Checked, Vec<Problem>>)| match read {
        Err(problems) => (problems.clone(), String::new()),
        Ok(Checked { kind: Kind::Configuration, .. }) => match config::load(Some(path), &Flags::default(), around) {
            Ok(loaded) => (loaded.notes, outlook::of(&loaded.settings)),
            Err(problems) => (problems, String::new()),
        },
        Ok(file) => (others.check(file), String::new()),
    };
    files.iter().zip(&read).map(of).collect()
}

/// The files that others are held against, each the only one of its kind.
struct Others<'f> {
    slis: Option<Slis>,
    pair: Option<(&'f Checked, &'f Checked)>,
}

impl<'f> Others<'f> {
    fn among(read: &'f [Result<Checked, Vec<Problem>>]) -> Self {
        let only = |kind: Kind| {
            let mut found = read.iter().flatten().filter(|file| file.kind == kind);
            found.next().filter(|_| found.next().is_none())
        };
        let slis = only(Kind::Sli).and_then(|file| slo::read_sli(&file.name, &file.text).ok());
        Self { slis, pair: only(Kind::ServiceObjectives).zip(only(Kind::ServiceIndicators)) }
    }

    /// Returns the problems of a gate file.
    fn check(&self, file: &Checked) -> Vec<Problem> {
        let (name, text) = (file.name.as_str(), file.text.as_str());
        match file.kind {
            Kind::Configuration => Vec::new(),
            Kind::Perfspec => perfspec::check(name, text),
            Kind::Slo => slo::check(name, text, self.slis.as_ref()),
            Kind::Shipyard => shipyard::check(name, text),
            Kind::Analysis => analysis::check(name, text),
            Kind::Canary => flagger::read(name, text).map_or_else(|problems| problems, |loaded| loaded.notes),
            Kind::AnalysisTemplate => argo::read(name, text).map_or_else(|problems| problems, |loaded| loaded.notes),
            Kind::Sli => slo::read_sli(name, text).map_or_else(|problems| problems, |slis| slis.notes),
            Kind::ServiceObjectives | Kind::ServiceIndicators => match self.pair {
                Some((one, other)) => {
                    let problems = slo::read_pair((&one.name, &one.text), (&other.name, &other.text));
                    let problems = problems.map_or_else(|problems| problems, |(_, notes)| notes);
                    problems.into_iter().filter(|problem| problem.file == name).collect()
                }
                None => {
                    let hint = "check one service-objectives.yaml and one service-indicators.yaml together";
                    vec![Problem::error(name, "", format!("{} says nothing alone", file.kind.name())).with_hint(hint)]
                }
            },
        }
    }
}

fn read(path: &Path) -> Result<Checked, Vec<Problem>> {
    let text = config::read_text(path).map_err(|problem| vec![*problem])?;
    let name = path.display().to_string();
    let json = looks_like_json(path, &text);
    let kind = match kind::recognise(&name, &text) {
        // Only these are ever written as JSON in place of YAML.
        Ok(kind) if json && !matches!(kind, Kind::Slo | Kind::Analysis | Kind::Canary | Kind::AnalysisTemplate | Kind::Shipyard) => {
            Kind::Perfspec
        }
        Ok(kind) => kind,
        Err(_) if json => Kind::Perfspec,
        Err(found) if found.ambiguous => return Err(vec![*found.problem]),
        Err(_) => Kind::Configuration,
    };
    Ok(Checked { name, text, kind })
}

/// Tells JSON by the name of the file, else by how it begins.
fn looks_like_json(file: &Path, text: &str) -> bool {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("json") => true,
        Some("yaml" | "yml") => false,
        _ => text.trim_start().starts_with('{'),
    }
}

fn summary(errors: usize, notes: usize) -> String {
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    match (errors, notes) {
        (0, 0) => "ok".to_owned(),
        (0, _) => format!("ok, {}", count(notes, "note")),
        (_, 0) => count(errors, "error"),
        _ => format!("{}, {}", count(errors, "error"), count(notes, "note")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GOOD: &str = "listen: 127.0.0.1:8080\nservices:\n  - {name: a, stable: {version: v1, endpoints: ['127.0.0.1:1']}}\n";

    fn around() -> Surroundings<'static> {
        Surroundings {
            cores: 1,
            variable: &|_| Some("/home/u".into()),
            resolve: &|_| Ok(Vec::new()),
            awaits_names: false,
            sends_traces: false,
            watches_clusters: false,
        }
    }

    fn found(files: &[(&str, &str)]) -> (String, bool) {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
        for (path, (_, text)) in paths.iter().zip(files) {
            fs::write(path, text).unwrap();
        }
        let (findings, good) = check(&paths, &around());
        (findings.replace(&format!("{}/", folder.path().display()), ""), good)
    }

    fn seed_file(name: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compat").join(name)).unwrap()
    }

    #[test]
    fn good_files_are_ok_and_their_notes_are_shown() {
        assert_eq!(found(&[("a.yaml", GOOD)]), ("a.yaml: ok\n".to_owned(), true));
        let (text, good) = found(&[("p.json", &seed_file("perfspec_dynatrace.json")), ("q", &seed_file("perfspec_prometheus.json"))]);
        assert!(good && text.contains("note: ") && text.contains("\np.json: ok, ") && text.contains("\nq: ok, "), "{text}");
    }

    #[test]
    fn every_problem_of_every_file_is_shown() {
        let broken = format!("zzz: 1\nworkers: 0\n{GOOD}");
        let (text, good) = found(&[("a.yaml", &broken), ("b", &broken), ("c.json", "{\"spec_version\": 7}"), ("d.yaml", GOOD)]);
        assert!(!good);
        for part in ["a.yaml:1:1 (zzz)", "a.yaml:2:10 (workers)", "a.yaml: 2 errors\n", "b:1:1 (zzz)", "c.json: ", "d.yaml: ok\n"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(text.contains("c.json:1:"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem_with_a_hint() {
        let (text, good) = check(&[PathBuf::from("missing.yaml")], &around());
        assert!(
            !good && text.contains("cannot read the file") && text.contains("hint: ") && text.ends_with("missing.yaml: 1 error\n"),
            "{text}"
        );
    }

    #[test]
    fn the_outlook_of_the_gates_follows_a_good_configuration() {
        let config =
            format!("{}    gates: p95 < 1s\n    expected_traffic: 2/s\n", GOOD.replace("{name: a, ", "name: a\n    ").replace("}}", "}"));
        let (text, good) = found(&[("a.yaml", &config)]);
        assert!(good && text.starts_with("a.yaml: ok\n\na: the canary\n  p95 < 1 s\n    brakes at 3 bad of the first 3"), "{text}");
        let (text, good) = found(&[("a.yaml", &config.replace("2/s", "2/h"))]);
        assert!(
            !good && text.contains("a.yaml:5:12 (services[0].gates)") && text.contains("of 2 requests per hour the 74 clean requests"),
            "{text}"
        );
        assert!(!text.contains("raise max_bake"), "more than is allowed is not offered: {text}");
    }

    #[test]
    fn canaries_and_templates_are_told_by_their_kind() {
        let canary = "kind: Canary\nspec: {analysis: {metrics: [{name: request-sucess-rate, thresholdRange: {min: 99}}]}}\n";
        let template = "kind: AnalysisTemplate\nspec: {metrics: []}\n";
        let (text, good) = found(&[("c.yaml", canary), ("t.yaml", template), ("d.yaml", &canary.replace("suces", "succes"))]);
        assert!(!good && text.contains("did you mean \"request-success-rate\"?") && text.contains("metrics is empty"), "{text}");
        assert!(text.ends_with("d.yaml: ok\n"), "{text}");
    }

    #[test]
    fn a_shipyard_of_either_form_is_told_by_its_stages() {
        let newer = "apiVersion: spec.keptn.sh/0.2.2\nkind: Shipyard\nmetadata: {name: s}\nspec:\n  stages:\n    - name: dev\n      \
                     sequences: [{name: delivery, tasks: [{name: deployment, properties: {deploymentstrategy: direct}}]}]\n";
        let (text, good) = found(&[("s.yaml", &seed_file("shipyard.yaml")), ("n.yaml", newer)]);
        assert!(good && text.contains("s.yaml: ok") && text.contains("n.yaml: ok"), "{text}");
        let (text, good) = found(&[("s.yaml", &seed_file("shipyard.yaml").replace("deployment_strategy", "deploymnt_strategy"))]);
        assert!(!good && text.contains("did you mean") && text.contains("s.yaml:"), "{text}");
        let (text, good) = found(&[("s.yaml", "stages: [{name: dev}]\nlisten: 127.0.0.1:1\n")]);
        assert!(!good && text.contains("this could be a shipyard"), "{text}");
    }

    #[test]
    fn an_analysis_without_a_kind_is_a_canary() {
        let metrics = "metrics: [{name: request-success-rate, thresholdRange: {min: 99}}]";
        let (text, good) = found(&[
            ("a.yaml", &format!("analysis: {{{metrics}}}\n")),
            ("b.yaml", &format!("{metrics}\n")),
            ("c.yaml", &format!("analysis: {{{metrics}}}\n").replace("suc", "suk")),
            ("d.json", "{\"analysis\": {\"metrics\": [{\"name\": \"request-duration\", \"threshold\": 500}]}}"),
        ]);
        assert!(!good && text.starts_with("a.yaml: ok\nb.yaml: ok\n") && text.contains("c.yaml:1:"), "{text}");
        assert!(text.contains("did you mean \"request-success-rate\"?") && text.contains("\nd.json: ok"), "{text}");
        let (text, good) = found(&[("a.yaml", &format!("analysis: {{{metrics}}}\ntotal_score: {{}}\n"))]);
        assert!(!good && text.contains("this could be an slo.yaml"), "{text}");
        let (text, good) = found(&[("a.yaml", "analysis: 5\n")]);
        assert!(!good && text.contains("unknown key \"analysis\""), "{text}");
    }

    #[test]
    fn the_problems_of_a_named_perfspec_are_shown_in_its_own_lines() {
        let config = format!("{}    perfspec: p.json\n", GOOD.replace("{name: a, ", "name: a\n    ").replace("}}", "}"));
        let (text, good) = found(&[("p.json", "{\n  \"indicatorss\": []\n}"), ("a.yaml", &config)]);
        assert!(!good, "{text}");
        assert_eq!(text.matches("p.json:2:").count(), 2, "once for each file that leads there:\n{text}");
    }
}
