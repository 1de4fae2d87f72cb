//! Changes one entry of a JSON file and leaves every other byte of its values as it was.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize, de};
use serde_json::{Value, ser::PrettyFormatter, value::RawValue};
use std::{
    fmt, fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Sets `file[section][name]` to `entry`; true when the file changed.
///
/// Makes the file and the section when absent. ME409 when the file is not a JSON object, or when another program's entry
/// has that name: `ours` tells from the present entry.
pub fn set_entry(
    file: &Path,
    section: &str,
    name: &str,
    entry: &Value,
    ours: fn(&Value) -> bool,
) -> Result<bool> {
    let file = &fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let before = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
        Err(e) => return Err(refused(file, &e.to_string())),
    };
    let Some(after) =
        with_entry(&before, section, name, entry, ours).map_err(|why| refused(file, &why))?
    else {
        return Ok(false);
    };
    write(file, &after)?;
    Ok(true)
}

/// The text with the entry in it, or None when it is there already.
fn with_entry(
    text: &str,
    section: &str,
    name: &str,
    entry: &Value,
    ours: fn(&Value) -> bool,
) -> std::result::Result<Option<String>, String> {
    let empty = text.trim().is_empty();
    let mut root: Object = if empty {
        Object::default()
    } else {
        parse(text)?
    };
    let mut servers: Object = match root.get(section) {
        Some(raw) => parse(raw.get()).map_err(|why| format!("in {section:?}: {why}"))?,
        None => Object::default(),
    };
    if let Some(raw) = servers.get(name) {
        let present: Value = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
        if present == *entry {
            return Ok(None);
        }
        if !ours(&present) {
            return Err(format!(
                "it has an entry {name:?} in {section:?} that mesh did not write"
            ));
        }
    }
    let indent = indentation(text);
    servers.set(name, raw(value_text(entry, indent, 2)?)?);
    root.set(section, raw(servers.text(indent, 1))?);
    let mut after = root.text(indent, 0);
    if empty || text.ends_with('\n') {
        after.push('\n');
    }
    Ok(Some(after))
}

/// A JSON object whose order, repeated keys and the text of whose values are kept.
#[derive(Default)]
struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    fn get(&self, key: &str) -> Option<&RawValue> {
        self.0
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| &**value)
    }

    fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.0.iter_mut().rev().find(|(name, _)| name == key) {
            Some((_, present)) => *present = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Object, D::Error> {
        struct Entries;
        impl<'de> de::Visitor<'de> for Entries {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Object, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn parse(text: &str) -> std::result::Result<Object, String> {
    serde_json::from_str(text).map_err(|e| format!("it is not a JSON object: {e}"))
}

impl Object {
    /// The object as text, its opening brace `depth` levels deep.
    fn text(&self, indent: Option<&str>, depth: usize) -> String {
        let Some(indent) = indent.filter(|_| !self.0.is_empty()) else {
            let entries: Vec<_> = self
                .0
                .iter()
                .map(|(key, value)| format!("{}:{value}", quoted(key)))
                .collect();
            return format!("{{{}}}", entries.join(","));
        };
        let line = format!("\n{}", indent.repeat(depth + 1));
        let entries: Vec<_> = self
            .0
            .iter()
            .map(|(key, value)| format!("{line}{}: {value}", quoted(key)))
            .collect();
        format!("{{{}\n{}}}", entries.join(","), indent.repeat(depth))
    }
}

fn quoted(key: &str) -> Value {
    Value::from(key)
}

/// `value` as text for a place `depth` levels deep.
fn value_text(
    value: &Value,
    indent: Option<&str>,
    depth: usize,
) -> std::result::Result<String, String> {
    let Some(indent) = indent else {
        return Ok(value.to_string());
    };
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    value
        .serialize(&mut serde_json::Serializer::with_formatter(
            &mut bytes, formatter,
        ))
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8(bytes).map_err(|e| e.to_string())?;
    Ok(text.replace('\n', &format!("\n{}", indent.repeat(depth))))
}

fn raw(text: String) -> std::result::Result<Box<RawValue>, String> {
    RawValue::from_string(text).map_err(|e| e.to_string())
}

/// What the file indents with; None when it is all on one line, two spaces when it is new.
fn indentation(text: &str) -> Option<&str> {
    let text = text.trim_end();
    if text.is_empty() || text == "{}" {
        return Some("  ");
    }
    let line = text.lines().nth(1)?;
    let indent = &line[..line.len() - line.trim_start().len()];
    Some(if indent.is_empty() { "  " } else { indent })
}

/// Writes beside the file and moves it there, so no reader sees half of it. Keeps the mode of the present file.
fn write(file: &Path, text: &str) -> Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(
        ".{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    let beside = PathBuf::from(beside);
    let written = (|| {
        let mut new = fs::File::create_new(&beside)?;
        new.write_all(text.as_bytes())?;
        if let Ok(present) = fs::metadata(file) {
            new.set_permissions(present.permissions())?;
        }
        new.sync_all()?;
        fs::rename(&beside, file)
    })();
    written.map_err(|e: std::io::Error| {
        let _ = fs::remove_file(&beside);
        Error::internal(format!("cannot write {}: {e}", file.display()))
    })
}

fn refused(file: &Path, why: &str) -> Error {
    Error::new(409, format!("{} is left as it is: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(text: &str, entry: &Value) -> std::result::Result<Option<String>, String> {
        with_entry(text, "mcpServers", "mesh", entry, |present| {
            present["args"][0] == "mcp"
        })
    }

    #[test]
    fn a_new_file_is_indented_by_two() {
        let text = set("", &json!({"args": ["mcp"]})).unwrap().unwrap();
        assert_eq!(
            text,
            "{\n  \"mcpServers\": {\n    \"mesh\": {\n      \"args\": [\n        \"mcp\"\n      ]\n    }\n  }\n}\n"
        );
        assert_eq!(set(&text, &json!({"args": ["mcp"]})).unwrap(), None);
    }

    #[test]
    fn everything_else_is_kept_to_the_byte() {
        let text = "{\n\t\"z\": 1.50,\n\t\"mcpServers\": {\n\t\t\"other\": {\"a\":  [1,2e3, \"\\u00e9\"]},\n\t\t\"mesh\": {\n\t\t\t\"args\": [\n\t\t\t\t\"mcp\"\n\t\t\t]\n\t\t}\n\t},\n\t\"a\": [\n\t\t1\n\t]\n}";
        let changed = set(text, &json!({"args": ["mcp", "x"]})).unwrap().unwrap();
        assert_eq!(
            changed,
            text.replace("\"mcp\"\n", "\"mcp\",\n\t\t\t\t\"x\"\n")
        );
    }

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(
            set("{\"a\":1}", &json!(0)).unwrap().unwrap(),
            "{\"a\":1,\"mcpServers\":{\"mesh\":0}}"
        );
    }

    #[test]
    fn what_does_not_parse_or_is_not_ours_is_refused() {
        for text in [
            "{",
            "[]",
            "// x\n{}",
            "{\"mcpServers\":[]}",
            "{\"mcpServers\":{\"mesh\":{\"command\":\"x\"}}}",
        ] {
            assert!(set(text, &json!(0)).is_err(), "{text}");
        }
    }
}
