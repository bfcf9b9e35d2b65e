//! `RESULTS-HTTP2.md`: what became of each case on each port.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::case::Case;
use super::ends::Outcome;

/// Set to anything, the tests write the table instead of comparing it.
const WRITE: &str = "PORTCULLIS_WRITE_RESULTS";

const HEAD: &str = "\
# Results of HTTP/2

What becomes of the cases in `http2_spec/`: what RFC 9113 and RFC 7541 ask of a server, with the numbers of h2spec 2.6.0. They are
played against the built program on a port without TLS, with prior knowledge, and on one with TLS and ALPN. As there, an error may
also end with the connection closed; `~` marks those that closed it with another code than the RFC names, `!` what did not end as
accepted. The tests fail when this table is not what they find; the README tells how to write it anew.

";

/// A case and what became of it on the two ports.
pub type Row<'a> = (&'a Case, [&'a Outcome; 2]);

/// Compares the table with these rows, or writes it.
#[track_caller]
pub fn check(rows: &[Row<'_>]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/RESULTS-HTTP2.md");
    let wanted = render(rows);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differing: Vec<String> =
        wanted.lines().filter(|line| !found.lines().any(|other| other == *line)).map(|line| format!("  now {line}")).collect();
    assert!(
        found == wanted,
        "tests/conformance/RESULTS-HTTP2.md is not current; write it anew with\n  {WRITE}=1 cargo test --test conformance http2_spec\n{}",
        differing.join("\n")
    );
}

fn render(rows: &[Row<'_>]) -> String {
    let mut out = HEAD.to_owned();
    out.push_str("|  | prior knowledge | TLS |\n| --- | --- | --- |\n");
    let mut total = |what: &str, strict: bool, good: &dyn Fn(&Outcome) -> bool| {
        let counted = || rows.iter().filter(|(case, _)| strict || !case.strict);
        let [plain, encrypted] = [0, 1].map(|port: usize| counted().filter(|(_, outcomes)| good(outcomes[port])).count());
        let _ = writeln!(out, "| {what} | {plain} of {all} | {encrypted} of {all} |", all = counted().count());
    };
    total("reached", false, &|outcome| outcome.reached);
    total("reached in strict mode", true, &|outcome| outcome.reached);
    total("of these, with the code that the RFC names", true, &|outcome| outcome.reached && !outcome.miscoded);
    out.push_str("\n| case | what | accepted | prior knowledge | TLS |\n|---|---|---|---|---|\n");
    for (case, outcomes) in rows {
        let [plain, encrypted] = outcomes.map(|outcome| {
            let mark = if !outcome.reached {
                " !"
            } else if outcome.miscoded {
                " ~"
            } else {
                ""
            };
            format!("{}{mark}", outcome.shown)
        });
        let only = if case.strict { " (strict)" } else { "" };
        let _ = writeln!(out, "| `{}`{only} | {} | {} | {plain} | {encrypted} |", case.id, case.title, case.ends);
    }
    out
}
