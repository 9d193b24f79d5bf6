//! Text to tokens, each with the column where it starts.

use std::fmt;

/// What is wrong, and where: columns count characters from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl Error {
    pub(crate) fn at(column: usize, message: impl Into<String>) -> Self {
        Self { column, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Number(f64),
    Name(String),
    Plus,
    Minus,
    Times,
    Divide,
    Remainder,
    Power,
    Open,
    Close,
    Comma,
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
            Self::Plus => f.write_str("+"),
            Self::Minus => f.write_str("-"),
            Self::Times => f.write_str("*"),
            Self::Divide => f.write_str("/"),
            Self::Remainder => f.write_str("%"),
            Self::Power => f.write_str("^"),
            Self::Open => f.write_str("("),
            Self::Close => f.write_str(")"),
            Self::Comma => f.write_str(","),
            Self::End => f.write_str("the end"),
        }
    }
}

/// All tokens with their columns; the last is `End`.
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Error> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&first) = characters.get(at) {
        let column = at + 1;
        if first.is_whitespace() {
            at += 1;
            continue;
        }
        let (token, length) = if first.is_ascii_digit() || first == '.' {
            number(&characters[at..], column)?
        } else if first.is_alphabetic() {
            let name = run(&characters[at..], |c| c.is_alphanumeric() || c == '_');
            (Token::Name(name.to_lowercase()), name.chars().count())
        } else {
            symbol(first, characters.get(at + 1), column)?
        };
        tokens.push((column, token));
        at += length;
    }
    tokens.push((characters.len() + 1, Token::End));
    Ok(tokens)
}

fn symbol(first: char, next: Option<&char>, column: usize) -> Result<(Token, usize), Error> {
    let token = match first {
        '+' => Token::Plus,
        '-' | '−' => Token::Minus,
        '*' if next == Some(&'*') => return Ok((Token::Power, 2)),
        '*' | '×' | '·' => Token::Times,
        '/' | '÷' => Token::Divide,
        '%' => Token::Remainder,
        '^' => Token::Power,
        '(' => Token::Open,
        ')' => Token::Close,
        ',' => Token::Comma,
        other => return Err(Error::at(column, format!("{other} has no meaning here"))),
    };
    Ok((token, 1))
}

/// Digits with `_` between them, a fraction, an exponent: `1_000.5e-3`.
fn number(characters: &[char], column: usize) -> Result<(Token, usize), Error> {
    let mut text = run(characters, |c| c.is_ascii_digit() || c == '.' || c == '_');
    let rest = &characters[text.chars().count()..];
    // An `e` is an exponent only before digits; else `2e` would swallow the constant's name.
    if let [mark @ ('e' | 'E'), rest @ ..] = rest {
        let (sign, rest) = match rest {
            [sign @ ('+' | '-'), rest @ ..] => (Some(*sign), rest),
            _ => (None, rest),
        };
        let digits = run(rest, |c| c.is_ascii_digit());
        if !digits.is_empty() {
            text.push(*mark);
            text.extend(sign);
            text.push_str(&digits);
        }
    }
    let length = text.chars().count();
    match text.replace('_', "").parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Number(number), length)),
        Ok(_) => Err(Error::at(column, format!("{text} is too large"))),
        Err(_) => Err(Error::at(column, format!("{text} is not a number"))),
    }
}

fn run(characters: &[char], belongs: impl Fn(char) -> bool) -> String {
    characters.iter().copied().take_while(|c| belongs(*c)).collect()
}
