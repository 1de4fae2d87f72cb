//! Tools made from the catalogue: which are shown, how they are described, and how the others are found.

use crate::catalogue::{Catalogue, Function, input_schema};
use crate::error::Error;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};
use std::sync::Arc;

/// How many core tools are listed by themselves, beside the destructive ones; the rest is behind `find_tools` and
/// `call_tool`.
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
        tools.push(find_tools());
        tools.push(call_tool());
    }
    tools
}

/// Whether tools are left for `find_tools`.
pub fn has_hidden(catalogue: &Catalogue, shown: Shown, manage: bool) -> bool {
    !split(catalogue, shown, manage).1.is_empty()
}

/// The tools behind `call_tool` that fit `query` best, with their schemas; all names when it is empty.
pub fn find(catalogue: &Catalogue, shown: Shown, manage: bool, query: &str) -> Value {
    let (_, hidden) = split(catalogue, shown, manage);
    let words: Vec<String> = words(query);
    if words.is_empty() {
        return hidden
            .iter()
            .map(|f| json!({"name": f.name, "summary": f.summary}))
            .collect();
    }
    let mut scored: Vec<_> = hidden
        .into_iter()
        .map(|f| (score(f, &words), f))
        .filter(|(score, _)| *score > 0)
        .collect();
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let found = scored.into_iter().take(FOUND);
    found
        .map(|(_, f)| json!({"name": f.name, "description": description(f), "input_schema": input_schema(f)}))
        .collect()
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
    // What is destructive is listed with its own warning, so that `call_tool` can be said to be harmless.
    let mut core = 0;
    allowed.partition(|function| {
        core += usize::from(function.mcp == "core");
        function.mcp == "core" && core <= LISTED || function.destructive
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
fn annotations(read_only: bool, destructive: bool) -> ToolAnnotations {
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

fn find_tools() -> Tool {
    let schema = json!({"type": "object", "additionalProperties": false, "properties": {
        "query": {"type": "string", "description": "A few words: what you want to do. Empty lists all names."}}});
    made(
        "find_tools",
        "Find more tools of the mesh by a few words: their names, descriptions and input schemas.",
        schema,
    )
    .with_annotations(annotations(true, false))
}

fn call_tool() -> Tool {
    let schema = json!({"type": "object", "additionalProperties": false, "required": ["name"], "properties": {
        "name": {"type": "string", "description": "The tool's name, as find_tools gave it."},
        "arguments": {"type": "object", "description": "Its arguments, as its input schema says."}}});
    made("call_tool", "Call a tool that find_tools found.", schema)
        .with_annotations(annotations(false, false))
}

fn made(name: &'static str, description: &'static str, schema: Value) -> Tool {
    let schema = schema.as_object().cloned().unwrap_or_default();
    Tool::new_with_raw(name, Some(description.into()), Arc::new(schema))
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

    #[test]
    fn at_most_24_are_listed_beside_the_two_that_reach_the_rest() {
        let tools = list(&catalogue(), Shown::Core, true);
        assert_eq!(tools.len(), 26);
        assert_eq!(tools[24].name, "find_tools");
        assert_eq!(
            find(&catalogue(), Shown::Core, true, "")
                .as_array()
                .unwrap()
                .len(),
            8
        );
        assert_eq!(
            find(&catalogue(), Shown::Core, false, "")
                .as_array()
                .unwrap()
                .len(),
            6
        );
        assert_eq!(list(&catalogue(), Shown::All, true).len(), 32);
    }

    #[test]
    fn what_is_destructive_takes_no_place_of_a_core_tool() {
        let mut catalogue = catalogue();
        let mut destructive = functions(1, "more", "agent");
        destructive[0].destructive = true;
        catalogue.functions.splice(0..0, destructive);
        let tools = list(&catalogue, Shown::Core, true);
        assert_eq!((tools.len(), &*tools[0].name), (27, "more_agent_0"));
        assert_eq!(tools[24].name, "core_agent_23");
        let hints = tools.iter().map(|tool| tool.annotations.as_ref().unwrap());
        let warned: Vec<_> = hints.map(|hints| hints.destructive_hint.unwrap()).collect();
        assert!(warned[0] && !warned[1..].contains(&true), "call_tool, too");
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
