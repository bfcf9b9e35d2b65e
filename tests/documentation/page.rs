//! Reads a page: which commands it tells its reader to give, and what it says they print.

use std::collections::BTreeMap;

/// A step of a page, in its order.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A file that the reader writes (```` ```yaml file=NAME ````).
    File { name: String, text: String },
    /// Commands that go on in another terminal (```` ```sh background ````).
    Background { line: usize, commands: String },
    /// Commands that end (```` ```sh ````, or a comment `<!-- sh` for what a reader has already).
    Run { line: usize, commands: String, code: i32, until: bool, shows: Option<String> },
}

/// Reads the steps of a page.
///
/// # Panics
///
/// Panics where the page has something that would go untested: an unknown word behind `sh`, or output that belongs to nothing.
pub fn read(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let (info, end) = match (line.strip_prefix("```"), line.strip_prefix("<!-- ")) {
            (Some(info), _) => (info, "```"),
            (_, Some(info)) if info.starts_with("sh") => (info, "-->"),
            _ => continue,
        };
        let text: String = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != end).flat_map(|line| [line, "\n"]).collect();
        let line = at + 1;
        let mut words = info.split(' ');
        match words.next() {
            Some("sh") if info == "sh background" => steps.push(Step::Background { line, commands: text }),
            Some("sh") => {
                let (mut code, mut until) = (0, false);
                for word in words {
                    match word.split_once('=') {
                        Some(("exit", number)) => code = number.parse().unwrap(),
                        None if word == "until" => until = true,
                        _ => panic!("line {line}: `{word}` is neither `background`, `until` nor `exit=CODE`"),
                    }
                }
                steps.push(Step::Run { line, commands: text, code, until, shows: None });
            }
            Some("text") => match steps.last_mut() {
                Some(Step::Run { shows, .. }) if shows.is_none() => *shows = Some(text),
                _ => panic!("line {line}: this output stands behind no command; drop the word `text` where it is none"),
            },
            _ => {
                if let Some(name) = words.next().and_then(|word| word.strip_prefix("file=")) {
                    steps.push(Step::File { name: name.to_owned(), text });
                }
            }
        }
    }
    steps
}

/// Returns each command of the `sh` blocks of a page as one line, without what explains it.
pub fn commands(page: &str) -> Vec<String> {
    let steps = read(page).into_iter();
    let blocks = steps.filter_map(|step| match step {
        Step::Background { commands, .. } | Step::Run { commands, .. } => Some(commands),
        Step::File { .. } => None,
    });
    let joined = blocks.map(|block| block.replace("\\\n", " ")).collect::<String>();
    let bare = joined.lines().map(|line| line.split(" #").next().unwrap_or_default());
    bare.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|line| !line.is_empty()).collect()
}

/// Finds the ports of this machine that a page uses.
pub fn ports(page: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (at, _) in page.match_indices(':') {
        let (before, behind) = (&page[..at], &page[at + 1..]);
        let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
        if digits.len() >= 4 && ["127.0.0.1", "localhost", "0.0.0.0"].iter().any(|host| before.ends_with(host)) {
            *found.entry(digits).or_default() += 1;
        }
    }
    found
}

/// Puts other ports in their place.
pub fn with_ports(text: &str, other: &BTreeMap<String, u16>) -> String {
    other.iter().fold(text.to_owned(), |text, (known, port)| {
        ["127.0.0.1", "localhost", "0.0.0.0"]
            .iter()
            .fold(text, |text, host| text.replace(&format!("{host}:{known}"), &format!("{host}:{port}")))
    })
}

/// Says whether this is what a page shows: `…` stands for any text within a line, and alone for any lines.
pub fn matches(shown: &str, printed: &str) -> bool {
    fn lines(shown: &[&str], printed: &[&str]) -> bool {
        match (shown.split_first(), printed.split_first()) {
            (None, None) => true,
            (Some((first, rest)), _) if first.trim() == "…" => (0..=printed.len()).any(|skipped| lines(rest, &printed[skipped..])),
            (Some((shown, more)), Some((printed, others))) => line(shown, printed) && lines(more, others),
            _ => false,
        }
    }
    /// Spaces are one: the widths of columns depend on what stands in them.
    fn line(shown: &str, printed: &str) -> bool {
        let one = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (shown, printed) = (one(shown), one(printed));
        let mut parts = shown.split('…');
        let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        for part in middle {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
    let cut = |text: &'_ str| text.trim_end().lines().map(str::to_owned).collect::<Vec<_>>();
    let (shown, printed) = (cut(shown), cut(printed));
    lines(&shown.iter().map(String::as_str).collect::<Vec<_>>(), &printed.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_page_is_read_in_order() {
    let page = "A\n```yaml file=a.yaml\nx: 1\n```\n<!-- sh\nmkdir b\n-->\n```sh background\nserve\n```\n```sh until exit=3\nask\n```\n```text\nyes\n```\n";
    let run = |line, commands: &str, code, until, shows: Option<&str>| Step::Run {
        line,
        commands: commands.to_owned(),
        code,
        until,
        shows: shows.map(str::to_owned),
    };
    assert_eq!(
        read(page),
        [
            Step::File { name: "a.yaml".to_owned(), text: "x: 1\n".to_owned() },
            run(5, "mkdir b\n", 0, false, None),
            Step::Background { line: 8, commands: "serve\n".to_owned() },
            run(11, "ask\n", 3, true, Some("yes\n")),
        ]
    );
}

#[test]
fn commands_are_read_as_lines_without_what_explains_them() {
    let page = "```sh\na \\\n    -b   'c d'  # why\n\ne\n```\ntext\n```yaml\nf: 1\n```\n```sh background\ng\n```\n";
    assert_eq!(commands(page), ["a -b 'c d'", "e", "g"]);
}

#[test]
fn output_is_compared_with_what_a_page_shows() {
    for (shown, printed, same) in [
        ("a  b\n", "a b", true),
        ("a … c", "a b b c", true),
        ("a … c", "a b b", false),
        ("a\n…\nd", "a\nb\nc\nd\n", true),
        ("a\n…", "a\n", true),
        ("a\n…\nd", "a\nb\n", false),
        ("a", "a\nb", false),
        ("", "", true),
        ("", "a", false),
    ] {
        assert_eq!(matches(shown, printed), same, "{shown:?} {printed:?}");
    }
}

#[test]
fn ports_of_this_machine_are_found_and_replaced() {
    let page = "curl http://127.0.0.1:8080/ carts.localhost:8080 10.0.0.1:8081 0.0.0.0:9090";
    assert_eq!(ports(page).into_keys().collect::<Vec<_>>(), ["8080", "9090"]);
    let other = BTreeMap::from([("8080".to_owned(), 1)]);
    assert_eq!(with_ports(page, &other), "curl http://127.0.0.1:1/ carts.localhost:1 10.0.0.1:8081 0.0.0.0:9090");
}
