//! Tools made from the catalogue: which are shown, how they are described, and how the others are found.

use super::doors::{self, Door};
use crate::catalogue::{Catalogue, Function, input_schema};
use crate::error::Error;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};
use std::sync::Arc;

/// How many tools are listed by themselves; the rest is behind `find_tools` and the doors.
const LISTED: usize = 24;
/// How many tools one search returns.
const FOUND: usize = 8;

/// Which tools are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Shown {
    /// The core ones; the rest is found by search.
    #[default]
    Core,
    /// Every one.
    All,
}

/// The tools to list for a key with or without `manage`.
pub fn list(catalogue: &Catalogue, shown: Shown, manage: bool) -> Vec<Tool> {
    let (listed, hidden) = split(catalogue, shown, manage);
    let mut tools: Vec<Tool> = listed.into_iter().map(tool).collect();
    if !hidden.is_empty() {
        tools.push(doors::find_tools());
    }
    let is_used = |door: &Door| hidden.iter().any(|function| Door::of(function) == *door);
    tools.extend(Door::ALL.into_iter().filter(is_used).map(Door::tool));
    tools
}

/// Whether tools are left for `find_tools`.
pub fn has_hidden(catalogue: &Catalogue, shown: Shown, manage: bool) -> bool {
    !split(catalogue, shown, manage).1.is_empty()
}

/// The tools behind the doors that fit `query` best, with their schemas; all names when it is empty. Each with its door.
pub fn find(catalogue: &Catalogue, shown: Shown, manage: bool, query: &str) -> Value {
    let (_, hidden) = split(catalogue, shown, manage);
    let words: Vec<String> = words(query);
    if words.is_empty() {
        return hidden
            .iter()
            .map(|f| json!({"name": f.name, "summary": f.summary, "call_with": Door::of(f).name()}))
            .collect();
    }
    let mut scored: Vec<_> = hidden
        .into_iter()
        .map(|f| (score(f, &words), f))
        .filter(|(score, _)| *score > 0)
        .collect();
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let found = scored.into_iter().take(FOUND);
    let full = |f: &Function| json!({"name": f.name, "call_with": Door::of(f).name(), "description": description(f), "input_schema": input_schema(f)});
    found.map(|(_, f)| full(f)).collect()
}

/// The function behind a tool. ME404 with the closest name when there is none, ME403 for what is not for agents.
pub fn function<'a>(catalogue: &'a Catalogue, name: &str) -> Result<&'a Function, Error> {
    match catalogue.function(name) {
        Some(function) if is_tool(function, true) => Ok(function),
        Some(function) => {
            let command = function.examples.first().map_or("", String::as_str);
            Err(Error::new(
                403,
                format!("{name} is no tool: a person runs it as a command"),
            )
            .hint(command))
        }
        None => {
            let names = catalogue
                .functions
                .iter()
                .filter(|f| is_tool(f, true))
                .map(|f| f.name.as_str());
            let likeness = |known: &str| strsim::jaro_winkler(known, name);
            let closest = names
                .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
                .filter(|known| likeness(known) > 0.9);
            Err(Error::new(404, format!("no tool named {name:?}"))
                .hint(closest.unwrap_or("find_tools")))
        }
    }
}

fn split(catalogue: &Catalogue, shown: Shown, manage: bool) -> (Vec<&Function>, Vec<&Function>) {
    let allowed = catalogue
        .functions
        .iter()
        .filter(|function| is_tool(function, manage));
    if shown == Shown::All {
        return (allowed.collect(), Vec::new());
    }
    let mut core = 0;
    allowed.partition(|function| {
        core += usize::from(function.mcp == "core");
        function.mcp == "core" && core <= LISTED
    })
}

/// Whether an agent's key may call it and it is meant for agents.
fn is_tool(function: &Function, manage: bool) -> bool {
    let may = match function.who.as_str() {
        "anyone" | "any" | "agent" => true,
        "manage" => manage,
        _ => false,
    };
    may && matches!(function.mcp.as_str(), "core" | "more")
}

fn tool(function: &Function) -> Tool {
    let schema = match input_schema(function) {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    };
    Tool::new_with_raw(
        function.name.clone(),
        Some(description(function).into()),
        Arc::new(schema),
    )
    .with_annotations(annotations(function.read_only, function.destructive))
}

/// Codex asks before, and without an approver refuses, a call that is not said to be harmless.
pub fn annotations(read_only: bool, destructive: bool) -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(read_only)
        .destructive(destructive)
        .open_world(false)
}

fn description(function: &Function) -> String {
    [function.summary.trim(), function.description.trim()]
        .join("\n\n")
        .trim()
        .to_owned()
}

fn words(text: &str) -> Vec<String> {
    let split = text.split(|c: char| !c.is_alphanumeric());
    split
        .filter(|word| word.len() > 1)
        .map(str::to_lowercase)
        .collect()
}

/// How well a function fits: a word in the name counts four times, in the summary twice.
fn score(function: &Function, query: &[String]) -> usize {
    let places = [
        (4, &function.name),
        (2, &function.summary),
        (1, &function.description),
    ];
    let places = places.map(|(weight, text)| (weight, words(text)));
    let fits = |word: &str, wanted: &str| {
        word.starts_with(wanted) || wanted.len() > 4 && wanted.starts_with(word)
    };
    query
        .iter()
        .map(|wanted| {
            let hits = places
                .iter()
                .filter(|(_, words)| words.iter().any(|word| fits(word, wanted)));
            hits.map(|(weight, _)| weight).sum::<usize>()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions(count: usize, mcp: &str, who: &str) -> Vec<Function> {
        let function = |i| Function {
            name: format!("{mcp}_{who}_{i}"),
            summary: format!("Summary {i}."),
            who: who.into(),
            mcp: mcp.into(),
            ..Function::default()
        };
        (0..count).map(function).collect()
    }

    fn catalogue() -> Catalogue {
        let parts = [
            functions(30, "core", "agent"),
            functions(2, "more", "manage"),
            functions(3, "never", "any"),
        ];
        let account = functions(3, "core", "account");
        Catalogue {
            protocol: 1,
            functions: parts.into_iter().flatten().chain(account).collect(),
        }
    }

    fn names(catalogue: &Catalogue, shown: Shown, manage: bool) -> Vec<String> {
        let tools = list(catalogue, shown, manage);
        tools.into_iter().map(|tool| tool.name.into()).collect()
    }

    #[test]
    fn at_most_24_are_listed_beside_what_reaches_the_rest() {
        let tools = names(&catalogue(), Shown::Core, true);
        assert_eq!(tools.len(), 26);
        assert_eq!(tools[24..], ["find_tools", "call_tool"]);
        for (manage, hidden) in [(true, 8), (false, 6)] {
            let found = find(&catalogue(), Shown::Core, manage, "");
            assert_eq!(found.as_array().unwrap().len(), hidden);
        }
        assert_eq!(list(&catalogue(), Shown::All, true).len(), 32);
    }

    #[test]
    fn what_is_destructive_has_a_door_of_its_own_where_there_is_such() {
        let mut catalogue = catalogue();
        catalogue.functions[30].destructive = true;
        let (door, harmless) = ("call_destructive_tool", "call_tool");
        for (manage, shown, listed) in [
            (true, Shown::Core, 27),
            (false, Shown::Core, 26),
            (true, Shown::All, 32),
        ] {
            let tools = list(&catalogue, shown, manage);
            assert_eq!(tools.len(), listed);
            let hints = |tool: &&Tool| tool.annotations.as_ref().unwrap().destructive_hint.unwrap();
            let warned: Vec<_> = tools.iter().filter(hints).map(|tool| &*tool.name).collect();
            let expected = match (manage, shown) {
                (true, Shown::Core) => vec![door],
                (true, Shown::All) => vec!["more_manage_0"],
                (false, _) => vec![],
            };
            assert_eq!(warned, expected);
        }
        for query in ["", "more", "core"] {
            for found in find(&catalogue, Shown::Core, true, query)
                .as_array()
                .unwrap()
            {
                let own = found["name"] == "more_manage_0";
                assert_eq!(found["call_with"], if own { door } else { harmless });
            }
        }
    }

    #[test]
    fn what_is_core_and_destructive_is_listed_and_counts() {
        let mut catalogue = catalogue();
        catalogue.functions[0].destructive = true;
        let tools = names(&catalogue, Shown::Core, true);
        assert_eq!((tools.len(), &*tools[0]), (26, "core_agent_0"));
    }

    #[test]
    fn what_a_key_may_not_do_is_no_tool() {
        for (name, code) in [
            ("never_any_0", "ME403"),
            ("core_account_0", "ME403"),
            ("nothing", "ME404"),
        ] {
            assert_eq!(function(&catalogue(), name).unwrap_err().code, code);
        }
        assert_eq!(
            function(&catalogue(), "core_agent_00").unwrap_err().hint,
            "core_agent_0"
        );
    }

    #[test]
    fn the_catalogue_fits_into_24_and_the_doors() {
        let catalogue = Catalogue::embedded();
        for manage in [false, true] {
            let tools = names(&catalogue, Shown::Core, manage);
            let own = tools
                .iter()
                .filter(|name| catalogue.function(name).is_some());
            assert!(
                own.count() <= LISTED && tools.len() <= LISTED + 3,
                "{tools:?}"
            );
        }
    }

    #[test]
    fn every_tool_says_that_it_is_harmless_or_not() {
        let catalogue = Catalogue::embedded();
        for tool in list(&catalogue, Shown::All, true) {
            let hints = tool.annotations.unwrap();
            assert_eq!(hints.open_world_hint, Some(false), "{}", tool.name);
            assert!(
                hints.destructive_hint.is_some() && hints.read_only_hint.is_some(),
                "{}",
                tool.name
            );
        }
    }

    #[test]
    fn a_search_puts_the_name_first() {
        let catalogue = Catalogue::embedded();
        let found = find(&catalogue, Shown::Core, true, "meshes");
        assert_eq!(found[0]["name"], "list_meshes");
        assert!(found[0]["input_schema"].is_object());
    }
}
