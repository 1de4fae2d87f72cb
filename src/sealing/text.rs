//! What a sealed call may say: the server checks it where it can read, and here it cannot.

use super::open::DATA;
use crate::{
    canonical,
    catalogue::Function,
    error::{Error, Result},
};
use serde_json::{Map, Value};

/// Bytes of a text, and of the data beside it.
const MOST: usize = 65_536;

/// ME400 for what is no text where a text is to be sealed: said alike in every mesh.
pub fn check_types(function: &Function, arguments: &Map<String, Value>) -> Result<()> {
    let sealed = function
        .arguments
        .iter()
        .filter(|a| a.kind == "mesh.sealed");
    for argument in sealed {
        let found = match arguments.get(&argument.name) {
            None | Some(Value::Null | Value::String(_)) => continue,
            Some(Value::Bool(_)) => "boolean",
            Some(Value::Number(_)) => "number",
            Some(Value::Array(_)) => "array",
            Some(Value::Object(_)) => "object",
        };
        let verb = function.cli.as_ref().map(|cli| cli.verb.join(" "));
        let message = format!(
            "the argument '{}' must be a JSON string, not {found}",
            argument.name
        );
        let help = verb.map_or(String::new(), |verb| format!("mesh {verb} --help"));
        return Err(Error::new(400, message).hint(help));
    }
    Ok(())
}

/// ME400 or ME413 unless `body` is one text, and perhaps data, as `function` takes them.
pub fn check(function: Option<&Function>, body: &Map<String, Value>) -> Result<()> {
    let mut texts = body.iter().filter(|(name, _)| *name != DATA);
    let (Some((name, Value::String(text))), None) = (texts.next(), texts.next()) else {
        return Err(Error::new(400, "a message is one text"));
    };
    if text.is_empty() || text.len() > MOST {
        let status = if text.is_empty() { 400 } else { 413 };
        return Err(Error::new(status, "a message has 1 to 65,536 bytes"));
    }
    let data = body.get(DATA).filter(|data| !data.is_null());
    if data.is_some_and(|data| canonical::text(data).len() > MOST) {
        let message = "the data of a message has at most 65,536 bytes";
        return Err(Error::new(413, message));
    }
    let arguments = function.iter().flat_map(|function| &function.arguments);
    match arguments.filter(|a| a.name == *name).find_map(|a| a.line()) {
        Some(most) => check_line(name, text, most),
        None => Ok(()),
    }
}

/// As `mesh_lib.checked_text` does it.
fn check_line(name: &str, text: &str, most: usize) -> Result<()> {
    let text = text.trim_matches(' ');
    let wrong = |status, what: String| Err(Error::new(status, format!("the {name} {what}")));
    if text.chars().count() > most {
        wrong(413, format!("is too long: at most {most} characters"))
    } else if text.contains(is_unseen) {
        wrong(400, "holds control or direction characters".into())
    } else if text.contains(['\t', '\n']) {
        wrong(400, "is one line, without tabs".into())
    } else {
        Ok(())
    }
}

fn is_unseen(c: char) -> bool {
    let is_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_direction || c.is_control() && !matches!(c, '\t' | '\n')
}
