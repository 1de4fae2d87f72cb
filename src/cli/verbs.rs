//! Commands made from the catalogue: a function with a verb is a command, its arguments are positionals and options.

#[cfg(test)]
mod tests;

use super::{grep, text::clean_line, values};
use crate::catalogue::{Argument, Catalogue, Function};
use clap::{Arg, Command};

/// Id of the positional that names the mesh to call in.
pub const MESH: &str = "context:mesh";

/// `command` with the commands of `catalogue` added. Commands already there keep their names.
///
/// `options` are those which the command line names, without dashes: what a command takes in order may also be given as an
/// option, and with `--mesh` no command takes the mesh as a positional.
pub fn add(mut command: Command, catalogue: &Catalogue, options: &[String]) -> Command {
    let reserved: Vec<String> = command
        .get_arguments()
        .filter_map(|a| a.get_long().map(str::to_owned))
        .chain(["help".to_owned(), "version".to_owned()])
        .collect();
    let named = named(options, &reserved);
    let ours: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    let is_free = |path: &[String]| is_path(path) && path[0] != "help" && !ours.contains(&path[0]);
    let mut leaves = Vec::new();
    for function in &catalogue.functions {
        let Some(cli) = &function.cli else { continue };
        for (i, path) in std::iter::once(&cli.verb).chain(&cli.aliases).enumerate() {
            if is_free(path) {
                // An alias is not listed, except below a word that the function's own verb is not below.
                let is_listed = i == 0 || path.len() > 1 && cli.verb.first() != path.first();
                let leaf = leaf(path, function, &named, &reserved).hide(!is_listed);
                leaves.push((path, i > 0, leaf));
            }
        }
    }
    // Single words first, so that a word which is both a command and the first of two is built before what goes below it;
    // names before aliases, as in `function`.
    leaves.sort_by_key(|(path, is_alias, _)| (path.len(), *is_alias));
    for (path, _, leaf) in leaves {
        if path.len() == 1 {
            if command.find_subcommand(&path[0]).is_none() {
                command = command.subcommand(leaf);
            }
            continue;
        }
        if command.find_subcommand(&path[0]).is_none() {
            command = command.subcommand(
                Command::new(path[0].clone())
                    .hide(!has_verb(catalogue, &path[0]))
                    .subcommand_required(true)
                    .arg_required_else_help(true),
            );
        }
        command = command.mut_subcommand(&path[0], |parent| below(parent, leaf));
    }
    command
}

/// What these options name: arguments, and the mesh to call in.
fn named(options: &[String], reserved: &[String]) -> Vec<String> {
    let name = |option: &String| {
        if option == "mesh" {
            return Some(MESH.to_owned());
        }
        let own = option.strip_prefix("with-").unwrap_or(option).to_owned();
        let is_reserved = reserved.contains(&own);
        let name = if is_reserved { &own } else { option };
        (!is_reserved || name != option).then(|| name.replace('-', "_"))
    };
    options.iter().filter_map(name).collect()
}

/// Is `word` the first of a command's own name, not only of an alias?
fn has_verb(catalogue: &Catalogue, word: &str) -> bool {
    let mut verbs = catalogue.functions.iter().filter_map(|f| f.cli.as_ref());
    verbs.any(|cli| cli.verb.first().is_some_and(|first| first == word))
}

/// The function that `path`, the words of a command, calls.
pub fn function<'a>(catalogue: &'a Catalogue, path: &[&str]) -> Option<&'a Function> {
    let verbs = catalogue
        .functions
        .iter()
        .filter_map(|f| f.cli.as_ref().map(|cli| (f, cli)));
    let first = verbs.clone().find(|(_, cli)| cli.verb == path);
    first
        .or_else(|| {
            verbs
                .clone()
                .find(|(_, cli)| cli.aliases.iter().any(|a| a == path))
        })
        .map(|(f, _)| f)
}

/// How the command is written: `mesh send <to> <message> [OPTIONS]`.
pub fn usage(path: &[String], function: &Function, named: &[String]) -> String {
    let positional = positionals(function, named);
    let mut words = vec!["mesh".to_owned()];
    words.extend(path.iter().cloned());
    for (i, name) in positional.iter().enumerate() {
        let argument = function.arguments.iter().find(|a| a.name == *name);
        let is_last = i + 1 == positional.len();
        let is_required = argument.map_or(!(function.read_only && is_last), |a| a.required);
        let more = if is_last && argument.is_some_and(values::is_list) {
            "..."
        } else {
            ""
        };
        let name = clean_line(name).replace('_', "-");
        words.push(if is_required {
            format!("<{name}>{more}")
        } else {
            format!("[{name}]{more}")
        });
    }
    if function
        .arguments
        .iter()
        .any(|a| !a.is_client_made() && !positional.contains(&a.name.as_str()))
    {
        words.push("[OPTIONS]".into());
    }
    words.join(" ")
}

/// The words a command takes in order, without those that are nothing it could take, and those which options have `named`.
pub fn positionals<'a>(function: &'a Function, named: &[String]) -> Vec<&'a str> {
    let is_named = |name: &str| named.iter().any(|n| n == name);
    let is_argument = |name: &str| {
        function
            .arguments
            .iter()
            .any(|a| a.name == name && !a.is_client_made())
    };
    let cli = function
        .cli
        .iter()
        .flat_map(|cli| &cli.positional)
        .map(String::as_str);
    cli.filter(|name| match is_context(function, name) {
        true => !is_named(MESH),
        false => is_argument(name) && !is_named(name),
    })
    .collect()
}

/// Whether a command line gives this argument: its client does not make it, and its name can be typed.
pub fn is_given(argument: &Argument) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !argument.is_client_made()
        && argument.name.starts_with(|c: char| c.is_ascii_lowercase())
        && argument.name.chars().all(is_plain)
}

fn after(function: &Function) -> String {
    let mut text = super::text::clean(&function.description);
    if !function.examples.is_empty() {
        let examples: Vec<_> = function
            .examples
            .iter()
            .map(|e| format!("  {}", clean_line(e)))
            .collect();
        let gap = if text.is_empty() { "" } else { "\n\n" };
        text += &format!("{gap}Examples:\n{}", examples.join("\n"));
    }
    text
}

/// Whether `name`, a positional of `function`, is the mesh to call in and no argument.
fn is_context(function: &Function, name: &str) -> bool {
    name == "mesh" && !function.arguments.iter().any(|a| a.name == name)
}

/// One or two words such as `member list`: what is not that would be no command line anybody can type.
fn is_path(path: &[String]) -> bool {
    let is_word = |word: &String| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    matches!(path.len(), 1 | 2) && path.iter().all(is_word)
}

fn below(parent: Command, leaf: Command) -> Command {
    if parent.find_subcommand(leaf.get_name()).is_some() {
        return parent;
    }
    if !parent.is_subcommand_required_set() {
        let is_hidden = parent.is_hide_set() && leaf.is_hide_set();
        return parent
            .hide(is_hidden)
            .subcommand(leaf)
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true);
    }
    let mut names: Vec<String> = parent
        .get_about()
        .map(ToString::to_string)
        .into_iter()
        .collect();
    if !leaf.is_hide_set() {
        names.push(leaf.get_name().to_owned());
    }
    parent.about(names.join(", ")).subcommand(leaf)
}

fn leaf(path: &[String], function: &Function, named: &[String], reserved: &[String]) -> Command {
    let name = &path[path.len() - 1];
    let summary = clean_line(&function.summary);
    let mut command = Command::new(name.to_owned())
        .about(summary.trim_end_matches('.').to_owned())
        .after_help(after(function))
        .override_usage(usage(path, function, named));
    let positional = positionals(function, named);
    let last = positional.len().saturating_sub(1);
    let mut may_be_required = true;
    for (i, name) in positional.iter().enumerate() {
        let arg = match function.arguments.iter().find(|a| a.name == *name) {
            Some(argument) => values::positional(argument, i == last)
                .required(argument.required && may_be_required),
            None => Arg::new(MESH)
                .value_name("mesh")
                .help("The mesh, if not given by --mesh")
                .required(may_be_required && !(function.read_only && i == last)),
        };
        may_be_required &= arg.is_required_set();
        command = command.arg(arg.index(i + 1));
    }
    let is_option = |a: &&Argument| is_given(a) && !positional.contains(&a.name.as_str());
    for argument in function.arguments.iter().filter(is_option) {
        command = command.arg(values::option(argument, reserved));
    }
    command.args(grep::option(function))
}
