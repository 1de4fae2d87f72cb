//! What a newcomer types first, taken as it is meant, or answered with what there is.

use super::{text::clean_line, values, verbs};
use crate::catalogue::{Argument, Catalogue, Function};
use clap::{
    Command,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::ffi::OsString;

/// The words, with a function's own name (`list-messages`, `list_messages`) as the verb it has.
pub fn as_verbs(command: &Command, catalogue: &Catalogue, words: &[OsString]) -> Vec<OsString> {
    let mut words = words.to_vec();
    let mut plain = plain(command, &words).into_iter();
    let first = plain.next();
    let asked = match first.filter(|&i| words[i] == "help") {
        Some(_) => plain.next(),
        None => first,
    };
    if let Some(i) = asked
        && let Some(word) = words[i].to_str()
        && command.find_subcommand(word).is_none()
        && let Some(function) = catalogue.function(&word.replace('-', "_"))
        && let Some(cli) = &function.cli
    {
        words.splice(i..=i, cli.verb.iter().map(Into::into));
    }
    words
}

/// The command that tells how the command meant here is used.
pub fn help(command: &Command, words: &[OsString]) -> String {
    let mut path = vec!["mesh".to_owned()];
    path.extend(path_of(command, words));
    path.push("--help".into());
    path.join(" ")
}

/// `error` with tips that say how such a thing is written here.
pub fn explained(
    mut error: clap::Error,
    command: &Command,
    catalogue: &Catalogue,
    words: &[OsString],
) -> clap::Error {
    let path = path_of(command, words);
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let kind = error.kind();
    let tips = match kind {
        ErrorKind::UnknownArgument if !context(ContextKind::InvalidArg).starts_with('-') => {
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            verbs::function(catalogue, &path)
                .map(too_many_words)
                .unwrap_or_default()
        }
        ErrorKind::UnknownArgument if error.get(ContextKind::SuggestedArg).is_some() => Vec::new(),
        ErrorKind::UnknownArgument => options(command, &path),
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand);
            no_such_command(command, catalogue, &path, word)
        }
        _ => Vec::new(),
    };
    // What looks like an option is hardly ever a value, which is what would be said.
    if !tips.is_empty() || kind == ErrorKind::UnknownArgument {
        let tips = tips.into_iter().map(StyledStr::from).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// More words than the command of `function` takes: most likely those of one text, or several addresses.
fn too_many_words(function: &Function) -> Vec<String> {
    let positional = verbs::positionals(function, &[]);
    let is_last = |a: &&Argument| positional.last().is_some_and(|name| *name == a.name);
    let mut tips = Vec::new();
    if let Some(last) = function.arguments.iter().find(is_last)
        && matches!(last.kind.as_str(), "text" | "mesh.sealed" | "mesh.value")
    {
        let name = clean_line(&last.name);
        tips.push(format!(
            "<{name}> is one word, or several in quotes: \"one two\""
        ));
    }
    let addresses = |a: &&Argument| a.kind == "mesh.addresses";
    if let Some(addresses) = function.arguments.iter().find(addresses) {
        let name = values::kebab(&addresses.name);
        tips.push(if positional.contains(&addresses.name.as_str()) {
            format!("several of <{name}> have commas between them: bob,carol")
        } else {
            format!("--{name} says to whom")
        });
    }
    tips
}

/// The options that are a command's own.
fn options(command: &Command, path: &[String]) -> Vec<String> {
    let found = path
        .iter()
        .try_fold(command, |found, word| found.find_subcommand(word));
    let options: Vec<_> = found
        .iter()
        .flat_map(|found| found.get_arguments())
        .filter(|a| !a.is_hide_set() && !a.is_global_set())
        .filter_map(|a| a.get_long().map(|long| format!("--{long}")))
        .collect();
    match options.is_empty() || path.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "mesh {} has {}",
            path.join(" "),
            options.join(", ")
        )],
    }
}

/// What there is below a command that has no such word, or with this word at another place.
fn no_such_command(
    command: &Command,
    catalogue: &Catalogue,
    path: &[String],
    word: &str,
) -> Vec<String> {
    let [first] = path else {
        let verbs = catalogue.functions.iter().filter_map(|f| f.cli.as_ref());
        let alike: Vec<_> = verbs
            .map(|cli| &cli.verb)
            .filter(|verb| verb.len() == 2 && verb[1] == word)
            .map(|verb| format!("mesh {}", verb.join(" ")))
            .take(12)
            .collect();
        return match alike.is_empty() {
            true => Vec::new(),
            false => vec![format!("there is {}", alike.join(", "))],
        };
    };
    let below = command.find_subcommand(first);
    let names: Vec<_> = below
        .iter()
        .flat_map(|below| below.get_subcommands())
        .filter(|c| !c.is_hide_set() && c.get_name() != "help")
        .map(Command::get_name)
        .collect();
    vec![format!("mesh {first} has {}", names.join(", "))]
}

/// The words that name a command.
fn path_of(command: &Command, words: &[OsString]) -> Vec<String> {
    let mut found = command;
    let mut path = Vec::new();
    for i in plain(command, words) {
        let Some(below) = words[i]
            .to_str()
            .and_then(|word| found.find_subcommand(word))
        else {
            break;
        };
        found = below;
        path.push(below.get_name().to_owned());
    }
    path
}

/// Places of the words that are neither the program nor options, nor values of options which every command has.
fn plain(command: &Command, words: &[OsString]) -> Vec<usize> {
    let takes_value = |word: &str| {
        let mut options = command.get_arguments();
        options.any(|a| {
            a.get_action().takes_values()
                && a.get_long()
                    .is_some_and(|long| word.strip_prefix("--") == Some(long))
        })
    };
    let mut places = Vec::new();
    let mut i = 1;
    while let Some(word) = words.get(i).map(|word| word.to_string_lossy()) {
        if takes_value(&word) {
            i += 1;
        } else if !word.starts_with('-') {
            places.push(i);
        }
        i += 1;
    }
    places
}
