//! Recognises the script that adds the header `x-dynatrace-test`, by what it does; it runs no script.
//!
//! The header is put together from the texts `LSN=`, `;TSN=`, `;LTN=` and `;VU=`, and the script calls nothing but what that
//! takes. So a script that does anything else is refused, and comments and the names of its own variables do not matter.

use crate::formats::jmx::element::{Context, Properties};
use crate::formats::jmx::plan::DynatraceTest;

/// The header.
const HEADER: &str = "x-dynatrace-test";

/// The property, or variable, with the name of the test.
const TEST_NAME: &str = "DT_LTN";

/// The parts of the header's value, in their order.
const PARTS: [&str; 4] = ["LSN=", ";TSN=", ";LTN=", ";VU="];

/// What the script may call.
const CALLS: [&str; 18] = [
    "if",
    "getPropDefault",
    "getProperty",
    "get",
    "length",
    "isEmpty",
    "equals",
    "getName",
    "getThreadGroup",
    "getThreadNum",
    "getHeaderManager",
    "setHeaderManager",
    "HeaderManager",
    "removeHeaderNamed",
    "add",
    "Header",
    "info",
    "debug",
];

/// What it must call.
const NEEDED: [&str; 4] = ["getName", "getThreadGroup", "getThreadNum", "add"];

/// Reads a pre-processor; reports a script that does not do this, or more than this.
pub fn read(context: &Context<'_>, mut properties: Properties<'_, '_>) -> Option<DynatraceTest> {
    if properties.text("filename").is_some_and(|name| !name.trim().is_empty()) {
        properties.error("filename", "a script in a file is not supported", "write the script into the plan");
    }
    let parameters = properties.text("parameters");
    properties.inert(&["resetInterpreter"]);
    // References in a script are seldom meant; where they are, they are part of what it does.
    let script = properties.text("script")?;
    let recognised = recognise(&script);
    if let Err(why) = &recognised {
        let hint = "the only script that is understood adds the header x-dynatrace-test with LSN, TSN, LTN and VU; set enabled=\"false\" to skip this";
        properties.error("script", format!("the script is not supported: {why}"), hint);
    }
    properties.close();
    let Names { scenario, from_parameters, test_name } = recognised.ok()?;
    let parameter = parameters?.split_whitespace().next().filter(|_| from_parameters).map(str::to_owned);
    let test_name = context.values.property_or_variable(TEST_NAME).map_or(test_name, str::to_owned);
    Some(DynatraceTest { scenario: parameter.unwrap_or(scenario), test_name })
}

/// The names in a script.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    /// The text that LSN is.
    scenario: String,
    /// Whether the first parameter takes its place.
    from_parameters: bool,
    /// What LTN is where nobody says it.
    test_name: String,
}

fn recognise(script: &str) -> Result<Names, String> {
    let tokens = tokens(script)?;
    let called = |at: usize| match (tokens.get(at), tokens.get(at + 1)) {
        (Some(Token::Word(word)), Some(Token::Sign('('))) => Some(word.as_str()),
        _ => None,
    };
    let calls: Vec<&str> = (0..tokens.len()).filter_map(called).collect();
    if let Some(other) = calls.iter().find(|call| !CALLS.contains(call)) {
        return Err(format!("it calls {other}"));
    }
    if let Some(missing) = NEEDED.iter().find(|call| !calls.contains(call)) {
        return Err(format!("it does not call {missing}"));
    }
    let texts = |wanted: &str| tokens.iter().any(|token| *token == Token::Text(wanted.to_owned()));
    for wanted in [HEADER, TEST_NAME] {
        if !texts(wanted) {
            return Err(format!("it does not name {wanted}"));
        }
    }
    let start = tokens.iter().position(|token| *token == Token::Text(PARTS[0].to_owned()));
    let start = start.ok_or_else(|| format!("it has no text {:?}", PARTS[0]))?;
    let end = tokens.iter().skip(start).position(|token| *token == Token::Sign(';')).map_or(tokens.len(), |length| start + length);
    let sum = tokens.get(start..end).unwrap_or_default();
    let parts: Vec<&str> = sum.iter().filter_map(Token::text).collect();
    if parts.strip_suffix(&[";"]) != Some(&PARTS[..]) {
        return Err(format!("the value of the header is put together otherwise than {} and a last \";\"", PARTS.join("… ")));
    }
    let variable = |part: &str| {
        let at = sum.iter().position(|token| token.text() == Some(part))?;
        match (sum.get(at + 1), sum.get(at + 2)) {
            (Some(Token::Sign('+')), Some(Token::Word(word))) => Some(word.as_str()),
            _ => None,
        }
    };
    let last_text = |part: &str| {
        let assigned = assignments(&tokens, variable(part)?);
        assigned.iter().rev().find_map(|value| value.iter().rev().filter_map(Token::text).find(|text| *text != TEST_NAME))
    };
    let scenario = last_text(PARTS[0]).ok_or("it does not say what LSN is")?.to_owned();
    let test_name = last_text(PARTS[2]).unwrap_or("null").to_owned();
    let from_parameters = tokens.iter().any(|token| *token == Token::Word("args".to_owned()));
    Ok(Names { scenario, from_parameters, test_name })
}

/// Returns the tokens of what is assigned to a variable, each time.
fn assignments<'t>(tokens: &'t [Token], variable: &str) -> Vec<&'t [Token]> {
    let begins = |at: usize| match (tokens.get(at), tokens.get(at + 1), tokens.get(at + 2)) {
        (Some(Token::Word(word)), Some(Token::Sign('=')), after) if word == variable => after != Some(&Token::Sign('=')),
        _ => false,
    };
    let value = |at: usize| {
        let rest = tokens.get(at + 2..).unwrap_or_default();
        rest.split(|token| *token == Token::Sign(';')).next().unwrap_or_default()
    };
    (0..tokens.len()).filter(|at| begins(*at)).map(value).collect()
}

/// A piece of a script; comments and blanks are none.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

impl Token {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Word(_) | Self::Sign(_) => None,
        }
    }
}

fn tokens(script: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        if rest.starts_with("//") {
            rest = rest.find('\n').and_then(|end| rest.get(end..)).unwrap_or_default();
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").ok_or("a comment is not closed")?.1;
        } else if first == '"' {
            let (text, behind) = quoted(after).ok_or("a text is not closed")?;
            tokens.push(Token::Text(text));
            rest = behind;
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            tokens.push(Token::Word(word.to_owned()));
            rest = behind;
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Sign(first));
            }
            rest = after;
        }
    }
    Ok(tokens)
}

/// Returns the text up to the closing quote and what is behind it.
fn quoted(script: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = script.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, script.get(at + 1..)?)),
            '\n' => return None,
            '\\' => text.push(characters.next()?.1),
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"
        // reads "LSN=" nowhere
        String name = props.get("DT_LTN"); /* System.exit(0); */
        if (name == null) { name = "unnamed"; }
        String script = "Test Scenario";
        String value = "LSN=" + script + ";TSN=" + sampler.getName() + ";LTN=" + name
            + ";VU=" + ctx.getThreadGroup().getName() + ctx.getThreadNum() + ";";
        sampler.getHeaderManager().add(new Header("x-dynatrace-test", value));
    "#;

    #[test]
    fn the_script_is_known_by_what_it_does() {
        let names = Names { scenario: "Test Scenario".to_owned(), from_parameters: false, test_name: "unnamed".to_owned() };
        assert_eq!(recognise(SCRIPT), Ok(names));
        let with = SCRIPT.replace("= \"Test Scenario\"", "= (bsh.args.length > 0) ? bsh.args[0] : \"Mine\"");
        let names = recognise(&with).unwrap();
        assert_eq!((names.scenario.as_str(), names.from_parameters), ("Mine", true));
    }

    #[test]
    fn a_script_that_does_anything_else_is_not() {
        for (from, to, why) in [
            ("sampler.getHeader", "sampler.setPath(\"/\"); sampler.getHeader", "calls setPath"),
            ("if (", "while (", "calls while"),
            ("x-dynatrace-test", "x-other", "x-dynatrace-test"),
            (";TSN=", ";XYZ=", "put together otherwise"),
            (" + \";\";", ";", "put together otherwise"),
            ("ctx.getThreadNum()", "1", "getThreadNum"),
            ("DT_LTN", "LTN", "DT_LTN"),
            ("\"LSN=\" +", "\"LSN= +", "text"),
            ("script = \"Test Scenario\"", "script = other", "what LSN is"),
            ("*/", "", "not closed"),
        ] {
            let changed = SCRIPT.replace(from, to);
            assert_ne!(changed, SCRIPT);
            let error = recognise(&changed).unwrap_err();
            assert!(error.contains(why), "{to}: {error}");
        }
        assert!(recognise("").is_err());
    }
}
