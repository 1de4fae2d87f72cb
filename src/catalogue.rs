//! The catalogue of calls: what the database says of its own functions (docs/api.json).

mod cache;
mod openapi;

use crate::error::{Error, Result};
pub use openapi::{example, openapi};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The protocol this binary speaks; a catalogue of another one is not used.
pub const PROTOCOL: u32 = 1;

/// All calls of a relay. Fields unknown here are ignored, missing ones take their defaults, so either side may be newer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalogue {
    pub protocol: u32,
    pub functions: Vec<Function>,
}

/// One call: `POST /rpc/<name>`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Function {
    pub name: String,
    /// One imperative sentence.
    pub summary: String,
    pub description: String,
    /// The least right that may call: anyone, ticket, invite, any, agent, manage or account.
    pub who: String,
    /// Whether it needs a mesh: an account key must say which.
    pub mesh: bool,
    /// core (listed), more (found by search) or never.
    pub mcp: String,
    pub read_only: bool,
    /// Takes away or writes over what somebody made, for good.
    pub destructive: bool,
    pub cli: Option<Verb>,
    /// Command lines.
    pub examples: Vec<String>,
    pub arguments: Vec<Argument>,
    pub returns: Returns,
}

/// How a call is a command: `mesh member list`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Verb {
    pub verb: Vec<String>,
    pub aliases: Vec<Vec<String>>,
    /// Argument names in order; `mesh` is the mesh to call in when the function has no such argument.
    pub positional: Vec<String>,
    /// What a table shows; empty shows all.
    pub columns: Vec<String>,
    /// A column that counts what is left when it was answered, and the command that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<(String, String)>,
    /// An argument and a column: to follow, the call is made again with the argument as the last row has the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<(String, String)>,
    /// The column that tells rows apart when the one above does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow_row: Option<String>,
    /// The argument that asks to follow; without it the call is followed always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow_if: Option<String>,
    /// Heading in `mesh --help`: start, messages, team or machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Argument {
    pub name: String,
    /// The type in the database: `text`, `uuid[]`, `mesh.awaited`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Plain JSON Schema of the value on the wire.
    pub schema: Value,
    pub required: bool,
    pub default: Value,
    pub description: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Returns {
    /// set (an array), row (an object) or value.
    #[serde(rename = "type")]
    pub kind: String,
    pub schema: Value,
    /// `{"name","type"}` of each column, the type as the database calls it: `text`, `mesh.chain`.
    pub columns: Vec<Value>,
}

impl Catalogue {
    /// The catalogue built into this binary.
    pub fn embedded() -> Catalogue {
        Catalogue::parse(include_str!("../docs/api.json"))
            .expect("docs/api.json is a catalogue: a test reads it")
    }

    /// ME500 when `text` is no catalogue, ME409 when it is one of another protocol.
    pub fn parse(text: &str) -> Result<Catalogue> {
        let catalogue: Catalogue = serde_json::from_str(text)
            .map_err(|e| Error::internal(format!("the catalogue cannot be read: {e}")))?;
        match catalogue.protocol {
            PROTOCOL => Ok(catalogue),
            other => Err(Error::new(
                409,
                format!("the relay speaks protocol {other}, this mesh speaks {PROTOCOL}"),
            )),
        }
    }

    /// The same, read once. What it says of types is this binary's own word, whatever a relay's catalogue says.
    pub fn ours() -> &'static Catalogue {
        static OURS: LazyLock<Catalogue> = LazyLock::new(Catalogue::embedded);
        &OURS
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.name == name)
    }
}

impl Function {
    /// The argument that names a call, of type `mesh.request_id`.
    fn request_id(&self) -> Option<&Argument> {
        self.arguments.iter().find(|a| a.kind == "mesh.request_id")
    }

    /// The argument that makes a call harmless to repeat, of type `mesh.request_key`.
    pub fn request_key(&self) -> Option<&Argument> {
        let is_key = |a: &&Argument| a.kind == "mesh.request_key";
        self.arguments.iter().find(is_key)
    }

    /// Whether it says something that is to be sealed.
    pub fn seals(&self) -> bool {
        self.arguments.iter().any(|a| a.kind == "mesh.sealed")
    }

    /// Whether a call may be made again: it is named, so what it does, it does once.
    pub fn is_named(&self) -> bool {
        self.request_id().is_some()
    }

    /// Addresses that are a list written in a text become that list: what is signed is then read alike by all.
    pub fn list_addresses(&self, arguments: &mut Map<String, Value>) {
        let addresses = |a: &&Argument| a.kind == "mesh.addresses";
        for argument in self.arguments.iter().filter(addresses) {
            if let Some(given) = arguments.get_mut(&argument.name)
                && let Some(text) = given.as_str()
                && let Ok(list) = serde_json::from_str::<Vec<String>>(text)
            {
                *given = list.into();
            }
        }
    }

    /// How long it may wait, of type `mesh.awaited`.
    pub fn awaited(&self) -> Option<&Argument> {
        self.arguments.iter().find(|a| a.kind == "mesh.awaited")
    }

    /// Whether it takes mail, says what was seen, and does nothing else.
    pub fn only_takes_mail(&self) -> bool {
        let is_about_mail = |a: &Argument| matches!(a.kind.as_str(), "mesh.awaited" | "mesh.seen");
        self.arguments.iter().any(is_about_mail) && self.request_key().is_none() && !self.is_named()
    }

    /// Names a call that can be named and is not yet.
    pub fn name_call(&self, arguments: &mut Map<String, Value>) {
        if let Some(argument) = self.request_id()
            && arguments.get(&argument.name).is_none_or(Value::is_null)
        {
            let id = uuid::Uuid::new_v4().to_string();
            arguments.insert(argument.name.clone(), id.into());
        }
    }
}

impl Returns {
    /// Names of the columns; one without a type may also be a bare name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .filter_map(|column| column.as_str().or_else(|| column.get("name")?.as_str()))
    }

    /// Names and types of the columns that say their type.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns.iter().filter_map(|column| {
            Some((column.get("name")?.as_str()?, column.get("type")?.as_str()?))
        })
    }

    /// Type of the column `name`, if there is one and it says its type.
    pub fn kind_of(&self, name: &str) -> Option<&str> {
        self.columns
            .iter()
            .find(|column| column["name"] == name)?
            .get("type")?
            .as_str()
    }
}

impl Argument {
    /// Whether the client makes this value itself, so that no person or agent gives it.
    pub fn is_client_made(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "mesh.signed" | "mesh.new_secret" | "mesh.request_id" | "mesh.seen"
        )
    }

    /// How many characters it may have, if it is one line.
    pub fn line(&self) -> Option<usize> {
        let is_line = self.schema["pattern"] == "^.*$";
        let most = self.schema["maxLength"].as_u64().filter(|_| is_line)?;
        usize::try_from(most).ok()
    }
}

/// Input schema of a function as an agent sees it: without the arguments its client makes.
pub fn input_schema(function: &Function) -> Value {
    object_schema(function.arguments.iter().filter(|a| !a.is_client_made()))
}

/// Input schema of a function as it is sent.
pub fn wire_schema(function: &Function) -> Value {
    object_schema(function.arguments.iter())
}

fn object_schema<'a>(arguments: impl Iterator<Item = &'a Argument>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for argument in arguments {
        let mut schema = argument.schema.as_object().cloned().unwrap_or_default();
        if !argument.description.is_empty() {
            schema.insert("description".into(), json!(argument.description));
        }
        if !argument.default.is_null() {
            schema.insert("default".into(), argument.default.clone());
        }
        if argument.required {
            required.push(json!(argument.name));
        }
        properties.insert(argument.name.clone(), Value::Object(schema));
    }
    let mut schema =
        json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = Value::Array(required);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every object inside `value` which is a schema, so no names of properties.
    fn schemas<'a>(value: &'a Value, found: &mut Vec<&'a Map<String, Value>>) {
        let Some(object) = value.as_object() else {
            return;
        };
        found.push(object);
        if let Some(properties) = object.get("properties").and_then(Value::as_object) {
            properties.values().for_each(|p| schemas(p, found));
        }
        object
            .get("items")
            .into_iter()
            .for_each(|i| schemas(i, found));
    }

    #[test]
    fn the_embedded_catalogue_names_functions_and_arguments_once() {
        let catalogue = Catalogue::embedded();
        assert!(catalogue.function("send_message").is_some());
        for (i, function) in catalogue.functions.iter().enumerate() {
            assert!(
                !function.summary.is_empty(),
                "{} has no summary",
                function.name
            );
            assert!(
                catalogue.functions[..i]
                    .iter()
                    .all(|f| f.name != function.name),
                "{} twice",
                function.name
            );
            for argument in &function.arguments {
                assert!(
                    !argument.description.is_empty(),
                    "{}.{}",
                    function.name,
                    argument.name
                );
            }
        }
    }

    #[test]
    fn schemas_are_ones_every_client_understands() {
        for function in &Catalogue::embedded().functions {
            for schema in [input_schema(function), wire_schema(function)] {
                let mut found = Vec::new();
                schemas(&schema, &mut found);
                for schema in found {
                    for word in ["anyOf", "oneOf", "allOf", "$ref", "not"] {
                        assert!(!schema.contains_key(word), "{} uses {word}", function.name);
                    }
                    assert!(
                        schema.get("type").is_none_or(Value::is_string),
                        "{}: {schema:?}",
                        function.name
                    );
                }
                assert_eq!(schema["additionalProperties"], json!(false));
            }
        }
    }

    #[test]
    fn agents_do_not_see_what_the_client_makes() {
        let catalogue = Catalogue::embedded();
        let invite = catalogue.function("create_invite").unwrap();
        assert!(input_schema(invite)["properties"].get("invite").is_none());
        assert!(wire_schema(invite)["properties"].get("invite").is_some());
    }

    #[test]
    fn arguments_that_name_a_call_are_filled_in_once() {
        let function = |kind: &str| -> Function {
            serde_json::from_value(
                json!({"name": "f", "arguments": [{"name": "request", "type": kind}]}),
            )
            .unwrap()
        };
        let named = function("mesh.request_id");
        let mut arguments = Map::from_iter([("request".to_owned(), Value::Null)]);
        named.name_call(&mut arguments);
        let id = arguments["request"].as_str().unwrap().to_owned();
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().to_string(), id);
        named.name_call(&mut arguments);
        assert_eq!(arguments["request"], id, "the caller's name stays");
        assert!(named.is_named() && input_schema(&named)["properties"].get("request").is_none());

        let mut arguments = Map::new();
        function("uuid").name_call(&mut arguments);
        assert!(arguments.is_empty() && !function("uuid").is_named());
    }

    #[test]
    fn addresses_written_as_a_list_are_one() {
        let function: Function = serde_json::from_value(json!({"name": "f", "arguments": [
            {"name": "to", "type": "mesh.addresses"}, {"name": "text", "type": "text"}]}))
        .unwrap();
        for (given, becomes) in [
            (json!(" [\"a\", \"b\"]"), json!(["a", "b"])),
            (json!("a,b"), json!("a,b")),
            (json!("[a]"), json!("[a]")),
            (json!("[1]"), json!("[1]")),
            (json!(["a"]), json!(["a"])),
        ] {
            let mut arguments = Map::from_iter([("to".to_owned(), given)]);
            arguments.insert("text".into(), "[\"a\"]".into());
            function.list_addresses(&mut arguments);
            assert_eq!(
                (&arguments["to"], &arguments["text"]),
                (&becomes, &json!("[\"a\"]"))
            );
        }
    }

    #[test]
    fn a_newer_relay_may_say_more_and_an_older_one_less() {
        let text = r#"{"protocol":1,"new":1,"functions":[{"name":"f","later":true,"cli":{"verb":["f"]}}]}"#;
        let catalogue = Catalogue::parse(text).unwrap();
        assert_eq!(
            catalogue.function("f").unwrap().cli.as_ref().unwrap().verb,
            ["f"]
        );
    }

    #[test]
    fn another_protocol_is_refused() {
        assert_eq!(
            Catalogue::parse(r#"{"protocol":2}"#).unwrap_err().code,
            "ME409"
        );
        assert_eq!(Catalogue::parse("nope").unwrap_err().code, "ME500");
    }
}
