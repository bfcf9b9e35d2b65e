//! `RESULTS.md`: what the peers and this program do with the corpora. Each test keeps its own column.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::data::{self, Expect, Want};

/// Set to anything, the tests write the table instead of comparing it.
const WRITE: &str = "PORTCULLIS_WRITE_RESULTS";

/// A column of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// The requests, by default.
    Default,
    /// The requests in strict mode.
    Strict,
    /// The answers.
    Answers,
}

const COLUMNS: [Column; 3] = [Column::Default, Column::Strict, Column::Answers];
/// How many of the 50 answers the peers handled as expected.
const PEERS_ANSWERS: [usize; 3] = [39, 25, 40];

const HEAD: &str = "\
# Results

What becomes of the inputs in [`tests/data/corpora`](../data/corpora/README.md), in three peers and in Portcullis. The tests in
`corpora/` fail when the columns of Portcullis are not what they find; the README tells how to write them anew.

The peers are hyper 1.12.0 (a proxy as tutorials show it: the server and the client of hyper-util 0.1.21, no checks of its own),
nginx 1.22.1 and HAProxy 2.6.12, both minimally configured. What must be refused is a policy of this project and in places
stricter than RFC 9112.

";

const REQUESTS: &str = "\
## 216 requests

Answer/upstream. Answer: the statuses received; `close` is an end without an answer, `hang` neither. Upstream: complete requests
received; `p` is one that was begun and never completed, `-` nothing. `!` marks an input that must be refused and of which
something reached the upstream. Expected is R: must be refused, N: must be accepted and forwarded in normal form, E: either.

";

const ANSWERS: &str = "\
## 50 answers

What the client received: status, bytes of the body without chunk framing, how the connection ended (`fin`, `rst`, `timeout`),
the framing field (`cl`, `te`, `-`), `cut` when the body is not complete. `- fin` is an end without any answer.

";

type Cells = BTreeMap<Column, Vec<String>>;

/// Compares the table with these cells of a column, or writes them into it.
#[track_caller]
pub fn check(column: Column, cells: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/RESULTS.md");
    let write = std::env::var_os(WRITE).is_some();
    // Tests write at the same time, also in processes of their own.
    let lock = File::create(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("results.lock")).unwrap();
    if write {
        lock.lock().unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let mut all = read(&found);
    all.insert(column, cells.to_vec());
    let wanted = render(&all);
    if write {
        fs::write(&path, wanted).unwrap();
        return;
    }
    let differing: Vec<String> =
        wanted.lines().filter(|line| !found.lines().any(|other| other == *line)).map(|line| format!("  now {line}")).collect();
    assert!(
        found == wanted,
        "tests/conformance/RESULTS.md is not current; write it anew with\n  {WRITE}=1 cargo test --test conformance corpora\n{}",
        differing.join("\n")
    );
}

fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap_or_default();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    section.lines().filter(|line| line.starts_with("| `")).map(cells).collect()
}

/// Reads the columns of this program from a table.
fn read(text: &str) -> Cells {
    let mut all = Cells::new();
    for column in COLUMNS {
        let (heading, position) = match column {
            Column::Default => ("216", 6),
            Column::Strict => ("216", 7),
            Column::Answers => ("50", 6),
        };
        all.insert(column, rows(text, heading).into_iter().map(|row| row.get(position).cloned().unwrap_or_default()).collect());
    }
    all
}

fn render(cells: &Cells) -> String {
    let cell = |column: Column, row: usize| cells.get(&column).and_then(|cells| cells.get(row)).map_or("", String::as_str);
    let mut out = HEAD.to_owned();
    summary(&mut out, cells);
    out.push_str(REQUESTS);
    out.push_str("| id | expected | line | hyper | nginx | HAProxy | Portcullis | strict |\n|---|---|---|---|---|---|---|---|\n");
    for (row, case) in data::requests().iter().enumerate() {
        let [hyper, nginx, haproxy] = &case.peers;
        let (by_default, strict) = (cell(Column::Default, row), cell(Column::Strict, row));
        let (id, line) = (&case.id, &case.line);
        let _ = writeln!(out, "| `{id}` | {:?} | {line} | {hyper} | {nginx} | {haproxy} | {by_default} | {strict} |", case.expect);
    }
    out.push('\n');
    out.push_str(ANSWERS);
    out.push_str("| id | expected | line | hyper | nginx | HAProxy | Portcullis |\n|---|---|---|---|---|---|---|\n");
    for (row, case) in data::answers().iter().enumerate() {
        let [hyper, nginx, haproxy] = &case.peers;
        let wanted = match case.want {
            Want::Pass => format!("{} {}", case.status, case.body),
            Want::Either => format!("{} {} or 502", case.status, case.body),
            Want::Empty => format!("{} empty", case.status),
            Want::Refuse => case.status.to_string(),
            Want::Cut => "cut or 502".to_owned(),
        };
        let (id, line) = (&case.id, &case.line);
        let _ = writeln!(out, "| `{id}` | {wanted} | {line} | {hyper} | {nginx} | {haproxy} | {} |", cell(Column::Answers, row));
    }
    out
}

/// Counts, of each column, what must be refused and was not; a test that wrote its column found everything as expected.
fn summary(out: &mut String, cells: &Cells) {
    let requests = data::requests();
    let mut columns: Vec<Vec<&str>> = (0..3).map(|peer| requests.iter().map(|case| case.peers[peer].as_str()).collect()).collect();
    for column in [Column::Default, Column::Strict] {
        columns.push(cells.get(&column).map(|cells| cells.iter().map(String::as_str).collect()).unwrap_or_default());
    }
    let mut line = |what: String, counts: Vec<String>| {
        let _ = writeln!(out, "| {what} | {} |", counts.join(" | "));
    };
    let names = ["hyper", "nginx", "HAProxy", "Portcullis", "strict"].map(str::to_owned).to_vec();
    line(String::new(), names);
    line("---".to_owned(), vec!["---".to_owned(); 5]);
    let must = requests.iter().filter(|case| case.expect == Expect::R).count();
    let count = |good: &dyn Fn(&str) -> bool| -> Vec<String> {
        columns.iter().map(|cells| cells.iter().filter(|cell| good(cell)).count().to_string()).collect()
    };
    line(format!("of {must} requests that must be refused, something reached the upstream of"), count(&|cell| cell.ends_with('!')));
    line("of these, arrived complete".to_owned(), count(&|cell| cell.ends_with('!') && !cell.ends_with("p!")));
    let ours = cells.get(&Column::Answers).map_or(0, Vec::len);
    let answers: Vec<String> = PEERS_ANSWERS.iter().chain([&ours]).map(usize::to_string).chain([String::new()]).collect();
    line(format!("of {} answers, handled as expected", data::answers().len()), answers);
    out.push('\n');
}
