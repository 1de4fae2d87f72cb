//! Arguments of a call as words of a command line, by their types.

use super::{text::clean, verbs};
use crate::{
    catalogue::{Argument, Function},
    error::{Error, Result},
};
use clap::{
    Arg, ArgAction, ArgMatches,
    builder::{PossibleValuesParser, TypedValueParser, ValueParser},
};
use serde_json::{Map, Value};
use std::io::Read;

/// The type of an argument that is any JSON, or a text.
const ANY: &str = "mesh.value";
/// Most bytes read from standard input for one argument.
const STDIN_BYTES: u64 = 16 << 20;

/// `argument` as a positional; a list takes all words that are left when it is the `last`.
pub fn positional(argument: &Argument, last: bool) -> Arg {
    let arg = Arg::new(id(argument))
        .value_name(kebab(&argument.name))
        .help(help(argument));
    let arg = valued(arg, argument);
    if last && is_list(argument) {
        arg.num_args(1..)
    } else {
        arg
    }
}

/// `argument` as an option. Names in `reserved` belong to options of every command and are written `--with-…`.
pub fn option(argument: &Argument, reserved: &[String]) -> Arg {
    let mut long = kebab(&argument.name);
    if reserved.contains(&long) {
        long = format!("with-{long}");
    }
    let arg = Arg::new(id(argument))
        .help(help(argument))
        .required(argument.required);
    if schema_type(argument) != "boolean" {
        return valued(arg.long(long).value_name(value_name(argument)), argument);
    }
    match argument.default {
        Value::Bool(true) => arg
            .long(format!("no-{long}"))
            .action(ArgAction::SetTrue)
            .required(false),
        Value::Bool(false) => arg.long(long).action(ArgAction::SetTrue).required(false),
        _ => valued(arg.long(long).value_name("true|false"), argument)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    }
}

/// The arguments of a call of `function` as given on its command line, and the mesh if a positional names it.
/// `-` for a secret, or for a text or any value which is the last positional, reads `stdin`.
pub fn read(
    function: &Function,
    matches: &ArgMatches,
    mut stdin: impl Read,
) -> Result<(Map<String, Value>, Option<String>)> {
    let last = function.cli.as_ref().and_then(|cli| cli.positional.last());
    let mut given = Map::new();
    for argument in function.arguments.iter().filter(|a| verbs::is_given(a)) {
        let id = id(argument);
        let is_switch =
            matches!(argument.default, Value::Bool(_)) && matches.try_get_one::<bool>(&id).is_ok();
        let mut value = if is_switch {
            match (matches.get_flag(&id), &argument.default) {
                (true, Value::Bool(default)) => Value::Bool(!default),
                _ => continue,
            }
        } else {
            let Some(mut values) = matches.get_many::<Value>(&id) else {
                continue;
            };
            if is_list(argument) {
                Value::Array(values.cloned().collect())
            } else {
                values.next_back().cloned().unwrap_or_default()
            }
        };
        let is_secret = argument.kind == "mesh.secret";
        let is_last = last == Some(&argument.name);
        let is_body = matches!(argument.kind.as_str(), "text" | "mesh.sealed") && is_last;
        if value == "-" && (is_secret || is_body) {
            value = Value::String(from_stdin(&argument.name, &mut stdin, is_secret)?);
        } else if value == "-" && argument.kind == ANY && is_last {
            let text = from_stdin(&argument.name, &mut stdin, false)?;
            value = any(&text).map_err(Error::usage)?;
        }
        given.insert(argument.name.clone(), value);
    }
    let mesh = matches.try_get_one::<String>(verbs::MESH).ok().flatten();
    Ok((given, mesh.cloned()))
}

fn from_stdin(name: &str, stdin: &mut impl Read, is_secret: bool) -> Result<String> {
    let mut bytes = Vec::new();
    stdin.take(STDIN_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > STDIN_BYTES {
        return Err(Error::new(
            413,
            format!("standard input has more than {STDIN_BYTES} bytes"),
        ));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| Error::usage("standard input is not UTF-8 text"))?;
    if text.is_empty() {
        return Err(Error::usage(format!(
            "standard input has nothing for {name}"
        )));
    }
    Ok(if is_secret {
        text.trim().to_owned()
    } else {
        text
    })
}

/// JSON; else a text, unless it begins as JSON does that is more than a word.
fn any(text: &str) -> std::result::Result<Value, String> {
    match serde_json::from_str(text) {
        Err(e) if text.trim_start().starts_with(['{', '[', '"']) => Err(format!("not JSON: {e}")),
        Err(_) => Ok(text.into()),
        Ok(value) => Ok(value),
    }
}

/// Apart from names of options which every command has: an id that clap finds twice is one argument to it.
fn id(argument: &Argument) -> String {
    format!("arg:{}", argument.name)
}

fn valued(arg: Arg, argument: &Argument) -> Arg {
    let arg = arg.value_parser(parser(argument));
    if is_list(argument) {
        return arg
            .action(ArgAction::Append)
            .value_delimiter(matches!(item_type(argument), "string" | "integer").then_some(','));
    }
    let is_number = matches!(schema_type(argument), "integer" | "number");
    arg.allow_negative_numbers(is_number || argument.kind == ANY)
}

fn parser(argument: &Argument) -> ValueParser {
    let list = is_list(argument);
    let schema = if list {
        &argument.schema["items"]
    } else {
        &argument.schema
    };
    let choices: Vec<String> = schema
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(clean)
        .collect();
    if !choices.is_empty() {
        return PossibleValuesParser::new(choices).map(Value::String).into();
    }
    if argument.kind == ANY {
        return ValueParser::from(any);
    }
    match if list {
        item_type(argument)
    } else {
        schema_type(argument)
    } {
        "string" => ValueParser::from(|text: &str| Ok::<_, String>(Value::from(text))),
        "integer" => {
            let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
            let (least, most) = (bound("minimum"), bound("maximum"));
            let unit = match argument.kind.as_str() {
                "mesh.awaited" => " seconds",
                _ => "",
            };
            ValueParser::from(move |text: &str| whole(text, least, most, unit))
        }
        "number" => ValueParser::from(|text: &str| {
            let number = text
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64);
            number.map(Value::Number).ok_or("not a number".to_owned())
        }),
        "boolean" => ValueParser::from(|text: &str| {
            text.parse::<bool>()
                .map(Value::Bool)
                .map_err(|_| "say true or false".to_owned())
        }),
        _ => ValueParser::from(|text: &str| {
            serde_json::from_str::<Value>(text).map_err(|e| format!("not JSON: {e}"))
        }),
    }
}

/// A whole number within its bounds; or what it should be, in words.
fn whole(
    text: &str,
    least: Option<i64>,
    most: Option<i64>,
    unit: &str,
) -> std::result::Result<Value, String> {
    let number: i64 = text.parse().map_err(|_| "not a whole number".to_owned())?;
    let is_within = least.is_none_or(|l| number >= l) && most.is_none_or(|m| number <= m);
    match (is_within, least, most) {
        (true, ..) => Ok(number.into()),
        (_, Some(least), Some(most)) => Err(format!("it is {least} to {most}{unit}")),
        (_, Some(least), _) => Err(format!("it is {least}{unit} or more")),
        (_, _, most) => Err(format!("it is {}{unit} or less", most.unwrap_or(i64::MAX))),
    }
}

fn help(argument: &Argument) -> String {
    let mut text = clean(&argument.description);
    let bound = |key: &str| argument.schema.get(key).and_then(Value::as_i64);
    if let (Some(least), Some(most)) = (bound("minimum"), bound("maximum")) {
        text += &format!(" [{least} to {most}]");
    }
    match &argument.default {
        Value::Null | Value::Bool(_) => {}
        Value::String(default) => text += &format!(" [default: {}]", clean(default)),
        default => text += &format!(" [default: {default}]"),
    }
    text
}

fn value_name(argument: &Argument) -> String {
    match argument.kind.trim_end_matches("[]") {
        "mesh.awaited" => "seconds".into(),
        "uuid" => "id".into(),
        "jsonb" | "json" | "mesh.sealed_data" => "json".into(),
        "timestamptz" => "time".into(),
        _ if matches!(schema_type(argument), "integer" | "number") => "n".into(),
        _ => kebab(&argument.name),
    }
}

pub fn is_list(argument: &Argument) -> bool {
    schema_type(argument) == "array"
}

/// `object` also when the schema says no type: anything JSON can say.
fn schema_type(argument: &Argument) -> &str {
    argument
        .schema
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("object")
}

fn item_type(argument: &Argument) -> &str {
    argument
        .schema
        .get("items")
        .and_then(|i| i.get("type"))
        .and_then(Value::as_str)
        .unwrap_or("object")
}

pub fn kebab(name: &str) -> String {
    super::text::clean_line(name).replace('_', "-")
}
