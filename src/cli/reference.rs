//! `mesh reference`: docs/api.json and docs/reference.md from the catalogue of a relay, for the developers of Mesh.

use super::{catalogues::fetched, globals::Globals, verbs};
use crate::{
    catalogue::{Argument, Catalogue, Function, example},
    error::{Error, Result},
};
use serde_json::Value;
use std::{fmt::Write, fs, path::PathBuf};

/// Write docs/api.json and docs/reference.md from the catalogue of a relay
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; fail when a file differs
    #[arg(long)]
    check: bool,
    /// Read the catalogue from this file instead of a relay
    #[arg(long, value_name = "file")]
    from: Option<PathBuf>,
    /// Folder of the two files
    #[arg(long, value_name = "folder", default_value = "docs")]
    docs: PathBuf,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let answer: Value = match &args.from {
        Some(file) => serde_json::from_str(&fs::read_to_string(file)?)
            .map_err(|e| Error::usage(e.to_string()))?,
        None => fetched(globals).await?,
    };
    let catalogue = Catalogue::parse(&answer.to_string())?;
    let files = [
        ("api.json", format!("{answer:#}\n")),
        ("reference.md", page(&catalogue)),
    ];
    let mut differing = Vec::new();
    for (name, text) in files {
        let path = args.docs.join(name);
        let present = fs::read_to_string(&path).unwrap_or_default();
        if present == text {
            continue;
        }
        differing.push(format!(
            "{}: {}",
            path.display(),
            difference(&present, &text)
        ));
        if !args.check {
            fs::create_dir_all(&args.docs)?;
            fs::write(&path, text)?;
        }
    }
    if args.check && !differing.is_empty() {
        return Err(Error::new(409, differing.join("\n")).hint("mesh reference"));
    }
    differing.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// The first line that differs, and how many lines there were and are.
fn difference(before: &str, after: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let first = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let line = |lines: &[&str]| {
        lines
            .get(first)
            .map_or("(end)", |line| line.trim())
            .chars()
            .take(80)
            .collect::<String>()
    };
    format!(
        "{} → {} lines; line {}: {} → {}",
        old.len(),
        new.len(),
        first + 1,
        line(&old),
        line(&new)
    )
}

/// The reference page: one heading for each function.
fn page(catalogue: &Catalogue) -> String {
    let mut page = String::from(
        "# Reference\n\nMade from the catalogue by `mesh reference`; not edited by hand.\n\n\
         Each call is `POST /rpc/<function>` with a JSON object of named arguments and \
         `Authorization: Bearer <token>`; `mesh token` prints the token. An account's key also names the mesh, in the \
         header `Mesh`. An error is `{\"code\",\"message\",\"hint\",\"data\"?}`, its code `ME` and the HTTP status. Every call \
         may also end in ME413 (too large), ME429 (`data.retry_after` seconds), ME503 (try again) or ME500 (a bug).\n",
    );
    for function in &catalogue.functions {
        section(&mut page, function).expect("a String takes everything");
    }
    page
}

fn section(page: &mut String, function: &Function) -> std::fmt::Result {
    let Function {
        name,
        summary,
        description,
        ..
    } = function;
    write!(page, "\n## {name}\n\n{summary}\n")?;
    if !description.is_empty() {
        write!(page, "\n{description}\n")?;
    }
    let effect = match (function.read_only, function.destructive) {
        (true, _) => "Changes nothing.",
        (_, true) => "Takes something away, or writes over it, for good.",
        _ => "Changes something.",
    };
    write!(page, "\nWho: {}. {effect}\n", who(function))?;
    if let Some(cli) = &function.cli {
        let usage = verbs::usage(&cli.verb, function, &[]);
        write!(page, "\n```\n{usage}\n```\n")?;
    }
    let mesh = if function.mesh {
        " -H \"Mesh: proj\""
    } else {
        ""
    };
    let auth = if function.who == "anyone" {
        ""
    } else {
        " -H \"Authorization: Bearer $(mesh token)\""
    };
    let body = example(function).to_string().replace('\'', "'\\''");
    write!(
        page,
        "\n```\ncurl{auth}{mesh} -d '{body}' $MESH_RELAY/rpc/{name}\n```\n"
    )?;
    if !function.arguments.is_empty() {
        write!(
            page,
            "\n| argument | type | | meaning |\n| --- | --- | --- | --- |\n"
        )?;
        for argument in &function.arguments {
            let meaning = cell(&argument.description);
            writeln!(
                page,
                "| `{}` | `{}` | {} | {meaning} |",
                argument.name,
                argument.kind,
                limits(argument)
            )?;
        }
    }
    let fields: Vec<_> = function.returns.names().map(|c| format!("`{c}`")).collect();
    let shape = match function.returns.kind.as_str() {
        "set" => "an array of objects",
        "row" => "an object",
        _ => "a value",
    };
    let with = if fields.is_empty() {
        String::new()
    } else {
        format!(" with {}", fields.join(", "))
    };
    write!(
        page,
        "\nReturns {shape}{with}.\n\nErrors: {}.\n",
        errors(function).join(", ")
    )?;
    if !function.examples.is_empty() {
        write!(
            page,
            "\nExamples:\n\n```\n{}\n```\n",
            function.examples.join("\n")
        )?;
    }
    Ok(())
}

fn who(function: &Function) -> &str {
    match function.who.as_str() {
        "anyone" => "anyone, without a key",
        "ticket" => "a ticket or an invite",
        "invite" => "an invite",
        "any" => "any key",
        "agent" => "any key in a mesh",
        "manage" => "a key with `manage`, or the account's key",
        "account" => "the account's key",
        other => other,
    }
}

fn limits(argument: &Argument) -> String {
    let mut parts = Vec::new();
    if argument.is_client_made() {
        parts.push("made by the client".to_owned());
    } else if argument.required {
        parts.push("required".to_owned());
    }
    if !argument.default.is_null() {
        parts.push(format!("default {}", cell(&argument.default.to_string())));
    }
    for (key, before, after) in [
        ("minimum", "at least ", ""),
        ("maximum", "at most ", ""),
        ("maxLength", "at most ", " characters"),
        ("maxItems", "at most ", " items"),
    ] {
        if let Some(value) = argument.schema.get(key) {
            parts.push(format!("{before}{value}{after}"));
        }
    }
    if let Some(choices) = argument.schema.get("enum").and_then(Value::as_array) {
        parts.push(
            choices
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" or "),
        );
    }
    parts.join(", ")
}

fn errors(function: &Function) -> Vec<&'static str> {
    let may_name = |word: &str| function.who == word;
    let mut errors = vec!["ME400 (unknown or wrong argument)"];
    if !may_name("anyone") {
        errors.push("ME401 (no key, or one that is wrong, expired or revoked)");
        errors.push("ME403 (this key may not)");
    }
    if function.mesh {
        errors.push("ME404 (absent or invisible)");
    }
    if !function.read_only {
        errors.push("ME409 (conflict)");
    }
    errors
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_its_heading_its_command_and_its_arguments() {
        let catalogue = Catalogue::embedded();
        let page = page(&catalogue);
        for function in &catalogue.functions {
            let start = page
                .find(&format!("\n## {}\n", function.name))
                .expect(&function.name);
            let section = page[start + 4..].split("\n## ").next().unwrap();
            assert!(section.contains(&format!("/rpc/{}", function.name)));
            for argument in &function.arguments {
                assert!(
                    section.contains(&format!("| `{}` |", argument.name)),
                    "{}",
                    argument.name
                );
            }
        }
        assert!(page.contains("mesh send <to> <message> [OPTIONS]"));
    }

    #[test]
    fn a_difference_is_one_line() {
        assert_eq!(
            difference("a\nb\n", "a\nc\nd\n"),
            "2 → 3 lines; line 2: b → c"
        );
    }
}
