//! A recursive-descent parser that evaluates as it goes.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = unary { ("*" | "/" | "%") unary }
//! unary   = ("-" | "+") unary | power
//! power   = atom [ ("^" | "**") unary ]
//! atom    = number | constant | function "(" sum { "," sum } ")" | "(" sum ")"
//! ```
//! So `-2^2` is -4, `2^3^2` is 2^9 and `2^-1` is a half.

use crate::functions;
use crate::lexer::{Error, Token, tokens};

/// Far deeper than people nest, far shallower than a guest's stack.
const DEPTH_MAX: usize = 128;

/// The value of an expression, which is a finite number.
pub(crate) fn evaluate(text: &str) -> Result<f64, Error> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0 };
    let value = parser.sum()?;
    match parser.peek() {
        (_, Token::End) => Ok(value),
        (column, Token::Close) => Err(Error::at(column, "this ) closes nothing")),
        (column, token) => Err(Error::at(column, format!("expected an operator, not {token}"))),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> (usize, Token) {
        // `End` is last and never taken, so there is always a token.
        self.tokens.get(self.next).cloned().unwrap_or((0, Token::End))
    }

    fn take(&mut self) {
        self.next += 1;
    }

    fn sum(&mut self) -> Result<f64, Error> {
        let mut value = self.product()?;
        loop {
            let (column, operator) = self.peek();
            let negative = match operator {
                Token::Plus => false,
                Token::Minus => true,
                _ => return Ok(value),
            };
            self.take();
            let right = self.product()?;
            value = finite(if negative { value - right } else { value + right }, column)?;
        }
    }

    fn product(&mut self) -> Result<f64, Error> {
        let mut value = self.unary()?;
        loop {
            let (column, operator) = self.peek();
            if !matches!(operator, Token::Times | Token::Divide | Token::Remainder) {
                return Ok(value);
            }
            self.take();
            let right = self.unary()?;
            if right == 0.0 && operator != Token::Times {
                return Err(Error::at(column, "division by zero"));
            }
            let result = match operator {
                Token::Times => value * right,
                Token::Divide => value / right,
                _ => value % right,
            };
            value = finite(result, column)?;
        }
    }

    /// Everything that nests goes through here, so here is where the depth is bounded.
    fn unary(&mut self) -> Result<f64, Error> {
        let (column, token) = self.peek();
        if self.depth >= DEPTH_MAX {
            return Err(Error::at(column, format!("nested deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let value = match token {
            Token::Minus => {
                self.take();
                self.unary().map(|value| -value)
            }
            Token::Plus => {
                self.take();
                self.unary()
            }
            _ => self.power(),
        };
        self.depth -= 1;
        value
    }

    fn power(&mut self) -> Result<f64, Error> {
        let base = self.atom()?;
        let (column, Token::Power) = self.peek() else { return Ok(base) };
        self.take();
        let exponent = self.unary()?;
        if base == 0.0 && exponent < 0.0 {
            return Err(Error::at(column, "division by zero"));
        }
        finite(base.powf(exponent), column)
    }

    fn atom(&mut self) -> Result<f64, Error> {
        let (column, token) = self.peek();
        match token {
            Token::Number(value) => {
                self.take();
                Ok(value)
            }
            Token::Name(name) => {
                self.take();
                self.named(&name, column)
            }
            Token::Open => {
                self.take();
                let value = self.sum()?;
                self.close(column)?;
                Ok(value)
            }
            other => {
                let message = format!("expected a number, a name or (, not {other}");
                Err(Error::at(column, message))
            }
        }
    }

    fn named(&mut self, name: &str, column: usize) -> Result<f64, Error> {
        let (open, token) = self.peek();
        if token != Token::Open {
            return functions::constant(name).ok_or_else(|| unknown(name, column));
        }
        if !functions::exists(name) {
            return Err(Error::at(column, format!("there is no function named {name}")));
        }
        self.take();
        let mut arguments = vec![self.sum()?];
        while let (_, Token::Comma) = self.peek() {
            self.take();
            arguments.push(self.sum()?);
        }
        self.close(open)?;
        let value =
            functions::apply(name, &arguments).map_err(|message| Error::at(column, message))?;
        if value.is_finite() {
            return Ok(value);
        }
        Err(Error::at(column, format!("{name} has no finite value for this argument")))
    }

    fn close(&mut self, open: usize) -> Result<(), Error> {
        match self.peek() {
            (_, Token::Close) => {
                self.take();
                Ok(())
            }
            (column, Token::End) => {
                Err(Error::at(column, format!("expected ) for the ( at column {open}")))
            }
            (column, token) => {
                Err(Error::at(column, format!("expected an operator or ), not {token}")))
            }
        }
    }
}

fn unknown(name: &str, column: usize) -> Error {
    if functions::exists(name) {
        return Error::at(column, format!("{name} is a function: write {name}(…)"));
    }
    Error::at(column, format!("there is no constant named {name}; use pi, tau, e or a function"))
}

fn finite(value: f64, column: usize) -> Result<f64, Error> {
    if value.is_nan() {
        return Err(Error::at(column, "the result is not a real number"));
    }
    if value.is_infinite() {
        return Err(Error::at(column, "the result is too large"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        evaluate(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn message(text: &str) -> String {
        evaluate(text).expect_err(text).to_string()
    }

    #[test]
    fn operators_bind_as_in_mathematics() {
        for (text, expected) in [
            ("(2+3)*4^2", 80.0),
            ("2 + 3 * 4", 14.0),
            ("10 - 4 - 3", 3.0),
            ("2 ^ 3 ^ 2", 512.0),
            ("2 ** 3 ** 2", 512.0),
            ("-2 ^ 2", -4.0),
            ("(-2) ^ 2", 4.0),
            ("2 ^ -1", 0.5),
            ("2 * -3", -6.0),
            ("--3", 3.0),
            ("-7 % 3", -1.0),
            ("100 / 10 / 2", 5.0),
            ("6 ÷ 2 × 3 − 1", 8.0),
        ] {
            assert!((value(text) - expected).abs() < 1e-12, "{text}");
        }
    }

    #[test]
    fn numbers_are_read_in_every_usual_form() {
        for (text, expected) in [
            ("1_000.5", 1000.5),
            (".5", 0.5),
            ("2e3", 2000.0),
            ("1E-2", 0.01),
            ("2*e", 2.0 * 1f64.exp()),
        ] {
            assert!((value(text) - expected).abs() < 1e-12, "{text}");
        }
    }

    #[test]
    fn functions_and_constants_have_their_values() {
        for (text, expected) in [
            ("sqrt(16)", 4.0),
            ("min(3, 1, 2)", 1.0),
            ("MAX(3, 1, 2)", 3.0),
            ("round(2.5)", 3.0),
            ("round(2.718, 1)", 2.7),
            ("log(8, 2)", 3.0),
            ("cos(pi)", -1.0),
            ("atan2(1, 1) * 4", std::f64::consts::PI),
            ("factorial(5)", 120.0),
            ("sign(-3) + sign(0)", -1.0),
        ] {
            assert!((value(text) - expected).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn errors_say_the_column() {
        for (text, expected) in [
            ("", "column 1: expected a number, a name or (, not the end"),
            ("1 +", "column 4: expected a number, a name or (, not the end"),
            ("(1 + 2", "column 7: expected ) for the ( at column 1"),
            ("1 + 2)", "column 6: this ) closes nothing"),
            ("2 3", "column 3: expected an operator, not 3"),
            ("1 / (2 - 2)", "column 3: division by zero"),
            ("0 ^ -1", "column 3: division by zero"),
            ("(-8) ^ 0.5", "column 6: the result is not a real number"),
            ("1 + sqrt(-1)", "column 5: sqrt has no finite value for this argument"),
            ("10 ^ 999", "column 4: the result is too large"),
            ("1.2.3", "column 1: 1.2.3 is not a number"),
            ("x + 1", "column 1: there is no constant named x; use pi, tau, e or a function"),
            ("sqrt + 1", "column 1: sqrt is a function: write sqrt(…)"),
            ("sqroot(1)", "column 1: there is no function named sqroot"),
            ("sqrt(1, 2)", "column 1: sqrt takes 1 argument, not 2"),
            ("hypot(1)", "column 1: hypot takes 2 arguments, not 1"),
            ("factorial(1e9)", "column 1: factorial takes a whole number from 0 to 170"),
            ("2 $ 3", "column 3: $ has no meaning here"),
        ] {
            assert_eq!(message(text), expected, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        for text in ["(".repeat(5000), "-".repeat(5000), "2^".repeat(2500), "abs(".repeat(2000)] {
            assert!(message(&text).contains("nested deeper than 128"), "{}", &text[..4]);
        }
    }
}
