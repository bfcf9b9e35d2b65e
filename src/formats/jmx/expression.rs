//! Fills in `${VARIABLE}` and `${__P(property,default)}`, whose default may hold references again.
//!
//! A default is evaluated only when its property is not there. Every other function is an error.

use std::collections::BTreeMap;

/// The deepest nesting of references.
const MAX_DEPTH: usize = 16;

/// The longest text that references may grow to.
const LONGEST: usize = 1 << 20;

/// What `${__P(name)}` is without a default of its own.
const DEFAULT: &str = "1";

/// The properties and variables of a plan.
pub struct Values<'p> {
    properties: &'p BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
}

/// Why a text cannot be filled in, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: &'static str,
}

impl<'p> Values<'p> {
    /// Starts with properties and no variables.
    pub fn new(properties: &'p BTreeMap<String, String>) -> Self {
        Self { properties, variables: BTreeMap::new() }
    }

    /// Defines a variable, or defines it anew.
    pub fn define(&mut self, name: String, value: String) {
        self.variables.insert(name, value);
    }

    /// Returns a property that is not empty, else a variable.
    pub fn property_or_variable(&self, name: &str) -> Option<&str> {
        self.properties.get(name).filter(|value| !value.is_empty()).or_else(|| self.variables.get(name)).map(String::as_str)
    }

    /// Fills in every reference of a text.
    ///
    /// A backslash protects `$`, `,` and itself in a text that has references.
    ///
    /// # Errors
    ///
    /// Says which reference is not closed, unknown or too deep.
    pub fn resolve(&self, text: &str) -> Result<String, Unresolved> {
        if !text.contains("${") {
            return Ok(text.to_owned());
        }
        let parts = Parser { rest: text }.parts(false, 0)?;
        let mut filled = String::new();
        self.fill(&parts, &mut filled)?;
        Ok(filled)
    }

    fn fill(&self, parts: &[Part], filled: &mut String) -> Result<(), Unresolved> {
        for part in parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Variable(name) => {
                    let value = self.variables.get(name).ok_or_else(|| Unresolved {
                        message: format!("there is no variable {:?}", short(name)),
                        hint: "define it among the user defined variables; properties are read with ${__P(name,default)}",
                    })?;
                    filled.push_str(value);
                }
                Part::Property { name, default } => {
                    let mut named = String::new();
                    self.fill(name, &mut named)?;
                    match (self.properties.get(named.trim()), default) {
                        (Some(value), _) => filled.push_str(value),
                        (None, Some(default)) => self.fill(default, filled)?,
                        (None, None) => filled.push_str(DEFAULT),
                    }
                }
            }
            if filled.len() > LONGEST {
                return Err(Unresolved {
                    message: format!("this grows longer than {LONGEST} bytes"),
                    hint: "shorten the variables it is made of",
                });
            }
        }
        Ok(())
    }
}

/// A piece of a text.
enum Part {
    Text(String),
    Variable(String),
    Property { name: Vec<Part>, default: Option<Vec<Part>> },
}

struct Parser<'t> {
    rest: &'t str,
}

impl Parser<'_> {
    /// Reads up to the end, or in an argument up to the comma or bracket that ends it.
    fn parts(&mut self, argument: bool, depth: usize) -> Result<Vec<Part>, Unresolved> {
        if depth > MAX_DEPTH {
            return Err(Unresolved {
                message: format!("references are nested more than {MAX_DEPTH} deep"),
                hint: "use a variable in between",
            });
        }
        let (mut parts, mut text, mut open) = (Vec::new(), String::new(), 0_usize);
        while let Some(character) = self.rest.chars().next() {
            if self.rest.starts_with("${") {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(self.reference(depth)?);
                continue;
            }
            if argument && open == 0 && matches!(character, ',' | ')') {
                break;
            }
            self.skip(character);
            match character {
                '\\' if self.rest.starts_with(['\\', '$', ',']) => text.extend(self.next()),
                '(' if argument => {
                    open += 1;
                    text.push('(');
                }
                ')' if argument => {
                    open = open.saturating_sub(1);
                    text.push(')');
                }
                _ => text.push(character),
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(parts)
    }

    /// Reads a reference that begins here.
    fn reference(&mut self, depth: usize) -> Result<Part, Unresolved> {
        let whole = self.rest;
        let unclosed = || Unresolved {
            message: format!("{:?} is not closed", short(whole)),
            hint: "close it with }, or write \\${ for the text itself",
        };
        self.rest = self.rest.strip_prefix("${").ok_or_else(unclosed)?;
        let end = self.rest.find(['}', '(', '$', '{']).ok_or_else(unclosed)?;
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if !name.starts_with("__") {
            self.rest = self.rest.strip_prefix('}').ok_or_else(|| Unresolved {
                message: format!("{:?} is no variable", short(whole)),
                hint: "write ${NAME}; a name has none of the characters ( $ {",
            })?;
            return Ok(Part::Variable(name.to_owned()));
        }
        if name != "__P" {
            return Err(Unresolved {
                message: format!("the function {} is not supported", short(name)),
                hint: "the only function here is ${__P(name,default)}",
            });
        }
        self.rest = self
            .rest
            .strip_prefix('(')
            .ok_or_else(|| Unresolved { message: "the function __P has no arguments".to_owned(), hint: "write ${__P(name,default)}" })?;
        let mut arguments = vec![self.parts(true, depth + 1)?];
        while let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            arguments.push(self.parts(true, depth + 1)?);
        }
        self.rest = self.rest.strip_prefix(")}").ok_or_else(unclosed)?;
        let mut arguments = arguments.into_iter();
        match (arguments.next(), arguments.next(), arguments.next()) {
            (Some(name), default, None) if !name.is_empty() => Ok(Part::Property { name, default }),
            _ => Err(Unresolved {
                message: format!("{:?} does not have one or two arguments", short(whole)),
                hint: "write ${__P(name,default)}; a comma inside is written \\,",
            }),
        }
    }

    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.skip(character);
        Some(character)
    }

    fn skip(&mut self, character: char) {
        self.rest = self.rest.get(character.len_utf8()..).unwrap_or_default();
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn resolve(text: &str) -> Result<String, Unresolved> {
        let properties = map(&[("VUCount", "10"), ("EMPTY", "")]);
        let mut values = Values::new(&properties);
        values.define("HOST".to_owned(), "127.0.0.1".to_owned());
        values.define("N".to_owned(), "VUCount".to_owned());
        values.resolve(text)
    }

    #[test]
    fn properties_variables_and_nested_defaults_are_filled_in() {
        for (text, wanted) in [
            ("plain { } ) \\, $", "plain { } ) \\, $"),
            ("${HOST}", "127.0.0.1"),
            ("${__P(VUCount,1)}", "10"),
            ("${__P(LoopCount,7)}", "7"),
            ("${__P(SERVER_URL,${HOST})}", "127.0.0.1"),
            ("${__P(A,${__P(B,${__P(VUCount)})})}", "10"),
            ("${__P(none)}", "1"),
            ("${__P(none,)}", ""),
            ("${__P(EMPTY,x)}", ""),
            ("${__P(${N},x)}", "10"),
            ("${__P(VUCount,${NOWHERE})}", "10"),
            ("a${HOST}b\\${HOST}\\\\", "a127.0.0.1b${HOST}\\"),
            ("${__P(A,f(x\\,y))}", "f(x,y)"),
            ("{__P(ThinkTime,${HOST})}", "{__P(ThinkTime,127.0.0.1)}"),
        ] {
            assert_eq!(resolve(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_named() {
        for (text, wanted) in [
            ("${NOWHERE}", "no variable \"NOWHERE\""),
            ("${__P(A,${NOWHERE})}", "no variable"),
            ("${__time()}", "the function __time"),
            ("${__P(VUCount,${__javaScript(1)})}", "__javaScript"),
            ("${HOST", "not closed"),
            ("${__P(A,1}", "not closed"),
            ("${__P(A,1)", "not closed"),
            ("${__P}", "no arguments"),
            ("${__P()}", "one or two arguments"),
            ("${__P(A,1,2)}", "one or two arguments"),
            ("${A${HOST}}", "no variable"),
        ] {
            let error = resolve(text).unwrap_err();
            assert!(error.message.contains(wanted), "{text}: {error:?}");
        }
    }

    #[test]
    fn neither_depth_nor_growth_is_without_bounds() {
        let deep = format!("{}1{}", "${__P(A,".repeat(5000), ")}".repeat(5000));
        assert!(resolve(&deep).unwrap_err().message.contains("nested"));
        let properties = BTreeMap::new();
        let mut values = Values::new(&properties);
        values.define("v0".to_owned(), "x".repeat(1000));
        let mut refused = false;
        for turn in 1..40 {
            match values.resolve(&format!("${{v{0}}}${{v{0}}}", turn - 1)) {
                Ok(value) => values.define(format!("v{turn}"), value),
                Err(error) => {
                    assert!(error.message.contains("grows"), "{error:?}");
                    refused = true;
                    break;
                }
            }
        }
        assert!(refused);
    }
}
