//! Gives every command of the documentation as its reader would, and compares what is printed with what the page shows.
#![cfg(test)]

mod page;
mod readme;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use page::Step;

/// How long a command may take to show what the page shows.
const PATIENCE: Duration = Duration::from_secs(90);

/// A reader's machine: a folder, the program in the search path, and what runs in other terminals.
struct Reader {
    folder: tempfile::TempDir,
    ports: BTreeMap<String, u16>,
    background: Vec<Child>,
}

impl Reader {
    fn new(page: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_portcullis"), folder.path().join("bin/portcullis")).unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        // All are held at once, so that no two are the same.
        let held: Vec<(String, TcpListener)> =
            page::ports(page).into_keys().map(|port| (port, TcpListener::bind("127.0.0.1:0").unwrap())).collect();
        let ports = held.iter().map(|(port, listener)| (port.clone(), listener.local_addr().unwrap().port())).collect();
        Self { folder, ports, background: Vec::new() }
    }

    fn shell(&self, commands: &str) -> Command {
        let mut shell = Command::new("bash");
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        shell.args(["-euo", "pipefail", "-c", &page::with_ports(commands, &self.ports)]).current_dir(self.folder.path().join("work"));
        shell.env("PATH", path).env("HOME", self.folder.path()).env("ROOT", env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1");
        // The usual address, where this reader's proxy has another port.
        if let Some(port) = self.ports.get("9090") {
            shell.env("PORTCULLIS_ADMIN", format!("http://127.0.0.1:{port}"));
        }
        shell.env_remove("RUNTIME_DIRECTORY").env_remove("XDG_RUNTIME_DIR");
        shell.env_remove("STATE_DIRECTORY").env_remove("XDG_STATE_HOME").stdin(Stdio::null()).process_group(0);
        shell
    }

    /// Gives commands once, or again until they do what the page shows.
    fn run(&self, line: usize, commands: &str, code: i32, until: bool, shows: Option<&str>) {
        let shows = shows.map(|text| page::with_ports(text, &self.ports));
        let begun = Instant::now();
        loop {
            let Output { status, stdout, stderr } = self.shell(commands).output().unwrap();
            let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            let ended = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            let wrong = match &shows {
                _ if ended != code => Some(format!("ended with {ended}, not {code}")),
                Some(shown) if !page::matches(shown, &stdout) => Some(format!("did not print\n{shown}")),
                _ => None,
            };
            let Some(wrong) = wrong else { return };
            assert!(
                until && begun.elapsed() < PATIENCE,
                "line {line}:\n{commands}{wrong}\nbut printed\n{stdout}\n{stderr}\n{}",
                self.heard()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn begin(&mut self, line: usize, commands: &str) {
        let output = fs::File::create(self.folder.path().join(format!("line-{line}.log"))).unwrap();
        let child = self.shell(commands).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        self.background.push(child);
    }

    /// Returns what was printed in the other terminals.
    fn heard(&self) -> String {
        let logs = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        logs.filter(|path| path.extension().is_some_and(|kind| kind == "log"))
            .map(|path| format!("== {}\n{}", path.display(), fs::read_to_string(&path).unwrap()))
            .collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for child in &mut self.background {
            // The whole group: a block may have begun several programs.
            let _ = Command::new("bash").args(["-c", &format!("kill -KILL -- -{}", child.id())]).output();
            let _ = child.wait();
        }
        // What a pipeline has deployed outlives it, in groups of its own; it still stands in this reader's folder.
        let is_ours = |entry: &fs::DirEntry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.folder.path()));
        for process in fs::read_dir("/proc").into_iter().flatten().flatten().filter(is_ours) {
            let _ = Command::new("kill").arg("-KILL").arg(process.file_name()).output();
        }
    }
}

/// Follows a page from its beginning to its end.
fn follow(name: &str) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let mut reader = Reader::new(&text);
    let mut begun = false;
    for step in page::read(&text) {
        match step {
            Step::File { name, text } => {
                fs::write(reader.folder.path().join("work").join(name), page::with_ports(&text, &reader.ports)).unwrap();
            }
            Step::Background { line, commands } => {
                reader.begin(line, &commands);
                begun = true;
            }
            Step::Run { line, commands, code, until, shows } => {
                // What was just begun may need a moment, which a reader takes to change terminals.
                reader.run(line, &commands, code, until || begun, shows.as_deref());
                begun = false;
            }
        }
    }
}

macro_rules! pages {
    ($($test:ident: $name:literal,)+) => {
        const PAGES: &[&str] = &[$($name),+];
        $(#[test] fn $test() { follow($name); })+
    };
}

pages! {
    quick_start: "docs/quick-start.md",
    gates: "docs/gates.md",
    kubernetes: "docs/kubernetes.md",
    from_keptn: "docs/from-keptn.md",
    from_flagger: "docs/from-flagger.md",
    from_argo: "docs/from-argo.md",
    from_haproxy_and_nginx: "docs/from-haproxy-and-nginx.md",
}

#[test]
fn every_page_with_commands_is_followed() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("docs/{}", path.file_name().unwrap().to_str().unwrap());
        if name.ends_with(".md") && !PAGES.contains(&name.as_str()) {
            let steps = page::read(&fs::read_to_string(&path).unwrap());
            assert!(steps.is_empty(), "{name} has commands that nobody gives; name it in `pages!`");
        }
    }
}

#[test]
fn the_reference_is_that_of_the_schema() {
    let written = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(["schema", "--markdown"]).output().unwrap();
    let kept = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap_or_default();
    let same = kept == String::from_utf8(written.stdout).unwrap();
    assert!(same, "the schema has changed; run: cargo run -- schema --markdown > docs/configuration.md");
}

/// Links lead somewhere: to a file of this repository, or to a heading of the page.
#[test]
fn no_link_leads_nowhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).chain([root.join("README.md")]);
    for page in pages.filter(|page| page.extension().is_some_and(|kind| kind == "md")) {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let file = page.parent().unwrap().join(target.split('#').next().unwrap());
            assert!(file.exists(), "{}: {target} does not exist", page.display());
        }
    }
}
