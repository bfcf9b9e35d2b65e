//! Parses a condition in the part of Argo's expression language that speaks of numbers.
//!
//! Texts, fields of an answer and arguments of the template are refused.

use crate::domain::gate::metrics::expression::{Arithmetic, Expression, Quantifier};
use crate::domain::gate::slo::criterion::Operator;

/// The most tokens of a condition, which also bounds how deep its parts can stand.
const MOST_TOKENS: usize = 500;

/// How deep brackets and signs may stand in each other.
const DEEPEST: usize = 40;

/// The signs, longer ones before those they begin with.
const SIGNS: [&str; 21] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", "{", "}", ",", "#", "+", "-", "*", "/"];

/// A token: a number, a word, or one of the signs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'t> {
    Number(f64),
    Word(&'t str),
    Sign(&'static str),
}

/// Parses a condition.
///
/// # Errors
///
/// Returns what cannot be understood, one sentence without a full stop.
pub fn parse(text: &str) -> Result<Expression, String> {
    if text.contains("{{") {
        return Err("it has an argument of the template, whose value is not known here".to_owned());
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, depth: 0, quantified: false };
    let expression = parser.or()?;
    if let Some(token) = parser.tokens.first() {
        return Err(format!("{} is not expected there", shown(Some(token))));
    }
    truth(expression)
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if tokens.len() == MOST_TOKENS {
            return Err(format!("it has more than {MOST_TOKENS} words and signs"));
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if first == '.' && !rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) {
            return Err("it asks for a field of the result, and a value is a number".to_owned());
        }
        let length = if first.is_ascii_digit() || first == '.' {
            let length = number_length(rest);
            let spelled = rest.get(..length).unwrap_or_default();
            let number = spelled.parse::<f64>().ok().filter(|number| number.is_finite());
            tokens.push(Token::Number(number.ok_or_else(|| format!("'{spelled}' is not a finite number"))?));
            length
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest.get(..length).unwrap_or_default()));
            length
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| format!("'{}' is no sign of a condition on numbers", first.escape_debug()))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

/// Returns how long the number is that a text begins with, an exponent with its sign included.
fn number_length(text: &str) -> usize {
    let mut before = ' ';
    let ends = |c: char| {
        let signed = matches!(c, '+' | '-') && matches!(before, 'e' | 'E');
        before = c;
        !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || signed)
    };
    text.find(ends).unwrap_or(text.len())
}

struct Parser<'t> {
    tokens: &'t [Token<'t>],
    depth: usize,
    quantified: bool,
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Option<&'t Token<'t>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Takes one of the tokens if it is next.
    fn take(&mut self, wanted: &[Token<'_>]) -> bool {
        let found = self.tokens.first().is_some_and(|token| wanted.contains(token));
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), String> {
        let found = self.tokens.first();
        if self.take(&[Token::Sign(sign)]) { Ok(()) } else { Err(format!("'{sign}' is missing before {}", shown(found))) }
    }

    fn or(&mut self) -> Result<Expression, String> {
        let mut one = self.and()?;
        while self.take(&[Token::Sign("||"), Token::Word("or")]) {
            one = Expression::Or(Box::new(truth(one)?), Box::new(truth(self.and()?)?));
        }
        Ok(one)
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut one = self.comparison()?;
        while self.take(&[Token::Sign("&&"), Token::Word("and")]) {
            one = Expression::And(Box::new(truth(one)?), Box::new(truth(self.comparison()?)?));
        }
        Ok(one)
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        let one = self.sum()?;
        let Some(Token::Sign(sign)) = self.tokens.first() else { return Ok(one) };
        let operator = match *sign {
            "==" | "!=" => Operator::Equal,
            sign => match Operator::from_sign(sign) {
                Some(operator) => operator,
                None => return Ok(one),
            },
        };
        self.next();
        let compared = Expression::Compare(operator, Box::new(number(one)?), Box::new(number(self.sum()?)?));
        Ok(if *sign == "!=" { Expression::Not(Box::new(compared)) } else { compared })
    }

    fn sum(&mut self) -> Result<Expression, String> {
        let mut one = self.product()?;
        loop {
            let how = match self.tokens.first() {
                Some(Token::Sign("+")) => Arithmetic::Add,
                Some(Token::Sign("-")) => Arithmetic::Subtract,
                _ => return Ok(one),
            };
            self.next();
            one = Expression::Arithmetic(how, Box::new(number(one)?), Box::new(number(self.product()?)?));
        }
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut one = self.unary()?;
        loop {
            let how = match self.tokens.first() {
                Some(Token::Sign("*")) => Arithmetic::Multiply,
                Some(Token::Sign("/")) => Arithmetic::Divide,
                _ => return Ok(one),
            };
            self.next();
            one = Expression::Arithmetic(how, Box::new(number(one)?), Box::new(number(self.unary()?)?));
        }
    }

    /// Every way deeper leads through here.
    fn unary(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("brackets and signs stand more than {DEEPEST} deep in each other"));
        }
        let found = if self.take(&[Token::Sign("!"), Token::Word("not")]) {
            Expression::Not(Box::new(truth(self.unary()?)?))
        } else if self.take(&[Token::Sign("-")]) {
            Expression::Minus(Box::new(number(self.unary()?)?))
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Ok(found)
    }

    fn primary(&mut self) -> Result<Expression, String> {
        match self.next() {
            Some(Token::Number(number)) => Ok(Expression::Number(*number)),
            Some(Token::Sign("(")) => {
                let inner = self.or()?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Token::Sign("#")) if self.quantified => Ok(Expression::Each),
            Some(Token::Word("true")) => Ok(Expression::Truth(true)),
            Some(Token::Word("false")) => Ok(Expression::Truth(false)),
            Some(Token::Word("result")) => self.result(),
            Some(Token::Word(word)) if self.take(&[Token::Sign("(")]) => {
                let found = self.call(word)?;
                self.expect(")")?;
                Ok(found)
            }
            token => Err(format!("{} is not known here", shown(token))),
        }
    }

    fn result(&mut self) -> Result<Expression, String> {
        if !self.take(&[Token::Sign("[")]) {
            return Ok(Expression::Result);
        }
        let index = match self.next() {
            Some(Token::Number(number)) if number.fract() == 0.0 && *number < 1e6 => *number as usize,
            token => return Err(format!("{} counts no result", shown(token))),
        };
        self.expect("]")?;
        Ok(Expression::At(index))
    }

    /// Reads the arguments of a function up to its closing bracket.
    fn call(&mut self, word: &str) -> Result<Expression, String> {
        let quantifier = match word {
            "all" => Quantifier::All,
            "any" => Quantifier::Any,
            "none" => Quantifier::None,
            "len" => return self.whole_result().map(|()| Expression::Count),
            _ => {
                let inner = number(self.or()?)?;
                return self.function(word, inner);
            }
        };
        if self.quantified {
            return Err(format!("'{word}' stands within another of its kind"));
        }
        self.whole_result()?;
        self.expect(",")?;
        let braced = self.take(&[Token::Sign("{")]);
        self.quantified = true;
        let inner = truth(self.or()?)?;
        self.quantified = false;
        if braced {
            self.expect("}")?;
        }
        Ok(Expression::Quantified(quantifier, Box::new(inner)))
    }

    fn whole_result(&mut self) -> Result<(), String> {
        let found = self.tokens.first();
        if self.take(&[Token::Word("result")]) { Ok(()) } else { Err(format!("'result' is missing before {}", shown(found))) }
    }

    fn function(&mut self, word: &str, inner: Expression) -> Result<Expression, String> {
        let inner = Box::new(inner);
        Ok(match word {
            "asFloat" => *inner,
            "asInt" => Expression::Whole(inner),
            "isNaN" => Expression::IsNaN(inner),
            "isInf" => Expression::IsInfinite(inner),
            "isNil" => Expression::IsNil(inner),
            "default" => {
                // What stands in for a value that is not there never counts, because there is a value.
                self.expect(",")?;
                number(self.or()?)?;
                *inner
            }
            _ => return Err(format!("the function '{word}' is not known here")),
        })
    }
}

fn truth(expression: Expression) -> Result<Expression, String> {
    if expression.is_truth() { Ok(expression) } else { Err("a number stands where a comparison is wanted".to_owned()) }
}

fn number(expression: Expression) -> Result<Expression, String> {
    if expression.is_truth() { Err("a comparison stands where a number is wanted".to_owned()) } else { Ok(expression) }
}

fn shown(token: Option<&Token<'_>>) -> String {
    match token {
        Some(Token::Number(number)) => format!("'{number}'"),
        Some(Token::Word(word)) => format!("'{}'", word.chars().take(60).collect::<String>()),
        Some(Token::Sign(sign)) => format!("'{sign}'"),
        None => "the end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conditions_say_what_they_say_in_argo() {
        for (text, values, wanted) in [
            ("result[0] >= 0.95", &[0.95][..], true),
            ("result >= 0.95", &[0.94], false),
            ("0.95 <= asFloat(result[0])", &[0.95], true),
            ("result == 0", &[0.0], true),
            ("result != 0", &[0.0], false),
            ("result[0] > 0.9 && result[0] <= 1 || false", &[0.9], false),
            ("true || false && false", &[1.0], true),
            ("(true || false) && false", &[1.0], false),
            ("not isNaN(result) and default(result, 0) < 5", &[4.0], true),
            ("!(result < 5) or isNil(result)", &[5.0], true),
            ("result[0] * 100 - 1 >= 1 + 2 * 4 / 2", &[0.06], true),
            ("result - -1 == 2 - 1 - 1 + 2", &[1.0], true),
            ("asInt(result) == 2", &[2.9], true),
            ("asInt(result) == -2", &[-2.9], true),
            ("all(result, # < 0.5)", &[0.1, 0.5], false),
            ("any(result, {# < 0.5})", &[0.1, 0.5], true),
            ("none(result, # < 0.5)", &[0.5, 0.6], true),
            ("len(result) < 2 || result[1] > 3", &[1.0], true),
            ("len(result) == 2 && result[1] > 3", &[1.0, 4.0], true),
            ("result <= 1e-3", &[0.001], true),
        ] {
            assert_eq!(parse(text).unwrap().holds(values), Ok(wanted), "{text}");
        }
        assert!(parse("result > 1").unwrap().holds(&[1.0, 2.0]).unwrap_err().contains("2 values"));
        assert!(parse("result[1] > 1").unwrap().holds(&[1.0]).unwrap_err().contains("no result[1]"));
    }

    #[test]
    fn what_is_no_condition_on_numbers_is_refused() {
        let deep = format!("{}true{}", "(".repeat(10_000), ")".repeat(10_000));
        let nots = format!("{}true", "!".repeat(400));
        for (text, part) in [
            ("", "the end is not known"),
            ("result", "a number stands where"),
            ("result[0] =< 1", "'=' is no sign"),
            ("result[0] >= {{args.limit}}", "argument of the template"),
            ("result.rate > 1", "a field of the result"),
            ("result == 'ok'", "is no sign"),
            ("result == true", "a comparison stands where"),
            ("1 < result < 2", "'<' is not expected"),
            ("result[x] > 1", "'x' counts no result"),
            ("result[0.5] > 1", "'0.5' counts no result"),
            ("result > 1e999", "not a finite number"),
            ("result > 1 &&", "the end is not known"),
            ("(result > 1", "')' is missing before the end"),
            ("result > 1)", "')' is not expected"),
            ("# > 1", "'#' is not known"),
            ("all(result, any(result, # > 1))", "within another"),
            ("filter(result, # > 1)", "'filter' is not known"),
            ("abs(result) > 1", "'abs' is not known"),
            ("len(5) > 1", "'result' is missing"),
            (&deep, "more than 500"),
            (&nots, "40 deep"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "(result|\\[0\\]|[<>=!&|()#,{}*/+-]|[0-9.]|asFloat|len|all|isNaN| |é){0,30}") {
            if let Ok(expression) = parse(&text) {
                let _ = expression.holds(&[1.0]);
            }
        }
    }
}
