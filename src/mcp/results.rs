//! What goes beside a call and what comes of it: arguments and results as the model sees them.

use crate::{catalogue::Function, error::Error};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value, json};

pub fn is_awaited(function: &Function) -> bool {
    function.awaited().is_some()
}

/// What the session uses to say which answers arrived is nothing for the model.
pub fn without_claim(function: &Function, mut result: Value) -> Value {
    if let Some(object) = result.as_object_mut()
        && function
            .arguments
            .iter()
            .any(|argument| argument.kind == "mesh.seen")
    {
        object.shift_remove("claim");
    }
    result
}

/// With a key or a name for this call, where the function takes one, so that it can be made again when the relay goes away
/// in the middle of it.
pub fn with_name(function: &Function, mut arguments: Map<String, Value>) -> Map<String, Value> {
    if let Some(key) = function.request_key()
        && arguments.get(&key.name).is_none_or(Value::is_null)
    {
        let word = uuid::Uuid::new_v4().to_string();
        arguments.insert(key.name.clone(), word.into());
    }
    function.name_call(&mut arguments);
    arguments
}

/// The result as compact JSON, then the notes. Some editors show the model only `structuredContent` when there is one, so
/// the notes are in it as well.
pub fn success(value: Value, notes: Vec<String>) -> CallToolResult {
    let mut content = vec![ContentBlock::text(value.to_string())];
    content.extend(notes.iter().map(ContentBlock::text));
    let mut result = CallToolResult::success(content);
    if let Value::Object(mut object) = value {
        if !notes.is_empty() {
            object
                .entry("note")
                .or_insert_with(|| json!(notes.join("\n")));
        }
        result.structured_content = Some(Value::Object(object));
    }
    result
}

/// The error object as text, then the notes: a result the model reads, not a protocol error the editor hides.
pub fn failure(error: &Error, notes: Vec<String>) -> CallToolResult {
    let text = serde_json::to_string(error).unwrap_or_else(|_| error.to_string());
    let texts = std::iter::once(text).chain(notes);
    CallToolResult::error(texts.map(ContentBlock::text).collect())
}
