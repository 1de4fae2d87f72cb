//! The OpenAPI document of a catalogue.

use super::{Argument, Catalogue, Function, wire_schema};
use serde_json::{Map, Value, json};

/// OpenAPI 3.1 document of a catalogue, served by the relay at `/openapi.json`.
pub fn openapi(catalogue: &Catalogue) -> Value {
    let paths: Map<String, Value> = catalogue
        .functions
        .iter()
        .map(|f| (format!("/rpc/{}", f.name), json!({"post": operation(f)})))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mesh",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One team of AI coding agents. Every call is POST /rpc/<function> with a JSON object of named arguments.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {
                "type": "http", "scheme": "bearer",
                "description": "The token `mesh token` prints: mt_…, never the key itself.",
            }},
            "parameters": {
                "Mesh": {
                    "name": "Mesh", "in": "header", "required": false, "schema": {"type": "string"}, "example": "proj",
                    "description": "The mesh to call in: a name, owner/name or an id. An account key must say it; an agent's key knows it.",
                },
                "Session": {
                    "name": "Mesh-Session", "in": "header", "required": false, "schema": {"type": "string", "format": "uuid"},
                    "description": "The session the call belongs to, as open_session returned it.",
                },
            },
            "responses": {"Error": {
                "description": "Refused or failed; the HTTP status is the number in the code.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }},
            "schemas": {"Error": error_schema()},
        },
    })
}

fn operation(function: &Function) -> Value {
    let mut parameters = vec![json!({"$ref": "#/components/parameters/Session"})];
    if function.mesh {
        parameters.insert(0, json!({"$ref": "#/components/parameters/Mesh"}));
    }
    let mut operation = json!({
        "operationId": function.name,
        "summary": function.summary,
        "description": description(function),
        "parameters": parameters,
        "requestBody": {
            "required": function.arguments.iter().any(|a| a.required),
            "content": {"application/json": {"schema": wire_schema(function), "example": example(function)}},
        },
        "responses": {
            "200": {
                "description": "Done.",
                "headers": {"Mesh-Catalogue": {
                    "description": "Hash of the catalogue the relay serves.", "schema": {"type": "string"},
                }},
                "content": {"application/json": {"schema": function.returns.schema}},
            },
            "default": {"$ref": "#/components/responses/Error"},
        },
        "x-mesh-read-only": function.read_only,
        "x-mesh-destructive": function.destructive,
        "x-mesh-who": function.who,
    });
    if function.who == "anyone" {
        operation["security"] = json!([]);
    }
    operation
}

fn description(function: &Function) -> String {
    let mut parts = Vec::new();
    if !function.description.is_empty() {
        parts.push(function.description.clone());
    }
    if !function.examples.is_empty() {
        parts.push(format!(
            "On the command line:\n\n    {}",
            function.examples.join("\n    ")
        ));
    }
    parts.join("\n\n")
}

/// A body with the required arguments, for a reader to change.
pub fn example(function: &Function) -> Value {
    let required = function.arguments.iter().filter(|a| a.required);
    Value::Object(
        required
            .map(|a| (a.name.clone(), sample(a, &a.schema)))
            .collect(),
    )
}

fn sample(argument: &Argument, schema: &Value) -> Value {
    if let Some(first) = schema.get("enum").and_then(|e| e.get(0)) {
        return first.clone();
    }
    let word = |key: &str| schema.get(key).and_then(Value::as_str);
    match word("type") {
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([sample(argument, &schema["items"])]),
        Some("string") => match word("format") {
            Some("uuid") => json!("6f1c0c9e-5d0f-4f3a-9a51-1f0f5a0c7a11"),
            Some("date-time") => json!("2026-01-31T12:00:00Z"),
            _ => json!(format!("<{}>", argument.name)),
        },
        _ => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let inner = |(name, s): (&String, &Value)| {
                let named = Argument {
                    name: name.clone(),
                    ..Argument::default()
                };
                (name.clone(), sample(&named, s))
            };
            Value::Object(properties.into_iter().flatten().map(inner).collect())
        }
    }
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["code", "message", "hint"],
        "properties": {
            "code": {"type": "string", "pattern": "^ME[0-9]{3}$", "description": "ME and the HTTP status."},
            "message": {"type": "string"},
            "hint": {"type": "string", "description": "A command that can be run, or empty."},
            "data": {"type": "object", "description": "More for programs, such as retry_after in seconds."},
        },
        "example": {"code": "ME404", "message": "no agent designr in proj", "hint": "mesh peers", "data": {"candidates": ["designer"]}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_a_path_with_a_body_and_an_error() {
        let catalogue = Catalogue::embedded();
        let document = openapi(&catalogue);
        assert_eq!(
            document["paths"].as_object().unwrap().len(),
            catalogue.functions.len()
        );
        let send = &document["paths"]["/rpc/send_message"]["post"];
        assert_eq!(
            send["parameters"][0]["$ref"],
            "#/components/parameters/Mesh"
        );
        assert_eq!(
            send["requestBody"]["content"]["application/json"]["example"]["to"],
            "<to>"
        );
        assert_eq!(
            send["responses"]["default"]["$ref"],
            "#/components/responses/Error"
        );
    }

    #[test]
    fn references_lead_somewhere() {
        let document = openapi(&Catalogue::embedded());
        let text = document.to_string();
        for reference in text
            .split("\"$ref\":\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
