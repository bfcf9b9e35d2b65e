//! What each exit code means: the one list that the commands, the help, the README and the tests share.

use std::process::ExitCode;

/// An exit code and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The code, as the shell sees it.
    pub code: u8,
    /// What it means, as the README tells it.
    pub meaning: &'static str,
}

impl Exit {
    const fn new(code: u8, meaning: &'static str) -> Self {
        Self { code, meaning }
    }

    /// Ends the program with this code.
    #[must_use]
    pub fn end(self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// All went well.
pub const DONE: Exit = Exit::new(
    0,
    "done; for `check`: no errors; for `evaluate`: pass or warning; for `watch`: promoted; for `demo`: all of it really happened; for \
     `simulate`: every expectation holds, and no replayed gate fires",
);
/// It began and went wrong.
pub const FAILED: Exit = Exit::new(
    1,
    "failed while running: for example an unwritable state folder, or a demo that went another way; for `why`: some evidence does not give \
     what was recorded; for `audit`: the chain of the journal is broken, or stands in the place of a journal that was lost and \
     that `--known-loss` does not name; for `simulate`: an expectation does not hold, or a replayed gate fires",
);
/// Nothing was done.
pub const REFUSED: Exit = Exit::new(
    2,
    "the command line was not understood; for the commands that ask a running proxy: nobody answered, it was refused or not confirmed, or \
     there is no such service, rollout or `force`",
);
/// What was judged fails.
pub const FAIL: Exit = Exit::new(
    3,
    "`evaluate`: the values fail the file; `watch`: rolled back or aborted; `send event new-artifact --wait`: the artifact did not pass \
     everywhere; `send event start-evaluation --wait`: neither pass nor warning",
);
/// What was judged is neither good nor bad.
pub const INCONCLUSIVE: Exit =
    Exit::new(4, "`evaluate`: inconclusive, for example for want of data; `watch --for`: not over by then; this is not a pass");
/// An address is taken (`EX_UNAVAILABLE` of sysexits).
pub const UNAVAILABLE: Exit = Exit::new(69, "an address could not be bound");
/// A file has errors (`EX_CONFIG` of sysexits).
pub const BAD_FILE: Exit = Exit::new(78, "a file is wrong; every problem has been told with its place and a hint");
/// Ctrl-C, as shells count it: 128 and the signal.
pub const INTERRUPTED: Exit = Exit::new(130, "stopped by Ctrl-C; `demo` took its processes with it");
/// SIGTERM.
pub const TERMINATED: Exit = Exit::new(143, "stopped by SIGTERM; `demo` took its processes with it");

/// Every code there is, in order.
pub const ALL: [Exit; 9] = [DONE, FAILED, REFUSED, FAIL, INCONCLUSIVE, UNAVAILABLE, BAD_FILE, INTERRUPTED, TERMINATED];

/// Writes the list for the end of the help.
#[must_use]
pub fn told() -> String {
    let line = |exit: &Exit| format!("  {:>3}  {}\n", exit.code, exit.meaning.replace('`', ""));
    format!("Exit codes:\n{}", ALL.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Calls `visit` with every Rust file below a folder.
    fn each_file(folder: &Path, visit: &mut dyn FnMut(&Path, &str)) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                each_file(&path, visit);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                visit(&path, &fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn the_readme_tells_every_code_and_no_other() {
        let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
        let section = readme.split("## Exit codes\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert_eq!(rows, ALL.map(|exit| format!("| {} | {} |", exit.code, exit.meaning)), "README.md, \"Exit codes\"");
        assert!(ALL.is_sorted_by_key(|exit| exit.code));
    }

    #[test]
    fn no_command_has_a_code_of_its_own() {
        let mut own = Vec::new();
        let mut seen = 0;
        each_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli"), &mut |path, text| {
            seen += 1;
            if path.ends_with("cli/exit.rs") {
                return;
            }
            for (number, line) in text.lines().enumerate() {
                if line.contains(": u8 = ") || line.contains("ExitCode::from(") || line.contains("ExitCode::FAILURE") {
                    own.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        });
        assert!(seen > 50, "the commands were not found");
        assert!(own.is_empty(), "exit codes belong into src/cli/exit.rs:\n{}", own.join("\n"));
    }
}
