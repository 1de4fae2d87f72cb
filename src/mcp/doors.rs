//! How tools that are not listed are found and called. What an editor is told of a tool holds for all that is called
//! through it, so what is destructive has a door of its own.

use super::tools::annotations;
use crate::{
    catalogue::Function,
    error::{Error, Result},
};
use rmcp::model::Tool;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What calls a tool by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Harmless,
    Destructive,
}

impl Door {
    pub const ALL: [Door; 2] = [Door::Harmless, Door::Destructive];

    /// The one that calls `function`.
    pub fn of(function: &Function) -> Door {
        match function.destructive {
            true => Door::Destructive,
            false => Door::Harmless,
        }
    }

    pub fn named(name: &str) -> Option<Door> {
        Door::ALL.into_iter().find(|door| door.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Door::Harmless => "call_tool",
            Door::Destructive => "call_destructive_tool",
        }
    }

    pub fn tool(self) -> Tool {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["name"], "properties": {
            "name": {"type": "string", "description": "The tool's name, as find_tools gave it."},
            "arguments": {"type": "object", "description": "Its arguments, as its input schema says."}}});
        let description = match self {
            Door::Harmless => {
                "Call a tool that find_tools found, where it says `call_with` call_tool."
            }
            Door::Destructive => {
                "Call a tool that find_tools found, where it says `call_with` call_destructive_tool: it takes away or \
                 writes over, for good, what somebody made."
            }
        };
        let is_destructive = self == Door::Destructive;
        made(self.name(), description, schema).with_annotations(annotations(false, is_destructive))
    }

    /// The name and the arguments of the tool to call.
    pub fn inner(self, arguments: &Map<String, Value>) -> Result<(String, Map<String, Value>)> {
        let door = self.name();
        let name = arguments.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| {
            let message = format!("{door} needs `name`, and `arguments` as an object");
            Error::new(400, message).hint("find_tools")
        })?;
        let inner = match arguments.get("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(inner)) => inner.clone(),
            Some(_) => {
                let message = format!("`arguments` of {door} is not an object");
                return Err(Error::new(400, message));
            }
        };
        Ok((name.to_owned(), inner))
    }

    /// ME403 with the other door when `function` is not behind this one.
    pub fn check(self, function: &Function) -> Result<()> {
        let door = Door::of(function);
        if door == self {
            return Ok(());
        }
        let (name, other) = (&function.name, door.name());
        let message = match door {
            Door::Harmless => format!("{name} is not destructive: {other} calls it"),
            Door::Destructive => {
                format!("{name} is destructive: {other} calls it, so that your user can be asked")
            }
        };
        Err(Error::new(403, message).hint(other))
    }
}

pub fn find_tools() -> Tool {
    let schema = json!({"type": "object", "additionalProperties": false, "properties": {
        "query": {"type": "string", "description": "A few words: what you want to do. Empty lists all names."}}});
    let description = "Find more tools of the mesh by a few words: their names, descriptions, input schemas and, as \
                       `call_with`, the tool that calls them.";
    made("find_tools", description, schema).with_annotations(annotations(true, false))
}

fn made(name: &'static str, description: &'static str, schema: Value) -> Tool {
    let schema = schema.as_object().cloned().unwrap_or_default();
    Tool::new_with_raw(name, Some(description.into()), Arc::new(schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_names_the_other_for_what_is_not_behind_it() {
        for destructive in [false, true] {
            let function = Function {
                destructive,
                ..Function::default()
            };
            let own = Door::of(&function);
            for door in Door::ALL {
                assert_eq!(Door::named(door.name()), Some(door));
                match door.check(&function) {
                    Ok(()) => assert_eq!(door, own),
                    Err(error) => assert_eq!((&*error.code, &*error.hint), ("ME403", own.name())),
                }
            }
        }
    }
}
