//! What people see: tables, aligned fields, errors.

#[cfg(test)]
mod tests;

use super::text::{clean, clean_line, json, relative};
use crate::{catalogue::Function, error::Error, sealing::UNOPENED};
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use serde_json::{Map, Value};
use std::io::IsTerminal;
use time::OffsetDateTime;

/// The column that says whether a message was sealed, where some were.
const SEALED: &str = "sealed";

/// Prints the result of a call of `function` to stdout; see [`value`].
pub fn result(function: &Function, result: &Value, as_json: bool) {
    let columns = function.cli.as_ref().map_or(&[][..], |cli| &cli.columns);
    if as_json {
        return value(result, columns, true);
    }
    value(&for_people(function, result), columns, false);
    if let Some(line) = more(function, result) {
        println!("{line}");
    }
}

/// How many there are beyond what a result shows, and the command that shows them.
fn more(function: &Function, result: &Value) -> Option<String> {
    let (column, command) = function.cli.as_ref()?.more.as_ref()?;
    let left = result[column].as_u64().filter(|left| *left > 0)?;
    let (column, command) = (clean_line(column), clean_line(command));
    Some(format!("{} {column}: {command}", grouped(left)))
}

/// 9997 as 9,997.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Prints one row of a result of `function` to stdout as a line: its columns, or one line of JSON when `as_json`.
pub fn line(function: &Function, row: &Value, as_json: bool) {
    if as_json {
        return println!("{}", json(row, false));
    }
    let look = Look::of_stdout();
    let columns = function.cli.as_ref().map_or(&[][..], |cli| &cli.columns);
    let cells: Vec<String> = columns
        .iter()
        .map(
            |name| match row[name].as_str().and_then(|text| text.get(11..19)) {
                // A line that stays says when, not how long ago.
                Some(clock) if name.ends_with("_at") => clock.to_owned(),
                _ => clean_line(&cell_of(name, row, look)),
            },
        )
        .collect();
    println!("{}", cells.join("  "));
}

/// `result` with every `mesh.secret` column left out, since a terminal keeps what it showed, and with `null`, `true` and
/// `false` in so many words where they are somebody's `mesh.value`.
fn for_people(function: &Function, result: &Value) -> Value {
    let kept = |row: &Value| match row {
        Value::Object(fields) => {
            let shown = |(name, value): (&String, &Value)| {
                let value = match function.returns.kind_of(name) {
                    Some("mesh.secret") => return None,
                    Some("mesh.value") if !value.is_string() => value.to_string().into(),
                    _ => value.clone(),
                };
                Some((name.clone(), value))
            };
            fields.iter().filter_map(shown).collect()
        }
        other => other.clone(),
    };
    match result {
        Value::Array(rows) => rows.iter().map(kept).collect(),
        other => kept(other),
    }
}

/// Prints `value` to stdout: as JSON when `as_json`, else for people, with these `columns` of its tables (all when empty)
/// and its `next` last.
pub fn value(value: &Value, columns: &[String], as_json: bool) {
    if as_json {
        return println!("{}", json(value, std::io::stdout().is_terminal()));
    }
    let text = render(value, columns, Look::of_stdout());
    if text.is_empty() {
        eprintln!("nothing here");
    } else {
        println!("{text}");
    }
}

/// Prints an error to stderr: one line of JSON when `as_json`, else the message, what was meant and the command to run next.
pub fn error(error: &Error, as_json: bool) {
    if as_json {
        let value = serde_json::to_value(error).unwrap_or(Value::Null);
        return eprintln!("{}", json(&value, false));
    }
    eprint!("{}", error_text(error, has_colour(&std::io::stderr())));
}

/// Whether `stream` takes colours: a terminal, and neither NO_COLOR nor TERM=dumb.
pub fn has_colour(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|v: std::ffi::OsString| !v.is_empty());
    stream.is_terminal()
        && !is_set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

#[derive(Clone, Copy)]
struct Look {
    /// Columns of the terminal; `None` does not wrap.
    width: Option<u16>,
    colour: bool,
    now: OffsetDateTime,
}

impl Look {
    fn of_stdout() -> Look {
        Look {
            width: Table::new().width(),
            colour: has_colour(&std::io::stdout()),
            now: OffsetDateTime::now_utc(),
        }
    }
}

fn render(value: &Value, columns: &[String], look: Look) -> String {
    match value {
        Value::Array(rows) => table(rows, columns, look),
        Value::Object(fields) => object(fields, columns, look),
        Value::Null => String::new(),
        other => cell("", other, look),
    }
}

/// Fields as aligned lines, then every list of objects in it as a table, then `next`.
fn object(fields: &Map<String, Value>, columns: &[String], look: Look) -> String {
    let is_list = |value: &Value| {
        value
            .as_array()
            .is_some_and(|rows| rows.iter().any(Value::is_object))
    };
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let chosen = columns.iter().any(|c| fields.contains_key(c));
    let shown: Vec<_> = fields
        .iter()
        .filter(|(name, value)| *name != "next" && !is_empty(value) && !is_list(value))
        .filter(|(name, _)| !chosen || columns.contains(name))
        .collect();
    let width = shown
        .iter()
        .map(|(name, _)| clean_line(name).chars().count())
        .max()
        .unwrap_or(0);
    let mut parts = Vec::new();
    let mut lines = Vec::new();
    for (name, value) in shown {
        let label = format!("{:width$}", clean_line(name));
        let text = cell(name, value, look).replace('\n', &format!("\n{}", " ".repeat(width + 2)));
        lines.push(format!("{}  {text}", paint("1", &label, look.colour)));
    }
    if !lines.is_empty() {
        parts.push(lines.join("\n"));
    }
    let lists = fields.iter().filter(|(_, value)| is_list(value));
    let are_many = lists.clone().count() > 1;
    for (name, rows) in lists.filter_map(|(name, value)| Some((name, value.as_array()?))) {
        if are_many {
            let title = clean_line(name).replace('_', " ");
            parts.push(format!("\n{}", paint("1", &title, look.colour)));
        }
        parts.push(table(rows, columns, look));
    }
    if let Some(next) = fields.get("next").and_then(Value::as_str) {
        parts.push(format!(
            "{} {}",
            paint("1;32", "next:", look.colour),
            clean(next)
        ));
    }
    parts.join("\n")
}

/// A table of the `columns` that occur in the rows; of all fields that some row has a plain value of when none does.
fn table(rows: &[Value], columns: &[String], look: Look) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    if !first.is_object() {
        return rows
            .iter()
            .map(|row| cell("", row, look))
            .collect::<Vec<_>>()
            .join("\n");
    }
    let occurs = |column: &&String| rows.iter().any(|row| row.get(column.as_str()).is_some());
    let mut names: Vec<String> = columns.iter().filter(occurs).cloned().collect();
    if names.is_empty() {
        for (name, value) in rows.iter().filter_map(Value::as_object).flatten() {
            if is_plain(value) && !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    if rows.iter().any(|row| row.get(SEALED).is_some()) && !names.iter().any(|n| n == SEALED) {
        names.push(SEALED.to_owned());
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .force_no_tty();
    if let Some(width) = look.width {
        table.set_width(width);
    }
    if look.colour {
        table.enforce_styling();
    }
    table.set_header(names.iter().map(|name| {
        let title = clean_line(name.strip_suffix("_at").unwrap_or(name)).replace('_', " ");
        Cell::new(title).add_attribute(Attribute::Bold)
    }));
    for row in rows {
        table.add_row(names.iter().map(|name| cell_of(name, row, look)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Whether a value fits into a cell: no object, and of lists only one of words.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty() && items.iter().all(is_word),
        other => !other.is_object(),
    }
}

fn is_word(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

/// A cell of a row, which may be a message that was not opened.
fn cell_of(name: &str, row: &Value, look: Look) -> String {
    match (name, row[UNOPENED].as_str()) {
        ("message", Some(why)) => paint(
            "1;31",
            &format!("NOT OPENED: {}", clean_line(why)),
            look.colour,
        ),
        (SEALED, Some(_)) => UNOPENED.into(),
        _ => cell(name, row.get(name).unwrap_or(&Value::Null), look),
    }
}

fn cell(name: &str, value: &Value, look: Look) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => {
            let time = (name.ends_with("_at") || name.ends_with("_since") || name == "since")
                .then(|| relative(text, look.now))
                .flatten();
            time.unwrap_or_else(|| clean(text))
        }
        Value::Array(items) if items.iter().all(is_word) => items
            .iter()
            .map(|i| clean_line(&cell("", i, look)))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Object(fields) if fields.get("verified").is_some_and(Value::is_boolean) => {
            chain(fields, look)
        }
        other => json(other, false),
    }
}

/// What a checked `mesh.chain` says.
fn chain(fields: &Map<String, Value>, look: Look) -> String {
    let text =
        |name: &str| clean_line(fields.get(name).and_then(Value::as_str).unwrap_or_default());
    if fields["verified"] == true {
        format!("by {}", text("owner"))
    } else {
        paint(
            "1;31",
            &format!("NOT VERIFIED: {}", text("why")),
            look.colour,
        )
    }
}

/// What a candidate is called: it is a text, or an object with a name.
fn candidate_name(candidate: &Value) -> Option<String> {
    let name = candidate.get("name").unwrap_or(candidate);
    name.as_str().map(clean_line)
}

/// The name of a candidate, and what else tells it from the others.
fn candidate(candidate: &Value) -> Option<String> {
    let name = candidate_name(candidate)?;
    let rest: Vec<String> = ["key", "cwd"]
        .into_iter()
        .filter_map(|field| candidate.get(field)?.as_str().map(clean_line))
        .collect();
    Some(match rest.is_empty() {
        true => name,
        false => format!("{name} ({})", rest.join(" ")),
    })
}

fn error_text(error: &Error, colour: bool) -> String {
    let mut text = format!(
        "{} {}\n",
        paint("1;31", "error:", colour),
        clean(&error.message)
    );
    let data = |key: &str| error.data.as_ref().and_then(|data| data.get(key));
    let candidates = data("candidates")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let candidates = match data("asked").and_then(Value::as_str) {
        Some(asked) => near(asked, candidates.filter_map(candidate_name).collect()),
        None => candidates.filter_map(candidate).collect(),
    };
    if !candidates.is_empty() {
        text += &format!("did you mean {}?\n", candidates.join(", "));
    }
    if let Some(seconds) = data("retry_after").and_then(Value::as_f64) {
        text += &format!("try again in {} s\n", seconds.ceil());
    }
    if !error.hint.is_empty() {
        let verb = if error.hint.starts_with('-') {
            "add"
        } else {
            "run"
        };
        text += &format!(
            "{} {verb} {}\n",
            paint("1;36", "hint:", colour),
            clean_line(&error.hint)
        );
    }
    text
}

/// At most three of `names` that look like what was asked for, the likeliest first; also by a mesh's name without its owner.
fn near(asked: &str, names: Vec<String>) -> Vec<String> {
    let asked = asked.to_lowercase();
    let likeness = |name: &str| {
        let bare = name.rsplit('/').next().unwrap_or(name);
        strsim::jaro_winkler(name, &asked).max(0.99 * strsim::jaro_winkler(bare, &asked))
    };
    let mut near: Vec<(f64, String)> = names
        .into_iter()
        .map(|name| (likeness(&name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

fn paint(code: &str, text: &str, colour: bool) -> String {
    if colour {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}
