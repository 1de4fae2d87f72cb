//! Cuts SQL text into statements, and statements into tokens: as much of Postgres' lexer as that needs.

use crate::error::{Error, Result};

/// One statement of a file, from its first token to its last, without the semicolon.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub file: String,
    /// Where it begins, from 1.
    pub line: usize,
    pub text: String,
}

/// The statements of `text`; `file` is what errors call it.
///
/// Knows quotes, dollar quotes, both kinds of comment, parentheses and `begin atomic … end` bodies.
/// Errors: ME400 with file and line for a quote or comment that never ends.
pub fn split(file: &str, text: &str) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    let mut current: Vec<Token> = Vec::new();
    let (mut parentheses, mut blocks) = (0usize, 0usize);
    for token in tokens(text) {
        let token = token.map_err(|(what, at)| {
            Error::usage(format!(
                "{file}:{}: this {what} never ends",
                line_of(text, at)
            ))
        })?;
        match token.kind {
            Kind::Symbol(b';') if parentheses == 0 && blocks == 0 => {
                statements.extend(statement(file, text, &current));
                current.clear();
                continue;
            }
            Kind::Symbol(b'(') => parentheses += 1,
            Kind::Symbol(b')') => parentheses = parentheses.saturating_sub(1),
            Kind::Word => {
                let before = current.last().map(|t| t.text(text).to_ascii_lowercase());
                match token.text(text).to_ascii_lowercase().as_str() {
                    "atomic"
                        if blocks == 0
                            && before.as_deref() == Some("begin")
                            && creates(text, &current) =>
                    {
                        blocks = 1;
                    }
                    "case" if blocks > 0 => blocks += 1,
                    "end" if blocks > 0 => blocks -= 1,
                    _ => {}
                }
            }
            _ => {}
        }
        current.push(token);
    }
    statements.extend(statement(file, text, &current));
    Ok(statements)
}

/// The words and symbols of a statement in lower case, without comments, strings and numbers' company: what decides
/// about its kind. Quoted identifiers keep their case and lose their quotes; a string is one `'`.
pub fn words(text: &str) -> Vec<String> {
    let word = |token: Token| match token.kind {
        Kind::Word => token.text(text).to_ascii_lowercase(),
        Kind::Quoted => token.text(text)[1..token.end - token.start - 1].replace("\"\"", "\""),
        Kind::Text => "'".to_owned(),
        Kind::Symbol(_) => token.text(text).to_owned(),
    };
    tokens(text)
        .map_while(|token| token.ok())
        .map(word)
        .collect()
}

fn creates(text: &str, tokens: &[Token]) -> bool {
    tokens
        .first()
        .is_some_and(|t| t.text(text).eq_ignore_ascii_case("create"))
}

fn statement(file: &str, text: &str, tokens: &[Token]) -> Option<Statement> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    Some(Statement {
        file: file.to_owned(),
        line: line_of(text, first.start),
        text: text[first.start..last.end].to_owned(),
    })
}

/// The line, from 1, of the byte `at`.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Word,
    Quoted,
    Text,
    Symbol(u8),
}

#[derive(Clone, Copy, Debug)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

impl Token {
    fn text<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.end]
    }
}

/// What never ended, and the byte where it began.
type Unterminated = (&'static str, usize);

fn tokens(text: &str) -> impl Iterator<Item = std::result::Result<Token, Unterminated>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        at = match skip_blank(bytes, at) {
            Ok(next) => next,
            Err(start) => {
                at = bytes.len();
                return Some(Err(("comment", start)));
            }
        };
        let start = at;
        let first = *bytes.get(start)?;
        let found = match first {
            b'\'' => quoted(bytes, start, b'\'', false)
                .map(|end| (Kind::Text, end))
                .ok_or("string"),
            b'"' => quoted(bytes, start, b'"', false)
                .map(|end| (Kind::Quoted, end))
                .ok_or("quoted name"),
            b'e' | b'E' if bytes.get(start + 1) == Some(&b'\'') => {
                quoted(bytes, start + 1, b'\'', true)
                    .map(|end| (Kind::Text, end))
                    .ok_or("string")
            }
            b'$' => match dollar_tag(bytes, start) {
                Some(tag) => text[start + tag.len()..]
                    .find(tag_text(tag))
                    .map(|length| (Kind::Text, start + length + 2 * tag.len()))
                    .ok_or("dollar-quoted string"),
                None => Ok((Kind::Word, word_end(bytes, start + 1))),
            },
            _ if is_word(first) => Ok((Kind::Word, word_end(bytes, start))),
            _ => Ok((Kind::Symbol(first), start + 1)),
        };
        Some(match found {
            Ok((kind, end)) => {
                at = end;
                Ok(Token { kind, start, end })
            }
            Err(what) => {
                at = bytes.len();
                Err((what, start))
            }
        })
    })
}

/// Past white space and comments; Err is where a block comment began that does not end.
fn skip_blank(bytes: &[u8], mut at: usize) -> std::result::Result<usize, usize> {
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b), _) if b.is_ascii_whitespace() => at += 1,
            (Some(b'-'), Some(b'-')) => {
                at += bytes[at..]
                    .iter()
                    .position(|b| *b == b'\n')
                    .unwrap_or(bytes.len() - at);
            }
            (Some(b'/'), Some(b'*')) => {
                let start = at;
                let mut depth = 0;
                loop {
                    match (bytes.get(at), bytes.get(at + 1)) {
                        (Some(b'/'), Some(b'*')) => (depth, at) = (depth + 1, at + 2),
                        (Some(b'*'), Some(b'/')) => (depth, at) = (depth - 1, at + 2),
                        (Some(_), _) => at += 1,
                        (None, _) => return Err(start),
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => return Ok(at),
        }
    }
}

/// The end of the quote that opens at `start`. A doubled quote stays inside; with `escapes` a backslash takes the
/// next byte along, also in a continuation on a following line.
fn quoted(bytes: &[u8], start: usize, quote: u8, escapes: bool) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if escapes => at += 2,
            b if b == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            b if b == quote => {
                let next = skip_blank(bytes, at + 1).unwrap_or(bytes.len());
                let continued =
                    escapes && bytes.get(next) == Some(&quote) && bytes[at..next].contains(&b'\n');
                if !continued {
                    return Some(at + 1);
                }
                at = next + 1;
            }
            _ => at += 1,
        }
    }
}

/// `$tag$` when one opens at `start`; `$1` is none.
fn dollar_tag(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let end = start
        + 1
        + bytes[start + 1..]
            .iter()
            .position(|b| !(is_word(*b) && *b != b'$'))?;
    let tag = &bytes[start..=end];
    (bytes[end] == b'$' && !tag[1].is_ascii_digit()).then_some(tag)
}

fn tag_text(tag: &[u8]) -> &str {
    std::str::from_utf8(tag).expect("a tag is cut at ASCII bytes of a str")
}

fn word_end(bytes: &[u8], start: usize) -> usize {
    start
        + bytes[start..]
            .iter()
            .position(|b| !is_word(*b))
            .unwrap_or(bytes.len() - start)
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80
}

#[cfg(test)]
#[path = "split_test.rs"]
mod tests;
