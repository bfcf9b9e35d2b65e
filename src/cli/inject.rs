//! `portcullis inject`: manifests of Kubernetes in, the same manifests with the proxy as a sidecar out.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::exit;
use crate::formats::problem::{Problem, Severity};
use crate::formats::yaml::manifests::{self, Document, Object};
use crate::kube::inject::annotations::is_object_name;
use crate::kube::inject::fault::Fault;
use crate::kube::inject::object;
use crate::kube::inject::patch;
use crate::kube::inject::settings::{Families, Image, Mode, Release, Settings};

/// The largest input, in bytes; a cluster's objects have 3 MiB at most.
const MOST_BYTES: u64 = 64 << 20;
/// What the standard input is called.
const STDIN: &str = "standard input";

/// Puts the proxy as a sidecar into the pods of manifests, and writes them to the standard output.
///
/// Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs are changed, in lists too; every other document is
/// written as it is. A pod with the label portcullis/inject: "false" is left alone, and so are pods with the node's network, pods for
/// Windows, and pods that have the sidecar: injecting twice is injecting once. Annotations config.portcullis/… of a pod set its sidecar
/// up (docs/kubernetes.md). What there is to say goes to the standard error.
/// Exit code: 0 when everything was written, 1 when it could not be, 78 when an input is wrong; nothing is written then.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example: kubectl get deployment carts -o yaml | portcullis inject --image registry.example.com/portcullis:0.1.0 | kubectl apply -f -"
)]
pub struct InjectArgs {
    /// The manifests, YAML or JSON; - or absent: the standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The image of the proxy.
    #[arg(long, value_name = "IMAGE", default_value_t = usual_image())]
    image: Image,
    /// The image of the init container in the mode intercept, which needs iptables-restore; absent: that of the proxy.
    #[arg(long, value_name = "IMAGE")]
    init_image: Option<Image>,
    /// The oldest release of Kubernetes that must take the pods; before 1.29 the proxy is an ordinary container.
    #[arg(long, value_name = "1.N", default_value_t = Release::USUAL)]
    kube_version: Release,
    /// How traffic comes to the proxy where a pod does not say it: explicit (the Service or the application names its port; no
    /// privileges) or intercept (an init container redirects listed ports; NET_ADMIN and NET_RAW).
    #[arg(long, value_name = "MODE", default_value = "explicit")]
    mode: Mode,
    /// The ConfigMap with the configuration, for pods that name none.
    #[arg(long, value_name = "NAME", value_parser = config_map)]
    config_map: Option<String>,
    /// The user and group that the proxy runs as.
    #[arg(long, value_name = "UID", default_value_t = Settings::UID, value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    proxy_uid: u32,
    /// The families of addresses that pods have: ipv4, ipv6 or dual.
    #[arg(long, value_name = "FAMILIES", default_value = "ipv4")]
    ip_families: Families,
    /// Leave pods alone that do not ask by the label portcullis/inject: "true".
    #[arg(long)]
    opt_in: bool,
    /// Write a JSONPatch (RFC 6902) for each changed document instead, one JSON object a line.
    #[arg(long)]
    patch: bool,
}

fn usual_image() -> Image {
    concat!("portcullis:", env!("CARGO_PKG_VERSION")).parse().expect("the name and the release of this program name an image")
}

fn config_map(text: &str) -> Result<String, String> {
    let hint = || "a ConfigMap is named by lower-case letters, digits, '-' and '.', such as carts-portcullis".to_owned();
    if is_object_name(text) { Ok(text.to_owned()) } else { Err(hint()) }
}

impl InjectArgs {
    fn settings(&self) -> Settings {
        Settings {
            image: self.image.clone(),
            init_image: self.init_image.clone(),
            release: self.kube_version,
            mode: self.mode,
            uid: self.proxy_uid,
            families: self.ip_families,
            config_map: self.config_map.clone(),
            opt_in: self.opt_in,
        }
    }
}

/// Runs the command and returns its exit code.
#[must_use]
pub fn run(args: &InjectArgs) -> ExitCode {
    let standard = PathBuf::from("-");
    let files = if args.files.is_empty() { std::slice::from_ref(&standard) } else { &args.files };
    let mut stream = Stream { settings: args.settings(), as_patch: args.patch, text: String::new(), problems: Vec::new(), count: 0 };
    for file in files {
        match read(file) {
            Ok((name, text)) => stream.take(&name, &text),
            Err(problem) => stream.problems.push(*problem),
        }
    }
    let wrong = stream.problems.iter().any(Problem::is_error);
    if stream.count == 0 && !wrong {
        let hint = "pods are in Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs";
        let names: Vec<String> =
            files.iter().map(|file| if *file == standard { STDIN.to_owned() } else { file.display().to_string() }).collect();
        stream.problems.push(Problem::note(&names.join(", "), "", "no pod got the sidecar").with_hint(hint));
    }
    stream.problems.iter().for_each(|problem| eprintln!("{problem}\n"));
    if wrong {
        return exit::BAD_FILE.end();
    }
    let mut out = io::stdout().lock();
    match out.write_all(stream.text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => exit::DONE.end(),
        Err(error) => {
            eprintln!("error: cannot write the manifests: {error}\n  hint: send the output to a file or a reader that stays");
            exit::FAILED.end()
        }
    }
}

/// Reads a file, or the standard input.
fn read(file: &PathBuf) -> Result<(String, String), Box<Problem>> {
    let standard = file.as_os_str() == "-";
    let name = if standard { STDIN.to_owned() } else { file.display().to_string() };
    let mut bytes = Vec::new();
    let taken = if standard {
        io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
    };
    let problem = |message: String, hint: &str| Box::new(Problem::error(&name, "", message).with_hint(hint));
    match taken {
        Err(error) => Err(problem(format!("cannot read the file: {error}"), "name a file that exists and may be read")),
        Ok(length) if u64::try_from(length).is_ok_and(|length| length > MOST_BYTES) => {
            Err(problem("the file has more than 64 MiB".to_owned(), "take it apart"))
        }
        Ok(_) => match String::from_utf8(bytes) {
            Ok(text) => Ok((name, text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))),
            Err(error) => Err(problem(format!("the file is no UTF-8 ({error})"), "write manifests in UTF-8")),
        },
    }
}

/// What was read so far, and what becomes of it.
struct Stream {
    settings: Settings,
    as_patch: bool,
    text: String,
    problems: Vec<Problem>,
    count: usize,
}

impl Stream {
    fn take(&mut self, file: &str, text: &str) {
        let documents = manifests::documents(text);
        for (index, document) in documents.iter().enumerate() {
            // Where the file before ends and this one does not say that it begins.
            if index == 0 && !self.as_patch && !self.text.is_empty() && !document.text.starts_with("---") {
                self.text.push_str(if self.text.ends_with('\n') { "---\n" } else { "\n---\n" });
            }
            let place = (documents.len() > 1).then(|| format!("document {}", index + 1));
            match document.read(file) {
                Ok(None) => self.keep(*document),
                Ok(Some(object)) => self.object(file, place.as_deref(), index, *document, &object),
                Err(problems) => self.problems.extend(problems.into_iter().map(|problem| numbered(problem, place.as_deref()))),
            }
        }
    }

    fn keep(&mut self, document: Document<'_>) {
        if !self.as_patch {
            self.text.push_str(document.text);
        }
    }

    fn object(&mut self, file: &str, number: Option<&str>, index: usize, document: Document<'_>, object: &Object) {
        let problem = |severity: Severity, fault: Fault| {
            let place = object.place(&fault.path);
            let problem = Problem { severity, ..Problem::error(file, &fault.path, fault.message).with_hint(fault.hint) };
            let problem = place.map_or(problem.clone(), |(line, column)| Problem { line: Some(line), column: Some(column), ..problem });
            numbered(problem, number)
        };
        let injected = match object::inject(&object.value, &self.settings) {
            Ok(injected) => injected,
            Err(faults) => {
                self.problems.extend(faults.into_iter().map(|fault| problem(Severity::Error, fault)));
                return;
            }
        };
        self.problems.extend(injected.warnings.into_iter().map(|warning| problem(Severity::Note, warning)));
        if injected.count == 0 {
            self.keep(document);
            return;
        }
        self.count += injected.count;
        if self.as_patch {
            let text = |pointer: &str| object.value.pointer(pointer).cloned().unwrap_or_default();
            let operations = patch::patch(&object.value, &injected.object);
            let (kind, name) = (text("/kind"), text("/metadata/name"));
            let line = json!({"file": file, "document": index + 1, "kind": kind, "name": name, "patch": operations});
            self.text.push_str(&format!("{line}\n"));
            return;
        }
        match document.with(object, &injected.object) {
            Ok(text) => self.text.push_str(&text),
            Err(error) => {
                let fault = Fault::new("", format!("this cannot be written: {error}"), "write the document as JSON");
                self.problems.push(problem(Severity::Error, fault));
            }
        }
    }
}

/// Names the document in a problem's path.
fn numbered(mut problem: Problem, document: Option<&str>) -> Problem {
    if let Some(document) = document {
        problem.path = if problem.path.is_empty() { document.to_owned() } else { format!("{document}, {}", problem.path) };
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - {name: app, image: a, ports: [{containerPort: 8080}]}\n";
    const SERVICE: &str = "---\n# kept   as it is\nkind:   Service\napiVersion: v1\n";

    fn stream(files: &[&str], as_patch: bool) -> (String, Vec<Problem>, usize) {
        let mut stream =
            Stream { settings: Settings::with_image(usual_image()), as_patch, text: String::new(), problems: Vec::new(), count: 0 };
        files.iter().for_each(|text| stream.take("f.yaml", text));
        (stream.text, stream.problems, stream.count)
    }

    #[test]
    fn other_documents_are_written_byte_for_byte() {
        let (text, problems, count) = stream(&[&format!("{POD}{SERVICE}---\n---\n{POD}")], false);
        assert!(problems.is_empty() && count == 2, "{problems:?}");
        assert!(text.contains(&format!("{SERVICE}---\n---\napiVersion: v1\nkind: Pod\n")), "{text}");
        assert_eq!(stream(&[&text], false).0, text, "twice is once");
        assert_eq!(stream(&[SERVICE, "a: 1"], false).0, format!("{SERVICE}---\na: 1"));
        assert_eq!(stream(&["a: 1", POD], false).0.matches("---\n").count(), 1);
        assert_eq!(stream(&[""], false).0, "");
        let json = "{\"kind\": \"Service\"}{\"kind\": \"Secret\"}\n";
        assert_eq!(stream(&[json], false).0, json);
    }

    #[test]
    fn a_problem_names_file_document_path_and_line() {
        let bad = POD.replace("metadata: {name: a}", "metadata:\n  annotations:\n    config.portcullis/listen-prot: '1'");
        let (_, problems, _) = stream(&[&format!("{POD}---\n{bad}")], false);
        let told = problems.iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains("f.yaml:12:36 (document 2, metadata.annotations.config.portcullis/listen-prot)"), "{told}");
        assert!(told.contains("did you mean config.portcullis/listen-port?"), "{told}");
        let (_, problems, _) = stream(&["a: [\n"], false);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    #[test]
    fn a_patch_is_told_for_each_changed_document() {
        let (text, _, count) = stream(&[&format!("{POD}{SERVICE}")], true);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((count, &line["document"], &line["kind"], &line["name"]), (1, &json!(1), &json!("Pod"), &json!("a")));
        assert!(line["patch"].as_array().is_some_and(|operations| !operations.is_empty()), "{line}");
    }

    #[test]
    fn names_of_config_maps_are_checked() {
        assert!(config_map("a.b-1").is_ok() && config_map("A").is_err() && config_map("").is_err() && config_map("a..b").is_err());
    }
}
