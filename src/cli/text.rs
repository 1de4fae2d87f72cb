//! Text of others, made safe for a terminal; times as people say them.

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// `text` without control characters other than newline and without characters that reorder or hide text.
/// A tab becomes a space. Whatever comes from a relay goes through here before it reaches a terminal.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .filter(|c| *c == '\n' || !is_unsafe(*c))
        .collect()
}

/// `text` on one line, clean.
pub fn clean_line(text: &str) -> String {
    clean(&text.replace(['\n', '\r'], " "))
}

/// The JSON text of `value`, equal as JSON, in which unsafe characters are written as `\u` escapes.
pub fn json(value: &Value, pretty: bool) -> String {
    let text = if pretty {
        format!("{value:#}")
    } else {
        value.to_string()
    };
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_unsafe(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units)
                .iter()
                .for_each(|unit| safe.push_str(&format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// "3 min ago", "in 6 days"; a date when that is more than 60 days off. `None` when `text` is no RFC 3339 time.
pub fn relative(text: &str, now: OffsetDateTime) -> Option<String> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let seconds = (at - now).whole_seconds();
    let size = seconds.unsigned_abs();
    let span = match size {
        0..45 => return Some("just now".into()),
        45..90 => "1 min".into(),
        90..3_570 => format!("{} min", (size + 30) / 60),
        3_570..84_600 => format!("{} h", (size + 1_800) / 3_600),
        84_600..129_600 => "1 day".into(),
        129_600..5_184_000 => format!("{} days", (size + 43_200) / 86_400),
        _ => return Some(at.date().to_string()),
    };
    Some(if seconds < 0 {
        format!("{span} ago")
    } else {
        format!("in {span}")
    })
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn escape_sequences_and_reordering_do_not_reach_the_terminal() {
        assert_eq!(
            clean("a\u{1b}[31mb\u{7}\u{9b}2J\r\n\tc\u{0}"),
            "a[31mb2J\n c"
        );
        assert_eq!(
            clean("user\u{202e}txt\u{2066}.\u{200f}exe\u{feff}"),
            "usertxt.exe"
        );
        assert_eq!(clean("Zoë 👩\u{200d}🔧 日本"), "Zoë 👩\u{200d}🔧 日本");
        assert_eq!(clean_line("two\nlines\u{1b}"), "two lines");
    }

    #[test]
    fn json_is_equal_and_safe() {
        let value = json!({"a\u{9b}": "x\u{1b}\u{202e}\u{e0041}é"});
        for pretty in [true, false] {
            let text = json(&value, pretty);
            assert!(!text.chars().any(|c| c != '\n' && is_unsafe(c)), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn times_are_relative() {
        let now = OffsetDateTime::parse("2026-06-15T12:00:00Z", &Rfc3339).unwrap();
        let said = |text| relative(text, now).unwrap();
        assert_eq!(said("2026-06-15T11:59:50.5Z"), "just now");
        assert_eq!(said("2026-06-15T11:57:00+00:00"), "3 min ago");
        assert_eq!(said("2026-06-15T15:00:00Z"), "in 3 h");
        assert_eq!(said("2026-06-22T12:00:00Z"), "in 7 days");
        assert_eq!(said("2025-06-22T12:00:00Z"), "2025-06-22");
        assert_eq!(relative("yesterday", now), None);
    }
}
