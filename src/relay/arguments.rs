//! The arguments of a call as they come in: one JSON object.

use crate::catalogue::Function;
use crate::crypto;
use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// The named arguments in `text`; none when it is empty. ME400 says what it is instead of an object.
/// Text nested deeper than 128, numbers beyond a double and NUL characters are refused: Postgres could not hold them.
pub fn parse(text: &[u8]) -> Result<Map<String, Value>> {
    let text = std::str::from_utf8(text).map_err(|e| {
        Error::new(
            400,
            format!("the body is not UTF-8 (byte {})", e.valid_up_to()),
        )
    })?;
    if text.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let value = serde_json::from_str(text)
        .map_err(|e| Error::new(400, format!("the arguments are not valid JSON: {e}")))?;
    let found = match value {
        Value::Object(map) if map.iter().any(|(k, v)| k.contains('\0') || has_nul(v)) => {
            return Err(Error::new(400, "the arguments contain a NUL character"));
        }
        Value::Object(map) => return Ok(map),
        Value::Array(_) => "an array",
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
        Value::Null => "null",
    };
    Err(Error::new(
        400,
        format!("the arguments must be a JSON object by name, not {found}"),
    ))
}

/// Checks every signed argument against the call it came with; ME400 with the reason.
pub fn check_signatures(function: &Function, arguments: &Map<String, Value>) -> Result<bool> {
    let is_signed = |name: &str| {
        function
            .arguments
            .iter()
            .any(|a| a.name == name && a.kind == "mesh.signed")
    };
    let (signed, rest): (Vec<_>, Vec<_>) = arguments
        .iter()
        .partition(|(name, value)| is_signed(name) && !value.is_null());
    if signed.is_empty() {
        return Ok(false);
    }
    let rest = rest
        .into_iter()
        .filter(|(name, _)| !is_signed(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let rest = Value::Object(rest);
    for (_, value) in signed {
        crypto::verify_call(value, &function.name, &rest)?;
    }
    Ok(true)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(k, v)| k.contains('\0') || has_nul(v)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_an_object_or_nothing_is_taken() {
        assert!(parse(b"").unwrap().is_empty());
        assert!(parse(b" \n").unwrap().is_empty());
        assert_eq!(parse(br#"{"a":1}"#).unwrap()["a"], 1);
        for bad in [
            "null",
            "[]",
            "1",
            "\"a\"",
            "true",
            "{",
            "{\"a\":1e999}",
            "{} {}",
            "{\"a\":\"\\ud800\"}",
        ] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn nul_bad_utf8_and_deep_nesting_are_refused() {
        for bad in [
            br#"{"a":"\u0000"}"#.to_vec(),
            br#"{"a\u0000":1}"#.to_vec(),
            br#"{"a":[{"b":"x\u0000"}]}"#.to_vec(),
        ] {
            assert!(parse(&bad).unwrap_err().message.contains("NUL"));
        }
        assert_eq!(parse(b"{\"a\":\"\xff\"}").unwrap_err().status(), 400);
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(parse(deep.as_bytes()).unwrap_err().status(), 400);
    }
}
